"""Cut a canvas into blocks: what is denoised jointly, and how neighbours share their border.

Cores tile the image. A block delivers its core and a margin around it, its extent, in which neighbours are blended; its
region is every tile that touches the extent. Tiles and noise are anchored to the whole canvas, so that neighbouring
blocks see the same tiles and the same noise in what they share.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from itertools import pairwise

from .tiling.grid import Grid, Size, Tile, even_grid, partition

MARGIN = 16
"""Input pixels around a cut in which blocks are blended, at the least."""

HALO = 28
"""Input pixels around an extent whose tiles are computed, too: as far as networks with bounded reach look."""

CUT = 64
"""Cores begin at multiples of so many input pixels, which are whole tiles of an output of four times the size."""


@dataclass(frozen=True, kw_only=True)
class Canvas:
    """The whole image on the level of the latents."""

    size: Size
    """Input pixels."""
    shown: Size
    """Size at which the model is shown the input: that of the input, unless it is too small for the model."""
    grid: Grid
    """All tiles, in latents; the canvas is a little larger than the image where that is no multiple."""
    pixels_per_latent: int
    """Pixels of the shown image per latent pixel along a side."""

    @property
    def enlarged(self) -> bool:
        """Whether the model is shown a larger image than the input."""
        return self.shown != self.size

    @cached_property
    def input_tiles(self) -> tuple[Tile, ...]:
        """The tiles in input pixels, cut to the image: what taggers look at."""
        return tuple(self._in_input(self.grid))

    def tiles_near(self, place: Tile) -> Iterator[Tile]:
        """The tiles that touch a place, all in input pixels."""
        return self._in_input(self.touching(place))

    def touching(self, place: Tile) -> Grid:
        """The tiles, in latents, that touch a place in input pixels."""
        if self.enlarged:
            return self.grid
        factor = self.pixels_per_latent
        row, col = place.row // factor, place.col // factor
        return self.grid.touching(Tile(row, col, -(-place.bottom // factor) - row, -(-place.right // factor) - col))

    def _in_input(self, grid: Grid) -> Iterator[Tile]:
        whole = Tile.whole(self.shown)
        for tile in grid:
            seen = tile.scaled(self.pixels_per_latent).intersect(whole)
            if seen is not None:
                yield self._reduced(seen) if self.enlarged else seen

    def _reduced(self, tile: Tile) -> Tile:
        """The input pixels that a tile of the shown image touches."""
        (top, bottom), (left, right) = (
            (start * side // shown, -(-stop * side // shown))
            for start, stop, side, shown in zip(
                (tile.row, tile.col), (tile.bottom, tile.right), self.size, self.shown, strict=True
            )
        )
        return Tile(top, left, bottom - top, right - left)


@dataclass(frozen=True, kw_only=True)
class Block:
    """A part of the canvas that fits into memory."""

    index: int
    """Which of all blocks, row by row."""
    core: Tile
    """Input pixels that are nearer to this block than to any other; the cores tile the image."""
    extent: Tile
    """Input pixels that this block delivers: the core and what is blended with the neighbours."""
    region: Tile
    """Input pixels that are denoised together."""
    grid: Grid
    """The tiles of the region, in latents relative to it."""
    origin: tuple[int, int]
    """Row and column of the region on the canvas, in latents."""
    tile_ids: tuple[int, ...]
    """Index of each tile of ``grid`` among the tiles of the whole canvas."""
    canvas: Grid
    """All tiles of the whole canvas."""
    alone: bool
    """Whether there is no other block."""


@dataclass(frozen=True, kw_only=True)
class Layout:
    """All blocks of a canvas, in rows and columns."""

    canvas: Canvas
    """What is cut."""
    rows: tuple[int, ...]
    """Input rows where cores begin, and the height."""
    cols: tuple[int, ...]
    """Input columns where cores begin, and the width."""
    reach: tuple[int, int]
    """Input pixels above and below a cut, left and right of one, in which blocks are blended."""
    halo: int
    """Input pixels around an extent whose tiles are computed, too."""

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of blocks."""
        return len(self.rows) - 1, len(self.cols) - 1

    def __len__(self) -> int:
        rows, cols = self.shape
        return rows * cols

    def __iter__(self) -> Iterator[Block]:
        return (self[index] for index in range(len(self)))

    def __getitem__(self, index: int) -> Block:
        if not 0 <= index < len(self):
            raise IndexError(f"there is no block {index}, only 0 to {len(self) - 1}")
        row, col = divmod(index, len(self.cols) - 1)
        canvas, whole = self.canvas, Tile.whole(self.canvas.size)
        core = self._core(row, col)
        (first, last), (start, stop) = self.span(0, row), self.span(1, col)
        extent = Tile(first, start, last - first, stop - start)
        part, columns = canvas.touching(extent.pad(self.halo, canvas.size)), len(canvas.grid.cols)
        bounds = part.bounds
        region = whole if canvas.enlarged else bounds.scaled(canvas.pixels_per_latent).intersect(whole)
        assert region is not None
        places = ((part.rows, canvas.grid.rows), (part.cols, canvas.grid.cols))
        rows, cols = (_places(some, among) for some, among in places)
        return Block(
            index=index,
            core=core,
            extent=extent,
            region=region,
            grid=part.relative_to(bounds),
            origin=(bounds.row, bounds.col),
            tile_ids=tuple(row * columns + col for row in rows for col in cols),
            canvas=canvas.grid,
            alone=len(self) == 1,
        )

    def cores_near(self, place: Tile) -> Iterator[Tile]:
        """The cores that blocks near a place in input pixels deliver."""
        for row in self.meeting(0, place.row, place.bottom):
            for col in self.meeting(1, place.col, place.right):
                yield self._core(row, col)

    def _core(self, row: int, col: int) -> Tile:
        top, left = self.rows[row], self.cols[col]
        return Tile(top, left, self.rows[row + 1] - top, self.cols[col + 1] - left)

    def cuts(self, axis: int) -> tuple[int, ...]:
        """Where cores begin and end along an axis: 0 for rows, 1 for columns."""
        return self.cols if axis else self.rows

    def span(self, axis: int, number: int) -> tuple[int, int]:
        """First input row (or column) of the extents of a row (or column) of blocks, and one past the last."""
        cuts, reach = self.cuts(axis), self.reach[axis]
        return max(cuts[number] - reach, 0), min(cuts[number + 1] + reach, cuts[-1])

    def meeting(self, axis: int, start: int, stop: int) -> range:
        """The rows (or columns) of blocks that deliver something of these input rows (or columns)."""
        cuts, reach = self.cuts(axis), self.reach[axis]
        first = bisect_right(cuts, max(start - reach, 0)) - 1
        last = bisect_right(cuts, min(stop - 1 + reach, cuts[-1] - 1)) - 1
        return range(first, last + 1)


