"""Which windows a step looks through, and whose prompt each of them hears.

Prompts belong to the tiles of one grid. MultiDiffusion and Mixture of Diffusers look at these very tiles at
every step; SpotDiffusion's windows move, and take the prompt of the tile nearest to them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..catalog import FusionMethod, TileWeights
from ..tiling.grid import Grid, Tile
from ..tiling.noise import position_draw
from ..tiling.weights import tile_weights


class Window(NamedTuple):
    """What the network sees at once."""

    tile: Tile
    """Where it lies; it may reach over the lower or right border, and goes on at the opposite one."""
    place: int
    """Index of the grid tile whose prompt it takes."""


@dataclass(frozen=True, kw_only=True)
class Windows:
    """MultiDiffusion (arXiv:2302.08113), Mixture of Diffusers (arXiv:2302.02412): the grid, at every step."""

    grid: Grid
    """The tiles that have the prompts; all windows have their shape."""
    weighting: TileWeights
    """How a window fades towards its border: uniform in the former paper, gaussian in the latter."""

    @cached_property
    def weights(self) -> NDArray[np.float64]:
        """How much each pixel of a window counts, (height, width)."""
        return tile_weights(self.weighting, self.grid.tile)

    def at(self, step: int) -> Sequence[Window]:
        """The windows of a step; together they cover the canvas."""
        return self._tiles

    @cached_property
    def _tiles(self) -> tuple[Window, ...]:
        return tuple(Window(tile, place) for place, tile in enumerate(self.grid))


@dataclass(frozen=True, kw_only=True)
class SpotWindows(Windows):
    """SpotDiffusion (arXiv:2407.15507): as few windows as cover the canvas, moved at random with every step.

    The canvas closes to a ring in each direction: a window that leaves it on one side comes in on the other.
    Where windows do not fit a whole number of times they overlap a little rather than leave gaps.
    """

    seed: int
    """Of the moves."""

    def at(self, step: int) -> Sequence[Window]:
        """The windows of a step, moved by what (seed, step) say."""
        grid, (down, along) = self.grid, position_draw(self.seed, step)
        rows = _ring(grid.rows, grid.canvas.height, grid.tile.height, down)
        cols = _ring(grid.cols, grid.canvas.width, grid.tile.width, along)
        return tuple(
            Window(Tile(row, col, *grid.tile), near_row * len(grid.cols) + near_col)
            for row, near_row in rows
            for col, near_col in cols
        )


@dataclass(frozen=True, kw_only=True)
class HybridWindows(SpotWindows):
    """SpotDiffusion's windows while the layout forms, then the overlapping grid for the detail."""

    switch: int
    """First step with the grid."""

    def at(self, step: int) -> Sequence[Window]:
        """Moved windows before `switch`, the grid from there on."""
        return super().at(step) if step < self.switch else Windows.at(self, step)


def windows_for(
    kind: FusionMethod, grid: Grid, *, weights: TileWeights | None = None, steps: int, seed: int
) -> Windows:
    """The windows of a fusion method; without `weights` the paper's; ``spot-hybrid`` turns half-way."""
    weighting = weights or ("gaussian" if kind == "mixture" else "uniform")
    if kind == "spot":
        return SpotWindows(grid=grid, weighting=weighting, seed=seed)
    if kind == "spot-hybrid":
        return HybridWindows(grid=grid, weighting=weighting, seed=seed, switch=steps // 2)
    return Windows(grid=grid, weighting=weighting)


def _ring(offsets: Sequence[int], length: int, side: int, draw: int) -> list[tuple[int, int]]:
    """Window offsets along one axis, each with the index of the tile offset that is nearest on the ring.

    For one shape the nearest is the one that shares most. A canvas no longer than a window stays where it is.
    """
    if length <= side:
        return [(0, 0)]
    count = -(-length // side)
    moved = [(draw + i * length // count) % length for i in range(count)]
    return [(offset, min(range(len(offsets)), key=lambda i: _apart(offset, offsets[i], length))) for offset in moved]


def _apart(a: int, b: int, length: int) -> int:
    return min((a - b) % length, (b - a) % length)
