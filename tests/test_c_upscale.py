"""C-Upscale from folders of diffusers and a captioner: against a plain loop, prior by prior, from file to file."""

from __future__ import annotations

import json
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
import rasterio
import torch
from PIL import Image

from tests import tiny_diffusion
from tests.tiny_captioners import write_captioner
from zido_core import cli, pipeline
from zido_core.backbones.regional import Regional
from zido_core.blocks import canvas_of, layout_of
from zido_core.catalog import describe
from zido_core.errors import InvalidOptions, ModelMissing
from zido_core.options import Options, resolve
from zido_core.pipeline import Upscaler, tag, upscale
from zido_core.prompts.base import Prompt
from zido_core.prompts.caption import CaptionTagger
from zido_core.render import render, work_of
from zido_core.sampling.samplers import sampler_for
from zido_core.sampling.schedule import first_step
from zido_core.tiling.grid import Size, Tile, even_grid, view_of
from zido_core.tiling.noise import START, position_noise

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")

KINDS = {"c-upscale": tiny_diffusion.write_xl, "c-upscale-sd15": tiny_diffusion.write_sd}
TILES = {"tile_size": 128, "tile_overlap": 64}
UNCHANGED = {"color_fix": "none", "consistency": "off"}
QUICK = TILES | UNCHANGED | {"steps": 4, "tagger": "scene"}
"""Of four steps, two are done."""
HOUSES = "houses by a river"


@pytest.fixture(scope="session")
def folders(tmp_path_factory):
    made = {}
    for model, write in KINDS.items():
        made[model] = tmp_path_factory.mktemp(model)
        with torch.random.fork_rng():
            write(made[model])
    return made


@pytest.fixture(scope="session")
def captioner(tmp_path_factory):
    with torch.random.fork_rng():
        return write_captioner("llava", tmp_path_factory.mktemp("llava"))


@pytest.fixture(scope="session")
def upscalers(folders):
    return {model: Upscaler.load(model, device="cpu", model_dir=str(folder)) for model, folder in folders.items()}


@pytest.fixture(scope="session")
def picture(example_photo):
    """40 x 56 pixels of a photograph."""
    with Image.open(example_photo) as photo:
        return np.asarray(photo.convert("RGB"))[60:100, 30:86]


def made(upscaler, picture, **options):
    return upscaler.upscale(picture, **QUICK | {"prompt": HOUSES} | options)


def difference(one, other):
    return int(np.abs(one.image.astype(int) - other.image.astype(int)).max())


@pytest.mark.parametrize("model", KINDS)
def test_without_priors_it_is_multidiffusion_of_an_image(upscalers, picture, model):
    """The mean of overlapping tiles' guided predictions, one DDIM step, written down naively."""
    backbone, steps, scale = upscalers[model].backbone, 4, 7.5
    options = resolve(Options(model=model, prompt=HOUSES, priors="none", **QUICK), backbone.descriptor, "photo")
    canvas = Size(20, 28)
    image = torch.from_numpy(picture.transpose(2, 0, 1).astype(np.float32) / 255)
    bank = [Prompt(text=HOUSES), Prompt(text="")]
    condition = backbone.condition(image, Tile.whole(canvas), bank, lambda work: None, options)
    sampler, first = sampler_for("ddim", backbone.schedule, steps), first_step(0.45, steps)
    noise = torch.from_numpy(position_noise(0, START, 4, Tile.whole(canvas)))
    latents = sampler.add_noise(backbone.encode(condition), noise, first)
    for step in range(first, steps):
        total, count = torch.zeros_like(latents), torch.zeros(canvas)
        for tile in even_grid(canvas, 16, 8):
            seen = latents[:, *tile.slices][None]
            positive, negative = (
                backbone.predict(condition, seen, sampler.timesteps[step], [tile], [prompt])[0] for prompt in (0, 1)
            )
            total[:, *tile.slices] += negative + scale * (positive - negative)
            count[tile.slices] += 1
        latents = sampler.step(total / count, step, latents)
    expected = backbone.decode(condition, latents, fidelity=0.0).clip(0, 1).transpose(1, 2, 0) * 255
    found = made(upscalers[model], picture, priors="none")
    assert found.image.shape == expected.shape == (160, 224, 3)
    assert np.abs(found.image - expected).max() <= 1
    assert found.manifest["prompts"]["unique"] == 1


