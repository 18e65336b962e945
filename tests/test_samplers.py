"""Samplers by name: each turns noise into what a network knows, from any step on."""

from __future__ import annotations

from dataclasses import replace
from typing import get_args

import pytest
import torch

from zido_core.backbones.base import ScheduleSpec
from zido_core.catalog import SamplerName
from zido_core.sampling.samplers import sampler_for

SPECS = [
    ScheduleSpec(prediction_type="epsilon"),
    ScheduleSpec(prediction_type="v_prediction"),
    ScheduleSpec(prediction_type="v_prediction", zero_terminal_snr=True, timestep_spacing="trailing"),
]


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
@pytest.mark.parametrize("spec", SPECS, ids=["epsilon", "v", "v-zero-snr"])
@pytest.mark.parametrize("name", get_args(SamplerName))
@pytest.mark.parametrize("first", [0, 5])
def test_a_perfect_network_is_followed_to_its_picture(name, spec, first):
    """With a network that always points at one picture, every sampler ends there, from noise or from halfway."""
    generator = torch.Generator().manual_seed(0)
    picture = torch.randn(4, 6, 7, generator=generator)
    noise = torch.randn(4, 6, 7, generator=generator)
    sampler = sampler_for(name, spec, 12)
    # The input of the network has unit variance whatever the sampler, so DDIM can say what it should answer.
    exact = replace(sampler_for("ddim", spec, 12), timesteps=sampler.timesteps.long())
    latents = sampler.add_noise(picture, noise, first) if first else sampler.init_noise_sigma * noise
    for step in range(first, 12):
        seen = sampler.scale_model_input(latents, step)
        prediction = exact.prediction_of(picture, step, seen)
        latents = sampler.step(prediction, step, latents, lambda at: torch.randn(4, 6, 7, generator=generator))
    assert torch.allclose(latents, picture, atol=0.05)
