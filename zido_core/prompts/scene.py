"""The embedded tagger: what a tile shows and what harmed it, measured from its pixels. Numpy only, deterministic.

Maps of colour and structure are computed once over a strip of tiles and reduced tile by tile. A tile's scores read
the pixels of that tile alone (maps are cut back by the reach of their filters), so they do not depend on how the
image was cut into blocks.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from ..errors import BadInput
from ..tiling.grid import Tile
from .base import Prompt, Tag
from .degradation import Array, blocks_mean, blur_level, compression_level, noise_level, ramp
from .vocabulary import CONTENT, DEGRADATIONS, VOCABULARY, decode, describe, encode

__all__ = ["THRESHOLDS", "VOCABULARY", "SceneTagger", "decode", "encode", "scores"]

THRESHOLDS: dict[str, float] = {name: 0.3 for name in CONTENT} | {
    "blurred": 0.2,
    "noisy": 0.2,
    "compressed": 0.25,
    "clean": 0.8,
}
"""A tag fires at this score. Content scores are about the share of the tile's area, or of what is usual for it."""

REACH = 3
"""Pixels that the maps look beyond their own."""

SMALL = 4 * REACH
"""Tiles with a side below this are mirrored at their border rather than cut back."""

STRIP_TILES = 64
"""Tiles whose maps are computed together; bounds the memory of huge images."""


class SceneTagger:
    """Tags tiles with the words of ``VOCABULARY``."""

    def tag(self, image: npt.NDArray[np.float32], tiles: Sequence[Tile]) -> list[Prompt]:
        """One prompt per tile of a (3, height, width) image in [0, 1]; (1, height, width) is taken as gray."""
        return [_prompt(row) for row in scores(image, tiles)]


def _prompt(row: Array) -> Prompt:
    content = [Tag(name, round(float(score), 2)) for name, score in zip(CONTENT, row, strict=False)]
    harm = [
        Tag(name, round(float(score), 2)) for name, score in zip(DEGRADATIONS, row[len(CONTENT) :], strict=True)
    ]
    ordered = sorted(content, key=lambda tag: -tag.score) + harm
    tags = tuple(tag for tag in ordered if tag.score >= THRESHOLDS[tag.name])
    return Prompt(text=describe(tags), tags=tags)


def scores(image: npt.NDArray[np.float32], tiles: Sequence[Tile]) -> Array:
    """Scores of every word for every tile, fired or not: (tiles, len(VOCABULARY)) float32 in [0, 1]."""
    image = _rgb(image)
    result = np.zeros((len(tiles), len(VOCABULARY)), np.float32)
    inside = sorted((_clamp(tile, image.shape), index) for index, tile in enumerate(tiles))
    for _, same_rows in groupby(inside, key=lambda pair: (pair[0].row, pair[0].height)):
        row_tiles = list(same_rows)
        for start in range(0, len(row_tiles), STRIP_TILES):
            for index, values in _strip(image, row_tiles[start : start + STRIP_TILES]):
                result[index] = values
    return result


def _rgb(image: npt.NDArray[np.float32]) -> Array:
    if image.ndim != 3 or image.size == 0:
        raise BadInput(f"cannot tag an image of shape {image.shape}; expected (3, height, width) with pixels")
    bands = image[:3] if image.shape[0] >= 3 else image[:1].repeat(3, axis=0)
    return np.clip(np.nan_to_num(bands.astype(np.float32, copy=False)), 0.0, 1.0)


def _clamp(tile: Tile, shape: tuple[int, ...]) -> Tile:
    """The part of the tile that lies on the image; at least one pixel."""
    row, col = min(max(tile.row, 0), shape[1] - 1), min(max(tile.col, 0), shape[2] - 1)
    bottom = min(max(tile.row + tile.height, row + 1), shape[1])
    right = min(max(tile.col + tile.width, col + 1), shape[2])
    return Tile(row, col, bottom - row, right - col)


