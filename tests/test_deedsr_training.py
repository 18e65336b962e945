"""DeeDSR's training on tiny networks: the losses are the paper's, they fall, and what is saved is what is loaded."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn.functional import normalize

from zido_core.errors import ModelMissing
from zido_core.nets.deedsr import build_learner
from zido_core.training.data import Images, Mixture
from zido_core.training.deedsr import main
from zido_core.training.deedsr_files import load_learner, save_learner
from zido_core.training.deedsr_learner import (
    ContrastObjective,
    LearnerShape,
    crops_of_levels,
    describe,
    info_nce,
    patches_of,
)
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

    def test_keys_come_back_in_their_order(self):
        network = ContrastObjective(SHAPE).network().eval()
        patches = torch.rand(6, 3, 16, 16, generator=torch.Generator().manual_seed(1))
        keys = network.keys(patches, torch.Generator().manual_seed(2))
        alone = normalize(network.follower(patches)[1])
        torch.testing.assert_close(keys, alone, rtol=0, atol=1e-5)

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
        pairs, generator = batch_of(images, MIXTURE, RECIPE, 0), torch.Generator().manual_seed(0)
        first, second = ContrastObjective(SHAPE).alike(pairs, generator)
        assert torch.equal(first, second)
        objective = ContrastObjective(replace(SHAPE, positives="degradation"))
        first, second = objective.alike([pairs[0], pairs[0]], generator)
        assert torch.equal(first[:1], second[:1])  # the same picture under the same parameters
        assert not torch.equal(first[:1], first[1:])  # and under others
        other, _ = objective.alike(pairs, generator)
        assert other.shape == (4, 3, 32, 32)

    def test_loss_falls(self, images):
        """Of pictures that nobody could mistake for each other, in two batches by turns."""
        objective = ContrastObjective(replace(SHAPE, queue=8, momentum=0.5))
        recipe = replace(RECIPE, batch=8, decay="none")
        tints = np.random.default_rng(0).integers(0, 200, (16, 1, 1, 3))
        frames = tuple((frame // 5 + tint).astype(np.uint8) for frame, tint in zip(images.frames, tints, strict=False))
        pictures = Images(frames, (False,) * 16, ("",) * 16)
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


def test_a_learner_through_the_command_line(folder, tmp_path, monkeypatch, capsys):
    """Train, save, load, draw: as the documents say it."""
    size = ["--layers", "1,1,1,1", "--widths", "8,8,16,16", "--patch", "16", "--queue", "16", "--batch", "2"]
    run = ["deedsr", "learner", "--data", str(folder), "--out", str(tmp_path), "--steps", "2", *size]
    monkeypatch.setattr("sys.argv", run)
    main()
    path = tmp_path / "learner.safetensors"
    learner, card = load_learner(path)
    assert set(card["levels"]) == set(LEVELS)
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
    assert all(name in said for name in ("learner", "untrained", "scene tagger"))


def test_a_learner_of_another_size_than_it_says_is_refused(folder, tmp_path):
    learner = build_learner((1, 1, 1, 1), "cpu", widths=(8, 8, 16, 16))
    path = save_learner(learner, tmp_path, layers=(1, 1, 1, 1), described=np.eye(2, 16), levels=["light", "heavy"])
    card = json.loads(path.with_suffix(".json").read_text())
    path.with_suffix(".json").write_text(json.dumps(card | {"widths": [8, 8, 16, 32]}))
    with pytest.raises(ModelMissing, match="do not fit"):
        load_learner(path)
