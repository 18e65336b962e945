"""Networks in latent diffusion's layout on modules of diffusers: its configurations and its names of tensors.

StableSR and DeeDSR publish their weights in the layout of the latent diffusion that they were trained in
(arXiv:2112.10752); diffusers has the same networks under other names.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

import torch
from diffusers.models.embeddings import TimestepEmbedding, Timesteps
from diffusers.models.resnet import ResnetBlock2D
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention

Rename = Callable[[str], str]

GROUPS = 32
"""Of every group normalisation."""

RESIDUAL = {
    "norm1": "in_layers.0",
    "conv1": "in_layers.2",
    "time_emb_proj": "emb_layers.1",
    "norm2": "out_layers.0",
    "conv2": "out_layers.3",
    "conv_shortcut": "skip_connection",
}
"""Parts of a residual block that knows the time: diffusers' name -> latent diffusion's."""

AUTOENCODER_ATTENTION = {"group_norm": "norm", "to_q": "q", "to_k": "k", "to_v": "v", "to_out.0": "proj_out"}


def residual(channels: int, out_channels: int, *, time_channels: int, down: bool = False) -> Any:
    """A residual block that knows the time; ``down`` halves the size by means."""
    return ResnetBlock2D(
        in_channels=channels,
        out_channels=out_channels,
        temb_channels=time_channels,
        groups=GROUPS,
        eps=1e-5,
        down=down,
    )


class TimeEmbedding(nn.Module):
    """Training times (n) as vectors (n, 4 channels)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.waves = Timesteps(channels, flip_sin_to_cos=True, downscale_freq_shift=0)
        self.embedding = TimestepEmbedding(channels, 4 * channels)

    def forward(self, times: Tensor) -> Tensor:
        return self.embedding(self.waves(times).to(self.embedding.linear_1.weight.dtype))


