"""The networks of DeeDSR (Bi et al., ECCV 2024), from the paper and the names in its published code.

A learner turns the input into a description of what harmed it; the adapter looks at the input's latents in the light of
that description. What it sees guides Stable Diffusion in two ways: as tokens in the place of text (global branch), and
as maps that modulate the residual branches (local branch). No weights were ever published.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d, relu, silu

from .ldm import SelfAttention, TimeEmbedding, built, residual
from .modulated import ModulatedUNet, Structure, encoder_name
from .stablesr import SD21_UNET, EncoderConfig, Middle

DESCRIPTION = 1024
"""Length of the description of a degradation."""

LEARNER_LAYERS = (3, 4, 6, 3)
"""Blocks of the learner's levels: those of a ResNet-34."""

LEARNER_WIDTHS = (128, 256, 512, DESCRIPTION)
"""Channels of the learner's levels: twice those of a ResNet-34."""

REDUCTION = 32
"""Of the channels in the middle of a channel attention."""

KERNEL = 3
"""Side of the kernels that are made from the description."""

GLOBAL_UNET: Mapping[str, Any] = MappingProxyType({**SD21_UNET, "cross_attention_dim": 512})
"""Stable Diffusion 2.1 that listens to the adapter's tokens."""

ADAPTER = EncoderConfig(layers=1)
"""The published adapter."""


