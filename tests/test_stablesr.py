"""StableSR with tiny networks: what is loaded, what the networks are asked, whole runs from file to file."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
import rasterio
import torch
from PIL import Image
from rasterio.windows import Window
from safetensors.torch import load_file, save_file

from tests.tiny_stablesr import BASE, CFW, CHECKPOINT, slim, write_stablesr
from zido_core import catalog
from zido_core.backbones import load_backbone
from zido_core.backbones.stablesr import StablesrBackbone
from zido_core.backbones.vae import decode_tiled
from zido_core.catalog import MODELS, describe
from zido_core.cli import execute
from zido_core.errors import ModelMissing
from zido_core.options import Options, resolve
from zido_core.pipeline import upscale
from zido_core.prompts.base import Prompt
from zido_core.tiling.grid import Size, Tile

CANVAS = Tile(0, 0, 16, 24)
WORDS = (Prompt(text=""), Prompt(text="blurry"))


@pytest.fixture(scope="session")
def stablesr_folder(tmp_path_factory):
    return write_stablesr(tmp_path_factory.mktemp("stablesr"))


@pytest.fixture
def folder(stablesr_folder, tmp_path):
    """A copy that a test may damage."""
    return shutil.copytree(stablesr_folder, tmp_path / "models")


@pytest.fixture(scope="session")
def backbone(stablesr_folder):
    return load(stablesr_folder)


@pytest.fixture(scope="session")
def crop(example_raster, tmp_path_factory):
    """40 x 48 pixels of a real raster."""
    with rasterio.open(example_raster) as source:
        window = Window(10, 20, 48, 40)
        place = {"width": 48, "height": 40, "transform": source.window_transform(window), "tiled": False}
        path = tmp_path_factory.mktemp("crop") / "crop.tif"
        with rasterio.open(path, "w", **source.profile | place) as target:
            target.write(source.read(window=window))
    return path


def load(folder, model="stablesr"):
    return load_backbone(describe(model), "cpu", torch.float32, str(folder))


def random(*shape, seed=0):
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed))


def condition_of(backbone, advance=lambda work: None):
    options = resolve(Options(model="stablesr"), describe("stablesr"), "raster")
    return backbone.condition(random(3, 32, 48), CANVAS, WORDS, advance, options)


def prediction(backbone, tiles, ids, seed=1):
    condition = condition_of(backbone)
    latents = torch.stack([random(4, *tile.size, seed=seed) for tile in tiles])
    return backbone.predict(condition, latents, torch.tensor(501), tiles, ids)


class TestCatalogue:
    @pytest.mark.parametrize("name", ["stablesr", "stablesr-768v", "stablesr-turbo"])
    def test_licence_is_told(self, name):
        assert not MODELS[name].commercial
        assert any(file.licence is not None and not file.licence.commercial for file in MODELS[name].files)

    def test_models_are_those_of_the_paper(self):
        plain, large, turbo = (MODELS[name] for name in ("stablesr", "stablesr-768v", "stablesr-turbo"))
        assert [(each.tile_size // 8, each.tile_overlap // 8) for each in (plain, large)] == [(64, 32), (96, 48)]
        assert [each.steps for each in (plain, turbo)] == [200, 4]
        assert {each.tile_weights for each in (plain, large, turbo)} == {"gaussian"}

    @pytest.mark.parametrize(("fidelity", "model", "diffuses"), [(1.0, "stablesr", True), (1.0, "zido", False)])
    def test_full_fidelity_is_the_most_of_feature_wrapping(self, fidelity, model, diffuses):
        options = resolve(Options(model=model, fidelity=fidelity), describe(model), "raster")
        assert options.diffuses == diffuses


class TestFiles:
    def test_own_tensors_over_a_base_are_as_good_as_the_whole(self, folder, backbone):
        slim(folder)
        both = load(folder), backbone
        ours, theirs = (each.parts.unet.state_dict() for each in both)
        assert all(torch.equal(ours[name], theirs[name]) for name in theirs | ours)
        images = [prediction(each, [Tile(0, 0, 16, 16)], [0]) for each in both]
        torch.testing.assert_close(*images, rtol=0, atol=1e-5)

    def test_the_folder_of_the_model_comes_first(self, folder):
        shutil.move(folder / "stablesr", folder / "stablesr-turbo")
        shutil.move(folder / BASE, folder / "sd-turbo")
        assert load(folder, "stablesr-turbo").parts.cfw is not None

    def test_without_feature_wrapping_the_checkpoint_brings_the_autoencoder(self, folder):
        (folder / "stablesr" / CFW).unlink()
        plain = load(folder)
        assert plain.parts.cfw is None
        options = resolve(Options(model="stablesr", fidelity=0), describe("stablesr"), "raster")
        condition = plain.condition(random(3, 32, 48), CANVAS, WORDS, lambda work: None, options)
        assert np.isfinite(plain.decode(condition, plain.encode(condition), fidelity=0.0)).all()

    def test_fidelity_without_feature_wrapping_is_refused_with_the_name_of_the_file(self, folder, tmp_path):
        (folder / "stablesr" / CFW).unlink()
        pixels = np.zeros((40, 40, 3), np.uint8)
        told = rf"fidelity is 0\.5, .* \({CFW}\), and {folder} has none: put it there, or choose --fidelity 0"
        with pytest.raises(ModelMissing, match=told):
            upscale(pixels, model="stablesr", model_dir=str(folder), tile_size=128, steps=1)

    def test_only_the_autoencoder_is_no_checkpoint(self, folder):
        (folder / "stablesr" / CHECKPOINT).unlink()
        with pytest.raises(ModelMissing, match=rf"lacks StableSR's checkpoint.*only .*{CFW}.*CFW"):
            load(folder)

    def test_two_checkpoints_in_one_folder_are_one_too_many(self, folder):
        shutil.copy(folder / "stablesr" / CHECKPOINT, folder / "stablesr" / "stablesr_768v_000139.safetensors")
        with pytest.raises(ModelMissing, match=r"2 files with weights of StableSR \(.*keep one"):
            load(folder)

    def test_own_tensors_alone_need_the_base(self, folder):
        slim(folder)
        shutil.rmtree(folder / BASE / "unet")
        with pytest.raises(ModelMissing, match="unet"):
            load(folder)

    def test_a_base_that_predicts_something_else_is_refused(self, folder):
        path = folder / BASE / "scheduler" / "scheduler_config.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | {"prediction_type": "v_prediction"}))
        with pytest.raises(ModelMissing, match="predicts v_prediction; expected epsilon"):
            load(folder)

    def test_a_checkpoint_that_lacks_a_tensor_is_refused_by_its_official_name(self, folder):
        path = folder / "stablesr" / CHECKPOINT
        tensors = load_file(path)
        del tensors["structcond_stage_model.fea_tran.0.in_layers.0.weight"]
        save_file(tensors, path)
        with pytest.raises(ModelMissing, match=r"1 missing \(fea_tran\.0\.in_layers\.0\.weight\)"):
            load(folder)


class TestPrediction:
    def test_does_not_depend_on_what_else_is_in_the_batch(self, backbone):
        tiles, ids = [Tile(0, 0, 16, 16), Tile(0, 0, 16, 16), Tile(0, 8, 16, 16)], [0, 1, 0]
        together = prediction(backbone, tiles, ids)
        for index, (tile, place) in enumerate(zip(tiles, ids, strict=True)):
            torch.testing.assert_close(together[index], prediction(backbone, [tile], [place])[0], rtol=0, atol=1e-5)
        assert not torch.allclose(together[0], together[1], atol=1e-4)

    def test_the_structure_of_a_tile_is_asked_for_once_in_a_step(self, backbone, monkeypatch):
        asked, encoder = [], backbone.parts.encoder
        handle = encoder.register_forward_pre_hook(lambda module, inputs: asked.append(len(inputs[0])))
        condition, tile = condition_of(backbone), Tile(0, 0, 16, 16)
        for time, ids in ((501, [0]), (501, [1]), (401, [0]), (401, [0, 1])):
            backbone.predict(condition, random(len(ids), 4, 16, 16), torch.tensor(time), [tile] * len(ids), ids)
        handle.remove()
        assert asked == [1, 1]

    def test_in_half_precision_is_nearly_the_same(self, backbone, stablesr_folder):
        half = load_backbone(describe("stablesr"), "cpu", torch.bfloat16, str(stablesr_folder))
        images = [prediction(each, [Tile(0, 0, 16, 16)], [0]) for each in (half, backbone)]
        assert images[0].dtype == torch.float32
        assert (images[0] - images[1]).std() < 0.05 * images[1].std()


class TestDecoding:
    def test_weight_zero_is_the_plain_decoder(self, backbone):
        condition, latents = condition_of(backbone), random(4, 16, 24, seed=3)
        image = backbone.decode(condition, latents, fidelity=0.0)
        plain = decode_tiled(backbone.parts.vae, latents / backbone.parts.vae.config.scaling_factor) / 2 + 0.5
        np.testing.assert_array_equal(image, plain.numpy())

    def test_the_weight_counts_in_proportion_to_what_is_mixed_in_first(self, backbone):
        condition, latents = condition_of(backbone), random(4, 16, 24, seed=3)
        images = [backbone.decode(condition, latents, fidelity=weight) for weight in (0.0, 0.01, 1.0)]
        changes = [np.abs(image - images[0]).mean() for image in images[1:]]
        assert 0 < changes[0] < changes[1]

    def test_an_image_that_does_not_fill_its_canvas_is_cut(self, backbone):
        options = resolve(Options(model="stablesr"), describe("stablesr"), "raster")
        condition = backbone.condition(random(3, 17, 23), CANVAS, WORDS, lambda work: None, options)
        assert backbone.decode(condition, None, fidelity=0.5).shape == (3, 68, 92)
        assert condition.image.shape == (3, *Size(16, 24).scaled(8))


@pytest.fixture
def small_canvas(monkeypatch):
    """Models that take less than 512 pixels, and several tiles of them."""
    small = {name: replace(model, least_side=128) for name, model in MODELS.items()}
    monkeypatch.setattr(catalog, "MODELS", small)
    return {"tile_size": 128, "tile_overlap": 64, "steps": 2, "device": "cpu"}


@pytest.mark.parametrize(("size", "shown"), [((30, 40), (32, 43)), ((32, 50), (32, 50)), ((9, 17), (32, 60))])
def test_small_images_are_enlarged_first(size, shown, stablesr_folder, small_canvas, monkeypatch):
    """The networks see no less than they were trained with, and nothing that is mirrored; the output has its size."""
    seen, condition = [], StablesrBackbone.condition
    monkeypatch.setattr(
        StablesrBackbone, "condition", lambda self, image, *rest: seen.append(image) or condition(self, image, *rest)
    )
    pixels = (random(*size, 3) * 255).byte().numpy()
    made = upscale(pixels, model="stablesr", model_dir=str(stablesr_folder), scale=2, **small_canvas)
    assert made.image.shape == (2 * size[0], 2 * size[1], 3)
    (image,) = seen
    assert image.shape[-2:] == shown
    assert abs(float(image.mean()) - pixels.mean() / 255) < 0.02


def test_raster_through_the_command_line(crop, stablesr_folder, tmp_path, small_canvas, capfd):
    """Georeferenced and of its own type, with guidance and feature wrapping."""
    target = tmp_path / "out.tif"
    options = {
        **small_canvas,
        "model": "stablesr",
        "model_dir": stablesr_folder,
        "guidance_scale": 2,
        "fidelity": 1,
        "manifest": tmp_path / "made.json",
    }
    arguments = [word for name, value in options.items() for word in (f"--{name.replace('_', '-')}", str(value))]
    code, told = execute([str(crop), "-o", str(target), *arguments]), capfd.readouterr().err
    assert code == 0, told
    assert "stablesr is not for commercial use: S-Lab License 1.0" in told
    with rasterio.open(crop) as source, rasterio.open(target) as output:
        assert (output.height, output.width) == (4 * source.height, 4 * source.width)
        assert output.crs == source.crs
        assert output.bounds == source.bounds
        assert output.dtypes == source.dtypes
        assert output.read().std() > 0


def test_photograph(example_photo, stablesr_folder, tmp_path, small_canvas):
    """Without feature wrapping and with it: the weight alone changes the image."""
    source = tmp_path / "photo.png"
    with Image.open(example_photo) as photo:
        photo.crop((60, 60, 100, 90)).save(source)
    images = []
    for number, fidelity in enumerate((0.0, 0.5, 0.5)):
        target = tmp_path / f"{number}.png"
        options = {"model": "stablesr", "model_dir": str(stablesr_folder), "color_fix": "none", **small_canvas}
        upscale(source, target, fidelity=fidelity, **options)
        with Image.open(target) as image:
            images.append(np.asarray(image))
    assert images[0].shape == (120, 160, 3)
    assert not np.array_equal(images[0], images[1])
    np.testing.assert_array_equal(images[1], images[2])
