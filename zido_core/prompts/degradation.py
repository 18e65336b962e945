"""How blurred, noisy and compressed a tile is, seen by a small network that comes along (``nets.harm_sense``).

All functions take arrays cut to one tile, so that a level depends on the pixels of that tile only.
"""

from __future__ import annotations

from functools import cache

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from ..embedded import embedded
from ..nets.harm_sense import LEAST, HarmSense

Array = npt.NDArray[np.float32]

HARMFUL = 0.15
"""Levels below this are none: noise of 1 of 255, a blur of 0.3 pixels."""


def ramp(value: npt.ArrayLike, low: float, high: float) -> Array:
    """0 up to ``low``, 1 from ``high`` on, linear between."""
    scaled = np.asarray(np.asarray(value, np.float32) - np.float32(low), np.float32)
    scaled *= np.float32(1.0 / (high - low))
    np.maximum(scaled, np.float32(0.0), out=scaled)
    return np.minimum(scaled, np.float32(1.0), out=scaled)


def blocks_mean(values: Array, side: int = 8) -> Array:
    """Means of the ``side`` x ``side`` blocks of (height, width) values; one mean where fewer fit."""
    height, width = values.shape
    tall, wide = min(side, height), min(side, width)
    rows, cols = height // tall, width // wide
    cut = values[: rows * tall, : cols * wide].reshape(rows, tall, cols, wide)
    return np.asarray(cut.mean(axis=1).mean(axis=-1), dtype=np.float32)


def harm_levels(image: Array) -> tuple[float, float, float]:
    """Levels of blur, noise and compression of a (3, height, width) tile in [0, 1]; constants cannot show any."""
    if np.ptp(image, axis=(1, 2)).max() == 0:
        return 0.0, 0.0, 0.0
    blurred, noisy, compressed = levels_of(torch.from_numpy(image)[None])[0].tolist()
    return blurred, noisy, compressed


@torch.no_grad()
def levels_of(images: Tensor, valid: Tensor | None = None) -> Tensor:
    """Levels (n, 3) in [0, 1] of images (n, 3, h, w), of their pixels (n, h, w) that are valid; small images have none.

    Always in float32.
    """
    if min(images.shape[-2:]) < LEAST:
        return images.new_zeros(len(images), 3)
    with torch.autocast("cpu", enabled=False):
        levels: Tensor = sense()(images, valid).sigmoid()
    return levels


def said(levels: Tensor) -> Tensor:
    """What words say of such levels, (n, 4): blurred, noisy and compressed from ``HARMFUL`` on, else clean."""
    worst = levels.amax(1, keepdim=True)
    return torch.cat([levels * (levels >= HARMFUL), (1 - worst) * (worst < HARMFUL)], 1)


@cache
def sense() -> HarmSense:
    """The network, read once."""
    network = HarmSense()
    network.load_state_dict(embedded("harm").part("harm"))
    return network.eval().requires_grad_(False)
