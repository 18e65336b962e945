import math

import numpy as np
import pytest
from numpy.lib.stride_tricks import sliding_window_view

from zido_core.errors import BadInput
from zido_core.metrics.fidelity import ergas, halved, luma, ms_ssim, psnr, sam, ssim

RNG = np.random.default_rng(6)
TRUTH = RNG.random((3, 40, 33))
IMAGE = np.clip(TRUTH + RNG.normal(0, 0.1, TRUTH.shape), 0, 1)
MEASURES = {"psnr": psnr, "ssim": ssim, "sam": sam, "ergas": lambda *images: ergas(*images, scale=4)}
PERFECT = {"psnr": math.inf, "ssim": 1, "sam": 0, "ergas": 0}


def naive_ssim(a: np.ndarray, b: np.ndarray, peak: float) -> float:
    """Every window of its own, from the definition."""
    kernel = np.exp(-(np.arange(-5, 6)[:, None] ** 2 + np.arange(-5, 6) ** 2) / (2 * 1.5**2))
    kernel /= kernel.sum()
    values = []
    for one, two in zip(a, b, strict=True):
        windows = zip(*(sliding_window_view(x, (11, 11)).reshape(-1, 11, 11) for x in (one, two)), strict=True)
        for x, y in windows:
            mx, my = (kernel * x).sum(), (kernel * y).sum()
            vx, vy = (kernel * (x - mx) ** 2).sum(), (kernel * (y - my) ** 2).sum()
            cov = (kernel * (x - mx) * (y - my)).sum()
            c1, c2 = (0.01 * peak) ** 2, (0.03 * peak) ** 2
            values.append((2 * mx * my + c1) * (2 * cov + c2) / ((mx**2 + my**2 + c1) * (vx + vy + c2)))
    return float(np.mean(values))


@pytest.mark.parametrize("peak", [1, 255])
def test_ssim_is_wangs(peak):
    assert ssim(IMAGE * peak, TRUTH * peak, peak=peak) == pytest.approx(naive_ssim(IMAGE * peak, TRUTH * peak, peak))


def naive_ms_ssim(a: np.ndarray, b: np.ndarray) -> float:
    """Scale by scale and band by band, from the definition."""
    kernel = np.exp(-(np.arange(-5, 6)[:, None] ** 2 + np.arange(-5, 6) ** 2) / (2 * 1.5**2))
    kernel /= kernel.sum()
    products = []
    for one, two in zip(a, b, strict=True):
        product = 1.0
        for scale, exponent in enumerate((0.0448, 0.2856, 0.3001, 0.2363, 0.1333)):
            x, y = (sliding_window_view(plane, (11, 11)) for plane in (one, two))
            mx, my, xx, yy, xy = (np.einsum("ijkl,kl", p, kernel) for p in (x, y, x * x, y * y, x * y))
            term = (2 * (xy - mx * my) + 0.03**2) / (xx - mx**2 + yy - my**2 + 0.03**2)
            if scale == 4:
                term *= (2 * mx * my + 0.01**2) / (mx**2 + my**2 + 0.01**2)
            product *= max(term.mean(), 0) ** exponent
            one, two = (
                (p[0::2, 0::2] + p[1::2, 0::2] + p[0::2, 1::2] + p[1::2, 1::2]) / 4
                for p in (plane[: len(plane) // 2 * 2, : plane.shape[1] // 2 * 2] for plane in (one, two))
            )
        products.append(product)
    return float(np.mean(products))


@pytest.mark.parametrize("noise", [0.05, 0.5])
def test_ms_ssim_is_wangs(noise):
    truth = RNG.random((2, 176, 183))
    image = truth + RNG.normal(0, noise, truth.shape)
    assert ms_ssim(image, truth) == pytest.approx(naive_ms_ssim(image, truth))


def test_ms_ssim_of_equal_unlike_masked_and_small_images():
    truth = RNG.random((1, 200, 180))
    valid = np.ones((200, 180), bool)
    valid[:16, :16] = False
    assert ms_ssim(truth, truth) == pytest.approx(1)
    assert ms_ssim(1 - truth, truth) == 0
    assert ms_ssim(np.where(valid, truth, 9), truth, valid) == pytest.approx(1)
    assert math.isnan(ms_ssim(truth[:, :160], truth[:, :160]))
    assert math.isnan(ms_ssim(truth, truth, np.zeros_like(valid)))


def test_halved_leaves_out_what_has_no_pair():
    np.testing.assert_array_equal(halved(np.arange(15.0).reshape(3, 5)), [[3, 5]])


@pytest.mark.parametrize(("error", "peak", "expected"), [(0.1, 1, 20), (0.01, 1, 40), (25.5, 255, 20)])
def test_psnr_of_a_known_error(error, peak, expected):
    truth = np.full((1, 4, 4), 0.5 * peak)
    assert psnr(truth + error, truth, peak=peak) == pytest.approx(expected)


@pytest.mark.parametrize("measure", MEASURES)
def test_equal_images(measure):
    assert MEASURES[measure](TRUTH, TRUTH) == pytest.approx(PERFECT[measure], abs=2e-6)


@pytest.mark.parametrize("measure", MEASURES)
def test_only_valid_pixels_count(measure):
    valid = np.ones((40, 33), bool)
    valid[25:] = False
    damaged = IMAGE.copy()
    damaged[:, 25:] = 77
    expected = MEASURES[measure](IMAGE[:, :25], TRUTH[:, :25])
    assert MEASURES[measure](damaged, TRUTH, valid) == pytest.approx(expected)


@pytest.mark.parametrize("measure", MEASURES)
def test_nothing_valid_is_nan(measure):
    assert math.isnan(MEASURES[measure](IMAGE, TRUTH, np.zeros((40, 33), bool)))


def test_ssim_needs_a_window():
    assert math.isnan(ssim(IMAGE[:, :10], TRUTH[:, :10]))


@pytest.mark.parametrize(("spectrum", "angle"), [((2, 0, 0), 0), ((0, 3, 0), 90), ((1, 1, 0), 45), ((-1, 0, 0), 180)])
def test_spectral_angle(spectrum, angle):
    truth = np.zeros((3, 2, 2))
    truth[0] = 1
    image = np.broadcast_to(np.array(spectrum, float)[:, None, None], truth.shape).copy()
    image[:, 0, 0] = 0
    assert sam(image, truth) == pytest.approx(angle)


def test_ergas_by_hand():
    truth = np.stack([np.full((2, 2), 10.0), np.full((2, 2), 20.0), np.zeros((2, 2))])
    image = truth + np.array([1, 4, 9])[:, None, None]
    assert ergas(image, truth, scale=4) == pytest.approx(25 * math.sqrt((0.1**2 + 0.2**2) / 2))


@pytest.mark.parametrize(("rgb", "y"), [((0, 0, 0), 16), ((1, 1, 1), 235), ((1, 0, 0), 81.481), ((0, 1, 0), 144.553)])
def test_luma_is_studio_swing(rgb, y):
    assert luma(np.array(rgb, float)[:, None, None]).item() * 255 == pytest.approx(y)


def test_gray_has_the_luma_of_gray():
    gray = RNG.random((1, 4, 4))
    np.testing.assert_allclose(luma(gray), luma(np.repeat(gray, 3, 0)))


@pytest.mark.parametrize("measure", MEASURES)
def test_unlike_shapes_are_refused(measure):
    with pytest.raises(BadInput, match=r"one shape are needed, got \(3, 40, 33\) and \(3, 40, 32\)"):
        MEASURES[measure](IMAGE, TRUTH[..., 1:])
