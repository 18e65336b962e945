"""Noise guidance by every sampler: its prediction is the one that stands for the input's latents."""

from __future__ import annotations

import pytest
import torch

from zido_core.backbones.base import ScheduleSpec
from zido_core.sampling.noise_guidance import NoiseGuidance, prediction_for
from zido_core.sampling.samplers import sampler_for

# diffusers makes arrays in a way that numpy will not know any more.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

SD = ScheduleSpec(prediction_type="epsilon")
V = ScheduleSpec(prediction_type="v_prediction")
FLOW = ScheduleSpec(prediction_type="flow", shift=3.0)
CASES = [*((name, spec) for name in ("ddim", "ddpm", "euler", "dpm++", "unipc") for spec in (SD, V)), ("euler", FLOW)]


def drawn(seed):
    return torch.randn(4, 6, 5, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize(("name", "spec"), CASES, ids=[f"{name}-{spec.prediction_type}" for name, spec in CASES])
def test_the_prediction_stands_for_the_input(name, spec):
    sampler, clean, latents = sampler_for(name, spec, 5), drawn(0), drawn(1)
    guidance = NoiseGuidance(schedule=sampler, clean=clean, steps={1, 3})
    for step in (1, 3):
        prediction = guidance.on_prediction(drawn(2), latents, step)
        torch.testing.assert_close(sampler.x0(prediction, step, latents), clean, rtol=0, atol=1e-3)
    heard = drawn(2)
    assert guidance.on_prediction(heard, latents, 2) is heard


@pytest.mark.parametrize("spec", [SD, V])
def test_the_linear_solution_is_the_closed_form(spec):
    sampler, clean, latents = sampler_for("ddim", spec, 5), drawn(0), drawn(1)
    for step in range(5):
        expected = sampler.prediction_of(clean, step, latents)
        torch.testing.assert_close(prediction_for(sampler, clean, step, latents), expected, rtol=1e-5, atol=1e-5)
