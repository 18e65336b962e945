"""Prompt values, taggers by name, the vocabulary as tokens and as text, and how prompts are put together."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from zido_core.errors import InvalidOptions
from zido_core.prompts.base import FixedPrompt, NoPrompt, Prompt, Tag, tagger_named
from zido_core.prompts.compose import Cover, Region, combine
from zido_core.prompts.scene import SceneTagger
from zido_core.prompts.vocabulary import (
    VOCABULARY,
    clean_text,
    decode,
    describe,
    encode,
    join,
    parse,
    prompt_from_text,
    unknown_words,
)
from zido_core.tiling.grid import Tile

IMAGE = np.random.default_rng(0).random((3, 24, 40), np.float32)
TILES = [Tile(0, 0, 24, 24), Tile(0, 16, 24, 24)]


def test_token_ids_never_change():
    """Trained weights depend on them: words may only be appended."""
    assert VOCABULARY[:21] == (
        "water", "vegetation", "bare soil", "built-up", "road", "shadow", "cloud", "snow", "sky", "smooth",
        "fine texture", "strong edges", "straight lines", "dark", "bright", "colourful", "gray",
        "blurred", "noisy", "compressed", "clean",
    )  # fmt: skip
    assert len(set(VOCABULARY)) == len(VOCABULARY)


def test_no_prompt_says_nothing():
    assert NoPrompt().tag(IMAGE, TILES) == [Prompt(), Prompt()]


def test_fixed_prompt_says_the_same():
    prompt = prompt_from_text("a harbour")
    assert FixedPrompt(prompt).tag(IMAGE, TILES) == [prompt, prompt]


@pytest.mark.parametrize(("name", "kind"), [("scene", SceneTagger), ("none", NoPrompt)])
def test_taggers_by_name(name: str, kind: type):
    assert isinstance(tagger_named(name), kind)


def test_unknown_tagger_lists_the_known():
    with pytest.raises(InvalidOptions, match="'oracle'; choose one of none, scene"):
        tagger_named("oracle")


@pytest.mark.parametrize(
    ("tags", "text"),
    [
        ([], ""),
        ([Tag("water", 0.9)], "water"),
        ([Tag("vegetation", 0.4), Tag("noisy", 0.25)], "vegetation, slightly noisy"),
        ([Tag("blurred", 0.5), Tag("compressed", 0.9)], "blurred, very compressed"),
        ([Tag("clean", 1.0)], "clean"),
    ],
)
def test_describe(tags: list[Tag], text: str):
    assert describe(tags) == text


@pytest.mark.parametrize(
    ("text", "tags"),
    [
        ("water, very noisy", [("water", 1.0), ("noisy", 0.85)]),
        ("WATER ;  Slightly   blurred", [("water", 1.0), ("blurred", 0.3)]),
        ("forest, grey, jpeg", [("vegetation", 1.0), ("gray", 1.0), ("compressed", 0.55)]),
        ("noisy, very noisy", [("noisy", 0.85)]),
        ("a red barn", []),
        (" , ,", []),
    ],
)
def test_parse(text: str, tags: list[tuple[str, float]]):
    assert parse(text)[0] == tuple(Tag(*tag) for tag in tags)


def test_parse_keeps_measured_scores_where_the_words_agree():
    known = [Tag("water", 0.62), Tag("noisy", 0.33), Tag("blurred", 0.5)]
    tags, _ = parse("water, slightly noisy, very blurred", known)
    assert tags == (Tag("water", 0.62), Tag("noisy", 0.33), Tag("blurred", 0.85))


def test_unknown_words_are_kept_in_text_reported_and_not_encoded():
    prompt = prompt_from_text("water, a red barn, noisy")
    assert prompt.text == "water, a red barn, noisy"
    assert unknown_words(prompt.text) == ("a red barn",)
    assert encode(prompt) == ((VOCABULARY.index("water"), VOCABULARY.index("noisy")), (1.0, 0.55))


def test_decode_inverts_encode():
    prompt = SceneTagger().tag(IMAGE, TILES)[0]
    ids, levels = encode(prompt)
    assert ids
    assert decode(ids, levels) == prompt


def test_every_word_survives_text():
    for name in VOCABULARY:
        assert [tag.name for tag in parse(name)[0]] == [name]


def test_encode_reads_text_where_there_are_no_tags():
    assert encode(Prompt(text="sky, unicorn")) == ((VOCABULARY.index("sky"),), (1.0,))


@pytest.mark.parametrize(
    ("base", "text", "joined"),
    [
        ("water, smooth", "", "water, smooth"),
        ("water, smooth", "a harbour", "water, smooth, a harbour"),
        ("", "a harbour", "a harbour"),
        ("water, a harbour", "A harbour", "water, A harbour"),
        ("water, clean", "very noisy", "water, very noisy"),
        ("water, slightly noisy, blurred", "clean", "water, clean"),
        ("water, slightly noisy", "very noisy, boats", "water, very noisy, boats"),
    ],
)
def test_join_puts_the_new_words_last_and_lets_them_count(base: str, text: str, joined: str):
    result = join(prompt_from_text(base), text)
    assert result.text == joined
    assert result.tags == parse(joined)[0]


@pytest.mark.parametrize(
    ("text", "cleaned"),
    [
        ("a\x00b\x1b[31m", "a b [31m"),
        ("two\nlines\t", "two lines"),
        ("a\u202eb", "a b"),
        ("Gebäude", "Gebäude"),
    ],
)
def test_clean_text(text: str, cleaned: str):
    assert clean_text(text) == cleaned


def test_combine_appends_the_user_prompt_to_every_tile():
    prompts = [prompt_from_text("water"), prompt_from_text("road")]
    combined = combine(prompts, TILES, prompt="a harbour\n", negative="cartoon")
    assert [each.text for each in combined] == ["water, a harbour", "road, a harbour"]
    assert {each.negative for each in combined} == {"cartoon"}


def test_combine_keeps_negatives_of_tiles():
    combined = combine([Prompt(negative="people"), Prompt()], TILES, negative="cartoon")
    assert [each.negative for each in combined] == ["people", "cartoon"]


def test_combine_without_anything_changes_nothing():
    prompts = SceneTagger().tag(IMAGE, TILES)
    assert combine(prompts, TILES) == prompts


def test_combine_refuses_an_endless_prompt():
    with pytest.raises(InvalidOptions, match="prompt has 1001 characters; expected at most 1000"):
        combine([Prompt()] * 2, TILES, prompt="x" * 1001)


def rectangle(col: float, row: float, width: float, height: float) -> np.ndarray:
    ring = [(col, row), (col + width, row), (col + width, row + height), (col, row + height), (col, row)]
    return np.array(ring, np.float64)


def region(text: str, *rings: np.ndarray, drawn: bool = True, negative: str | None = None) -> Region:
    prompt = Prompt(text=text, tags=parse(text)[0], negative=negative, source="file")
    return Region(prompt=prompt, polygons=(tuple(rings),) if rings else None, drawn=drawn)


TILE = Tile(10, 20, 10, 10)
LEFT, MOST = rectangle(20, 10, 4, 10), rectangle(20, 10, 6, 10)
WHOLE, HOLE = rectangle(0, 0, 100, 100), rectangle(22, 12, 8, 8)


@pytest.mark.parametrize(
    ("regions", "text"),
    [
        ([region("sea", MOST)], "sea"),
        ([region("sea", LEFT)], "road, sea"),
        ([region("sea", rectangle(20, 10, 5, 10))], "road, sea"),
        ([region("sea", rectangle(30, 10, 9, 10))], "road"),
        ([region("sea", WHOLE)], "sea"),
        ([region("sea", WHOLE, HOLE)], "road, sea"),
        ([region("sea", LEFT), region("boats", MOST)], "boats, sea"),
        ([region("sea", MOST), region("boats", WHOLE)], "boats"),
        ([region("sea", MOST), region("boats", MOST)], "boats"),
        ([region("sea")], "sea"),
        ([region("sea", LEFT, drawn=False)], "road"),
        ([region("sea", MOST, drawn=False)], "sea"),
        ([region("boats", MOST), region("sea", WHOLE, drawn=False)], "boats"),
        ([region("sea", MOST[::-1])], "sea"),
    ],
)
def test_regions_override_above_one_half_and_are_appended_below(regions: list[Region], text: str):
    (told,) = combine([prompt_from_text("road")], [TILE], regions=regions)
    assert told.text == text


def test_parts_of_a_multipolygon_add_up():
    parts = ((rectangle(20, 10, 3, 10),), (rectangle(26, 10, 3, 10),))
    several = Region(prompt=Prompt(text="sea"), polygons=parts, drawn=True)
    assert combine([Prompt(text="road")], [TILE], regions=[several])[0].text == "sea"


def test_negatives_of_appended_regions_are_joined():
    regions = [region("sea", MOST, negative="boats"), region("foam", LEFT, negative="people")]
    (told,) = combine([Prompt()], [TILE], regions=regions, negative="cartoon")
    assert (told.text, told.negative) == ("sea, foam", "boats, people")


def test_coverage_agrees_with_counting_points():
    """A concave star with a hole, against a dense sampling of the plane."""
    angles = np.linspace(0.0, 2 * np.pi, 21)
    radius = np.where(np.arange(21) % 2, 14.0, 40.0)
    radius[-1] = radius[0]
    star = np.stack([50 + radius * np.cos(angles), 50 + radius * np.sin(angles)], axis=1)
    hole = rectangle(45, 45, 12, 9)
    rows, cols = np.mgrid[0:100:0.25, 0:100:0.25] + 0.125
    inside = even_odd(star, cols, rows) ^ even_odd(hole, cols, rows)
    for tile in (Tile(0, 0, 100, 100), Tile(20, 40, 30, 20), Tile(40, 40, 20, 20), Tile(0, 0, 10, 10)):
        rows_of, cols_of = (slice(4 * cut.start, 4 * cut.stop) for cut in tile.slices)
        block = inside[rows_of, cols_of]
        (share,) = shares(region("star", star, hole), tile) or [0.0]
        assert share == pytest.approx(block.mean(), abs=0.01)


def shares(one: Region, tile: Tile) -> list[float]:
    return [share for _, share in Cover([one]).shares(tile)]


def even_odd(ring: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    inside = np.zeros(x.shape, bool)
    for (x0, y0), (x1, y1) in pairwise(ring):
        if y0 != y1:
            inside ^= ((y0 > y) != (y1 > y)) & (x < (x1 - x0) * (y - y0) / (y1 - y0) + x0)
    return inside