class SelfAttention(nn.Module):
    """Attention of every pixel to all pixels, added to what came in."""

    def __init__(self, channels: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm = nn.GroupNorm(GROUPS, channels)
        self.qkv = nn.Conv1d(channels, 3 * channels, 1)
        self.proj_out = nn.Conv1d(channels, channels, 1)

    def forward(self, features: Tensor) -> Tensor:
        """(n, channels, height, width); a head's query, key and value lie side by side among the channels."""
        pixels = features.flatten(2)
        parts = self.qkv(self.norm(pixels)).unflatten(1, (self.heads, 3, -1)).transpose(-1, -2)
        seen = scaled_dot_product_attention(*parts.unbind(2)).transpose(-1, -2).flatten(1, 2)
        return (pixels + self.proj_out(seen)).view_as(features)


def unet_config(ldm: Mapping[str, Any]) -> dict[str, Any]:
    """The configuration of diffusers for a UNet of latent diffusion."""
    widths = [ldm["model_channels"] * times for times in ldm["channel_mult"]]
    attentive = [2**level in ldm["attention_resolutions"] for level in range(len(widths))]
    return {
        "sample_size": ldm["image_size"],
        "in_channels": ldm["in_channels"],
        "out_channels": ldm["out_channels"],
        "block_out_channels": widths,
        "layers_per_block": ldm["num_res_blocks"],
        "transformer_layers_per_block": ldm.get("transformer_depth", 1),
        "cross_attention_dim": ldm["context_dim"],
        "attention_head_dim": [width // ldm["num_head_channels"] for width in widths],
        "use_linear_projection": ldm.get("use_linear_in_transformer", False),
        "down_block_types": ["CrossAttnDownBlock2D" if each else "DownBlock2D" for each in attentive],
        "up_block_types": ["CrossAttnUpBlock2D" if each else "UpBlock2D" for each in reversed(attentive)],
    }


def vae_config(ldm: Mapping[str, Any]) -> dict[str, Any]:
    """The configuration of diffusers for an autoencoder of latent diffusion."""
    widths = [ldm["ch"] * times for times in ldm["ch_mult"]]
    return {
        "in_channels": ldm["in_channels"],
        "out_channels": ldm["out_ch"],
        "latent_channels": ldm["z_channels"],
        "block_out_channels": widths,
        "layers_per_block": ldm["num_res_blocks"],
        "down_block_types": ["DownEncoderBlock2D"] * len(widths),
        "up_block_types": ["UpDecoderBlock2D"] * len(widths),
        "norm_num_groups": GROUPS,
    }


def unet_names(config: Mapping[str, Any]) -> Rename:
    """From names in a UNet of diffusers to latent diffusion's, for this configuration of diffusers.

    Latent diffusion numbers its blocks through all levels; a level's resampling is the last of its own.
    """
    layers = config["layers_per_block"]
    attentive = [kind.startswith("CrossAttn") for kind in config["up_block_types"]]
    heads = {
        "conv_in": "input_blocks.0.0",
        "time_embedding.linear_1": "time_embed.0",
        "time_embedding.linear_2": "time_embed.2",
        "conv_norm_out": "out.0",
        "conv_out": "out.2",
        "mid_block.resnets.0": "middle_block.0",
        "mid_block.attentions.0": "middle_block.1",
        "mid_block.resnets.1": "middle_block.2",
    }

    def block(found: re.Match[str]) -> str:
        side, level, kind, index = found[1], int(found[2]), found[3], int(found[4])
        number = level * (layers + 1) + (layers if kind.endswith("samplers") else index)
        if side == "down":
            part = {"resnets": "0", "attentions": "1", "downsamplers": "0"}[kind]
            return f"input_blocks.{number + 1}.{part}"
        after = "2" if attentive[level] else "1"
        part = {"resnets": "0", "attentions": "1"}.get(kind, after)
        return f"output_blocks.{number}.{part}"

    def rename(name: str) -> str:
        for ours, theirs in heads.items():
            if name.startswith(f"{ours}."):
                return residual_name(theirs + name.removeprefix(ours))
        name = name.replace(".downsamplers.0.conv.", ".downsamplers.0.op.")
        return residual_name(re.sub(r"^(down|up)_blocks\.(\d+)\.(\w+)\.(\d+)", block, name))

    return rename


def residual_name(name: str) -> str:
    """With latent diffusion's names for the parts of residual blocks; transformers have the same names in both."""
    if ".transformer_blocks." in name:
        return name
    return re.sub(rf"(?<=\.)({'|'.join(RESIDUAL)})(?=\.)", lambda found: RESIDUAL[found[1]], name)


def vae_names(levels: int) -> Rename:
    """From names in an autoencoder of diffusers with so many levels to latent diffusion's."""

    def block(found: re.Match[str]) -> str:
        side, level, kind, index = found[1], int(found[2]), found[3], found[4]
        level = level if side == "down" else levels - 1 - level
        return f"{side}.{level}." + (f"block.{index}" if kind == "resnets" else kind.removesuffix("rs"))

    def rename(name: str) -> str:
        name = re.sub(r"(down|up)_blocks\.(\d+)\.(\w+)\.(\d+)", block, name)
        name = re.sub(r"mid_block\.resnets\.(\d+)", lambda found: f"mid.block_{int(found[1]) + 1}", name)
        if "mid_block.attentions.0." in name:
            name = name.replace("mid_block.attentions.0.", "mid.attn_1.")
            for ours, theirs in AUTOENCODER_ATTENTION.items():
                name = name.replace(f".{ours}.", f".{theirs}.")
        return name.replace("conv_norm_out", "norm_out").replace("conv_shortcut", "nin_shortcut")

    return rename


def as_linear(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """An autoencoder's tensors with its attention as diffusers has it: 1x1 convolutions are matrices."""
    return {
        name: tensor[:, :, 0, 0] if ".attn_1." in name and tensor.dim() == 4 else tensor
        for name, tensor in tensors.items()
    }


def built(make: Callable[[], nn.Module], device: torch.device | str) -> Any:
    """A network on a device, its weights not loaded, not to be trained."""
    with torch.device(device):
        network = make()
    return network.eval().requires_grad_(False)
