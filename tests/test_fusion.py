"""Fusion: against a naive mean in float64, over the border, with holes."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from zido_core.tiling.fusion import Fusion, crop, wrap
from zido_core.tiling.grid import Size, Tile, even_grid
from zido_core.tiling.weights import tile_weights


@pytest.mark.parametrize("kind", ["uniform", "gaussian", "cosine"])
@pytest.mark.parametrize("canvas", [(20, 33), (8, 8), (1, 30), (50, 9)])
def test_equals_the_naive_weighted_mean(kind, canvas):
    grid = even_grid(Size(*canvas), Size(min(8, canvas[0]), 8), 0 if canvas[0] == 1 else 3)
    weights = tile_weights(kind, grid.tile)
    values = np.random.default_rng(0).normal(size=(len(grid), 3, *grid.tile)).astype(np.float32)
    fusion = Fusion((3, *canvas))
    total, count = np.zeros((3, *canvas)), np.zeros(canvas)
    for tile, value in zip(grid, values, strict=True):
        fusion.add(tile, torch.from_numpy(value), fusion.weights(weights))
        total[:, *tile.slices] += value * weights
        count[tile.slices] += weights
    assert np.allclose(fusion.mean().numpy(), total / count, atol=2e-6)


def test_one_tile_keeps_its_values():
    value = torch.randn(2, 8, 8)
    fusion = Fusion((2, 8, 8))
    fusion.add(Tile(0, 0, 8, 8), value, fusion.weights(tile_weights("gaussian", Size(8, 8))))
    assert torch.allclose(fusion.mean(), value, rtol=1e-6)


def test_half_precision_is_summed_in_full():
    fusion = Fusion((1, 4, 4))
    for value in (2048.0, 1.0):
        fusion.add(Tile(0, 0, 4, 4), torch.full((1, 4, 4), value).half(), torch.ones(4, 4))
    assert fusion.mean().unique().tolist() == [1024.5]


def test_refuses_to_leave_holes():
    fusion = Fusion((1, 4, 5))
    fusion.add(Tile(0, 0, 4, 4), torch.ones(1, 4, 4), torch.ones(4, 4))
    with pytest.raises(ValueError, match="4 pixels"):
        fusion.mean()


@pytest.mark.parametrize("tile", [Tile(0, 0, 4, 5), Tile(5, 0, 4, 5), Tile(0, 8, 4, 5), Tile(6, 9, 4, 5)])
def test_around_the_border(tile):
    canvas = torch.arange(7 * 10.0).reshape(1, 7, 10)
    rolled = torch.roll(canvas, (-tile.row, -tile.col), (1, 2))[:, :4, :5]
    assert torch.equal(crop(canvas, tile), rolled)
    fusion = Fusion((1, 7, 10))
    fusion.add(Tile(0, 0, 7, 10), torch.zeros(1, 7, 10), torch.ones(7, 10))
    fusion.add(tile, crop(canvas, tile), torch.ones(4, 5))
    there = torch.zeros(7, 10, dtype=torch.bool)
    for part, _ in wrap(tile, Size(7, 10)):
        there[part.slices] = True
    assert there.sum() == 20
    assert torch.equal(fusion.mean()[0], torch.where(there, canvas[0] / 2, 0))


@pytest.mark.parametrize("tile", [Tile(-1, 0, 4, 4), Tile(7, 0, 4, 4), Tile(0, 0, 8, 4)])
def test_refuses_tiles_that_are_not_on_the_canvas(tile):
    with pytest.raises(ValueError, match="does not lie"):
        crop(torch.zeros(1, 7, 10), tile)
