"""RAM's network at full size without its weights, and what its files may get wrong."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch.nn import functional as F

from zido_core.errors import ConfigurationError, ModelMissing
from zido_core.nets.ram import (
    MEAN,
    STD,
    Ram,
    RamConfig,
    merge_windows,
    normalise,
    relative_places,
    split_windows,
    wrap_mask,
)
from zido_core.prompts.base import TaggerSetup, tagger_named
from zido_core.prompts.dape import DapeTagger
from zido_core.prompts.dape_files import BASE, LORA, SETTINGS, TAG_LIST, THRESHOLDS, load_network
from zido_core.tiling.grid import Tile

TINY = RamConfig(
    tags=5,
    image_size=64,
    window=4,
    width=8,
    depths=(2, 2),
    heads=(1, 2),
    mlp_ratio=2.0,
    embedding=16,
    head_width=12,
    head_inner=24,
    head_heads=2,
)
SETTINGS_OF_TINY = {"image_size": 64, "head": {"heads": 2}}
WORDS = ("airport", "beach", "field", "river", "roof")
RANK = 4


def lora_shapes(weights: dict[str, torch.Tensor], rank: int) -> dict[str, tuple[int, int]]:
    """Names and shapes of DAPE's tensors that belong to these weights: q and v of windows, q and k of the decoder."""
    shapes = {}
    for name, weight in weights.items():
        layer, _, kind = name.rpartition(".")
        rows, cols = weight.shape if weight.ndim == 2 else (0, 0)
        if layer.endswith("qkv") and kind == "weight":
            shapes |= {f"{layer}.lora_A": (2 * rank, cols), f"{layer}.lora_B": (2 * cols, rank)}
        if layer.endswith((".self.query", ".self.key")) and kind == "weight":
            shapes |= {f"{layer}.lora_A": (rank, cols), f"{layer}.lora_B": (rows, rank)}
    return shapes


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A complete folder of a tiny tagger, with all that RAM's file has and tagging does not need."""
    folder = tmp_path_factory.mktemp("tiny")
    make = torch.Generator().manual_seed(0)

    def random(shape: tuple[int, ...]) -> torch.Tensor:
        return torch.randn(shape, generator=make) * 0.3

    with torch.device("meta"):
        weights = Ram(TINY).state_dict()
    base = {name: random(tuple(tensor.shape)) for name, tensor in weights.items()}
    unused = {
        "tag_encoder.encoder.layer.0.crossattention.self.query.weight": random((12, 12)),
        "text_decoder.bert.embeddings.word_embeddings.weight": random((9, 12)),
        "visual_encoder.layers.0.blocks.0.attn.relative_position_index": torch.zeros(16, 16, dtype=torch.long),
        "visual_encoder.layers.0.blocks.1.attn_mask": torch.zeros(16, 16, 16),
    }
    lora = {name: random(shape) for name, shape in lora_shapes(weights, RANK).items()}
    tied = "tag_encoder.encoder.layer.0.crossattention.self.query"
    idle = {f"{tied}.lora_A": random((RANK, 12)), f"{tied}.lora_B": torch.zeros(12, RANK)}
    save_file(base | unused, folder / f"{BASE}.safetensors")
    save_file(lora | idle, folder / f"{LORA}.safetensors")
    (folder / TAG_LIST).write_text("\n".join(WORDS))
    (folder / THRESHOLDS).write_text("\n".join(["0.45", "0.65", "0.80", "0.90", "1.0"]))
    (folder / SETTINGS).write_text(json.dumps(SETTINGS_OF_TINY))
    return folder


@pytest.fixture
def folder(made: Path, tmp_path: Path) -> Path:
    """A copy of it to be spoilt."""
    shutil.copytree(made, tmp_path / "dape")
    return tmp_path / "dape"


@pytest.fixture(scope="module")
def weights() -> dict[str, torch.Tensor]:
    """The published network's, without memory."""
    with torch.device("meta"):
        return Ram(RamConfig()).state_dict()


