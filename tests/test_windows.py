"""Windows of each method: cover, shape, moves, and whose prompt they take."""

from __future__ import annotations

import numpy as np
import pytest

from zido_core.sampling.windows import windows_for
from zido_core.tiling.fusion import wrap
from zido_core.tiling.grid import Size, even_grid
from zido_core.tiling.weights import tile_weights

KINDS = ["multidiffusion", "mixture", "spot", "spot-hybrid"]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("canvas", [(16, 16), (40, 33), (7, 100), (1, 1), (128, 64)])
def test_cover_the_canvas_at_every_step(kind, canvas):
    grid = even_grid(Size(*canvas), 16, 8)
    windows = windows_for(kind, grid, steps=6, seed=3)
    for step in range(6):
        count = np.zeros(canvas, int)
        for window in windows.at(step):
            assert window.tile.size == grid.tile
            assert 0 <= window.place < len(grid)
            for part, _ in wrap(window.tile, grid.canvas):
                count[part.slices] += 1
        assert count.min() >= 1


@pytest.mark.parametrize("kind", ["multidiffusion", "mixture"])
def test_the_grid_at_every_step(kind):
    grid = even_grid(Size(40, 33), 16, 8)
    windows = windows_for(kind, grid, steps=6, seed=3)
    assert [w.tile for w in windows.at(0)] == list(grid)
    assert [w.place for w in windows.at(5)] == list(range(len(grid)))


@pytest.mark.parametrize(("kind", "weights"), [("multidiffusion", "uniform"), ("mixture", "gaussian")])
def test_weights_are_the_papers_unless_asked(kind, weights):
    grid = even_grid(Size(40, 33), 16, 8)
    assert np.array_equal(windows_for(kind, grid, steps=1, seed=0).weights, tile_weights(weights, grid.tile))
    asked = windows_for(kind, grid, weights="cosine", steps=1, seed=0)
    assert np.array_equal(asked.weights, tile_weights("cosine", grid.tile))


def test_spot_does_not_overlap_and_moves():
    grid = even_grid(Size(64, 96), 16, 8)
    windows = windows_for("spot", grid, steps=20, seed=1)
    firsts = set()
    for step in range(20):
        assert len(windows.at(step)) == 4 * 6
        assert windows.at(step) == windows_for("spot", grid, steps=9, seed=1).at(step)
        firsts.add(windows.at(step)[0].tile)
    assert len(firsts) > 10
    assert windows.at(0) != windows_for("spot", grid, steps=20, seed=2).at(0)


def test_spot_stays_where_a_tile_is_the_canvas():
    windows = windows_for("spot", even_grid(Size(16, 64), 16, 8), steps=4, seed=1)
    assert {window.tile.row for step in range(4) for window in windows.at(step)} == {0}


@pytest.mark.parametrize("canvas", [(64, 96), (50, 33), (16, 40)])
def test_prompt_of_the_tile_that_shares_most(canvas):
    grid = even_grid(Size(*canvas), 16, 8)
    maps = np.zeros((len(grid), *canvas), bool)
    for index, tile in enumerate(grid):
        maps[index][tile.slices] = True
    windows = windows_for("spot", grid, steps=10, seed=5)
    for step in range(10):
        for tile, place in windows.at(step):
            seen = np.zeros(canvas, bool)
            for part, _ in wrap(tile, grid.canvas):
                seen[part.slices] = True
            shared = (maps & seen).sum((1, 2))
            around = tile.bottom > canvas[0] or tile.right > canvas[1]
            assert shared[place] == shared.max() or around


def test_hybrid_changes_over_half_way():
    grid = even_grid(Size(64, 96), 16, 8)
    windows = windows_for("spot-hybrid", grid, steps=7, seed=1)
    spot, fixed = (windows_for(kind, grid, steps=7, seed=1) for kind in ("spot", "multidiffusion"))
    assert [windows.at(s) == spot.at(s) for s in range(7)] == [True] * 3 + [False] * 4
    assert all(windows.at(s) == fixed.at(s) for s in range(3, 7))
