"""Rectified flow (arXiv:2403.03206): latents lie on the straight line from the image to the noise.

``x = (1 - s) x0 + s eps``; the network predicts the velocity ``eps - x0``, and is told the time 1000 s.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .schedule import Noise

TIMES = 1000
"""Training times of the noisiest latents, s = 1."""


@dataclass(frozen=True, kw_only=True)
class FlowSchedule:
    """Euler's steps along the flow, as Stable Diffusion 3 is sampled."""

    sigmas: tuple[float, ...]
    """Share of noise before every step, descending, and after the last, which is 0."""

    @classmethod
    def of(cls, *, steps: int, shift: float) -> FlowSchedule:
        """Even times, shifted towards noise: large images need more of it to be hidden (section 5.3.2)."""
        # The least time is shifted twice, as in diffusers, by which the models are sampled.
        even = np.linspace(1.0, float(_shifted(np.array(1 / TIMES), shift)), steps)
        return cls(sigmas=(*_shifted(even, shift).tolist(), 0.0))

    @classmethod
    def at(cls, times: tuple[int, ...]) -> FlowSchedule:
        """Steps at given training times."""
        return cls(sigmas=(*(time / TIMES for time in times), 0.0))

    @property
    def timesteps(self) -> Tensor:
        return torch.tensor(self.sigmas[:-1], dtype=torch.float32) * TIMES

    @property
    def init_noise_sigma(self) -> float:
        return 1.0

    def scale_model_input(self, latents: Tensor, step: int) -> Tensor:
        """Nothing to do."""
        return latents

    def add_noise(self, x0: Tensor, noise: Tensor, step: int) -> Tensor:
        """Clean latents, as far on their way to the noise as before `step`."""
        return torch.lerp(x0, noise, self.sigmas[step])

    def step(self, prediction: Tensor, step: int, latents: Tensor, noise: Noise | None = None) -> Tensor:
        """Along the velocity to the next time."""
        return torch.add(latents, prediction, alpha=self.sigmas[step + 1] - self.sigmas[step])

    def x0(self, prediction: Tensor, step: int, latents: Tensor) -> Tensor:
        """Along the velocity to the end."""
        return torch.add(latents, prediction, alpha=-self.sigmas[step])

    def prediction_of(self, x0: Tensor, step: int, latents: Tensor) -> Tensor:
        """The velocity that leads to clean latents `x0`."""
        return (latents - x0) / self.sigmas[step]

    def signal(self, step: int) -> float:
        """Factor of the clean latents in those before `step`."""
        return 1 - self.sigmas[step]


def _shifted(sigmas: NDArray[np.float64], shift: float) -> NDArray[np.float64]:
    return shift * sigmas / (1 + (shift - 1) * sigmas)
