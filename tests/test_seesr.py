"""SeeSR and ZIDO with tiny networks: what is loaded, what the networks are told, whole runs from file to file."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
import rasterio
import torch
from rasterio.windows import Window
from safetensors.torch import load_file, save_file

from tests.tiny_models import write_seesr
from zido_core.backbones import load_backbone
from zido_core.backbones.latents import DECODING, HINT_TILE
from zido_core.blocks import canvas_of
from zido_core.catalog import ZIDO, describe
from zido_core.errors import ModelMissing
from zido_core.job import Progress
from zido_core.nets.seesr import build_controlnet, build_unet, is_image_attention, official_name
from zido_core.options import Options, resolve
from zido_core.pipeline import Upscaler, tag, upscale
from zido_core.prompts.base import Prompt
from zido_core.render import Bank
from zido_core.resample import resize
from zido_core.sampling.samplers import sampler_for
from zido_core.sampling.schedule import under_noise
from zido_core.tiling.grid import Size, Tile

UNET_FILE = "seesr/unet/diffusion_pytorch_model.safetensors"
CONTROLNET_FILE = "seesr/controlnet/diffusion_pytorch_model.safetensors"
CANVAS = Size(16, 24)
ROOF = (Prompt(text="roof"),)
SMALL = {"tile_size": 128, "tile_overlap": 64, "steps": 2, "device": "cpu", "tile_batch": 1}


@pytest.fixture(scope="session")
def seesr_folder(tmp_path_factory):
    return write_seesr(tmp_path_factory.mktemp("models"))


@pytest.fixture
def folder(seesr_folder, tmp_path):
    """A copy that a test may damage."""
    return shutil.copytree(seesr_folder, tmp_path / "models")


@pytest.fixture(scope="session")
def backbone(seesr_folder):
    return load(seesr_folder)


@pytest.fixture(scope="session")
def crop(example_raster, tmp_path_factory):
    """48 x 40 pixels of a real raster."""
    with rasterio.open(example_raster) as source:
        window = Window(10, 20, 48, 40)
        profile = source.profile | {
            "width": 48,
            "height": 40,
            "transform": source.window_transform(window),
            "tiled": False,
        }
        path = tmp_path_factory.mktemp("crop") / "crop.tif"
        with rasterio.open(path, "w", **profile) as target:
            target.write(source.read(window=window))
    return path


@pytest.fixture(scope="session")
def plain(crop, seesr_folder, tmp_path_factory):
    """The output without further options."""
    return run(crop, seesr_folder, tmp_path_factory.mktemp("plain"), seed=1)[0]


def run(crop, folder, place, **options):
    """Pixels, profile and manifest of an output."""
    path = place / f"{len(list(place.iterdir()))}.tif"
    result = upscale(crop, path, model_dir=str(folder), **{"model": "zido", **SMALL, **options})
    with rasterio.open(path) as output:
        return output.read(), output.profile, result.manifest


def load(folder, model="zido"):
    return load_backbone(describe(model), "cpu", torch.float32, str(folder))


def resolved(model="zido", **options):
    return resolve(Options(model=model, **options), describe(model), "raster")


def random(*shape, seed=0):
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed))


def embeddings(count):
    return [np.asarray(random(5, 512, seed=index)) for index in range(count)]


def condition_of(backbone, *, canvas=CANVAS, prompts=ROOF, size=None):
    size = size or Size(canvas.height * 2, canvas.width * 2)
    return backbone.condition(random(3, *size), Tile.whole(canvas), prompts, lambda work: None, resolved())


class TestSizes:
    @pytest.mark.parametrize(
        ("build", "tensors", "numbers", "own_tensors", "own_numbers"),
        [
            (build_unet, 1102, 1126.76e6, 416, 260.85e6),
            (build_controlnet, 522, 489.03e6, 182, 124.80e6),
        ],
    )
    def test_of_the_published_networks(self, build, tensors, numbers, own_tensors, own_numbers):
        state = {official_name(name): tensor for name, tensor in build().state_dict().items()}
        own = [tensor for name, tensor in state.items() if is_image_attention(name)]
        assert (len(state), len(own)) == (tensors, own_tensors)
        assert sum(tensor.numel() for tensor in state.values()) == pytest.approx(numbers, abs=5e3)
        assert sum(tensor.numel() for tensor in own) == pytest.approx(own_numbers, abs=5e3)

    def test_of_a_canvas_that_is_smaller_than_the_networks_know(self):
        def sides(*size, tile=64):
            least = {"multiple": 8, "pixels_per_latent": 2, "overlap": 8, "least": 64}
            grid = canvas_of(Size(*size), tile=tile, **least).grid
            return (*grid.canvas, *grid.tile)

        assert sides(20, 50) == (64, 64, 64, 64)
        assert sides(20, 301) == (64, 151, 64, 64)
        assert sides(130, 140) == (65, 70, 64, 64)
        assert sides(20, 50, tile=96) == (64, 64, 64, 64)
        assert sides(20, 150, tile=96) == (64, 80, 64, 80)
        assert sides(20, 50, tile=32) == (32, 32, 32, 32)


class TestLoading:
    def test_names_of_old_and_new_files_of_the_base(self, backbone, seesr_folder):
        stored = load_file(seesr_folder / ZIDO.base / "vae" / "diffusion_pytorch_model.safetensors")
        assert "decoder.mid_block.attentions.0.proj_attn.weight" in stored
        ours = backbone.parts.vae.decoder.mid_block.attentions[0].to_out[0].weight
        assert torch.equal(ours, stored["decoder.mid_block.attentions.0.proj_attn.weight"])

    def test_base_and_only_the_image_attention_are_the_whole(self, backbone, folder):
        whole = load_file(folder / UNET_FILE)
        (folder / ZIDO.base / "unet").mkdir()
        shutil.copy(folder / "seesr/unet/config.json", folder / ZIDO.base / "unet")
        own = {name: tensor for name, tensor in whole.items() if is_image_attention(name)}
        base = {name: tensor for name, tensor in whole.items() if not is_image_attention(name)}
        save_file(base, folder / ZIDO.base / "unet" / "diffusion_pytorch_model.safetensors")
        save_file(own, folder / UNET_FILE)
        assert_same(load(folder).parts.unet, backbone.parts.unet)

    def test_the_image_attention_may_lie_in_a_single_file_beside_the_base(self, backbone, folder):
        whole = load_file(folder / UNET_FILE)
        shutil.move(folder / "seesr/unet", folder / ZIDO.base / "unet")
        base = {name: tensor for name, tensor in whole.items() if not is_image_attention(name)}
        save_file(base, folder / ZIDO.base / "unet" / "diffusion_pytorch_model.safetensors")
        own = {name: tensor for name, tensor in whole.items() if is_image_attention(name)}
        save_file(own, folder / "any_name.safetensors")
        assert_same(load(folder).parts.unet, backbone.parts.unet)

    def test_files_may_lie_flat(self, backbone, folder):
        for source in ("seesr", ZIDO.base):
            for part in (folder / source).iterdir():
                part.rename(folder / part.name)
        flat = load(folder)
        assert_same(flat.parts.unet, backbone.parts.unet)
        assert_same(flat.parts.controlnet, backbone.parts.controlnet)

    def test_half_precision_files_are_widened(self, backbone, folder):
        path = folder / UNET_FILE
        halves = {name: tensor.half() for name, tensor in load_file(path).items()}
        path.unlink()
        save_file(halves, path.with_name("diffusion_pytorch_model.fp16.safetensors"))
        loaded = load(folder).parts.unet.state_dict()
        assert {tensor.dtype for tensor in loaded.values()} == {torch.float32}
        assert torch.allclose(loaded["conv_in.weight"], backbone.parts.unet.conv_in.weight, atol=1e-3)

    def test_another_base_needs_its_own_unet(self, folder):
        (folder / ZIDO.base).rename(folder / "sd-turbo")
        with pytest.raises(ModelMissing, match="lacks sd-turbo's UNet"):
            load(folder, "seesr-turbo")

    def test_the_turbo_takes_its_schedule_from_its_folder(self, folder):
        (folder / ZIDO.base).rename(folder / "sd-turbo")
        shutil.copytree(folder / "seesr/unet", folder / "sd-turbo/unet")
        path = folder / "sd-turbo/unet/diffusion_pytorch_model.safetensors"
        base = {name: tensor for name, tensor in load_file(path).items() if not is_image_attention(name)}
        save_file(base, path)
        config = folder / "sd-turbo/scheduler/scheduler_config.json"
        config.write_text(json.dumps(json.loads(config.read_text()) | {"timestep_spacing": "trailing"}))
        schedule = load(folder, "seesr-turbo").schedule
        assert sampler_for("ddpm", schedule, 2).timesteps.tolist() == [999, 499]

    def test_the_schedule_is_that_of_the_base(self, backbone):
        timesteps = sampler_for(ZIDO.sampler, backbone.schedule, 50).timesteps
        assert timesteps[:3].tolist() == [981, 961, 941]
        assert timesteps[-2:].tolist() == [21, 1]


class TestWrongFiles:
    """Each is named, with what was found, what was expected and what to do."""

    def told(self, folder, *parts):
        with pytest.raises(ModelMissing) as caught:
            load(folder)
        message = str(caught.value)
        for part in (*parts, "--model-dir"):
            assert part in message
        assert "\n" not in message
        return caught.value

    def change(self, path, change):
        tensors = load_file(path)
        change(tensors)
        save_file(tensors, path)

    def test_no_folder(self, folder):
        with pytest.raises(ModelMissing, match=r"files are not in .*; run `zido models get zido`.* --model-dir"):
            load_backbone(ZIDO, "cpu", torch.float32)
        self.told(folder / "nowhere", "there is no folder", "nowhere")

    @pytest.mark.parametrize("part", ["vae", "text_encoder", "tokenizer"])
    def test_a_part_is_missing(self, folder, part):
        shutil.rmtree(folder / ZIDO.base / part)
        self.told(folder, "there is no folder", f"{ZIDO.base}/{part} or ")

    def test_seesr_is_missing(self, folder):
        shutil.move(folder / "seesr/unet", folder / ZIDO.base / "unet")
        path = folder / ZIDO.base / "unet" / "diffusion_pytorch_model.safetensors"
        self.change(path, lambda tensors: [tensors.pop(n) for n in list(tensors) if is_image_attention(n)])
        self.told(folder, "lacks SeeSR's image attention", str(path))

    def test_the_controlnet_is_missing(self, folder):
        shutil.rmtree(folder / "seesr/controlnet")
        self.told(folder, "lacks SeeSR's ControlNet")

    def test_missing_unexpected_and_misshapen_tensors(self, folder):
        def damage(tensors):
            tensors["extra.weight"] = torch.zeros(1)
            tensors["conv_in.bias"] = torch.zeros(3)
            del tensors["up_blocks.1.image_attentions.0.norm.weight"]
            del tensors["down_blocks.0.attentions.0.norm.weight"]

        self.change(folder / UNET_FILE, damage)
        error = self.told(
            folder,
            "2 missing (",
            "up_blocks.1.image_attentions.0.norm.weight",
            "down_blocks.0.attentions.0.norm.weight",
            "1 unexpected (extra.weight)",
            "1 of another shape (conv_in.bias (3,) instead of (8,))",
        )
        assert len(error.__notes__) == 3

    def test_swapped_files(self, folder):
        (folder / UNET_FILE).rename(folder / "kept")
        (folder / CONTROLNET_FILE).rename(folder / UNET_FILE)
        (folder / "kept").rename(folder / CONTROLNET_FILE)
        self.told(folder, UNET_FILE, "weights of a ControlNet", "expected a UNet", "swapped")

    def test_the_unet_in_the_controlnets_place(self, folder):
        shutil.copy(folder / UNET_FILE, folder / CONTROLNET_FILE)
        self.told(folder, CONTROLNET_FILE, "weights of a SeeSR UNet", "do not fit")

    @pytest.mark.parametrize(
        ("content", "what"),
        [
            (b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 4505\n", "a Git LFS pointer"),
            (b"<!DOCTYPE html><html><head>", "a web page"),
            (b"", "empty"),
            (b"PK\x03\x04" + bytes(100), "pickle"),
            (bytes(range(200)), "damaged"),
        ],
    )
    @pytest.mark.parametrize("file", [UNET_FILE, CONTROLNET_FILE, f"{ZIDO.base}/text_encoder/model.safetensors"])
    def test_no_weights_at_all(self, folder, file, content, what):
        (folder / file).write_bytes(content)
        self.told(folder, file, what)

    def test_half_a_file(self, folder):
        path = folder / UNET_FILE
        path.write_bytes(path.read_bytes()[:-1000])
        self.told(folder, UNET_FILE, "cut short")

    def test_only_a_pickle(self, folder):
        (folder / CONTROLNET_FILE).rename(folder / CONTROLNET_FILE.replace(".safetensors", ".bin"))
        self.told(folder, "no safetensors weights", "models import")

    def test_a_config_that_is_an_error_page(self, folder):
        (folder / "seesr/unet/config.json").write_text("<html>")
        self.told(folder, "seesr/unet/config.json", "no JSON")


class TestTold:
    """What the networks hear and see."""

    @pytest.mark.parametrize(
        ("text", "user", "whole"),
        [
            ("cat, grass", "", "cat, grass, ,clean, high-resolution, 8k"),
            ("cat, grass, a zoo", "a zoo", "cat, grass, a zoo,clean, high-resolution, 8k"),
            ("", "", ", ,clean, high-resolution, 8k"),
            ("a zoo", "a zoo", ", a zoo,clean, high-resolution, 8k"),
        ],
    )
    def test_the_template_is_the_published_one(self, text, user, whole):
        bank = Bank.of([Prompt(text=text)], resolved(prompt=user), ZIDO.prompt_suffix)
        assert [prompt.text for prompt in bank.prompts] == [whole, "dotted, noise, blur, lowres, smooth"]

    def test_both_halves_of_the_guidance_see_the_tiles_own_embedding(self, backbone):
        tiles = [Prompt(text="roof", embedding=seen) for seen in embeddings(3)]
        bank = Bank.of(tiles, resolved(), ZIDO.prompt_suffix)
        condition = condition_of(backbone, prompts=bank.prompts)
        assert len(condition.texts.tokens) == 2
        assert bank.plan.negative is not None
        for index, prompt in enumerate(tiles):
            for branch in (bank.plan.positive, bank.plan.negative):
                seen = condition.seen[condition.seen_ids[branch[index]]]
                assert torch.equal(seen, torch.from_numpy(prompt.embedding))

    def test_where_no_tagger_looked_the_image_says_nothing(self, backbone):
        condition = condition_of(
            backbone, prompts=[Prompt(text="roof"), Prompt(text="beach", embedding=embeddings(1)[0])]
        )
        assert condition.seen.shape == (2, 5, 512)
        assert not condition.seen[condition.seen_ids[0]].any()

    def test_text_is_filled_up_with_the_tokenizers_own_padding(self, backbone):
        encoder = backbone.parts.text
        tokens = encoder._tokenizer(["ab"], padding="max_length", max_length=77).input_ids[0]
        assert tokens[:4] == [258, ord("a") - 33, 94 + ord("b") - 33, 259]
        assert set(tokens[4:]) == {0}

    def test_text_is_encoded_alike_alone_and_in_company(self, backbone):
        texts = ["roof", "a river, a beach", "w " * 200]
        together = backbone.parts.text.encode(texts)
        assert together.shape == (3, 77, 16)
        for index, text in enumerate(texts):
            assert torch.equal(backbone.parts.text.encode([text])[0], together[index])

    def test_the_hint_is_the_same_in_parts(self, backbone):
        image = random(3, 8 * (HINT_TILE + 20), 8 * 12)
        with torch.inference_mode():
            whole = backbone.parts.hint_embedding(image[None])[0]
        torch.testing.assert_close(backbone._hint_of(image), whole, rtol=0, atol=1e-5)

    def test_a_tile_of_the_canvas_hint_differs_at_its_border_only(self, backbone):
        condition = condition_of(backbone, canvas=Size(32, 32))
        tile = Tile(8, 8, 16, 16)
        alone = backbone.parts.hint_embedding(condition.image[None, :, 64:192, 64:192])[0]
        difference = (alone - backbone._hints(condition, [tile])[0]).abs().amax(0)
        assert difference[3:-3, 3:-3].max() < 1e-5
        assert difference.max() > 1e-3

    def test_the_image_is_mirrored_where_the_canvas_is_larger(self, backbone):
        condition = condition_of(backbone, canvas=Size(16, 24), size=Size(10, 44))
        assert condition.image.shape == (3, 128, 192)
        assert torch.equal(condition.image[:, 40:80], condition.image[:, :40].flip(1))
        assert torch.equal(condition.image[:, :, 176:], condition.image[:, :, 160:176].flip(2))

    @pytest.mark.parametrize("change", ["text", "embedding", "image", "scale", "place"])
    def test_everything_matters(self, backbone, change):
        def noise(text="roof", seed=0, scale=1.0, image=0, place=0):
            prompt = Prompt(text=text, embedding=np.asarray(random(5, 512, seed=seed)) * 20)
            condition = backbone.condition(
                random(3, 32, 48, seed=image),
                Tile(0, 0, 16, 24),
                [prompt],
                lambda work: None,
                resolved(controlnet_conditioning_scale=scale),
            )
            latents = random(1, 4, 16, 16) - 0.5
            return backbone.predict(condition, latents, torch.tensor(500), [Tile(0, place, 16, 16)], [0])

        changes = {"text": "sea", "embedding": 1, "image": 1, "scale": 0.0, "place": 8}
        name = {"embedding": "seed"}.get(change, change)
        assert not torch.allclose(noise(), noise(**{name: changes[change]}), atol=1e-4)

    def test_tiles_are_predicted_alike_alone_and_in_company(self, backbone):
        prompts = [Prompt(text=text, embedding=seen) for text, seen in zip("ab", embeddings(2), strict=True)]
        condition = condition_of(backbone, canvas=Size(16, 32), prompts=prompts)
        latents, tiles = random(2, 4, 16, 16), [Tile(0, 0, 16, 16), Tile(0, 16, 16, 16)]
        together = backbone.predict(condition, latents, torch.tensor(7), tiles, [1, 0])
        for index, prompt_id in enumerate((1, 0)):
            alone = backbone.predict(
                condition, latents[index : index + 1], torch.tensor(7), tiles[index : index + 1], [prompt_id]
            )
            torch.testing.assert_close(together[index], alone[0], rtol=0, atol=1e-5)


class TestAutoencoder:
    def test_encode_is_the_mean_of_the_networks_own(self, backbone):
        condition = condition_of(backbone)
        with torch.inference_mode():
            posterior = backbone.parts.vae.encode(condition.image[None] * 2 - 1).latent_dist
        expected = posterior.mean[0] * 0.18215
        torch.testing.assert_close(backbone.encode(condition), expected, rtol=0, atol=1e-4)

    def test_decode_is_the_networks_own(self, backbone):
        condition, latents = condition_of(backbone, size=Size(30, 47)), random(4, 16, 24) - 0.5
        with torch.inference_mode():
            image = backbone.parts.vae.decode(latents[None] / 0.18215).sample[0] / 2 + 0.5
        made = backbone.decode(condition, latents, fidelity=0.0)
        assert made.shape == (3, 120, 188)
        np.testing.assert_allclose(made, image[:, :120, :188], rtol=0, atol=1e-4)

    def test_without_latents_the_image_is_the_enlargement(self, backbone):
        condition = condition_of(backbone)
        certain = np.clip(resize(np.asarray(random(3, 32, 48)), Size(128, 192)), 0, 1)
        np.testing.assert_allclose(backbone.decode(condition, None, fidelity=1.0), certain, atol=1e-6)
        half = backbone.decode(condition, torch.zeros(4, 16, 24), fidelity=0.5)
        sampled = backbone.decode(condition, torch.zeros(4, 16, 24), fidelity=0.0)
        np.testing.assert_allclose(half, (certain + sampled) / 2, atol=1e-5)

    def test_the_start_is_the_input_under_the_noise_of_the_last_time(self, backbone):
        clean, noise = random(4, 3, 5), random(4, 3, 5, seed=1)
        mixed = under_noise(clean, noise, backbone.schedule)
        torch.testing.assert_close(mixed, clean * 0.0682651 + noise * 0.9976672, rtol=0, atol=1e-6)


class TestRuns:
    """From a file to a file."""

    @pytest.mark.parametrize(("model", "unique"), [("zido", 4), ("seesr", 1)])
    def test_local_and_global(self, crop, seesr_folder, tmp_path, model, unique):
        pixels, profile, manifest = run(crop, seesr_folder, tmp_path, model=model)
        with rasterio.open(crop) as source:
            place = source.transform @ source.transform.scale(0.25)
            means = source.read().mean(axis=(1, 2))
            assert profile["crs"] == source.crs
        assert pixels.shape == (3, 160, 192)
        assert profile["transform"].almost_equals(place, 1e-9)
        np.testing.assert_allclose(pixels.mean(axis=(1, 2)), means, atol=0.5)
        assert manifest["tiles"] == 4
        assert (manifest["tagger"]["name"], len(manifest["tagger"]["sha256"])) == ("dape", 64)
        told = tag(crop, model=model, model_dir=str(seesr_folder), **SMALL)
        assert len({id(prompt.embedding) for prompt in told}) == unique

    @pytest.mark.parametrize("start", ["lr", "noise"])
    def test_progress_counts_the_autoencoder(self, crop, seesr_folder, tmp_path, start):
        events = []
        upscale(
            *(crop, tmp_path / "out.tif"),
            **{"model": "zido", "model_dir": str(seesr_folder), "on_event": events.append, "start": start, **SMALL},
        )
        done = [(event.done, event.total) for event in events if isinstance(event, Progress)]
        total, canvas, looks = done[-1][1], 20 * 24, 2 * 2 * 4 * 16 * 16  # steps, guidance, tiles
        assert total == (ZIDO.picture_work + 1) * canvas + looks  # and the finishing
        assert done[-1][0] == total
        assert [each for each, _ in done] == sorted(each for each, _ in done)
        assert sum(each > total - (DECODING + 1) * canvas for each, _ in done) > 4

    def test_is_repeated_to_the_byte(self, crop, seesr_folder, tmp_path, plain):
        assert np.array_equal(run(crop, seesr_folder, tmp_path, seed=1, tile_batch=3)[0], plain)

    @pytest.mark.parametrize(
        "option",
        [
            {"seed": 2},
            {"prompts": "none"},
            {"prompt": "a zoo"},
            {"negative_prompt": "fog"},
            {"guidance_scale": 1.0},
            {"start": "noise"},
            {"controlnet_conditioning_scale": 0.5},
            {"tagger": "scene"},
            {"fidelity": 1.0},
        ],
        ids=str,
    )
    def test_options_reach_the_networks(self, crop, seesr_folder, tmp_path, plain, option):
        assert not np.array_equal(run(crop, seesr_folder, tmp_path, **{"seed": 1, **option})[0], plain)

    @pytest.mark.parametrize("size", [(1, 1), (3, 40), (33, 17)])
    def test_images_of_any_size(self, seesr_folder, size):
        upscaler = Upscaler.load("zido", device="cpu", model_dir=str(seesr_folder))
        image = np.asarray(random(*size, 3)).astype(np.float32)
        result = upscaler.upscale(image, **{**SMALL, "steps": 1})
        assert result.image.shape == (4 * size[0], 4 * size[1], 3)
        assert np.isfinite(result.image).all()


def assert_same(network, other):
    state, expected = network.state_dict(), other.state_dict()
    assert set(state) == set(expected)
    for name, tensor in expected.items():
        assert torch.equal(state[name], tensor), name
