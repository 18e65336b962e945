"""Networks with random weights, tiny ones or of full size: their time and memory are real, their images are not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from torch import Tensor

from zido_core.backbones.base import ScheduleSpec
from zido_core.backbones.diffusion import DiffusionBackbone
from zido_core.backbones.diffusion_files import DiffusionParts
from zido_core.backbones.latent_model import LatentCondition
from zido_core.backbones.seesr import HintMode, SeesrBackbone, SeesrCondition
from zido_core.backbones.seesr_files import SeesrParts
from zido_core.backbones.text import Encoded
from zido_core.catalog import describe
from zido_core.nets.seesr import SD2_CONTROLNET, SD2_UNET, build_controlnet, build_unet, take_hint_embedding
from zido_core.tiling.grid import Grid, Size, flush_grid

TINY_UNET: dict[str, Any] = {
    "sample_size": 64,
    "block_out_channels": (32, 64, 128, 128),
    "layers_per_block": 2,
    "cross_attention_dim": 64,
    "attention_head_dim": (2, 4, 8, 8),
    "norm_num_groups": 16,
    "use_linear_projection": True,
}
FULL_UNET, FULL_CONTROLNET = dict(SD2_UNET), dict(SD2_CONTROLNET)
TINY_VAE: dict[str, Any] = {
    "block_out_channels": (16, 32, 48, 48),
    "down_block_types": ("DownEncoderBlock2D",) * 4,
    "up_block_types": ("UpDecoderBlock2D",) * 4,
    "layers_per_block": 2,
    "norm_num_groups": 8,
    "sample_size": 512,
}
FULL_VAE = TINY_VAE | {"block_out_channels": (128, 256, 512, 512), "norm_num_groups": 32}
TOKENS, SEEN_TOKENS, SEEN_WIDTH = 77, 145, 512


def vae(config: dict[str, Any] | None = None, device: str = "cpu") -> Any:
    torch.manual_seed(3)
    with torch.device(device):
        made: Any = AutoencoderKL(**(config or TINY_VAE))
    return made.eval().requires_grad_(False)


def seesr(
    *, full: bool = False, device: str = "cpu", dtype: torch.dtype = torch.float32, hint: HintMode = "canvas"
) -> SeesrBackbone:
    """SeeSR's UNet and ControlNet behind the backbone of every run."""
    torch.manual_seed(1)
    unet = build_unet(FULL_UNET if full else TINY_UNET, device)
    controlnet = build_controlnet(FULL_CONTROLNET if full else TINY_UNET, device)
    for network in (unet, controlnet):
        torch.nn.Module.to(network, dtype)  # diffusers' own would warn of what is not there
    parts = SeesrParts(
        unet=unet,
        controlnet=controlnet,
        hint_embedding=take_hint_embedding(controlnet),
        vae=None,
        text=None,
        schedule=ScheduleSpec(prediction_type="epsilon"),
        weights_hash="",
    )
    backbone = SeesrBackbone(describe("zido"), parts, torch.device(device), dtype)
    backbone.hint = hint
    return backbone


class Words:
    """Random tokens in the place of a text encoder's."""

    paths: tuple[Path, ...] = ()
    networks: tuple[torch.nn.Module, ...] = ()

    def __init__(self, width: int) -> None:
        self.width = width

    def encoded(self, texts: Sequence[str]) -> Encoded:
        return Encoded(tokens=torch.randn(len(texts), TOKENS, self.width))


def stable_diffusion() -> DiffusionBackbone:
    """A tiny Stable Diffusion, image to image, behind the backbone of every run."""
    torch.manual_seed(5)
    parts = DiffusionParts(
        unet=UNet2DConditionModel(**TINY_UNET).eval().requires_grad_(False),
        vae=vae(),
        text=Words(TINY_UNET["cross_attention_dim"]),
        schedule=ScheduleSpec(prediction_type="epsilon"),
        weights_hash="",
        low_res_scheduler=None,
        controlnet=None,
        hint_embedding=None,
    )
    return DiffusionBackbone(describe("c-upscale-sd21"), parts, torch.device("cpu"), torch.float32)


@dataclass(frozen=True, kw_only=True)
class Scene:
    """A canvas of tiles with words and embeddings of their own; all on the CPU, as taggers leave them."""

    grid: Grid
    image: Tensor
    """(3, 8H, 8W) in [0, 1]."""
    words: Tensor
    """(tiles, tokens, channels)."""
    unwanted: Tensor
    """(1, tokens, channels)."""
    seen: Tensor
    """(tiles, tokens, 512)."""
    latents: Tensor
    """(4, H, W)."""

    @classmethod
    def of(cls, side: int, width: int) -> Scene:
        """A square of so many latents, the paper's tiles: 64 with a stride of 32."""
        torch.manual_seed(2)
        grid = flush_grid(Size(side, side), 64, 32)
        return cls(
            grid=grid,
            image=torch.rand(3, 8 * side, 8 * side),
            words=torch.randn(len(grid), TOKENS, width),
            unwanted=torch.randn(1, TOKENS, width),
            seen=torch.randn(len(grid), SEEN_TOKENS, SEEN_WIDTH),
            latents=torch.randn(4, side, side),
        )

    def told(self, backbone: SeesrBackbone) -> SeesrCondition:
        """What the backbone is told once: each text once, the embeddings once, the hint once."""
        count = len(self.grid)
        tokens = torch.cat([self.words, self.unwanted]).to(backbone.device, backbone.precision)
        common = LatentCondition(
            size=Size(*(side // 4 for side in self.image.shape[1:])),
            image=self.image,
            texts=Encoded(tokens=tokens),
            text_ids=torch.tensor([*range(count), *[count] * count]),
        )
        return backbone.told(common, seen=self.seen, seen_ids=[*range(count)] * 2)
