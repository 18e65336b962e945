"""Whether an image is so noisy that its single pixels are hardly worth keeping: looked at once, in a few places."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray

from .nets.harm_sense import looks
from .prompts.degradation import levels_of
from .prompts.vocabulary import LEVELLED
from .raster.source import Source
from .raster.stretch import Stretch
from .setup import Setup
from .tiling.grid import Size, Tile

SIDE = 64
"""Pixels along the side of a place; smaller images are not judged."""

PLACES = 4
"""Places along each axis."""


def noise_of(source: Source, setup: Setup, stretch: Stretch) -> float:
    """Level of the input's noise, 0 to 1: the mean over what some places show; 0 where nothing can be said.

    Seen is what the model sees.
    """
    images, valid = list[NDArray[np.float32]](), list[NDArray[np.bool_]]()
    for place in places(source.info.size):
        raster = source.read(place, setup.bands.model)
        valid.append(np.logical_and.reduce(raster.every_band_valid))
        images.append(setup.bands.to_model(stretch.to_unit(np.where(valid[-1], raster.array, 0))))
    if not images:
        return 0.0
    known = torch.from_numpy(np.stack(valid))
    levels = levels_of(torch.from_numpy(np.stack(images)), known)[:, LEVELLED.index("noisy")]
    weights = looks(known).sum((1, 2))
    return float((levels * weights).sum() / weights.sum().clamp(min=1))


def places(size: Size) -> Iterator[Tile]:
    """Evenly over the image, from its first to its last pixel, row by row."""
    if min(size) >= SIDE:
        rows, cols = map(spread, size)
        yield from (Tile(row, col, SIDE, SIDE) for row in rows for col in cols)


def spread(length: int) -> list[int]:
    """Where places begin along an axis; fewer of them where few cover it."""
    return [round(at) for at in np.linspace(0, length - SIDE, min(PLACES, -(-length // SIDE)))]
