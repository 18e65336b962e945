"""SeeSR, and ZIDO on top of it (arXiv:2311.16518, arXiv:2411.12072): Stable Diffusion 2 under a ControlNet.

The ControlNet sees the enlarged input; both networks hear the tile's words and see DAPE's embedding of its pixels.
The latents are those of Stable Diffusion's autoencoder, eight output pixels each.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..nets.seesr import IMAGE_CHANNELS, IMAGE_TOKENS
from ..options import ResolvedOptions
from ..prompts.base import Prompt
from ..tiling.fusion import crop
from ..tiling.grid import Tile
from .latent_model import LatentBackbone, LatentCondition
from .latents import HINT_STRIDE, hint_of
from .seesr_files import SeesrParts, load_parts

HintMode = Literal["canvas", "tile"]


@dataclass(frozen=True, kw_only=True)
class SeesrCondition(LatentCondition):
    """What these networks are told besides."""

    seen: Tensor
    """(different images, tokens, 512): embeddings of what taggers saw."""
    seen_ids: Tensor
    """(prompts of the bank): the embedding of each."""
    scale: float
    """Weight of the ControlNet."""
    hint: Tensor | None
    """(channels, H, W): the ControlNet's embedding of the whole image; None: every tile embeds its own crop."""


class SeesrBackbone(LatentBackbone[SeesrParts, SeesrCondition]):
    """SeeSR, loaded."""

    load_parts = staticmethod(load_parts)

    hint: HintMode = "canvas"
    """``canvas`` embeds the image once, ``tile`` every crop alone with zeros around, as published."""

    @staticmethod
    def words_of(prompt: Prompt) -> str:
        """All of it: DAPE's tags were trained to be true of what a harmed picture shows."""
        return prompt.text

    def told_more(
        self,
        common: LatentCondition,
        image: Tensor,
        place: Tile,
        prompts: Sequence[Prompt],
        options: ResolvedOptions,
    ) -> SeesrCondition:
        """What the tagger saw, each embedding once, and the hint."""
        seen = {id(prompt.embedding): prompt.embedding for prompt in prompts}
        return self.told(
            common,
            seen=_stacked(list(seen.values())),
            seen_ids=[list(seen).index(id(prompt.embedding)) for prompt in prompts],
            scale=options.controlnet_conditioning_scale,
        )

    def told(
        self, common: LatentCondition, *, seen: Tensor, seen_ids: Sequence[int], scale: float = 1.0
    ) -> SeesrCondition:
        """The condition for what every model is told and stacked embeddings."""
        self.placing.ready(*self.parts.denoisers)
        return SeesrCondition(
            **vars(common),
            seen=seen.to(self.device, self.precision),
            seen_ids=torch.tensor(seen_ids),
            scale=scale,
            hint=self._hint_of(common.image) if self.hint == "canvas" else None,
        )

    def predicted(
        self,
        condition: SeesrCondition,
        crops: Tensor,
        timestep: Tensor,
        tiles: Sequence[Tile],
        prompt_ids: list[int],
    ) -> Tensor:
        """The noise in every tile, told by its own words, embedding and hint."""
        seen = condition.seen[condition.seen_ids[prompt_ids]]
        time = timestep.to(self.device)
        told = {
            "encoder_hidden_states": condition.texts.tokens[condition.text_ids[prompt_ids]].to(crops.dtype),
            "cross_attention_kwargs": {IMAGE_TOKENS: seen.to(crops.dtype)},
            "return_dict": False,
        }
        down, middle = self.parts.controlnet(
            crops,
            time,
            controlnet_cond=self._hints(condition, tiles).to(crops.dtype),
            conditioning_scale=condition.scale,
            **told,
        )
        noise: Tensor = self.parts.unet(
            crops,
            time,
            down_block_additional_residuals=down,
            mid_block_additional_residual=middle,
            **told,
        )[0]
        return noise

    def _hints(self, condition: SeesrCondition, tiles: Sequence[Tile]) -> Tensor:
        if condition.hint is not None:
            return torch.stack([crop(condition.hint, tile) for tile in tiles])
        images = torch.stack([crop(condition.image, tile.scaled(HINT_STRIDE)) for tile in tiles])
        embedding = self.parts.hint_embedding
        embedded: Tensor = embedding(images.to(self.device, next(embedding.parameters()).dtype))
        return embedded

    def _hint_of(self, image: Tensor) -> Tensor:
        return hint_of(self.parts.hint_embedding, image, self.device, self.precision)


def _stacked(embeddings: Sequence[NDArray[np.float32] | None]) -> Tensor:
    """All embeddings as one tensor; where a tagger saw nothing, zeros."""
    shapes = [embedding.shape for embedding in embeddings if embedding is not None]
    nothing = np.zeros(shapes[0] if shapes else (1, IMAGE_CHANNELS), np.float32)
    return torch.from_numpy(np.stack([nothing if embedding is None else embedding for embedding in embeddings]))
