"""StableSR against what its official code computes on tiny random weights (ZIDO_PARITY_DIR)."""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import replace
from functools import cache

import pytest
import torch
from safetensors.torch import load_file

from tests.golden import PARITY, close, described, tensors, tolerance, weights_file
from zido_core.backbones.base import ScheduleSpec
from zido_core.backbones.cfw import keep, wrap
from zido_core.backbones.folder import ModelFolder
from zido_core.backbones.stablesr import StablesrBackbone, StablesrCondition
from zido_core.backbones.stablesr_files import StablesrParts, find_files, load_autoencoder, load_networks
from zido_core.backbones.text import Encoded
from zido_core.backbones.vae import decode_tiled, encode_tiled
from zido_core.catalog import describe
from zido_core.nets.stablesr import build_cfw, build_encoder, build_unet
from zido_core.sampling.denoise import PromptPlan, denoise
from zido_core.sampling.samplers import sampler_for
from zido_core.sampling.windows import Windows
from zido_core.tiling.grid import Size, flush_grid

NETWORKS = described("stablesr_*", "unet_config", "encoder_config")
AUTOENCODERS = described("stablesr_*", "ddconfig")
SCHEDULES = described("stablesr_*", "N", "tensors")
CANVASES = described("stablesr_*", "canvas_latent_hw")
FORWARDS = [(name, case["case"]) for name, content in NETWORKS.items() for case in content["cases"]]
DECODINGS = [(name, case["case"]) for name, content in AUTOENCODERS.items() for case in content["cases"]]
STEPS = [(name, steps) for name, content in SCHEDULES.items() for steps in content["N"]]

CPU = torch.device("cpu")
SCHEDULE = ScheduleSpec(prediction_type="epsilon", timestep_spacing="linspace")


def test_there_are_golden_tensors():
    if not all((NETWORKS, AUTOENCODERS, SCHEDULES, CANVASES)):
        pytest.skip(f"no stablesr_*.json in {PARITY}; set ZIDO_PARITY_DIR")


@pytest.fixture(scope="module")
def loaded(tmp_path_factory):
    """What the loader makes of recorded networks, and of a recorded autoencoder beside them."""

    @cache
    def load(networks, autoencoder=None):
        folder = tmp_path_factory.mktemp("models") / "stablesr"
        folder.mkdir()
        described = [NETWORKS[networks], *([] if autoencoder is None else [AUTOENCODERS[autoencoder]])]
        for content in described:
            shutil.copy(PARITY / weights_file(content), folder)
        config = {key: value for content in described for key, value in content.items()}
        (folder / "config.json").write_text(json.dumps(config))
        models = ModelFolder(path=folder.parent, get="")
        files = find_files(models, "stablesr")
        unet, encoder, _ = load_networks(models, files, "", torch.float32)
        vae = cfw = None
        if autoencoder is not None:
            vae, cfw, _ = load_autoencoder(models, files, "", CPU)
        return StablesrParts(
            unet=unet, encoder=encoder, vae=vae, cfw=cfw, text=None, schedule=SCHEDULE, weights_hash=""
        )

    return load


@pytest.fixture(scope="module")
def autoencoder(loaded):
    """The autoencoder of diffusers and the wrapping, from the file of official names."""

    def load(name):
        parts = loaded(next(iter(NETWORKS)), name)
        return parts.vae, parts.cfw

    return load


@pytest.mark.parametrize(("name", "case"), FORWARDS)
@torch.inference_mode()
def test_forward(loaded, name, case):
    """The encoder's maps at every resolution, and the UNet that they modulate."""
    encoder, unet = loaded(name).encoder, loaded(name).unet
    recorded, bound = tensors(name, case), tolerance(NETWORKS[name])
    structure = encoder(recorded["in.lr_latent"], recorded["in.timesteps"])
    widths = {f"out.struct.{each.shape[-1]}": each for each in structure}
    assert set(widths) == {key for key in recorded if key.startswith("out.struct.")}
    for key, found in widths.items():
        close(found, recorded[key], bound, key)
    prediction = unet(recorded["in.latents"], recorded["in.timesteps"], recorded["in.context"], structure)
    close(prediction, recorded["out.unet"], bound)


