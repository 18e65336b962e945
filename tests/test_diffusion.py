"""Stable Diffusion from folders of diffusers: against diffusers' own pipelines, and from raster to raster."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
import rasterio
import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from diffusers.loaders.single_file_utils import (
    convert_ldm_clip_checkpoint,
    convert_ldm_unet_checkpoint,
    convert_ldm_vae_checkpoint,
    convert_open_clip_checkpoint,
)
from safetensors.torch import load_file, save_file
from transformers import CLIPTextConfig, CLIPTextModel

from tests import tiny_diffusion
from zido_core.backbones import load_backbone
from zido_core.backbones.text import bare_name
from zido_core.catalog import describe
from zido_core.errors import ModelMissing
from zido_core.nets.stable_diffusion import CONFIGS
from zido_core.options import Options, resolve
from zido_core.pipeline import Upscaler, tag
from zido_core.prompts.base import Prompt, Tag
from zido_core.sampling.denoise import PromptPlan, denoise
from zido_core.sampling.samplers import sampler_for
from zido_core.sampling.schedule import first_step
from zido_core.sampling.windows import windows_for
from zido_core.tiling.grid import Size, Tile, even_grid
from zido_core.tiling.noise import CONDITION, START, position_noise

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")

KINDS = {
    "sd-x4": tiny_diffusion.write_x4,
    "sd15": tiny_diffusion.write_sd,
    "sd21": tiny_diffusion.write_controlled,
    "sdxl": tiny_diffusion.write_xl,
}
"""Model -> what its folder holds; the one of 2.1 has a ControlNet."""

STEPS, SCALE, SEED = 4, 3.0, 5
WANTED, UNWANTED = "river, roof", "blurry"
UNCHANGED = {"color_fix": "none", "consistency": "off"}
"""What the network gives."""


@pytest.fixture(scope="session")
def pipelines(tmp_path_factory):
    """Per model its folder and diffusers' pipeline of it."""
    made = {}
    for model, write in KINDS.items():
        folder = tmp_path_factory.mktemp(model)
        with torch.random.fork_rng():
            made[model] = folder, write(folder)
    return made


@pytest.fixture(scope="session")
def crop(example_raster, tmp_path_factory):
    """Some houses, 40 x 56 pixels."""
    with rasterio.open(example_raster) as source:
        window = rasterio.windows.Window(30, 60, 56, 40)
        profile = source.profile | {"width": 56, "height": 40, "transform": source.window_transform(window)}
        path = tmp_path_factory.mktemp("crop") / "crop.tif"
        with rasterio.open(path, "w", **profile | {"tiled": False}) as target:
            target.write(source.read(window=window))
    return path


def load(model, folder):
    return load_backbone(describe(model), "cpu", torch.float32, str(folder))


def options_of(model, **options):
    return resolve(
        Options(model=model, steps=STEPS, guidance_scale=SCALE, seed=SEED, **options), describe(model), "photo"
    )


def ours(backbone, image, canvas, *, start=None, strength=1.0, **options):
    """Latents of one tile by the loop, from the noise of the places or from latents under it."""
    place, prompts = Tile.whole(canvas), [Prompt(text=WANTED), Prompt(text=UNWANTED)]
    condition = backbone.condition(
        image, place, prompts, lambda work: None, options_of(backbone.descriptor.name, **options)
    )
    scheduler = sampler_for("ddim", backbone.schedule, STEPS)
    first, noise = first_step(strength, STEPS), noise_at(canvas)
    return denoise(
        noise if start is None else scheduler.add_noise(start, noise, first),
        predict=lambda *crops: backbone.predict(condition, *crops),
        scheduler=scheduler,
        windows=windows_for("multidiffusion", even_grid(canvas, max(canvas), 0), steps=STEPS, seed=0),
        prompts=PromptPlan(positive=(0,), negative=(1,)),
        guidance_scale=SCALE,
        start=first,
    )


def noise_at(canvas, step=START, channels=4):
    return torch.from_numpy(position_noise(SEED, step, channels, Tile.whole(canvas)))


def random(*shape, seed=0):
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed))


COMMON = {"prompt": WANTED, "negative_prompt": UNWANTED, "num_inference_steps": STEPS, "guidance_scale": SCALE}


def test_the_upscaler_is_that_of_diffusers(pipelines, monkeypatch):
    folder, pipeline = pipelines["sd-x4"]
    image, canvas = random(3, 16, 24), Size(16, 24)
    module = "diffusers.pipelines.stable_diffusion.pipeline_stable_diffusion_upscale.randn_tensor"
    monkeypatch.setattr(module, lambda shape, **_: noise_at(canvas, CONDITION, 3)[None])
    theirs = pipeline(
        image=image[None], noise_level=40, latents=noise_at(canvas)[None], output_type="latent", **COMMON
    ).images[0]
    assert theirs.std() > 0.1
    found = ours(load("sd-x4", folder), image, canvas, noise_level=40)
    torch.testing.assert_close(found, theirs, rtol=0, atol=1e-4)


