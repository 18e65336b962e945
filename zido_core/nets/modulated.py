"""A UNet of diffusers whose residual branches are modulated, pixel by pixel, by maps of the input's structure.

StableSR's spatial feature transform (arXiv:2305.07015, eq. 1) and DeeDSR's local branch: behind the second convolution
of every residual block, before what came in is added, ``x (1 + gamma) + beta`` with gamma and beta read off the map of
that resolution.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from contextvars import ContextVar
from typing import Any

import torch
from diffusers import UNet2DConditionModel
from diffusers.models.resnet import ResnetBlock2D
from torch import Tensor, nn
from torch.nn.functional import relu

from .ldm import GROUPS, Rename, residual_name, unet_names

HIDDEN = 128
"""Channels between a map and its gamma and beta."""

MODULATION = {
    "norm": "param_free_norm",
    "shared": "mlp_shared.0",
    "gamma": "mlp_gamma",
    "beta": "mlp_beta",
}
"""Parts of a modulation: our name -> that in the published files."""

ENCODER = {
    "conv_in.": "input_blocks.0.0.",
    "time.embedding.linear_1.": "time_embed.0.",
    "time.embedding.linear_2.": "time_embed.2.",
    "middle.first.": "middle_block.0.",
    "middle.attention.": "middle_block.1.",
    "middle.second.": "middle_block.2.",
    "heads.": "fea_tran.",
}
"""Parts of an encoder of the structure: how our names begin -> how the published ones do."""

Structure = Sequence[Tensor]
"""Maps (n, channels, height, width) of the input, one for every resolution of the UNet."""

_structure: ContextVar[Mapping[tuple[int, int], Tensor]] = ContextVar("structure")
"""The maps of the call in progress by (height, width): diffusers hands nothing of its caller's to residual blocks."""


class Modulation(nn.Module):
    """Scale and shift of every pixel, from what lies there in a map of the structure."""

    def __init__(self, channels: int, structure_channels: int, *, normalised: bool) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(GROUPS, channels) if normalised else None
        self.shared = nn.Conv2d(structure_channels, HIDDEN, 3, padding=1)
        self.gamma = nn.Conv2d(HIDDEN, channels, 3, padding=1)
        self.beta = nn.Conv2d(HIDDEN, channels, 3, padding=1)

    def forward(self, features: Tensor, structure: Tensor) -> Tensor:
        seen = relu(self.shared(structure))
        plain = features if self.norm is None else self.norm(features)
        return torch.addcmul(self.beta(seen), plain, self.gamma(seen) + 1)


class ModulatedConv(nn.Module):
    """The second convolution of a residual block, and its modulation."""

    def __init__(self, conv: nn.Module, modulation: Modulation) -> None:
        super().__init__()
        self.conv, self.modulation = conv, modulation

    def forward(self, hidden: Tensor) -> Tensor:
        features = self.conv(hidden)
        height, width = features.shape[-2:]
        return self.modulation(features, _structure.get()[height, width])


class ModulatedUNet(nn.Module):
    """``UNet2DConditionModel`` with every residual block modulated."""

    def __init__(self, config: Mapping[str, Any], *, structure_channels: int, normalised: bool) -> None:
        super().__init__()
        kind: Any = UNet2DConditionModel
        known = inspect.signature(kind).parameters
        self.unet: Any = kind(**{name: value for name, value in config.items() if name in known})
        blocks: list[Any] = [module for module in self.unet.modules() if isinstance(module, ResnetBlock2D)]
        for block in blocks:
            modulation = Modulation(block.out_channels, structure_channels, normalised=normalised)
            block.conv2 = ModulatedConv(block.conv2, modulation)

    def forward(self, latents: Tensor, times: Tensor, context: Tensor, structure: Structure) -> Tensor:
        """The prediction for latents (n, channels, height, width) of training times (n).

        ``context`` (n, tokens, channels) is what the cross-attention looks at.
        """
        token = _structure.set({(each.shape[-2], each.shape[-1]): each for each in structure})
        try:
            (prediction,) = self.unet(latents, times, encoder_hidden_states=context, return_dict=False)
        finally:
            _structure.reset(token)
        return prediction

    @property
    def official_name(self) -> Rename:
        """From names of this network's tensors to those of the published files, without their prefix."""
        plain = unet_names(self.unet.config)

        def rename(name: str) -> str:
            name = name.removeprefix("unet.").replace(".conv2.conv.", ".conv2.")
            block, modulation, part = name.partition(".conv2.modulation.")
            if not modulation:
                return plain(name)
            first, _, kind = part.partition(".")
            return f"{plain(block + '.spade')}.{MODULATION[first]}.{kind}"

        return rename


def is_modulation(name: str) -> bool:
    """Whether a tensor of this official name is the method's own, and not Stable Diffusion's."""
    return ".spade." in name


def encoder_name(name: str) -> str:
    """The published name of what all encoders of the structure have."""
    for ours, theirs in ENCODER.items():
        if name.startswith(ours):
            return residual_name(theirs + name.removeprefix(ours))
    return residual_name(name)
