"""What a tile is told: a prompt, and the protocol of everything that makes prompts from pixels.

ZIDO (Moser et al. 2024, section 3.2 and Algorithm 1, line 2): every tile gets the prompt ``y_i = phi(I_i)``
of its own piece of the input. ``phi`` is a :class:`Tagger`; the embedded one is ``scene``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from importlib import import_module
from pathlib import Path
from typing import Any, Literal, NamedTuple, Protocol, cast

import numpy as np
import numpy.typing as npt

from ..checkpoint import fingerprint
from ..errors import InvalidOptions, ModelMissing
from ..options import ResolvedOptions
from ..store import tagger_folder
from ..tiling.grid import Tile

PromptSource = Literal["tagger", "file", "user"]


class Tag(NamedTuple):
    """A word about a tile and how strongly it applies."""

    name: str
    """A word of ``vocabulary.VOCABULARY`` or, from other taggers, any word."""

    score: float
    """0..1. For a degradation (blurred, noisy, compressed) it is its level."""


@dataclass(frozen=True, kw_only=True)
class Prompt:
    """What one tile is told."""

    text: str = ""
    """Readable text, tags first, then the user's words: ``"water, smooth, slightly noisy"``."""

    tags: tuple[Tag, ...] = ()
    """The tags that fired, strongest content first, degradations last; what the embedded network reads."""

    negative: str | None = None
    """What the tile should not look like; None = the model's own default."""

    source: PromptSource = "tagger"
    """Who wrote it: a tagger, a prompts file or the user."""

    embedding: npt.NDArray[np.float32] | None = field(default=None, compare=False, repr=False)
    """(tokens, channels): what the tagger saw, for models that attend to it (SeeSR: 145 x 512 from DAPE).

    No part of what is said: prompts of the same words are equal whatever was seen. None from other taggers.
    """

    whole: str = ""
    """What is said of the whole image, for networks that listen to it beside the tile's own words; else empty."""

    def with_negative(self, negative: str | None) -> Prompt:
        """The same prompt with this negative prompt where it had none."""
        return self if negative is None or self.negative is not None else replace(self, negative=negative)


class Tagger(Protocol):
    """Makes one prompt per tile. A tile's prompt depends on the pixels of that tile only."""

    def tag(self, image: npt.NDArray[np.float32], tiles: Sequence[Tile]) -> list[Prompt]:
        """Prompts of ``tiles`` (pixels of ``image``, which is (3, height, width) float32 in [0, 1])."""
        ...


class NoPrompt:
    """Says nothing about any tile: unconditional sampling."""

    def tag(self, image: npt.NDArray[np.float32], tiles: Sequence[Tile]) -> list[Prompt]:
        return [Prompt() for _ in tiles]


class FixedPrompt:
    """Says the same about every tile."""

    def __init__(self, prompt: Prompt) -> None:
        self.prompt = prompt

    def tag(self, image: npt.NDArray[np.float32], tiles: Sequence[Tile]) -> list[Prompt]:
        return [self.prompt for _ in tiles]


@dataclass(frozen=True, kw_only=True)
class TaggerSetup:
    """What a tagger that is a network is told when it is loaded."""

    folder: Path | None = None
    """Where its files lie."""

    device: str = "cpu"
    """As the option ``device``: ``auto``, ``cpu``, ``cuda``..."""

    prompt: str = ""
    """The user's words about the whole image, for taggers that are asked in words."""

    def need_folder(self, name: str, get: str) -> Path:
        """The folder of the tagger ``name``, or the one of that name in it; ``get`` says how to come by it."""
        if self.folder is None:
            raise ModelMissing(f"the tagger {name} is a network, and no folder was given: use --tagger-dir; {get}")
        if not self.folder.is_dir():
            raise ModelMissing(f"there is no folder {self.folder} for the tagger {name}; {get}")
        return self.folder / name if (self.folder / name).is_dir() else self.folder


TAGGERS: dict[str, str] = {
    "none": "base:NoPrompt",
    "scene": "scene:SceneTagger",
    "dape": "dape:DapeTagger",
    "clip": "clip_tags:ClipTagger",
    "caption": "caption:CaptionTagger",
}
"""Name of a tagger → module of this package and class, imported when it is asked for.

A class that has ``load`` is made by it from a ``TaggerSetup``, others from nothing.
"""


def tagger_named(name: str, setup: TaggerSetup | None = None) -> Tagger:
    """The tagger registered under ``name``."""
    if name not in TAGGERS:
        raise InvalidOptions(f"unknown tagger {name!r}; choose one of {', '.join(TAGGERS)}")
    module, _, attribute = TAGGERS[name].partition(":")
    made: Any = getattr(import_module(f".{module}", __package__), attribute)
    return cast("Tagger", made.load(setup or TaggerSetup()) if hasattr(made, "load") else made())


def tagger_weights(options: ResolvedOptions) -> str | None:
    """sha256 of the files that the options' tagger is made of; None for taggers that are no networks."""
    module, _, attribute = TAGGERS[options.tagger].partition(":")
    made: Any = getattr(import_module(f".{module}", __package__), attribute)
    if not hasattr(made, "load"):
        return None
    folder = _setup_of(options).need_folder(options.tagger, "")
    patterns = getattr(made, "FILES", ("*.safetensors", "*.txt"))
    return fingerprint(sorted(path for pattern in patterns for path in folder.glob(pattern)))


def about(tagger: Tagger, prompt: str) -> Tagger:
    """The same tagger, told what is said of the whole image; those that are asked nothing in words stay as they are."""
    return cast("Tagger", tagger.about(prompt)) if prompt and hasattr(tagger, "about") else tagger


def tagger_for(options: ResolvedOptions) -> Tagger:
    """The tagger that the options ask for, loaded."""
    return tagger_named(options.tagger, _setup_of(options))


def check_tagger(options: ResolvedOptions) -> None:
    """ModelMissing where that tagger sees, without loading anything, that its files are not there."""
    module, _, attribute = TAGGERS[options.tagger].partition(":")
    kind: Any = getattr(import_module(f".{module}", __package__), attribute)
    if hasattr(kind, "folder_of"):
        kind.folder_of(_setup_of(options))


def _setup_of(options: ResolvedOptions) -> TaggerSetup:
    place = options.tagger_dir or options.model_dir
    folder = tagger_folder(options.tagger, options.model) if place is None else Path(place)
    return TaggerSetup(folder=folder, device=options.device, prompt=options.prompt)