@pytest.mark.parametrize("model", KINDS)
def test_every_prior_has_its_effect(upscalers, picture, model):
    results = {
        priors: made(upscalers[model], picture, priors=priors, structure_weight=2.0)
        for priors in ("none", "gsp", "rap", "rsp", "rsp,rap")
    }
    for index, (priors, result) in enumerate(results.items()):
        assert set(result.manifest["options"]["priors"].split(",")) == set(priors.split(","))
        for other in list(results)[:index]:
            assert difference(result, results[other]) > 0, (priors, other)
    assert results["rsp"].manifest["prompts"]["unique"] > 1
    assert results["rap"].manifest["prompts"]["unique"] == 1


def test_all_priors_are_on_unless_somebody_says_otherwise():
    for name in ("c-upscale", "c-upscale-sd15", "c-upscale-sd21"):
        model = describe(name)
        resolved = resolve(Options(model=name), model, "photo")
        assert (resolved.priors, resolved.prompts, resolved.tagger) == ("gsp,rap,rsp", "local", "caption")
        assert (resolved.strength, resolved.guidance_scale, resolved.steps) == (0.45, 7.5, 50)
        assert (resolved.structure_weight, resolved.structure_levels) == (0.2, 1)
        assert resolved.tile_size == 2 * resolved.tile_overlap
        assert resolve(Options(model=name, priors="gsp,rap"), model, "photo").prompts == "none"
        assert resolve(Options(model=name, priors="gsp", prompts="local"), model, "photo").prompts == "local"
    assert [describe(name).tile_size for name in ("c-upscale", "c-upscale-sd15")] == [1024, 512]
    assert first_step(0.45, 50) == 50 - 22


def test_nothing_depends_on_batches_or_on_what_ran_before(upscalers, picture):
    upscaler = upscalers["c-upscale-sd15"]
    one = made(upscaler, picture, priors="gsp,rap,rsp", tile_batch=1)
    made(upscaler, picture[::-1], priors="rap,rsp")
    assert difference(one, made(upscaler, picture, priors="gsp,rap,rsp", tile_batch=3)) == 0


def test_a_full_structure_prior_holds_on_to_the_input(upscalers, picture):
    """The more of it, the nearer comes the result's low band to what the autoencoder makes of the input."""
    upscaler = upscalers["c-upscale-sd15"]
    plain = made(upscaler, picture, strength=0.01, priors="none")
    far = [
        np.abs(small(made(upscaler, picture, strength=1.0, **told)) - small(plain)).mean()
        for told in ({"priors": "none"}, {"priors": "gsp"}, {"priors": "gsp", "structure_weight": 1.0})
    ]
    assert far[0] > far[1] > far[2]


def small(result):
    return result.image.reshape(10, 16, 14, 16, 3).mean((1, 3))


@pytest.mark.parametrize("model", KINDS)
def test_the_view_reminds_positive_prompts_alone(upscalers, picture, model):
    backbone = upscalers[model].backbone
    options = resolve(Options(model=model, priors="rap", **QUICK), backbone.descriptor, "photo")
    image = torch.from_numpy(picture.transpose(2, 0, 1).astype(np.float32) / 255)
    prompts = [Prompt(text="roof", whole=HOUSES), Prompt(text=HOUSES, whole=HOUSES), Prompt(text="blurry")]
    condition = backbone.condition(image, Tile(0, 0, 20, 28), prompts, lambda work: None, options)
    regional = Regional(backbone, condition, prompts, options)
    assert regional.view == Size(8, 16)
    noisy, time = torch.randn(1, 4, 16, 16, generator=torch.Generator().manual_seed(0)), torch.tensor(500)
    with regional.listening:
        regional.look(regional.clean(), time)
        for index, touched in enumerate((True, True, False)):
            found = regional.predict(noisy, time, [Tile(4, 12, 16, 16)], [index])
            plain = backbone.predict(condition, noisy, time, [Tile(4, 12, 16, 16)], [index])
            assert torch.equal(found, plain) is not touched
            torch.testing.assert_close(
                found, regional.predict_precisely(noisy, time, [Tile(4, 12, 16, 16)], [index]), rtol=0, atol=1e-5
            )


