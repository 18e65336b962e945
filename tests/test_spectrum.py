import numpy as np
import pytest

from zido_core.metrics.spectrum import windowed

RNG = np.random.default_rng(7)


@pytest.mark.parametrize("shape", [(1, 20, 30), (3, 1, 9), (2, 64, 64)])
def test_white_noise_keeps_its_variance_as_power(shape):
    power = [np.sum(windowed(RNG.normal(5, 2, shape)) ** 2) * shape[0] for _ in range(400)]
    independent = 1 - 1 / (shape[1] * shape[2])  # the mean is taken out
    assert np.mean(power) == pytest.approx(4 * independent, rel=0.15)


def test_a_constant_has_nothing_left():
    np.testing.assert_array_equal(windowed(np.full((3, 8, 8), 0.5)), 0)


def test_borders_fade_out():
    gray = np.abs(windowed(RNG.normal(0, 1, (1, 101, 101))))
    assert gray[0].max() < 0.01 * gray[50].max()


@pytest.mark.parametrize("value", [np.nan, 1e9])
def test_invalid_pixels_are_the_mean(value):
    image = RNG.random((2, 16, 16))
    valid = RNG.random((16, 16)) > 0.3
    result = windowed(np.where(valid, image, value), valid)
    np.testing.assert_array_equal(result[~valid], 0)
    np.testing.assert_array_equal(result, windowed(np.where(valid, image, 3), valid))


def test_nothing_valid_is_nothing():
    assert not windowed(RNG.random((1, 8, 8)), np.zeros((8, 8), bool)).any()
