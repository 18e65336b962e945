"""How true a result stays to its own input, and whether its tiles show. No truth is needed.

Arrays are (bands, height, width) in units of the stretch, [0, 1]; ``valid`` (height, width) bool of the
input. The first three measures are those of opensr-test (reflectance, spectral, spatial), here between the
input and the area means of the result.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..errors import BadInput
from ..resample import resize, resize_window
from ..tiling.grid import Size, Tile
from .fidelity import Image, Mask, sam
from .spectrum import windowed

_FINE = 100
"""Steps per pixel in which the peak of the phase correlation is searched."""


_UNSEEN = 1e-3
"""Steps of this size, a quarter of a level of 8 bits, are not told from none."""

Lines = Callable[[Sequence[int], int], Image]
"""The rows (axis 1) or columns (axis 2) of an image that stand at these places."""


class Shift(NamedTuple):
    """Displacement in input pixels; positive: the content of the result lies too far down, or right."""

    rows: float
    cols: float

    @property
    def length(self) -> float:
        return math.hypot(self.rows, self.cols)


@dataclass(frozen=True, kw_only=True)
class Consistency:
    """What an enlargement did to what was known. NaN where it cannot be said."""

    reflectance: float
    """Mean absolute difference between block means and input, in units of the stretch; 0 is best."""

    spectral: float
    """Mean angle between the spectra of block means and input, degrees; 0 is best."""

    spatial: float
    """Displacement by phase correlation, input pixels; 0 is best."""


def consistency(sr: Image, lr: Image, valid: Mask | None = None) -> Consistency:
    """All three measures of ``sr`` (bands, H, W) against its input ``lr`` (bands, h, w)."""
    means = block_means(sr, lr)
    return Consistency(
        reflectance=_reflectance(means, lr, valid),
        spectral=sam(means, lr, valid),
        spatial=phase_shift(means, lr, valid).length,
    )


def block_means(sr: Image, lr: Image) -> Image:
    """Area means of ``sr`` (bands, H, W) over the pixels of ``lr`` (bands, h, w)."""
    if sr.ndim != 3 or lr.ndim != 3 or len(sr) != len(lr):
        raise BadInput(f"result and input need the same bands, got shapes {sr.shape} and {lr.shape}")
    return resize(sr, Size(*lr.shape[1:]), "area")


def reflectance(sr: Image, lr: Image, valid: Mask | None = None) -> float:
    """Mean absolute difference between the block means of ``sr`` and ``lr``."""
    return _reflectance(block_means(sr, lr), lr, valid)


def spectral_angle(sr: Image, lr: Image, valid: Mask | None = None) -> float:
    """Mean angle between the spectra of the block means of ``sr`` and of ``lr``, degrees."""
    return sam(block_means(sr, lr), lr, valid)


def subpixel_shift(sr: Image, lr: Image, valid: Mask | None = None) -> Shift:
    """How far the content of ``sr`` is displaced against ``lr``, in input pixels."""
    return phase_shift(block_means(sr, lr), lr, valid)


def phase_shift(image: Image, reference: Image, valid: Mask | None = None) -> Shift:
    """Displacement of ``image`` against ``reference`` (bands, h, w), pixels, to 0.01, within half the image.

    Phase correlation (Kuglin and Hines 1975) of the band means, refined by a direct Fourier sum around the
    peak (Guizar-Sicairos et al. 2008). High frequencies, where there is little but noise, are faded out.
    NaN for images that are flat, or under 8 pixels.
    """
    if min(image.shape[1:]) < 8:
        return Shift(math.nan, math.nan)
    first, second = (np.fft.fft2(windowed(each, valid)) for each in (image, reference))
    cross = first * second.conj()
    strength = np.abs(cross)
    if strength.max() < 1e-12:
        return Shift(math.nan, math.nan)
    rows, cols = (np.fft.fftfreq(length) for length in image.shape[1:])
    fade = np.exp(-0.5 * ((rows[:, None] ** 2 + cols**2) / 0.15**2))
    phase = np.where(strength > 1e-9 * strength.max(), cross / np.maximum(strength, 1e-300), 0) * fade
    peak = np.unravel_index(np.argmax(np.fft.ifft2(phase).real), phase.shape)
    whole = [int(at) - length if at > length // 2 else int(at) for at, length in zip(peak, phase.shape, strict=True)]
    steps = np.arange(-_FINE, _FINE + 1) / _FINE
    down = np.exp(2j * np.pi * np.outer(whole[0] + steps, rows))
    right = np.exp(2j * np.pi * np.outer(cols, whole[1] + steps))
    row, col = np.unravel_index(np.argmax((down @ phase @ right).real), (len(steps), len(steps)))
    return Shift(float(whole[0] + steps[row]), float(whole[1] + steps[col]))


def seam_ratio(
    image: Image,
    rows: Iterable[int],
    cols: Iterable[int],
    *,
    period: int = 1,
    reference: Image | None = None,
    valid: Mask | None = None,
) -> float:
    """How much larger steps are across the borders of tiles than across parallel lines near by; 1 is no seam.

    ``image`` (bands, H, W), [0, 1]; a border at row ``r`` lies between rows ``r - 1`` and ``r``. Every step
    b across a border meets the steps a across the lines one and two ``period``s before and behind it: with
    m the mean of b / (a + b), the ratio is m / (1 - m). Each pixel weighs the same, so that a few strong
    edges of the content do not decide, and faint seams on flat ground count; steps well below a level of 8
    bits do not.

    ``period`` is the factor of enlargement: lines then have the same place within an input pixel, and a
    pattern that repeats with the input's pixels is not taken for a seam. ``reference``, the input, enlarged or
    to be enlarged where it is looked at, takes out what the content itself does at the borders: photographs of
    half a megapixel then lie within 0.02 of 1, and steps of 0.01 between their tiles give 1.05 to 1.3.
    ``valid`` (H, W). NaN without a border that has neighbours.
    """
    positions = (sorted(set(rows)), sorted(set(cols)))
    size = Size(*image.shape[1:])
    ratio = _odds(_lines_of(image, size), size, positions, period, valid)
    return ratio if reference is None else ratio / _odds(_lines_of(reference, size), size, positions, period, valid)


def borders(tiles: Iterable[Tile], canvas: Size) -> tuple[list[int], list[int]]:
    """Rows and columns, inside the canvas, where a tile begins or ends: what `seam_ratio` asks for."""
    tiles = tuple(tiles)
    rows = {at for tile in tiles for at in (tile.row, tile.bottom) if 0 < at < canvas.height}
    cols = {at for tile in tiles for at in (tile.col, tile.right) if 0 < at < canvas.width}
    return sorted(rows), sorted(cols)


def _reflectance(means: Image, lr: Image, valid: Mask | None) -> float:
    error = np.abs(means - lr.astype(means.dtype))
    chosen = error if valid is None else error[:, valid]
    return float(chosen.mean(dtype=np.float64)) if chosen.size else math.nan


def _lines_of(image: Image, size: Size) -> Lines:
    """Of an image, or of what it is when enlarged to ``size``."""
    small = Size(*image.shape[1:])
    if small == size:
        return partial(np.take, image)

    def enlarged(places: Sequence[int], axis: int) -> Image:
        first, count = min(places), max(places) - min(places) + 1
        part = Tile(first, 0, count, size.width) if axis == 1 else Tile(0, first, size.height, count)
        return np.take(resize_window(image, (0, 0), small, size, part), [place - first for place in places], axis)

    return enlarged


def _odds(
    lines_of: Lines, size: Size, positions: tuple[Sequence[int], Sequence[int]], period: int, valid: Mask | None
) -> float:
    total, count = 0.0, 0
    for axis, places in zip((1, 2), positions, strict=True):
        taken = set(places)
        for place in places:
            near = [(place - k * period, place + k * period) for k in (1, 2)]
            # Only whole pairs: one side alone would measure where the content gets busier, not the seam.
            lines = [
                line
                for pair in near
                if not taken.intersection(pair) and pair[0] > 0 and pair[1] < size[axis - 1]
                for line in pair
            ]
            if lines:
                border, *others = _steps(lines_of, [place, *lines], axis, valid)
                shares = [border / (border + other) for other in others]
                total += float(np.sum(shares))
                count += border.size * len(shares)
    return total / (count - total) if count else math.nan


def _steps(lines_of: Lines, lines: Sequence[int], axis: int, valid: Mask | None) -> list[NDArray[np.float64]]:
    """|Step| across each line, (bands, pixels), where every line has both its sides valid; never 0."""
    sides = np.split(lines_of([*(line - 1 for line in lines), *lines], axis), 2, axis)
    steps = np.moveaxis(np.abs(np.subtract(sides[1], sides[0], dtype=np.float64)), axis, 0) + _UNSEEN
    if valid is not None:
        usable = np.take(valid, [at for line in lines for at in (line - 1, line)], axis - 1).all(axis - 1)
        steps = steps[..., usable]
    return list(steps)
