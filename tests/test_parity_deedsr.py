"""DeeDSR against what its official code computes on random weights (ZIDO_PARITY_DIR)."""

from __future__ import annotations

import zlib
from dataclasses import dataclass, field
from functools import cache

import numpy as np
import pytest
import torch

from tests.golden import PARITY, close, described, tensors, tolerance, weights, weights_file
from zido_core.checkpoint import load_strictly
from zido_core.nets.deedsr import build_adapter, build_learner, build_unet
from zido_core.nets.ldm import unet_config
from zido_core.nets.stablesr import EncoderConfig
from zido_core.sampling.denoise import PromptPlan, denoise
from zido_core.sampling.guidance import Guidance
from zido_core.sampling.noise_guidance import NoiseGuidance
from zido_core.sampling.schedule import Schedule, alphas_cumprod
from zido_core.sampling.windows import Windows
from zido_core.tiling.fusion import crop
from zido_core.tiling.grid import Size, even_grid

LEARNERS = described("deedsr_*", "weights_recipe")
NETWORKS = described("deedsr_*", "adapter_config")
SAMPLINGS = described("deedsr_*", "ddim_steps")
LEARNED = [(name, case["case"]) for name, content in LEARNERS.items() for case in content["cases"]]
FORWARDS = [(name, case["case"]) for name, content in NETWORKS.items() for case in content["cases"]]
MODES = [(name, mode) for name in SAMPLINGS for mode in ("noise_guidance", "no_guidance")]

ADAPTER, UNET = "Encoder_degrad.", "model.diffusion_model."


def test_there_are_golden_tensors():
    if not all((LEARNERS, NETWORKS, SAMPLINGS)):
        pytest.skip(f"no deedsr_*.json in {PARITY}; set ZIDO_PARITY_DIR")


@cache
def networks(name):
    """Adapter and UNet with the recorded weights."""
    content = NETWORKS[name]
    adapter = build_adapter(EncoderConfig.from_ldm(content["adapter_config"]), learner=None)
    config = content["unet_config"]
    unet = build_unet(unet_config(config), structure_channels=config["semb_channels"])
    for network, prefix in ((adapter, ADAPTER), (unet, UNET)):
        load_strictly(network, weights(content, prefix), path=name, get="", official=network.official_name)
    return adapter, unet


def drawn(name, shape, seed):
    """A tensor of the learner by the recipe of the golden files."""
    if name.endswith("num_batches_tracked"):
        return torch.zeros(shape)
    state = np.random.RandomState((seed + zlib.crc32(name.encode())) % 2**32)
    normal = state.standard_normal(int(np.prod(shape))).reshape(shape)
    if len(shape) > 1:
        value = normal * np.sqrt(2 / np.prod(shape[1:]))
    elif name.endswith("running_var"):
        value = 1 + 0.2 * np.abs(normal)
    else:
        value = 0.1 * normal + name.endswith("weight")
    return torch.from_numpy(value.astype(np.float32))


@pytest.mark.parametrize(("name", "case"), LEARNED)
@torch.inference_mode()
def test_learner(name, case):
    """Tokens and the pooled vector."""
    content = next(each for each in LEARNERS[name]["cases"] if each["case"] == case)
    shapes, recorded = content["state_shapes"], tensors(name, case)
    assert len(shapes) == content["n_state_entries"]
    learner = build_learner(content["layers"])
    state = {key: drawn(key, shape, content["base_seed"]) for key, shape in shapes.items()}
    load_strictly(learner, state, path=name, get="")
    found = learner(recorded["in.lr_u8"].permute(0, 3, 1, 2).float() / 255)
    for key, value in zip(("out.tokens", "out.vector"), found, strict=True):
        close(value, recorded[key], tolerance(LEARNERS[name]) * float(recorded[key].abs().max()), key)


@pytest.mark.parametrize(("name", "case"), FORWARDS)
@torch.inference_mode()
def test_forward(name, case):
    """The adapter's maps and tokens, and the UNet that sees both."""
    adapter, unet = networks(name)
    recorded, bound = tensors(name, case), tolerance(NETWORKS[name])
    times = recorded["in.timesteps"]
    structure, tokens = adapter(recorded["in.lr_latent"], times, recorded["in.degradation_vector"])
    widths = {f"out.struct.{each.shape[-1]}": each for each in structure}
    assert set(widths) == {key for key in recorded if key.startswith("out.struct.")}
    for key, found in widths.items():
        close(found, recorded[key], bound, key)
    close(tokens, recorded["out.global_tokens"], bound, "tokens")
    close(unet(recorded["in.latents"], times, tokens, structure), recorded["out.unet"], bound)


