"""A model that does next to nothing: what is left is the cost, and the behaviour, of everything around a model."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from zido_core.backbones.base import ScheduleSpec, Told
from zido_core.catalog import describe
from zido_core.options import ResolvedOptions
from zido_core.prompts.base import Prompt
from zido_core.tiling.grid import Tile


class PlainBackbone:
    """Predicts that nothing is missing, and repeats every pixel four times each way."""

    descriptor = replace(describe("mini"))
    device = torch.device("cpu")
    latent_channels = 1
    schedule = ScheduleSpec(prediction_type="v_prediction")
    weights_hash = "0" * 64
    parallel = True

    def condition(
        self,
        image: Tensor,
        place: Tile,
        prompts: Sequence[Prompt],
        advance: Callable[[int], None],
        options: ResolvedOptions,
        told: Sequence[Told] = (),
    ) -> Tensor:
        return image

    def encode(self, condition: Tensor) -> Tensor:
        return torch.zeros(self.latent_channels, *condition.shape[1:])

    def predict(
        self,
        condition: Tensor,
        latents: Tensor,
        timestep: Tensor,
        tiles: Sequence[Tile],
        prompt_ids: Sequence[int],
    ) -> Tensor:
        return torch.zeros_like(latents)

    predict_precisely = predict

    def decode(self, condition: Tensor, latents: Tensor | None, *, fidelity: float) -> NDArray[np.float32]:
        return condition.repeat_interleave(4, 1).repeat_interleave(4, 2).numpy()
