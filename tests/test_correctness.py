import math

import numpy as np
import pytest

from zido_core.errors import BadInput
from zido_core.metrics.correctness import BORDER, Correctness, aligned, bilinear, classify, correctness, matched
from zido_core.resample import resize
from zido_core.tiling.grid import Size

RNG = np.random.default_rng(3)
HR = np.clip(resize(RNG.random((3, 40, 48), np.float32), Size(80, 96)), 0.02, 1)
LR = resize(HR, Size(20, 24))
SMOOTH = bilinear(LR.astype(np.float64), (80, 96))
EVERYWHERE = np.ones(HR.shape[1:], bool)


def shares(found: Correctness) -> tuple[float, float, float]:
    return found.improvement, found.omission, found.hallucination


def naive(reference: float, to_truth: float, to_input: float) -> list[float]:
    """The three shares of one pixel, as opensr-test's paper and defaults have them."""
    d_im, d_om = to_truth / reference, to_input / reference
    h = d_im + d_om - 1
    distances = (
        d_im + d_om * (1 - math.exp(-0.05 * h)),
        d_om + d_im * (1 - math.exp(-0.05 * h)),
        math.exp(-0.05 * d_im * d_om),
    )
    likely = [math.exp(-each / 0.25) for each in distances]
    return [each / sum(likely) for each in likely]


def test_shares_of_pixels_are_those_of_the_paper():
    pixels = RNG.uniform(0.1, 0.5, (3, 40))
    threshold = sorted(pixels[0])[29]
    busy = [pixel for pixel in pixels.T.tolist() if max(pixel) > threshold]
    assert len(busy) < 40
    expected = np.mean([naive(*pixel) for pixel in busy], axis=0)
    np.testing.assert_allclose(shares(classify(*pixels)), expected)


@pytest.mark.parametrize(
    ("made", "likeliest"),
    [
        pytest.param(HR, 0, id="the truth is an improvement"),
        pytest.param(SMOOTH, 1, id="the enlarged input is an omission"),
        pytest.param(1.02 - HR, 2, id="the opposite of the truth is a hallucination"),
    ],
)
def test_classes(made, likeliest):
    found = shares(correctness(made, HR, LR, harmonise=False))
    assert np.argmax(found) == likeliest
    assert sum(found) == pytest.approx(1)


def test_truth_and_input_have_the_shares_of_the_corners():
    """There one distance is 0 and the others are 1: softmin at a temperature of 0.25."""
    corner = 1 / (1 + 2 * math.exp(-4))
    assert correctness(HR, HR, LR, harmonise=False).improvement == pytest.approx(corner)
    assert correctness(SMOOTH, HR, LR, harmonise=False).omission == pytest.approx(corner)


def test_systematic_errors_are_taken_out_first():
    darker = 0.7 * HR + 0.1
    plain, harmonised = (correctness(darker, HR, LR, harmonise=on) for on in (False, True))
    assert harmonised.improvement > 0.95 > plain.improvement


def test_matched_has_the_histogram_of_the_truth():
    image, truth = RNG.random((1, 30, 30)), RNG.random((1, 30, 30)) ** 2
    everywhere = np.ones((30, 30), bool)
    out = matched(image, truth, everywhere)
    np.testing.assert_allclose(np.sort(out.ravel()), np.sort(truth.ravel()))
    np.testing.assert_array_equal(np.argsort(out.ravel()), np.argsort(image.ravel()))


def test_aligned_undoes_a_displacement():
    truth = np.asarray(resize(RNG.random((1, 16, 16), np.float32), Size(96, 96)), np.float64)
    moved = np.roll(truth, (2, -1), (1, 2))
    back = aligned(moved, truth, np.ones((96, 96), bool))
    inside = (slice(None), slice(8, -8), slice(8, -8))
    assert np.abs(back - truth)[inside].mean() < 0.1 * np.abs(moved - truth)[inside].mean()


def test_bilinear_keeps_a_ramp():
    ramp = np.arange(6.0)[None, None] * np.ones((1, 5, 1))
    out = bilinear(ramp, (20, 24))
    np.testing.assert_allclose(out[0, 0, 4:-4], (np.arange(24)[4:-4] + 0.5) / 4 - 0.5)


def test_only_valid_pixels_count():
    valid = EVERYWHERE.copy()
    valid[40:, :50] = False
    damaged = np.where(valid, HR, 0.5)
    assert correctness(damaged, HR, LR, valid) == correctness(HR, HR, LR, valid)
    assert correctness(damaged, HR, LR) != correctness(HR, HR, LR)


@pytest.mark.parametrize("side", [3 * BORDER - 4, 8])
def test_small_images_say_nothing(side):
    small = np.full((1, side, side), 0.5)
    assert all(map(math.isnan, shares(correctness(small, small, small[:, ::4, ::4]))))


def test_nothing_valid_says_nothing():
    assert all(map(math.isnan, shares(correctness(HR, HR, LR, ~EVERYWHERE))))


def test_a_truth_that_is_no_multiple_is_refused():
    with pytest.raises(BadInput, match=r"whole multiple of the input is needed, got \(3, 80, 96\) and \(3, 20, 25\)"):
        correctness(HR, HR, np.zeros((3, 20, 25)))