class BasicBlock(nn.Module):
    """Two convolutions, added to what came in (arXiv:1512.03385)."""

    def __init__(self, channels: int, out_channels: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, out_channels, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(out_channels)
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(out_channels)
        self.downsample = None
        if stride > 1 or channels != out_channels:
            shortcut = nn.Conv2d(channels, out_channels, 1, stride, bias=False)
            self.downsample = nn.Sequential(shortcut, nn.BatchNorm2d(out_channels))

    def forward(self, features: Tensor) -> Tensor:
        made = self.bn2(self.conv2(relu(self.bn1(self.conv1(features)))))
        return relu(made + (features if self.downsample is None else self.downsample(features)))


class DegradationLearner(nn.Module):
    """Describes what harmed an image: a residual network without a head."""

    def __init__(self, layers: Sequence[int] = LEARNER_LAYERS, widths: Sequence[int] = LEARNER_WIDTHS) -> None:
        super().__init__()
        self.widths = widths
        channels = 64
        self.conv1 = nn.Conv2d(3, channels, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.maxpool = nn.MaxPool2d(3, 2, 1)
        for level, (count, width) in enumerate(zip(layers, widths, strict=True)):
            first = BasicBlock(channels, width, 1 if level == 0 else 2)
            rest = (BasicBlock(width, width, 1) for _ in range(count - 1))
            self.add_module(f"layer{level + 1}", nn.Sequential(first, *rest))
            channels = width

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Of images (n, 3, height, width) in [0, 1]: tokens (n, places, widths[-1]), row by row, and their mean."""
        features = self.maxpool(relu(self.bn1(self.conv1(image))))
        for level in range(len(self.widths)):
            features = self.get_submodule(f"layer{level + 1}")(features)
        return features.flatten(2).transpose(1, 2), features.mean((2, 3))


class ChannelAttention(nn.Module):
    """How much each channel counts under a degradation: 0 to 2."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        inner = channels // REDUCTION
        self.conv_du = nn.Sequential(
            nn.Conv2d(channels, inner, 1, bias=False), nn.SiLU(), nn.Conv2d(inner, channels, 1, bias=False)
        )

    def forward(self, features: Tensor, description: Tensor) -> Tensor:
        return features * torch.sigmoid(self.conv_du(description[:, :, None, None])) * 2


class DegradationConv(nn.Module):
    """A convolution of every channel alone, by kernels made from the description, and channel attention."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.kernel = nn.Sequential(
            nn.Linear(channels, channels, bias=False),
            nn.SiLU(),
            nn.Linear(channels, channels * KERNEL**2, bias=False),
        )
        self.conv = nn.Conv2d(channels, channels, 1)
        self.ca = ChannelAttention(channels)

    def forward(self, features: Tensor, description: Tensor) -> Tensor:
        count, channels, *size = features.shape
        kernels = self.kernel(description).view(count * channels, 1, KERNEL, KERNEL)
        sharpened = conv2d(
            features.reshape(1, count * channels, *size), kernels, padding=KERNEL // 2, groups=count * channels
        ).view_as(features)
        return self.conv(silu(sharpened)) + self.ca(features, description)


class DegradationBlock(nn.Module):
    """Convolutions that know the degradation, and others that do not, in turn."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.da_conv1 = DegradationConv(channels)
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1)
        self.da_conv2 = DegradationConv(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, features: Tensor, description: Tensor) -> Tensor:
        made = silu(self.conv1(silu(self.da_conv1(features, description))))
        return self.conv2(silu(self.da_conv2(made, description)))


class DegradationGroup(nn.Module):
    """What a level makes of its features in the light of the description, added to them."""

    def __init__(self, channels: int, description: int) -> None:
        super().__init__()
        self.chain = nn.Sequential(nn.Linear(description, channels, bias=False), nn.SiLU())
        self.body = nn.ModuleList([DegradationBlock(channels), nn.Conv2d(channels, channels, 3, padding=1)])

    def forward(self, features: Tensor, description: Tensor) -> Tensor:
        block, conv = self.body
        return features + conv(block(features, self.chain(description)))


class AdapterLevel(nn.Module):
    """One resolution: residual block, degradation, attention; and the step to the next."""

    def __init__(self, channels: int, level: int, config: EncoderConfig, description: int) -> None:
        super().__init__()
        width, time = config.widths[level], 4 * config.channels
        last = level == len(config.widths) - 1
        self.residual = residual(channels, width, time_channels=time)
        self.degraded = DegradationGroup(width, description)
        self.attention = SelfAttention(width, config.heads) if 2**level in config.attention_at else None
        self.down = None if last else residual(width, width, time_channels=time, down=True)

    def forward(self, features: Tensor, time: Tensor, description: Tensor) -> Tensor:
        """Without the step."""
        features = self.degraded(self.residual(features, time), description)
        return features if self.attention is None else self.attention(features)


class DegradationAdapter(nn.Module):
    """The input's latents in the light of its degradation: maps for the local branch, tokens for the global one."""

    def __init__(
        self, config: EncoderConfig, learner: Sequence[int] | None, widths: Sequence[int] = LEARNER_WIDTHS
    ) -> None:
        super().__init__()
        if config.layers != 1:
            raise ValueError(f"the adapter has {config.layers} residual blocks a level; expected 1, as published")
        self.time = TimeEmbedding(config.channels)
        self.conv_in = nn.Conv2d(config.in_channels, config.channels, 3, padding=1)
        before = (config.channels, *config.widths)
        self.levels = nn.ModuleList(
            AdapterLevel(before[level], level, config, widths[-1]) for level in range(len(config.widths))
        )
        self.middle = Middle(config)
        self.heads = nn.ModuleList(
            residual(width, config.out_channels, time_channels=4 * config.channels) for width in config.widths
        )
        self.learner = None if learner is None else DegradationLearner(learner, widths)

    def forward(self, latents: Tensor, times: Tensor, description: Tensor) -> tuple[Structure, Tensor]:
        """Maps from the full resolution down, and tokens (n, places, channels); ``description`` is the learner's."""
        time, features = self.time(times), self.conv_in(latents)
        maps: list[Tensor] = []
        level: Any
        for level, head in zip(self.levels, self.heads, strict=True):
            features = level(features, time, description)
            maps.append(head(features, time))
            features = features if level.down is None else level.down(features, time)
        return maps, self.middle(features, time).flatten(2).transpose(1, 2)

    @staticmethod
    def official_name(name: str) -> str:
        """From names of this network's tensors to those of the published layout, without their prefix."""
        if name.startswith("learner."):
            return name.replace("learner.", "degrad_encoder.", 1)

        def block(found: re.Match[str]) -> str:
            number = 2 * int(found[1]) + 1
            part = {"residual": "0", "degraded": "1", "attention": "2"}.get(found[2])
            return f"input_blocks.{number + 1}.0" if part is None else f"input_blocks.{number}.{part}"

        degraded, name = ".degraded." in name, re.sub(r"^levels\.(\d+)\.(\w+)", block, name)
        return name if degraded else encoder_name(name)


def build_unet(
    config: Mapping[str, Any] = GLOBAL_UNET, *, structure_channels: int = 256, device: torch.device | str = "meta"
) -> ModulatedUNet:
    """DeeDSR's UNet by a configuration of diffusers, its weights not loaded."""
    unet: ModulatedUNet = built(
        lambda: ModulatedUNet(config, structure_channels=structure_channels, normalised=False), device
    )
    return unet


def build_adapter(
    config: EncoderConfig = ADAPTER,
    *,
    learner: Sequence[int] | None = LEARNER_LAYERS,
    widths: Sequence[int] = LEARNER_WIDTHS,
    device: torch.device | str = "meta",
) -> DegradationAdapter:
    """The adapter, with its learner unless that is None, its weights not loaded; ``widths`` are the learner's."""
    adapter: DegradationAdapter = built(lambda: DegradationAdapter(config, learner, widths), device)
    return adapter


def build_learner(
    layers: Sequence[int] = LEARNER_LAYERS,
    device: torch.device | str = "meta",
    *,
    widths: Sequence[int] = LEARNER_WIDTHS,
) -> DegradationLearner:
    """The learner alone, its weights not loaded."""
    learner: DegradationLearner = built(lambda: DegradationLearner(layers, widths), device)
    return learner
