"""The embedded model: what holds whatever its weights are."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from tests.conftest import smooth_pixels
from zido_core import Upscaler, embedded
from zido_core.backbones import load_backbone, mini
from zido_core.backbones.base import Told
from zido_core.blocks import HALO
from zido_core.catalog import MINI
from zido_core.errors import ModelMissing
from zido_core.nets import mini as nets
from zido_core.nets.depthwise import Depthwise
from zido_core.nets.mini import (
    HARM_CHANNELS,
    SCALE,
    Coarse,
    GatedBlock,
    Refiner,
    briefly,
    local_activity,
    middle,
    refiner_condition,
    shuffle,
    unshuffle,
)
from zido_core.options import Options, ResolvedOptions, resolve
from zido_core.prompts.base import Prompt, Tag
from zido_core.resample import resize
from zido_core.tiling.grid import Size, Tile

OPTIONS: ResolvedOptions = resolve(Options(), MINI, "raster")


@pytest.fixture(scope="module")
def backbone(upscaler: Any) -> mini.MiniBackbone:
    return upscaler.backbone


def picture(height: int, width: int) -> torch.Tensor:
    noise = np.random.default_rng(1).uniform(0, 0.2, (3, height, width)).astype(np.float32)
    return torch.from_numpy(0.8 * smooth_pixels((3, height, width), "float32") + noise)


def conditioned(
    backbone: mini.MiniBackbone, image: torch.Tensor, prompts: tuple[Prompt, ...] = (Prompt(),)
) -> mini.MiniCondition:
    place = Tile(0, 0, *(-(-side // 8) * 8 for side in image.shape[1:]))
    return backbone.condition(image, place, prompts, lambda done: None, OPTIONS)


@pytest.fixture
def untrained() -> tuple[Coarse, Refiner]:
    """Networks in which every weight says something: what is true of them is true of all."""
    torch.manual_seed(0)
    networks = Coarse().eval(), Refiner(vocabulary=5).eval()
    for network in networks:
        for weight in network.parameters():
            torch.nn.init.normal_(weight, std=0.2)
    return networks


# --- coarse stage -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("level", [0.0, 0.3, 1.0])
def test_a_constant_gets_no_detail_and_no_amplitude_whatever_the_weights(untrained, level: float) -> None:
    coarse, _ = untrained
    with torch.no_grad():
        out = coarse(torch.full((1, 3, 24, 20), level))
    assert not out.residual.any()
    assert not out.amplitude.any()


def test_without_padding_the_coarse_network_gives_the_middle_of_the_same(untrained) -> None:
    coarse, _ = untrained
    bare = Coarse(padded=False).eval()
    bare.load_state_dict(coarse.state_dict())
    image, harm = torch.rand(1, 3, 60, 64), torch.rand(1, HARM_CHANNELS, 60, 64)
    with torch.no_grad():
        outs = coarse(image, harm), bare(image, harm)
    for whole, inner in zip(*outs, strict=True):
        assert inner.shape[-2:] == (60 - 2 * coarse.reach, 64 - 2 * coarse.reach)
        assert torch.allclose(middle(whole, inner.shape[-2:]), inner, atol=1e-5)


@pytest.mark.parametrize("reach", [1, 2])
@pytest.mark.parametrize("padded", [False, True])
@pytest.mark.parametrize("condition", [(2, 4), (2, 21, 12, 4)])
def test_blocks_give_the_same_strip_by_strip(monkeypatch, reach: int, padded: bool, condition: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    block, x = GatedBlock(8, 4, reach=reach, padded=padded).eval(), torch.randn(2, 21, 12, 8)
    torch.nn.init.normal_(block.modulation.weight)
    told, outs = torch.rand(condition), []
    for rows in (1, 4, 21):
        monkeypatch.setattr(nets, "STRIP", rows * 12 * 8)
        with torch.no_grad():
            outs.append(block(x, told))
    lost = 0 if padded else 2 * reach
    assert outs[0].shape == (2, 21 - lost, 12 - lost, 8)
    assert all(torch.allclose(out, outs[-1], atol=1e-6) for out in outs)


@pytest.mark.parametrize(
    ("told", "brief"), [((0, 0, 0), True), ((0, 0, 1), True), ((0, 1, 1), False), ((0.5, 0, 0), False)]
)
def test_what_everybody_is_told_is_told_once_with_the_same_bytes(
    monkeypatch, told: tuple[float, ...], brief: bool
) -> None:
    torch.manual_seed(0)
    block, x = GatedBlock(8, 3, reach=2).eval(), torch.randn(1, 21, 12, 8)
    for weight in block.modulation.parameters():
        torch.nn.init.normal_(weight)
    everywhere = torch.tensor(told, dtype=torch.float32).expand(1, 21, 12, 3)
    assert (briefly(everywhere).ndim == 2) == brief
    other = everywhere.clone()
    other[0, -1, -1] += 0.25
    assert briefly(other).ndim == 4
    monkeypatch.setattr(nets, "STRIP", 4 * 12 * 8)
    with torch.no_grad():
        outs = [block(x, each) for each in (everywhere, other)]
    assert torch.equal(outs[0][:, :16], outs[1][:, :16])  # the last strips hear of the other pixel


@pytest.mark.parametrize("padded", [False, True])
def test_wide_kernels_learn_as_any_convolution_does(padded: bool) -> None:
    torch.manual_seed(0)
    layer = Depthwise(6, reach=2, padded=padded)
    image = torch.randn(2, 6, 13, 9, requires_grad=True)
    same = torch.nn.functional.conv2d(image, layer.weight, layer.bias, padding=layer.padding, groups=6)
    gradients = [torch.autograd.grad(out.square().sum(), [image, *layer.parameters()]) for out in (layer(image), same)]
    for ours, theirs in zip(*gradients, strict=True):
        assert torch.allclose(ours, theirs, rtol=1e-4, atol=1e-4)


def test_the_coarse_network_sees_no_farther_than_it_says(untrained) -> None:
    coarse, _ = untrained
    side = 2 * coarse.reach + 3
    image, centre = torch.rand(1, 3, side + 4, side + 4), side // 2 + 2
    other = torch.rand_like(image)
    other[..., 2:-2, 2:-2] = image[..., 2:-2, 2:-2]
    with torch.no_grad():
        outs = [coarse(each) for each in (image, other)]
    for one, two in zip(*outs, strict=True):
        assert torch.allclose(one[..., centre, centre], two[..., centre, centre], atol=1e-5)


def test_blocks_of_an_image_have_the_margin_that_the_coarse_network_sees(untrained) -> None:
    assert untrained[0].reach <= HALO


@pytest.mark.parametrize("size", [(40, 56), (33, 70)])
def test_coarse_tiles_equal_the_whole(backbone, monkeypatch, size: tuple[int, int]) -> None:
    image = picture(*size)
    whole = conditioned(backbone, image)
    monkeypatch.setattr(mini, "COARSE_TILE", 17)
    tiles = conditioned(backbone, image)
    for name in ("detail", "amplitude", "maps"):
        one, two = getattr(whole, name).float(), getattr(tiles, name).float()
        assert (one - two).abs().max() <= 1e-3 * one.abs().max(), name


def test_work_is_told_as_it_is_done(backbone, monkeypatch) -> None:
    monkeypatch.setattr(mini, "COARSE_TILE", 16)
    before = torch.get_num_threads()
    try:
        for threads, tiles in ((1, 6), (8, 15)):
            torch.set_num_threads(threads)
            told: list[int] = []
            backbone.condition(picture(40, 24), Tile(0, 0, 40, 24), [Prompt()], told.append, OPTIONS)
            assert (sum(told), sum(map(bool, told))) == (40 * 24, tiles)
    finally:
        torch.set_num_threads(before)


def test_nothing_is_kept_for_sampling_that_does_not_come(backbone) -> None:
    image, certain = picture(24, 24), resolve(Options(fidelity=1.0), MINI, "raster")
    condition = backbone.condition(image, Tile(0, 0, 24, 24), [Prompt()], lambda done: None, certain)
    sampled = conditioned(backbone, image)
    assert (condition.maps.shape, sampled.maps.shape) == ((0, 24, 24), (68, 24, 24))
    assert (condition.detail == sampled.detail).all()


def test_activity_is_of_neighbours_only() -> None:
    image = torch.zeros(1, 3, 15, 15)
    image[..., 7, 7] = 1
    active = local_activity(image)[0, 0] > 0
    rows, cols = active.nonzero().T
    assert (rows.min(), rows.max(), cols.min(), cols.max()) == (4, 9, 4, 9)


# --- refining stage ---------------------------------------------------------------------------------------


def test_tiles_are_predicted_as_if_alone(backbone) -> None:
    condition = conditioned(backbone, picture(32, 48), (Prompt(tags=(Tag("water", 1.0),)), Prompt()))
    tiles = [Tile(0, 0, 16, 16), Tile(16, 32, 16, 16), Tile(8, 16, 16, 16)]
    latents = torch.randn(3, 48, 16, 16)
    together = backbone.predict(condition, latents, torch.tensor(500), tiles, [0, 1, 0])
    assert together.shape == latents.shape
    for place, tile in enumerate(tiles):
        alone = backbone.predict(condition, latents[place : place + 1], torch.tensor(500), [tile], [(0, 1, 0)[place]])
        assert (alone[0] == together[place]).all()


def test_prompts_are_heard(untrained) -> None:
    _, refiner = untrained
    latents, maps = torch.randn(1, 48, 8, 8), torch.randn(1, 68, 8, 8)
    with torch.no_grad():
        said = [
            refiner(latents, torch.tensor([500]), maps, levels)
            for levels in (torch.zeros(1, 5), torch.eye(5)[:1], 0.5 * torch.eye(5)[:1])
        ]
    assert (said[0] != said[1]).any()
    assert (said[1] != said[2]).any()


def test_prompts_become_levels(backbone) -> None:
    prompts = (Prompt(), Prompt(text="water, slightly noisy"), Prompt(tags=(Tag("no such word", 1.0),)))
    levels = conditioned(backbone, picture(8, 8), prompts).levels
    assert levels.shape == (3, backbone.vocabulary)
    assert (levels != 0).sum(1).tolist() == [0, 2, 0]


HARMS = {
    "nothing": ("", (0, 0, 0, 0)),
    "content alone": ("water, smooth", (0, 0, 0, 0)),
    "clean": ("water, clean", (0, 0, 0, 1)),
    "noisy": ("noisy", (0, 0.55 / 0.65, 0, 1)),
    "more than was taught": ("very blurred, very noisy, very compressed", (1, 1, 1, 1)),
}


@pytest.mark.parametrize(("text", "told"), HARMS.values(), ids=HARMS)
def test_the_coarse_network_hears_of_harm(text: str, told: tuple[float, ...]) -> None:
    levels = mini.prompt_levels([Prompt(text=text)])
    assert mini.harm_in(mini.harm_words(levels))[0].tolist() == pytest.approx(told)


def test_tiles_tell_of_their_own_harm_and_are_blended_where_they_overlap() -> None:
    levels = mini.prompt_levels([Prompt(text="clean"), Prompt(text="very noisy")])
    told = [Told(Tile(0, 0, 6, 6), 0), Told(Tile(0, 4, 6, 6), 1)]
    found = mini.harm_map(levels, told, Size(6, 10))
    assert found[1, :, :4].max() == 0
    assert found[1, :, 6:].min() == 1
    assert (found[1, :, 5] > found[1, :, 4]).all()
    assert torch.allclose(found[3], torch.ones(6, 10))
    assert not mini.harm_map(levels, [], Size(6, 10)).any()


def test_harm_that_is_the_same_everywhere_is_told_either_way(untrained) -> None:
    coarse, _ = untrained
    image, harm = torch.rand(2, 3, 12, 16), torch.rand(2, 4)
    with torch.no_grad():
        once = coarse(image, harm)
        everywhere = coarse(image, harm[:, :, None, None].expand(-1, -1, 12, 16))
        nothing, zeros = coarse(image), coarse(image, torch.zeros(2, 4))
    for one, other in zip(once, everywhere, strict=True):
        assert torch.allclose(one, other, rtol=1e-4, atol=1e-5)
    assert all(torch.equal(one, other) for one, other in zip(nothing, zeros, strict=True))
    assert not torch.allclose(once.features, nothing.features)


def test_what_is_said_of_harm_changes_what_is_certain(backbone) -> None:
    """With the weights that come along: who is told of noise leaves more of it out."""
    smooth = torch.from_numpy(0.8 * smooth_pixels((3, 40, 40), "float32"))
    noisy = smooth + 0.04 * torch.randn(smooth.shape, generator=torch.Generator().manual_seed(0))
    whole, place = [Told(Tile(0, 0, 40, 40), 0)], Tile(0, 0, 40, 40)
    truth, errors = resize(smooth.numpy(), Size(160, 160)), {}
    for text in ("clean", "very noisy"):
        condition = backbone.condition(noisy, place, [Prompt(text=text)], lambda done: None, OPTIONS, whole)
        errors[text] = float(np.square(backbone.decode(condition, None, fidelity=1.0) - truth).mean())
    assert errors["very noisy"] < 0.7 * errors["clean"]


def test_sampling_starts_from_no_detail(backbone) -> None:
    clean = backbone.encode(conditioned(backbone, picture(16, 24)))
    assert clean.shape == (48, 16, 24)
    assert not clean.any()


@pytest.mark.parametrize("size", [(40, 24), (33, 19)])
def test_rows_are_decoded_as_in_the_whole(backbone, monkeypatch, size: tuple[int, int]) -> None:
    condition, latents = conditioned(backbone, picture(*size)), torch.randn(48, 40, 24)
    monkeypatch.setattr(mini, "DECODED", 1000)
    whole = backbone.decode(condition, latents, fidelity=0.25)
    monkeypatch.setattr(mini, "DECODED", 7)
    assert (backbone.decode(condition, latents, fidelity=0.25) == whole).all()


@pytest.mark.parametrize("fidelity", [0.0, 0.25, 1.0])
def test_fidelity_blends_sampled_into_expected_detail(backbone, fidelity: float) -> None:
    image = picture(11, 14)
    condition = conditioned(backbone, image)
    latents = torch.randn(48, 16, 16)
    made = backbone.decode(condition, latents, fidelity=fidelity)
    detail = condition.detail + (1 - fidelity) * latents * condition.amplitude
    expected = shuffle(detail[None, :, :11, :14])[0].numpy() + resize(image.numpy(), Size(44, 56))
    assert made.shape == (3, 44, 56)
    assert np.abs(made - expected).max() < 1e-6
    assert (backbone.decode(condition, None, fidelity=1.0) == backbone.decode(condition, latents, fidelity=1.0)).all()


def test_it_starts_from_the_coarse_image(backbone) -> None:
    condition = conditioned(backbone, picture(9, 9))
    assert (
        backbone.decode(condition, backbone.encode(condition), fidelity=0.0)
        == backbone.decode(condition, None, fidelity=1.0)
    ).all()


def test_shuffling_is_undone_by_unshuffling() -> None:
    image = torch.rand(2, 3, 5 * SCALE, 7 * SCALE)
    assert unshuffle(image).shape == (2, 48, 5, 7)
    assert (shuffle(unshuffle(image)) == image).all()


def test_the_refiners_view_is_finite_where_nothing_is_expected(untrained) -> None:
    coarse, _ = untrained
    image = torch.zeros(1, 3, 8, 8)
    with torch.no_grad():
        view = refiner_condition(image, coarse(image))
    assert view.shape == (1, 68, 8, 8)
    assert view.isfinite().all()


# --- weights ----------------------------------------------------------------------------------------------


def load() -> mini.MiniBackbone:
    backbone: Any = load_backbone(MINI, "cpu", torch.float32)
    return backbone


def test_the_hash_of_the_weights_is_told(backbone) -> None:
    content = (embedded.FOLDER / "mini.safetensors").read_bytes()
    assert backbone.weights_hash == hashlib.sha256(content).hexdigest()
    assert len(content) < 16e6


def changed(card: dict[str, Any], name: str, value: Any) -> bytes:
    return json.dumps({**card, name: value}).encode()


@pytest.mark.parametrize(
    ("name", "damage", "words"),
    [
        ("mini.safetensors", lambda content: None, "incomplete"),
        ("mini.safetensors", lambda content: content[:-1], "damaged"),
        ("mini.safetensors", lambda content: content[:9000] + b"\0" + content[9001:], "damaged"),
        ("mini.json", lambda content: None, "incomplete"),
        ("mini.json", lambda content: b"{", "incomplete"),
        ("mini.json", lambda content: b"{}", "incomplete"),
        ("mini.json", lambda content: changed(json.loads(content), "sha256", "0" * 64), "damaged"),
    ],
)
def test_damaged_weights_are_refused(tmp_path: Path, monkeypatch, name: str, damage: Any, words: str) -> None:
    for each in ("mini.safetensors", "mini.json"):
        content = (embedded.FOLDER / each).read_bytes()
        content = damage(content) if each == name else content
        if content is not None:
            (tmp_path / each).write_bytes(content)
    monkeypatch.setattr(embedded, "FOLDER", tmp_path)
    with pytest.raises(ModelMissing, match=words) as caught:
        load()
    assert str(caught.value).endswith("install zido again")


def test_its_card_names_words_that_the_tagger_knows(backbone) -> None:
    from zido_core.prompts.vocabulary import VOCABULARY

    card = json.loads((embedded.FOLDER / "mini.json").read_text())
    assert card["vocabulary"] == list(VOCABULARY)[: backbone.vocabulary]


@pytest.mark.parametrize("fidelity", [0.0, 1.0])
def test_half_precision_on_a_cpu_stays_near(upscaler, example_photo, fidelity: float) -> None:
    image = np.asarray(Image.open(example_photo).convert("RGB"))[:64, :96]
    whole, half = (
        each.upscale(image, fidelity=fidelity).image.astype(int)
        for each in (upscaler, Upscaler.load(device="cpu", precision="bf16"))
    )
    assert 0 < np.abs(whole - half).max() <= 8
    assert np.abs(whole - half).mean() < 0.5
