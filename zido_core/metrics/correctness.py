"""What an enlargement did with the detail that the input lacks: found it, left it out, or made it up.

The triple of opensr-test (Aybar et al. 2024), by its defaults: normalised difference of every pixel, 16 pixels cut off
at the borders, the result first freed of systematic errors (histogram of the truth, alignment), only pixels where there
is something to find, softmin of three distances. Its other distances need networks. Arrays as in `fidelity`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..errors import BadInput
from .consistency import Shift, phase_shift
from .fidelity import Image, Mask, require_same_shape

Plane = NDArray[np.float64]

BORDER = 16
"""Pixels that are cut off on every side."""

_TEMPERATURE = 0.25
_BEND = 0.05
"""How strongly the borders between the three areas are bent (opensr-test: im_score, om_score, ha_score)."""

_BUSY = 0.75
"""Pixels below this quantile of the difference between input and truth have nothing to be found."""

_FARTHEST = 5.0
"""Larger displacements, in pixels, are mistakes of the correlation rather than of the result."""


@dataclass(frozen=True, kw_only=True)
class Correctness:
    """Shares of the three classes; they sum to 1. NaN where nothing can be compared."""

    improvement: float
    """Detail that the truth has, too; 1 is best."""

    omission: float
    """Detail of the truth that the result lacks, as the input does; 0 is best."""

    hallucination: float
    """Detail that neither the input nor the truth has; 0 is best."""


def correctness(sr: Image, hr: Image, lr: Image, valid: Mask | None = None, *, harmonise: bool = True) -> Correctness:
    """Classify the detail of ``sr`` by the truth ``hr`` (bands, H, W) and the input ``lr`` (bands, h, w), H = n h."""
    require_same_shape(sr, hr)
    if len(lr) != len(hr) or any(large % small for large, small in zip(hr.shape[1:], lr.shape[1:], strict=True)):
        raise BadInput(f"a truth of a whole multiple of the input is needed, got {hr.shape} and {lr.shape}")
    if min(hr.shape[1:]) < 3 * BORDER:
        return Correctness(improvement=math.nan, omission=math.nan, hallucination=math.nan)
    inner = (slice(BORDER, -BORDER),) * 2
    smooth = bilinear(lr.astype(np.float64), hr.shape[1:])[:, *inner]
    made, truth = (each[:, *inner].astype(np.float64) for each in (sr, hr))
    counted = np.ones(truth.shape[1:], bool) if valid is None else valid[inner]
    if not counted.any():
        return Correctness(improvement=math.nan, omission=math.nan, hallucination=math.nan)
    if harmonise:
        # Moving mixes neighbours: what is not known must not leak into what is.
        made = np.where(counted, made, truth)
        made = aligned(matched(made, truth, counted), truth, counted)
    return classify(*(_difference(*pair)[counted] for pair in ((smooth, truth), (made, truth), (made, smooth))))


def classify(reference: Plane, to_truth: Plane, to_input: Plane) -> Correctness:
    """Shares of the classes from the differences input-truth, result-truth and result-input of the same pixels."""
    threshold = np.sort(reference)[max(int(_BUSY * reference.size), 1) - 1]
    busy = (np.stack([reference, to_truth, to_input]) > threshold).any(0)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        improved, omitted = to_truth[busy] / reference[busy], to_input[busy] / reference[busy]
        bend = 1 - np.exp(-(improved + omitted - 1) * _BEND)
        distances = np.stack(
            [improved + omitted * bend, omitted + improved * bend, np.exp(-improved * omitted * _BEND)]
        )
        likely = np.exp(-distances / _TEMPERATURE)
        shares = likely / likely.sum(0)
    known = np.isfinite(shares).all(0)
    means = shares[:, known].mean(1) if known.any() else np.full(3, math.nan)
    return Correctness(improvement=float(means[0]), omission=float(means[1]), hallucination=float(means[2]))


def matched(image: Plane, truth: Plane, valid: Mask) -> Plane:
    """``image`` with the histogram of ``truth``, band by band, both taken where valid."""
    out = image.copy()
    for plane, model in zip(out, truth, strict=True):
        _, place, counts = np.unique(plane[valid], return_inverse=True, return_counts=True)
        wanted, wanted_counts = np.unique(model[valid], return_counts=True)
        ranks, wanted_ranks = (np.cumsum(each) / valid.sum() for each in (counts, wanted_counts))
        plane[valid] = np.interp(ranks, wanted_ranks, wanted)[place]
    return out


def aligned(image: Plane, truth: Plane, valid: Mask) -> Plane:
    """``image`` moved, by linear interpolation, to where ``truth`` has the same content."""
    shift = phase_shift(image, truth, valid)
    if not 0 < shift.length <= _FARTHEST:
        return image
    return _moved(image, shift)


def bilinear(image: Plane, size: tuple[int, ...]) -> Plane:
    """``image`` (bands, h, w) enlarged to ``size`` by linear interpolation between pixel centres."""
    pairs = zip(size, image.shape[1:], strict=True)
    rows, cols = ((np.arange(large) + 0.5) * small / large - 0.5 for large, small in pairs)
    return _sampled(image, rows, cols)


def _moved(image: Plane, shift: Shift) -> Plane:
    _, height, width = image.shape
    return _sampled(image, np.arange(0.0, height) + shift.rows, np.arange(0.0, width) + shift.cols)


def _sampled(image: Plane, rows: Plane, cols: Plane) -> Plane:
    """Linear interpolation where ``rows`` and ``cols`` cross, border pixels repeated."""
    for axis, places in ((1, rows), (2, cols)):
        places = np.clip(places, 0, image.shape[axis] - 1)
        low = np.minimum(places.astype(np.int64), max(image.shape[axis] - 2, 0))
        high = np.minimum(low + 1, image.shape[axis] - 1)
        weight = (places - low).reshape(-1, *(1,) * (2 - axis))
        image = np.take(image, low, axis) * (1 - weight) + np.take(image, high, axis) * weight
    return image


def _difference(a: Plane, b: Plane) -> Plane:
    """(h, w): |a - b| / |a + b|, mean over bands."""
    return np.asarray((np.abs(a - b) / np.abs(a + b + 1e-8)).mean(0))
