"""How close a result is to the truth, pixel by pixel.

Images are (bands, height, width), [0, 1] unless ``peak`` says otherwise; ``valid`` (height, width) bool
says which pixels count. Where nothing can be compared the answer is NaN.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from ..errors import BadInput

Image = NDArray[Any]
Mask = NDArray[np.bool_]

_SSIM_RADIUS, _SSIM_SIGMA = 5, 1.5

_SCALES = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
"""Exponents of the five scales of MS-SSIM, finest first (Wang et al. 2003)."""


def luma(image: Image) -> NDArray[np.float64]:
    """The Y channel (1, h, w) in which papers of super-resolution measure: BT.601 studio swing, 16/255 to
    235/255.

    One band, or any other number but three, is averaged and put on the same scale.
    """
    wide = image.astype(np.float64)
    total = np.tensordot((65.481, 128.553, 24.966), wide, 1) if len(wide) == 3 else 219 * wide.mean(0)
    return np.asarray(total + 16)[None] / 255


def psnr(image: Image, truth: Image, valid: Mask | None = None, *, peak: float = 1.0) -> float:
    """Peak signal-to-noise ratio over all bands, dB; infinite for equal images."""
    error = _differences(image, truth, valid)
    if not error.size:
        return math.nan
    mean = float(np.mean(error * error))
    return 10 * math.log10(peak * peak / mean) if mean else math.inf


def ssim(image: Image, truth: Image, valid: Mask | None = None, *, peak: float = 1.0) -> float:
    """Structural similarity (Wang et al. 2004): 11 x 11 Gaussian of sigma 1.5, k = 0.01 and 0.03, mean over
    bands.

    Only windows that lie in the image, and on valid pixels, count. The same as scikit-image with
    ``gaussian_weights=True, sigma=1.5, use_sample_covariance=False``.
    """
    require_same_shape(image, truth)
    if min(image.shape[1:]) <= 2 * _SSIM_RADIUS:
        return math.nan
    counted = _whole_windows(valid, image.shape[1:])
    if not counted.any():
        return math.nan
    maps = [_ssim_maps(a.astype(np.float64), b.astype(np.float64), peak)[0] for a, b in zip(image, truth, strict=True)]
    return float(np.mean([each[counted].mean() for each in maps]))


def ms_ssim(image: Image, truth: Image, valid: Mask | None = None, *, peak: float = 1.0) -> float:
    """Multi-scale structural similarity (Wang et al. 2003), mean over bands; sides of at least 161 pixels.

    Contrast and structure at five scales, luminance at the coarsest; means of 2 x 2 pixels lead from one to the
    next. Negative means, which no power has, count as 0.
    """
    require_same_shape(image, truth)
    counted = np.ones(image.shape[1:], bool) if valid is None else valid
    pair = [each.astype(np.float64) for each in (image, truth)]
    product = np.ones(len(image))
    for scale, exponent in enumerate(_SCALES, start=1):
        if min(pair[0].shape[1:]) <= 2 * _SSIM_RADIUS:
            return math.nan
        windows = _whole_windows(counted, pair[0].shape[1:])
        if not windows.any():
            return math.nan
        last = scale == len(_SCALES)
        maps = [_ssim_maps(a, b, peak)[0 if last else 1] for a, b in zip(*pair, strict=True)]
        product *= np.array([max(each[windows].mean(), 0) for each in maps]) ** exponent
        counted = halved(counted) == 1
        pair = [halved(each) for each in pair]
    return float(product.mean())


def halved(image: Image) -> NDArray[np.float64]:
    """Means of 2 x 2 pixels of (..., h, w); an odd last row or column is left out."""
    height, width = (length // 2 for length in image.shape[-2:])
    blocks = image[..., : 2 * height, : 2 * width].reshape(*image.shape[:-2], height, 2, width, 2)
    return np.asarray(blocks.mean((-3, -1), dtype=np.float64))


def sam(image: Image, truth: Image, valid: Mask | None = None) -> float:
    """Spectral angle mapper: mean angle between the spectra of a pixel, degrees; black ones are left out."""
    require_same_shape(image, truth)
    first, second = (_chosen(each, valid) for each in (image, truth))
    lengths = np.linalg.norm(first, axis=0) * np.linalg.norm(second, axis=0)
    lit = lengths > 0
    if not lit.any():
        return math.nan
    cosine = np.sum(first * second, axis=0)[lit] / lengths[lit]
    return float(np.degrees(np.arccos(np.clip(cosine, -1, 1))).mean())


def ergas(image: Image, truth: Image, valid: Mask | None = None, *, scale: float) -> float:
    """Relative dimensionless global error (Wald 2002): ``100 / scale * sqrt(mean((rmse / mean)**2))`` over
    bands.

    ``scale`` is the factor of enlargement. Bands whose mean is zero do not count.
    """
    require_same_shape(image, truth)
    first, second = (_chosen(each, valid) for each in (image, truth))
    if not first.size:
        return math.nan
    square_error, means = np.mean((first - second) ** 2, axis=1), second.mean(1)
    some = means != 0
    return float(100 / scale * np.sqrt(np.mean(square_error[some] / means[some] ** 2))) if some.any() else math.nan


def require_same_shape(image: Image, truth: Image) -> None:
    """Say what is wrong with two images that cannot be compared."""
    if image.shape != truth.shape or image.ndim != 3:
        raise BadInput(
            f"two images (bands, height, width) of one shape are needed, got {image.shape} and {truth.shape}"
        )


def _differences(image: Image, truth: Image, valid: Mask | None) -> NDArray[np.float64]:
    require_same_shape(image, truth)
    return _chosen(image, valid) - _chosen(truth, valid)


def _chosen(image: Image, valid: Mask | None) -> NDArray[np.float64]:
    """(bands, number of valid pixels)"""
    return (image.reshape(len(image), -1) if valid is None else image[:, valid]).astype(np.float64)


def _whole_windows(valid: Mask | None, size: tuple[int, ...]) -> Mask:
    window = 2 * _SSIM_RADIUS + 1
    if valid is None:
        return np.ones([length - window + 1 for length in size], bool)
    rows = sliding_window_view(valid, window, axis=0).all(-1)
    return np.asarray(sliding_window_view(rows, window, axis=1).all(-1))


def _ssim_maps(
    a: NDArray[np.float64], b: NDArray[np.float64], peak: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Similarity of every window, and its part without luminance: contrast and structure."""
    mean_a, mean_b = _gaussian(a), _gaussian(b)
    variance_a = _gaussian(a * a) - mean_a**2
    variance_b = _gaussian(b * b) - mean_b**2
    covariance = _gaussian(a * b) - mean_a * mean_b
    c1, c2 = (0.01 * peak) ** 2, (0.03 * peak) ** 2
    structure = (2 * covariance + c2) / (variance_a + variance_b + c2)
    luminance = (2 * mean_a * mean_b + c1) / (mean_a**2 + mean_b**2 + c1)
    return np.asarray(luminance * structure), np.asarray(structure)


def _gaussian(image: NDArray[np.float64]) -> NDArray[np.float64]:
    """Windows that lie in the image (h, w) only: (h - 10, w - 10)."""
    weights = np.exp(-0.5 * (np.arange(-_SSIM_RADIUS, _SSIM_RADIUS + 1) / _SSIM_SIGMA) ** 2)
    weights /= weights.sum()
    height, width = (length - 2 * _SSIM_RADIUS for length in image.shape)
    rows = np.zeros((height, image.shape[1]))
    for start, weight in enumerate(weights):
        rows += weight * image[start : start + height]
    out = np.zeros((height, width))
    for start, weight in enumerate(weights):
        out += weight * rows[:, start : start + width]
    return out
