"""How much each pixel of a tile counts where tiles overlap."""

from __future__ import annotations

import math
from typing import assert_never

import numpy as np
from numpy.typing import NDArray

from ..catalog import TileWeights
from .grid import Size

GAUSSIAN_VARIANCE = 0.01
"""Of a tile side; Mixture of Diffusers, SeeSR and StableSR all use it."""


def tile_weights(kind: TileWeights, size: Size) -> NDArray[np.float64]:
    """Weights of the pixels of a tile, (height, width), all above zero; only their ratios matter.

    ``uniform``: MultiDiffusion (arXiv:2302.08113) and ZIDO. ``gaussian``: Mixture of Diffusers
    (arXiv:2302.02412), as published: the peak lies at (width - 1) / 2 but at height / 2, and edges count so
    little that blending is nearly a cut. ``cosine``: symmetric and gentle; with half a tile of overlap the
    weights of neighbours sum to one.
    """
    if kind == "uniform":
        return np.ones(size)
    if kind == "gaussian":
        return np.outer(_bell(size.height, size.height / 2), _bell(size.width, (size.width - 1) / 2))
    if kind == "cosine":
        return np.outer(_raised_cosine(size.height), _raised_cosine(size.width))
    assert_never(kind)


def _bell(length: int, peak: float) -> NDArray[np.float64]:
    distance = (np.arange(length) - peak) / length
    density: NDArray[np.float64] = np.exp(-(distance**2) / (2 * GAUSSIAN_VARIANCE))
    return density / math.sqrt(2 * math.pi * GAUSSIAN_VARIANCE)


def _raised_cosine(length: int) -> NDArray[np.float64]:
    wave: NDArray[np.float64] = np.sin(np.pi * (np.arange(length) + 0.5) / length)
    return wave**2
