"""Cut a canvas into blocks: what is denoised jointly, and what of it is kept.

A block's core belongs to it alone; its region is every tile that touches the core. Tiles and noise are anchored to the
whole canvas, so that neighbouring blocks see the same tiles and the same noise in what they share.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property

from .tiling.grid import Grid, Size, Tile, even_grid, partition

MARGIN = 16
"""Input pixels around a core whose result the radiometry may look at."""

CUT = 64
"""Cores begin at multiples of so many input pixels, which are whole tiles of an output of four times the size."""


@dataclass(frozen=True, kw_only=True)
class Canvas:
    """The whole image on the level of the latents."""

    size: Size
    """Input pixels."""
    grid: Grid
    """All tiles, in latents; the canvas is a little larger than the image where that is no multiple."""
    pixels_per_latent: int
    """Input pixels per latent pixel along a side."""

    @cached_property
    def input_tiles(self) -> tuple[Tile, ...]:
        """The tiles in input pixels, cut to the image: what taggers look at."""
        whole = Tile.whole(self.size)
        scaled = (tile.scaled(self.pixels_per_latent).intersect(whole) for tile in self.grid)
        return tuple(tile for tile in scaled if tile is not None)


@dataclass(frozen=True, kw_only=True)
class Block:
    """A part of the canvas that fits into memory."""

    core: Tile
    """Input pixels that this block alone delivers; the cores tile the image."""
    outer: Tile
    """The core with what the radiometry needs around it, input pixels."""
    region: Tile
    """Input pixels that are denoised together."""
    grid: Grid
    """The tiles of the region, in latents relative to it."""
    origin: tuple[int, int]
    """Row and column of the region on the canvas, in latents."""
    tile_ids: tuple[int, ...]
    """Index of each tile of ``grid`` among the tiles of the whole canvas."""


def canvas_of(
    size: Size, *, tile: int, overlap: int, multiple: int, pixels_per_latent: Fraction, least: int = 0
) -> Canvas:
    """The canvas of an image of ``size`` input pixels; tile, overlap, multiple and least in latents.

    A side shorter than a tile becomes one tile, rounded up to the multiple that the network needs, and to the
    least that it knows.
    """
    factor = int(pixels_per_latent)
    if factor != pixels_per_latent:
        raise ValueError(f"{pixels_per_latent} input pixels per latent; expected a whole number")
    latents = Size(*(-(-side // factor) for side in size))
    least = min(least, tile)
    sides = Size(*(side if side >= tile else max(-(-side // multiple) * multiple, least) for side in latents))
    shape = Size(*(min(tile, side) for side in sides))
    grid = even_grid(sides, shape, min(overlap, *(side - 1 for side in shape)))
    return Canvas(size=size, grid=grid, pixels_per_latent=factor)


def blocks_of(canvas: Canvas, block_size: int) -> Iterator[Block]:
    """Blocks whose cores have at most ``block_size`` input pixels a side, row by row."""
    whole, factor = Tile.whole(canvas.size), canvas.pixels_per_latent
    columns = len(canvas.grid.cols)
    for core in partition(canvas.size, block_size, multiple=math.gcd(block_size, CUT)):
        outer = core.pad(MARGIN, canvas.size)
        touched = _latents(outer, factor)
        part = canvas.grid.touching(touched)
        bounds = part.bounds
        region = bounds.scaled(factor).intersect(whole)
        assert region is not None
        rows = [canvas.grid.rows.index(row) for row in part.rows]
        cols = [canvas.grid.cols.index(col) for col in part.cols]
        yield Block(
            core=core,
            outer=outer,
            region=region,
            grid=part.relative_to(bounds),
            origin=(bounds.row, bounds.col),
            tile_ids=tuple(row * columns + col for row in rows for col in cols),
        )


def _latents(tile: Tile, factor: int) -> Tile:
    """The latents that a tile of input pixels touches."""
    row, col = tile.row // factor, tile.col // factor
    return Tile(row, col, -(-tile.bottom // factor) - row, -(-tile.right // factor) - col)
