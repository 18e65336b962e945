"""Rectified flow: the times and steps of diffusers, ends at the truth, refuses what is no flow's."""

from __future__ import annotations

import pytest
import torch
from diffusers import FlowMatchEulerDiscreteScheduler

from zido_core.backbones.base import ScheduleSpec
from zido_core.errors import InvalidOptions
from zido_core.sampling.flow import FlowSchedule
from zido_core.sampling.samplers import sampler_for
from zido_core.sampling.schedule import Schedule

SPEC = ScheduleSpec(prediction_type="flow", shift=3.0)


def random(seed):
    return torch.randn(16, 6, 7, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("steps", [1, 4, 28])
@pytest.mark.parametrize("shift", [1.0, 3.0])
def test_times_and_steps_are_those_of_diffusers(steps, shift):
    theirs = FlowMatchEulerDiscreteScheduler(shift=shift)
    theirs.set_timesteps(steps)
    ours = FlowSchedule.of(steps=steps, shift=shift)
    torch.testing.assert_close(ours.timesteps, theirs.timesteps, rtol=0, atol=1e-3)
    latents = expected = random(0)
    for step, time in enumerate(theirs.timesteps):
        prediction = random(step + 1)
        expected = theirs.step(prediction, time, expected).prev_sample
        latents = ours.step(prediction, step, latents)
    torch.testing.assert_close(latents, expected, rtol=0, atol=1e-4)


def test_noise_is_added_as_in_diffusers():
    theirs, ours = FlowMatchEulerDiscreteScheduler(shift=3.0), FlowSchedule.of(steps=8, shift=3.0)
    theirs.set_timesteps(8)
    expected = theirs.scale_noise(random(0), theirs.timesteps[3:4], random(1))
    torch.testing.assert_close(ours.add_noise(random(0), random(1), 3), expected)


@pytest.mark.parametrize("first", [0, 4])
def test_a_perfect_network_is_followed_to_its_picture(first):
    sampler, picture = sampler_for("euler", SPEC, 8), random(0)
    latents = sampler.add_noise(picture, random(1), first)
    for step in range(first, 8):
        prediction = sampler.prediction_of(picture, step, latents)
        torch.testing.assert_close(sampler.x0(prediction, step, latents), picture)
        latents = sampler.step(prediction, step, latents)
    torch.testing.assert_close(latents, picture, rtol=0, atol=1e-5)


def test_given_times():
    sampler = sampler_for("euler", SPEC, 2, times=(1000, 600))
    assert sampler.timesteps.tolist() == pytest.approx([1000, 600])
    assert [sampler.signal(step) for step in range(3)] == pytest.approx([0.0, 0.4, 1.0])


def test_other_samplers_are_refused():
    with pytest.raises(InvalidOptions, match="sampler is ddim; this model is a flow, which takes euler"):
        sampler_for("ddim", SPEC, 4)
    with pytest.raises(InvalidOptions, match="a flow has no variances"):
        Schedule.from_spec(SPEC, steps=4)
