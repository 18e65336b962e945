"""DeeDSR's training on tiny networks: the losses are the paper's, they fall, and what is saved is what is loaded."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch
from diffusers import UNet2DConditionModel
from PIL import Image
from safetensors.torch import load_file
from torch.nn.functional import normalize

from tests.tiny_deedsr import ENCODER, TOKENS
from tests.tiny_models import write_base, write_part
from tests.tiny_stablesr import BASE
from tests.tiny_stablesr import UNET as WORDED
from zido_core.backbones import load_backbone
from zido_core.backbones.deedsr_files import is_own
from zido_core.catalog import DEEDSR
from zido_core.errors import ModelMissing
from zido_core.nets.deedsr import build_learner
from zido_core.nets.ldm import unet_config
from zido_core.nets.stablesr import EncoderConfig
from zido_core.training.data import Images, Mixture
from zido_core.training.deedsr import Pool, main
from zido_core.training.deedsr_adapter import AdapterObjective, base_folder
from zido_core.training.deedsr_files import load_learner, save_learner
from zido_core.training.deedsr_learner import (
    ContrastObjective,
    LearnerShape,
    crops_of_levels,
    describe,
    draw_alike,
    info_nce,
    levels_of,
    patches_of,
    shuffled,
)
from zido_core.training.deedsr_told import SHARES, ToldObjective, turned
from zido_core.training.degrade import LEVELS
from zido_core.training.train import Recipe, batch_of, rate_at, start, train_step

SHAPE = LearnerShape(layers=(1, 1, 1, 1), widths=(8, 8, 16, 16), patch=16, queue=24, momentum=0.9)
MIXTURE = Mixture(size=32, margin=2, shares=(0.2,) * 5)
RECIPE = Recipe(
    stage="learner",
    steps=30,
    batch=4,
    learning_rate=0.03,
    warmup=0,
    ema=0.0,
    optimiser="sgd",
    decay="tenths",
    half=False,
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Frames of structured noise."""
    root = tmp_path_factory.mktemp("frames")
    rng = np.random.default_rng(0)
    for index in range(21):
        coarse = rng.integers(0, 256, (20, 24, 3), dtype=np.uint8)
        Image.fromarray(coarse).resize((240, 200), Image.Resampling.BICUBIC).save(root / f"{index:02}.png")
    return root


@pytest.fixture(scope="module")
def images(folder):
    return Images.read(folder)


def unit(*shape, seed=0):
    return normalize(torch.randn(*shape, generator=torch.Generator().manual_seed(seed)), dim=-1)


