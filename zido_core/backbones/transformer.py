"""Transformers of diffusion as image to image: PixArt (arXiv:2310.00426) and Stable Diffusion 3 (arXiv:2403.03206)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from ..catalog import ModelDescriptor
from ..options import ResolvedOptions
from ..prompts.base import Prompt
from ..tiling.grid import Tile
from .latent_model import LatentBackbone, LatentCondition
from .transformer_files import PIXART, TransformerParts, load_parts


class TransformerBackbone(LatentBackbone[TransformerParts, LatentCondition]):
    """A transformer of diffusion, loaded."""

    load_parts = staticmethod(load_parts)

    def __init__(
        self,
        descriptor: ModelDescriptor,
        parts: TransformerParts,
        device: torch.device,
        precision: torch.dtype,
        **placing: Any,
    ) -> None:
        super().__init__(descriptor, parts, device, precision, **placing)
        self.latent_channels: int = parts.vae.config.latent_channels

    def told_more(
        self,
        common: LatentCondition,
        image: Tensor,
        place: Tile,
        prompts: Sequence[Prompt],
        options: ResolvedOptions,
    ) -> LatentCondition:
        """Words and the enlarged input are all."""
        return common

    def predicted(
        self,
        condition: LatentCondition,
        crops: Tensor,
        timestep: Tensor,
        tiles: Sequence[Tile],
        prompt_ids: list[int],
    ) -> Tensor:
        """Noise or velocity; the variance that PixArt says as well is not asked for."""
        ids, texts = condition.text_ids[prompt_ids], condition.texts
        told: dict[str, Any] = {
            "encoder_hidden_states": texts.tokens[ids].to(crops.dtype),
            "timestep": timestep.to(self.device).expand(len(crops)),
            "return_dict": False,
        }
        if self.parts.kind == PIXART:
            assert texts.mask is not None
            told["encoder_attention_mask"] = texts.mask[ids]
            told["added_cond_kwargs"] = self._sizes(crops)
        else:
            assert texts.pooled is not None
            told["pooled_projections"] = texts.pooled[ids].to(crops.dtype)
        prediction: Tensor = self.parts.unet(crops, **told)[0][:, : self.latent_channels]
        return prediction

    def _sizes(self, crops: Tensor) -> dict[str, Tensor | None]:
        """What PixArt's larger models are told of a tile: its size in pixels, as if it were a picture of its own."""
        if not self.parts.unet.use_additional_conditions:
            return {"resolution": None, "aspect_ratio": None}
        height, width = (side * self.descriptor.latent_stride for side in crops.shape[-2:])
        return {
            "resolution": crops.new_tensor([[height, width]]).expand(len(crops), -1),
            "aspect_ratio": crops.new_tensor([[height / width]]).expand(len(crops), -1),
        }