@pytest.mark.parametrize("mode", ["off", "exact"])
@pytest.mark.parametrize(("name", "case"), DECODINGS)
def test_feature_wrapping(autoencoder, name, case, mode):
    """Whole and in tiles: moments, the encoder's features, the image for every weight of them."""
    vae, cfw = autoencoder(name)
    recorded, bound, seen = tensors(name, case), tolerance(AUTOENCODERS[name]), {}
    run = {"mode": mode, "tile_size": 24}
    moments = encode_tiled(vae, recorded["in.lr_image"][0], tap=keep(cfw, seen), **run)
    close(moments[None], recorded["out.moments"], bound)
    for index, stride in enumerate(sorted(seen)):
        close(seen[stride][None], recorded[f"out.enc_fea{index}"], bound)
    decoded = {float(key.removeprefix("out.decoded_w")): key for key in recorded if key.startswith("out.decoded_w")}
    assert decoded
    for weight, key in decoded.items():
        image = decode_tiled(vae, recorded["in.z"][0], tap=wrap(cfw, seen, weight=weight), **run)
        close(image[None], recorded[key], bound, key)
        if weight == 0:
            close(decode_tiled(vae, recorded["in.z"][0], **run)[None], recorded[key], bound, "plain")


@pytest.mark.parametrize(("name", "case"), DECODINGS)
@torch.inference_mode()
def test_wrapping_of_whole_maps_equals_that_in_lockstep(autoencoder, name, case):
    vae, cfw = autoencoder(name)
    recorded = tensors(name, case)
    seen = {2 ** (index + 1): recorded[f"out.enc_fea{index}"] for index in range(len(cfw))}
    hooks = []
    for level, block in enumerate(reversed(vae.decoder.up_blocks)):
        wrapping = cfw.at(2**level)
        if wrapping is not None:

            def hook(module, inputs, output, wrapping=wrapping, stride=2**level):
                return output + wrapping(seen[stride], output)

            hooks.append(block.resnets[-1].register_forward_hook(hook))
    expected = vae.decode(recorded["in.z"]).sample
    for hook in hooks:
        hook.remove()
    close(expected, recorded["out.decoded_w1.0"], tolerance(AUTOENCODERS[name]))


def schedule(steps, kind="epsilon"):
    """As a user's run makes it: all times from 0 to 999, spread evenly, and fresh noise in every step."""
    return sampler_for("ddpm", replace(SCHEDULE, prediction_type=kind), steps)


@pytest.mark.parametrize(("name", "steps"), STEPS)
def test_schedule(name, steps):
    """Times, noise, and the mean and variance of a step, as the sampler itself makes them."""
    stored, bound = load_file(PARITY / f"{name}.safetensors"), tolerance(SCHEDULES[name])
    recorded = {key.removeprefix(f"N{steps}."): value for key, value in stored.items() if key.startswith(f"N{steps}.")}
    ours = replace(schedule(steps), prediction_type="sample")
    one, nothing = torch.ones((), dtype=torch.float64), torch.zeros((), dtype=torch.float64)
    ascending = range(steps - 1, -1, -1)
    alphas = torch.tensor(ours.alphas, dtype=torch.float64)
    found = {
        "timesteps": ours.timesteps.flip(0),
        "alphas_cumprod": alphas[:-1].flip(0),
        "alphas_cumprod_prev": alphas[1:].flip(0),
        "betas": 1 - (alphas[:-1] / alphas[1:]).flip(0),
        "posterior_variance": torch.tensor([ours.sigma(step) ** 2 for step in ascending], dtype=torch.float64),
        "posterior_mean_coef1": torch.stack([ours.step(one, step, nothing, lambda _: nothing) for step in ascending]),
        "posterior_mean_coef2": torch.stack([ours.step(nothing, step, one, lambda _: nothing) for step in ascending]),
    }
    log_variance = recorded.pop("posterior_log_variance_clipped")
    torch.testing.assert_close(found["posterior_variance"][1:].log(), log_variance[1:].double(), rtol=bound, atol=0)
    assert set(recorded) == set(found)
    for key, value in recorded.items():
        # Official betas are what a float32 number lacks to 1: the smallest are 2.6e-5 of themselves off the exact ones.
        largest = float(value.double().abs().max())
        torch.testing.assert_close(found[key].double(), value.double(), rtol=bound, atol=bound * largest, msg=key)
    torch.testing.assert_close(ours.alphas_cumprod, stored["full.alphas_cumprod"].double(), rtol=bound, atol=0)


