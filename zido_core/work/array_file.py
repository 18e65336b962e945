"""Arrays of a running job on disk: whole or not there, and read by window with every byte checked.

::

    "zido-array-1", a line break | length and CRC-32 of the header | header (JSON) | chunks of rows, all bands each

A chunk is what a checksum covers, so that reading a window reads and checks little more than the window.
"""

from __future__ import annotations

import json
import os
import struct
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO, Self

import numpy as np
from numpy.typing import NDArray

from ..errors import OutputFailed
from ..raster.atomic import sync_folder
from ..tiling.grid import Tile
from .records import part_of, told_if_full

MAGIC = b"zido-array-1\n"
CHUNK_ROWS = 128
"""Rows per checksum."""

_LENGTHS = struct.Struct("<II")


class DamagedFile(OutputFailed):
    """A file of a job that is not what was written; whoever made it makes it again."""


def save_array(path: Path, array: NDArray[Any], **facts: Any) -> int:
    """Write (bands, height, width) with JSON-like facts; returns a CRC-32 of all. The file appears complete."""
    checksums = [zlib.crc32(np.ascontiguousarray(array[:, rows]).data) for rows in _chunks(array.shape[1])]
    header = {"shape": list(array.shape), "dtype": array.dtype.str, "chunks": checksums, "facts": facts}
    text = json.dumps(header).encode()
    path.parent.mkdir(parents=True, exist_ok=True)
    part = part_of(path)
    try:
        with told_if_full(path.parent, array.nbytes), part.open("wb") as file:
            file.write(MAGIC + _LENGTHS.pack(len(text), zlib.crc32(text)) + text)
            for rows in _chunks(array.shape[1]):
                file.write(np.ascontiguousarray(array[:, rows]).data)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
    sync_folder(path.parent)
    return zlib.crc32(text)


class ArrayFile:
    """A file made by `save_array`, open for reading; DamagedFile where it is not what was written."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: BinaryIO = path.open("rb")
        try:
            self._read_header()
        except BaseException:
            self._file.close()
            raise

    def _read_header(self) -> None:
        start = self._file.read(len(MAGIC) + _LENGTHS.size)
        if len(start) < len(MAGIC) + _LENGTHS.size or not start.startswith(MAGIC):
            raise self._damaged("it is no file of a job")
        length, self.crc = _LENGTHS.unpack(start[len(MAGIC) :])
        text = self._file.read(length)
        if len(text) != length or zlib.crc32(text) != self.crc:
            raise self._damaged("its header is incomplete or changed")
        header = json.loads(text)
        self.shape: tuple[int, int, int] = tuple(header["shape"])
        self.dtype = np.dtype(header["dtype"])
        self.facts: Mapping[str, Any] = header["facts"]
        """What `save_array` was told."""
        self._checksums: list[int] = header["chunks"]
        self._begin = len(start) + length

    def read(self, window: Tile | None = None) -> NDArray[Any]:
        """(bands, h, w) of a window, by default all."""
        bands, height, width = self.shape
        window = window or Tile(0, 0, height, width)
        out = np.empty((bands, *window.size), self.dtype)
        for number, rows in enumerate(_chunks(height)):
            top, bottom = max(rows.start, window.row), min(rows.stop, window.bottom)
            if top < bottom:
                chunk = self._chunk(number, rows)[:, top - rows.start : bottom - rows.start]
                out[:, top - window.row : bottom - window.row] = chunk[:, :, window.col : window.right]
        return out

    def check(self) -> Self:
        """Read everything; DamagedFile unless it is what was written."""
        for number, rows in enumerate(_chunks(self.shape[1])):
            self._chunk(number, rows)
        return self

    def close(self) -> None:
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *raised: object) -> None:
        self.close()

    def _chunk(self, number: int, rows: slice) -> NDArray[Any]:
        bands, _, width = self.shape
        row_bytes = bands * width * self.dtype.itemsize
        self._file.seek(self._begin + rows.start * row_bytes)
        size = (rows.stop - rows.start) * row_bytes
        content = self._file.read(size)
        if len(content) != size or zlib.crc32(content) != self._checksums[number]:
            raise self._damaged(f"rows {rows.start} to {rows.stop - 1} are not what was written")
        return np.frombuffer(content, self.dtype).reshape(bands, rows.stop - rows.start, width)

    def _damaged(self, why: str) -> DamagedFile:
        return DamagedFile(f"{self._path} is damaged: {why}; --resume computes it again")


def load_array(path: Path) -> tuple[NDArray[Any], Mapping[str, Any]] | None:
    """The array and its facts; None if there is no such file or it is damaged."""
    try:
        with ArrayFile(path) as file:
            return file.read(), file.facts
    except (FileNotFoundError, DamagedFile):
        return None


def _chunks(height: int) -> Iterator[slice]:
    for start in range(0, height, CHUNK_ROWS):
        yield slice(start, min(start + CHUNK_ROWS, height))
