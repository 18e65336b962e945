"""What a tile shows: water, vegetation, roads, edges …, from maps of colour and structure.

Colours are told by differences of channels relative to their sum, so that shade and exposure matter little.
The numbers were set by looking at aerial images and photographs; they are part of what the embedded model has
learned, so change them only together with its weights.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from .degradation import Array

REACH = 3
"""Pixels that the maps look beyond their own."""


class Maps(NamedTuple):
    """What pixels look like; (height, width) without ``REACH`` pixels on each side, values 0..1."""

    luma: Array
    chroma: Array
    """Largest minus smallest channel."""
    rough: Array
    """Mean gradient of the smoothed luma over 3 x 3 pixels: texture without most of the noise."""
    slope_down: Array
    slope_right: Array
    green: Array
    """How much the colour is one of plants."""
    blue: Array
    """How much the colour is one of water or sky."""
    earth: Array
    """How much the colour is one of soil, sand, dry grass."""
    neutral: Array
    """How gray the colour is."""

    def columns(self, col: int, width: int) -> Maps:
        """The maps of ``width`` image columns from ``col`` on, contiguous so that sums stay the same."""
        return Maps(*(np.ascontiguousarray(each[:, col : col + width - 2 * REACH]) for each in self))


def ramp(value: npt.ArrayLike, low: float, high: float) -> Array:
    """0 up to ``low``, 1 from ``high`` on, linear between."""
    scaled = np.asarray(np.asarray(value, np.float32) - np.float32(low), np.float32)
    scaled *= np.float32(1.0 / (high - low))
    np.maximum(scaled, np.float32(0.0), out=scaled)
    return np.minimum(scaled, np.float32(1.0), out=scaled)


def blocks_mean(values: Array, side: int = 8) -> Array:
    """Means of the ``side`` x ``side`` blocks of (height, width) values; one mean where fewer fit."""
    height, width = values.shape
    tall, wide = min(side, height), min(side, width)
    rows, cols = height // tall, width // wide
    cut = values[: rows * tall, : cols * wide].reshape(rows, tall, cols, wide)
    return np.asarray(cut.mean(axis=1).mean(axis=-1), dtype=np.float32)


def luma_of(image: Array) -> Array:
    """BT.601 luma of a (3, height, width) image."""
    return np.asarray(0.299 * image[0] + 0.587 * image[1] + 0.114 * image[2], dtype=np.float32)


def measure(image: Array) -> Maps:
    """Maps of a (3, height, width) image."""
    luma = luma_of(image)
    smoothed = _smooth(luma, 0.25, 0.5)
    down = 0.5 * (smoothed[2:, 1:-1] - smoothed[:-2, 1:-1])
    right = 0.5 * (smoothed[1:-1, 2:] - smoothed[1:-1, :-2])
    rough = _smooth(np.sqrt(down * down + right * right), 1 / 3, 1 / 3)
    inner, trim = slice(REACH, -REACH), slice(1, -1)
    luma, image = luma[inner, inner], image[:, inner, inner]
    return Maps(luma, _chroma(image), rough, down[trim, trim], right[trim, trim], *_colours(image, luma))


def _chroma(image: Array) -> Array:
    red, green, blue = image
    lowest = np.minimum(np.minimum(red, green), blue)
    return np.asarray(np.maximum(np.maximum(red, green), blue) - lowest, dtype=np.float32)


def _colours(image: Array, luma: Array) -> tuple[Array, Array, Array, Array]:
    """How green, blue, earthen and neutral the pixels are."""
    red, green, blue = image
    light = 1.0 / (red + green + blue + 0.02)
    lit = ramp(luma, 0.02, 0.08)
    reddish = (red - green) * light
    saturation = _chroma(image) / (np.maximum(np.maximum(red, green), blue) + 0.02)

    plants = ramp((2.0 * green - red - blue) * light, 0.03, 0.11) * lit
    plants *= ramp((green - np.maximum(red, blue)) * light, -0.03, 0.02)
    waters = ramp((blue - red) * light, 0.03, 0.10) * ramp((blue - green) * light, -0.06, 0.0) * lit
    soils = ramp((red - blue) * light, 0.03, 0.10) * ramp(luma, 0.12, 0.25)
    soils *= ramp(reddish, -0.01, 0.02) * (1.0 - ramp(reddish, 0.2, 0.3)) * (1.0 - ramp(saturation, 0.6, 0.8))
    return plants, waters, soils, 1.0 - ramp(saturation, 0.09, 0.2)


def _smooth(values: Array, side: float, middle: float) -> Array:
    """Separable filter (side, middle, side); one pixel less on every side."""
    tall = np.float32(side) * (values[:-2] + values[2:]) + np.float32(middle) * values[1:-1]
    wide = np.float32(side) * (tall[:, :-2] + tall[:, 2:]) + np.float32(middle) * tall[:, 1:-1]
    return np.asarray(wide, dtype=np.float32)


def content_scores(maps: Maps, noise: float) -> dict[str, float]:
    """Score of every content word for one tile with this level of noise."""
    grain = 0.012 * noise  # what noise adds to the gradient of the smoothed luma
    even = 1.0 - ramp(maps.rough, 0.008 + grain, 0.026 + grain)
    edges = float(ramp(_mean(ramp(maps.rough, 0.05, 0.11)), 0.02, 0.35))
    lines = straightness(maps.slope_down, maps.slope_right, floor=(0.01 + grain) ** 2)
    return {
        **_surfaces(maps, even, edges, lines),
        "smooth": _mean(even),
        "fine texture": _mean((1.0 - even) * (1.0 - 0.7 * ramp(maps.rough, 0.06, 0.14))),
        "strong edges": edges,
        "straight lines": lines,
        **_tone(_mean(maps.luma), _mean(maps.chroma)),
    }


def _tone(luma: float, chroma: float) -> dict[str, float]:
    return {
        "dark": 1.0 - float(ramp(luma, 0.12, 0.32)),
        "bright": float(ramp(luma, 0.55, 0.8)),
        "colourful": float(ramp(chroma, 0.12, 0.35)),
        "gray": 1.0 - float(ramp(chroma, 0.01, 0.06)),
    }


def _surfaces(maps: Maps, even: Array, edges: float, lines: float) -> dict[str, float]:
    luma, rough = maps.luma, maps.rough
    # Without colour (panchromatic), neutral surfaces cannot be told from others.
    colour = float(ramp(_mean(maps.chroma), 0.004, 0.015))
    deep = 1.0 - ramp(luma, 0.10, 0.22)
    white = ramp(luma, 0.70, 0.85) * maps.neutral
    dark_water = 0.45 * colour * deep * ramp(luma, 0.01, 0.04)
    asphalt = maps.neutral * ramp(luma, 0.18, 0.3) * (1.0 - ramp(luma, 0.65, 0.8))
    asphalt *= 1.0 - ramp(rough, 0.02, 0.07)
    made = min(1.0, 1.5 * _mean(maps.neutral * ramp(luma, 0.12, 0.3) + 0.5 * maps.earth))
    plants = _mean(maps.green)
    built = made * min(1.0, 1.6 * edges) * (0.25 + 0.75 * lines) * (1.0 - plants)
    brightest = float(np.partition(luma, luma.size * 9 // 10, axis=None)[luma.size * 9 // 10])
    return {
        "water": _mean(even * np.maximum(maps.blue * (1.0 - ramp(luma, 0.5, 0.7)), dark_water)),
        "vegetation": plants,
        "bare soil": _mean(maps.earth),
        "built-up": built * (0.4 + 0.6 * colour),
        "road": min(1.0, 2.5 * _mean(asphalt)) * (0.2 + 0.8 * lines) * colour,
        "shadow": min(1.0, 2.0 * _mean(deep)) * float(ramp(brightest, 0.2, 0.4)),
        "cloud": _mean(white * (1.0 - ramp(rough, 0.03, 0.09))),
        "snow": _mean(white * ramp(rough, 0.006, 0.03)) * (0.4 + 0.6 * colour),
        "sky": _mean(even * np.maximum(maps.blue, 0.4 * white) * ramp(luma, 0.4, 0.6)),
    }


def straightness(down: Array, right: Array, floor: float) -> float:
    """How much of the gradient lies in straight pieces that run in one direction or at right angles to it.

    Gradients are taken as complex numbers of four times their angle, so that the two sides of a corner, and
    the two directions of a street grid, add up: first within blocks of 8 x 8 pixels, then between them.
    Blocks of energy under ``floor`` do not count.
    """
    energy = right * right + down * down
    real, imaginary = right * right - down * down, 2.0 * right * down
    per_energy = np.float32(1.0) / (energy + np.float32(1e-12))
    fourfold_real = blocks_mean((real * real - imaginary * imaginary) * per_energy)
    fourfold_imaginary = blocks_mean(2.0 * real * imaginary * per_energy)
    blocks = blocks_mean(energy)
    weight = ramp(blocks, floor, 4.0 * floor)
    lines = weight * (fourfold_real + 1j * fourfold_imaginary)
    inside = float(np.abs(lines).sum())
    if inside <= 0.0:
        return 0.0
    coherence, agreement = inside / float((weight * blocks).sum()), float(np.abs(lines.sum())) / inside
    share = float(ramp(np.mean(blocks > floor), 0.03, 0.15))
    return float(ramp(coherence, 0.3, 0.7)) * float(ramp(agreement, 0.25, 0.7)) * share


def _mean(values: Array) -> float:
    return float(values.mean())
