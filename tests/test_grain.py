import math

import numpy as np
import pytest

from zido_core.metrics.grain import grain_ratio, local_deviation

RNG = np.random.default_rng(5)
GRAIN = RNG.normal(0, 1 / 255, (1, 96, 128))
SKY = 0.6 + GRAIN


def naive_deviation(gray: np.ndarray) -> np.ndarray:
    height, width = gray.shape
    return np.array([[gray[r : r + 7, c : c + 7].std() for c in range(width - 6)] for r in range(height - 6)])


def test_local_deviation_is_that_of_every_window():
    gray = RNG.random((20, 24))
    np.testing.assert_allclose(local_deviation(gray), naive_deviation(gray))


@pytest.mark.parametrize("factor", [0.5, 1, 3])
def test_ratio_is_that_of_the_grain(factor):
    # The rounding of 8 bits is the least that is counted, and a window's deviation is its own: near, not equal.
    assert grain_ratio(0.6 + factor * GRAIN, SKY) == pytest.approx(factor, rel=0.02)


def test_busy_places_and_edges_do_not_count():
    truth, image = SKY.copy(), SKY.copy()
    truth[..., 64:] += RNG.normal(0, 0.2, (1, 96, 64))
    image[..., 57:] += RNG.normal(0, 0.4, (1, 96, 71))
    assert grain_ratio(image, truth) == pytest.approx(1)


def test_a_drawn_sky_has_the_deviation_of_its_rounding():
    assert grain_ratio(SKY, np.full_like(SKY, 0.6)) == pytest.approx(math.sqrt(12) * 219 / 255, rel=0.05)


def test_invalid_places_do_not_count():
    valid = np.ones((96, 128), bool)
    valid[30:40, 30:60] = False
    damaged = np.where(valid, SKY, RNG.random(SKY.shape))
    assert grain_ratio(damaged, SKY, valid) == pytest.approx(1)


@pytest.mark.parametrize("truth", [RNG.random((3, 96, 128)), SKY[:, :20, :20]])
def test_nothing_flat_is_nan(truth):
    assert math.isnan(grain_ratio(truth, truth))
