"""SeeSR and ZIDO against the official code on tiny random weights (ZIDO_PARITY_DIR), on the way of a user's run.

The recorded weights become a model folder with the official names, which the loader reads; the backbone predicts, and
the denoising loop goes over the official grid with the recorded noise in the place of drawn noise.
"""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from zido_core.backbones.folder import ModelFolder, load_schedule
from zido_core.backbones.latent_model import LatentCondition
from zido_core.backbones.seesr import SeesrBackbone
from zido_core.backbones.seesr_files import SCHEDULE, SeesrParts, load_controlnet, load_unet
from zido_core.backbones.text import Encoded
from zido_core.catalog import describe
from zido_core.nets.seesr import IMAGE_TOKENS, take_hint_embedding
from zido_core.sampling.denoise import PromptPlan, denoise
from zido_core.sampling.guidance import Guidance
from zido_core.sampling.samplers import sampler_for
from zido_core.sampling.schedule import under_noise
from zido_core.sampling.windows import windows_for
from zido_core.tiling.grid import Size, Tile, flush_grid

PARITY = Path(os.environ.get("ZIDO_PARITY_DIR") or Path(__file__).parents[2] / "shared" / "parity" / "visible")
DESCRIBED = {path.stem: json.loads(path.read_text()) for path in sorted(PARITY.glob("seesr_*.json"))}
NETWORKS = {name: content for name, content in DESCRIBED.items() if "unet_config" in content}
FORWARDS = [(name, case["case"]) for name, content in NETWORKS.items() for case in content["cases"]]
LOOPS = [(name, run["name"]) for name, content in DESCRIBED.items() for run in content.get("runs", ())]

FORWARD, LOOP = 2e-4, 1e-3
"""Tolerances of the parity files: a single forward, and latents after several steps."""


def test_there_are_golden_tensors():
    if not FORWARDS or not LOOPS:
        pytest.skip(f"no seesr_*.json in {PARITY}; set ZIDO_PARITY_DIR")


@pytest.fixture(scope="module")
def make_backbone(tmp_path_factory):
    made = {}

    def make(name, scheduler=None, hint="tile"):
        folder = made.get(name) or model_folder(tmp_path_factory.mktemp(name), NETWORKS[name])
        made[name] = folder
        if scheduler is not None:
            (folder / "scheduler").mkdir(exist_ok=True)
            (folder / "scheduler" / "scheduler_config.json").write_text(json.dumps(scheduler))
        models = ModelFolder(path=folder, get="")
        controlnet = load_controlnet(models, torch.float32)[0]
        parts = SeesrParts(
            unet=load_unet(models, "stable-diffusion-2-base", torch.float32)[0],
            controlnet=controlnet,
            hint_embedding=take_hint_embedding(controlnet),
            vae=None,
            text=None,
            schedule=load_schedule(models, default=SCHEDULE),
            weights_hash="",
        )
        backbone = SeesrBackbone(describe("zido"), parts, torch.device("cpu"), torch.float32)
        backbone.hint = hint
        return backbone

    return make


def model_folder(root, described):
    """The recorded weights as SeeSR publishes its own."""
    unet_file, controlnet_file = (
        next(name for name in described["weights"] if part in name) for part in ("unet.", "controlnet.")
    )
    controlnet = described["controlnet_config"]
    configs = {
        "unet": (unet_file, described["unet_config"]),
        "controlnet": (
            controlnet_file,
            described["unet_config"]
            | {
                "conditioning_embedding_out_channels": controlnet["conditioning_embedding_out_channels"],
                "conditioning_channels": controlnet["conditioning_channels"],
            },
        ),
    }
    for part, (file, config) in configs.items():
        place = root / "seesr" / part
        place.mkdir(parents=True)
        (place / "config.json").write_text(json.dumps(config))
        shutil.copy(PARITY / file, place / "diffusion_pytorch_model.safetensors")
    return root


