"""A region under C-Upscale's regional attention prior: its model looks at a small view of it first, at every step.

The view shows the whole region in the size of one tile and hears the global prompt; what its layers attend to is what
tiles with words of their own are reminded of (``regional_attention``).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from ..options import ResolvedOptions
from ..prompts.base import Prompt
from ..resample import resize
from ..tiling.grid import Size, Tile, view_of
from .latent_model import LatentBackbone, LatentCondition
from .regional_attention import ALONE, MEAN, UNTOUCHED, Attended, Listening


class Regional:
    """A model of latents with one region, as ``LatentBackbone`` predicts it; ``listening`` while it is used."""

    def __init__(
        self,
        backbone: LatentBackbone[Any, Any],
        condition: LatentCondition,
        prompts: Sequence[Prompt],
        options: ResolvedOptions,
    ) -> None:
        """``prompts``: the bank that the condition was made of, as ``condition`` takes it."""
        self.backbone, self.condition = backbone, condition
        self.listening = Listening(backbone.parts.unet)
        descriptor = backbone.descriptor
        stride = descriptor.latent_stride
        self.canvas = Size(*(side // stride for side in condition.image.shape[1:]))
        side, multiple = options.tile_size // stride, descriptor.tile_multiple // stride
        self.view = view_of(self.canvas, side=side, multiple=multiple)
        whole = next((prompt.whole for prompt in prompts if prompt.whole), "")
        self._shares = [share_of(prompt) for prompt in prompts]
        self._seen = self._condition_of(Prompt(text=whole), options)
        self._attended: Attended | None = None

    def clean(self) -> Tensor:
        """The latents (channels, h, w) of the view."""
        return self.backbone.encode(self._seen)

    def look(self, latents: Tensor, timestep: Tensor) -> None:
        """Let the model look at the view's latents, as noisy as the region's are now."""
        with self.listening.recording() as layers:
            self.backbone.predict(self._seen, latents[None], timestep, [Tile.whole(self.view)], [0])
        self._attended = Attended(view=self.view, canvas=self.canvas, layers=layers)

    def predict(self, latents: Tensor, timestep: Tensor, tiles: Sequence[Tile], prompt_ids: Sequence[int]) -> Tensor:
        """The model's prediction of some tiles, reminded of the view."""
        assert self._attended is not None
        with self.listening.composing(self._attended, tiles, [self._shares[index] for index in prompt_ids]):
            return self.backbone.predict(self.condition, latents, timestep, tiles, prompt_ids)

    def predict_precisely(
        self, latents: Tensor, timestep: Tensor, tiles: Sequence[Tile], prompt_ids: Sequence[int]
    ) -> Tensor:
        """As ``predict``, in float32."""
        assert self._attended is not None
        with self.listening.composing(self._attended, tiles, [self._shares[index] for index in prompt_ids]):
            return self.backbone.predict_precisely(self.condition, latents, timestep, tiles, prompt_ids)

    def _condition_of(self, prompt: Prompt, options: ResolvedOptions) -> Any:
        """What the model is told of the view."""
        stride = self.backbone.descriptor.latent_stride
        texts, text_ids = self.backbone.encoded([prompt])
        image = torch.from_numpy(resize(self.condition.image.numpy(), self.view.scaled(stride)).clip(0, 1))
        common = LatentCondition(
            size=self.view,
            image=image,
            texts=texts,
            text_ids=text_ids,
            vae=self.condition.vae,
            on_work=self.condition.on_work,
        )
        return self.backbone.told_more(common, image, Tile.whole(self.view), [prompt], options)


def share_of(prompt: Prompt) -> float:
    """How much of the view's attention is in that of a tile that is told this."""
    if not prompt.whole:  # what a tile should not be is said without the whole
        return UNTOUCHED
    return ALONE if prompt.text == prompt.whole else MEAN
