"""Transformers of diffusion from folders of diffusers: against diffusers' own pipelines, under priors, to a file."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
import rasterio
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from tests import tiny_transformers
from zido_core import cli
from zido_core.backbones import load_backbone
from zido_core.catalog import describe
from zido_core.errors import ModelMissing
from zido_core.options import Options, resolve
from zido_core.pipeline import Upscaler
from zido_core.prompts.base import Prompt
from zido_core.sampling.denoise import PromptPlan, denoise
from zido_core.sampling.samplers import sampler_for
from zido_core.sampling.windows import windows_for
from zido_core.tiling.grid import Size, Tile, even_grid
from zido_core.tiling.noise import START, position_noise

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")

KINDS = {"c-upscale-pixart": tiny_transformers.write_pixart, "c-upscale-sd3": tiny_transformers.write_sd3}
STEPS, SCALE, CANVAS = 4, 3.0, Size(16, 24)
WANTED, UNWANTED = "a river, roof", "blurry"
QUICK = {"tile_size": 128, "tile_overlap": 64, "color_fix": "none", "consistency": "off", "steps": 4}
QUICK |= {"tagger": "scene", "prompt": "houses by a river"}


@pytest.fixture(scope="session")
def pipelines(tmp_path_factory):
    """Per model its folder and diffusers' pipeline of it."""
    made = {}
    for model, write in KINDS.items():
        folder = tmp_path_factory.mktemp(model)
        with torch.random.fork_rng():
            torch.manual_seed(6)
            made[model] = folder, write(folder)
    return made


@pytest.fixture(scope="session")
def upscalers(pipelines):
    return {
        model: Upscaler.load(model, device="cpu", model_dir=str(folder)) for model, (folder, _) in pipelines.items()
    }


@pytest.fixture(scope="session")
def picture(example_photo):
    """40 x 56 pixels of a photograph."""
    with Image.open(example_photo) as photo:
        return np.asarray(photo.convert("RGB"))[60:100, 30:86]


def ours(backbone, noise):
    """Latents of one tile by the loop, from noise."""
    model, place = backbone.descriptor.name, Tile.whole(CANVAS)
    options = resolve(Options(model=model, tile_size=128), backbone.descriptor, "photo")
    prompts = [Prompt(text=WANTED), Prompt(text=UNWANTED)]
    condition = backbone.condition(torch.rand(3, 32, 48), place, prompts, lambda work: None, options)
    return denoise(
        noise,
        predict=lambda *crops: backbone.predict(condition, *crops),
        scheduler=sampler_for(options.sampler, backbone.schedule, STEPS),
        windows=windows_for("multidiffusion", even_grid(CANVAS, max(CANVAS), 0), steps=STEPS, seed=0),
        prompts=PromptPlan(positive=(0,), negative=(1,)),
        guidance_scale=SCALE,
    )


def noise_of(channels):
    return torch.from_numpy(position_noise(5, START, channels, Tile.whole(CANVAS)))


def theirs(model, pipeline, noise):
    own = {"use_resolution_binning": False, "clean_caption": False} if model == "c-upscale-pixart" else {}
    common = {"prompt": WANTED, "negative_prompt": UNWANTED, "num_inference_steps": STEPS, "guidance_scale": SCALE}
    height, width = CANVAS.scaled(8)
    return pipeline(latents=noise[None], height=height, width=width, output_type="latent", **common, **own).images[0]


@pytest.mark.parametrize(("model", "channels"), [("c-upscale-pixart", 4), ("c-upscale-sd3", 16)])
def test_it_samples_as_diffusers_does(pipelines, model, channels):
    folder, pipeline = pipelines[model]
    backbone = load_backbone(describe(model), "cpu", torch.float32, str(folder))
    assert backbone.latent_channels == channels
    expected = theirs(model, pipeline, noise_of(channels))
    assert expected.std() > 0.1
    torch.testing.assert_close(ours(backbone, noise_of(channels)), expected, rtol=1e-4, atol=1e-4)


