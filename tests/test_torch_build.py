"""Which build of PyTorch suits which computer."""

from __future__ import annotations

import os
import re
import sys

import pytest
from zido.plugin import torch_build
from zido.plugin.torch_build import Card, build_for

from tests.fake_pythons import script


def card(driver: int, capability: float) -> Card:
    return Card(title="NVIDIA X", driver=driver, capability=capability)


@pytest.mark.parametrize(
    ("kind", "cards", "name", "told"),
    [
        ("auto", [], "cpu", "no graphics card"),
        ("auto", [card(580, 8.9)], "cu130", "NVIDIA X"),
        ("auto", [card(590, 12.0)], "cu130", "NVIDIA X"),
        ("auto", [card(560, 8.9)], "cu126", "NVIDIA X"),
        ("auto", [card(580, 6.1)], "cu126", "NVIDIA X"),
        ("auto", [card(470, 8.6)], "cpu", "driver 470 .* too old"),
        ("auto", [card(580, 3.5), card(580, 8.6)], "cu130", "NVIDIA X"),
        ("cpu", [card(580, 8.9)], "cpu", "as chosen"),
        ("cuda", [], "cu130", "as chosen"),
        ("cuda", [card(535, 8.0)], "cu126", "NVIDIA X"),
    ],
)
def test_the_build_follows_card_driver_and_choice(monkeypatch, kind, cards, name, told):
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(torch_build.platform, "machine", lambda: "x86_64")
    build = build_for(kind, cards)
    assert build.name == name
    assert build.index == f"https://download.pytorch.org/whl/{name}"
    assert re.search(told, build.title)
    assert build.room >= (12 if name.startswith("cu") else 4) * torch_build.GIB


def test_macos_has_one_build(monkeypatch):
    monkeypatch.setattr(sys, "platform", "darwin")
    assert build_for("cuda", [card(580, 8.9)]).index is None


@pytest.mark.skipif(os.name == "nt", reason="programs of a POSIX shell")
@pytest.mark.parametrize(
    ("body", "found"),
    [
        ("echo 'NVIDIA H200, 580.65.06, 9.0'", [Card(title="NVIDIA H200", driver=580, capability=9.0)]),
        ("echo 'A, B, 551.86, 8.6'; echo 'C, 551.86, [N/A]'", [Card(title="A, B", driver=551, capability=8.6)]),
        ("echo 'NVIDIA-SMI has failed because it could not communicate with the driver'; exit 9", []),
        ("exit 1", []),
    ],
)
def test_cards_are_what_the_driver_tells(monkeypatch, tmp_path, body, found):
    script(tmp_path / "nvidia-smi", body)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert torch_build.find_cards() == found


def test_without_the_tool_of_the_driver_there_is_no_card(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert torch_build.find_cards() == []