class TestContrast:
    def test_loss_is_equation_six(self):
        queries, keys, negatives = unit(3, 8), unit(3, 8, seed=1), unit(5, 8, seed=2)
        alike = torch.exp((queries * keys).sum(1) / 0.07)
        other = torch.exp(queries @ negatives.T / 0.07).sum(1)
        expected = -torch.log(alike / (alike + other)).mean()
        torch.testing.assert_close(info_nce(queries, keys, negatives, 0.07), expected)

    def test_the_defaults_are_the_papers(self):
        shape = LearnerShape()
        assert (shape.patch, shape.queue, shape.temperature) == (64, 16384, 0.07)
        assert shape.widths[-1] == 1024

    def test_the_queue_forgets_the_oldest(self):
        network = ContrastObjective(SHAPE).network()
        for number in range(3):
            network.remember(unit(10, 16, seed=number))
        first, second, third = (unit(10, 16, seed=number) for number in range(3))
        assert torch.equal(network.queue, torch.cat([third[4:], first[6:], second, third[:4]]))
        assert int(network.place) == 6

    def test_the_copy_follows_slowly_and_learns_nothing_itself(self, images):
        objective = ContrastObjective(SHAPE)
        progress = start(objective, RECIPE)
        before = [value.clone() for value in progress.network.follower.parameters()]
        generator = torch.Generator().manual_seed(0)
        train_step(progress, objective, batch_of(images, MIXTURE, RECIPE, 0), generator, RECIPE)
        assert all(torch.equal(*pair) for pair in zip(before, progress.network.follower.parameters(), strict=True))
        progress.network.follow(0.9)
        moved = zip(before, progress.network.learner.parameters(), progress.network.follower.parameters(), strict=True)
        for old, learnt, followed in moved:
            torch.testing.assert_close(followed, 0.9 * old + 0.1 * learnt)

    def test_keys_are_those_of_each_patch_alone(self):
        network = ContrastObjective(SHAPE).network()
        patches = torch.rand(6, 3, 16, 16, generator=torch.Generator().manual_seed(1))
        alone = torch.cat([network.keys(patch[None]) for patch in patches])
        torch.testing.assert_close(network.keys(patches), alone, rtol=0, atol=1e-5)

    def test_patches_lie_in_their_images(self):
        images = torch.arange(2 * 3 * 8 * 8.0).view(2, 3, 8, 8)
        patches = patches_of(images, 5, torch.Generator().manual_seed(0))
        assert patches.shape == (2, 3, 5, 5)
        for image, patch in zip(images, patches, strict=True):
            assert patch.min() >= image.min()
            assert patch[0, 1, 0] - patch[0, 0, 0] == 8
        with pytest.raises(ValueError, match="no patch of 9"):
            patches_of(images, 9, torch.Generator())

    def test_the_rate_falls_to_a_tenth_twice(self):
        recipe = Recipe(stage="learner", steps=630, learning_rate=1.0, warmup=0, decay="tenths")
        rates = [rate_at(step, recipe) for step in (0, 119, 120, 239, 240, 629)]
        assert rates == pytest.approx([1, 1, 0.1, 0.1, 0.01, 0.01])

    def test_what_is_alike_shares_an_image_or_a_degradation(self, images):
        pairs, whole = batch_of(images, MIXTURE, RECIPE, 0), replace(SHAPE, patch=32)
        first, second = ContrastObjective(whole).alike(pairs, torch.Generator())
        assert torch.equal(first, second)
        drawn = draw_alike(images, MIXTURE, RECIPE, 0)
        assert [pair.degradation for pair in drawn[:4]] == [pair.degradation for pair in drawn[4:]]
        first, second = ContrastObjective(replace(whole, positives="degradation")).alike(drawn, torch.Generator())
        assert first.shape == second.shape == (4, 3, 32, 32)
        assert not torch.equal(first, second)

    def test_shuffled_patches_keep_their_noise_and_lose_their_place(self):
        patches = torch.rand(8, 3, 6, 6, generator=torch.Generator().manual_seed(0))
        made = shuffled(patches, torch.Generator().manual_seed(1))
        assert made.shape == patches.shape
        assert not torch.equal(made, patches)
        for patch, other in zip(patches, made, strict=True):
            spreads = [sorted(each.flatten(1).std(1).tolist()) for each in (patch, other)]
            assert spreads[0] == pytest.approx(spreads[1])

    def test_a_pool_gives_the_same_batches_again(self, images):
        draw = Pool(batch_of, 2)
        first, second, again = (draw(images, MIXTURE, RECIPE, step) for step in (0, 1, 2))
        assert again is first
        assert not np.array_equal(first[0].image, second[0].image)
        assert np.array_equal(first[0].image, batch_of(images, MIXTURE, RECIPE, 0)[0].image)

    def test_loss_falls(self, images):
        """Of pictures that nobody could mistake for each other, in two batches by turns."""
        objective = ContrastObjective(replace(SHAPE, queue=8, momentum=0.5))
        recipe = replace(RECIPE, batch=8, decay="none")
        tints = np.random.default_rng(0).integers(0, 200, (16, 1, 1, 3))
        frames = tuple((frame // 5 + tint).astype(np.uint8) for frame, tint in zip(images.frames, tints, strict=False))
        pictures = Images(frames, ("",) * 16)
        halves = [pictures.select(list(range(8))), pictures.select(list(range(8, 16)))]
        batches = [batch_of(half, MIXTURE, recipe, 0) for half in halves]
        progress, generator = start(objective, recipe), torch.Generator().manual_seed(0)
        losses = [train_step(progress, objective, batches[step % 2], generator, recipe) for step in range(80)]
        assert np.mean(losses[-20:]) < 0.8 * np.mean(losses[:20])
        watched = objective.watch(progress.average, images, MIXTURE, 0)
        assert 0 <= watched["neighbours"] <= 1


def test_crops_are_of_all_levels_and_always_the_same(images):
    first, levels = crops_of_levels(images, MIXTURE, 16, 3, 0)
    again, _ = crops_of_levels(images, MIXTURE, 16, 3, 0)
    assert first.shape == (9, 3, 16, 16)
    assert levels == [level for level in LEVELS for _ in range(3)]
    assert torch.equal(first, again)


def test_descriptions_do_not_depend_on_the_batch():
    learner = build_learner((1, 1, 1, 1), "cpu", widths=(8, 8, 16, 16)).train()
    images = torch.rand(3, 3, 20, 20, generator=torch.Generator().manual_seed(0))
    together = describe(learner, images)
    assert learner.training
    np.testing.assert_allclose(together[1:2], describe(learner, images[1:2]), atol=1e-6)
    np.testing.assert_allclose((together**2).sum(1), 1, atol=1e-5)


def test_the_nearest_mean_tells_the_level():
    described = np.array([[1, 0], [0.6, 0.8], [0, 1]], np.float32)
    assert levels_of(described, {"light": [0.9, 0.1], "heavy": [0.1, 0.9]}) == ["light", "heavy", "heavy"]


class TestTold:
    def test_it_learns_what_it_is_told(self, images):
        """The same few crops again and again, by which levels can be told."""
        objective = ToldObjective(SHAPE)
        recipe = replace(RECIPE, batch=12, learning_rate=1e-2, optimiser="adamw", decay="none", half=False)
        mixture = replace(MIXTURE, size=16, shares=SHARES)
        progress, generator = start(objective, recipe), torch.Generator().manual_seed(0)
        pairs = batch_of(images, mixture, recipe, 0)
        assert {pair.degradation for pair in pairs} <= set(LEVELS)
        losses = [train_step(progress, objective, pairs, generator, recipe) for _ in range(40)]
        assert np.mean(losses[-5:]) < 0.5 * np.mean(losses[:5])
        watched = objective.watch(progress.average, images, mixture, 0)
        assert 0 <= watched["neighbours"] <= 1

    def test_patches_are_turned_together(self):
        patches = torch.rand(3, 3, 8, 8, generator=torch.Generator().manual_seed(1))
        seen = {tuple(turned(patches, torch.Generator().manual_seed(seed)).flatten().tolist()) for seed in range(60)}
        ways = [torch.rot90(kind, turns, (2, 3)) for kind in (patches, patches.flip(3)) for turns in range(4)]
        assert seen == {tuple(way.flatten().tolist()) for way in ways}

    def test_it_begins_blind_to_brightness(self):
        network = ToldObjective(SHAPE).network()
        torch.testing.assert_close(
            network.learner.conv1(torch.full((1, 3, 15, 15), 0.7))[..., 3:-3, 3:-3],
            torch.zeros(1, 64, 2, 2),
            atol=1e-5,
            rtol=0,
        )


@pytest.mark.parametrize("told", [[], ["--told", "--optimiser", "adamw"]], ids=["contrast", "told"])
def test_a_learner_through_the_command_line(folder, tmp_path, monkeypatch, capsys, told):
    """Train, save, load, draw: as the documents say it."""
    size = ["--layers", "1,1,1,1", "--widths", "8,8,16,16", "--patch", "16", "--queue", "16", "--batch", "2"]
    run = ["deedsr", "learner", "--data", str(folder), "--out", str(tmp_path), "--steps", "2", *size, *told]
    monkeypatch.setattr("sys.argv", run)
    main()
    path = tmp_path / "learner.safetensors"
    learner, card = load_learner(path)
    assert set(card.levels) == set(LEVELS)
    trained = torch.load(tmp_path / "learner.pt", weights_only=True)["network"]
    assert all(torch.equal(value, trained[f"learner.{name}"]) for name, value in learner.state_dict().items())
    picture = tmp_path / "clusters.png"
    drawn = ["deedsr", "plot", "--data", str(folder), "--out", str(picture), "--learner", str(path)]
    monkeypatch.setattr("sys.argv", [*drawn, "--count", "4", "--patch", "16"])
    main()
    with Image.open(picture) as image:
        assert image.size == (800, 440)
        assert len(image.getcolors(maxcolors=1 << 20)) > 4
    said = capsys.readouterr().out
    assert "12 crops that the training did not see" in said
    assert all(name in said for name in ("learner", "untrained", "scene tagger", "nearest mean"))


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    """A tiny Stable Diffusion in the folders of diffusers, and a learner."""
    root = tmp_path_factory.mktemp("models")
    with torch.random.fork_rng():
        torch.manual_seed(3)
        write_base(root / BASE)
        write_part(root / BASE / "unet", unet_config(WORDED), UNet2DConditionModel(**unet_config(WORDED)).state_dict())
        learner = build_learner((1, 1, 1, 1), "cpu", widths=(8, 8, 16, 16))
        save_learner(learner, root, layers=(1, 1, 1, 1), described=np.eye(3, 16), levels=list(LEVELS))
    return root


def objective_of(base):
    learner, card = load_learner(base / "learner.safetensors")
    shape = EncoderConfig.from_ldm(ENCODER)
    return AdapterObjective(base_folder(base), BASE, learner=learner, layers=card.layers, shape=shape)


class TestAdapter:
    RECIPE = Recipe(
        stage="adapter", batch=2, learning_rate=3e-3, warmup=0, ema=0.0, optimiser="adam", decay="none", half=False
    )

    def test_begins_as_the_base(self, base):
        """Modulations change nothing yet; what has the base's shape has its numbers."""
        unet = objective_of(base).unet()
        plain = load_file(base / BASE / "unet" / "diffusion_pytorch_model.safetensors")
        state = {
            name.removeprefix("unet.").replace(".conv2.conv.", ".conv2."): v for name, v in unet.state_dict().items()
        }
        fresh = {name for name in plain if state[name].shape != plain[name].shape}
        assert fresh == {name for name in plain if name.endswith((".attn2.to_k.weight", ".attn2.to_v.weight"))}
        assert all(torch.equal(state[name], plain[name]) for name in plain if name not in fresh)
        latents, times = torch.randn(1, 4, 8, 8), torch.tensor([7])
        tokens = torch.randn(1, 3, TOKENS)
        maps = [torch.randn(1, 32, side, side) for side in (8, 4)]
        with torch.no_grad():
            seen, unseen = (unet(latents, times, tokens, [scale * each for each in maps]) for scale in (1, 0))
        assert torch.equal(seen, unseen)

    def test_loss_falls_and_the_frozen_stays(self, images, base):
        objective = objective_of(base)
        progress = start(objective, self.RECIPE)
        before = {name: value.clone() for name, value in progress.network.state_dict().items()}
        pairs = batch_of(images, MIXTURE, self.RECIPE, 0)
        losses = [
            train_step(progress, objective, pairs, torch.Generator().manual_seed(0), self.RECIPE) for _ in range(12)
        ]
        assert losses[-1] < 0.8 * losses[0]
        changed = {
            name for name, value in progress.network.state_dict().items() if not torch.equal(value, before[name])
        }
        assert not [name for name in changed if ".learner." in name]
        unet = [name.removeprefix("unet.") for name in changed if name.startswith("unet.")]
        assert unet
        assert all(is_own(progress.network.unet.official_name(name)) for name in unet)
        watched = objective.watch(progress.average, images, MIXTURE, 0)
        assert watched == objective.watch(progress.average, images, MIXTURE, 0)

    def test_what_it_leaves_is_a_model(self, folder, base, tmp_path, monkeypatch, images):
        """Through the command line, and back through the loader, which leaves nothing out; it predicts the same."""
        run = tmp_path / "run"
        shutil.copytree(base / BASE, run / BASE)
        size = ["--channels", "32", "--multipliers", "1,2", "--maps", "32", "--size", "16"]
        said = ["--data", str(folder), "--out", str(run), "--base", str(base), *size, "--steps", "2", "--batch", "1"]
        monkeypatch.setattr("sys.argv", ["deedsr", "adapter", "--learner", str(base / "learner.safetensors"), *said])
        main()
        backbone = load_backbone(DEEDSR, "cpu", torch.float32, str(run))
        trained = torch.load(run / "adapter.pt", weights_only=True)["network"]
        for part, network in (("unet", backbone.parts.unet), ("adapter", backbone.parts.adapter)):
            for name, value in network.state_dict().items():
                assert torch.equal(value, trained[f"{part}.{name}"]), name


def test_a_learner_of_another_size_than_it_says_is_refused(folder, tmp_path):
    learner = build_learner((1, 1, 1, 1), "cpu", widths=(8, 8, 16, 16))
    path = save_learner(learner, tmp_path, layers=(1, 1, 1, 1), described=np.eye(2, 16), levels=["light", "heavy"])
    card = json.loads(path.with_suffix(".json").read_text())
    path.with_suffix(".json").write_text(json.dumps(card | {"widths": [8, 8, 16, 32]}))
    with pytest.raises(ModelMissing, match="do not fit"):
        load_learner(path)
