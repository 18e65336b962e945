"""Files that end too early, where the decoder would not say so.

Most of GDAL's drivers fail on a cut file. PNG and bare pixel formats do not: they read zeros.
"""

from __future__ import annotations

import zlib
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..errors import BadInput
from .source import Band

if TYPE_CHECKING:
    from rasterio.io import DatasetReader

BARE_DRIVERS = frozenset({"ENVI", "EHdr", "PNM", "RST", "SAGA"})
"""Formats that are rows of numbers after a header of any size."""


def check_complete(path: Path, dataset: DatasetReader, bands: tuple[Band, ...]) -> None:
    """Raise BadInput if the file is shorter than its header promises."""
    if dataset.driver == "PNG":
        check_png(path)
    elif dataset.driver in BARE_DRIVERS:
        compressed = dataset.tags(ns="ENVI").get("file_compression", "0").strip() not in {"", "0"}
        pixels = dataset.width * dataset.height
        expected = sum(pixels * (band.bits or 8 * np.dtype(band.dtype).itemsize) // 8 for band in bands)
        found = path.stat().st_size
        if not compressed and found < expected:
            raise BadInput(f"{path.name} is cut off: {found:,} bytes, expected at least {expected:,}; fetch it again")


def check_png(path: Path) -> None:
    """Walk the chunks of a PNG to its end and compare their checksums."""
    with path.open("rb") as file:
        file.seek(8)
        while True:
            header = file.read(8)
            length, kind = int.from_bytes(header[:4], "big"), header[4:]
            checksum = zlib.crc32(kind)
            while length and (data := file.read(min(length, 1 << 20))):
                checksum = zlib.crc32(data, checksum)
                length -= len(data)
            stored = file.read(4)
            if len(header) < 8 or length or len(stored) < 4:
                raise BadInput(f"{path.name} is cut off: the PNG has no end; fetch it again")
            if kind[:1].isupper() and int.from_bytes(stored, "big") != checksum:
                raise BadInput(f"{path.name} is damaged: a PNG checksum does not match; fetch it again")
            if kind == b"IEND":
                return
