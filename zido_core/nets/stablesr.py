"""The networks of StableSR (Wang et al., IJCV 2024, arXiv:2305.07015), from the paper and the names in its files.

Stable Diffusion 2.1 with modulated residual branches; the time-aware encoder that the modulations look at (Table 7);
and the controllable feature wrapping (CFW), which mixes features of the input into the autoencoder's decoder (eq. 6).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import torch
from diffusers.models.resnet import ResnetBlock2D
from torch import Tensor, nn
from torch.nn.functional import leaky_relu

from .ldm import GROUPS, SelfAttention, TimeEmbedding, built, residual
from .modulated import ModulatedUNet, Structure, encoder_name

SD21_UNET: Mapping[str, Any] = MappingProxyType(
    {
        "sample_size": 64,
        "block_out_channels": (320, 640, 1280, 1280),
        "layers_per_block": 2,
        "cross_attention_dim": 1024,
        "attention_head_dim": (5, 10, 20, 20),
        "use_linear_projection": True,
    }
)
"""Stable Diffusion 2.1 where it differs from the defaults of diffusers."""

GROWTH = 32
"""Channels that every convolution of a dense block adds."""

DENSE_BLOCKS = 3
"""Dense blocks of an RRDB (arXiv:1809.00219)."""

CONVOLUTIONS = 5
"""Of a dense block."""

RESIDUAL_SHARE = 0.2
"""How much of a dense block, and of three in a row, is added to what came in."""


@dataclass(frozen=True, kw_only=True)
class EncoderConfig:
    """The shape of a time-aware encoder."""

    in_channels: int = 4
    """Of the latents."""
    channels: int = 256
    """Of the first level."""
    multipliers: Sequence[int] = (1, 1, 2, 2)
    """Channels of the levels, in those of the first."""
    layers: int = 2
    """Residual blocks of a level."""
    attention_at: Sequence[int] = (1, 2, 4)
    """Reductions of the size at which pixels attend to each other."""
    heads: int = 4
    """Of an attention."""
    out_channels: int = 256
    """Of the maps."""

    @classmethod
    def from_ldm(cls, ldm: Mapping[str, Any]) -> EncoderConfig:
        """From latent diffusion's words."""
        return cls(
            in_channels=ldm["in_channels"],
            channels=ldm["model_channels"],
            multipliers=tuple(ldm["channel_mult"]),
            layers=ldm["num_res_blocks"],
            attention_at=tuple(ldm["attention_resolutions"]),
            heads=ldm["num_heads"],
            out_channels=ldm["out_channels"],
        )

    def to_ldm(self) -> dict[str, Any]:
        """In latent diffusion's words."""
        return {
            "in_channels": self.in_channels,
            "model_channels": self.channels,
            "channel_mult": list(self.multipliers),
            "num_res_blocks": self.layers,
            "attention_resolutions": list(self.attention_at),
            "num_heads": self.heads,
            "out_channels": self.out_channels,
        }

    @property
    def widths(self) -> tuple[int, ...]:
        """Channels of the levels."""
        return tuple(self.channels * times for times in self.multipliers)


class Layer(nn.Module):
    """A residual block that knows the time, and attention."""

    def __init__(self, channels: int, out_channels: int, config: EncoderConfig, *, attentive: bool) -> None:
        super().__init__()
        self.residual = residual(channels, out_channels, time_channels=4 * config.channels)
        self.attention = SelfAttention(out_channels, config.heads) if attentive else None

    def forward(self, features: Tensor, time: Tensor) -> Tensor:
        features = self.residual(features, time)
        return features if self.attention is None else self.attention(features)


class Level(nn.Module):
    """The layers of one resolution, and the step to the next."""

    def __init__(self, channels: int, level: int, config: EncoderConfig) -> None:
        super().__init__()
        width, attentive = config.widths[level], 2**level in config.attention_at
        inputs = [channels, *[width] * (config.layers - 1)]
        self.layers = nn.ModuleList(Layer(each, width, config, attentive=attentive) for each in inputs)
        self.down = None
        if level < len(config.widths) - 1:
            self.down = nn.Conv2d(width, width, 3, stride=2, padding=1)


class Middle(nn.Module):
    """The lowest resolution once more: residual block, attention, residual block."""

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        width, time = config.widths[-1], 4 * config.channels
        self.first = residual(width, width, time_channels=time)
        self.attention = SelfAttention(width, config.heads)
        self.second = residual(width, width, time_channels=time)

    def forward(self, features: Tensor, time: Tensor) -> Tensor:
        return self.second(self.attention(self.first(features, time)), time)


