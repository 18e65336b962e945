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
    return np.clip((np.asarray(value, np.float32) - np.float32(low)) / np.float32(high - low), 0.0, 1.0)


def blocks_mean(values: Array, side: int = JPEG_BLOCK) -> Array:
    """Means of the ``side`` x ``side`` blocks of (height, width) values; one mean where fewer fit."""
    height, width = values.shape
    tall, wide = min(side, height), min(side, width)
    rows, cols = height // tall, width // wide
    cut = values[: rows * tall, : cols * wide].reshape(rows, tall, cols, wide)
    return np.asarray(cut.mean(axis=(1, 3), dtype=np.float64), dtype=np.float32)


def noise_map(luma: Array) -> Array:
    """|Laplacian difference| scaled so that its mean is the standard deviation of white noise.

    Immerkaer 1996 ("Fast noise variance estimation"): the mask [[1,-2,1],[-2,4,-2],[1,-2,1]] answers neither to
    constants nor to ramps nor to straight horizontal or vertical edges. Result is (height - 2, width - 2).
    """
    columns = luma[:, :-2] - 2.0 * luma[:, 1:-1] + luma[:, 2:]
    both = columns[:-2] - 2.0 * columns[1:-1] + columns[2:]
    return np.asarray(np.abs(both) * np.float32(np.sqrt(np.pi / 2.0) / 6.0), dtype=np.float32)


def noise_deviation(noise: Array) -> float:
    """Standard deviation of the noise, from the flattest blocks of a :func:`noise_map` of the tile."""
    means = np.sort(blocks_mean(noise), axis=None)
    return float(means[int(FLAT_QUANTILE * (means.size - 1))])


def blur_ratio(luma: Array, deviation: float) -> tuple[float, float]:
    """How gradients grow with distance, and the variance of the one-pixel differences without noise.

    The mean squared difference over two pixels, divided by that over one: 1 for white noise, 2 for ideal steps,
    4 for ramps; the white noise of ``deviation`` is taken out of both.
    """
    noise = 2.0 * deviation * deviation
    near = _mean_square_difference(luma, 1) - noise
    far = _mean_square_difference(luma, 2) - noise
    return (far / near if near > 0.0 < far else 1.0), max(near, 0.0)


def _mean_square_difference(luma: Array, distance: int) -> float:
    height, width = luma.shape
    sums, count = 0.0, 0
    if height > distance:
        down = luma[distance:] - luma[:-distance]
        sums, count = sums + float(np.square(down).sum(dtype=np.float64)), count + down.size
    if width > distance:
        right = luma[:, distance:] - luma[:, :-distance]
        sums, count = sums + float(np.square(right).sum(dtype=np.float64)), count + right.size
    return sums / count if count else 0.0


def blockiness(luma: Array) -> float:
    """How much larger steps are between 8 x 8 blocks than within, at the best of the 8 phases (0 = not at all)."""
    return max(0.0, (_phase_excess(luma) + _phase_excess(luma.T)) / 2.0)


def _phase_excess(luma: Array) -> float:
    width = luma.shape[1]
    if width < 3 * JPEG_BLOCK or luma.shape[0] < JPEG_BLOCK:
        return 0.0
    # Strong edges of the scene are cut off: a few of them would outweigh every block border.
    steps = np.minimum(np.abs(luma[:, 1:] - luma[:, :-1]), 0.08)
    jump = (steps[:, 1:-1] - 0.5 * (steps[:, :-2] + steps[:, 2:])).mean(axis=0, dtype=np.float64)
    whole = jump.size // JPEG_BLOCK * JPEG_BLOCK
    phases = np.sort(jump[:whole].reshape(-1, JPEG_BLOCK).mean(axis=0))
    spread = float(steps.mean(dtype=np.float64)) + 0.002
    return float(phases[-1] - phases[1:-1].mean()) / spread


def noise_level(image: Array, luma: Array) -> float:
    """Level 0..1 of the noise of a (3, height, width) tile: 0.4 at a deviation of 0.025, 1 from 0.1 on.

    Texture is mostly achromatic and noise is not, so the differences of channels tell them apart; noise that is
    equal in all channels counts only above what texture reaches.
    """
    if min(luma.shape) < 3:
        return 0.0
    red_green = noise_deviation(noise_map(image[0] - image[1]))
    blue_green = noise_deviation(noise_map(image[2] - image[1]))
    coloured = (red_green + blue_green) / 2.0 / 2.0**0.5
    deviation = max(coloured - 0.004, noise_deviation(noise_map(luma)) / 0.67 - 0.02)
    return float(ramp(deviation, 0.0, 0.1)) ** 0.6


def blur_level(luma: Array) -> float:
    """Level 0..1 of the blur: 0.3 after a Gaussian of 0.8 pixels, 0.9 after one of 2; 0 where nothing shows it."""
    if max(luma.shape) < 5:
        return 0.0
    deviation = noise_deviation(noise_map(luma)) if min(luma.shape) > 2 else 0.0
    ratio, near = blur_ratio(luma, deviation)
    coarse = _mean_square_difference(luma, 4) / max(_mean_square_difference(luma, 2), 1e-9)
    level = 0.6 * ramp(ratio, 2.75, 3.9) + 0.4 * ramp(coarse, 2.2, 3.6)
    return float(level * ramp(near**0.5, 0.0015, 0.005))


def compression_level(luma: Array) -> float:
    """Level 0..1 of 8 x 8 block compression: 0.4 at JPEG quality 60, 0.75 at 20, 1 at 10; 0 below 24 pixels."""
    by_chance = 7.0 / float(luma.size) ** 0.5
    return float(ramp(blockiness(luma) - by_chance, 0.0, 1.5)) ** 0.5
