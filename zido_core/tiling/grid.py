"""Where tiles lie on a canvas.

Sizes are ``(height, width)``, positions ``(row, col)``, in pixels of whatever level the canvas has: output
pixels, latents or input pixels. One grid is made on the canvas; other levels derive from it by ``scaled``::

    grid = even_grid(Size(96, 128), tile_size=64, overlap=32)    # latents
    grid.scaled(8)                                               # the same tiles in output pixels
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from itertools import pairwise
from typing import NamedTuple

from ..errors import InvalidOptions

Factor = int | Fraction


class Size(NamedTuple):
    """Height and width in pixels."""

    height: int
    width: int

    def scaled(self, factor: Factor) -> Size:
        """The same size on a level with `factor` times as many pixels per side; exact or ValueError."""
        return Size(_times(self.height, factor), _times(self.width, factor))


class Tile(NamedTuple):
    """A rectangle of a canvas, in pixels. Positions may be negative: a halo reaches over the border."""

    row: int
    col: int
    height: int
    width: int

    @classmethod
    def whole(cls, canvas: Size) -> Tile:
        """The tile that is the canvas."""
        return cls(0, 0, canvas.height, canvas.width)

    @property
    def bottom(self) -> int:
        """First row below the tile."""
        return self.row + self.height

    @property
    def right(self) -> int:
        """First column right of the tile."""
        return self.col + self.width

    @property
    def size(self) -> Size:
        return Size(self.height, self.width)

    @property
    def slices(self) -> tuple[slice, slice]:
        """Index of the last two axes of an array of the canvas: ``array[..., *tile.slices]``."""
        if self.row < 0 or self.col < 0:
            raise ValueError(f"{self} begins outside its canvas; intersect it with the canvas before slicing")
        return slice(self.row, self.bottom), slice(self.col, self.right)

    def scaled(self, factor: Factor) -> Tile:
        """The same place on a level with `factor` times as many pixels per side; exact or ValueError."""
        row, col, height, width = (_times(value, factor) for value in self)
        return Tile(row, col, height, width)

    def shifted(self, rows: int, cols: int) -> Tile:
        """The tile moved down by `rows` and right by `cols`."""
        return self._replace(row=self.row + rows, col=self.col + cols)

    def pad(self, margin: int, canvas: Size | None = None) -> Tile:
        """The tile grown by `margin` on every side, cut to the canvas if one is given."""
        grown = Tile(self.row - margin, self.col - margin, self.height + 2 * margin, self.width + 2 * margin)
        inside = grown if canvas is None else grown.intersect(Tile.whole(canvas))
        if inside is None or min(inside.size) < 1:
            raise ValueError(f"{self} padded by {margin} leaves nothing of the canvas {canvas}")
        return inside

    def intersect(self, other: Tile) -> Tile | None:
        """What both tiles share, or None."""
        row, col = max(self.row, other.row), max(self.col, other.col)
        bottom, right = min(self.bottom, other.bottom), min(self.right, other.right)
        return Tile(row, col, bottom - row, right - col) if bottom > row and right > col else None

    def contains(self, other: Tile) -> bool:
        """Whether `other` lies inside this tile entirely."""
        rows = self.row <= other.row and other.bottom <= self.bottom
        return rows and self.col <= other.col and other.right <= self.right


@dataclass(frozen=True, kw_only=True)
class Grid:
    """Tiles of one shape: every row offset combined with every column offset."""

    canvas: Size
    """What the tiles lie on."""
    tile: Size
    """Shape of every tile; never larger than the canvas."""
    rows: tuple[int, ...]
    """Row offsets, ascending."""
    cols: tuple[int, ...]
    """Column offsets, ascending."""

    def __post_init__(self) -> None:
        for offsets, length, side in zip((self.rows, self.cols), self.canvas, self.tile, strict=True):
            ascending = all(a < b for a, b in pairwise(offsets))
            if not offsets or not ascending or offsets[0] < 0 or offsets[-1] + side > length:
                raise ValueError(f"tiles of {side} px at {offsets} do not fit a canvas of {length} px")

    @cached_property
    def tiles(self) -> tuple[Tile, ...]:
        """All tiles, row by row."""
        return tuple(Tile(row, col, *self.tile) for row in self.rows for col in self.cols)

    def __len__(self) -> int:
        return len(self.rows) * len(self.cols)

    def __iter__(self) -> Iterator[Tile]:
        return iter(self.tiles)

    @property
    def bounds(self) -> Tile:
        """The smallest tile that contains all tiles."""
        height = self.rows[-1] - self.rows[0] + self.tile.height
        return Tile(self.rows[0], self.cols[0], height, self.cols[-1] - self.cols[0] + self.tile.width)

    def scaled(self, factor: Factor) -> Grid:
        """The same tiles on a level with `factor` times as many pixels per side; exact or ValueError."""
        rows = tuple(_times(row, factor) for row in self.rows)
        cols = tuple(_times(col, factor) for col in self.cols)
        return Grid(canvas=self.canvas.scaled(factor), tile=self.tile.scaled(factor), rows=rows, cols=cols)

    def touching(self, region: Tile) -> Grid:
        """The tiles that share a pixel with `region`, where they are: ``.bounds`` is what they need."""
        rows = tuple(r for r in self.rows if r < region.bottom and region.row < r + self.tile.height)
        cols = tuple(c for c in self.cols if c < region.right and region.col < c + self.tile.width)
        return Grid(canvas=self.canvas, tile=self.tile, rows=rows, cols=cols)

    def relative_to(self, region: Tile) -> Grid:
        """The same tiles on a canvas that is `region` of this one."""
        rows, cols = (tuple(r - region.row for r in self.rows), tuple(c - region.col for c in self.cols))
        return Grid(canvas=region.size, tile=self.tile, rows=rows, cols=cols)


def even_grid(canvas: Size, tile_size: int | Size, overlap: int) -> Grid:
    """The fewest tiles with at least `overlap` pixels in common, offsets spread evenly.

    A tile larger than the canvas is cut to it, so all tiles have one shape whatever the canvas.
    """
    wanted = _checked(canvas, tile_size, overlap)
    tile = Size(min(wanted.height, canvas.height), min(wanted.width, canvas.width))
    rows, cols = (_even_offsets(n, side, overlap) for n, side in zip(canvas, tile, strict=True))
    return Grid(canvas=canvas, tile=tile, rows=rows, cols=cols)


def flush_grid(canvas: Size, tile_size: int, overlap: int) -> Grid:
    """The grid of SeeSR and ZIDO: a constant stride, the last tile aligned to the border.

    As there: a canvas with no more pixels than a tile is one tile of its own shape, otherwise tiles are
    square and no longer than the shorter side. Where that leaves a tile not longer than the overlap (thin
    strips, on which the official code does not end), half a tile overlaps.
    """
    _checked(canvas, tile_size, overlap)
    if canvas.height * canvas.width <= tile_size**2:
        return Grid(canvas=canvas, tile=canvas, rows=(0,), cols=(0,))
    side = min(tile_size, *canvas)
    stride = side - (overlap if overlap < side else side // 2)
    rows, cols = ((*range(0, n - side, stride), n - side) for n in canvas)
    return Grid(canvas=canvas, tile=Size(side, side), rows=rows, cols=cols)


def partition(canvas: Size, side: int, *, multiple: int = 1) -> Iterator[Tile]:
    """The canvas cut, without overlap, into the fewest parts of at most `side` pixels a side, row by row.

    Parts are as even as cuts at multiples of `multiple` (a divisor of `side`) allow.
    """
    if side < 1 or side % multiple:
        raise ValueError(f"parts of {side} px cannot be cut at multiples of {multiple} px")
    for top, bottom in _cuts(canvas.height, side, multiple):
        for left, right in _cuts(canvas.width, side, multiple):
            yield Tile(top, left, bottom - top, right - left)


def view_of(canvas: Size, *, side: int, multiple: int) -> Size:
    """The size at which a network of tiles looks at all of a canvas: its shape, and no more than a tile's area.

    C-Upscale looks at the low-resolution image, which has the size that its model was trained for; so do we, whatever
    the size of ours.
    """
    factor = min(1.0, math.sqrt(side * side / (canvas.height * canvas.width)))
    if factor == 1.0:
        return canvas
    return Size(*(max(int(length * factor) // multiple, 1) * multiple for length in canvas))


def _cuts(length: int, side: int, multiple: int) -> Iterator[tuple[int, int]]:
    count, units = -(-length // side), -(-length // multiple)
    yield from pairwise(min(index * units // count * multiple, length) for index in range(count + 1))


def _even_offsets(length: int, side: int, overlap: int) -> tuple[int, ...]:
    if length <= side:
        return (0,)
    count = -(-(length - overlap) // (side - overlap))
    # Rounded down, neighbours are at most ceil((length - side) / (count - 1)) <= side - overlap apart.
    return tuple(i * (length - side) // (count - 1) for i in range(count))


def _checked(canvas: Size, tile_size: int | Size, overlap: int) -> Size:
    tile = tile_size if isinstance(tile_size, Size) else Size(tile_size, tile_size)
    if min(canvas) < 1:
        raise ValueError(f"canvas is {canvas.height}x{canvas.width} pixels; it needs at least 1x1")
    if min(tile) < 1:
        raise InvalidOptions(f"tile size is {tile.height}x{tile.width} pixels; choose at least 1x1")
    if not 0 <= overlap < min(tile):
        raise InvalidOptions(f"tile overlap is {overlap} pixels; choose 0 to {min(tile) - 1}, less than the tile size")
    return tile


def _times(value: int, factor: Factor) -> int:
    scaled = Fraction(factor) * value
    if scaled.denominator != 1:
        raise ValueError(f"{value} pixels times {factor} is not a whole number; choose sizes that divide")
    return int(scaled)
