"""Noise schedules and the DDIM sampler: numbers and elementwise arithmetic, any shape of latents.

With a = sqrt(alphas_cumprod) and s = sqrt(1 - alphas_cumprod), noisy latents are ``x = a x0 + s eps`` and the
network predicts eps, x0 (``sample``) or ``v = a eps - s x0`` (arXiv:2202.00512).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, NamedTuple, Protocol, runtime_checkable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..backbones.base import ScheduleSpec
from ..errors import InvalidOptions

PredictionType = Literal["epsilon", "v_prediction", "sample"]
Spacing = Literal["leading", "trailing", "linspace"]
Noise = Callable[[int], Tensor]
"""Standard normal noise of a step, of the shape of the latents."""


class Scheduler(Protocol):
    """What the denoising loop asks of a sampler. Steps are counted from 0, the noisiest."""

    @property
    def timesteps(self) -> Tensor:
        """Training times (steps,) as the network is told them, descending."""
        ...

    @property
    def init_noise_sigma(self) -> float:
        """Standard deviation of the latents that pure noise starts with."""
        ...

    def scale_model_input(self, latents: Tensor, step: int) -> Tensor:
        """Latents as the network wants them."""
        ...

    def add_noise(self, x0: Tensor, noise: Tensor, step: int) -> Tensor:
        """Clean latents made as noisy as they are before `step`."""
        ...

    def step(self, prediction: Tensor, step: int, latents: Tensor, noise: Noise | None = None) -> Tensor:
        """Latents after `step`; samplers that add noise ask for it, the others never draw it."""
        ...


class Memory(NamedTuple):
    """What a sampler needs of earlier steps beside the latents."""

    images: tuple[Tensor, ...]
    """Each of the latents' shape, float32."""
    numbers: Mapping[str, Any]
    """All else, JSON-like."""


@runtime_checkable
class Remembering(Protocol):
    """A sampler with a memory, which another one can be given to go on in its place."""

    @property
    def memory(self) -> Memory:
        """After the last step that was taken."""
        ...

    def remember(self, step: int, memory: Memory) -> None:
        """Go on with `step`, with what another one remembered then."""
        ...


@dataclass(frozen=True, kw_only=True, eq=False)
class Schedule:
    """DDIM (arXiv:2010.02502, eq. 12 and 16) over chosen times of a trained noise schedule.

    With eta = 1 it is ancestral DDPM sampling with the posterior variance ("fixed small"), whatever the
    times: SeeSR, ZIDO, StableSR and DeeDSR all sample so.
    """

    alphas_cumprod: Tensor
    """Share of signal variance left at every training time, float64, descending."""
    timesteps: Tensor
    """Training times of the steps, int64, descending."""
    prediction_type: PredictionType
    """What the network predicts."""
    eta: float = 0.0
    """How much of the variance is drawn anew: 0 (DDIM, deterministic) to 1 (DDPM)."""
    final_alpha_cumprod: float = 1.0
    """Signal variance after the last step; 1 ends without noise."""

    def __post_init__(self) -> None:
        if self.prediction_type == "epsilon" and float(self.alphas_cumprod.min()) <= 0:
            raise InvalidOptions("epsilon says nothing about x0 where no signal is left; use v_prediction")

    @classmethod
    def from_spec(cls, spec: ScheduleSpec, *, steps: int, eta: float = 0.0, times: Sequence[int] = ()) -> Schedule:
        """The schedule that a backbone was trained with, in so many steps, or at these training times."""
        alphas = alphas_cumprod(spec.beta_start, spec.beta_end, spec.beta_schedule)
        if spec.zero_terminal_snr:
            alphas = rescale_zero_terminal_snr(alphas)
        if spec.prediction_type == "flow":
            raise InvalidOptions("a flow has no variances; it takes the sampler euler")
        if times and max(times) >= len(alphas):
            raise InvalidOptions(f"timesteps begin with {max(times)}; this model knows 0 to {len(alphas) - 1}")
        chosen = np.array(times, np.int64) if times else spaced(steps, len(alphas), spec.timestep_spacing)
        return cls(
            alphas_cumprod=torch.from_numpy(alphas),
            timesteps=torch.from_numpy(chosen),
            prediction_type=spec.prediction_type,
            eta=eta,
            final_alpha_cumprod=1.0 if spec.set_alpha_to_one else float(alphas[0]),
        )

    @property
    def init_noise_sigma(self) -> float:
        return 1.0

    def scale_model_input(self, latents: Tensor, step: int) -> Tensor:
        """Latents keep unit variance: nothing to do."""
        return latents

    def add_noise(self, x0: Tensor, noise: Tensor, step: int) -> Tensor:
        """Mix signal and noise: a x0 + s eps."""
        return diffuse(x0, noise, self.alphas[step])

    def sigma(self, step: int) -> float:
        """Standard deviation of the noise drawn anew, eq. 16."""
        now, after = self.alphas[step], self.alphas[step + 1]
        if self.eta == 0 or now >= after:
            return 0.0
        return self.eta * math.sqrt((1 - after) / (1 - now) * (1 - now / after))

    def step(self, prediction: Tensor, step: int, latents: Tensor, noise: Noise | None = None) -> Tensor:
        """Eq. 12: x0 and eps from the prediction, mixed anew for the next time.

        Both are linear in latents and prediction, hence so is the result: one new tensor, whatever the size.
        """
        after, sigma = self.alphas[step + 1], self.sigma(step)
        signal, direction = math.sqrt(after), math.sqrt(max(1 - after - sigma**2, 0.0))
        x0, eps = _linear_forms(self.alphas[step], self.prediction_type)
        result = latents * (signal * x0[0] + direction * eps[0])
        result.add_(prediction, alpha=signal * x0[1] + direction * eps[1])
        if sigma > 0:
            if noise is None:
                raise ValueError(f"step {step} draws noise (eta = {self.eta:g}); give it some, or use eta = 0")
            result.add_(noise(step), alpha=sigma)
        return result

    def x0(self, prediction: Tensor, step: int, latents: Tensor) -> Tensor:
        """The clean latents that a prediction stands for."""
        return to_x0(prediction, latents, self.alphas[step], self.prediction_type)

    def signal(self, step: int) -> float:
        """Factor of the clean latents in those before `step`."""
        return math.sqrt(self.alphas[step])

    def prediction_of(self, x0: Tensor, step: int, latents: Tensor) -> Tensor:
        """The prediction that stands for clean latents `x0`: for guidance that corrects x0."""
        alpha = self.alphas[step]
        a, s = math.sqrt(alpha), math.sqrt(1 - alpha)
        if self.prediction_type == "sample":
            return x0
        if self.prediction_type == "epsilon":
            return (latents - a * x0) / s
        return (a * latents - x0) / s

    @cached_property
    def alphas(self) -> tuple[float, ...]:
        """Signal variance before every step and after the last, (steps + 1)."""
        return (*self.alphas_cumprod[self.timesteps].tolist(), self.final_alpha_cumprod)


