"""DeeDSR's noise guidance: in chosen steps the noise is what the input leaves of the latents (section 3.4, eq. 11)."""

from __future__ import annotations

from collections.abc import Set
from dataclasses import dataclass

import torch
from torch import Tensor

from .guidance import Guidance
from .samplers import Sampler
from .schedule import Schedule


@dataclass(frozen=True, kw_only=True)
class NoiseGuidance(Guidance):
    """Steers towards the input, without starting from it: latents x are taken for ``a z + s eps``, z the input's.

    In these steps the network is not heard; sampling then goes on as ever, noise included.
    """

    schedule: Sampler
    """That of the sampling."""
    clean: Tensor
    """(channels, height, width): the latents of the enlarged input."""
    steps: Set[int] = frozenset({0})
    """In which steps; by default the first."""

    def on_prediction(self, prediction: Tensor, latents: Tensor, step: int) -> Tensor:
        """The prediction that would make the input's latents of these."""
        if step not in self.steps:
            return prediction
        if isinstance(self.schedule, Schedule):
            return self.schedule.prediction_of(self.clean, step, latents)
        return prediction_for(self.schedule, self.clean, step, latents)


def prediction_for(sampler: Sampler, clean: Tensor, step: int, latents: Tensor) -> Tensor:
    """The prediction that stands for clean latents, for any sampler: what it stands for is linear in the prediction."""
    nothing = torch.zeros_like(latents)
    base = sampler.x0(nothing, step, latents)
    slope = sampler.x0(nothing + 1, step, latents) - base
    return (clean - base) / slope