def schedule_of(content):
    """DDIM over the recorded times; official DDIM ends at the noise of the first training time."""
    alphas = torch.from_numpy(alphas_cumprod(0.00085, 0.012, "scaled_linear"))
    return Schedule(
        alphas_cumprod=alphas,
        timesteps=torch.tensor(content["timesteps_in_order"]),
        prediction_type="epsilon",
        eta=content["eta"],
        final_alpha_cumprod=float(alphas[0]),
    )


@dataclass
class Recorder(Guidance):
    """What the loop computes, step by step."""

    schedule: Schedule
    clean: list = field(default_factory=list)
    latents: list = field(default_factory=list)

    def on_prediction(self, prediction, latents, step):
        self.clean.append(self.schedule.x0(prediction, step, latents))
        return prediction

    def on_latents(self, latents, step):
        self.latents.append(latents.clone())
        return latents


@pytest.mark.parametrize("name", SAMPLINGS)
def test_schedule(name):
    recorded, ours = tensors(name), schedule_of(SAMPLINGS[name])
    steps = len(ours.timesteps)
    found = {
        "alphas": ours.alphas[:-1],
        "alphas_prev": ours.alphas[1:],
        "sigmas": [ours.sigma(step) for step in range(steps)],
    }
    for key, values in found.items():
        ascending = torch.tensor(values, dtype=torch.float64).flip(0)
        torch.testing.assert_close(ascending, recorded[f"out.schedule.{key}"].double(), rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize(("name", "mode"), MODES)
def test_sampling(name, mode):
    """DDIM through the loop of every run, with and without noise guidance in the first step."""
    content, recorded = SAMPLINGS[name], tensors(name)
    adapter, unet = networks(next(key for key, each in NETWORKS.items() if weights_file(each) == weights_file(content)))
    clean, schedule = recorded["in.lr_latent"][0], schedule_of(content)

    def predict(latents, timestep, tiles, prompt_ids):
        seen = torch.stack([crop(clean, tile) for tile in tiles])
        times, description = timestep.expand(len(tiles)), recorded["in.degradation_vector"].expand(len(tiles), -1)
        structure, tokens = adapter(seen, times, description)
        return unet(latents, times, tokens, structure)

    canvas, recorder = Size(*clean.shape[1:]), Recorder(schedule)
    guided = [NoiseGuidance(schedule=schedule, clean=clean)] if mode == "noise_guidance" else []
    denoise(
        recorded["in.x_T"][0],
        predict=predict,
        scheduler=schedule,
        windows=Windows(grid=even_grid(canvas, canvas, 0), weighting="uniform"),
        prompts=PromptPlan(positive=(0,)),
        noise=lambda step: recorded["in.step_noise"][step],
        guidance=[*guided, recorder],
    )
    bound = tolerance(content)
    close(torch.stack(recorder.clean), recorded[f"out.{mode}.pred_x0"], bound, "x0")
    close(torch.stack(recorder.latents), recorded[f"out.{mode}.latents"], bound, "latents")


def test_noise_guidance_takes_the_latents_for_the_input_under_noise():
    """Eq. 11 in closed form, in the chosen steps and in no other."""
    generator = torch.Generator().manual_seed(0)
    clean, latents, heard = (torch.randn(4, 6, 5, generator=generator) for _ in range(3))
    schedule = schedule_of({"timesteps_in_order": [801, 601, 401], "eta": 0.0})
    guidance = NoiseGuidance(schedule=schedule, clean=clean, steps={0, 2})
    for step in (0, 2):
        alpha = schedule.alphas[step]
        expected = (latents - alpha**0.5 * clean) / (1 - alpha) ** 0.5
        torch.testing.assert_close(guidance.on_prediction(heard, latents, step), expected)
    assert guidance.on_prediction(heard, latents, 1) is heard


def test_sizes_of_the_published_networks():
    """Tensors and millions of numbers, as the paper's table and the official classes have them."""
    unet, adapter = build_unet(), build_adapter()
    state = {unet.official_name(name): tensor for name, tensor in unet.state_dict().items()}
    assert size_of(state) == (818, 906.11)
    assert size_of({name: tensor for name, tensor in state.items() if ".spade." in name}) == (132, 52.98)
    assert size_of({name: tensor for name, tensor in state.items() if ".attn2." in name}) == (80, 37.57)
    assert size_of(adapter.state_dict()) == (464, 160.95)
    assert size_of(build_learner().state_dict()) == (222, 85.05)
    names = {adapter.official_name(name) for name in adapter.state_dict()}
    assert {
        "degrad_encoder.layer4.2.bn2.running_var",
        "input_blocks.1.1.body.0.da_conv1.kernel.0.weight",
        "input_blocks.1.1.chain.0.weight",
    } <= names


def size_of(state):
    """Tensors, and millions of numbers."""
    return len(state), round(sum(tensor.numel() for tensor in state.values()) / 1e6, 2)
