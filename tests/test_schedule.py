"""Schedules and samplers, against diffusers' and the papers' numbers."""

from __future__ import annotations

import diffusers
import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from zido_core.backbones.base import ScheduleSpec
from zido_core.errors import InvalidOptions
from zido_core.sampling.diffusers_sampler import DiffusersSampler
from zido_core.sampling.schedule import (
    Schedule,
    alphas_cumprod,
    diffuse,
    first_step,
    spaced,
    to_epsilon,
    to_v,
    to_x0,
)

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:diffusers", "ignore::FutureWarning:diffusers")

KINDS = ["epsilon", "v_prediction", "sample"]
SD2 = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear", "clip_sample": False}


def draw(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def noise_of(step):
    return draw(4, 6, 5, seed=100 + step)


def run(sampler, kind_seed=0):
    """Sample with predictions that depend on the latents, as a network's do."""
    latents = draw(4, 6, 5) * sampler.init_noise_sigma
    for step in range(len(sampler.timesteps)):
        seen = sampler.scale_model_input(latents, step)
        prediction = 0.7 * torch.tanh(seen) + 0.3 * draw(4, 6, 5, seed=step + kind_seed)
        latents = sampler.step(prediction, step, latents, noise_of)
    return latents


@pytest.mark.parametrize(("kind", "zero_snr"), [*((k, False) for k in KINDS), *((k, True) for k in KINDS[1:])])
@pytest.mark.parametrize("spacing", ["trailing", "leading", "linspace"])
@pytest.mark.parametrize("eta", [0.0, 0.6, 1.0])
@pytest.mark.parametrize("steps", [4, 20])
def test_ddim_equals_diffusers(kind, spacing, zero_snr, eta, steps):
    reference = diffusers.DDIMScheduler(
        **SD2, prediction_type=kind, timestep_spacing=spacing, rescale_betas_zero_snr=zero_snr, steps_offset=1
    )
    reference.set_timesteps(steps)
    spec = ScheduleSpec(prediction_type=kind, zero_terminal_snr=zero_snr, timestep_spacing=spacing)
    ours = Schedule.from_spec(spec, steps=steps, eta=eta)
    assert ours.timesteps.tolist() == reference.timesteps.tolist()
    assert np.allclose(ours.alphas_cumprod, reference.alphas_cumprod, atol=1e-6)
    latents = draw(4, 6, 5)
    for step, t in enumerate(reference.timesteps):
        previous = t - 1000 // steps
        if step + 1 < steps and previous != reference.timesteps[step + 1]:
            return  # diffusers goes to a time that is not the next step's; we do not
        prediction = draw(4, 6, 5, seed=step + 1)
        expected = reference.step(prediction, t, latents, eta=eta, variance_noise=noise_of(step)).prev_sample
        latents = ours.step(prediction, step, latents, noise_of)
        # diffusers takes the root of 1 - alpha - sigma^2 in float32, of which nothing is left at alpha = 0.
        cancelled = eta == 1 and step == 0 and zero_snr
        atol = 1e-3 if cancelled else 1e-5 * max(1, float(latents.abs().max()))
        assert torch.allclose(latents, expected, rtol=1e-5, atol=atol)


@pytest.mark.parametrize("steps", [3, 50])
@pytest.mark.parametrize("kind", ["epsilon", "v_prediction"])
def test_eta_one_is_ddpm_with_small_variance(steps, kind):
    reference = diffusers.DDPMScheduler(**SD2, prediction_type=kind, timestep_spacing="leading", steps_offset=1)
    reference.set_timesteps(steps)
    spec = ScheduleSpec(prediction_type=kind, timestep_spacing="leading")
    ours = run(Schedule.from_spec(spec, steps=steps, eta=1.0))
    theirs = run(DiffusersSampler(reference))
    assert torch.allclose(ours, theirs, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("kind", "other"), [(a, b) for a in KINDS for b in KINDS])
@pytest.mark.parametrize("alpha", [0.9, 0.25, 1e-3])
def test_predictions_of_all_kinds_say_the_same(kind, other, alpha):
    x0, eps = draw(2, 3, 3).double(), draw(2, 3, 3, seed=1).double()
    latents = diffuse(x0, eps, alpha)
    convert = {"epsilon": to_epsilon, "v_prediction": to_v, "sample": to_x0}
    prediction = convert[kind](
        {"epsilon": eps, "sample": x0}.get(kind, to_v(x0, latents, alpha, "sample")), latents, alpha, kind
    )
    again = convert[other](prediction, latents, alpha, kind)
    assert torch.allclose(to_x0(again, latents, alpha, other), x0)
    assert torch.allclose(to_epsilon(again, latents, alpha, other), eps)


@pytest.mark.parametrize("kind", KINDS)
def test_prediction_of_a_given_x0(kind):
    schedule = Schedule.from_spec(ScheduleSpec(prediction_type=kind), steps=5)
    latents, x0 = draw(2, 3, 3).double(), draw(2, 3, 3, seed=1).double()
    prediction = schedule.prediction_of(x0, 2, latents)
    assert torch.allclose(schedule.x0(prediction, 2, latents), x0)


def test_no_signal_is_left_at_the_terminal_time():
    spec = ScheduleSpec(prediction_type="v_prediction", zero_terminal_snr=True, timestep_spacing="trailing")
    schedule = Schedule.from_spec(spec, steps=4)
    assert schedule.timesteps.tolist() == [999, 749, 499, 249]
    assert schedule.alphas[0] == 0
    assert torch.equal(schedule.add_noise(draw(2, 2), draw(2, 2, seed=1), 0), draw(2, 2, seed=1))


def test_true_predictions_give_the_truth():
    truth, start = draw(3, 4, 4).double(), draw(3, 4, 4, seed=1).double()
    spec = ScheduleSpec(prediction_type="v_prediction", zero_terminal_snr=True, timestep_spacing="trailing")
    schedule, latents = Schedule.from_spec(spec, steps=7), start
    for step in range(7):
        latents = schedule.step(schedule.prediction_of(truth, step, latents), step, latents)
    assert torch.allclose(latents, truth)


def test_refuses_epsilon_without_signal():
    with pytest.raises(InvalidOptions, match="v_prediction"):
        Schedule.from_spec(ScheduleSpec(prediction_type="epsilon", zero_terminal_snr=True), steps=4)


@pytest.mark.parametrize("steps", [0, 1001, -3])
def test_refuses_impossible_steps(steps):
    with pytest.raises(InvalidOptions, match="1 to 1000"):
        spaced(steps, 1000, "trailing")


@pytest.mark.parametrize("spacing", ["trailing", "leading", "linspace"])
@pytest.mark.parametrize("steps", [1, 2, 3, 7, 333, 999, 1000])
def test_times_descend_and_exist(spacing, steps):
    times = spaced(steps, 1000, spacing)
    assert len(times) == steps
    assert (np.diff(times) < 0).all()
    assert 0 <= times[-1] <= times[0] <= 999


def test_missing_noise_is_an_error():
    schedule = Schedule.from_spec(ScheduleSpec(prediction_type="epsilon"), steps=4, eta=1.0)
    with pytest.raises(ValueError, match="noise"):
        schedule.step(draw(1, 2, 2), 0, draw(1, 2, 2))


@pytest.mark.parametrize(
    ("strength", "steps", "first"), [(1.0, 10, 0), (0.5, 10, 5), (0.01, 10, 9), (0.25, 4, 3), (1.0, 1, 0)]
)
def test_first_step_of_a_strength(strength, steps, first):
    assert first_step(strength, steps) == first


@pytest.mark.parametrize("strength", [0.0, 1.1, -1])
def test_refuses_impossible_strength(strength):
    with pytest.raises(InvalidOptions, match="strength"):
        first_step(strength, 10)


BORROWED = [
    (diffusers.DDIMScheduler, {"clip_sample": False}, {}),
    (diffusers.DDIMScheduler, {"clip_sample": False}, {"eta": 1.0}),
    (diffusers.DDPMScheduler, {"clip_sample": False}, {}),
    (diffusers.EulerDiscreteScheduler, {}, {}),
    (diffusers.EulerAncestralDiscreteScheduler, {}, {}),
    (diffusers.HeunDiscreteScheduler, {}, {}),
    (diffusers.DPMSolverMultistepScheduler, {}, {}),
    (diffusers.DPMSolverMultistepScheduler, {"algorithm_type": "sde-dpmsolver++"}, {}),
    (diffusers.UniPCMultistepScheduler, {}, {}),
    (diffusers.LCMScheduler, {}, {}),
]


def borrowed(cls, config, arguments):
    scheduler = cls(beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", **config)
    scheduler.set_timesteps(5)
    return DiffusersSampler(scheduler, arguments), scheduler


@pytest.mark.parametrize(("cls", "config", "arguments"), BORROWED)
def test_borrowed_samplers_run_twice_alike(cls, config, arguments):
    sampler, _ = borrowed(cls, config, arguments)
    torch.manual_seed(1)
    first = run(sampler)
    torch.manual_seed(2)
    assert torch.equal(run(sampler), first)
    assert torch.isfinite(first).all()


@pytest.mark.parametrize(("cls", "config", "arguments"), [b for b in BORROWED if b[0] is not diffusers.LCMScheduler])
def test_borrowed_samplers_equal_diffusers(cls, config, arguments, monkeypatch):
    sampler, scheduler = borrowed(cls, config, arguments)
    ours = run(sampler)
    latents = draw(4, 6, 5) * sampler.init_noise_sigma
    for step, t in enumerate(scheduler.timesteps):
        seen = scheduler.scale_model_input(latents[None], t)[0]
        prediction = 0.7 * torch.tanh(seen) + 0.3 * draw(4, 6, 5, seed=step)
        noise = noise_of(step)[None]
        with monkeypatch.context() as patch:
            patch.setattr(torch, "randn", lambda *a, noise=noise, **k: noise)
            latents = scheduler.step(prediction[None], t, latents[None], **arguments).prev_sample[0]
    assert torch.equal(ours, latents)


def test_borrowed_samplers_start_anywhere():
    sampler, scheduler = borrowed(diffusers.EulerDiscreteScheduler, {}, {})
    x0, noise = draw(4, 6, 5), draw(4, 6, 5, seed=1)
    sigmas = scheduler.sigmas
    assert torch.allclose(sampler.add_noise(x0, noise, 2), x0 + noise * sigmas[2])
    assert torch.allclose(sampler.step(noise, 2, x0), x0 + noise * (sigmas[3] - sigmas[2]), atol=1e-5)


def test_borrowed_samplers_say_that_they_need_noise():
    sampler, _ = borrowed(diffusers.EulerAncestralDiscreteScheduler, {}, {})
    with pytest.raises(ValueError, match="draws noise"):
        sampler.step(draw(1, 2, 2), 0, draw(1, 2, 2))


@pytest.mark.parametrize("count", [200, 20, 4])
def test_respaced_times_equal_stablesr(parity_dir, count):
    """StableSR's respaced DDPM is eta = 1 over its times."""
    file = parity_dir / "stablesr_schedule.safetensors"
    if not file.exists():
        pytest.skip("no stablesr_schedule here")
    given = load_file(file)
    full = torch.from_numpy(alphas_cumprod(0.00085, 0.012, "scaled_linear"))
    assert np.allclose(full, given["full.alphas_cumprod"], rtol=1e-5)
    schedule = Schedule(
        alphas_cumprod=full,
        timesteps=given[f"N{count}.timesteps"].flip(0),
        prediction_type="epsilon",
        eta=1.0,
    )
    variance = [schedule.sigma(step) ** 2 for step in range(count)][::-1]
    assert np.allclose(schedule.alphas[:-1][::-1], given[f"N{count}.alphas_cumprod"], rtol=1e-5)
    assert np.allclose(variance[1:], given[f"N{count}.posterior_variance"][1:], rtol=2e-4)


def test_numbers_equal_deedsr(parity_dir):
    file = parity_dir / "deedsr_ddim.io.safetensors"
    if not file.exists():
        pytest.skip("no deedsr_ddim here")
    given = load_file(file)
    count = len(given["out.schedule.alphas"])
    full = torch.from_numpy(alphas_cumprod(0.00085, 0.012, "scaled_linear"))
    times = torch.arange(count).flip(0) * (1000 // count) + 1
    schedule = Schedule(
        alphas_cumprod=full,
        timesteps=times,
        prediction_type="v_prediction",
        eta=1.0,
        final_alpha_cumprod=float(full[0]),
    )
    assert np.allclose(schedule.alphas[:-1][::-1], given["out.schedule.alphas"], rtol=1e-5)
    assert np.allclose(schedule.alphas[1:][::-1], given["out.schedule.alphas_prev"], rtol=1e-5)
    assert np.allclose([schedule.sigma(i) for i in range(count)][::-1], given["out.schedule.sigmas"], rtol=1e-4)