@pytest.mark.parametrize("model", ["sd15", "sd21", "sdxl"])
def test_image_to_image_is_that_of_diffusers(pipelines, model, monkeypatch):
    folder, pipeline = pipelines[model]
    backbone = load(model, folder)
    image, canvas = random(3, 32, 48), Size(16, 24)
    start = random(4, *canvas, seed=1) * 2 - 1
    module = type(pipeline).__module__
    monkeypatch.setattr(f"{module}.randn_tensor", lambda shape, **_: noise_at(canvas)[None])
    more = {"original_size": (128, 192), "target_size": (128, 192)} if model == "sdxl" else {}
    if backbone.parts.controlnet is not None:
        large = backbone.condition(image, Tile.whole(canvas), [Prompt()], lambda work: None, options_of(model)).image
        more |= {"control_image": large[None], "controlnet_conditioning_scale": 0.7}
    theirs = pipeline(image=start[None], strength=0.5, output_type="latent", **more, **COMMON).images[0]
    found = ours(backbone, image, canvas, start=start, strength=0.5, controlnet_conditioning_scale=0.7)
    assert (theirs - start).std() > 0.1
    torch.testing.assert_close(found, theirs, rtol=0, atol=1e-4)


def test_the_image_goes_through_the_autoencoder_and_back(pipelines):
    folder, pipeline = pipelines["sd15"]
    backbone = load("sd15", folder)
    place, image = Tile(0, 0, 16, 24), random(3, 32, 48)
    condition = backbone.condition(image, place, [Prompt()], lambda work: None, options_of("sd15"))
    latents = pipeline.vae.encode(condition.image[None] * 2 - 1).latent_dist.mean[0] * 0.18215
    torch.testing.assert_close(backbone.encode(condition), latents, rtol=0, atol=1e-4)
    decoded = pipeline.vae.decode(latents[None] / 0.18215).sample[0] / 2 + 0.5
    expected = (0.75 * decoded + 0.25 * condition.image).detach().numpy()
    np.testing.assert_allclose(backbone.decode(condition, latents, fidelity=0.25), expected, atol=1e-4)
    assert np.array_equal(backbone.decode(condition, None, fidelity=1.0), condition.image.numpy())


@pytest.mark.parametrize("model", KINDS)
def test_from_a_raster_to_a_raster_with_a_prompt_for_every_tile(pipelines, crop, tmp_path, model):
    upscaler = Upscaler.load(model, device="cpu", model_dir=str(pipelines[model][0]))
    tiles = {"tile_size": 128, "tile_overlap": 32}
    settings = tiles | UNCHANGED | {"steps": 2, "strength": 1.0}
    assert len({prompt.text for prompt in tag(crop, model=model, **tiles)}) > 1
    pixels = {}
    for name, told in {
        "local": {},
        "again": {"tile_batch": 3},
        "global": {"prompts": "global"},
        "words": {"prompt": "sea"},
        "unguided": {"guidance_scale": 1.0},
        "seed": {"seed": 1},
        "certain": {"fidelity": 1.0},
    }.items():
        result = upscaler.upscale(crop, tmp_path / f"{name}.tif", **settings | told)
        with rasterio.open(result.path) as output, rasterio.open(crop) as source:
            assert (output.count, output.height, output.width) == (3, 160, 224)
            assert output.crs == source.crs
            assert output.bounds == pytest.approx(source.bounds)
            pixels[name] = output.read()
    assert np.array_equal(pixels["local"], pixels["again"])
    different = [name for name in pixels if not np.array_equal(pixels[name], pixels["local"])]
    assert different == ["global", "words", "unguided", "seed", "certain"]
    assert result.manifest["options"]["model"] == model


@pytest.mark.parametrize(
    ("model", "option", "value"),
    [
        ("sd-x4", "noise_level", 300),
        ("sd15", "strength", 0.4),
        ("sd15", "sampler", "ddim"),
        ("sd15", "start", "noise"),
        ("sd15", "vae", "fast"),
        ("sd21", "controlnet_conditioning_scale", 0.0),
    ],
)
def test_its_own_options_matter(pipelines, crop, tmp_path, model, option, value):
    upscaler = Upscaler.load(model, device="cpu", model_dir=str(pipelines[model][0]))
    settings = {"tile_size": 128, "steps": 5, "strength": 1.0, "guidance_scale": 1.0}
    pixels = []
    for name, told in {"plain": {}, "other": {option: value}}.items():
        path = upscaler.upscale(crop, tmp_path / f"{name}.tif", **settings | UNCHANGED | told).path
        with rasterio.open(path) as output:
            pixels.append(output.read().astype(int))
    if option == "vae":  # small images fit into a tile, whatever the mode
        assert np.abs(pixels[0] - pixels[1]).max() <= 1
    else:
        assert np.abs(pixels[0] - pixels[1]).max() > 1