class TestFullSize:
    def test_counts(self, weights):
        """The published state has 457 entries, 215.6 M numbers; what we do not keep is LoRA and computed buffers."""
        lora, window = lora_shapes(weights, 8), 12**2
        places = [window**2] * sum(RamConfig.depths)
        shifted = zip((64, 16, 4), (1, 1, 9), strict=True)  # windows of a stage, shifted blocks in it
        masks = [windows * window**2 for windows, blocks in shifted for _ in range(blocks)]
        assert len(weights) + len(lora) + len(places) + len(masks) == 457
        numbers = sum(map(torch.numel, weights.values())) + sum(map(math.prod, lora.values()))
        assert (numbers + sum(places) + sum(masks)) / 1e6 == pytest.approx(215.6, abs=0.05)

    def test_lora_counts(self, weights):
        shapes = lora_shapes(weights, 8)
        assert sum(name.startswith("visual_encoder.") for name in shapes) == 48
        assert sum(name.startswith("tagging_head.") for name in shapes) == 8
        # The two halves that tagging needs not: 12 layers with LoRA on queries and keys of two attentions each.
        layers, width = 12, 768
        assert len(shapes) + 2 * layers * 2 * 2 * 2 == 248
        unused = sum(layers * 8 * (3 * 2 * width + width + source) for source in (512, width))
        assert sum(map(math.prod, shapes.values())) + unused == pytest.approx(1.78e6, rel=2e-3)

    def test_sizes_are_read_off_the_weights(self, weights):
        assert RamConfig.of({name: tuple(tensor.shape) for name, tensor in weights.items()}) == RamConfig()

    def test_shapes_of_what_it_says(self):
        with torch.device("meta"):
            seen = Ram(RamConfig())(torch.empty(2, 3, 384, 384))
        assert seen.embedding.shape == (2, 145, 512)
        assert seen.logits.shape == (2, 4585)


class TestParts:
    def test_windows_there_and_back(self):
        x = torch.randn(2, 8, 12, 3)
        windows = split_windows(x, 4)
        assert windows.shape == (2 * 6, 16, 3)
        assert torch.equal(windows[1].view(4, 4, 3), x[0, :4, 4:8])
        assert torch.equal(merge_windows(windows, 4, x.shape), x)

    def test_places_tell_relative_positions_apart(self):
        places = relative_places(3, torch.device("cpu"))
        for first in range(9):
            for second in range(9):
                down, right = first // 3 - second // 3, first % 3 - second % 3
                assert places[first, second] == (down + 2) * 5 + right + 2

    def test_mask_parts_what_wraps_around(self):
        """Naively: numbers of pixels of the shifted map tell whether two were neighbours before."""
        side, window, shift = 8, 4, 2
        rows = torch.roll(torch.arange(side), -shift)
        mask = wrap_mask(side, window, shift, torch.zeros(1)).view(2, 2, 4, 4, 4, 4)
        for top in (0, 1):
            for a in range(4):
                for b in range(4):
                    near = abs(int(rows[4 * top + a] - rows[4 * top + b])) < window
                    assert (mask[top, 0, a, 0, b, 0] == 0) == near
                    assert (mask[0, top, 0, a, 0, b] == 0) == near

    @pytest.mark.parametrize("size", [(10, 30), (64, 64), (200, 90)])
    def test_normalise_interpolates_four_neighbours(self, size):
        image = torch.rand(1, 3, *size)
        result = normalise(image, 64)
        assert result.shape == (1, 3, 64, 64)
        at = [(np.arange(64) + 0.5) * length / 64 - 0.5 for length in size]
        picked = [np.clip(place, 0, length - 1) for place, length in zip(at, size, strict=True)]
        grid = torch.tensor(
            np.stack(np.meshgrid(*(2 * p / (n - 1) - 1 for p, n in zip(picked, size, strict=True)), indexing="ij"))
        )
        sampled = F.grid_sample(image.double(), grid.flip(0).permute(1, 2, 0)[None], align_corners=True)
        expected = (sampled[0] - torch.tensor(MEAN)[:, None, None]) / torch.tensor(STD)[:, None, None]
        torch.testing.assert_close(result[0].double(), expected, rtol=0, atol=1e-5)

    @pytest.mark.parametrize(
        ("change", "told"),
        [
            ({"image_size": 66}, "no multiple of"),
            ({"image_size": 72}, "do not divide"),
            ({"head_heads": 5}, "5 heads do not divide"),
        ],
    )
    def test_sizes_that_contradict_each_other(self, change, told):
        values = {name: getattr(TINY, name) for name in RamConfig.__dataclass_fields__}
        assert told in (RamConfig(**(values | change)).misfit or "")
        assert TINY.misfit is None


