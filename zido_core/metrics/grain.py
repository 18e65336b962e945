"""Grain on flat places: sky and water, where invented texture shows first. Arrays as in `fidelity`."""

from __future__ import annotations

import math

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from .fidelity import Image, Mask, luma, require_same_shape

Plane = NDArray[np.float64]

WINDOW = 7
"""Side of the window whose standard deviation is taken, pixels."""

FLAT = 3 / 255
"""A place is flat if no window around it varies more than this in the truth (Y channel)."""

AROUND = 17
"""Side of the neighbourhood that must be flat, so that the ringing of an edge is not taken for grain."""

LEAST_PLACES = 256
"""Fewer flat places than these say nothing."""

_ROUNDING = 1 / 255 / math.sqrt(12)
"""Standard deviation of the rounding to 8 bits: less than this is not grain, but an image drawn by a computer."""


def grain_ratio(image: Image, truth: Image, valid: Mask | None = None) -> float:
    """Local standard deviation on flat places of the truth, divided by that of the truth there; 1 is best.

    Below 1 the result is smoother than the truth, above it is grainier. NaN without flat places.
    """
    require_same_shape(image, truth)
    if min(image.shape[1:]) < WINDOW + AROUND:
        return math.nan
    there = local_deviation(luma(truth)[0])
    counted = flat_places(there)
    if valid is not None:
        counted &= _every(valid, WINDOW)
    if counted.sum() < LEAST_PLACES:
        return math.nan
    here = local_deviation(luma(image)[0])
    return float(np.maximum(here[counted], _ROUNDING).mean() / np.maximum(there[counted], _ROUNDING).mean())


def flat_places(deviation: Plane) -> Mask:
    """Where the whole neighbourhood of a window is flat; the outermost places never are."""
    inner = _every(deviation <= FLAT, AROUND)
    margin = AROUND // 2
    return np.pad(inner, margin)


def local_deviation(gray: Plane) -> Plane:
    """Standard deviation of every window that lies in ``gray`` (h, w): (h - 6, w - 6)."""
    centred = gray - gray.mean()
    mean, square = _mean(centred), _mean(centred * centred)
    return np.sqrt(np.maximum(square - mean * mean, 0))


def _mean(gray: Plane) -> Plane:
    sums = np.pad(gray.cumsum(0).cumsum(1), ((1, 0), (1, 0)))
    n = WINDOW
    return np.asarray((sums[n:, n:] - sums[:-n, n:] - sums[n:, :-n] + sums[:-n, :-n]) / (n * n))


def _every(mask: Mask, side: int) -> Mask:
    rows = sliding_window_view(mask, side, axis=0).all(-1)
    return np.asarray(sliding_window_view(rows, side, axis=1).all(-1))
