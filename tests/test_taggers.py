"""Taggers from local folders of transformers: tiny random CLIP and captioners, wrong folders, tiles of any shape."""

from __future__ import annotations

import shutil
import string
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import (
    CLIPConfig,
    CLIPImageProcessorPil,
    CLIPModel,
    CLIPTextModel,
    CLIPTokenizer,
)

from tests.tiny_captioners import CAPTIONERS, SHAPE, SIDE, TEXT, WORDS, write_captioner
from zido_core.catalog import describe
from zido_core.errors import BadInput, ConfigurationError, InvalidOptions, ModelMissing
from zido_core.options import Options, resolve
from zido_core.prompts.base import TaggerSetup, tagger_for, tagger_named
from zido_core.prompts.caption import CONTEXT, INSTRUCTION, INSTRUCTION_FILE, CaptionTagger
from zido_core.prompts.clip_tags import MOST, VOCABULARY_FILE, ClipTagger, read_vocabulary
from zido_core.prompts.vocabulary import CONTENT
from zido_core.tiling.grid import Tile

VOCABULARY = ("forest", "river", "road", "roof", "sand dune", "snow", "harbour", "orchard")
TILES = [
    Tile(0, 0, 40, 40),
    Tile(0, 24, 40, 40),
    Tile(20, 0, 28, 64),
    Tile(47, 63, 1, 1),
    Tile(-5, 50, 20, 40),
]


@pytest.fixture(scope="module")
def image() -> np.ndarray:
    rng = np.random.default_rng(3)
    row, col = np.mgrid[:48, :64] / 9.0
    waves = [np.sin(a * row + b * col) for a, b in rng.uniform(0.2, 2.0, (3, 2))]
    return np.clip(0.5 + 0.3 * np.stack(waves) + rng.normal(0, 0.1, (3, 48, 64)), 0, 1).astype(np.float32)


