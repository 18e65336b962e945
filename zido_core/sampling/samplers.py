"""Samplers by their names: the embedded DDIM and DDPM, and those of diffusers on the same noise schedule."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from torch import Tensor

from ..backbones.base import ScheduleSpec
from ..catalog import SamplerName
from ..errors import InvalidOptions
from .schedule import Schedule, Scheduler

EMBEDDED = {"ddim": 0.0, "ddpm": 1.0}
"""Name -> share of the variance that is drawn anew."""

OF_DIFFUSERS = {
    "euler": "EulerDiscreteScheduler",
    "dpm++": "DPMSolverMultistepScheduler",
    "unipc": "UniPCMultistepScheduler",
}


class Sampler(Scheduler, Protocol):
    """A scheduler that also says what a prediction stands for, for guidance on clean latents."""

    def x0(self, prediction: Tensor, step: int, latents: Tensor) -> Tensor:
        """The clean latents that a prediction stands for."""
        ...

    def signal(self, step: int) -> float:
        """Factor of the clean latents in those before `step`; before the step after the last it is one."""
        ...


def sampler_for(name: SamplerName, spec: ScheduleSpec, steps: int, times: Sequence[int] = ()) -> Sampler:
    """The sampler of that name for a model trained with this noise schedule; `times`: at these, not at even ones."""
    if spec.prediction_type == "flow":
        return _flow(name, spec, steps, times)
    if name in EMBEDDED:
        return Schedule.from_spec(spec, steps=steps, eta=EMBEDDED[name], times=times)
    if times:
        raise InvalidOptions(f"sampler is {name}, which chooses its timesteps itself; give them to ddim or ddpm")
    import diffusers

    from .diffusers_sampler import DiffusersSampler

    scheduler = getattr(diffusers, OF_DIFFUSERS[name])(
        beta_start=spec.beta_start,
        beta_end=spec.beta_end,
        beta_schedule=spec.beta_schedule,
        prediction_type=spec.prediction_type,
        timestep_spacing=spec.timestep_spacing,
        rescale_betas_zero_snr=spec.zero_terminal_snr,
        steps_offset=1,
    )
    scheduler.set_timesteps(steps)
    return DiffusersSampler(scheduler)


def _flow(name: SamplerName, spec: ScheduleSpec, steps: int, times: Sequence[int]) -> Sampler:
    from .flow import FlowSchedule

    if name != "euler":
        raise InvalidOptions(f"sampler is {name}; this model is a flow, which takes euler")
    return FlowSchedule.at(tuple(times)) if times else FlowSchedule.of(steps=steps, shift=spec.shift)