def shown_size(size: Size, *, least: int, most: int) -> Size:
    """The size at which a model is shown an image: the shorter side has at least ``least`` pixels.

    Unless the longer one would then have more than ``most``: such a strip stays as it is.
    """
    short = min(size)
    if short >= least:
        return size
    large = Size(*(round(side * least / short) for side in size))
    return large if max(large) <= most else size


def canvas_of(
    size: Size, *, tile: int, overlap: int, multiple: int, pixels_per_latent: Fraction, least: int = 0, most: int = 0
) -> Canvas:
    """The canvas of an image of ``size`` input pixels; tile, overlap, multiple and least in latents.

    An image too small for what the network knows is shown enlarged, where that makes it no longer than ``most``
    input pixels. A side shorter than a tile becomes one tile, rounded up to the multiple that the network needs,
    and to the least that it knows.
    """
    factor = int(pixels_per_latent)
    if factor != pixels_per_latent:
        raise ValueError(f"{pixels_per_latent} input pixels per latent; expected a whole number")
    least = min(least, tile)
    shown = shown_size(size, least=least * factor, most=most)
    latents = Size(*(-(-side // factor) for side in shown))
    sides = Size(*(side if side >= tile else max(-(-side // multiple) * multiple, least) for side in latents))
    shape = Size(*(min(tile, side) for side in sides))
    grid = even_grid(sides, shape, min(overlap, *(side - 1 for side in shape)))
    return Canvas(size=size, shown=shown, grid=grid, pixels_per_latent=factor)


def layout_of(canvas: Canvas, block_size: int, *, reach: int = MARGIN, halo: int = HALO) -> Layout:
    """Blocks whose cores have at most ``block_size`` input pixels a side, blended ``reach`` pixels around a cut.

    Where cores are short, the reach is at most half of the shortest: of three blocks in a row, the first and the
    last share nothing. What is shown enlarged is one block.
    """
    if canvas.enlarged:
        block_size = max(canvas.size)
    cores = list(partition(canvas.size, block_size, multiple=math.gcd(block_size, CUT)))
    rows = (*sorted({core.row for core in cores}), canvas.size.height)
    cols = (*sorted({core.col for core in cores}), canvas.size.width)
    along, across = (min(reach, min(b - a for a, b in pairwise(cuts)) // 2) for cuts in (rows, cols))
    return Layout(canvas=canvas, rows=rows, cols=cols, reach=(along, across), halo=halo)


def _places(some: Sequence[int], among: Sequence[int]) -> range:
    """Where consecutive numbers stand among others."""
    first = among.index(some[0])
    return range(first, first + len(some))