def test_less_strength_stays_closer_to_what_the_autoencoder_gives(pipelines, crop, tmp_path):
    upscaler = Upscaler.load("sd15", device="cpu", model_dir=str(pipelines["sd15"][0]))
    settings = {"tile_size": 128, "steps": 10, "guidance_scale": 1.0}
    pixels = {}
    for strength in (0.01, 0.1, 0.5, 1.0):
        path = upscaler.upscale(crop, tmp_path / f"{strength}.tif", strength=strength, **settings | UNCHANGED).path
        with rasterio.open(path) as output:
            pixels[strength] = output.read().astype(float)
    assert np.array_equal(pixels[0.01], pixels[0.1]), "at least one step is done"
    distances = [np.abs(pixels[strength] - pixels[0.1]).mean() for strength in (0.5, 1.0)]
    assert 0 < distances[0] < distances[1]


def test_what_the_upscaler_sees_has_the_noise_of_its_place(pipelines):
    backbone = load("sd-x4", pipelines["sd-x4"][0])
    image = random(3, 32, 32)

    def seen(pixels, place):
        options = options_of("sd-x4", noise_level=100)
        return backbone.condition(pixels, place, [Prompt()], lambda work: None, options).seen

    whole, part = seen(image, Tile(0, 0, 32, 32)), seen(image[:, 8:, 16:], Tile(8, 16, 24, 16))
    assert torch.equal(whole[:, 8:, 16:], part)
    torch.testing.assert_close(seen(image, Tile(0, 0, 32, 40))[:, :, 32:].shape, torch.Size([3, 32, 8]))


def test_words_for_what_harmed_the_input_are_not_painted(pipelines):
    backbone = load("sd15", pipelines["sd15"][0])

    def texts(*prompts):
        told = backbone.condition(random(3, 8, 8), Tile(0, 0, 8, 8), prompts, lambda work: None, options_of("sd15"))
        return told.texts.tokens[told.text_ids]

    harmed = Prompt(text="water, slightly noisy, boats", tags=(Tag("water", 0.9), Tag("noisy", 0.3)))
    first, second, unwanted = texts(harmed, Prompt(text="water, boats"), Prompt(text="noisy"))
    assert torch.equal(first, second)
    assert not torch.allclose(unwanted, second)


def test_an_empty_text_is_zeros_for_xl_only(pipelines):
    for model, zero in (("sdxl", True), ("sd15", False)):
        told = load(model, pipelines[model][0]).parts.text.encoded(["", "roof"])
        assert bool((told.tokens[0] == 0).all()) is zero
        assert bool((told.tokens[1] == 0).all()) is False


def test_a_folder_of_another_model_is_told(pipelines, tmp_path):
    with pytest.raises(ModelMissing, match="not sd15: sight of the input: True, expected False"):
        load("sd15", pipelines["sd-x4"][0])
    mixed = tmp_path / "mixed"
    shutil.copytree(pipelines["sd15"][0], mixed)
    shutil.rmtree(mixed / "unet")
    shutil.copytree(pipelines["sd-x4"][0] / "unet", mixed / "unet")
    with pytest.raises(ModelMissing, match="not sdxl: second text encoder: False, expected True"):
        load("sdxl", mixed)


@pytest.mark.parametrize("part", ["unet", "vae", "text_encoder", "tokenizer"])
def test_what_a_folder_lacks_is_named(pipelines, tmp_path, part):
    shutil.copytree(pipelines["sd15"][0], tmp_path / "model")
    shutil.rmtree(tmp_path / "model" / part)
    with pytest.raises(ModelMissing, match=f"{part}.*zido models get sd15"):
        load("sd15", tmp_path / "model")


def test_weights_that_do_not_fit_are_told(pipelines, tmp_path):
    folder = tmp_path / "model"
    shutil.copytree(pipelines["sd15"][0], folder)
    file = folder / "unet" / "diffusion_pytorch_model.safetensors"
    tensors = load_file(file)
    tensors["conv_in.weight"] = tensors["conv_in.weight"][:, :3].contiguous()
    del tensors["conv_out.bias"]
    save_file(tensors, file)
    with pytest.raises(ModelMissing, match=r"conv_out\.bias.*conv_in\.weight"):
        load("sd15", folder)


