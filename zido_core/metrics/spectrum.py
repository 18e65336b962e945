"""Band mean of an image with its borders faded out, ready for a Fourier transform."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .fidelity import Image, Mask


def windowed(image: Image, valid: Mask | None = None) -> NDArray[np.float64]:
    """Mean of the bands (h, w) of ``image`` (bands, h, w), less its own mean, under a Hann window of power 1.

    Invalid pixels, ``valid`` (h, w) being False, are set to the mean.
    """
    gray = image.mean(0, dtype=np.float64)
    mask = np.ones(gray.shape, bool) if valid is None else valid
    gray = np.where(mask, gray - (gray[mask].mean() if mask.any() else 0), 0)
    window = np.hanning(gray.shape[0] + 2)[1:-1, None] * np.hanning(gray.shape[1] + 2)[1:-1]
    return np.asarray(gray * (window / np.linalg.norm(window)))