@pytest.mark.parametrize("name", CANVASES)
def test_canvas(loaded, name):
    """Some steps on a canvas of tiles with Gaussian weights, through the backbone and the loop of every run."""
    content, recorded = CANVASES[name], tensors(name)
    parts = loaded(next(key for key, each in NETWORKS.items() if weights_file(each) == weights_file(content)))
    backbone = StablesrBackbone(describe("stablesr"), parts, CPU, torch.float32)
    canvas = Size(*content["canvas_latent_hw"])
    condition = StablesrCondition(
        size=canvas.scaled(2),
        image=torch.zeros(3, *canvas.scaled(8)),
        texts=Encoded(tokens=recorded["in.context"]),
        text_ids=torch.tensor([0]),
        latents=recorded["in.lr_latent"][0],
    )
    grid = flush_grid(canvas, content["tile"], content["overlap"])
    assert (list(grid.cols), list(grid.rows)) == (content["tile_x_offsets"], content["tile_y_offsets"])

    kind = {"eps": "epsilon", "v": "v_prediction"}[re.search(r"parameterization (\w+)", content["title"])[1]]
    whole, done = schedule(content["N"], kind), [content["N"] - 1 - index for index in content["step_indices"]]
    part = replace(
        whole,
        timesteps=whole.timesteps[done[0] : done[-1] + 1],
        final_alpha_cumprod=whole.alphas[done[-1] + 1],
    )
    assert part.timesteps.tolist() == content["model_timesteps"]

    latents = []
    denoise(
        recorded["in.x_T"][0],
        predict=lambda *crops: backbone.predict(condition, *crops),
        scheduler=part,
        windows=Windows(grid=grid, weighting="gaussian"),
        prompts=PromptPlan(positive=(0,) * len(grid)),
        noise=lambda step: recorded["in.step_noise"][step],
        on_step=lambda step, value: latents.append(value.clone()),
    )
    close(torch.stack(latents), recorded["out.latents"], tolerance(content))


def test_sizes_of_the_published_networks():
    """Tensors and numbers of the checkpoint, and how many of the UNet's are StableSR's own."""
    unet, encoder, cfw = build_unet(), build_encoder(), build_cfw()
    state = {unet.official_name(name): tensor for name, tensor in unet.state_dict().items()}
    own = {name: tensor for name, tensor in state.items() if ".spade." in name}
    assert size_of(state) == (862, 918.93)
    assert size_of(own) == (176, 53.02)
    assert size_of(encoder.state_dict()) == (200, 52.49)
    assert size_of(cfw.state_dict()) == (156, 44.39)
    places = {name.split(".spade.")[0] for name in own}
    inputs = {f"input_blocks.{number}.0" for number in (1, 2, 4, 5, 7, 8, 10, 11)}
    assert places == inputs | {"middle_block.0", "middle_block.2"} | {
        f"output_blocks.{number}.0" for number in range(12)
    }
    assert {cfw.official_name(name).split(".")[1] for name in cfw.state_dict()} == {"fusion_layer_1", "fusion_layer_2"}


def size_of(state):
    """Tensors, and millions of numbers."""
    return len(state), round(sum(tensor.numel() for tensor in state.values()) / 1e6, 2)
