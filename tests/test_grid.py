"""Where tiles lie: cover, shape, count and exact scaling."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from zido_core.errors import InvalidOptions
from zido_core.tiling.grid import Grid, Size, Tile, even_grid, flush_grid

CANVASES = [(1, 1), (1, 900), (7, 5), (64, 64), (64, 65), (65, 64), (97, 129), (40, 300), (300, 3), (99, 98)]
sides = st.integers(1, 400)


@pytest.mark.parametrize("make", [even_grid, flush_grid])
@pytest.mark.parametrize("canvas", CANVASES)
@pytest.mark.parametrize(("tile", "overlap"), [(64, 32), (64, 0), (96, 4), (1, 0), (48, 47)])
def test_covers_every_pixel_with_one_shape(make, canvas, tile, overlap):
    grid = make(Size(*canvas), tile, overlap)
    covered = np.zeros(canvas, bool)
    for part in grid:
        assert part.size == grid.tile
        assert Tile.whole(grid.canvas).contains(part)
        covered[part.slices] = True
    assert covered.all()
    assert len(grid) == len(grid.tiles)


@given(length=sides, tile=sides, data=st.data())
def test_even_grid_is_the_fewest_tiles_with_the_overlap(length, tile, data):
    overlap = data.draw(st.integers(0, tile - 1))
    rows = even_grid(Size(length, 1), Size(tile, overlap + 1), overlap).rows
    gaps = np.diff(rows)
    side = min(tile, length)
    assert rows[0] == 0
    assert rows[-1] == length - side
    assert (side - gaps >= overlap).all()
    assert gaps.size == 0 or gaps.max() - gaps.min() <= 1
    # One tile fewer could not reach the end.
    assert len(rows) == 1 or (len(rows) - 2) * (side - overlap) + side < length


def test_row_major():
    tiles = even_grid(Size(96, 128), 64, 32).tiles
    assert [(t.row, t.col) for t in tiles] == [(0, 0), (0, 32), (0, 64), (32, 0), (32, 32), (32, 64)]


@pytest.mark.parametrize(("tile", "overlap"), [(0, 0), (64, 64), (64, -1), (-3, 0)])
@pytest.mark.parametrize("make", [even_grid, flush_grid])
def test_refuses_impossible_options(make, tile, overlap):
    with pytest.raises(InvalidOptions, match="choose"):
        make(Size(100, 100), tile, overlap)


@pytest.mark.parametrize("canvas", [(0, 5), (5, 0), (-1, 4)])
def test_refuses_an_empty_canvas(canvas):
    with pytest.raises(ValueError, match="at least 1x1"):
        even_grid(Size(*canvas), 64, 0)


@pytest.mark.parametrize("factor", [1, 8, Fraction(4), Fraction(1, 8), Fraction(3, 8)])
def test_scaling_is_exact(factor):
    tile = Tile(8, -16, 64, 40)
    scaled = tile.scaled(factor)
    assert [Fraction(v) for v in scaled] == [v * Fraction(factor) for v in tile]
    assert scaled.scaled(1 / Fraction(factor)) == tile


def test_scaling_refuses_fractions_of_a_pixel():
    with pytest.raises(ValueError, match="not a whole number"):
        Tile(0, 4, 64, 64).scaled(Fraction(1, 8))


def test_scaled_grid_holds_the_scaled_tiles():
    grid = even_grid(Size(97, 129), 64, 32)
    assert grid.scaled(8).tiles == tuple(tile.scaled(8) for tile in grid)
    assert grid.scaled(8).scaled(Fraction(1, 8)) == grid


def test_intersect_contains_pad():
    tile = Tile(2, 3, 10, 20)
    assert tile.intersect(Tile(0, 0, 4, 4)) == Tile(2, 3, 2, 1)
    assert tile.intersect(Tile(12, 3, 4, 4)) is None
    assert tile.contains(Tile(2, 3, 10, 20))
    assert not tile.contains(Tile(2, 3, 11, 20))
    assert tile.pad(4) == Tile(-2, -1, 18, 28)
    assert tile.pad(4, Size(14, 24)) == Tile(0, 0, 14, 24)
    assert tile.shifted(1, -1) == Tile(3, 2, 10, 20)
    with pytest.raises(ValueError, match="nothing"):
        tile.pad(0, Size(2, 2))


def test_slices_refuse_negative_positions():
    with pytest.raises(ValueError, match="outside"):
        _ = Tile(-1, 0, 4, 4).slices


def test_tiles_of_a_region_keep_their_places():
    grid = even_grid(Size(300, 300), 64, 32)
    region = Tile(100, 40, 50, 30)
    part = grid.touching(region)
    assert set(part.tiles) == {tile for tile in grid if tile.intersect(region)}
    assert part.bounds.contains(region)
    local = part.relative_to(part.bounds)
    assert local.canvas == part.bounds.size
    assert [t.shifted(part.bounds.row, part.bounds.col) for t in local] == list(part.tiles)


@pytest.mark.parametrize("rows", [(), (0, 0), (4, 0), (-1,), (37,)])
def test_grid_refuses_offsets_that_do_not_fit(rows):
    with pytest.raises(ValueError, match="do not fit"):
        Grid(canvas=Size(100, 100), tile=Size(64, 64), rows=rows, cols=(0,))
