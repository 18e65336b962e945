"""The training is what its recipe says: reproducible, resumable, and its degradations are those of the papers."""

from __future__ import annotations

import hashlib
import json
import pickle
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from torch import nn

from zido_core.backbones.mini import harm_in
from zido_core.content_hash import sha256_of
from zido_core.nets.harm_sense import HarmSense
from zido_core.nets.mini import Coarse, Refiner
from zido_core.prompts.degradation import said
from zido_core.prompts.vocabulary import VOCABULARY
from zido_core.training import harm_sense
from zido_core.training.between import between
from zido_core.training.data import Images, Mixture, draw_pair
from zido_core.training.degrade import DEGRADATIONS, LEVELS, Harm, degrade, degrade_and_tell, harm_of, reduce
from zido_core.training.export import export
from zido_core.training.objective import CoarseObjective, RefinerObjective, harm_seen, held_pairs, psnr, stack
from zido_core.training.optimiser import optimizers_of
from zido_core.training.train import Recipe, Steps, batch_of, main, rate_at, start, train

SMALL = Mixture(size=8, margin=2)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Four frames of structured noise in a folder as the training data has it, with its manifest."""
    root = tmp_path_factory.mktemp("images")
    (root / "aerial").mkdir()
    rng = np.random.default_rng(0)
    rows = ["file,source_repo,licence,attribution,sha256"]
    for index in range(4):
        coarse = rng.integers(0, 256, (20, 24, 3), dtype=np.uint8)
        name = f"aerial/{index}.png"
        Image.fromarray(coarse).resize((240, 200), Image.Resampling.BICUBIC).save(root / name)
        rows.append(
            f"{name},somebody/something,CC0-1.0,nobody,{hashlib.sha256((root / name).read_bytes()).hexdigest()}"
        )
    (root / "manifest.csv").write_text("\n".join(rows) + "\n")
    return root


@pytest.fixture(scope="module")
def images(folder):
    return Images.read(folder)


def picture(side: int = 64) -> np.ndarray:
    axis = np.linspace(0, 1, side, dtype=np.float32)
    stripes = np.abs(np.sin(9 * np.add.outer(axis, -axis)))
    planes = [np.add.outer(axis, axis) / 2, stripes, np.tile(axis, (side, 1))]
    return np.stack(planes, axis=-1).astype(np.float32)


@pytest.mark.parametrize("degradation", DEGRADATIONS)
def test_degraded_images_are_reduced_by_four_in_whole_levels(degradation):
    low = degrade(picture(), degradation, np.random.default_rng(1))
    assert low.shape == (16, 16, 3)
    assert low.dtype == np.float32
    assert np.allclose(low * 255, np.rint(low * 255), atol=1e-3)
    assert 0 <= low.min() <= low.max() <= 1


def test_clean_is_pillows_antialiased_bicubic():
    high = picture()
    band = np.asarray(Image.fromarray(high[..., 1]).resize((16, 16), Image.Resampling.BICUBIC))
    assert np.array_equal(reduce(high, 4)[..., 1], band)


def test_every_degradation_keeps_the_place_of_the_image():
    """A centred blob stays centred: none of the reductions shifts by a part of a pixel."""
    axis = np.arange(64) - 31.5
    blob = np.exp(-np.add.outer(axis**2, axis**2) / 200).astype(np.float32)
    for degradation in DEGRADATIONS:
        low = degrade(np.repeat(blob[..., None], 3, 2), degradation, np.random.default_rng(2)).mean(-1)
        low = low * (low > 0.2)
        centre = (low.sum(0) * np.arange(16)).sum() / low.sum()
        assert abs(centre - 7.5) < 0.06, degradation


def test_levels_grow_from_light_to_heavy():
    errors = []
    clean = degrade(picture(), "clean", np.random.default_rng(0))
    for degradation in LEVELS:
        several = [degrade(picture(), degradation, np.random.default_rng(i)) - clean for i in range(8)]
        errors.append(np.sqrt(np.mean(np.square(several))))
    assert errors == sorted(errors)


def test_pairs_depend_on_seed_stage_and_step_alone(images):
    recipe = Recipe(stage="coarse", batch=2)
    first, again = batch_of(images, SMALL, recipe, 5), batch_of(images, SMALL, recipe, 5)
    assert all(
        np.array_equal(a.image, b.image) and np.array_equal(a.truth, b.truth) for a, b in zip(first, again, strict=True)
    )
    assert not np.array_equal(first[0].truth, batch_of(images, SMALL, recipe, 6)[0].truth)


def test_crops_are_drawn_ahead_in_another_process_and_are_the_same(images):
    recipe = Recipe(stage="coarse", batch=1, steps=7)
    steps = pickle.loads(pickle.dumps(Steps(batch_of, images, SMALL, recipe)))
    for step, (pair,) in zip((5, 6), steps.since(5), strict=True):
        assert np.array_equal(pair.truth, batch_of(images, SMALL, recipe, step)[0].truth)


def test_pairs_have_the_sizes_of_the_mixture(images):
    pair = draw_pair(images, SMALL, np.random.default_rng(0))
    assert pair.image.shape == (3, 8, 8)
    assert pair.truth.shape == (3, 32, 32)


def test_clean_pairs_belong_together(images):
    clean = replace(SMALL, size=16, shares=(1.0, 0, 0, 0, 0))
    pair = draw_pair(images, clean, np.random.default_rng(3))
    means = pair.truth.reshape(3, 16, 4, 16, 4).mean((2, 4))
    assert np.abs(means - pair.image).mean() < 0.02


def test_rate_rises_and_falls():
    recipe = Recipe(stage="coarse", steps=1000, warmup=100, learning_rate=1.0)
    rates = [rate_at(step, recipe) for step in (0, 50, 99, 100, 500, 999)]
    assert rates[0] == 0.01
    assert rates[2] == rates[3] == 1.0
    assert rates[3] > rates[4] > rates[5] >= 0.01


@pytest.mark.parametrize("optimiser", ["adamw", "muon"])
def test_a_resumed_run_ends_where_an_uninterrupted_one_does(images, tmp_path, optimiser):
    weights = {}
    for name, stops in {"whole": [4], "resumed": [2, 4]}.items():
        (tmp_path / name).mkdir()
        for stop in stops:
            recipe = Recipe(stage="coarse", steps=stop, batch=1, warmup=1000, optimiser=optimiser)
            list(train(CoarseObjective(), images, SMALL, recipe, tmp_path / name))
        weights[name] = torch.load(tmp_path / name / "coarse.pt", weights_only=True)["average"]
    for name, value in weights["whole"].items():
        assert torch.equal(value, weights["resumed"][name]), name


def test_muon_moves_the_matrices_of_linear_layers_and_adamw_the_rest():
    network = Refiner(vocabulary=len(VOCABULARY))
    muon, adamw = optimizers_of(network, "muon", 0.0)
    ours = {id(value) for value in muon.param_groups[0]["params"]}
    rest = {id(value) for value in adamw.param_groups[0]["params"]}
    assert ours == {id(layer.weight) for layer in network.modules() if isinstance(layer, nn.Linear)}
    assert ours | rest == {id(value) for value in network.parameters()}
    assert not ours & rest


def test_a_step_of_muon_has_equal_singular_values():
    layer = nn.Linear(8, 8, bias=False)
    nn.init.eye_(layer.weight)  # the gradient's singular values are 1 to 64, whatever was drawn before
    before = layer.weight.detach().clone()
    muon, _ = optimizers_of(nn.ModuleList([layer, nn.LayerNorm(8)]), "muon", 0.0)
    muon.param_groups[0]["lr"] = 0.1
    layer(torch.eye(8) * torch.arange(1.0, 9)).square().sum().backward()
    muon.step()
    singular = torch.linalg.svdvals(layer.weight.detach() - before)
    assert singular.max() < 2 * singular.min()


def test_a_model_is_trained_further_from_another_runs_weights(images, folder, tmp_path, monkeypatch, capsys):
    first = Recipe(stage="coarse", steps=4, batch=2, warmup=2)
    list(train(CoarseObjective(), images, SMALL, first, tmp_path))
    known = torch.load(tmp_path / "coarse.pt", weights_only=True)["average"]
    begun = start(CoarseObjective(), first, weights=known)
    assert all(torch.equal(value, known[name]) for name, value in begun.average.state_dict().items())
    given = ["coarse", "--data", str(folder), "--out", str(tmp_path / "on"), "--steps", "1", "--batch", "1"]
    monkeypatch.setattr("sys.argv", ["train", *given, "--start", str(tmp_path / "coarse.pt")])
    main()
    told = torch.load(tmp_path / "on/coarse.pt", weights_only=True)["recipe"]["start"]
    assert told == f"sha256:{hashlib.sha256((tmp_path / 'coarse.pt').read_bytes()).hexdigest()}"


def test_kernels_that_grow_begin_with_what_the_smaller_ones_did():
    torch.manual_seed(1)
    narrow = Coarse(block_reach=1)
    grown = start(CoarseObjective(), Recipe(stage="coarse"), weights=narrow.state_dict()).average
    image = torch.rand(1, 3, 20, 20)
    assert grown.reach > narrow.reach
    assert torch.allclose(grown(image).residual, narrow(image).residual, atol=1e-6)


def test_two_processes_train_as_one_with_the_crops_of_both(folder, images, tmp_path):
    """The command that ``train`` names, against one process that sees all crops."""
    given = ["--data", str(folder), "--out", str(tmp_path / "two"), "--steps", "2", "--batch", "1", "--seed", "3"]
    module = ["-m", "--", "zido_core.training.train", "coarse", "--optimiser", "sgd"]
    launch = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", *module]
    subprocess.run([*launch, *given], check=True, capture_output=True)
    two = torch.load(tmp_path / "two/coarse.pt", weights_only=True)
    assert two["recipe"]["processes"] == 2

    def both(images, mixture, recipe, step):
        return [pair for number in (2 * step, 2 * step + 1) for pair in batch_of(images, mixture, recipe, number)]

    recipe = Recipe(stage="coarse", steps=2, batch=1, seed=3, optimiser="sgd")
    list(train(CoarseObjective(), images, Mixture(), recipe, tmp_path, draw=both))
    one = torch.load(tmp_path / "coarse.pt", weights_only=True)
    fresh = start(CoarseObjective(), recipe).network.state_dict()
    moved = {name: value - fresh[name] for name, value in one["network"].items()}
    apart = {name: value - one["network"][name] for name, value in two["network"].items()}
    size = sum(float(value.square().sum()) for value in moved.values()) ** 0.5
    assert size > 0
    assert sum(float(value.square().sum()) for value in apart.values()) ** 0.5 < 0.02 * size


def test_both_stages_learn_and_export_with_a_true_card(images, folder, tmp_path):
    for stage in ("coarse", "refiner"):
        objective = CoarseObjective() if stage == "coarse" else RefinerObjective(coarse=tmp_path / "coarse.pt")
        recipe = Recipe(stage=stage, steps=3, batch=1, warmup=1)
        list(train(objective, images, SMALL, recipe, tmp_path))
        watched = objective.watch(objective.network(), images, SMALL, 0)
        assert all(np.isfinite(value) for value in watched.values())
        record = {"step": 3, "loss": 1.0, "rate": 0.1, "seconds": 1, **watched}
        (tmp_path / f"{stage}.jsonl").write_text(json.dumps(record) + "\n")
    card = export(tmp_path, folder, tmp_path / "out")
    content = (tmp_path / "out" / "mini.safetensors").read_bytes()
    assert card["sha256"] == f"sha256:{hashlib.sha256(content).hexdigest()}"
    assert card["vocabulary"] == list(VOCABULARY)
    assert [image["licence"] for image in card["images"]] == ["CC0-1.0"] * 4
    assert card["recipes"]["refiner"]["steps_done"] == 3
    assert json.loads((tmp_path / "out" / "mini.json").read_text()) == card
    further = export(tmp_path, folder, tmp_path / "out", card)
    assert further["before"]["recipes"] == card["recipes"]
    assert "images" not in further["before"]


def test_a_network_between_two_has_weights_of_both(tmp_path):
    for value, name in enumerate(("before", "after")):
        state = {"average": {"weight": torch.full((2,), float(value))}, "recipe": {"stage": "coarse"}, "step": value}
        torch.save(state, tmp_path / name)
    between(tmp_path / "before", tmp_path / "after", 0.6, tmp_path / "out")
    made = torch.load(tmp_path / "out", weights_only=True)
    assert made["average"]["weight"].tolist() == pytest.approx([0.6, 0.6])
    assert (made["step"], made["recipe"]["share"]) == (1, 0.6)
    assert made["recipe"]["shares_with"] == f"sha256:{sha256_of(tmp_path / 'before')}"


def test_psnr_is_the_mean_of_each_examples():
    errors = torch.stack([torch.full((3, 4, 4), 0.1), torch.full((3, 4, 4), 0.01)])
    assert psnr(errors) == pytest.approx((20 + 40) / 2, abs=0.01)


def test_every_way_of_harming_gives_a_fourth_of_the_truth(images):
    pair = draw_pair(images, replace(harm_sense.MIXTURE, size=20), np.random.default_rng(0))
    truth = np.ascontiguousarray(pair.truth.transpose(1, 2, 0))
    made = {kind: harm_sense.harmed(truth, kind, np.random.default_rng(1)) for kind in harm_sense.SHARES}
    for kind, (image, harm) in made.items():
        assert all(0 <= level <= 1 for level in harm if not np.isnan(level)), kind
        assert image.shape == (20, 20, 3), kind
        assert np.allclose(image * 255, np.rint(image * 255), atol=1e-3), kind
    assert np.array_equal(made["coarse"][0], np.rint(truth[::4, ::4] * 255) / np.float32(255))
    assert sum(harm_sense.SHARES.values()) == pytest.approx(1)


def test_levels_say_what_was_done():
    """In units of the reduced image: what is done before the reduction counts a fourth."""
    assert degrade_and_tell(picture(), "clean", np.random.default_rng(0))[1] == Harm(0, 0, 0)
    assert harm_of(sigma=1, noise=25.5 * 0.1, quality=70) == pytest.approx((0.5, 0.1**0.6, 0.3))
    assert harm_of(sigma=9, noise=99, quality=0) == (1, 1, 1)
    for kind, level in LEVELS.items():
        harm = degrade_and_tell(picture(), kind, np.random.default_rng(0))[1]
        bounds = [
            harm_of(
                sigma=level.blur_sigma[end] / 4,
                noise=float(np.hypot(level.second_noise[end], level.first_noise[end] / 4)),
                quality=level.second_quality[1 - end],
            )
            for end in (0, 1)
        ]
        assert all(low <= found <= high for low, found, high in zip(bounds[0], harm, bounds[1], strict=True)), kind
    blurred, noisy, compressed = degrade_and_tell(picture(), "sensor", np.random.default_rng(0))[1]
    assert blurred > 0.15
    assert noisy > 0.05
    assert compressed == 0


def test_some_clean_inputs_are_harmed_in_one_way_alone(images):
    clean = Mixture(size=16, margin=2, shares=(1, 0, 0, 0, 0), single=0.5)
    harms = [draw_pair(images, clean, np.random.default_rng(seed)).harm for seed in range(80)]
    ways = [sum(harm.noisy > 0 for harm in harms), sum(harm.compressed > 0 for harm in harms)]
    assert all(10 <= count <= 30 for count in ways)
    assert not any(harm.blurred or (harm.noisy and harm.compressed) for harm in harms)
    (held, *_) = held_pairs(images, clean, 0, 8)
    assert all(pair.harm == Harm() for pair in held)


def test_the_coarse_network_is_told_what_is_seen_what_was_done_or_nothing(images):
    pairs = [draw_pair(images, Mixture(size=24, shares=(0, 0, 0, 1, 0)), np.random.default_rng(i)) for i in range(64)]
    objective, image = CoarseObjective(), stack(pairs)[0]
    told = objective.told(pairs, image, torch.Generator().manual_seed(0))
    done = harm_in(said(torch.tensor([pair.harm for pair in pairs])))
    seen = harm_in(harm_seen(image))
    ways = [(told == each).all(1) for each in (seen, done, torch.zeros_like(told))]
    assert (ways[0] | ways[1] | ways[2]).all()
    assert all(4 <= int(way.sum()) <= 52 for way in ways)


def test_what_sees_harm_is_learnt_and_exported(images, folder, tmp_path):
    objective = harm_sense.HarmObjective()
    list(train(objective, images, harm_sense.MIXTURE, Recipe(stage="harm", steps=2, batch=2, half=False), tmp_path))
    (tmp_path / "harm.jsonl").write_text("")
    card = export(tmp_path, folder, tmp_path / "weights", name="harm")
    stored = load_file(tmp_path / "weights/harm.safetensors")
    HarmSense().load_state_dict({name.removeprefix("harm."): value.float() for name, value in stored.items()})
    content = (tmp_path / "weights/harm.safetensors").read_bytes()
    assert card["sha256"] == f"sha256:{hashlib.sha256(content).hexdigest()}"
    assert card["mixture"] == harm_sense.SHARES
    watched = objective.watch(objective.network(), images, harm_sense.MIXTURE, 0)
    assert {name.split("_")[1] for name in watched} == set(harm_sense.SHARES)
    assert not {"blurred_sharp", "blurred_coarse"} & set(watched)
