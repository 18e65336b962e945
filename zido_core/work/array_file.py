"""Arrays of a running job on disk: whole or not there, and read by window with every byte checked.

::

    "zido-array-2", a line break | length and CRC-32 of the header | header (JSON, spaces behind it) | chunks

A chunk, so many rows and columns of all bands, is what a checksum covers: reading a window reads and checks little
more than the window.
"""

from __future__ import annotations

import json
import os
import struct
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO, Self

import numpy as np
from numpy.typing import NDArray

from ..errors import OutputFailed
from ..raster.atomic import sync_folder
from ..tiling.grid import Size, Tile
from .records import part_of, told_if_full

MAGIC = b"zido-array-2\n"
CHUNK_ROWS = 128
"""Rows per checksum."""
CHUNK_COLS = 512
"""Columns per checksum."""

_UNKNOWN = 2**32 - 1
"""No checksum is written with more digits."""
_LENGTHS = struct.Struct("<II")


class DamagedFile(OutputFailed):
    """A file of a job that is not what was written; whoever made it makes it again."""


def save_array(
    path: Path,
    array: NDArray[Any],
    *,
    pack: Callable[[NDArray[Any]], NDArray[Any]] = np.ascontiguousarray,
    **facts: Any,
) -> int:
    """Write (bands, height, width) with JSON-like facts; returns a CRC-32 of all. The file appears complete.

    ``pack`` turns a part of the array into what is written of it, contiguous and of the same shape.
    """
    chunks = list(_chunks(array.shape))
    checksums = [_UNKNOWN] * len(chunks)
    dtype = pack(array[:, :0, :0]).dtype
    header = {"shape": list(array.shape), "dtype": dtype.str, "chunks": checksums, "facts": facts}
    room = len(json.dumps(header))
    path.parent.mkdir(parents=True, exist_ok=True)
    part = part_of(path)
    try:
        with told_if_full(path.parent, array.size * dtype.itemsize), part.open("wb") as file:
            file.seek(len(MAGIC) + _LENGTHS.size + room)
            for number, chunk in enumerate(chunks):
                content = pack(array[:, *chunk.slices]).data
                checksums[number] = zlib.crc32(content)
                file.write(content)
            text = json.dumps(header).ljust(room).encode()
            file.seek(0)
            file.write(MAGIC + _LENGTHS.pack(room, zlib.crc32(text)) + text)
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
        bands, *size = self.shape
        window = window or Tile.whole(Size(*size))
        out = np.empty((bands, *window.size), self.dtype)
        for number, chunk in enumerate(_chunks(self.shape)):
            shared = chunk.intersect(window)
            if shared is not None:
                source = shared.shifted(-chunk.row, -chunk.col)
                target = shared.shifted(-window.row, -window.col)
                out[:, *target.slices] = self._chunk(number, chunk)[:, *source.slices]
        return out

    def check(self) -> Self:
        """Read everything; DamagedFile unless it is what was written."""
        for number, chunk in enumerate(_chunks(self.shape)):
            self._chunk(number, chunk)
        return self

    def close(self) -> None:
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *raised: object) -> None:
        self.close()

    def _chunk(self, number: int, chunk: Tile) -> NDArray[Any]:
        bands, _, width = self.shape
        before = chunk.row * width + chunk.height * chunk.col  # pixels of the chunks before it
        self._file.seek(self._begin + before * bands * self.dtype.itemsize)
        size = chunk.height * chunk.width * bands * self.dtype.itemsize
        content = self._file.read(size)
        if len(content) != size or zlib.crc32(content) != self._checksums[number]:
            raise self._damaged(f"rows {chunk.row} to {chunk.bottom - 1} are not what was written")
        return np.frombuffer(content, self.dtype).reshape(bands, *chunk.size)

    def _damaged(self, why: str) -> DamagedFile:
        return DamagedFile(f"{self._path} is damaged: {why}; --resume computes it again")


def load_array(path: Path) -> tuple[NDArray[Any], Mapping[str, Any]] | None:
    """The array and its facts; None if there is no such file or it is damaged."""
    try:
        with ArrayFile(path) as file:
            return file.read(), file.facts
    except (FileNotFoundError, DamagedFile):
        return None


def _chunks(shape: Sequence[int]) -> Iterator[Tile]:
    _, height, width = shape
    for row in range(0, height, CHUNK_ROWS):
        for col in range(0, width, CHUNK_COLS):
            yield Tile(row, col, min(CHUNK_ROWS, height - row), min(CHUNK_COLS, width - col))
