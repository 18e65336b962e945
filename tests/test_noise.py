"""Noise that belongs to places: any region is a crop of the whole, and it is standard normal."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from zido_core.tiling.grid import Tile
from zido_core.tiling.noise import START, position_draw, position_noise

WHOLE = Tile(-100, -70, 260, 230)


@pytest.fixture(scope="module")
def whole():
    return position_noise(7, 3, 4, WHOLE)


@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_every_crop_is_the_crop_of_the_whole(data):
    row, col = data.draw(st.integers(-100, 159)), data.draw(st.integers(-70, 159))
    tile = Tile(row, col, data.draw(st.integers(1, 160 - row)), data.draw(st.integers(1, 160 - col)))
    whole = position_noise(7, 3, 2, WHOLE)
    part = whole[:, *tile.shifted(-WHOLE.row, -WHOLE.col).slices]
    assert np.array_equal(position_noise(7, 3, 2, tile), part)


def test_more_channels_leave_the_first_as_they_are(whole):
    assert np.array_equal(position_noise(7, 3, 2, WHOLE), whole[:2])


@pytest.mark.parametrize(("seed", "step"), [(8, 3), (7, 4), (7, START), (2**63, 3), (-1, 3)])
def test_other_seeds_and_steps_are_other_noise(whole, seed, step):
    other = position_noise(seed, step, 4, WHOLE)
    assert abs(np.corrcoef(other.ravel(), whole.ravel())[0, 1]) < 0.01


def test_standard_normal():
    noise = position_noise(0, START, 3, Tile(0, 0, 256, 256))
    assert noise.dtype == np.float32
    assert stats.kstest(noise.ravel(), "norm").pvalue > 0.01
    assert stats.kurtosis(noise, None) == pytest.approx(0, abs=0.03)


@pytest.mark.parametrize("shift", [(0, 0, 1), (0, 1, 0), (0, 0, 64), (0, 64, 0), (1, 0, 0)])
def test_places_are_independent(shift):
    noise = position_noise(5, 0, 3, Tile(-128, -128, 256, 256))
    moved = np.roll(noise, shift, (0, 1, 2))
    assert abs(np.corrcoef(noise.ravel(), moved.ravel())[0, 1]) < 0.01


def test_stays_the_same_over_releases():
    noise = position_noise(1, 2, 1, Tile(-1, 63, 1, 2))
    assert noise.ravel().tolist() == pytest.approx([-0.4269578, 1.1688244], abs=1e-6)


def test_draws_differ_by_seed_and_step():
    draws = {position_draw(seed, step) for seed in range(4) for step in range(4)}
    assert len(draws) == 16
    assert position_draw(3, 2) == position_draw(3, 2)
