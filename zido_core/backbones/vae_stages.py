"""The autoencoder of diffusers as a sequence of layers, grouped by resolution; and what running them takes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any

from diffusers.models.attention_processor import Attention
from diffusers.models.resnet import ResnetBlock2D
from torch import nn

from ..errors import InvalidOptions
from ..tiling.grid import Size
from .feature_maps import FeatureMap
from .lockstep import LAYERS, Head, Lockstep, size_after, work_of

Tap = Callable[[int, FeatureMap, Lockstep], FeatureMap]
"""Sees the features of a level before they are resampled, and answers with what goes on; the number is the level's
output pixels per feature pixel. A map that goes on may be overwritten: copy what is to be kept."""


@dataclass(frozen=True, kw_only=True)
class Stage:
    """Layers of one resolution."""

    layers: tuple[nn.Module, ...]
    """Convolutions, residual blocks, attentions, in order."""
    stride: int | None = None
    """Output pixels per feature pixel, for taps; None where no tap looks: before, in and after the middle."""
    resample: nn.Module | None = None
    """What leads to the next resolution."""

    def __post_init__(self) -> None:
        for layer in (*self.layers, *(() if self.resample is None else (self.resample,))):
            if not isinstance(layer, LAYERS):
                raise InvalidOptions(
                    f"this VAE has a layer {type(layer).__name__}, which cannot be tiled; expected those of "
                    "Stable Diffusion's. Choose --vae off"
                )


def decoder_stages(decoder: Any) -> tuple[Stage, ...]:
    """The middle block first, then a stage for every level, then the head."""
    stages = [Stage(layers=(decoder.conv_in, *_layers(decoder.mid_block)))]
    stride = 2 ** sum(block.upsamplers is not None for block in decoder.up_blocks)
    for block in decoder.up_blocks:
        resample = None if block.upsamplers is None else block.upsamplers[0]
        stages.append(Stage(layers=_layers(block), stride=stride, resample=resample))
        stride //= 1 if resample is None else 2
    return (*stages, Stage(layers=(Head(decoder),)))


def encoder_stages(encoder: Any) -> tuple[Stage, ...]:
    """A stage for every level, then the middle, then the head."""
    stages: list[Stage] = []
    first: tuple[nn.Module, ...] = (encoder.conv_in,)
    stride = 1
    for block in encoder.down_blocks:
        resample = None if block.downsamplers is None else block.downsamplers[0]
        stages.append(Stage(layers=(*first, *_layers(block)), stride=stride, resample=resample))
        stride, first = stride * (1 if resample is None else 2), ()
    return (*stages, Stage(layers=_layers(encoder.mid_block)), Stage(layers=(Head(encoder),)))


def run(lockstep: Lockstep, source: FeatureMap, stages: Sequence[Stage], tap: Tap | None = None) -> FeatureMap:
    """All layers in order."""
    for stage in stages:
        for layer in stage.layers:
            source = lockstep.layer(source, layer)
        if tap is not None and stage.stride is not None:
            source = tap(stage.stride, source, lockstep)
        if stage.resample is not None:
            source = lockstep.layer(source, stage.resample)
    return source


def size_of(size: Size, stages: Sequence[Stage]) -> Size:
    """Size of what comes out."""
    for stage in stages:
        size = size if stage.resample is None else size_after(size, stage.resample)
    return size


def work(size: Size, stages: Sequence[Stage]) -> float:
    """Multiplications, about."""
    return sum(work_of(layer, after, before) for layer, before, after in _sizes(size, stages))


def peak_numbers(size: Size, stages: Sequence[Stage]) -> int:
    """Most numbers in maps at any time: what ``lockstep`` reads and writes, without the tiles in work."""
    most, held = 0, 0
    for layer, _, after in _sizes(size, stages):
        pixels = after.height * after.width
        if isinstance(layer, ResnetBlock2D):
            fits = layer.out_channels * pixels <= held
            most = max(most, held + layer.out_channels * pixels * (1 if fits else 2))
            held = held if fits else layer.out_channels * pixels
        elif isinstance(layer, Attention):
            tokens = layer.to_q.in_features * pixels
            most, held = max(most, held + 4 * tokens), tokens
        else:
            written = (layer.conv if isinstance(layer, Head) else layer).out_channels * pixels
            most, held = max(most, held + written), written
    return most


def _sizes(size: Size, stages: Sequence[Stage]) -> Iterator[tuple[Any, Size, Size]]:
    for stage in stages:
        for layer in stage.layers:
            yield layer, size, size
        if stage.resample is not None:
            after = size_after(size, stage.resample)
            yield stage.resample, size, after
            size = after


def _layers(block: Any) -> tuple[nn.Module, ...]:
    """Residual blocks and attentions by turns, as the middle block and the blocks with attention run them."""
    attentions = getattr(block, "attentions", ())
    pairs = zip_longest(block.resnets, attentions)
    return tuple(layer for pair in pairs for layer in pair if layer is not None)
