"""Blocks become one image: exactly one in sum, and nothing happens where they agree."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from zido_core.blend import blended, ramp
from zido_core.blocks import Layout, canvas_of, layout_of
from zido_core.tiling.grid import Size, Tile

FACTOR = 2


def layout(size: Size, side: int, reach: int) -> Layout:
    return layout_of(canvas_of(size, tile=32, overlap=8, multiple=8, pixels_per_latent=Fraction(1)), side, reach=reach)


def cut_from(image: np.ndarray, blocks: Layout):
    """Reads blocks that are parts of one image."""

    def read(index: int, window: Tile) -> np.ndarray:
        corner = blocks[index].extent
        return image[:, *window.shifted(corner.row * FACTOR, corner.col * FACTOR).slices]

    return read


LAYOUTS = [(Size(200, 130), 64, 16), (Size(65, 300), 64, 16), (Size(70, 70), 16, 30), (Size(20, 20), 64, 16)]


@pytest.mark.parametrize(("size", "side", "reach"), LAYOUTS)
def test_weights_of_all_blocks_sum_to_one_exactly(size: Size, side: int, reach: int) -> None:
    blocks = layout(size, side, reach)
    total = np.zeros((1, *size.scaled(FACTOR)), np.float32)
    for shown in range(len(blocks)):

        def read(index: int, window: Tile, shown: int = shown) -> np.ndarray:
            return np.full((1, *window.size), float(index == shown), np.float32)

        weight = blended(read, blocks, Tile.whole(size), FACTOR)
        assert weight.min() >= 0
        assert weight[:, *blocks[shown].core.scaled(FACTOR).slices].any()
        total += weight
    assert (total == 1).all()


@pytest.mark.parametrize(("size", "side", "reach"), LAYOUTS)
def test_blocks_that_agree_give_the_bits_of_the_whole_in_every_window(size: Size, side: int, reach: int) -> None:
    image = np.random.default_rng(0).standard_normal((3, *size.scaled(FACTOR)), np.float32)
    blocks = layout(size, side, reach)
    assert (blended(cut_from(image, blocks), blocks, Tile.whole(size), FACTOR) == image).all()
    for window in (Tile(5, 3, 11, 12), Tile(0, 0, 1, 1), Tile(size.height - 20, size.width - 19, 20, 19)):
        found = blended(cut_from(image, blocks), blocks, window, FACTOR)
        assert (found == image[:, *window.scaled(FACTOR).slices]).all()


def test_a_ramp_rises_from_nothing_to_one_around_the_cut() -> None:
    weight = ramp(0, 40, cut=20, reach=8)
    assert (weight[:12] == 0).all()
    assert (weight[28:] == 1).all()
    assert (np.diff(weight) >= 0).all()
    assert (weight + weight[::-1] == 1).all()


def test_only_blocks_near_a_window_are_read() -> None:
    blocks, asked = layout(Size(256, 256), 64, 8), set()

    def read(index: int, window: Tile) -> np.ndarray:
        asked.add(index)
        return np.zeros((1, *window.size), np.float32)

    blended(read, blocks, Tile(60, 100, 10, 10), FACTOR)
    assert asked == {1, 5}