def under_noise(x0: Tensor, noise: Tensor, spec: ScheduleSpec, time: int = -1) -> Tensor:
    """Clean latents under the noise of a training time, by default the last.

    SeeSR starts there (arXiv:2311.16518, "LR embedding"), whatever the first step's own time.
    """
    alphas = alphas_cumprod(spec.beta_start, spec.beta_end, spec.beta_schedule)
    if spec.zero_terminal_snr:
        alphas = rescale_zero_terminal_snr(alphas)
    return diffuse(x0, noise, float(alphas[time]))


def first_step(strength: float, steps: int) -> int:
    """The step to start at so that the share `strength` of all steps is done, at least one."""
    if not 0 < strength <= 1:
        raise InvalidOptions(f"strength is {strength:g}; choose a number above 0, at most 1")
    return steps - max(round(steps * strength), 1)


def diffuse(x0: Tensor, noise: Tensor, alpha_cumprod: float) -> Tensor:
    """Mix signal and noise: a x0 + s eps."""
    return torch.add(x0 * math.sqrt(alpha_cumprod), noise, alpha=math.sqrt(1 - alpha_cumprod))


def to_x0(prediction: Tensor, latents: Tensor, alpha_cumprod: float, kind: PredictionType) -> Tensor:
    """Clean latents from a prediction of any kind."""
    (of_latents, of_prediction), _ = _linear_forms(alpha_cumprod, kind)
    return torch.add(latents * of_latents, prediction, alpha=of_prediction)


def to_epsilon(prediction: Tensor, latents: Tensor, alpha_cumprod: float, kind: PredictionType) -> Tensor:
    """Noise from a prediction of any kind."""
    _, (of_latents, of_prediction) = _linear_forms(alpha_cumprod, kind)
    return torch.add(latents * of_latents, prediction, alpha=of_prediction)


def to_v(prediction: Tensor, latents: Tensor, alpha_cumprod: float, kind: PredictionType) -> Tensor:
    """Velocity a eps - s x0 from a prediction of any kind."""
    x0, eps = (to(prediction, latents, alpha_cumprod, kind) for to in (to_x0, to_epsilon))
    return eps * math.sqrt(alpha_cumprod) - x0 * math.sqrt(1 - alpha_cumprod)


def alphas_cumprod(
    beta_start: float, beta_end: float, kind: Literal["linear", "scaled_linear"], times: int = 1000
) -> NDArray[np.float64]:
    """Signal variance left at every training time; ``scaled_linear`` is linear in the root of beta."""
    power = 2 if kind == "scaled_linear" else 1
    betas = np.linspace(beta_start ** (1 / power), beta_end ** (1 / power), times) ** power
    return np.cumprod(1 - betas)


def rescale_zero_terminal_snr(alphas: NDArray[np.float64]) -> NDArray[np.float64]:
    """Shift and stretch the signal so that none is left at the last time (arXiv:2305.08891, Algorithm 1)."""
    signal = np.sqrt(alphas)
    rescaled: NDArray[np.float64] = ((signal - signal[-1]) * signal[0] / (signal[0] - signal[-1])) ** 2
    return rescaled


def spaced(steps: int, times: int, spacing: Spacing, offset: int = 1) -> NDArray[np.int64]:
    """Training times of the steps, descending (arXiv:2305.08891, Table 2); `offset` shifts ``leading``."""
    if not 1 <= steps <= times:
        raise InvalidOptions(f"steps is {steps}; choose 1 to {times}")
    if spacing == "trailing":
        chosen = np.arange(times, 0, -times / steps)[:steps].round() - 1
    elif spacing == "leading":
        chosen = np.arange(steps)[::-1] * (times // steps)
        chosen = chosen + min(offset, times - 1 - chosen[0])
    else:
        chosen = np.linspace(0, times - 1, steps).round()[::-1]
    return chosen.astype(np.int64)


def _linear_forms(alpha: float, kind: PredictionType) -> tuple[tuple[float, float], tuple[float, float]]:
    """Factors of (latents, prediction) that give x0, and those that give eps."""
    a, s = math.sqrt(alpha), math.sqrt(1 - alpha)
    if kind == "epsilon":
        return (1 / a, -s / a), (0.0, 1.0)
    if kind == "v_prediction":
        return (a, -s), (s, a)
    return (0.0, 1.0), (1 / s, -a / s)
