"""HaarPSI, the Haar wavelet-based perceptual similarity index (Reisenhofer et al. 2018). Arrays as in `fidelity`.

Local similarity of Haar coefficients of the two finest scales, weighted by those of the third, of both orientations;
for colour images also the similarity of the two chroma channels. Beyond the border there are zeros, as in the authors'
programs.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from .fidelity import Image, Mask, halved, require_same_shape

Plane = NDArray[np.float64]

_C, _ALPHA = 30.0, 4.2
"""The two constants of the paper, for images of 0 to 255."""

_YIQ = np.array([[0.299, 0.587, 0.114], [0.596, -0.274, -0.322], [0.211, -0.523, 0.312]])


def haarpsi(image: Image, truth: Image, valid: Mask | None = None) -> float:
    """Similarity from 0 to 1, which is an equal image; three bands are red, green and blue, others are averaged."""
    require_same_shape(image, truth)
    if min(image.shape[1:]) < 16:
        return math.nan
    counted = np.ones(image.shape[1:], bool) if valid is None else valid
    # Where nothing is known both are given the same, so that neighbours see no difference.
    pair = [halved(_channels(np.where(counted, each, 0) * 255.0)) for each in (image, truth)]
    similar, weights = _maps([channels[0] for channels in pair])
    if len(pair[0]) == 3:
        chroma = [_similarity(*(np.abs(_box(channels[at], 2) / 4) for channels in pair)) for at in (1, 2)]
        similar.append((chroma[0] + chroma[1]) / 2)
        weights.append((weights[0] + weights[1]) / 2)
    seen = _box(1 - halved(counted), 8) == 0
    return _pooled(np.stack(similar)[:, seen], np.stack(weights)[:, seen])


def _maps(pair: list[Plane]) -> tuple[list[Plane], list[Plane]]:
    """Similarity and weight of every place, for the two orientations."""
    similar, weights = [], []
    for turned in (False, True):
        first, second = ([np.abs(_haar(plane, scale, turned)) for scale in (1, 2, 3)] for plane in pair)
        similar.append(sum((_similarity(first[at], second[at]) for at in (0, 1)), np.zeros(())) / 2)
        weights.append(np.maximum(first[2], second[2]))
    return similar, weights


def _pooled(similar: Plane, weights: Plane) -> float:
    """The weighted mean, taken behind a logistic curve (paper, equation 4)."""
    total = weights.sum()
    if not total:
        return 1.0 if similar.size else math.nan
    mean = float((weights / (1 + np.exp(-_ALPHA * similar))).sum() / total)
    return float((math.log(mean / (1 - mean)) / _ALPHA) ** 2)


def _channels(image: Plane) -> Plane:
    return np.asarray(np.tensordot(_YIQ, image, 1) if len(image) == 3 else image.mean(0, keepdims=True))


def _similarity(a: Plane, b: Plane) -> Plane:
    return np.asarray((2 * a * b + _C) / (a * a + b * b + _C))


def _haar(gray: Plane, scale: int, turned: bool) -> Plane:
    """Haar coefficients of one scale and orientation, at every pixel."""
    side = 2**scale
    half: Plane = np.repeat((1.0, -1.0), side // 2)
    across, along = (np.ones(side), half) if turned else (half, np.ones(side))
    return np.asarray(_filtered(_filtered(gray, across, 0), along, 1) / side)


def _box(gray: Plane, side: int) -> Plane:
    return _filtered(_filtered(gray, np.ones(side), 0), np.ones(side), 1)


def _filtered(gray: Plane, weights: Plane, axis: int) -> Plane:
    """Weighted sums of the pixels from ``-(n/2 - 1)`` to ``n/2`` along an axis, zeros beyond the border."""
    side = len(weights)
    margins = [(0, 0), (0, 0)]
    margins[axis] = (side // 2 - 1, side // 2)
    padded = np.pad(gray, margins)
    out = np.zeros_like(gray)
    for at, weight in enumerate(weights):
        out += weight * padded.take(range(at, at + gray.shape[axis]), axis)
    return out
