"""The tagger DAPE against what its official code computed: preprocessing, embeddings, logits, tags, merged LoRA."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from zido_core.prompts.base import TaggerSetup, tagger_named
from zido_core.prompts.dape import DapeTagger
from zido_core.prompts.dape_files import BASE, LORA, SETTINGS, TAG_LIST, THRESHOLDS, load_network
from zido_core.tiling.grid import Size, Tile

PARITY = Path(os.environ.get("ZIDO_PARITY_DIR", Path(__file__).parents[2] / "shared" / "parity" / "visible"))
FILES = sorted(PARITY.glob("dape_*.json"))


def test_there_are_golden_tensors():
    if not FILES:
        pytest.skip(f"no dape_*.json in {PARITY}; set ZIDO_PARITY_DIR")


@pytest.fixture(scope="module", params=FILES, ids=lambda file: file.stem)
def file(request) -> Path:
    return request.param


@pytest.fixture(scope="module")
def facts(file: Path) -> dict:
    return json.loads(file.read_text())


@pytest.fixture(scope="module")
def tensors(file: Path) -> dict[str, torch.Tensor]:
    return load_file(file.with_name(f"{file.stem}.io.safetensors"))


@pytest.fixture(scope="module")
def folder(file: Path, facts: dict, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The model folder as a user has it, with the settings of this size."""
    folder = tmp_path_factory.mktemp("dape")
    shutil.copy(file.with_name(f"{file.stem}.base.weights.safetensors"), folder / f"{BASE}.safetensors")
    shutil.copy(file.with_name(f"{file.stem}.lora.weights.safetensors"), folder / f"{LORA}.safetensors")
    (folder / TAG_LIST).write_text("\n".join(facts["tags"]) + "\n")
    (folder / THRESHOLDS).write_text("\n".join(map(str, facts["class_threshold"])) + "\n")
    (folder / SETTINGS).write_text(json.dumps(facts["config"]))
    return folder


@pytest.fixture(scope="module")
def tagger(folder: Path) -> DapeTagger:
    tagger = tagger_named("dape", TaggerSetup(folder=folder))
    assert isinstance(tagger, DapeTagger)
    return tagger


@pytest.fixture(scope="module")
def images(tensors: dict[str, torch.Tensor]) -> list[np.ndarray]:
    names = sorted((name for name in tensors if name.endswith("_u8")), key=lambda n: int(n[len("in.image") : -3]))
    return [np.float32(tensors[name].permute(2, 0, 1).numpy() / np.float32(255)) for name in names]


def near(result: torch.Tensor, expected: torch.Tensor, tolerance: float) -> None:
    torch.testing.assert_close(result, expected, rtol=0, atol=tolerance)


def test_preprocessing(tagger, images, tensors):
    near(tagger.prepare(images), tensors["in.normalised"], 1e-5)


def test_embeddings_and_logits_of_a_batch(tagger, images, tensors):
    seen = tagger.look(images)
    near(seen.embedding, tensors["out.image_embeds"], 1e-4)
    near(seen.logits, tensors["out.logits"], 1e-4)


def test_without_lora(folder, images, tensors):
    seen = DapeTagger.from_folder(folder, adapted=False).look(images)
    near(seen.embedding, tensors["out.image_embeds_without_lora"], 1e-4)
    near(seen.logits, tensors["out.logits_without_lora"], 1e-4)


def test_prompts(tagger, images, tensors, facts):
    thresholds = tensors["in.class_threshold"]
    near(tagger.thresholds, thresholds, 1e-7)
    for number, image in enumerate(images):
        (prompt,) = tagger.tag(image, [Tile.whole(Size(*image.shape[1:]))])
        targets = tensors["out.targets"][number]
        assert prompt.text == facts["fired_tag_strings"][number]
        assert [tag.name for tag in prompt.tags] == [facts["tags"][i] for i in torch.nonzero(targets).flatten()]
        near(torch.from_numpy(prompt.embedding), tensors["out.image_embeds"][number], 1e-4)


def test_lora_is_merged_as_the_rule_says(folder, file, facts):
    base = {name: t.float() for name, t in load_file(folder / f"{BASE}.safetensors").items()}
    lora = {name: t.float() for name, t in load_file(folder / f"{LORA}.safetensors").items()}
    merged = load_network(folder).state_dict()
    scale, rank = facts["config"]["lora"]["scaling"], facts["config"]["lora"]["r"]
    for layer in {name.rpartition(".")[0] for name in lora}:
        up, down, weight = (
            lora[f"{layer}.lora_B"],
            lora[f"{layer}.lora_A"],
            base.pop(f"{layer}.weight").clone(),
        )
        if layer.endswith("qkv"):
            width = weight.shape[1]
            weight[:width] += scale * up[:width] @ down[:rank]
            weight[2 * width :] += scale * up[width:] @ down[rank:]
        else:
            weight += scale * up @ down
        near(merged.pop(f"{layer}.weight"), weight, 1e-6)
    assert set(merged) == set(base)
    assert all(torch.equal(merged[name], base[name]) for name in merged)