@pytest.fixture(scope="module")
def clip_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("clip")
    letters = [*string.ascii_lowercase, "."]
    names = [*letters, *(f"{letter}</w>" for letter in letters), "<|startoftext|>", "<|endoftext|>"]
    tokenizer = CLIPTokenizer(vocab={name: index for index, name in enumerate(names)}, merges=[])
    torch.manual_seed(0)
    ends = {"bos_token_id": len(names) - 2, "eos_token_id": len(names) - 1}
    text = {**TEXT, "vocab_size": len(names), "max_position_embeddings": 32, **ends}
    config = CLIPConfig(text_config=text, vision_config=SHAPE, projection_dim=16, initializer_factor=3.0)
    CLIPModel(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    CLIPImageProcessorPil(size={"shortest_edge": 32}, crop_size=SIDE).save_pretrained(folder)
    (folder / VOCABULARY_FILE).write_text("# places\n" + "\n".join(VOCABULARY) + "\n\n roof  # again\n")
    return folder


@pytest.fixture(scope="module")
def caption_folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return {name: write_captioner(name, tmp_path_factory.mktemp(name)) for name in CAPTIONERS}


class TestClip:
    def test_the_words_of_a_tile_are_the_likeliest_of_the_vocabulary(self, clip_folder, image):
        tagger = tagger_named("clip", TaggerSetup(folder=clip_folder))
        assert tagger.vocabulary == VOCABULARY
        for prompt in tagger.tag(image, TILES):
            scores = [tag.score for tag in prompt.tags]
            assert prompt.text == ", ".join(tag.name for tag in prompt.tags)
            assert {tag.name for tag in prompt.tags} <= set(VOCABULARY)
            assert 1 <= len(scores) <= MOST
            assert scores == sorted(scores, reverse=True)
            assert min(scores) >= 0.2 * max(scores) - 1e-4

    def test_it_says_what_transformers_says(self, clip_folder, image):
        tagger = ClipTagger.from_folder(clip_folder)
        (prompt,) = tagger.tag(image, TILES[:1])
        tokens = CLIPTokenizer.from_pretrained(clip_folder)
        pixels = np.round(image[:, :40, :40].transpose(1, 2, 0) * 255).astype(np.uint8)
        seen = CLIPImageProcessorPil.from_pretrained(clip_folder)(pixels, return_tensors="pt")
        texts = tokens([f"a photo of {word}." for word in VOCABULARY], padding=True, return_tensors="pt")
        model = CLIPModel.from_pretrained(clip_folder)
        with torch.no_grad():
            chances = model(**texts, **seen).logits_per_image.softmax(-1)[0]
        assert prompt.tags[0].name == VOCABULARY[int(chances.argmax())]
        assert prompt.tags[0].score == pytest.approx(float(chances.max()), abs=1e-4)

    def test_a_word_does_not_depend_on_the_others(self, clip_folder):
        alone = ClipTagger.from_folder(clip_folder, ("snow",)).words
        among = ClipTagger.from_folder(clip_folder, VOCABULARY).words[[VOCABULARY.index("snow")]]
        torch.testing.assert_close(alone, among, rtol=0, atol=1e-6)

    def test_loading_shows_no_bars_of_its_own(self, clip_folder, capfd):
        ClipTagger.from_folder(clip_folder)
        assert capfd.readouterr() == ("", "")

    def test_without_a_file_the_words_are_those_of_the_embedded_tagger(self, tmp_path):
        assert read_vocabulary(tmp_path / VOCABULARY_FILE) == CONTENT

    def test_a_vocabulary_without_words_is_refused(self, tmp_path):
        (tmp_path / VOCABULARY_FILE).write_text("# nothing\n\n")
        with pytest.raises(ConfigurationError, match="has no words"):
            read_vocabulary(tmp_path / VOCABULARY_FILE)

    def test_half_a_clip_is_refused_and_not_made_up(self, clip_folder, tmp_path):
        shutil.copytree(clip_folder, tmp_path, dirs_exist_ok=True)
        tensors = load_file(tmp_path / "model.safetensors")
        kept = {name: tensor for name, tensor in tensors.items() if not name.startswith("vision_model.")}
        save_file(kept, tmp_path / "model.safetensors", {"format": "pt"})
        with pytest.raises(ModelMissing, match=r"lack \d+ tensors, such as vision_model"):
            ClipTagger.from_folder(tmp_path)


class TestCaption:
    @pytest.mark.parametrize("name", CAPTIONERS)
    def test_every_tile_gets_a_sentence_of_its_own(self, caption_folders, name, image):
        tagger = tagger_named("caption", TaggerSetup(folder=caption_folders[name]))
        prompts, known = tagger.tag(image, TILES), {*WORDS, "USER", "ASSISTANT", ":"}
        assert len(prompts) == len(TILES)
        assert len({prompt.text for prompt in prompts}) > 1
        assert all(prompt.tags == () and set(prompt.text.split()) <= known for prompt in prompts)

    @pytest.mark.parametrize(
        ("instruction", "prompt", "asked"),
        [
            (None, "", INSTRUCTION),
            (None, "red roofs", CONTEXT.replace("{prompt}", "red roofs")),
            ("In {prompt}, with {braces}: what?", "a town", "In a town, with {braces}: what?"),
        ],
    )
    def test_one_that_talks_is_asked(self, caption_folders, instruction, prompt, asked):
        folder = caption_folders["llava"]
        tagger = CaptionTagger.from_folder(folder, instruction=instruction, prompt=prompt)
        assert tagger.question == f"USER : <image> {asked} ASSISTANT :"

    def test_the_instruction_may_lie_beside_the_model(self, caption_folders, tmp_path):
        shutil.copytree(caption_folders["llava"], tmp_path, dirs_exist_ok=True)
        (tmp_path / INSTRUCTION_FILE).write_text("which water\nof {prompt}")
        tagger = tagger_named("caption", TaggerSetup(folder=tmp_path, prompt="the field"))
        assert "which water of the field" in tagger.question

    def test_one_that_looks_goes_on_from_the_words_given(self, caption_folders, image):
        folder = caption_folders["blip"]
        tagger = CaptionTagger.from_folder(folder, instruction="A house with {prompt}", prompt="water")
        assert tagger.question == "A house with water"
        assert not any(prompt.text.startswith("a house with water") for prompt in tagger.tag(image, TILES))

    def test_one_without_ears_refuses_instructions(self, caption_folders):
        with pytest.raises(InvalidOptions, match="cannot be asked"):
            CaptionTagger.from_folder(caption_folders["encoder-decoder"], instruction="say something")


def folder_of(name: str, clip_folder: Path, caption_folders: dict[str, Path]) -> Path:
    return clip_folder if name == "clip" else caption_folders[name]


@pytest.mark.parametrize("name", ["clip", *CAPTIONERS])
def test_a_tiles_prompt_depends_on_its_pixels_alone(clip_folder, caption_folders, name, image):
    folder = folder_of(name, clip_folder, caption_folders)
    kind = ClipTagger if name == "clip" else CaptionTagger
    tagger = kind.from_folder(folder)
    together = tagger.tag(image, TILES)
    apart = [tagger.tag(image, [tile])[0] for tile in reversed(TILES)][::-1]
    assert together == apart
    batched = kind.from_folder(folder, batch=3).tag(image, TILES)
    assert [prompt.text for prompt in batched] == [prompt.text for prompt in together]


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("dape", "`zido models get dape`.* --tagger-dir"),
        ("clip", "--tagger-dir.*CLIP"),
        ("caption", "--tagger-dir.*captioning"),
    ],
)
def test_a_network_needs_a_folder(name, told, tmp_path):
    options = resolve(Options(tagger=name), describe("mini"), "photo")
    with pytest.raises(ModelMissing, match=told):
        tagger_for(options)
    options = resolve(Options(tagger=name, tagger_dir=str(tmp_path / "away")), describe("mini"), "photo")
    with pytest.raises(ModelMissing, match=r"there is no folder .*away"):
        tagger_for(options)


