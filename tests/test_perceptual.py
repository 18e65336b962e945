import math

import numpy as np
import pytest

from zido_core.metrics.perceptual import gmsd, radial_spectrum, spectrum_distance
from zido_core.resample import resize
from zido_core.tiling.grid import Size

RNG = np.random.default_rng(9)
TRUTH = resize(RNG.random((3, 32, 40), np.float32), Size(96, 120))
NOISE = RNG.normal(0, 1, TRUTH.shape).astype(np.float32)
BLURRED = resize(resize(TRUTH, Size(24, 30)), Size(96, 120))
MEASURES = (gmsd, spectrum_distance)


@pytest.mark.parametrize("measure", MEASURES)
def test_worse_is_larger(measure):
    scores = [measure(TRUTH + level * NOISE, TRUTH) for level in (0, 0.02, 0.1)]
    assert scores[0] == 0
    assert scores == sorted(scores)
    assert scores[1] > 0


@pytest.mark.parametrize("measure", MEASURES)
def test_blur_counts(measure):
    assert measure(BLURRED, TRUTH) > measure((BLURRED + 3 * TRUTH) / 4, TRUTH) > 0


def test_gmsd_by_hand():
    """A step edge against nothing: similarity is c / (g^2 + c) on the edge and 1 elsewhere."""
    truth = np.zeros((1, 12, 12))
    image = truth.copy()
    image[..., 6:] = 0.3
    c = 170 / 255**2
    on_edge = c / (0.3**2 + c)
    similarity = np.ones((4, 4))
    similarity[:, 1:3] = on_edge
    assert gmsd(image, truth) == pytest.approx(similarity.std())


@pytest.mark.parametrize("measure", MEASURES)
def test_invalid_pixels_do_not_count(measure):
    valid = np.ones(TRUTH.shape[1:], bool)
    valid[40:56, 30:50] = False
    damaged = np.where(valid, TRUTH, 40)
    assert measure(damaged, TRUTH, valid) == 0


@pytest.mark.parametrize("measure", MEASURES)
def test_tiny_images_are_nan(measure):
    assert math.isnan(measure(TRUTH[:, :3, :3], TRUTH[:, :3, :3]))


def test_white_noise_has_a_flat_spectrum_at_its_variance():
    noise = RNG.normal(0, 0.1, (1, 200, 240))
    spectrum = radial_spectrum(noise)
    assert len(spectrum) == 101
    np.testing.assert_allclose(spectrum[10:].mean(), -20, atol=0.3)


def test_a_wave_has_one_peak():
    wave = np.sin(2 * np.pi * 0.25 * np.arange(120))[None, None] * np.ones((1, 100, 1))
    assert np.argmax(radial_spectrum(wave)) == 25
