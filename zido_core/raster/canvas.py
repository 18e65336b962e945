"""Pixels of a photograph on disk until the file can be encoded from top to bottom."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..tiling.grid import Size, Tile

BLOCK_BYTES = 1_000_000
"""Bytes read at a time; what the PNG filters make of them still fits into a cache."""


class Canvas:
    """Interleaved pixels (height, width, channels) in an unnamed file that vanishes with the process.

    A plain file, not a memory map: where the disk is full a map ends the process, a write raises.
    """

    def __init__(self, folder: Path, size: Size, channels: int, dtype: str) -> None:
        self._size, self._channels, self._dtype = size, channels, np.dtype(dtype)
        self._file = tempfile.TemporaryFile(dir=folder, prefix=".zido-canvas-")  # noqa: SIM115  closed by `close`

    def write(self, planes: NDArray[Any], window: Tile) -> None:
        """Put (channels, height, width) at `window`."""
        pixels = np.ascontiguousarray(planes.transpose(1, 2, 0), dtype=self._dtype)
        lines = [pixels] if window.width == self._size.width else pixels
        for row, line in enumerate(lines, start=window.row):
            self._file.seek(self._offset(row, window.col))
            self._file.write(line.data)

    def rows(self) -> Iterator[NDArray[Any]]:
        """Blocks (rows, width, channels) from top to bottom."""
        step = max(1, BLOCK_BYTES // self._offset(1, 0))
        for top in range(0, self._size.height, step):
            count = min(step, self._size.height - top)
            self._file.seek(self._offset(top, 0))
            content = self._file.read(self._offset(count, 0))
            yield np.frombuffer(content, self._dtype).reshape(count, self._size.width, self._channels)

    def whole(self) -> NDArray[Any]:
        """All pixels (height, width, channels), in memory."""
        return np.concatenate(list(self.rows()))

    @property
    def taken(self) -> int:
        """Bytes of disk that vanish when it is closed."""
        return os.fstat(self._file.fileno()).st_size

    def close(self) -> None:
        self._file.close()

    def _offset(self, row: int, col: int) -> int:
        return (row * self._size.width + col) * self._channels * self._dtype.itemsize
