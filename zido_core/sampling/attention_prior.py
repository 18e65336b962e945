"""C-Upscale's regional attention prior (Creatively Upscaling Images with Global-Regional Priors, section 4.4).

Before every step the network looks at a view of the whole, under as much noise as the step has (eq. 2).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from .guidance import Guidance
from .schedule import Noise, Scheduler


@dataclass(frozen=True, kw_only=True)
class RegionalAttentionPrior(Guidance):
    """Shows the network the view; what it keeps of it is the network's affair."""

    scheduler: Scheduler
    """That of the sampling."""
    clean: Tensor
    """(channels, h, w): the latents of the view."""
    noise: Noise
    """Of the view, anew at every step."""
    look: Callable[[Tensor, Tensor], None]
    """Takes the view's noisy latents and the training time."""

    def before_step(self, latents: Tensor, step: int) -> None:
        """Add the step's noise to the view, and look."""
        noisy = self.scheduler.add_noise(self.clean, self.noise(step), step)
        self.look(self.scheduler.scale_model_input(noisy, step), self.scheduler.timesteps[step])
