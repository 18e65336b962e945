"""Checksums of what was handed to a writer, to be compared with what the finished file gives back.

GDAL does not always report a failed write: with NUM_THREADS and compression a full disk goes unnoticed, and
the file that is left opens and reads zeros. Only reading every block back tells.
"""

from __future__ import annotations

import zlib
from collections import defaultdict
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import OutputFailed
from ..tiling.grid import Size, Tile

BAND_ROWS = 256
"""Rows per checksum, the height of the blocks of our TIFFs: what is read back at once stays small."""


class Ledger:
    """CRC-32 of every piece of a canvas that was written; windows may come in any order, but not overlap."""

    def __init__(self, canvas: Size) -> None:
        self._canvas = canvas
        self._bands: defaultdict[int, dict[Tile, int]] = defaultdict(dict)

    def add(self, window: Tile, array: NDArray[Any]) -> None:
        """Take note of `array` (bands, height, width) at `window`. The same window may be written again."""
        height, width = self._canvas
        inside = min(window) >= 0 and window.bottom <= height and window.right <= width
        if not inside or array.shape[-2:] != window.size or 0 in window.size:
            raise ValueError(f"{array.shape} does not fit {window} of a canvas of {self._canvas}")
        for piece in _pieces(window):
            band = self._bands[piece.row // BAND_ROWS]
            clash = next((other for other in band if other != piece and _overlap(other, piece)), None)
            if clash:
                raise ValueError(f"{window} overlaps {clash}, which was written before")
            top = piece.row - window.row
            band[piece] = checksum(array[:, top : top + piece.height])

    @property
    def missing(self) -> int:
        """Number of pixels that were never written."""
        written = sum(piece.height * piece.width for band in self._bands.values() for piece in band)
        return self._canvas.height * self._canvas.width - written

    def verify(self, read: Callable[[Tile], NDArray[Any]], *, exact: bool = True) -> None:
        """Read every piece from top to bottom and compare. Not `exact` (lossy): it need only be readable."""
        for index in sorted(self._bands):
            for piece, expected in sorted(self._bands[index].items()):
                found = read(piece)
                if exact and checksum(found) != expected:
                    raise OutputFailed(
                        f"rows {piece.row} to {piece.bottom - 1} do not read back as they were written; "
                        "check the disk, then run again"
                    )


def checksum(array: NDArray[Any]) -> int:
    """CRC-32 of the numbers in C order."""
    return zlib.crc32(np.ascontiguousarray(array).data)


def _pieces(window: Tile) -> Iterator[Tile]:
    """Cut a window where bands of `BAND_ROWS` rows end."""
    row = window.row
    while row < window.bottom:
        end = min((row // BAND_ROWS + 1) * BAND_ROWS, window.bottom)
        yield Tile(row, window.col, end - row, window.width)
        row = end


def _overlap(one: Tile, other: Tile) -> bool:
    rows = one.row < other.bottom and other.row < one.bottom
    return rows and one.col < other.right and other.col < one.right
