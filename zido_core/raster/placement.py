"""Where a crop of the input and the piece of output made from it lie in their wholes.

The functions of radiometry work on a block of a raster as on a whole image; what they need to resample
exactly at any factor is the place of both crops.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..resample import Kernel, resize_window, source_window
from ..tiling.grid import Size, Tile

_BAND = 1 << 20
"""Output elements handled at a time; temporaries are a few times as large."""


@dataclass(frozen=True, kw_only=True)
class Placement:
    """A crop of the input and the piece of output that belongs to it."""

    source: Tile
    """The crop, in pixels of the input."""

    source_size: Size
    """The whole input."""

    target: Tile
    """The piece, in pixels of the output."""

    target_size: Size
    """The whole output; it has the extent of the input, hence the factor is target_size / source_size."""

    @classmethod
    def whole(cls, source: Size, target: Size) -> Placement:
        """An image that is handled in one go."""
        return cls(source=Tile.whole(source), source_size=source, target=Tile.whole(target), target_size=target)

    @property
    def whole_factor(self) -> bool:
        """True if every input pixel becomes a block of whole output pixels."""
        (height, width), (large_height, large_width) = self.source_size, self.target_size
        return large_height % height == 0 and large_width % width == 0

    @property
    def inside(self) -> Tile:
        """The input pixels, counted in the crop, whose footprint lies in the target from edge to edge."""
        rows = self._inside(self.target.row, self.target.bottom, 0)
        cols = self._inside(self.target.col, self.target.right, 1)
        first_row, first_col = max(rows[0], self.source.row), max(cols[0], self.source.col)
        height = min(rows[1], self.source.bottom) - first_row
        width = min(cols[1], self.source.right) - first_col
        return Tile(first_row - self.source.row, first_col - self.source.col, max(height, 0), max(width, 0))

    def _inside(self, start: int, stop: int, axis: int) -> tuple[int, int]:
        source, target = self.source_size[axis], self.target_size[axis]
        return -(-start * source // target), stop * source // target

    def row_bands(self, bands: int) -> Iterator[slice]:
        """The rows of the piece in bands of bounded size, for an image of so many bands."""
        step = max(1, _BAND // max(1, bands * self.target.width))
        for start in range(0, self.target.height, step):
            yield slice(start, min(start + step, self.target.height))

    def enlarge(self, crop: NDArray[Any], rows: slice, kernel: Kernel = "bicubic") -> NDArray[Any]:
        """The crop (bands, h, w) of the input, resampled to these rows of the piece.

        Border pixels of a crop that does not reach as far as the kernel are repeated, which is exact at the
        borders of the raster and touches but the outermost two input pixels of a block, which its halo
        covers.
        """
        target = Tile(self.target.row + rows.start, self.target.col, rows.stop - rows.start, self.target.width)
        need = source_window(target, self.source_size, self.target_size, kernel)
        have = self.source
        margins = (
            (max(0, have.row - need.row), max(0, need.bottom - have.bottom)),
            (max(0, have.col - need.col), max(0, need.right - have.right)),
        )
        first = min(max(0, need.row - have.row), have.height - 1)
        crop = crop[:, first : max(first + 1, need.bottom - have.row)]
        if any(sum(pair) for pair in margins):
            crop = np.pad(crop, ((0, 0), *margins), mode="edge")
        origin = (have.row + first - margins[0][0], have.col - margins[1][0])
        return resize_window(crop, origin, self.source_size, self.target_size, target, kernel)

    def reduce(self, piece: NDArray[Any], valid: NDArray[np.bool_] | None = None) -> NDArray[Any]:
        """Means of the output (bands, H, W) over the footprints of the input pixels `inside`.

        With `valid`, (h, w) or (bands, h, w) of the crop, output pixels that will be invalid do not count.
        """
        inside = self.inside
        out = np.empty((piece.shape[0], inside.height, inside.width), np.result_type(piece.dtype, np.float32))
        step = max(1, _BAND * inside.height // max(1, piece.size))
        weighted = valid is not None and not self.whole_factor and not valid.all()
        for start in range(0, inside.height, step):
            stop = min(start + step, inside.height)
            small = Tile(self.source.row + inside.row + start, self.source.col + inside.col, stop - start, inside.width)
            large = source_window(small, self.target_size, self.source_size, "area")
            rows = slice(large.row - self.target.row, large.bottom - self.target.row)
            if weighted and valid is not None:
                out[:, start:stop] = self._weighted_mean(piece, valid, rows, small)
            else:
                out[:, start:stop] = self._mean(piece[:, rows], rows, small)
        return out

    def _weighted_mean(self, piece: NDArray[Any], valid: NDArray[np.bool_], rows: slice, small: Tile) -> NDArray[Any]:
        mask = valid if valid.ndim == 3 else valid[None]
        weight = self.enlarge(mask, rows, "nearest").astype(np.float32)
        total = self._mean(np.where(weight > 0, piece[:, rows], 0), rows, small)
        count = self._mean(weight, rows, small)
        return np.asarray(np.divide(total, count, out=np.zeros_like(total), where=count > 0))

    def _mean(self, piece: NDArray[Any], rows: slice, small: Tile) -> NDArray[Any]:
        origin = (self.target.row + rows.start, self.target.col)
        return resize_window(piece, origin, self.target_size, self.source_size, small, "area")
