"""The global structure prior: its gradient, its weight, its place in the loop, any sampler, any part of a canvas."""

from __future__ import annotations

import math
from typing import get_args

import pytest
import torch

from zido_core.backbones.base import ScheduleSpec
from zido_core.catalog import SamplerName
from zido_core.sampling.denoise import PromptPlan, denoise
from zido_core.sampling.samplers import sampler_for
from zido_core.sampling.structure_prior import GlobalStructurePrior, HaarBand, cosine
from zido_core.sampling.windows import windows_for
from zido_core.tiling.grid import Size, even_grid

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")

EPSILON, FLOW = ScheduleSpec(prediction_type="epsilon"), ScheduleSpec(prediction_type="flow", shift=3.0)
SPECS = [EPSILON, ScheduleSpec(prediction_type="v_prediction"), FLOW]
CASES = [
    (name, spec)
    for spec in SPECS
    for name in get_args(SamplerName)
    if spec.prediction_type != "flow" or name == "euler"
]
STEPS, SHAPE = 10, (4, 13, 18)


def random(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def haar_low(latents):
    """LL of the orthonormal Haar transform, by its filters."""
    rows = (latents[:, 0::2] + latents[:, 1::2]) / math.sqrt(2)
    return (rows[:, :, 0::2] + rows[:, :, 1::2]) / math.sqrt(2)


@pytest.mark.parametrize("levels", [1, 2, 3])
def test_the_band_is_that_of_haar(levels):
    latents = random(4, 16, 24)
    expected = latents
    for _ in range(levels):
        expected = haar_low(expected)
    torch.testing.assert_close(HaarBand(levels=levels).low(latents) * 2**levels, expected)


@pytest.mark.parametrize("levels", [1, 2])
def test_the_step_is_the_gradient_of_half_the_squared_distance(levels):
    found, wanted = random(4, 16, 24).requires_grad_(), random(4, 16, 24, seed=1)
    band = HaarBand(levels=levels)
    distance = ((band.low(found) - band.low(wanted)) * 2**levels).square().sum() / 2
    (gradient,) = torch.autograd.grad(distance, found)
    with torch.no_grad():
        correction = band.spread(band.low(found) - band.low(wanted), found.shape)
    torch.testing.assert_close(correction, gradient)


@pytest.mark.parametrize("origin", [(0, 0), (1, 0), (3, 5)])
@pytest.mark.parametrize("levels", [1, 2])
def test_odd_sizes_and_parts_of_a_canvas(levels, origin):
    """What is spread has the band that it came from; blocks lie as on the whole canvas."""
    band, latents = HaarBand(levels=levels, origin=origin), random(*SHAPE)
    low = band.low(latents)
    torch.testing.assert_close(band.low(band.spread(low, latents.shape)), low)
    whole = random(4, origin[0] + 21, origin[1] + 30)
    there = HaarBand(levels=levels).low(whole)
    part = band.low(whole[:, origin[0] :, origin[1] :])
    row, col = (-(-place // 2**levels) - place // 2**levels for place in origin)
    inner = there[:, -(part.shape[1] - row) :, -(part.shape[2] - col) :]
    torch.testing.assert_close(part[:, row:, col:], inner)


def test_the_weight_falls_along_a_cosine():
    assert [cosine(time) for time in (1000, 500, 0)] == pytest.approx([1.0, 0.5, 0.0])
    assert cosine(450) == pytest.approx(0.5 * (1 + math.cos(0.55 * math.pi)))


def corrected(name, spec, *, weight, step=4):
    """Clean latents after one step of the loop and one more by the same noise, with the input's latents."""
    sampler = sampler_for(name, spec, STEPS)
    clean, other, noise = (random(*SHAPE, seed=seed) for seed in (1, 2, 3))
    prior = GlobalStructurePrior(sampler, clean, weight=weight)
    latents = sampler.add_noise(other, noise, step)
    prediction = perfect(sampler, other, latents, step)
    torch.testing.assert_close(sampler.x0(prediction, step, latents), other, rtol=0, atol=1e-4)
    assert torch.equal(prior.on_prediction(prediction, latents, step), prediction)
    after = sampler.step(prediction, step, latents, lambda at: torch.zeros(SHAPE))
    shift = prior.on_latents(after.clone(), step) - after
    return clean, other, shift / sampler.signal(step + 1)


def perfect(sampler, picture, latents, step):
    """The prediction that stands for this picture: predictions are linear in it."""
    zero = torch.zeros_like(latents)
    offset = sampler.x0(zero, step, latents)
    factor = (sampler.x0(torch.ones_like(latents), step, latents) - offset).mean()
    return (picture - offset) / factor


@pytest.mark.parametrize(("name", "spec"), CASES)
def test_with_full_weight_the_band_is_the_inputs(name, spec):
    weight = 1 / cosine(float(sampler_for(name, spec, STEPS).timesteps[4]))
    clean, other, shift = corrected(name, spec, weight=weight)
    band = HaarBand(levels=1)
    torch.testing.assert_close(band.low(other + shift), band.low(clean), rtol=0, atol=1e-4)
    high = shift - band.spread(band.low(shift), shift.shape)
    assert float(high.abs().max()) < 1e-4, "the high bands stay"


def test_more_than_full_weight_overshoots_and_a_little_goes_a_part_of_the_way():
    time = float(sampler_for("ddim", EPSILON, STEPS).timesteps[4])
    band = HaarBand(levels=1)
    for share in (0.2, 1.0, 1.5):
        clean, other, shift = corrected("ddim", EPSILON, weight=share / cosine(time))
        gap = band.low(clean) - band.low(other)
        torch.testing.assert_close(band.low(shift), share * gap, rtol=0, atol=1e-4)


def test_sampling_with_it_keeps_the_structure_of_the_input():
    """A network that knows another picture is led to one with the input's low band, as far as the weight falls."""
    clean, other = random(*SHAPE, seed=1), random(*SHAPE, seed=2)
    sampler = sampler_for("ddim", EPSILON, 20)
    grid = even_grid(Size(*SHAPE[1:]), 32, 0)
    windows = windows_for("multidiffusion", grid, steps=20, seed=0)
    band, distances = HaarBand(levels=1), []

    def predict(crops, timestep, tiles, ids):
        step = sampler.timesteps.tolist().index(int(timestep))
        return sampler.prediction_of(other, step, crops[0])[None]

    for weight in (None, 0.2, 1.0):
        guidance = () if weight is None else (GlobalStructurePrior(sampler, clean, weight=weight),)
        end = denoise(
            sampler.add_noise(clean, random(*SHAPE, seed=3), 11),
            predict=predict, scheduler=sampler, windows=windows, prompts=PromptPlan(positive=(0,)),
            guidance=guidance, start=11,
        )  # fmt: skip
        distances.append(float((band.low(end) - band.low(clean)).square().mean()))
    assert distances[0] > distances[1] > distances[2]


def test_no_weight_changes_nothing():
    assert float(corrected("ddim", EPSILON, weight=0.0)[2].abs().max()) == 0.0
