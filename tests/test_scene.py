"""The embedded tagger: what fires on obvious pictures, how levels follow what harms real ones, odd input."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFilter

from zido_core.errors import BadInput
from zido_core.prompts.content import blocks_mean, ramp, straightness
from zido_core.prompts.scene import THRESHOLDS, SceneTagger, scores
from zido_core.prompts.vocabulary import VOCABULARY, encode
from zido_core.tiling.grid import Tile

SIDE = 64
WHOLE = Tile(0, 0, SIDE, SIDE)
Harm = Callable[[Image.Image, float], Image.Image]


def plain(*colour: float) -> np.ndarray:
    """A nearly constant picture of a colour, with the grain of a sensor."""
    grain = np.random.default_rng(0).normal(0.0, 0.002, (3, SIDE, SIDE))
    return np.clip(np.array(colour)[:, None, None] + grain, 0.0, 1.0).astype(np.float32)


def streets() -> np.ndarray:
    """Bright roofs in rows between gray streets."""
    image = plain(0.35, 0.35, 0.36)
    for row in range(4, SIDE, 22):
        for col in range(4, SIDE, 20):
            image[:, row : row + 16, col : col + 12] = np.array([0.75, 0.74, 0.72])[:, None, None]
    return image


def foliage() -> np.ndarray:
    bumps = np.random.default_rng(1).normal(0.0, 1.0, (SIDE + 2, SIDE + 2))
    soft = (bumps[:-2, 1:-1] + bumps[2:, 1:-1] + 2 * bumps[1:-1, 1:-1] + bumps[1:-1, :-2] + bumps[1:-1, 2:]) / 6
    light = np.clip(1.0 + 0.5 * soft, 0.2, 2.0)
    return np.clip(np.array([0.22, 0.34, 0.14])[:, None, None] * light, 0.0, 1.0).astype(np.float32)


def road() -> np.ndarray:
    image = plain(0.30, 0.45, 0.20)
    image[:, :, 24:40] = plain(0.45, 0.45, 0.46)[:, :, 24:40]
    return image


def fired(image: np.ndarray) -> set[str]:
    (prompt,) = SceneTagger().tag(image, [Tile(0, 0, *image.shape[1:])])
    return {tag.name for tag in prompt.tags}


@pytest.mark.parametrize(
    ("image", "present", "absent"),
    [
        (plain(0.10, 0.22, 0.38), {"water", "smooth"}, {"vegetation", "bare soil", "sky", "cloud"}),
        (plain(0.45, 0.62, 0.88), {"sky", "smooth"}, {"vegetation", "road", "snow", "dark"}),
        (plain(0.25, 0.42, 0.18), {"vegetation", "smooth"}, {"water", "bare soil", "sky"}),
        (foliage(), {"vegetation", "fine texture"}, {"water", "smooth", "road", "blurred"}),
        (plain(0.60, 0.48, 0.34), {"bare soil", "smooth"}, {"vegetation", "water", "cloud"}),
        (plain(0.93, 0.93, 0.94), {"cloud", "bright"}, {"water", "vegetation", "bare soil", "dark"}),
        (plain(0.03, 0.03, 0.03), {"dark", "smooth"}, {"bright", "cloud", "vegetation", "shadow"}),
        (plain(0.9, 0.1, 0.1), {"colourful"}, {"gray", "water", "vegetation"}),
        (
            streets(),
            {"built-up", "strong edges", "straight lines", "gray"},
            {"vegetation", "water", "sky", "blurred"},
        ),
        (road(), {"road", "vegetation", "straight lines"}, {"water", "cloud", "bare soil"}),
    ],
    ids=["lake", "sky", "meadow", "foliage", "field", "cloud", "night", "red", "streets", "road"],
)
def test_obvious_pictures(image: np.ndarray, present: set[str], absent: set[str]):
    names = fired(image)
    assert present <= names
    assert not absent & names


def test_shadow_needs_something_lit():
    image = plain(0.5, 0.5, 0.5)
    image[:, :, :32] *= 0.1
    assert "shadow" in fired(image)
    assert "shadow" not in fired(image * 0.2)


def test_snow_is_textured_white():
    rows, cols = np.mgrid[0:SIDE, 0:SIDE] / 2.0
    drifts = plain(0.88, 0.89, 0.92) - 0.08 * (np.sin(rows + 2 * np.sin(cols / 3)) > 0)
    assert "snow" in fired(drifts.astype(np.float32))
    assert "snow" not in fired(plain(0.88, 0.89, 0.92))


def test_text_reads_like_words():
    (prompt,) = SceneTagger().tag(foliage(), [WHOLE])
    assert prompt.text.startswith("vegetation, ")
    assert prompt.text.split(", ") == [tag.name for tag in prompt.tags]
    assert all(tag.score >= THRESHOLDS[tag.name] for tag in prompt.tags)
    assert [tag.name for tag in prompt.tags][-1] == "clean"


def test_every_word_has_a_threshold_and_a_score():
    assert set(THRESHOLDS) == set(VOCABULARY)
    assert scores(foliage(), [WHOLE]).shape == (1, len(VOCABULARY))


AWKWARD = [(1, 1), (1, 7), (2, 2), (3, 50), (5, 5), (11, 12), (12, 12), (40, 13), (23, 30)]


@pytest.mark.parametrize("size", AWKWARD)
@pytest.mark.parametrize("value", [0.0, 0.5, 1.0, None], ids=["black", "gray", "white", "random"])
def test_any_size_and_constant(size: tuple[int, int], value: float | None):
    pixels = np.random.default_rng(0).random((3, *size)) if value is None else np.full((3, *size), value)
    found = scores(pixels.astype(np.float32), [Tile(0, 0, *size)])
    assert np.isfinite(found).all()
    assert ((found >= 0.0) & (found <= 1.0)).all()


@pytest.mark.parametrize("value", [0.0, 0.2, 0.5, 1.0])
def test_constants_are_smooth_gray_and_clean(value: float):
    names = fired(np.full((3, 32, 32), value, np.float32))
    assert {"smooth", "gray", "clean"} <= names
    assert not names & {"blurred", "noisy", "compressed", "water", "road", "vegetation", "built-up"}


def test_one_band_is_gray():
    image = foliage()[:1]
    assert np.array_equal(scores(image, [WHOLE]), scores(image.repeat(3, axis=0), [WHOLE]))
    assert "gray" in fired(image)


def test_not_a_number_and_out_of_range_are_harmless():
    image = foliage()
    image[:, 10:20, 10:20] = np.nan
    image[0, 0, 0], image[1, 5, 5] = np.inf, -3.0
    assert np.isfinite(scores(image, [WHOLE])).all()


@pytest.mark.parametrize("shape", [(3, 0, 5), (8, 8)])
def test_no_pixels_is_an_error(shape: tuple[int, ...]):
    with pytest.raises(BadInput, match="expected \\(3, height, width\\)"):
        scores(np.zeros(shape, np.float32), [Tile(0, 0, 4, 4)])


@pytest.mark.parametrize(
    ("tile", "same_as"),
    [
        (Tile(-10, -10, 200, 200), Tile(0, 0, 64, 64)),
        (Tile(40, 40, 64, 64), Tile(40, 40, 24, 24)),
        (Tile(500, 500, 10, 10), Tile(63, 63, 1, 1)),
    ],
)
def test_tiles_beyond_the_image_are_cut(tile: Tile, same_as: Tile):
    image = foliage()
    assert np.array_equal(scores(image, [tile]), scores(image, [same_as]))


def test_a_tile_depends_on_its_own_pixels_only():
    """Bit for bit, wherever the image was cut and whatever else is tagged with it, also in mixed sizes."""
    image = np.random.default_rng(3).random((3, 90, 130), np.float32)
    image[:, :40] = 0.3 + 0.1 * image[:, :40]
    tiles = [Tile(r, c, h, w) for h, w in ((32, 32), (32, 8), (9, 40)) for r in (0, 21, 50) for c in (0, 17, 60)]
    together = scores(image, tiles[::-1])[::-1]
    for tile, found in zip(tiles, together, strict=True):
        cut = image[(slice(None), *tile.slices)]
        assert np.array_equal(scores(cut, [Tile(0, 0, tile.height, tile.width)])[0], found)


def test_many_tiles_in_a_row_are_tagged_in_strips():
    image = np.random.default_rng(0).random((3, 20, 1000), np.float32)
    tiles = [Tile(0, col, 20, 20) for col in range(0, 980, 5)]
    assert np.array_equal(scores(image, tiles)[150], scores(image, [tiles[150]])[0])


def test_ramp():
    assert ramp([-1.0, 0.0, 0.25, 0.5, 2.0], 0.0, 0.5).tolist() == [0.0, 0.0, 0.5, 1.0, 1.0]


def test_blocks_mean_equals_plain_means():
    values = np.random.default_rng(0).random((19, 33), np.float32)
    expected = [[values[r : r + 8, c : c + 8].mean() for c in (0, 8, 16, 24)] for r in (0, 8)]
    assert np.allclose(blocks_mean(values), expected, atol=1e-6)


@pytest.mark.parametrize(("angle", "straight"), [(0, True), (30, True), (45, True), (90, True), (None, False)])
def test_straightness_at_any_angle(angle: float | None, straight: bool):
    rows, cols = np.mgrid[0:64, 0:64]
    if angle is None:
        picture = np.random.default_rng(0).random((64, 64))
    else:
        along = np.cos(np.radians(angle)) * cols + np.sin(np.radians(angle)) * rows
        picture = 0.5 + 0.3 * np.sin(along / 2.0)
    down, right = np.gradient(picture)
    found = straightness(down.astype(np.float32), right.astype(np.float32), floor=1e-4)
    assert (found > 0.9) if straight else (found < 0.1)


def jpeg(image: Image.Image, quality: float) -> Image.Image:
    stream = io.BytesIO()
    image.save(stream, "JPEG", quality=int(quality))
    return Image.open(stream).convert("RGB")


def noise(image: Image.Image, deviation: float) -> Image.Image:
    grain = np.random.default_rng(1).normal(0.0, deviation, (image.height, image.width, 3))
    return Image.fromarray(np.clip(np.asarray(image) + grain, 0, 255).astype(np.uint8))


def gray_noise(image: Image.Image, deviation: float) -> Image.Image:
    grain = np.random.default_rng(1).normal(0.0, deviation, (image.height, image.width, 1))
    return Image.fromarray(np.clip(np.asarray(image) + grain, 0, 255).astype(np.uint8))


def blur(image: Image.Image, deviation: float) -> Image.Image:
    return image.filter(ImageFilter.GaussianBlur(deviation))


@pytest.fixture(scope="module")
def crops(data_dir: Path) -> list[Image.Image]:
    """One 64 x 64 piece of every other training image, downscaled by four."""
    random = np.random.default_rng(7)
    pieces = []
    for path in sorted((data_dir / "pack-train").rglob("*.webp"))[::2]:
        with Image.open(path) as file:
            image = file.convert("RGB").resize((file.width // 4, file.height // 4), Image.Resampling.BICUBIC)
        row, col = random.integers(0, image.height - SIDE + 1), random.integers(0, image.width - SIDE + 1)
        pieces.append(image.crop((col, row, col + SIDE, row + SIDE)))
    return pieces


def level(image: Image.Image, name: str) -> float:
    pixels = np.asarray(image, np.float32).transpose(2, 0, 1) / 255.0
    return float(scores(pixels, [WHOLE])[0, VOCABULARY.index(name)])


@pytest.mark.parametrize(
    ("name", "harm", "strengths"),
    [
        ("noisy", noise, (4, 8, 16, 25)),
        ("noisy", gray_noise, (6, 12, 24)),
        ("blurred", blur, (0.5, 1.0, 1.6)),
        ("compressed", jpeg, (80, 50, 30, 10)),
    ],
    ids=["noise", "gray noise", "blur", "jpeg"],
)
def test_levels_follow_the_harm_on_real_images(
    crops: list[Image.Image], name: str, harm: Harm, strengths: tuple[float, ...]
):
    """At least 90 % of real crops rise with every step, fire at the end, and are silent before."""
    ladder = np.array([[level(crop, name)] + [level(harm(crop, s), name) for s in strengths] for crop in crops])
    rises = (np.diff(ladder, axis=1) >= 0.0).mean(axis=0)
    assert (rises >= 0.9).all(), rises
    assert (ladder[:, -1] >= THRESHOLDS[name]).mean() >= 0.95
    assert (ladder[:, 0] < THRESHOLDS[name]).mean() >= 0.85


def test_real_images_get_different_prompts_and_tokens(crops: list[Image.Image]):
    pixels = [np.asarray(crop, np.float32).transpose(2, 0, 1) / 255.0 for crop in crops]
    prompts = [SceneTagger().tag(each, [WHOLE])[0] for each in pixels]
    assert len({prompt.text for prompt in prompts}) > len(prompts) // 2
    assert all(1 <= len(encode(prompt)[0]) <= 12 for prompt in prompts)
