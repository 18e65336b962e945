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
