"""Any scheduler of diffusers as a sampler of the denoising loop.

diffusers' schedulers draw their noise themselves, from a generator whose values depend on the canvas' shape.
Here noise belongs to places, so `torch.randn` is answered with the given noise while a step is taken.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from ..errors import InvalidOptions
from .schedule import Memory, Noise, to_x0

REMEMBERED = ("model_outputs", "timestep_list", "last_sample", "lower_order_nums", "this_order")
"""Attributes in which schedulers keep what later steps need of earlier ones."""


class DiffusersSampler:
    """A scheduler of diffusers (set_timesteps done), seen from outside as if it kept no state.

    Solvers with memory (DPM++, UniPC) want the steps in order; a step out of order starts anew from there.
    `arguments` go to the scheduler's `step`, e.g. ``{"eta": 1.0}`` to DDIM's.
    """

    def __init__(self, scheduler: Any, arguments: Mapping[str, Any] | None = None) -> None:
        if hasattr(scheduler, "noise_sampler"):
            raise InvalidOptions(f"{type(scheduler).__name__} brings noise of its own; choose another sampler")
        self._fresh = copy.deepcopy(scheduler)
        self._arguments = dict(arguments or {})
        self._scheduler, self._next = self._restarted(0), 0

    @property
    def timesteps(self) -> Tensor:
        timesteps: Tensor = self._fresh.timesteps
        return timesteps

    @property
    def init_noise_sigma(self) -> float:
        return float(self._fresh.init_noise_sigma)

    def scale_model_input(self, latents: Tensor, step: int) -> Tensor:
        scaled: Tensor = self._at(step).scale_model_input(latents, self.timesteps[step])
        return scaled

    def add_noise(self, x0: Tensor, noise: Tensor, step: int) -> Tensor:
        noisy: Tensor = self._restarted(step).add_noise(x0[None], noise[None], self.timesteps[step : step + 1])
        return noisy[0]

    def step(self, prediction: Tensor, step: int, latents: Tensor, noise: Noise | None = None) -> Tensor:
        scheduler = self._at(step)
        with _GivenNoise(step, noise):
            out = scheduler.step(prediction[None], self.timesteps[step], latents[None], **self._arguments)
        self._next = step + 1
        result: Tensor = out.prev_sample[0]
        return result

    @property
    def memory(self) -> Memory:
        """See ``schedule.Remembering``."""
        images: list[Tensor] = []

        def told(value: Any) -> Any:
            if isinstance(value, list):
                return [told(each) for each in value]
            if not isinstance(value, Tensor):
                return value
            if value.ndim == 0:
                return {"number": value.item()}
            images.append(value[0])
            return {"image": len(images) - 1}

        held = vars(self._scheduler)
        numbers = {name: told(held[name]) for name in REMEMBERED if name in held}
        return Memory(tuple(images), numbers)

    def remember(self, step: int, memory: Memory) -> None:
        """See ``schedule.Remembering``."""

        def meant(value: Any) -> Any:
            if isinstance(value, list):
                return [meant(each) for each in value]
            if not isinstance(value, dict):
                return value
            return torch.tensor(value["number"]) if "number" in value else memory.images[value["image"]][None]

        self._scheduler, self._next = self._restarted(step), step
        for name, value in memory.numbers.items():
            setattr(self._scheduler, name, meant(value))

    def x0(self, prediction: Tensor, step: int, latents: Tensor) -> Tensor:
        """The clean latents that a prediction stands for."""
        signal, noise = self._mixed(step)
        unit = math.hypot(signal, noise)  # some samplers keep latents of unit variance, others add noise to the clean
        return to_x0(prediction, latents / unit, (signal / unit) ** 2, self._fresh.config.prediction_type)

    def signal(self, step: int) -> float:
        """Factor of the clean latents in those before `step`."""
        return self._mixed(step)[0]

    def _mixed(self, step: int) -> tuple[float, float]:
        """Factors of clean latents and noise before `step`; after the last there is no noise."""
        if step == len(self.timesteps):
            return 1.0, 0.0
        clean, noise = torch.eye(2)
        signal, share = self.add_noise(clean, noise, step).tolist()
        return signal, share

    def _at(self, step: int) -> Any:
        if step != self._next:
            self._scheduler, self._next = self._restarted(step), step
        return self._scheduler

    def _restarted(self, step: int) -> Any:
        scheduler = copy.deepcopy(self._fresh)
        if hasattr(scheduler, "set_begin_index"):
            scheduler.set_begin_index(step)
        return scheduler


class _GivenNoise(TorchFunctionMode):
    """Answers torch's normal draws with given noise, once."""

    def __init__(self, step: int, noise: Noise | None) -> None:
        super().__init__()
        self._step, self._noise = step, noise

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        if func not in (torch.randn, torch.randn_like):
            return func(*args, **(kwargs or {}))
        if self._noise is None:
            raise ValueError(f"the sampler draws noise at step {self._step}, and none (or only one draw) was given")
        noise, self._noise = self._noise(self._step), None
        return noise[None]
