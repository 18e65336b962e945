"""Moving windows: a block sees those of the whole canvas."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest

from zido_core.block_windows import windows_of
from zido_core.blocks import canvas_of, layout_of
from zido_core.catalog import describe
from zido_core.options import Options, resolve
from zido_core.sampling.windows import SpotWindows
from zido_core.tiling.grid import Size, Tile

CANVAS = canvas_of(Size(192, 160), tile=32, overlap=0, multiple=8, pixels_per_latent=Fraction(1))
OPTIONS = replace(resolve(Options(steps=6), describe("mini"), "raster"), fusion="spot", tile_weights="uniform")


def test_an_image_of_one_block_has_the_windows_of_the_paper() -> None:
    (block,) = layout_of(CANVAS, 512)
    assert isinstance(windows_of(block, OPTIONS), SpotWindows)


@pytest.mark.parametrize("fusion", ["spot", "spot-hybrid"])
def test_windows_lie_inside_a_block_and_cover_it(fusion) -> None:
    for block in layout_of(CANVAS, 64, halo=48):
        windows = windows_of(block, replace(OPTIONS, fusion=fusion))
        for step in range(OPTIONS.steps):
            count = np.zeros(block.grid.canvas, int)
            for tile, place in windows.at(step):
                assert Tile.whole(block.grid.canvas).contains(tile)
                count[tile.slices] += 1
                assert 0 <= place < len(block.grid)
            assert count.min() >= 1


def test_blocks_see_the_same_windows_in_what_they_share() -> None:
    blocks = list(layout_of(CANVAS, 64, halo=48))
    for step in range(OPTIONS.steps):
        seen = [
            {
                tile.shifted(*block.origin)
                for tile, _ in windows_of(block, OPTIONS).at(step)
                if tile.shifted(*block.origin).intersect(block.extent)
            }
            for block in blocks
        ]
        first, second = blocks[0].extent, blocks[1].extent
        shared = first.intersect(second)
        assert shared is not None
        both = [{tile for tile in each if tile.intersect(shared)} for each in seen[:2]]
        assert both[0] == both[1]
