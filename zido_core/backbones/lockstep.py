"""Layers of a convolutional network on maps of any size: in tiles, and equal to the whole but for rounding.

Every layer runs over all tiles of its map before the next layer begins. A tile therefore reads the few pixels around
it that a convolution sees from the map itself, and a normalisation knows the moments of the whole map: no tile is
padded by the reach of the whole network, nothing is computed twice, and nothing is blended.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from math import isqrt
from typing import Any

import torch
from diffusers.models.attention_processor import Attention
from diffusers.models.downsampling import Downsample2D
from diffusers.models.resnet import ResnetBlock2D
from diffusers.models.upsampling import Upsample2D
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.functional import scaled_dot_product_attention

from ..errors import NotFinite
from ..tiling.grid import Size, Tile, partition
from .feature_maps import Allocate, FeatureMap, Moments

QUERIES = 8192
"""Pixels that ask at once in an attention whose kernel keeps no scores."""

SCORES = 2**26
"""Scores in memory at once, where the kernel keeps them."""

Affine = tuple[Tensor, Tensor]
Before = Callable[[Tensor], Tensor]
"""What happens to a tile (1, channels, height, width) before it is convolved."""


@dataclass(frozen=True, kw_only=True)
class Residual:
    """What is added to the result of a convolution."""

    source: FeatureMap
    """Of the result's size. The result takes its place."""
    shortcut: nn.Module | None
    """1x1 convolution to the result's channels."""
    divisor: float
    """Of the sum."""


class Head(nn.Module):
    """The last layer of a diffusers encoder or decoder: normalise, activate, convolve."""

    def __init__(self, network: Any) -> None:
        super().__init__()
        self.norm, self.activation, self.conv = network.conv_norm_out, network.conv_act, network.conv_out


LAYERS = (nn.Conv2d, Upsample2D, Downsample2D, ResnetBlock2D, Attention, Head)
"""What can be run."""


