"""How blurred, noisy and compressed a tile is, measured without a reference.

All functions take arrays cut to one tile, so that a level depends on the pixels of that tile only.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float32]

JPEG_BLOCK = 8
"""Side of the blocks that JPEG, MPEG and most codecs of satellites quantise one by one."""

FLAT_QUANTILE = 0.15
"""Noise is read from the flattest blocks: this quantile of what all blocks say."""


def ramp(value: npt.ArrayLike, low: float, high: float) -> Array:
    """0 up to ``low``, 1 from ``high`` on, linear between."""
    scaled = np.asarray(np.asarray(value, np.float32) - np.float32(low), np.float32)
    scaled *= np.float32(1.0 / (high - low))
    np.maximum(scaled, np.float32(0.0), out=scaled)
    return np.minimum(scaled, np.float32(1.0), out=scaled)


def blocks_mean(values: Array, side: int = JPEG_BLOCK) -> Array:
    """Means of the ``side`` x ``side`` blocks of (height, width) values; one mean where fewer fit."""
    height, width = values.shape
    tall, wide = min(side, height), min(side, width)
    rows, cols = height // tall, width // wide
    cut = values[: rows * tall, : cols * wide].reshape(rows, tall, cols, wide)
    return np.asarray(cut.mean(axis=1).mean(axis=-1), dtype=np.float32)


def noise_map(luma: Array) -> Array:
    """|Laplacian difference| scaled so that its mean is the standard deviation of white noise.

    Immerkaer 1996 ("Fast noise variance estimation"): the mask [[1,-2,1],[-2,4,-2],[1,-2,1]] answers neither
    to constants nor to ramps nor to horizontal or vertical edges. Result is (height - 2, width - 2).
    """
    columns = luma[:, :-2] - 2.0 * luma[:, 1:-1] + luma[:, 2:]
    both = columns[:-2] - 2.0 * columns[1:-1] + columns[2:]
    return np.asarray(np.abs(both) * np.float32(np.sqrt(np.pi / 2.0) / 6.0), dtype=np.float32)


def _flat(blocks: Array) -> float:
    return float(np.sort(blocks, axis=None)[int(FLAT_QUANTILE * (blocks.size - 1))])


def _steady(blocks: Array, doubt: float) -> float:
    """What the flattest blocks say, less ``doubt`` times what usual blocks say above it: that is texture."""
    flat = _flat(blocks)
    return flat - doubt * (float(np.median(blocks)) - flat)


def _mean_square_difference(luma: Array, distance: int) -> float:
    height, width = luma.shape
    sums, count = 0.0, 0
    if height > distance:
        down = luma[distance:] - luma[:-distance]
        sums, count = sums + float(np.square(down).sum()), count + down.size
    if width > distance:
        right = luma[:, distance:] - luma[:, :-distance]
        sums, count = sums + float(np.square(right).sum()), count + right.size
    return sums / count if count else 0.0


def blockiness(luma: Array) -> float:
    """How much larger steps are between 8 x 8 blocks than within them, at the best of the 8 phases."""
    return max(0.0, (_phase_excess(luma) + _phase_excess(luma.T)) / 2.0)


def _phase_excess(luma: Array) -> float:
    width = luma.shape[1]
    if width < 3 * JPEG_BLOCK or luma.shape[0] < JPEG_BLOCK:
        return 0.0
    # Strong edges of the scene are cut off: a few of them would outweigh every block border.
    steps = np.minimum(np.abs(luma[:, 1:] - luma[:, :-1]), 0.08)
    jump = (steps[:, 1:-1] - 0.5 * (steps[:, :-2] + steps[:, 2:])).mean(axis=0)
    whole = jump.size // JPEG_BLOCK * JPEG_BLOCK
    phases = np.sort(jump[:whole].reshape(-1, JPEG_BLOCK).mean(axis=0))
    spread = float(steps.mean()) + 0.002
    return float(phases[-1] - phases[1:-1].mean()) / spread


def harm_levels(image: Array, luma: Array) -> tuple[float, float, float]:
    """Levels of blur, noise and compression of a (3, height, width) tile with this luma."""
    grain = blocks_mean(noise_map(luma)) if min(luma.shape) > 2 else np.zeros((1, 1), np.float32)
    return blur_level(luma, grain), noise_level(image, grain), compression_level(luma)


def noise_level(image: Array, grain: Array) -> float:
    """Level 0..1 of the noise: 0.4 at a deviation of 0.025, 1 from 0.1 on; ``grain`` is that of the luma.

    Texture is mostly achromatic and noise is not, so the differences of channels tell them apart; noise that
    is equal in all channels counts only above what texture reaches, and as far as it is the same everywhere.
    """
    if min(image.shape[1:]) < 3:
        return 0.0
    red_green = _steady(blocks_mean(noise_map(image[0] - image[1])), 0.5)
    blue_green = _steady(blocks_mean(noise_map(image[2] - image[1])), 0.5)
    coloured = (red_green + blue_green) / 2.0 / 2.0**0.5
    common = _steady(grain, 1.0) / 0.67
    deviation = max(coloured - 0.004, common - 0.03)
    return float(ramp(deviation, 0.0, 0.1) ** np.float32(0.6))


def blur_level(luma: Array, grain: Array) -> float:
    """Level 0..1 of the blur: 0.3 after a Gaussian of 0.8 pixels, 0.95 after one of 2.

    Squared differences over two pixels, divided by those over one: 1 for white noise, 2 for ideal steps, 4
    for ramps; the noise of the flattest blocks is taken out. 0 where nothing in the tile could show a blur.
    """
    if max(luma.shape) < 5:
        return 0.0
    near, far, farther = (_mean_square_difference(luma, distance) for distance in (1, 2, 4))
    noise = 2.0 * _flat(grain) ** 2
    ratio = (far - noise) / (near - noise) if near > noise < far else 1.0
    coarse = farther / max(far, 1e-9)
    level = 0.6 * ramp(ratio, 2.75, 3.9) + 0.4 * ramp(coarse, 2.2, 3.6)
    return float(level * ramp(max(near - noise, 0.0) ** 0.5, 0.0004, 0.002))


def compression_level(luma: Array) -> float:
    """Level 0..1 of 8 x 8 block compression: 0.4 at JPEG quality 60, 0.7 at 20, 1 at 10.

    Tiles below 24 pixels cannot show it.
    """
    by_chance = 7.0 / float(luma.size) ** 0.5
    return float(np.sqrt(ramp(blockiness(luma) - by_chance, 0.0, 1.5)))
