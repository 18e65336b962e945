"""C-Upscale's global structure prior (Creatively Upscaling Images with Global-Regional Priors, section 4.3, eq. 4, 5).

At every step the low frequencies of the predicted clean latents are led towards those of the input. The low band is
the LL band of a Haar transform; the gradient of its squared distance is analytic, so the network is not asked again.
"""

from __future__ import annotations

import math
from typing import Protocol

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, pad

from .guidance import Guidance

TIMES = 1000
"""Training times of diffusion models; the weight falls from the last of them to the first."""


class Clean(Protocol):
    """What the prior asks of a sampler."""

    @property
    def timesteps(self) -> Tensor:
        """Training times (steps,), descending."""
        ...

    def x0(self, prediction: Tensor, step: int, latents: Tensor) -> Tensor:
        """The clean latents that a prediction stands for."""
        ...

    def signal(self, step: int) -> float:
        """Factor of the clean latents in those before ``step``; before the step after the last it is one."""
        ...


class GlobalStructurePrior(Guidance):
    """Eq. 5: ``z <- z - eta w(t) grad L``, L being half the squared distance of the LL bands (eq. 4).

    Our reading, where the paper's copy lost its formulas: the gradient is that at the clean latents z0, whose noise
    stays what the network said. As LL is orthonormal, a step of eta w = 1 makes the bands equal; more overshoots.
    """

    def __init__(
        self,
        sampler: Clean,
        clean: Tensor,
        *,
        weight: float,
        levels: int = 1,
        origin: tuple[int, int] = (0, 0),
    ) -> None:
        """``clean`` (channels, height, width): the input's latents, which begin at ``origin`` of the whole canvas.

        ``weight`` is eta, the step size; ``levels`` how often the Haar transform is applied.
        """
        self.sampler, self.weight = sampler, weight
        self.band = HaarBand(levels=levels, origin=origin)
        self._wanted = self.band.low(clean)
        self._correction: Tensor | None = None

    def on_prediction(self, prediction: Tensor, latents: Tensor, step: int) -> Tensor:
        """Note the correction of the clean latents; the prediction itself stays."""
        weight = self.weight * cosine(float(self.sampler.timesteps[step]))
        found = self.band.low(self.sampler.x0(prediction, step, latents))
        self._correction = (self._wanted - found).mul_(weight * self.sampler.signal(step + 1))
        return prediction

    def on_latents(self, latents: Tensor, step: int) -> Tensor:
        """Clean latents come into the next ones with the signal's share; so does their correction."""
        assert self._correction is not None
        return latents.add_(self.band.spread(self._correction, latents.shape))


class HaarBand:
    """The LL band of a Haar transform, as means of its blocks: LL itself is that times 2 to the power of ``levels``.

    Blocks lie where they lie on the whole canvas, whatever part of it is looked at. Blocks cut by the border are the
    mean of what there is of them: the transform of the image continued by its mirror image, as far as their own place.
    """

    def __init__(self, *, levels: int, origin: tuple[int, int] = (0, 0)) -> None:
        self.side = 2**levels
        self.before = tuple(place % self.side for place in origin)

    def low(self, latents: Tensor) -> Tensor:
        """Means (channels, rows, cols) of the blocks of latents (channels, height, width)."""
        rows, cols = (self._around(at, side) for at, side in zip(self.before, latents.shape[1:], strict=True))
        around = (*cols, *rows)
        if not any(around):
            return avg_pool2d(latents, self.side)
        filled = avg_pool2d(pad(torch.ones_like(latents[:1]), around), self.side)
        return avg_pool2d(pad(latents, around), self.side).div_(filled)

    def spread(self, band: Tensor, shape: torch.Size) -> Tensor:
        """Latents of this shape whose every block is what ``band`` says of it: the transpose of LL, up to its scale."""
        (top, left), (height, width) = self.before, shape[1:]
        large = band.repeat_interleave(self.side, 1).repeat_interleave(self.side, 2)
        return large[:, top : top + height, left : left + width]

    def _around(self, before: int, side: int) -> tuple[int, int]:
        return before, -(before + side) % self.side


def cosine(time: float) -> float:
    """w(t): one at pure noise, falling along a cosine to zero at the clean image."""
    return 0.5 * (1 + math.cos(math.pi * (1 - time / TIMES)))
