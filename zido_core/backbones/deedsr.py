"""DeeDSR (Bi et al., ECCV 2024): Stable Diffusion 2.1 that is told by images what harmed the input and what it shows.

A learner describes the degradation of every tile. In its light an adapter looks at the input's latents, and speaks to
the UNet in two ways: by tokens in the place of words (global branch), and by maps that modulate it (local branch).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from ..options import ResolvedOptions
from ..prompts.base import Prompt
from ..tiling.fusion import crop
from ..tiling.grid import Tile
from .deedsr_files import DeedsrParts, load_parts
from .latent_model import LatentBackbone, LatentCondition
from .latents import latents_of, mirrored
from .text import Encoded


@dataclass(frozen=True, kw_only=True)
class DeedsrCondition(LatentCondition):
    """What these networks are told besides."""

    latents: Tensor
    """(4, H, W): those of the enlarged input."""
    pixels: Tensor
    """(3, h, w) in [0, 1], on the CPU: the input in its own resolution, mirrored where the canvas is larger."""
    described: dict[Tile, Tensor] = field(default_factory=dict)
    """What the learner has said of tiles: a description depends on neither time nor latents."""


class DeedsrBackbone(LatentBackbone[DeedsrParts, DeedsrCondition]):
    """DeeDSR, loaded."""

    load_parts = staticmethod(load_parts)

    def encoded(self, prompts: Sequence[Prompt]) -> tuple[Encoded, Tensor]:
        """There are no words."""
        return Encoded(tokens=torch.empty(1, 0, 0)), torch.zeros(len(prompts), dtype=torch.long)

    def told_more(
        self,
        common: LatentCondition,
        image: Tensor,
        place: Tile,
        prompts: Sequence[Prompt],
        options: ResolvedOptions,
    ) -> DeedsrCondition:
        """The latents of the input, and the input itself for the learner."""
        return DeedsrCondition(
            **vars(common),
            latents=self.latents_of(common),
            pixels=mirrored(image.numpy(), place.size.scaled(self._pixels)),
        )

    @property
    def _pixels(self) -> int:
        """Input pixels per latent along a side."""
        return self.descriptor.latent_stride // self.descriptor.native_scale

    def latents_of(self, condition: LatentCondition) -> Tensor:
        """As every model's, unless this one was trained on inputs in [0, 1]."""
        self.placing.ready(*self.parts.painters)
        shown = (condition.image + 1) / 2 if self.parts.unit_input else condition.image
        return latents_of(self.parts.vae, shown, condition.vae, condition.on_work).to(self.device)

    def encode(self, condition: DeedsrCondition) -> Tensor:
        """The latents of the enlarged input: their mean, where the published code draws from its tiny variance."""
        return condition.latents

    def predicted(
        self,
        condition: DeedsrCondition,
        crops: Tensor,
        timestep: Tensor,
        tiles: Sequence[Tile],
        prompt_ids: list[int],
    ) -> Tensor:
        """Noise in every tile; prompts are not heard."""
        times = timestep.to(self.device).expand(len(tiles))
        seen = torch.stack([crop(condition.latents, tile) for tile in tiles]).to(crops.dtype)
        described = torch.stack([self._description(condition, tile, crops.dtype) for tile in tiles])
        structure, tokens = self.parts.adapter(seen, times, described)
        predicted: Tensor = self.parts.unet(crops, times, tokens, structure)
        return predicted

    def _description(self, condition: DeedsrCondition, tile: Tile, dtype: torch.dtype) -> Tensor:
        """Of what harmed a tile: by its own pixels alone, so that it does not depend on what lies around."""
        described = condition.described.get(tile)
        if described is None or described.dtype != dtype:
            assert self.parts.adapter.learner is not None
            pixels = crop(condition.pixels, tile.scaled(self._pixels)).to(self.device, dtype)
            described = self.parts.adapter.learner(pixels[None])[1][0]
            condition.described[tile] = described
        return described
