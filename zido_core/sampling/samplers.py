"""Samplers by their names: the embedded DDIM and DDPM, and those of diffusers on the same noise schedule."""

from __future__ import annotations

from ..backbones.base import ScheduleSpec
from ..catalog import SamplerName
from .schedule import Schedule, Scheduler

EMBEDDED = {"ddim": 0.0, "ddpm": 1.0}
"""Name -> share of the variance that is drawn anew."""

OF_DIFFUSERS = {
    "euler": "EulerDiscreteScheduler",
    "dpm++": "DPMSolverMultistepScheduler",
    "unipc": "UniPCMultistepScheduler",
}


def sampler_for(name: SamplerName, spec: ScheduleSpec, steps: int) -> Scheduler:
    """The sampler of that name for a model trained with this noise schedule."""
    if name in EMBEDDED:
        return Schedule.from_spec(spec, steps=steps, eta=EMBEDDED[name])
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
