"""How alike two images look: gradients and spectra, without any network.

Images are (bands, height, width), about [0, 1]; bands are averaged first. ``valid`` (height, width) bool.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .fidelity import Image, Mask, halved, require_same_shape
from .spectrum import windowed

_GMSD_C = 170 / 255**2
"""Constant of the gradient similarity for images in [0, 1] (Xue et al. 2014: T = 170 for 0 to 255)."""


def gmsd(image: Image, truth: Image, valid: Mask | None = None) -> float:
    """Gradient magnitude similarity deviation (Xue et al. 2014): 0 for equal images, larger is worse.

    Means of 2 x 2 pixels, Prewitt gradients, standard deviation of their similarity.
    """
    require_same_shape(image, truth)
    if min(image.shape[1:]) < 6:
        return math.nan
    first, second = (_gradient(halved(each.mean(0, dtype=np.float64))) for each in (image, truth))
    similarity = (2 * first * second + _GMSD_C) / (first**2 + second**2 + _GMSD_C)
    if valid is not None:
        similarity = similarity[_without_neighbours(valid)]
    return float(similarity.std()) if similarity.size else math.nan


def radial_spectrum(image: Image, valid: Mask | None = None) -> NDArray[np.float64]:
    """Mean power of the spatial frequencies 0/n, 1/n, ... 1/2 cycles per pixel, n the shorter side, as dB.

    A Hann window keeps the borders out; the mean is removed, invalid pixels are set to it.
    """
    gray = windowed(image, valid)
    power = np.abs(np.fft.rfft2(gray)) ** 2
    side = min(gray.shape)
    radius = np.hypot(np.fft.fftfreq(gray.shape[0])[:, None], np.fft.rfftfreq(gray.shape[1])) * side
    bins = np.rint(radius).astype(np.int64)
    wanted = bins <= side // 2
    count = np.bincount(bins[wanted], minlength=side // 2 + 1)
    total = np.bincount(bins[wanted], power[wanted], minlength=side // 2 + 1)
    return np.asarray(10 * np.log10(total / np.maximum(count, 1) + 1e-12))


def spectrum_distance(image: Image, truth: Image, valid: Mask | None = None) -> float:
    """Mean absolute difference of the radial spectra, dB, without frequency 0; 0 is best.

    A blurred result lacks power at high frequencies, a grainy one has too much; both count alike.
    """
    require_same_shape(image, truth)
    if min(image.shape[1:]) < 4:
        return math.nan
    difference = radial_spectrum(image, valid) - radial_spectrum(truth, valid)
    return float(np.abs(difference[1:]).mean())


def _gradient(gray: NDArray[np.float64]) -> NDArray[Any]:
    """Prewitt magnitude inside the image, (h - 2, w - 2)."""
    columns = (gray[:-2] + gray[1:-1] + gray[2:]) / 3
    rows = (gray[:, :-2] + gray[:, 1:-1] + gray[:, 2:]) / 3
    return np.hypot(columns[:, 2:] - columns[:, :-2], rows[2:] - rows[:-2])


def _without_neighbours(valid: Mask) -> Mask:
    """Pixels of the gradient map that no invalid pixel touches."""
    whole = halved(valid) == 1
    rows = whole[:-2] & whole[1:-1] & whole[2:]
    return np.asarray(rows[:, :-2] & rows[:, 1:-1] & rows[:, 2:])