class TestFolder:
    def test_it_tags(self, made):
        tagger = tagger_named("dape", TaggerSetup(folder=made))
        image = np.random.default_rng(0).random((3, 40, 50), dtype=np.float32)
        tiles = [Tile(0, 0, 30, 30), Tile(10, 20, 30, 30), Tile(0, 0, 40, 50)]
        prompts = tagger.tag(image, tiles)
        for prompt in prompts:
            assert prompt.embedding.shape == (1 + 8 * 8, 16)
            assert prompt.text == ", ".join(tag.name for tag in prompt.tags)
            names = [tag.name for tag in prompt.tags]
            assert names == [word for word in WORDS if word in names]
            assert "roof" not in names  # its threshold is 1
        assert len({prompt.embedding.tobytes() for prompt in prompts}) == len(tiles)

    def test_a_tiles_prompt_depends_on_its_pixels_alone(self, made):
        image = np.random.default_rng(1).random((3, 40, 50), dtype=np.float32)
        tiles = [Tile(0, 0, 30, 30), Tile(10, 20, 30, 30), Tile(5, 5, 7, 40)]
        together = DapeTagger.from_folder(made).tag(image, tiles)
        alone = [DapeTagger.from_folder(made).tag(image, [tile])[0] for tile in tiles]
        assert together == alone
        assert all(np.array_equal(a.embedding, b.embedding) for a, b in zip(together, alone, strict=True))
        batched = DapeTagger.from_folder(made, batch=3).tag(image, tiles)
        assert [prompt.text for prompt in batched] == [prompt.text for prompt in together]
        for one, other in zip(batched, together, strict=True):
            np.testing.assert_allclose(one.embedding, other.embedding, atol=1e-5)

    def test_gray_and_missing_pixels(self, made):
        tagger = DapeTagger.from_folder(made)
        gray = np.full((1, 20, 20), 0.4, np.float32)
        holes = np.full((3, 20, 20), 0.4, np.float32)
        (of_gray,) = tagger.tag(gray, [Tile(0, 0, 20, 20)])
        (of_colour,) = tagger.tag(holes, [Tile(0, 0, 20, 20)])
        assert np.array_equal(of_gray.embedding, of_colour.embedding)
        holes[:, :5] = np.nan
        assert np.isfinite(tagger.tag(holes, [Tile(0, 0, 20, 20)])[0].embedding).all()

    @pytest.mark.parametrize("old", ["model.{}", "{}"], ids=["nested", "flat"])
    def test_names_of_the_published_file(self, folder, made, old):
        path = folder / f"{BASE}.safetensors"
        renamed = {
            old.format(name.replace("tagging_head.", "vision_multi.")): tensor
            for name, tensor in load_file(path).items()
        }
        save_file(renamed, path)
        expected, found = load_network(made).state_dict(), load_network(folder).state_dict()
        assert all(torch.equal(found[name], tensor) for name, tensor in expected.items())

    def test_half_precision_is_read_as_single(self, folder):
        path = folder / f"{BASE}.safetensors"
        save_file({name: tensor.half() for name, tensor in load_file(path).items()}, path)
        assert {tensor.dtype for tensor in load_network(folder).state_dict().values()} == {torch.float32}


def remove(name: str) -> Callable[[Path], object]:
    return lambda folder: (folder / name).unlink()


def put(name: str, content: bytes) -> Callable[[Path], object]:
    return lambda folder: (folder / name).write_bytes(content)