def test_sd3_does_without_t5(tmp_path):
    with torch.random.fork_rng():
        torch.manual_seed(6)
        pipeline = tiny_transformers.write_sd3(tmp_path, with_t5=False)
    backbone = load_backbone(describe("c-upscale-sd3"), "cpu", torch.float32, str(tmp_path))
    expected = theirs("c-upscale-sd3", pipeline, noise_of(16))
    torch.testing.assert_close(ours(backbone, noise_of(16)), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("model", KINDS)
def test_the_image_goes_through_the_autoencoder_and_back(pipelines, model):
    folder, pipeline = pipelines[model]
    backbone = load_backbone(describe(model), "cpu", torch.float32, str(folder))
    options = resolve(Options(model=model), backbone.descriptor, "photo")
    condition = backbone.condition(torch.rand(3, 32, 48), Tile.whole(CANVAS), [Prompt()], lambda work: None, options)
    vae = pipeline.vae
    shift, factor = vae.config.shift_factor or 0.0, vae.config.scaling_factor
    latents = (vae.encode(condition.image[None] * 2 - 1).latent_dist.mean[0] - shift) * factor
    torch.testing.assert_close(backbone.encode(condition), latents, rtol=0, atol=1e-4)
    decoded = vae.decode(latents[None] / factor + shift).sample[0].detach().numpy() / 2 + 0.5
    np.testing.assert_allclose(backbone.decode(condition, latents, fidelity=0.0), decoded, atol=1e-4)


@pytest.mark.parametrize("model", KINDS)
def test_every_prior_that_it_can_do_has_its_effect(upscalers, picture, model):
    can = describe(model).priors
    pixels = {
        priors: upscalers[model].upscale(picture, priors=priors, structure_weight=2.0, **QUICK).image
        for priors in ("none", *can, ",".join(can))
    }
    assert can == (("gsp", "rap", "rsp") if model == "c-upscale-pixart" else ("gsp", "rsp"))
    names = list(pixels)
    for index, name in enumerate(names):
        assert pixels[name].shape == (160, 224, 3)
        for other in names[:index]:
            assert not np.array_equal(pixels[name], pixels[other]), (name, other)


@pytest.mark.parametrize("model", KINDS)
def test_from_file_to_file_by_the_command_line(pipelines, example_raster, tmp_path, capsys, model):
    with rasterio.open(example_raster) as raster:
        window = rasterio.windows.Window(30, 60, 44, 36)
        profile = raster.profile | {"width": 44, "height": 36, "transform": raster.window_transform(window)}
        with rasterio.open(tmp_path / "in.tif", "w", **profile | {"tiled": False}) as target:
            target.write(raster.read(window=window))
    arguments = [
        *(str(tmp_path / "in.tif"), "-o", str(tmp_path / "out.tif"), "--model", model),
        *("--model-dir", str(pipelines[model][0]), "--tagger", "scene", "--prompt", "houses", "--steps", "3"),
        *("--tile-size", "128", "--device", "cpu", "--manifest", str(tmp_path / "m.json")),
    ]
    assert cli.execute(arguments) == 0, capsys.readouterr().err
    with rasterio.open(tmp_path / "out.tif") as result, rasterio.open(tmp_path / "in.tif") as before:
        assert (result.height, result.width, result.crs) == (144, 176, before.crs)
    manifest = json.loads((tmp_path / "m.json").read_text())
    assert manifest["options"]["priors"] == ",".join(describe(model).priors)


def test_a_transformer_of_another_kind_is_told(pipelines, tmp_path):
    shutil.copytree(pipelines["c-upscale-pixart"][0], tmp_path / "model")
    path = tmp_path / "model" / "transformer" / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"_class_name": "FluxTransformer2DModel"}))
    with pytest.raises(ModelMissing, match="holds a FluxTransformer2DModel; expected PixArtTransformer2DModel or SD3"):
        load_backbone(describe("c-upscale-pixart"), "cpu", torch.float32, str(tmp_path / "model"))


@pytest.mark.parametrize("part", ["transformer", "vae", "text_encoder", "tokenizer"])
def test_what_a_folder_lacks_is_named(pipelines, tmp_path, part):
    shutil.copytree(pipelines["c-upscale-pixart"][0], tmp_path / "model")
    shutil.rmtree(tmp_path / "model" / part)
    with pytest.raises(ModelMissing, match=f"{part}.*zido models get c-upscale-pixart"):
        load_backbone(describe("c-upscale-pixart"), "cpu", torch.float32, str(tmp_path / "model"))


def test_parts_of_different_models_are_told(pipelines, tmp_path):
    shutil.copytree(pipelines["c-upscale-pixart"][0], tmp_path / "model")
    shutil.rmtree(tmp_path / "model" / "vae")
    shutil.copytree(pipelines["c-upscale-sd3"][0] / "vae", tmp_path / "model" / "vae")
    with pytest.raises(ModelMissing, match="channels of latents: 4, expected 16"):
        load_backbone(describe("c-upscale-pixart"), "cpu", torch.float32, str(tmp_path / "model"))


@pytest.fixture
def sharded(pipelines, tmp_path):
    """The same model, its transformer in several files, as diffusers cuts large ones."""
    folder, pipeline = pipelines["c-upscale-pixart"]
    shutil.copytree(folder, tmp_path / "model")
    place = tmp_path / "model" / "transformer"
    shutil.rmtree(place)
    pipeline.transformer.save_pretrained(place, max_shard_size="60KB")
    assert len(list(place.glob("*.safetensors"))) > 2
    return place


def load(place):
    return load_backbone(describe("c-upscale-pixart"), "cpu", torch.float32, str(place.parent))


def test_a_transformer_in_several_files_is_the_same(upscalers, sharded):
    whole, backbone = upscalers["c-upscale-pixart"].backbone, load(sharded)
    theirs = backbone.parts.unet.state_dict()
    for name, tensor in whole.parts.unet.state_dict().items():
        torch.testing.assert_close(theirs[name], tensor, rtol=0, atol=0)
    last = max(sharded.glob("*.safetensors"))
    save_file({name: value + 1 for name, value in load_file(last).items()}, last)
    assert load(sharded).parts.weights_hash != backbone.parts.weights_hash


@pytest.mark.parametrize(
    ("harm", "said"),
    [
        (
            lambda place, index: min(place.glob("*.safetensors")).unlink(),
            "lists files that are not beside it.*00001-of",
        ),
        (lambda place, index: index.unlink(), "is a part of a model whose list.*is not there"),
        (lambda place, index: index.write_text("<html>"), "is no list of the files of a model"),
        (lambda place, index: index.write_text('{"weight_map": {"a": "../b"}}'), "names no files beside it"),
        (
            lambda place, index: index.write_text(
                json.dumps({"weight_map": {"another": min(place.glob("*.safetensors")).name}})
            ),
            "lists tensors of .* that are not in it, another",
        ),
    ],
)
def test_what_is_wrong_with_several_files_is_told(sharded, harm, said):
    harm(sharded, next(sharded.glob("*.index.json")))
    with pytest.raises(ModelMissing, match=said):
        load(sharded)
