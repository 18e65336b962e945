"""Which build of PyTorch this computer wants, and where it is to be had."""

from __future__ import annotations

import contextlib
import platform
import shutil
import subprocess  # for the class of an error  # nosec B404
import sys
from dataclasses import dataclass
from typing import Literal

from .launch import spawn

Kind = Literal["auto", "cpu", "cuda"]
"""What the user may choose: what suits the computer, or one of both in any case."""

INDEX = "https://download.pytorch.org/whl/"
"""PyTorch's own index; the builds for one CUDA version lie in a folder of it."""

DRIVERS = ((580, 7.5, "cu130"), (525, 5.0, "cu126"))
"""Oldest driver and least compute capability for a CUDA version that PyTorch 2.13 is built for, best first."""

GIB = 2**30


@dataclass(frozen=True, kw_only=True)
class Build:
    """A build of PyTorch."""

    name: str
    """``cpu`` or ``cu130``: the folder in PyTorch's index; empty: what every index gives."""

    room: int
    """Bytes that an environment with it takes, download and unpacking included."""

    title: str
    """In words, and why this one."""

    @property
    def index(self) -> str | None:
        """Address of the index to ask besides the usual one."""
        return INDEX + self.name if self.name else None


@dataclass(frozen=True, kw_only=True)
class Card:
    """A graphics card of NVIDIA."""

    title: str
    """``NVIDIA GeForce RTX 4070``."""

    driver: int
    """First number of its driver's version."""

    capability: float
    """Compute capability: 8.9."""


def build_for(kind: Kind, cards: list[Card] | None = None) -> Build:
    """The build for this computer; ``cards`` are looked for unless given."""
    if sys.platform == "darwin":
        return Build(name="", room=3 * GIB, title="for macOS")
    if kind == "cpu":
        return _cpu("as chosen")
    known = find_cards() if cards is None else cards
    fitting = [(name, card) for card in known for name in [_cuda_of(card)] if name]
    if fitting:
        name, card = fitting[0]
        return Build(name=name, room=12 * GIB, title=f"the CUDA build {name} for {card.title}")
    if kind == "cuda":
        return Build(name=DRIVERS[0][2], room=12 * GIB, title=f"the CUDA build {DRIVERS[0][2]}, as chosen")
    if known:
        return _cpu(f"the driver {known[0].driver} of {known[0].title} is too old for CUDA; update it and repeat this")
    return _cpu("there is no graphics card of NVIDIA")


def find_cards() -> list[Card]:
    """NVIDIA's cards, as its driver tells of them."""
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return []
    fields = "name,driver_version,compute_cap"
    with contextlib.suppress(OSError, subprocess.TimeoutExpired):
        process = spawn([tool, f"--query-gpu={fields}", "--format=csv,noheader"], None, {})
        with process:
            try:
                told, _ = process.communicate(timeout=20)
            except subprocess.TimeoutExpired:
                process.kill()
                raise
        return [card for line in told.decode("utf-8", "replace").splitlines() if (card := _card(line))]
    return []


def _card(line: str) -> Card | None:
    try:
        title, driver, capability = (part.strip() for part in line.rsplit(",", 2))
        return Card(title=title, driver=int(driver.partition(".")[0]), capability=float(capability))
    except ValueError:
        return None


def _cuda_of(card: Card) -> str | None:
    for driver, capability, name in DRIVERS:
        if card.driver >= driver and card.capability >= capability:
            return name
    return None


def _cpu(why: str) -> Build:
    special = platform.machine().lower() in ("x86_64", "amd64", "aarch64", "arm64")
    return Build(name="cpu" if special else "", room=4 * GIB, title=f"the CPU build ({why})")