@pytest.mark.parametrize("option", ["tagger_dir", "model_dir"])
def test_the_folder_may_hold_those_of_several(clip_folder, tmp_path, option):
    shutil.copytree(clip_folder, tmp_path / "clip")
    options = resolve(Options(tagger="clip", **{option: str(tmp_path)}), describe("mini"), "photo")
    assert isinstance(tagger_for(options), ClipTagger)


@pytest.mark.parametrize("name", ["clip", "caption"])
def test_an_empty_folder_is_refused(name, tmp_path):
    with pytest.raises(ModelMissing, match="does not load"):
        tagger_named(name, TaggerSetup(folder=tmp_path))


def test_another_kind_of_model_is_refused(clip_folder, tmp_path):
    with pytest.raises(ModelMissing, match="describes pictures"):
        CaptionTagger.from_folder(clip_folder)
    CLIPTextModel(CLIPConfig.from_pretrained(clip_folder).text_config).save_pretrained(tmp_path)
    with pytest.raises(ModelMissing, match="CLIP model with both halves"):
        ClipTagger.from_folder(tmp_path)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n", "Git LFS pointer"),
        (b"<!DOCTYPE html><html>404</html>", "a web page"),
        (b"", "is empty"),
    ],
)
def test_what_is_no_weights_is_named(clip_folder, tmp_path, content, told):
    shutil.copytree(clip_folder, tmp_path, dirs_exist_ok=True)
    (tmp_path / "model.safetensors").write_bytes(content)
    with pytest.raises(ModelMissing, match=told):
        ClipTagger.from_folder(tmp_path)


def test_an_image_without_pixels_is_refused(clip_folder):
    with pytest.raises(BadInput, match="expected"):
        ClipTagger.from_folder(clip_folder).tag(np.zeros((3, 0, 5), np.float32), TILES[:1])