def test_a_folder_may_hold_several_models(pipelines, tmp_path):
    """As the store keeps them: each in a folder of its name."""
    shutil.copytree(pipelines["sd15"][0], tmp_path / "stable-diffusion-v1-5")
    shutil.copytree(pipelines["sdxl"][0], tmp_path / "stable-diffusion-xl-base-1.0")
    hashes = {load(model, tmp_path).weights_hash for model in ("sd15", "sdxl")}
    assert len(hashes) == 2


def test_the_schedule_is_the_folders(pipelines):
    assert load("sd-x4", pipelines["sd-x4"][0]).schedule.prediction_type == "v_prediction"
    folder, _ = pipelines["sd15"]
    assert json.loads((folder / "scheduler" / "scheduler_config.json").read_text())["beta_end"] == 0.012
    assert load("sd15", folder).schedule.prediction_type == "epsilon"


@pytest.mark.parametrize(("model", "open_clip"), [("sd15", ""), ("sd-x4", "text_encoder"), ("sdxl", "text_encoder_2")])
def test_all_networks_may_lie_in_one_file(pipelines, tmp_path, model, open_clip):
    """Its names are those that diffusers converts, and what is loaded is what the folder holds."""
    folder, pipeline = pipelines[model]
    tensors = tiny_diffusion.write_single_file(pipeline, tmp_path, open_clip=open_clip)
    same(convert_ldm_unet_checkpoint(dict(tensors), pipeline.unet.config), pipeline.unet.state_dict())
    same(convert_ldm_vae_checkpoint(dict(tensors), pipeline.vae.config), pipeline.vae.state_dict())
    for part in ("text_encoder", "text_encoder_2"):
        encoder = getattr(pipeline, part, None)
        if encoder is None:
            continue
        if part == open_clip:
            prefix = "conditioner.embedders.1.model." if model == "sdxl" else "cond_stage_model.model."
            converted = convert_open_clip_checkpoint(encoder, dict(tensors), prefix=prefix)
        else:
            converted = convert_ldm_clip_checkpoint(dict(tensors))
        same(bare(converted), bare(encoder.state_dict()))
    found, expected = load(model, tmp_path).parts, load(model, folder).parts
    for name in ("unet", "vae"):
        same(getattr(found, name).state_dict(), getattr(expected, name).state_dict())
    told = [parts.text.encoded(["roof"]) for parts in (found, expected)]
    assert torch.equal(told[0].tokens, told[1].tokens)
    assert (told[0].pooled is None) or torch.equal(told[0].pooled, told[1].pooled)


def test_what_one_file_lacks_is_named(pipelines, tmp_path):
    tensors = tiny_diffusion.write_single_file(pipelines["sd15"][1], tmp_path, open_clip="")
    whole = {name: value.contiguous() for name, value in tensors.items()}
    file = tmp_path / "everything.safetensors"
    save_file({name: value for name, value in whole.items() if "mid.attn_1.q.weight" not in name}, file)
    with pytest.raises(ModelMissing, match=r"2 missing .*mid_block\.attentions\.0\.to_q\.weight"):
        load("sd15", tmp_path)
    save_file({name: value for name, value in whole.items() if not name.startswith("cond_stage_model.")}, file)
    with pytest.raises(ModelMissing, match=r"everything\.safetensors has no text_encoder"):
        load("sd15", tmp_path)
    shutil.rmtree(tmp_path / "tokenizer")
    with pytest.raises(ModelMissing, match=r"there is no folder .*tokenizer"):
        load("sd15", tmp_path)


def bare(tensors):
    return {bare_name(name): tensor for name, tensor in tensors.items()}


def same(found, expected):
    assert set(found) == set(expected)
    for name, tensor in expected.items():
        assert torch.equal(found[name], tensor), name


@pytest.mark.parametrize(
    ("model", "tensors", "millions", "text"),
    [
        ("sd15", 686, 859.52, (196, 123.06)),
        ("sd21", 686, 865.91, (372, 340.39)),
        ("sd-x4", 687, 473.40, (372, 340.39)),
        ("sdxl", 1680, 2567.46, (196, 123.06)),
    ],
)
def test_known_configurations_have_the_size_of_the_models(model, tensors, millions, text):
    configs = CONFIGS[model]
    with torch.device("meta"):
        unet = UNet2DConditionModel.from_config(dict(configs["unet"]))
        encoder = CLIPTextModel(CLIPTextConfig.from_dict(dict(configs["text_encoder"])))
        AutoencoderKL.from_config(dict(configs["vae"]))
    assert (len(unet.state_dict()), size(unet)) == (tensors, millions)
    assert (len(encoder.state_dict()), size(encoder)) == text
    vae_stride = 2 ** (len(configs["vae"]["block_out_channels"]) - 1)
    assert vae_stride == describe(model).latent_stride


def size(network):
    """Millions of parameters."""
    return round(sum(parameter.numel() for parameter in network.parameters()) / 1e6, 2)
