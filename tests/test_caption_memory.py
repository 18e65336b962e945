"""Captions are remembered between runs: of the same pixels, by the same network, asked the same."""

from __future__ import annotations

import os

import pytest
from PIL import Image

from zido_core.folders import cache_folder
from zido_core.prompts.caption_memory import CaptionMemory


@pytest.fixture
def model(tmp_path, monkeypatch):
    monkeypatch.setenv("ZIDO_CACHE", str(tmp_path / "cache"))
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "model.safetensors").write_bytes(b"weights")
    return tmp_path / "model"


def picture(shade, size=(4, 3)):
    return Image.new("RGB", size, (shade, 0, 0))


def test_what_was_said_is_known_in_another_run(model):
    CaptionMemory(model, "what?").note(picture(1), "a roof, “tiled”")
    memory = CaptionMemory(model, "what?")
    assert memory.said_of(picture(1)) == "a roof, “tiled”"
    assert memory.said_of(picture(2)) is None
    assert memory.said_of(picture(1, (3, 4))) is None


def test_what_was_noted_is_known_at_once(model):
    memory = CaptionMemory(model, None)
    assert memory.said_of(picture(1)) is None
    memory.note(picture(1), "snow")
    assert memory.said_of(picture(1)) == "snow"


@pytest.mark.parametrize("change", ["question", "weights", "file"])
def test_another_question_or_network_is_another_memory(model, change):
    CaptionMemory(model, "what?").note(picture(1), "a roof")
    if change == "weights":
        os.utime(model / "model.safetensors", ns=(1, 1))
    if change == "file":
        (model / "instruction.txt").write_text("where?")
    assert CaptionMemory(model, "where?" if change == "question" else "what?").said_of(picture(1)) is None


def test_a_broken_line_says_nothing(model):
    CaptionMemory(model, "what?").note(picture(1), "a roof")
    (path,) = (cache_folder() / "captions").iterdir()
    path.write_bytes(path.read_bytes() + b'["abc", "half a ca')
    CaptionMemory(model, "what?").note(picture(2), "a road")
    memory = CaptionMemory(model, "what?")
    assert [memory.said_of(picture(shade)) for shade in (1, 2)] == ["a roof", "a road"]


def test_where_nothing_can_be_written_nothing_is_remembered(model, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("ZIDO_CACHE", str(tmp_path / "file" / "below"))
    CaptionMemory(model, "what?").note(picture(1), "a roof")
    assert CaptionMemory(model, "what?").said_of(picture(1)) is None
