"""DeeDSR with tiny networks: what is loaded, what the networks are asked, whole runs from file to file."""

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

from tests.tiny_deedsr import CHECKPOINT, TOKENS, slim, write_deedsr
from zido_core import catalog
from zido_core.backbones import load_backbone
from zido_core.catalog import DEEDSR, MODELS, describe
from zido_core.cli import execute
from zido_core.errors import InvalidOptions, ModelMissing
from zido_core.options import Options, resolve
from zido_core.pipeline import upscale
from zido_core.prompts.base import Prompt
from zido_core.sampling.samplers import sampler_for
from zido_core.tiling.fusion import crop as cut
from zido_core.tiling.grid import Tile

CANVAS = Tile(0, 0, 16, 24)


@pytest.fixture(scope="session")
def deedsr_folder(tmp_path_factory):
    return write_deedsr(tmp_path_factory.mktemp("deedsr"))


@pytest.fixture
def folder(deedsr_folder, tmp_path):
    """A copy that a test may damage."""
    return shutil.copytree(deedsr_folder, tmp_path / "models")


@pytest.fixture(scope="session")
def backbone(deedsr_folder):
    return load(deedsr_folder)


@pytest.fixture
def small_canvas(monkeypatch):
    """Models that take less than 512 pixels, and several tiles of them."""
    small = {name: replace(model, least_side=128) for name, model in MODELS.items()}
    monkeypatch.setattr(catalog, "MODELS", small)
    return {"tile_size": 128, "tile_overlap": 64, "steps": 2, "device": "cpu"}


def load(folder):
    return load_backbone(DEEDSR, "cpu", torch.float32, str(folder))


def random(*shape, seed=0):
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed))


def condition_of(backbone, image=None):
    options = resolve(Options(model="deedsr"), DEEDSR, "raster")
    image = random(3, 32, 48) if image is None else image
    return backbone.condition(image, CANVAS, (Prompt(),), lambda work: None, options)


def prediction(backbone, tiles, condition=None, seed=1):
    latents = torch.stack([random(4, *tile.size, seed=seed) for tile in tiles])
    return backbone.predict(condition or condition_of(backbone), latents, torch.tensor(501), tiles, [0] * len(tiles))