class TimeAwareEncoder(nn.Module):
    """What the input's latents show, at every resolution of the UNet, and how strongly at a time."""

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        self.config = config
        self.time = TimeEmbedding(config.channels)
        self.conv_in = nn.Conv2d(config.in_channels, config.channels, 3, padding=1)
        before = (config.channels, *config.widths)
        self.levels = nn.ModuleList(Level(before[level], level, config) for level in range(len(config.widths)))
        self.middle = Middle(config)
        self.heads = nn.ModuleList(
            residual(width, config.out_channels, time_channels=4 * config.channels) for width in config.widths
        )

    def forward(self, latents: Tensor, times: Tensor) -> Structure:
        """Maps (n, out channels, height, width) from the full resolution down, for training times (n)."""
        time, features = self.time(times), self.conv_in(latents)
        maps: list[Tensor] = []
        level: Any
        for level, head in zip(self.levels, self.heads, strict=True):
            for layer in level.layers:
                features = layer(features, time)
            if level.down is None:
                features = self.middle(features, time)
            maps.append(head(features, time))
            features = features if level.down is None else level.down(features)
        return maps

    def official_name(self, name: str) -> str:
        """From names of this network's tensors to those of the published files, without their prefix."""
        step = self.config.layers + 1

        def block(found: re.Match[str]) -> str:
            level, layer, part = int(found[1]), found[2], found[3]
            if layer is None:
                return f"input_blocks.{step * (level + 1)}.0.op"
            return f"input_blocks.{step * level + int(layer) + 1}.{'0' if part == 'residual' else '1'}"

        return encoder_name(re.sub(r"^levels\.(\d+)\.(?:layers\.(\d+)\.(\w+)|down)", block, name))


class DenseBlock(nn.Module):
    """Five convolutions, each of which sees what came in and all that those before it made."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        for index in range(CONVOLUTIONS):
            out = channels if index == CONVOLUTIONS - 1 else GROWTH
            self.add_module(f"conv{index + 1}", nn.Conv2d(channels + index * GROWTH, out, 3, padding=1))

    def forward(self, features: Tensor) -> Tensor:
        *inner, last = self.children()
        seen = features
        for conv in inner:
            seen = torch.cat([seen, leaky_relu(conv(seen), 0.2)], dim=1)
        return features + RESIDUAL_SHARE * last(seen)


class Rrdb(nn.Module):
    """Residual in residual: three dense blocks, added to what came in (arXiv:1809.00219)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        for index in range(DENSE_BLOCKS):
            self.add_module(f"rdb{index + 1}", DenseBlock(channels))

    def forward(self, features: Tensor) -> Tensor:
        made = features
        for block in self.children():
            made = block(made)
        return features + RESIDUAL_SHARE * made


class Trunk(nn.Sequential):
    """RRDBs in a row, described as one large convolution, so that it can be run in tiles."""

    def __init__(self, channels: int, blocks: int) -> None:
        super().__init__(*(Rrdb(channels) for _ in range(blocks)))
        self.in_channels = self.out_channels = channels
        side = 2 * blocks * DENSE_BLOCKS * CONVOLUTIONS + 1
        self.kernel_size = (side, side)
        """How far it sees, in all."""


class FeatureWrapping(nn.Module):
    """CFW at one resolution: what is to be added, times w, to the decoder's features (eq. 6)."""

    def __init__(self, channels: int, blocks: int = 2) -> None:
        super().__init__()
        self.first = _fusing(2 * channels, channels)
        self.trunk = Trunk(channels, blocks)
        self.last = _fusing(channels, channels)

    def forward(self, encoded: Tensor, decoded: Tensor) -> Tensor:
        """Features (n, channels, height, width) of the input's encoder, and of the decoder."""
        return self.last(self.trunk(self.first(torch.cat([encoded, decoded], dim=1), None)), None)


def _fusing(channels: int, out_channels: int) -> Any:
    """A residual block as the autoencoder has them."""
    kind: Any = ResnetBlock2D
    return kind(in_channels=channels, out_channels=out_channels, temb_channels=None, groups=GROUPS, eps=1e-6)


class Cfw(nn.ModuleDict):
    """CFW at all resolutions that have it: those between the first and the last level of the autoencoder."""

    def __init__(self, widths: Sequence[int], blocks: int = 2) -> None:
        super().__init__({str(level): FeatureWrapping(widths[level], blocks) for level in range(1, len(widths) - 1)})

    def at(self, stride: int) -> FeatureWrapping | None:
        """The wrapping where a feature is ``stride`` output pixels wide."""
        level = str(stride.bit_length() - 1)
        return next((wrapping for name, wrapping in self.items() if name == level), None)  # type: ignore[return-value]

    def official_name(self, name: str) -> str:
        """From names of these tensors to those of the published file."""
        level, _, rest = name.partition(".")
        part, _, rest = rest.partition(".")
        block = {"first": "encode_enc_1", "trunk": "encode_enc_2", "last": "encode_enc_3"}[part]
        return f"decoder.fusion_layer_{level}.{block}.{rest.replace('conv_shortcut', 'conv_out')}"


def build_unet(
    config: Mapping[str, Any] = SD21_UNET, *, structure_channels: int = 256, device: torch.device | str = "meta"
) -> ModulatedUNet:
    """StableSR's UNet by a configuration of diffusers, its weights not loaded."""
    unet: ModulatedUNet = built(
        lambda: ModulatedUNet(config, structure_channels=structure_channels, normalised=True), device
    )
    return unet


def build_encoder(config: EncoderConfig | None = None, device: torch.device | str = "meta") -> TimeAwareEncoder:
    """The time-aware encoder, its weights not loaded."""
    encoder: TimeAwareEncoder = built(lambda: TimeAwareEncoder(config or EncoderConfig()), device)
    return encoder


def build_cfw(
    widths: Sequence[int] = (128, 256, 512, 512), blocks: int = 2, device: torch.device | str = "meta"
) -> Cfw:
    """CFW for an autoencoder with these channels, its weights not loaded."""
    cfw: Cfw = built(lambda: Cfw(widths, blocks), device)
    return cfw
