"""The words of the embedded tagger: as tokens for a network, as text for people, and back.

The position of a word in :data:`VOCABULARY` is its token id. Trained weights depend on it: only ever append.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

from .base import Prompt, PromptSource, Tag

CONTENT: tuple[str, ...] = (
    "water",
    "vegetation",
    "bare soil",
    "built-up",
    "road",
    "shadow",
    "cloud",
    "snow",
    "sky",
    "smooth",
    "fine texture",
    "strong edges",
    "straight lines",
    "dark",
    "bright",
    "colourful",
    "gray",
)
"""What a tile shows."""

LEVELLED: tuple[str, ...] = ("blurred", "noisy", "compressed")
"""What harmed the input; the score is a level, and text says it in words: ``slightly blurred``."""

DEGRADATIONS: tuple[str, ...] = (*LEVELLED, "clean")
"""How the input was treated; ``clean`` when nothing harmed it."""

VOCABULARY: tuple[str, ...] = CONTENT + DEGRADATIONS
"""Every word, in the order of its token id (append only)."""

_ID = {name: index for index, name in enumerate(VOCABULARY)}

_ALIASES = {
    "soil": "bare soil",
    "sand": "bare soil",
    "buildings": "built-up",
    "building": "built-up",
    "built up": "built-up",
    "urban": "built-up",
    "roads": "road",
    "forest": "vegetation",
    "trees": "vegetation",
    "grass": "vegetation",
    "sea": "water",
    "lake": "water",
    "river": "water",
    "clouds": "cloud",
    "shadows": "shadow",
    "texture": "fine texture",
    "textured": "fine texture",
    "edges": "strong edges",
    "lines": "straight lines",
    "colorful": "colourful",
    "grey": "gray",
    "blur": "blurred",
    "blurry": "blurred",
    "noise": "noisy",
    "grainy": "noisy",
    "compression": "compressed",
    "jpeg": "compressed",
    "sharp": "clean",
}
"""Other words that people write for the same thing."""


class Degree(NamedTuple):
    """How text says a level."""

    word: str
    """Put before the tag; empty for a plain statement."""

    below: float
    """Levels under this are said with this word."""

    level: float
    """The level that the word alone stands for."""


DEGREES = (Degree("slightly", 0.4, 0.3), Degree("", 0.7, 0.55), Degree("very", 1.01, 0.85))
"""Words for the level of a degradation, from weak to strong."""

ASSERTED = 1.0
"""Score of a content tag, and of ``clean``, that a person wrote."""


def degree_of(level: float) -> Degree:
    """The word for a level."""
    return next((degree for degree in DEGREES if level < degree.below), DEGREES[-1])


def describe(tags: Sequence[Tag]) -> str:
    """Text for people: ``vegetation, fine texture, slightly blurred``."""
    words = ((degree_of(tag.score).word if tag.name in LEVELLED else "", tag.name) for tag in tags)
    return ", ".join(" ".join(filter(None, pair)) for pair in words)


def parse(text: str, known: Sequence[Tag] = ()) -> tuple[tuple[Tag, ...], tuple[str, ...]]:
    """Tags of comma separated ``text``, and the phrases that are no tags.

    A phrase that says the same as a tag in ``known`` keeps the score measured there; otherwise it gets the
    score its words stand for. Repeated tags: the last one counts.
    """
    measured = {tag.name: tag for tag in known}
    tags: dict[str, Tag] = {}
    unknown: list[str] = []
    for phrase in phrases(text):
        tag = _parse_phrase(phrase)
        if tag is None:
            unknown.append(phrase)
            continue
        old = measured.get(tag.name)
        tags[tag.name] = old if old is not None and describe([old]) == describe([tag]) else tag
    return tuple(tags.values()), tuple(unknown)


def phrases(text: str) -> tuple[str, ...]:
    """The comma separated parts of a prompt."""
    return tuple(filter(None, (" ".join(part.split()) for part in re.split(r"[,;\n]", text))))


def _parse_phrase(phrase: str) -> Tag | None:
    words = phrase.casefold()
    degree = next((d for d in DEGREES if d.word and words.startswith(f"{d.word} ")), None)
    name = words.removeprefix(degree.word).strip() if degree else words
    name = _ALIASES.get(name, name)
    if name not in _ID:
        return None
    if name in LEVELLED:
        return Tag(name, (degree or DEGREES[1]).level)
    return Tag(name, degree.level if degree else ASSERTED)


def clean_text(text: str) -> str:
    """``text`` on one line, without control and invisible characters."""
    visible = (letter if letter.isprintable() else " " for letter in unicodedata.normalize("NFC", text))
    return " ".join("".join(visible).split())


def prompt_from_text(text: str, *, known: Sequence[Tag] = (), source: PromptSource = "user") -> Prompt:
    """A prompt that says ``text``, with the tags that are found in it."""
    return Prompt(text=text, tags=parse(text, known)[0], source=source)


def join(base: Prompt, text: str) -> Prompt:
    """``base`` with ``text`` after it (ZIDO's template: tags, then the user's words).

    Where both speak of the same thing the new words count: what ``base`` says about it is left out. "clean"
    speaks of the same thing as "noisy".
    """
    added = phrases(text)
    if not added:
        return base
    tags, _ = parse(text)
    settled = {tag.name for tag in tags}
    settled |= {"clean"} if settled & set(LEVELLED) else set()
    settled |= set(LEVELLED) if "clean" in {tag.name for tag in tags} else set()
    said = {phrase.casefold() for phrase in added}
    kept = [phrase for phrase in phrases(base.text) if phrase.casefold() not in said and not _names(phrase) & settled]
    old_tags = tuple(tag for tag in base.tags if tag.name not in settled)
    return replace(base, text=", ".join([*kept, *added]), tags=old_tags + tags)


def content_of(prompt: Prompt) -> str:
    """What a prompt says of the picture, without what harmed it: for models that paint all that they are told."""
    harm = {tag.name for tag in prompt.tags} & set(DEGRADATIONS)
    return ", ".join(phrase for phrase in phrases(prompt.text) if not _names(phrase) & harm)


def _names(phrase: str) -> set[str]:
    tag = _parse_phrase(phrase)
    return {tag.name} if tag else set()


def unknown_words(text: str) -> tuple[str, ...]:
    """Phrases of ``text`` that the embedded model cannot read (larger models read any text)."""
    return parse(text)[1]


def encode(prompt: Prompt) -> tuple[tuple[int, ...], tuple[float, ...]]:
    """Token ids and levels of a prompt; both empty for a prompt without known tags."""
    tags = prompt.tags or parse(prompt.text)[0]
    pairs = [(_ID[name], float(score)) for name, score in tags if name in _ID]
    return tuple(token for token, _ in pairs), tuple(level for _, level in pairs)


def decode(ids: Sequence[int], levels: Sequence[float]) -> Prompt:
    """The prompt that ``encode`` turned into these tokens."""
    tags = tuple(Tag(VOCABULARY[token], float(level)) for token, level in zip(ids, levels, strict=True))
    return Prompt(text=describe(tags), tags=tags)