class TestCatalogue:
    def test_is_the_papers(self):
        model = describe("deedsr")
        assert (model.steps, model.start, model.sampler, model.noise_guidance) == (50, "noise", "ddim", 1)
        assert (model.tile_size // 8, model.tile_overlap // 8, model.tile_weights) == (64, 32, "gaussian")

    @pytest.mark.parametrize(("said", "name"), [({"prompt": "a cat"}, "prompt"), ({"prompts": "local"}, "prompts")])
    def test_words_are_refused_rather_than_not_heard(self, said, name):
        with pytest.raises(InvalidOptions, match=rf"^{name} is .*told by images.* not by words"):
            resolve(Options(model="deedsr", **said), DEEDSR, "photo")

    def test_guidance_by_words_is_refused(self):
        with pytest.raises(InvalidOptions, match="guidance_scale is 5"):
            resolve(Options(model="deedsr", guidance_scale=5), DEEDSR, "photo")


class TestFiles:
    def test_own_tensors_over_a_base_are_as_good_as_the_whole(self, folder, backbone):
        slim(folder)
        both = load(folder), backbone
        ours, theirs = (each.parts.unet.state_dict() for each in both)
        assert all(torch.equal(ours[name], theirs[name]) for name in theirs | ours)
        torch.testing.assert_close(*(prediction(each, [Tile(0, 0, 16, 16)]) for each in both), rtol=0, atol=1e-5)

    def test_a_learner_alone_is_no_checkpoint(self, folder):
        path = folder / "deedsr" / CHECKPOINT
        alone = {name: value for name, value in load_file(path).items() if "degrad_encoder" in name}
        save_file(alone, path)
        with pytest.raises(ModelMissing, match=r"only .*deedsr\.safetensors, a degradation learner.*trains one"):
            load(folder)

    def test_an_empty_folder_tells_that_nobody_published_any(self, tmp_path):
        with pytest.raises(ModelMissing, match=r"there is none of its files\. Its authors have published none"):
            load(tmp_path)

    @pytest.mark.parametrize(
        ("lost", "told"),
        [
            ("Encoder_degrad.fea_tran.0.in_layers.0.weight", r"1 missing \(fea_tran\.0\.in_layers\.0\.weight\)"),
            ("Encoder_degrad.degrad_encoder.layer4.0.bn2.running_var", r"1 missing \(degrad_encoder\.layer4"),
            ("model.diffusion_model.middle_block.0.spade.mlp_beta.bias", r"1 missing \(middle_block\.0\.spade"),
        ],
    )
    def test_a_checkpoint_that_lacks_a_tensor_is_refused_by_its_official_name(self, lost, told, folder):
        path = folder / "deedsr" / CHECKPOINT
        tensors = load_file(path)
        del tensors[lost]
        save_file(tensors, path)
        with pytest.raises(ModelMissing, match=told):
            load(folder)

    @pytest.mark.parametrize(("given", "unit"), [([0, 1], True), ([-1, 1], False)])
    def test_the_range_of_inputs_is_that_of_the_training(self, given, unit, folder, backbone):
        path = folder / "deedsr" / "config.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | {"input_range": given}))
        other = load(folder)
        assert other.parts.unit_input is unit
        latents = [condition_of(each).latents for each in (other, backbone)]
        assert torch.equal(*latents) is not unit

    def test_another_range_is_refused(self, folder):
        path = folder / "deedsr" / "config.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | {"input_range": [0, 255]}))
        with pytest.raises(ModelMissing, match=r"input_range .* is \[0, 255\]; expected \[-1, 1\] or \[0, 1\]"):
            load(folder)


class TestPrediction:
    def test_is_the_networks_own(self, backbone):
        """Learner, adapter and UNet on the tile alone; tokens stand where words would."""
        condition, tile = condition_of(backbone), Tile(0, 8, 16, 16)
        parts, times = backbone.parts, torch.tensor([501])
        described = parts.adapter.learner(random(3, 32, 48)[None, :, :, 16:48])[1]
        structure, tokens = parts.adapter(cut(condition.latents, tile)[None], times, described)
        assert tokens.shape == (1, 64, TOKENS)
        expected = parts.unet(random(1, 4, 16, 16, seed=1), times, tokens, structure)
        torch.testing.assert_close(prediction(backbone, [tile], condition), expected, rtol=0, atol=1e-5)

    def test_does_not_depend_on_what_else_is_in_the_batch(self, backbone):
        tiles = [Tile(0, 0, 16, 16), Tile(0, 8, 16, 16)]
        together = prediction(backbone, tiles)
        for index, tile in enumerate(tiles):
            torch.testing.assert_close(together[index], prediction(backbone, [tile])[0], rtol=0, atol=1e-5)

    def test_a_tile_is_described_once(self, backbone):
        asked, condition, tile = [], condition_of(backbone), Tile(0, 0, 16, 16)
        learner = backbone.parts.adapter.learner
        handle = learner.register_forward_pre_hook(lambda module, inputs: asked.append(len(inputs[0])))
        for _ in range(3):
            prediction(backbone, [tile], condition)
        handle.remove()
        assert asked == [1]

    def test_what_harmed_the_input_counts(self, backbone, monkeypatch):
        condition, tile = condition_of(backbone), Tile(0, 0, 16, 16)
        plain = prediction(backbone, [tile], condition)
        condition.described[tile] = condition.described[tile] + 1
        assert not torch.allclose(plain, prediction(backbone, [tile], condition), atol=1e-5)

    def test_in_half_precision_is_nearly_the_same(self, backbone, deedsr_folder):
        half = load_backbone(DEEDSR, "cpu", torch.bfloat16, str(deedsr_folder))
        images = [prediction(each, [Tile(0, 0, 16, 16)]) for each in (half, backbone)]
        assert images[0].dtype == torch.float32
        assert (images[0] - images[1]).std() < 0.05 * images[1].std()


def test_the_schedule_is_the_released_one(backbone):
    """DDIM at 1, 21 ... 981; what is left in the end is the noise of the first training time."""
    schedule = sampler_for("ddim", backbone.schedule, 50)
    assert schedule.timesteps.tolist() == list(range(981, 0, -20))
    assert schedule.alphas[-1] == float(schedule.alphas_cumprod[0]) < 1


def test_raster_through_the_command_line(example_raster, deedsr_folder, tmp_path, small_canvas, capfd):
    """Georeferenced and of its own type; noise guidance is on, and written down."""
    source, target, made = (tmp_path / name for name in ("crop.tif", "out.tif", "made.json"))
    with rasterio.open(example_raster) as whole:
        window = Window(10, 20, 48, 40)
        place = {"width": 48, "height": 40, "transform": whole.window_transform(window), "tiled": False}
        with rasterio.open(source, "w", **whole.profile | place) as file:
            file.write(whole.read(window=window))
    options = {**small_canvas, "model": "deedsr", "model_dir": deedsr_folder, "manifest": made}
    arguments = [word for name, value in options.items() for word in (f"--{name.replace('_', '-')}", str(value))]
    code, told = execute([str(source), "-o", str(target), *arguments]), capfd.readouterr().err
    assert code == 0, told
    with rasterio.open(source) as given, rasterio.open(target) as output:
        assert (output.height, output.width) == (4 * given.height, 4 * given.width)
        assert (output.crs, output.bounds, output.dtypes) == (given.crs, given.bounds, given.dtypes)
        assert output.read().std() > 0
    assert json.loads(made.read_text())["options"]["noise_guidance"] == 1


def test_photograph_with_and_without_noise_guidance(example_photo, deedsr_folder, tmp_path, small_canvas):
    """It changes the image, and nothing else of chance does; the start from the input is another image again."""
    source = tmp_path / "photo.png"
    with Image.open(example_photo) as photo:
        photo.crop((60, 60, 108, 92)).save(source)
    told = ({}, {}, {"noise_guidance": 0}, {"noise_guidance": 2}, {"start": "lr", "noise_guidance": 0})
    images = []
    for number, said in enumerate(told):
        target = tmp_path / f"{number}.png"
        upscale(source, target, model="deedsr", model_dir=str(deedsr_folder), **small_canvas, **said)
        with Image.open(target) as image:
            images.append(np.asarray(image))
    assert images[0].shape == (128, 192, 3)
    np.testing.assert_array_equal(images[0], images[1])
    different = [images[0], *images[2:]]
    assert all(not np.array_equal(one, other) for i, one in enumerate(different) for other in different[:i])