def _strip(image: Array, tiles: Sequence[tuple[Tile, int]]) -> Iterator[tuple[int, Array]]:
    """Scores of tiles that share their rows."""
    first = tiles[0][0]
    left = first.col
    right = max(tile.col + tile.width for tile, _ in tiles)
    strip = image[:, first.row : first.row + first.height, left:right]
    small = first.height < SMALL or any(tile.width < SMALL for tile, _ in tiles)
    maps = None if small else _maps(strip)
    for tile, index in tiles:
        cut = np.ascontiguousarray(strip[:, :, tile.col - left : tile.col - left + tile.width])
        if maps is None:
            yield index, _tile_scores(cut, _maps(np.pad(cut, ((0, 0), (REACH, REACH), (REACH, REACH)), "symmetric")))
        else:
            yield index, _tile_scores(cut, _cut(maps, tile.col - left, tile.width))


class Maps(NamedTuple):
    """What pixels look like; every map is (height, width) without ``REACH`` pixels on each side, values 0..1."""

    luma: Array
    chroma: Array
    """Largest minus smallest channel."""
    rough: Array
    """Mean gradient of the smoothed luma in 5 x 5 pixels: texture without most of the noise."""
    slope_down: Array
    slope_right: Array
    green: Array
    blue: Array
    earth: Array
    """How much the colour is one of plants, of water or sky, of soil."""
    neutral: Array
    """How gray the colour is."""


def _cut(maps: Maps, col: int, width: int) -> Maps:
    return Maps(*(np.ascontiguousarray(each[:, col : col + width - 2 * REACH]) for each in maps))


def _maps(image: Array) -> Maps:
    red, green, blue = image
    luma = 0.299 * red + 0.587 * green + 0.114 * blue
    smoothed = _triple(luma, (0.25, 0.5, 0.25))
    down = 0.5 * (smoothed[2:, 1:-1] - smoothed[:-2, 1:-1])
    right = 0.5 * (smoothed[1:-1, 2:] - smoothed[1:-1, :-2])
    rough = _triple(np.sqrt(down * down + right * right), (1 / 3, 1 / 3, 1 / 3))
    inner = (slice(REACH, -REACH), slice(REACH, -REACH))
    red, green, blue, luma = red[inner], green[inner], blue[inner], luma[inner]
    highest = np.maximum(np.maximum(red, green), blue)
    chroma = highest - np.minimum(np.minimum(red, green), blue)
    per_light = 1.0 / (red + green + blue + 0.02)
    lit = ramp(luma, 0.02, 0.08)
    plants = ramp((2.0 * green - red - blue) * per_light, 0.03, 0.11)
    plants *= ramp((green - np.maximum(red, blue)) * per_light, -0.03, 0.02) * lit
    waters = ramp((blue - red) * per_light, 0.03, 0.10) * ramp((blue - green) * per_light, -0.06, 0.0) * lit
    soils = ramp((red - blue) * per_light, 0.05, 0.12) * ramp((red - green) * per_light, -0.01, 0.02)
    soils *= ramp(luma, 0.12, 0.25) * (1.0 - ramp(chroma / (highest + 0.02), 0.6, 0.8))
    neutral = 1.0 - ramp(chroma / (highest + 0.02), 0.1, 0.24)
    trim = slice(1, -1)
    return Maps(luma, chroma, rough, down[trim, trim], right[trim, trim], plants, waters, soils, neutral)


def _triple(values: Array, weights: tuple[float, float, float]) -> Array:
    """Separable three-tap filter; one pixel less on every side."""
    first, middle, last = (np.float32(weight) for weight in weights)
    tall = first * values[:-2] + middle * values[1:-1] + last * values[2:]
    return np.asarray(first * tall[:, :-2] + middle * tall[:, 1:-1] + last * tall[:, 2:], dtype=np.float32)


def _mean(values: Array) -> float:
    return float(values.mean(dtype=np.float64))


def _tile_scores(image: Array, maps: Maps) -> Array:
    """Scores in the order of ``VOCABULARY`` for one tile and its maps."""
    luma = 0.299 * image[0] + 0.587 * image[1] + 0.114 * image[2]
    harm = (blur_level(luma), noise_level(image, luma), compression_level(luma))
    content = _content(maps, noise=harm[1])
    return np.array([content[name] for name in CONTENT] + [*harm, 1.0 - max(harm)], np.float32)


