"""Feature maps that may be larger than the memory of the device, and their moments."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Self

import torch
from torch import Tensor, nn

from ..device import describe_device
from ..tiling.grid import Size, Tile

Allocate = Callable[[int, Size, torch.dtype], Tensor]
"""Makes an uninitialised map (channels, height, width)."""

SHARE = 0.7
"""Part of the free memory that maps may take; the rest is for the tiles in work."""


@dataclass(frozen=True, kw_only=True)
class Moments:
    """Sums over the pixels of a tile or a map, per channel, float64 on the CPU."""

    count: int
    """Pixels."""
    total: Tensor
    """Sum of the values."""
    squares: Tensor
    """Sum of the squared values."""

    @classmethod
    def of(cls, value: Tensor) -> Self:
        """Moments of (channels, height, width), by way of the tile's own mean: nothing cancels in float32."""
        variance, mean = (part.cpu().double() for part in torch.var_mean(value.float(), dim=(1, 2), correction=0))
        count = value.shape[1] * value.shape[2]
        return cls(count=count, total=count * mean, squares=count * (variance + mean**2))

    @property
    def finite(self) -> bool:
        """Whether all values that were summed are."""
        return bool(torch.isfinite(self.squares).all())


class FeatureMap:
    """Features (channels, height, width), written tile by tile. The tiles written must not overlap."""

    def __init__(self, tensor: Tensor) -> None:
        self.tensor = tensor
        self._count = 0
        self._total, self._squares = torch.zeros(2, len(tensor), dtype=torch.float64)

    @property
    def channels(self) -> int:
        return len(self.tensor)

    @property
    def size(self) -> Size:
        return Size(*self.tensor.shape[1:])

    def read(self, tile: Tile, device: torch.device) -> Tensor:
        """What a tile sees, (1, channels, height, width)."""
        return self.tensor[:, *tile.slices].to(device)[None]

    def write(self, tile: Tile, value: Tensor, moments: Moments) -> None:
        """Put a tile (channels, height, width) into its place. Values of a wider type widen the whole map."""
        self.tensor = self.tensor.to(torch.promote_types(self.tensor.dtype, value.dtype))
        self.tensor[:, *tile.slices] = value
        self._count += moments.count
        self._total += moments.total
        self._squares += moments.squares

    def rewritten(self, channels: int) -> FeatureMap:
        """A map of the first channels in the place of this one: each pixel is to be read before it is written."""
        return FeatureMap(self.tensor[:channels])

    def affine(self, norm: nn.GroupNorm, device: torch.device) -> tuple[Tensor, Tensor]:
        """Group normalisation over the whole map as scale and shift (channels, 1, 1), float32."""
        groups = norm.num_groups
        mean = self._total.view(groups, -1).mean(1) / self._count
        variance = self._squares.view(groups, -1).mean(1) / self._count - mean**2
        each = self.channels // groups
        scale = (variance.clamp(min=0) + norm.eps).rsqrt().repeat_interleave(each)
        shift = -mean.repeat_interleave(each) * scale
        if norm.affine:
            weight, bias = norm.weight.cpu().double(), norm.bias.cpu().double()
            scale, shift = scale * weight, shift * weight + bias
        return scale.float().to(device)[:, None, None], shift.float().to(device)[:, None, None]


@contextmanager
def storage(device: torch.device, expected: int) -> Iterator[Allocate]:
    """Where maps of so many bytes in all find room: on the device, else in memory, else in a temporary file."""
    if device.type == "cuda" and expected <= SHARE * _free_on(device):
        yield lambda channels, size, dtype: torch.empty(channels, *size, dtype=dtype, device=device)
    elif expected <= SHARE * describe_device("cpu").free_bytes:
        yield lambda channels, size, dtype: torch.empty(channels, *size, dtype=dtype)
    else:
        with tempfile.TemporaryDirectory(prefix="zido-", ignore_cleanup_errors=True) as folder:
            yield lambda channels, size, dtype: _mapped(Path(folder), (channels, *size), dtype)


def _free_on(device: torch.device) -> int:
    unused = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    return describe_device(str(device)).free_bytes + unused


def _mapped(folder: Path, shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
    """A tensor in a file, which the system writes out where memory is short."""
    handle, name = tempfile.mkstemp(dir=folder)
    os.close(handle)
    tensor = torch.from_file(name, shared=True, size=prod(shape), dtype=dtype)
    with suppress(PermissionError):  # Windows keeps the names of mapped files
        os.remove(name)
    return tensor.view(shape)