def told(backbone, tensors, *, texts, text_ids, seen_ids, scale=1.0):
    """The condition that the recorded image, words and embeddings make."""
    image = tensors["in.control_image_u8"].permute(2, 0, 1).float() / 255
    common = LatentCondition(
        size=Size(image.shape[1] // 4, image.shape[2] // 4),
        image=image,
        texts=Encoded(tokens=texts),
        text_ids=torch.tensor(text_ids),
    )
    return backbone.told(
        common,
        seen=tensors["in.image_embeds"],
        seen_ids=seen_ids,
        scale=scale,
    )


@pytest.mark.parametrize("hint", ["tile", "canvas"])
@pytest.mark.parametrize(("name", "case"), FORWARDS)
class TestForward:
    @pytest.fixture
    def described(self, name, case):
        return next(each for each in NETWORKS[name]["cases"] if each["case"] == case)

    @pytest.fixture
    def tensors(self, name, case):
        stored = load_file(PARITY / NETWORKS[name]["io"])
        start = f"case{case}."
        return {key.removeprefix(start): value for key, value in stored.items() if key.startswith(start)}

    @pytest.fixture
    def setup(self, make_backbone, name, hint, tensors, described):
        backbone, count = make_backbone(name, hint=hint), described["batch"]
        scale = described["conditioning_scale"]
        ids = range(count)
        condition = told(backbone, tensors, texts=tensors["in.text_embeds"], text_ids=ids, seen_ids=ids, scale=scale)
        tiles = [Tile.whole(Size(*described["latent_hw"]))] * count
        return backbone, condition, tiles

    def test_predict(self, setup, tensors, described):
        backbone, condition, tiles = setup
        time = torch.tensor(described["timestep"])
        noise = backbone.predict(condition, tensors["in.latents"], time, tiles, range(len(tiles)))
        torch.testing.assert_close(noise, tensors["out.unet"], rtol=0, atol=FORWARD)

    def test_networks(self, setup, tensors, described):
        """The ControlNet's residuals, and the UNet without them."""
        backbone, condition, tiles = setup
        given = {
            "encoder_hidden_states": tensors["in.text_embeds"],
            "cross_attention_kwargs": {IMAGE_TOKENS: tensors["in.image_embeds"]},
            "return_dict": False,
        }
        with torch.inference_mode():
            down, middle = backbone.parts.controlnet(
                tensors["in.latents"],
                described["timestep"],
                controlnet_cond=backbone._hints(condition, tiles),
                conditioning_scale=condition.scale,
                **given,
            )
            (alone,) = backbone.parts.unet(tensors["in.latents"], described["timestep"], **given)
        torch.testing.assert_close(alone, tensors["out.unet_no_controlnet"], rtol=0, atol=FORWARD)
        recorded = {key: value for key, value in tensors.items() if key.startswith("out.controlnet_")}
        ours = {f"out.controlnet_down.{index}": residual for index, residual in enumerate(down)}
        ours["out.controlnet_mid"] = middle
        assert set(ours) == set(recorded)
        for key, value in recorded.items():
            torch.testing.assert_close(ours[key], value, rtol=0, atol=FORWARD, msg=key)


@dataclass
class Recorder(Guidance):
    """What the loop computes, step by step."""

    eps: list = field(default_factory=list)
    latents: list = field(default_factory=list)

    def on_prediction(self, prediction, latents, step):
        self.eps.append(prediction.clone())
        return prediction

    def on_latents(self, latents, step):
        self.latents.append(latents.clone())
        return latents


@pytest.mark.parametrize(("name", "run_name"), LOOPS)
def test_loop(make_backbone, name, run_name):
    """Whole canvases: untiled, SeeSR's tiles with one prompt, ZIDO's tiles with their own prompts."""
    described = DESCRIBED[name]
    run = next(each for each in described["runs"] if each["name"] == run_name)
    tensors = load_file(PARITY / run["file"])
    networks = next(
        key for key, value in NETWORKS.items() if all(file in described["weights"] for file in value["weights"])
    )
    backbone = make_backbone(networks, scheduler=described["scheduler"])
    canvas = Size(*run["canvas_latent_hw"])
    grid = flush_grid(canvas, run["tile"] or max(canvas), run["overlap"] or 0)
    assert (list(grid.cols), list(grid.rows)) == (run["tile_x_offsets"], run["tile_y_offsets"])

    # The bank: the words of every tile, then the negative for every tile; an embedding belongs to the tile.
    count = len(tensors["in.text_embeds"])
    official = [grid.cols.index(tile.col) * len(grid.rows) + grid.rows.index(tile.row) for tile in grid]
    own = [place if count > 1 else 0 for place in official]
    condition = told(
        backbone,
        tensors,
        texts=torch.cat([tensors["in.negative_text_embeds"], tensors["in.text_embeds"]]),
        text_ids=[*range(1, count + 1), *[0] * count],
        seen_ids=[*range(count)] * 2,
        scale=run["conditioning_scale"],
    )
    scheduler = sampler_for(backbone.descriptor.sampler, backbone.schedule, run["num_inference_steps"])
    assert scheduler.timesteps.tolist() == run["timesteps"]
    start = tensors["in.initial_noise"][0] * scheduler.init_noise_sigma
    if run["start_point"] == "lr":
        clean, noise = tensors["in.lr_latent"][0], tensors["in.initial_noise"][0]
        start = under_noise(clean, noise, backbone.schedule, run["start_timestep"])
    torch.testing.assert_close(start, tensors["out.start_latents"][0], rtol=0, atol=1e-5)

    first = {}

    def predict(latents, timestep, tiles, prompt_ids):
        noise = backbone.predict(condition, latents, timestep, tiles, prompt_ids)
        for tile, number, value in zip(tiles, prompt_ids, noise, strict=True):
            first.setdefault((tile, number < count), value)
        return noise

    recorder = Recorder()
    weights = "gaussian" if "aussian" in run["mode"] else "uniform"
    final = denoise(
        start,
        predict=predict,
        scheduler=scheduler,
        windows=windows_for("multidiffusion", grid, weights=weights, steps=run["num_inference_steps"], seed=0),
        prompts=PromptPlan(positive=tuple(own), negative=tuple(count + place for place in own)),
        guidance_scale=run["guidance_scale"],
        noise=lambda step: tensors["in.step_noise"][step],
        guidance=[recorder],
    )
    for tile, place in zip(grid, official, strict=True):
        for branch, positive in enumerate((False, True)):
            recorded = tensors["out.tile_eps_step0"][place][branch]
            torch.testing.assert_close(first[tile, positive], recorded, rtol=0, atol=FORWARD)
    torch.testing.assert_close(torch.stack(recorder.eps), tensors["out.eps_guided"], rtol=0, atol=LOOP)
    torch.testing.assert_close(torch.stack(recorder.latents), tensors["out.latents"], rtol=0, atol=LOOP)
    torch.testing.assert_close(final, tensors["out.final_latents"][0], rtol=0, atol=LOOP)