def _content(maps: Maps, noise: float) -> dict[str, float]:
    grain = 0.012 * noise  # what noise adds to the gradient of the smoothed luma
    even = 1.0 - ramp(maps.rough, 0.008 + grain, 0.026 + grain)
    luma, neutral = maps.luma, maps.neutral
    colour = float(ramp(_mean(maps.chroma), 0.004, 0.015))
    edges = float(ramp(_mean(ramp(maps.rough, 0.05, 0.11)), 0.02, 0.35))
    lines = _straightness(maps.slope_down, maps.slope_right, floor=(0.01 + grain) ** 2)
    deep = 1.0 - ramp(luma, 0.10, 0.22)
    white = ramp(luma, 0.70, 0.85) * neutral
    gray_share = 0.4 + 0.6 * colour  # without colour, neutral surfaces cannot be told from others
    plants = _mean(maps.green)
    made = neutral * ramp(luma, 0.12, 0.3) + maps.earth * 0.5
    bright_part = float(np.partition(luma, luma.size * 9 // 10, axis=None)[luma.size * 9 // 10])
    asphalt = neutral * ramp(luma, 0.18, 0.3) * (1.0 - ramp(luma, 0.6, 0.75)) * even
    return {
        "water": _mean(even * np.maximum(maps.blue * (1.0 - ramp(luma, 0.5, 0.7)), 0.45 * deep * ramp(luma, 0.01, 0.04) * colour)),
        "vegetation": plants,
        "bare soil": _mean(maps.earth),
        "built-up": edges * (0.35 + 0.65 * lines) * min(1.0, 1.5 * _mean(made)) * (1.0 - plants) * gray_share,
        "road": min(1.0, 2.0 * _mean(asphalt)) * (0.3 + 0.7 * lines) * gray_share * colour,
        "shadow": min(1.0, 2.0 * _mean(deep)) * float(ramp(bright_part, 0.2, 0.4)),
        "cloud": _mean(white * (1.0 - ramp(maps.rough, 0.03, 0.09))),
        "snow": _mean(white * ramp(maps.rough, 0.01, 0.05)) * gray_share,
        "sky": _mean(even * np.maximum(maps.blue, 0.4 * white) * ramp(luma, 0.4, 0.6)),
        "smooth": _mean(even),
        "fine texture": _mean((1.0 - even) * (1.0 - 0.7 * ramp(maps.rough, 0.06, 0.14))),
        "strong edges": edges,
        "straight lines": lines,
        "dark": float(1.0 - ramp(_mean(luma), 0.12, 0.32)),
        "bright": float(ramp(_mean(luma), 0.55, 0.8)),
        "colourful": float(ramp(_mean(maps.chroma), 0.12, 0.35)),
        "gray": float(1.0 - ramp(_mean(maps.chroma), 0.01, 0.06)),
    }


def _straightness(down: Array, right: Array, floor: float) -> float:
    """How much of the gradient lies in straight pieces that run in one direction or at right angles to it.

    Structure tensor of 8 x 8 blocks as a complex number of twice the angle; its square has four times the angle,
    so that the two directions of a street grid add up.
    """
    difference, crossed = blocks_mean(right * right - down * down), blocks_mean(2.0 * right * down)
    energy = blocks_mean(right * right + down * down)
    double = difference + 1j * crossed
    length = np.abs(double)
    weight = length * ramp(energy, floor, 4.0 * floor)
    total = float(weight.sum())
    if total <= 0.0:
        return 0.0
    coherence = float((weight * length / (energy + 1e-9)).sum()) / total
    fourfold = double * double / (length * length + 1e-12)
    agreement = float(np.abs((weight * fourfold).sum())) / total
    structured = float(ramp(np.mean(energy > floor), 0.03, 0.15))
    return float(ramp(coherence, 0.5, 0.85)) * float(ramp(agreement, 0.25, 0.7)) * structured
