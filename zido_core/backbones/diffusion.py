"""Stable Diffusion as it comes: its x4 upscaler, and image to image with its generations 1.5, 2.1 and XL.

The upscaler (Rombach et al. 2022, section 4.4) sees the input's own pixels beside the latents, under as much noise as
it is told. The others begin with the enlarged input under noise; a tile ControlNet, if there is one, holds them to it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ..options import ResolvedOptions
from ..prompts.base import Prompt
from ..tiling.fusion import crop
from ..tiling.grid import Tile
from ..tiling.noise import CONDITION, position_noise
from .diffusion_files import DiffusionParts, load_parts
from .latent_model import LatentBackbone, LatentCondition
from .latents import hint_of, mirrored

FARTHEST_CROP = 8192
"""Pixels from the corner of the whole that XL is told of at the most."""


@dataclass(frozen=True, kw_only=True)
class DiffusionCondition(LatentCondition):
    """What these networks are told besides."""

    seen: Tensor | None
    """(3, H, W) in [-1, 1]: the input under noise, for the upscaler."""
    noise_level: Tensor
    """How much noise that is, as a training time."""
    hint: Tensor | None
    """(channels, H, W): the ControlNet's embedding of the enlarged input."""
    scale: float
    """Weight of the ControlNet."""
    origin: tuple[int, int] | None
    """Where the region begins on the whole canvas, in latents, if XL is told where tiles are cut out; else None."""


class DiffusionBackbone(LatentBackbone[DiffusionParts, DiffusionCondition]):
    """A Stable Diffusion, loaded."""

    load_parts = staticmethod(load_parts)

    def told_more(
        self,
        common: LatentCondition,
        image: Tensor,
        place: Tile,
        prompts: Sequence[Prompt],
        options: ResolvedOptions,
    ) -> DiffusionCondition:
        """Embed the hint, add noise to what the network sees."""
        hint, embedding = None, self.parts.hint_embedding
        if embedding is not None:
            self.placing.ready(*self.parts.denoisers)
            hint = hint_of(embedding, common.image, self.device, self.precision)
        return DiffusionCondition(
            **vars(common),
            seen=self._seen(image, place, options) if self.parts.sees_input else None,
            noise_level=torch.tensor([options.noise_level], device=self.device),
            hint=hint,
            scale=options.controlnet_conditioning_scale,
            origin=(place.row, place.col) if options.size_conditioning == "crop" else None,
        )

    def _seen(self, image: Tensor, place: Tile, options: ResolvedOptions) -> Tensor:
        """The input in its own resolution under the noise of ``noise_level``, which belongs to places."""
        pixels = mirrored(image.numpy(), place.size) * 2 - 1
        noise = torch.from_numpy(position_noise(options.seed, CONDITION, len(pixels), place))
        level = torch.tensor([options.noise_level])
        noisy: Tensor = self.parts.low_res_scheduler.add_noise(pixels[None], noise[None], level)
        return noisy[0].to(self.device, self.precision)

    def predicted(
        self,
        condition: DiffusionCondition,
        crops: Tensor,
        timestep: Tensor,
        tiles: Sequence[Tile],
        prompt_ids: list[int],
    ) -> Tensor:
        """What the network was trained to predict."""
        time, told = timestep.to(self.device), self._told(condition, crops, tiles, prompt_ids)
        controlnet = self.parts.controlnet
        if controlnet is not None and condition.hint is not None:
            hints = torch.stack([crop(condition.hint, tile) for tile in tiles]).to(crops)
            down, middle = controlnet(crops, time, controlnet_cond=hints, conditioning_scale=condition.scale, **told)
            told |= {"down_block_additional_residuals": down, "mid_block_additional_residual": middle}
        if condition.seen is not None:
            seen = torch.stack([crop(condition.seen, tile) for tile in tiles])
            crops = torch.cat([crops, seen.to(crops)], 1)
            told["class_labels"] = condition.noise_level.expand(len(crops))
        prediction: Tensor = self.parts.unet(crops, time, **told)[0]
        return prediction

    def _told(
        self, condition: DiffusionCondition, crops: Tensor, tiles: Sequence[Tile], prompt_ids: list[int]
    ) -> dict[str, Any]:
        """The words of the tiles; for XL also their gist and their sizes."""
        ids = condition.text_ids[prompt_ids]
        told: dict[str, Any] = {
            "encoder_hidden_states": condition.texts.tokens[ids].to(crops.dtype),
            "return_dict": False,
        }
        if self.parts.is_xl:
            assert condition.texts.pooled is not None
            sizes = [self._sizes(tile, condition.origin) for tile in tiles]
            told["added_cond_kwargs"] = {
                "text_embeds": condition.texts.pooled[ids].to(crops.dtype),
                "time_ids": torch.tensor(sizes, device=self.device, dtype=crops.dtype),
            }
        return told

    def _sizes(self, tile: Tile, origin: tuple[int, int] | None) -> tuple[int, ...]:
        """Original size, place of the crop and target size in pixels, as XL is told them of a tile.

        Without ``origin`` it is a picture of its own: told where it is cut out, XL paints it as it was shown such
        cuts, with half of the subject missing. That may be what a tile is: DemoFusion tells where, and so does
        C-Upscale in our reading, up to the size that its paper went to.
        """
        height, width, row, col = (side * self.descriptor.latent_stride for side in (*tile.size, tile.row, tile.col))
        if origin is None:
            return height, width, 0, 0, height, width
        top, left = (
            min(at + start * self.descriptor.latent_stride, FARTHEST_CROP)
            for at, start in zip((row, col), origin, strict=True)
        )
        return height, width, top, left, height, width