def swap(folder: Path) -> None:
    base, lora = folder / f"{BASE}.safetensors", folder / f"{LORA}.safetensors"
    base.rename(folder / "a")
    lora.rename(base)
    (folder / "a").rename(lora)


def unsafe(folder: Path) -> None:
    (folder / f"{LORA}.safetensors").rename(folder / f"{LORA}.pth")


def cut(folder: Path) -> None:
    path = folder / f"{BASE}.safetensors"
    path.write_bytes(path.read_bytes()[:-100])


def change(stem: str, edit: Callable[[dict[str, torch.Tensor]], object]) -> Callable[[Path], None]:
    def do(folder: Path) -> None:
        path = folder / f"{stem}.safetensors"
        tensors = load_file(path)
        edit(tensors)
        save_file(tensors, path)

    return do


QUERY = "tagging_head.encoder.layer.1.crossattention.self.query"
TIED = "tag_encoder.encoder.layer.0.crossattention.self.query.lora_B"

SPOILT = {
    "no weights": (remove(f"{BASE}.safetensors"), rf"{BASE}.safetensors is missing .*zido models get dape"),
    "no lora": (remove(f"{LORA}.safetensors"), rf"{LORA}.safetensors is missing .*zido models get dape"),
    "no tags": (remove(TAG_LIST), rf"{TAG_LIST} is missing; .*zido models get dape"),
    "no thresholds": (remove(THRESHOLDS), rf"{THRESHOLDS} is missing; .*zido models get dape"),
    "swapped": (swap, rf"{BASE}.safetensors holds DAPE's LoRA weights; expected .*RAM: were files swapped"),
    "a pickle": (unsafe, rf"found {LORA}.pth .*zido models import"),
    "a pointer": (
        put(f"{BASE}.safetensors", b"version https://git-lfs.github.com/spec/v1\n"),
        "Git LFS pointer",
    ),
    "a web page": (put(f"{LORA}.safetensors", b"\n<html><title>404</title></html>"), "a web page"),
    "an error": (put(f"{LORA}.safetensors", b'{"error": "quota"}'), "a JSON text"),
    "a renamed pickle": (put(f"{BASE}.safetensors", b"PK\x03\x04data.pkl"), "a pickle"),
    "cut short": (cut, "damaged or cut short"),
    "few tags": (put(TAG_LIST, b"one\ntwo\n"), rf"{TAG_LIST} has 2 lines; expected 5"),
    "no number": (put(THRESHOLDS, b"0.5\nhalf\n"), "half.*expected a number"),
    "a tensor missing": (change(BASE, lambda t: t.pop("fc.bias")), r"1 missing \(fc.bias\)"),
    "no embedding": (change(BASE, lambda t: t.pop("label_embed")), "lacks the tensor 'label_embed'"),
    "a tensor too many": (change(BASE, lambda t: t.update(x=torch.ones(1))), r"1 unexpected \(x\)"),
    "another shape": (change(BASE, lambda t: t.update({"fc.bias": torch.ones(2)})), "of another shape"),
    "half a lora": (change(LORA, lambda t: t.pop(f"{QUERY}.lora_B")), f"there is no {QUERY}.lora_B"),
    "a lora of another size": (
        change(LORA, lambda t: t.update({f"{QUERY}.lora_B": torch.ones(7, RANK)})),
        f"does not fit {BASE}",
    ),
    "a tied lora": (change(LORA, lambda t: t[TIED].fill_(0.1)), "is not zero"),
}


@pytest.mark.parametrize("name", SPOILT)
def test_what_is_wrong_with_a_folder_is_said(folder, name):
    spoil, told = SPOILT[name]
    spoil(folder)
    with pytest.raises(ModelMissing, match=told):
        tagger_named("dape", TaggerSetup(folder=folder))


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("{", "not understood"),
        ('{"image_size": 66}', "contradict each other"),
        ("[1]", "not understood"),
        ('{"head": 4}', "not understood"),
    ],
)
def test_settings_that_are_wrong(folder, content, told):
    (folder / SETTINGS).write_text(content)
    with pytest.raises(ConfigurationError, match=told):
        tagger_named("dape", TaggerSetup(folder=folder))