@dataclass(frozen=True, kw_only=True)
class Lockstep:
    """How layers are run."""

    device: torch.device
    """What computes."""
    dtype: torch.dtype
    """In which type; tiles that are not finite in it are computed again in float32."""
    tile_numbers: float
    """Most numbers (pixels times channels) of a tile."""
    allocate: Allocate
    """Where maps are kept."""
    place: Tile
    """What the maps cover, output pixels: errors say where a tile lies."""
    on_work: Callable[[float], None]
    """Told how much more is done, in multiplications; may raise Cancelled."""
    measure: Callable[[nn.GroupNorm, FeatureMap], Affine] | None = None
    """Answers with a normalisation's scale and shift; None: from the moments of the map."""

    def layer(self, source: FeatureMap, layer: Any) -> FeatureMap:
        """One of ``LAYERS``. The source may be overwritten; what a head gives is float32."""
        if isinstance(layer, Head):
            before = self.normalised(source, layer.norm, layer.activation)
            return self.convolve(source, layer.conv, before=before, dtype=torch.float32)
        if isinstance(layer, ResnetBlock2D):
            return self.resnet(source, layer)
        if isinstance(layer, Attention):
            return self.attention(source, layer)
        return self.convolve(source, layer)

    def resnet(self, source: FeatureMap, block: Any) -> FeatureMap:
        """Normalise, activate, convolve, twice; and what came in is added."""
        hidden = self.convolve(source, block.conv1, before=self.normalised(source, block.norm1, block.nonlinearity))
        return self.convolve(
            hidden,
            block.conv2,
            before=self.normalised(hidden, block.norm2, block.nonlinearity),
            residual=Residual(source=source, shortcut=block.conv_shortcut, divisor=block.output_scale_factor),
        )

    def normalised(self, source: FeatureMap, norm: nn.GroupNorm, activation: Callable[[Tensor], Tensor]) -> Before:
        """Normalisation by the moments of all of a map, then the activation."""
        scale, shift = source.affine(norm, self.device) if self.measure is None else self.measure(norm, source)
        return lambda seen: activation(torch.addcmul(shift, seen.float(), scale))

    def convolve(
        self,
        source: FeatureMap,
        module: Any,
        *,
        before: Before | None = None,
        residual: Residual | None = None,
        dtype: torch.dtype | None = None,
    ) -> FeatureMap:
        """A convolution, also one that doubles or halves the size; the result is kept as ``dtype``."""
        size = size_after(source.size, module)
        out = self._room(module.out_channels, size, dtype or self.dtype, residual)
        for tile in self._tiles(size, module, max(source.channels, module.out_channels)):
            value, moments = self._finite(
                lambda dtype, tile=tile: self._convolved(  # type: ignore[misc]  # the tile of this round
                    source, module, before, residual, tile, dtype
                ),
                tile,
                size,
            )
            out.write(tile, value, moments)
            layers = (module,) if residual is None or residual.shortcut is None else (module, residual.shortcut)
            self.on_work(sum(work_of(layer, tile.size) for layer in layers))
        return out

    def _convolved(
        self,
        source: FeatureMap,
        module: Any,
        before: Before | None,
        residual: Residual | None,
        tile: Tile,
        dtype: torch.dtype,
    ) -> Tensor:
        region, inner = _seen(tile, source.size, module)
        seen = source.read(region, self.device)
        value = in_type(module, (seen if before is None else before(seen)).to(dtype))[..., *inner.slices]
        if residual is None:
            return value[0]
        beside = residual.source.read(tile, self.device).to(dtype)
        if residual.shortcut is not None:
            beside = in_type(residual.shortcut, beside)
        return beside.add(value).div_(residual.divisor)[0]

    def attention(self, source: FeatureMap, attention: Any) -> FeatureMap:
        """Attention of every pixel to all pixels; some rows ask at a time, so memory stays bounded."""
        before = self.normalised(source, attention.group_norm, nn.Identity())
        whole = Tile.whole(source.size)

        def attended(dtype: torch.dtype) -> FeatureMap | None:
            tokens = before(source.read(whole, self.device)).to(dtype).flatten(2).transpose(1, 2)
            key, value = (_heads(in_type(part, tokens), attention) for part in (attention.to_k, attention.to_v))
            out = self._room(source.channels, source.size, self.dtype, None)
            for rows in self._bands(source.size):
                start, stop = rows.row * rows.width, rows.bottom * rows.width
                query = _heads(in_type(attention.to_q, tokens[:, start:stop]), attention)
                answer = scaled_dot_product_attention(query, key, value).transpose(1, 2).flatten(2)
                result = in_type(attention.to_out[0], answer).transpose(1, 2).reshape(1, -1, *rows.size)
                if attention.residual_connection:
                    result = result + source.read(rows, self.device).to(dtype)
                result = result[0] / attention.rescale_output_factor
                moments = Moments.of(result)
                if not moments.finite:
                    return None
                out.write(rows, result, moments)
                self.on_work(work_of(attention, rows.size, source.size))
            return out

        for dtype in self._types:
            done = attended(dtype)
            if done is not None:
                return done
        raise not_finite(self.place)

    @property
    def _types(self) -> tuple[torch.dtype, ...]:
        return tuple(dict.fromkeys((self.dtype, torch.float32)))

    def _finite(self, compute: Callable[[torch.dtype], Tensor], tile: Tile, size: Size) -> tuple[Tensor, Moments]:
        for dtype in self._types:
            value = compute(dtype)
            moments = Moments.of(value)
            if moments.finite:
                return value, moments
        raise not_finite(self._place(tile, size))

    def _place(self, tile: Tile, size: Size) -> Tile:
        (row, height), (col, width) = (
            (first + start * side // whole, length * side // whole)
            for first, side, start, length, whole in (
                (self.place.row, self.place.height, tile.row, tile.height, size.height),
                (self.place.col, self.place.width, tile.col, tile.width, size.width),
            )
        )
        return Tile(row, col, height, width)

    def _room(self, channels: int, size: Size, dtype: torch.dtype, residual: Residual | None) -> FeatureMap:
        if residual is not None and channels <= residual.source.channels:
            return residual.source.rewritten(channels)
        return FeatureMap(self.allocate(channels, size, dtype))

    def _tiles(self, size: Size, module: Any, channels: int) -> Iterator[Tile]:
        side = max(isqrt(int(min(self.tile_numbers / channels, 2**60))), 1)
        if isinstance(module, Upsample2D):
            return partition(size, max(side - side % 2, 2), multiple=2)
        return partition(size, side)

    def _bands(self, size: Size) -> Iterator[Tile]:
        pixels = size.height * size.width
        queries = QUERIES if self.device.type in ("cpu", "cuda") else min(QUERIES, SCORES // pixels)
        rows = max(queries // size.width, 1)
        for row in range(0, size.height, rows):
            yield Tile(row, 0, min(rows, size.height - row), size.width)


def size_after(size: Size, module: Any) -> Size:
    """Size of a map after a layer."""
    if isinstance(module, Upsample2D):
        return size.scaled(2)
    return Size(size.height // 2, size.width // 2) if isinstance(module, Downsample2D) else size


def work_of(layer: Any, size: Size, keys: Size | None = None) -> float:
    """Multiplications for so many pixels of a layer's result; ``keys`` is the size of what attention looks at."""
    if isinstance(layer, ResnetBlock2D):
        parts = (layer.conv1, layer.conv2, *(() if layer.conv_shortcut is None else (layer.conv_shortcut,)))
        return sum(work_of(part, size) for part in parts)
    if isinstance(layer, Head):
        return work_of(layer.conv, size)
    each = sum(parameter.numel() for parameter in layer.parameters())
    if isinstance(layer, Attention) and keys is not None:
        each += 2 * layer.to_q.in_features * keys.height * keys.width
    return float(each * size.height * size.width)


def not_finite(tile: Tile) -> NotFinite:
    """The error for a tile (output pixels) that float32 does not save either."""
    return NotFinite(
        f"the VAE gives NaN or infinity for the tile of {tile.height}x{tile.width} output pixels at row "
        f"{tile.row}, column {tile.col}, also in float32; expected finite numbers: its weights may be damaged"
    )


def in_type(module: Any, value: Tensor) -> Tensor:
    """Run a module in the type of its input, whatever the type of its weights."""
    if next(module.parameters()).dtype == value.dtype:
        result: Tensor = module(value)
    else:
        weights = {name: weight.to(value.dtype) for name, weight in module.named_parameters()}
        result = functional_call(module, weights, (value,))
    return result


def _seen(tile: Tile, source: Size, module: Any) -> tuple[Tile, Tile]:
    """The pixels of the source that a tile of the result depends on, and the tile within their result.

    At the borders of the map nothing is added, so that the module's own padding stands where it belongs.
    """
    if isinstance(module, Downsample2D):
        # Three pixels from 2i on: diffusers pads below and on the right only.
        below, right = (min(2 * end + 1, side) for end, side in zip((tile.bottom, tile.right), source, strict=True))
        row, col = 2 * tile.row, 2 * tile.col
        return Tile(row, col, below - row, right - col), Tile.whole(tile.size)
    if isinstance(module, Upsample2D):
        region = tile.scaled(Fraction(1, 2)).pad(1, source)
        return region, tile.shifted(-2 * region.row, -2 * region.col)
    region = tile.pad(module.kernel_size[0] // 2, source)
    return region, tile.shifted(-region.row, -region.col)


def _heads(tokens: Tensor, attention: Any) -> Tensor:
    """(1, pixels, channels) -> (1, heads, pixels, channels of a head)."""
    count, channels = tokens.shape[1:]
    return tokens.reshape(1, count, attention.heads, channels // attention.heads).transpose(1, 2)
