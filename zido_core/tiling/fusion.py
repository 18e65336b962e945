"""Weighted mean of tiles on a canvas (MultiDiffusion eq. 5; SeeSR, StableSR and ZIDO fuse predictions so).

A tile that reaches over the lower or right border goes on at the opposite one, as SpotDiffusion's windows do:
`crop` reads it so, and `Fusion.add` writes it so.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .grid import Size, Tile


def wrap(tile: Tile, canvas: Size) -> Iterator[tuple[Tile, Tile]]:
    """The parts of a tile: where each lies on the canvas, and where in the tile."""
    for row, top, height in _wrap_axis(tile.row, tile.height, canvas.height):
        for col, left, width in _wrap_axis(tile.col, tile.width, canvas.width):
            yield Tile(row, col, height, width), Tile(top, left, height, width)


def crop(canvas: Tensor, tile: Tile) -> Tensor:
    """What a tile sees of a canvas (..., height, width): a copy only where it goes around the border."""
    size = Size(*canvas.shape[-2:])
    parts = list(wrap(tile, size))
    if len(parts) == 1:
        return canvas[..., *parts[0][0].slices]
    seen = canvas.new_empty((*canvas.shape[:-2], *tile.size))
    for there, here in parts:
        seen[..., *here.slices] = canvas[..., *there.slices]
    return seen


class Fusion:
    """Sums of weighted tiles and of weights on a canvas (channels, height, width)."""

    def __init__(
        self,
        shape: Sequence[int],
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float32,
    ) -> None:
        self._sum = torch.zeros(shape, device=device, dtype=dtype)
        self._weight = torch.zeros(shape[1:], device=device, dtype=dtype)

    def weights(self, weights: NDArray[np.float64]) -> Tensor:
        """Tile weights as `add` takes them; 1 at most, so that the tails of the Gaussian do not underflow."""
        return torch.from_numpy(weights / weights.max()).to(self._sum.dtype).to(self._sum.device)

    def add(self, tile: Tile, value: Tensor, weight: Tensor) -> None:
        """Count `value` (channels, height, width) with `weight` (height, width) where `tile` lies."""
        value = value.to(self._sum)
        for there, here in wrap(tile, Size(*self._weight.shape)):
            part = weight[here.slices]
            self._sum[:, *there.slices].addcmul_(value[:, *here.slices], part)
            self._weight[there.slices].add_(part)

    def mean(self) -> Tensor:
        """The weighted mean, (channels, height, width). It takes the place of the sums: add nothing after."""
        if not bool((self._weight > 0).all()):
            missing = int((self._weight <= 0).sum())
            raise ValueError(f"the tiles leave {missing} pixels of the canvas uncovered; use a grid that covers it")
        return self._sum.div_(self._weight)


def _wrap_axis(start: int, length: int, canvas: int) -> Iterator[tuple[int, int, int]]:
    """Pieces of start..start + length on a ring: position on the canvas, position in the tile, length."""
    if not 0 <= start < canvas or length > canvas:
        raise ValueError(f"a tile of {length} px at {start} does not lie on a canvas of {canvas} px")
    first = min(length, canvas - start)
    yield start, 0, first
    if first < length:
        yield 0, first, length - first