@pytest.mark.parametrize(
    ("canvas", "expected"),
    [
        (Size(512, 512), Size(128, 128)),
        (Size(128, 96), Size(128, 96)),
        (Size(256, 512), Size(88, 176)),
        (Size(8, 5000), Size(8, 3200)),
    ],
)
def test_the_view_has_the_shape_of_the_whole_and_the_area_of_a_tile(canvas, expected):
    view = view_of(canvas, side=128, multiple=8)
    assert view == expected
    if canvas.height > 8:
        assert view.height * view.width <= 128**2


@pytest.mark.parametrize(("priors", "prompt"), [("none", HOUSES), ("gsp,rap", HOUSES), ("rap", "")])
def test_progress_has_what_the_network_looks_at_besides_the_tiles(upscalers, picture, monkeypatch, priors, prompt):
    backbone, told, looked = upscalers["c-upscale-sd15"].backbone, [], []
    predict = type(backbone).predict
    monkeypatch.setattr(
        type(backbone), "predict", lambda self, *crops: looked.append(crops[1].numel() // 4) or predict(self, *crops)
    )
    options = resolve(
        Options(model="c-upscale-sd15", priors=priors, prompt=prompt, **QUICK), backbone.descriptor, "photo"
    )
    canvas = canvas_of(Size(40, 56), tile=16, overlap=8, multiple=8, pixels_per_latent=Fraction(2))
    (block,) = layout_of(canvas, 1024)
    image = picture.transpose(2, 0, 1).astype(np.float32) / 255
    render(backbone, image, block, [Prompt(text=prompt, whole=prompt)] * len(block.grid), options, told.append)
    decoding = backbone.descriptor.picture_work * 20 * 28
    assert sum(told) == work_of(block, options)
    sampling = sum(told) - decoding
    assert sum(looked) == sampling if prompt else sum(looked) < sampling  # without words there is nothing to look with


@pytest.mark.parametrize("cut", [True, False])
def test_xl_is_told_where_a_region_is_cut_out(upscalers, monkeypatch, cut):
    backbone, told = upscalers["c-upscale"].backbone, []
    unet = backbone.parts.unet
    options = resolve(Options(model="c-upscale", size_conditioning="crop" if cut else None), describe("sdxl"), "photo")
    place = Tile(40, 1020, 20, 28)
    condition = backbone.condition(torch.rand(3, 40, 56), place, [Prompt()], lambda work: None, options)
    forward = unet.forward

    def listened(*crops, **others):
        told.append(others["added_cond_kwargs"]["time_ids"])
        return forward(*crops, **others)

    monkeypatch.setattr(unet, "forward", listened)
    backbone.predict(condition, torch.rand(1, 4, 16, 16), torch.tensor(500), [Tile(4, 12, 16, 16)], [0])
    place = [352, 8192] if cut else [0, 0]
    assert told[0].tolist() == [[128, 128, *place, 128, 128]]


def test_every_region_is_described_with_the_whole_in_mind(picture, captioner, monkeypatch):
    asked = []
    describe_ = CaptionTagger.describe
    monkeypatch.setattr(
        CaptionTagger, "describe", lambda self, all_: asked.append(self.question) or describe_(self, all_)
    )
    options = {"model": "c-upscale", "tagger_dir": str(captioner), **TILES}
    prompts = tag(picture, **options, prompt=HOUSES)
    assert len(prompts) == 6
    assert len({prompt.text for prompt in prompts}) > 1
    assert {prompt.whole for prompt in prompts} == {HOUSES}
    assert not any(HOUSES in prompt.text for prompt in prompts), "a region hears its own words alone"
    assert all(f"which shows: {HOUSES}." in question for question in asked)
    asked.clear()
    assert [prompt.text for prompt in tag(picture, **options, prompt=HOUSES)] == [prompt.text for prompt in prompts]
    assert asked == [], "captions are remembered"


def test_without_words_of_the_user_the_whole_is_described_first(picture, captioner):
    options = {"model": "c-upscale", "tagger_dir": str(captioner), **TILES}
    told = tag(picture, **options)
    (whole,) = {prompt.whole for prompt in told}
    assert whole
    assert {prompt.text for prompt in tag(picture, **options, priors="rap")} == {whole}
    assert {prompt.text for prompt in tag(picture, **options, priors="gsp")} == {""}


def test_regional_prompts_can_be_edited(upscalers, picture, tmp_path):
    upscaler, path = upscalers["c-upscale-sd15"], tmp_path / "prompts.geojson"
    first = made(upscaler, picture, priors="rsp", save_prompts=str(path))
    assert difference(first, made(upscaler, picture, priors="rsp", prompts=str(path))) == 0
    document = json.loads(path.read_text())
    document["features"][0]["properties"]["prompt"] = "a garden"
    path.write_text(json.dumps(document))
    edited = made(upscaler, picture, priors="rsp", prompts=str(path))
    change = np.abs(edited.image.astype(int) - first.image.astype(int))
    assert change[:96, :96].mean() > 10 * change[-32:, -64:].mean(), "other regions stay, but for the decoder's means"


@pytest.mark.parametrize("folder", [None, "c-upscale"])
def test_without_a_captioner_it_says_what_to_do_before_it_loads_the_model(folders, picture, monkeypatch, folder):
    monkeypatch.setattr(pipeline, "load_backbone", lambda *_, **__: pytest.fail("gigabytes were read"))
    place = {} if folder is None else {"model_dir": str(folders[folder])}
    with pytest.raises(ModelMissing, match=r"--tagger-dir.*--tagger scene"):
        upscale(picture, model="c-upscale", **TILES, **place)


@pytest.mark.parametrize("steps", [1, 6])
def test_few_steps(upscalers, picture, steps):
    told = {"steps": steps, "timestep_spacing": "trailing", "priors": "gsp,rap"}
    upscaler = upscalers["c-upscale"]
    off = [made(upscaler, picture, guidance_scale=scale, **told) for scale in (0, 1)]
    assert difference(*off) == 0
    assert off[0].manifest["options"]["guidance_scale"] == 1.0
    leading = made(upscaler, picture, guidance_scale=0, **told | {"timestep_spacing": "leading"})
    assert difference(off[0], leading) > 0


def test_steps_at_given_times(upscalers, picture):
    upscaler, told = upscalers["c-upscale-sd15"], {"priors": "none", "steps": None, "strength": 1.0}
    even = made(upscaler, picture, **told | {"steps": 4, "timestep_spacing": "trailing"})
    given = made(upscaler, picture, timesteps=(999, 749, 499, 249), **told)
    assert given.manifest["options"]["steps"] == 4
    assert difference(even, given) <= 3, "the start has the noise of the first time, not of the last"
    assert difference(given, made(upscaler, picture, timesteps=(800, 300), **told)) > 0


@pytest.mark.parametrize(
    ("told", "message"),
    [
        ({"model": "zido", "priors": "gsp,rap"}, "zido has no regional attention prior: choose gsp,rsp"),
        ({"timesteps": (100, 500)}, "timesteps is 100,500; expected descending times"),
        ({"timesteps": ()}, "timesteps is empty; expected descending times"),
        ({"timesteps": (500, 100), "steps": 3}, "steps is 3, and timesteps has 2"),
        ({"priors": "gsp,xyz"}, "priors is gsp,xyz; expected some of gsp, rap, rsp with commas"),
    ],
)
def test_what_cannot_be_is_said(told, message):
    with pytest.raises(InvalidOptions, match=message):
        resolve(Options(**{"model": "c-upscale"} | told), describe(told.get("model", "c-upscale")), "photo")


def test_priors_may_have_blanks_between_them_in_any_order():
    resolved = resolve(Options(model="c-upscale", priors="rsp, gsp"), describe("c-upscale"), "photo")
    assert (resolved.priors, resolved.uses("rsp"), resolved.uses("rap")) == ("gsp,rsp", True, False)
    assert Options(priors="rap, gsp").uses("gsp")


def test_times_beyond_the_last_are_told(upscalers, picture):
    with pytest.raises(InvalidOptions, match="timesteps begin with 1000; this model knows 0 to 999"):
        made(upscalers["c-upscale-sd15"], picture, steps=None, timesteps=(1000, 400))


def test_times_want_a_sampler_that_takes_them(upscalers, picture):
    with pytest.raises(InvalidOptions, match="sampler is dpm\\+\\+, which chooses its timesteps itself"):
        made(upscalers["c-upscale-sd15"], picture, steps=None, timesteps=(900, 400), sampler="dpm++")


def test_priors_of_the_image_to_image_models(folders, upscalers, picture):
    """They can be mixed in: a model that has them not of its own does the same with them."""
    mixed = Upscaler.load("sd15", device="cpu", model_dir=str(folders["c-upscale-sd15"]))
    mixed.backbone.descriptor = replace(mixed.backbone.descriptor, prompt_suffix="")
    own = {"tile_weights": "uniform", "strength": 0.45, "sampler": "ddim", "guidance_scale": 7.5, "negative_prompt": ""}
    for priors in ("gsp", "gsp,rap,rsp"):
        expected = made(upscalers["c-upscale-sd15"], picture, priors=priors, prompts="local")
        assert difference(made(mixed, picture, priors=priors, prompts="local", **own), expected) == 0


@pytest.mark.parametrize(("model", "kind"), [("c-upscale", "raster"), ("c-upscale-sd15", "photo")])
def test_from_file_to_file_by_the_command_line(
    folders, captioner, example_raster, example_photo, tmp_path, capsys, model, kind
):
    source, output = tmp_path / f"in.{'tif' if kind == 'raster' else 'png'}", tmp_path / f"out-{kind}"
    if kind == "raster":
        with rasterio.open(example_raster) as raster:
            window = rasterio.windows.Window(30, 60, 44, 36)
            profile = raster.profile | {"width": 44, "height": 36, "transform": raster.window_transform(window)}
            with rasterio.open(source, "w", **profile | {"tiled": False}) as target:
                target.write(raster.read(window=window))
    else:
        with Image.open(example_photo) as photo:
            photo.crop((30, 60, 74, 96)).save(source)
    output = output.with_suffix(source.suffix)
    arguments = [
        *(str(source), "-o", str(output), "--model", model, "--model-dir", str(folders[model])),
        *("--tagger-dir", str(captioner), "--prompt", HOUSES, "--steps", "4", "--device", "cpu"),
        *("--tile-size", "128", "--manifest", str(tmp_path / "manifest.json")),
    ]
    assert cli.execute(arguments) == 0, capsys.readouterr().err
    manifest = json.loads((tmp_path / "manifest.json").read_text())
    assert manifest["options"]["priors"] == "gsp,rap,rsp"
    assert manifest["prompts"]["unique"] > 1
    if kind == "raster":
        with rasterio.open(output) as result, rasterio.open(source) as before:
            assert (result.height, result.width, result.count) == (144, 176, 3)
            assert result.crs == before.crs
            assert result.bounds == pytest.approx(before.bounds)
    else:
        with Image.open(output) as result:
            assert result.size == (176, 144)
