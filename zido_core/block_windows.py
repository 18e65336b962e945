"""The windows of a whole canvas as one block of it sees them, so that a step looks the same wherever blocks end."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from .blocks import Block
from .options import ResolvedOptions
from .sampling.windows import Window, Windows, windows_for
from .tiling.grid import Tile


def windows_of(block: Block, options: ResolvedOptions) -> Windows:
    """The windows of a block: the method's own where the block is the whole canvas or windows are the grid's."""
    grid = block.grid if block.alone or options.fusion not in ("spot", "spot-hybrid") else block.canvas
    windows = windows_for(options.fusion, grid, weights=options.tile_weights, steps=options.steps, seed=options.seed)
    if grid is block.grid:
        return windows
    return PartOfWindows(grid=block.grid, weighting=windows.weighting, whole=windows, origin=block.origin)


@dataclass(frozen=True, kw_only=True)
class PartOfWindows(Windows):
    """SpotDiffusion's windows on a part of the canvas: those of the whole, where they touch it.

    A block does not have the opposite side of the canvas. A window that goes around the canvas' border is two windows
    here, moved inside; so is one that reaches over the block's own border, in its halo.
    """

    whole: Windows
    """On the whole canvas."""
    origin: tuple[int, int]
    """Row and column of the part on the canvas, in latents."""

    def at(self, step: int) -> Sequence[Window]:
        """The windows of a step, in the part's own latents; together they cover it."""
        (height, width), (tall, wide) = self.whole.grid.canvas, self.grid.tile
        found: dict[Tile, int] = {}
        for tile, _ in self.whole.at(step):
            for row in _inside(tile.row, tall, height, self.origin[0], self.grid.canvas.height):
                for col in _inside(tile.col, wide, width, self.origin[1], self.grid.canvas.width):
                    found[Tile(row, col, tall, wide)] = self._nearest(row, col)
        return tuple(Window(tile, place) for tile, place in found.items())

    def _nearest(self, row: int, col: int) -> int:
        """Index of the tile of the grid that shares most with a window."""
        return _nearest(self.grid.rows, row) * len(self.grid.cols) + _nearest(self.grid.cols, col)


def _nearest(offsets: Sequence[int], place: int) -> int:
    return min(range(len(offsets)), key=lambda index: abs(offsets[index] - place))


def _inside(start: int, side: int, ring: int, origin: int, length: int) -> Iterator[int]:
    """Where a window of a ring lies in a part of it, moved inside if it sticks out; nowhere if they do not touch."""
    for place in {start, start - ring} if start + side > ring else {start}:
        at = place - origin
        if -side < at < length:
            yield min(max(at, 0), length - side)
