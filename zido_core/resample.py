"""Exactly area-aligned separable resampling of arrays (bands, height, width).

Target pixel ``j`` of ``m`` covers the source interval ``[j*n/m, (j+1)*n/m)`` of ``n``: the extent is kept,
nothing is shifted, any factor works. Positions are computed with integers, so a window of a huge raster has
bit for bit the values that the whole raster would have. The sum over taps is taken as
``x + sum w_k (x_k - x)``, hence a constant stays exactly that constant whatever its value.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from math import gcd
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from .errors import BadInput
from .tiling.grid import Size, Tile

Array = npt.NDArray[Any]
Kernel = Literal["bicubic", "lanczos", "area", "nearest"]

_CHUNK = 1 << 16
"""Elements that one arithmetic step touches: small enough to stay in the second-level cache."""

_PHASES = 16
"""Patterns of taps are made use of where they repeat after so many target pixels: x4, x1.5, x2.5, but not x1.37."""

_BAND = 1 << 20
"""Elements of the intermediate image (resampled along one axis only) that are held at a time."""


class _Axis(NamedTuple):
    """Where one axis comes from: ``source`` pixels become ``target`` pixels, by ``kernel``."""

    source: int
    target: int
    kernel: Kernel

    @property
    def period(self) -> int:
        return self.target // gcd(self.source, self.target)

    @property
    def step(self) -> int:
        return self.source // gcd(self.source, self.target)


class _Pattern(NamedTuple):
    """``turns`` times ``period`` target pixels, whose taps are those of the turn before, ``step`` farther on."""

    start: int
    turns: int
    period: int
    step: int

    def outside(self, count: int) -> tuple[slice, slice]:
        """The other ones of so many target pixels."""
        return slice(0, self.start), slice(self.start + self.turns * self.period, count)


class _Run(NamedTuple):
    """Target pixels with the same weights, and their taps, all at even distances."""

    target: slice
    base: slice
    others: tuple[slice, ...]
    weights: npt.NDArray[np.float64]


_NO_PATTERN = _Pattern(start=0, turns=0, period=0, step=1)


@dataclass(frozen=True, kw_only=True)
class _Taps:
    base: npt.NDArray[np.int64]
    """(n,) source index of the tap whose weight is one minus all others."""
    index: npt.NDArray[np.int64]
    """(taps, n) source indexes of the other taps, clamped to the axis."""
    weight: npt.NDArray[np.float64]
    """(taps, n) their weights."""
    pattern: _Pattern
    """Where the taps repeat themselves."""

    @classmethod
    def of(
        cls,
        base: npt.NDArray[np.int64],
        index: npt.NDArray[np.int64],
        weight: npt.NDArray[np.float64],
        *,
        period: int,
        step: int,
    ) -> _Taps:
        """``period`` target pixels are as wide as ``step`` source pixels, both whole numbers."""
        pattern = _pattern_of(base, index, weight, period, step)
        return cls(base=base, index=index, weight=weight, pattern=pattern)

    def moved(self, origin: int) -> _Taps:
        return replace(self, base=self.base - origin, index=self.index - origin)

    def part(self, start: int, stop: int) -> _Taps:
        if (start, stop) == (0, len(self.base)):
            return self
        part, pattern = slice(start, stop), self.pattern
        base, index, weight = self.base[part], self.index[:, part], self.weight[:, part]
        return _Taps.of(base, index, weight, period=pattern.period, step=pattern.step)

    def run(self, phase: int, start: int, stop: int) -> _Run:
        """One pixel of the pattern's period, in its turns ``start`` to ``stop``."""
        first, step, period = self.pattern.start + phase, self.pattern.step, self.pattern.period

        def along(index: np.int64) -> slice:
            return slice(int(index) + start * step, int(index) + (stop - 1) * step + 1, step)

        return _Run(
            target=slice(first + start * period, first + (stop - 1) * period + 1, period),
            base=along(self.base[first]),
            others=tuple(along(index) for index in self.index[:, first]),
            weights=self.weight[:, first],
        )

    @property
    def span(self) -> tuple[int, int]:
        """First source index that is read, and one past the last."""
        low, high = int(self.base.min()), int(self.base.max())
        if self.index.size:
            low, high = min(low, int(self.index.min())), max(high, int(self.index.max()))
        return low, high + 1


def resize(image: Array, size: Size, kernel: Kernel = "bicubic") -> Array:
    """Image (bands, h, w) resampled to (bands, *size), same extent.

    ``bicubic`` is Keys' kernel with a = -0.5 and ``lanczos`` has three lobes. Both interpolate when
    enlarging and are widened by the factor when reducing (no aliasing); border pixels are repeated.
    ``area`` is the exact mean over the overlap. ``nearest`` keeps the dtype, whatever it is; the others
    give float32, or float64 if the image is float64 or has integers of 32 bits and more. Values are not
    clipped.
    """
    height, width = image.shape[-2:]
    whole = Tile(0, 0, *size)
    return resize_window(image, (0, 0), Size(height, width), size, whole, kernel)


def source_window(target: Tile, source_size: Size, target_size: Size, kernel: Kernel = "bicubic") -> Tile:
    """The source pixels that ``resize_window`` reads to make ``target`` (in pixels of ``target_size``)."""
    rows, cols = _axes(target, source_size, target_size, kernel)
    (top, bottom), (left, right) = rows.span, cols.span
    return Tile(top, left, bottom - top, right - left)


def resize_window(
    crop: Array,
    origin: tuple[int, int],
    source_size: Size,
    target_size: Size,
    target: Tile,
    kernel: Kernel = "bicubic",
) -> Array:
    """The part ``target`` of ``resize(whole, target_size)``, from a crop of the whole, bit for bit.

    ``crop`` (bands, h, w) begins at ``origin`` (row, col) of a source of ``source_size`` and holds at least
    ``source_window(target, ...)``.
    """
    rows, cols = _axes(target, source_size, target_size, kernel)
    rows, cols = rows.moved(origin[0]), cols.moved(origin[1])
    for taps, have, what in ((rows, crop.shape[1], "rows"), (cols, crop.shape[2], "columns")):
        low, high = taps.span
        if low < 0 or high > have:
            raise BadInput(
                f"the crop has {what} 0 to {have} and this window needs {low} to {high}: read source_window()"
            )
    if kernel == "nearest":
        return np.take(np.take(crop, cols.base, axis=2), rows.base, axis=1)
    dtype = np.result_type(crop.dtype, np.float32)
    out = np.empty((crop.shape[0], target.height, target.width), dtype)
    # The cheaper axis goes first. It is chosen by the whole sizes, never by the window, to keep the bits.
    columns_first = target_size.height >= source_size.height
    step = max(16, _BAND // max(1, crop.shape[0] * (target.width if columns_first else crop.shape[2])))
    for start, stop in _ranges(target.height, step):
        band = rows.part(start, stop)
        top, bottom = band.span
        source, band = crop[:, top:bottom].astype(dtype, copy=False), band.moved(top)
        if columns_first:
            _combine_rows(_combine_columns(source, cols), band, out[:, start:stop])
        else:
            between = np.empty((crop.shape[0], stop - start, crop.shape[2]), dtype)
            _combine_rows(source, band, between)
            out[:, start:stop] = _combine_columns(between, cols)
    return out


def _combine_rows(image: Array, taps: _Taps, out: Array) -> None:
    """Weighted sums of rows of ``image`` (bands, h, w) into ``out`` (bands, rows, w)."""
    pattern = taps.pattern
    for part in pattern.outside(len(taps.base)):
        _rows_one_by_one(image, taps.part(part.start, part.stop), out[:, part])
    for start, stop in _ranges(pattern.turns, max(1, _CHUNK // max(1, image.shape[0] * image.shape[2]))):
        for phase in range(pattern.period):
            run = taps.run(phase, start, stop)
            weights = run.weights.astype(image.dtype).tolist()
            _sum(image[:, run.base], (image[:, other] for other in run.others), weights, out[:, run.target])


def _rows_one_by_one(image: Array, taps: _Taps, out: Array) -> None:
    weights = taps.weight.astype(image.dtype).T.tolist()
    for row, (base, index, weight) in enumerate(zip(taps.base, taps.index.T, weights, strict=True)):
        _sum(image[:, base], (image[:, tap] for tap in index), weight, out[:, row])


def _sum(reference: Array, others: Iterable[Array], weights: Sequence[Any], total: Array) -> None:
    """``reference + sum w_k (x_k - reference)``, into ``total``."""
    term, sum_so_far = np.empty(reference.shape, reference.dtype), reference
    for other, weight in zip(others, weights, strict=True):
        # Separate operations on purpose: a fused multiply-add would round by position in the vector.
        np.subtract(other, reference, out=term)
        np.multiply(term, weight, out=term)
        sum_so_far = np.add(sum_so_far, term, out=total)
    if sum_so_far is reference:
        total[...] = reference


def _combine_columns(image: Array, taps: _Taps) -> Array:
    """Weighted sums of columns of ``image`` (bands, h, w): (bands, h, columns)."""
    bands, height, _ = image.shape
    out = np.empty((bands, height, len(taps.base)), image.dtype)
    pattern = taps.pattern
    runs = [taps.run(phase, 0, pattern.turns) for phase in range(pattern.period)]
    for start, stop in _ranges(height, max(1, _CHUNK // max(1, bands * len(taps.base)))):
        source, target = np.ascontiguousarray(image[:, start:stop]), out[:, start:stop]
        for part in pattern.outside(len(taps.base)):
            _columns_gathered(source, taps.part(part.start, part.stop), target[:, :, part])
        for run in runs:
            reference = source[:, :, run.base]
            total = np.empty(reference.shape, image.dtype)
            weights = run.weights.astype(image.dtype).tolist()
            _sum(reference, (source[:, :, other] for other in run.others), weights, total)
            target[:, :, run.target] = total
    return out


def _columns_gathered(source: Array, taps: _Taps, out: Array) -> None:
    reference = np.take(source, taps.base, axis=2)
    total, term = reference.copy(), np.empty_like(reference)
    for index, weight in zip(taps.index, taps.weight.astype(source.dtype), strict=True):
        np.take(source, index, axis=2, out=term, mode="clip")
        term -= reference
        term *= weight
        total += term
    out[...] = total


def _pattern_of(
    base: npt.NDArray[np.int64], index: npt.NDArray[np.int64], weight: npt.NDArray[np.float64], period: int, step: int
) -> _Pattern:
    """All but a few pixels, whose taps the border of the source holds up."""
    count = len(base)
    if not 0 < period <= min(_PHASES, count // 4):
        return _NO_PATTERN
    ahead, behind = slice(period, None), slice(None, -period)
    alike = (index[:, ahead] - index[:, behind] == step).all(0)
    alike &= (weight[:, ahead] == weight[:, behind]).all(0)
    alike &= base[ahead] - base[behind] == step
    breaks = np.flatnonzero(~alike)
    head, tail = breaks[breaks < count // 2], breaks[breaks >= count // 2]
    start = int(head[-1]) + 1 if head.size else 0
    stop = int(tail[0]) + period if tail.size else count
    turns = (stop - start) // period
    return _Pattern(start, turns, period, step) if turns > 1 else _NO_PATTERN


def _ranges(count: int, step: int) -> Iterator[tuple[int, int]]:
    for start in range(0, count, step):
        yield start, min(start + step, count)


def _axes(target: Tile, source_size: Size, target_size: Size, kernel: Kernel) -> tuple[_Taps, _Taps]:
    rows = _taps(_Axis(source_size.height, target_size.height, kernel), target.row, target.height)
    cols = _taps(_Axis(source_size.width, target_size.width, kernel), target.col, target.width)
    return rows, cols


@lru_cache(maxsize=64)
def _taps(axis: _Axis, start: int, count: int) -> _Taps:
    """Taps of the target pixels ``start`` to ``start + count`` of an axis."""
    if axis.source < 1 or count < 1 or start < 0 or start + count > axis.target:
        raise BadInput(
            f"cannot resample {axis.source} pixels to pixels {start} to {start + count} of {axis.target}: "
            "at least one pixel inside the target is needed"
        )
    position = np.arange(start, start + count, dtype=np.int64)
    if axis.kernel == "nearest" or axis.source == axis.target:
        base = (2 * position + 1) * axis.source // (2 * axis.target)
        empty = np.empty((0, count))
        return _Taps.of(base, empty.astype(np.int64), empty, period=axis.period, step=axis.step)
    if axis.kernel == "area":
        return _area_taps(axis, position)
    return _kernel_taps(axis, position)


def _area_taps(axis: _Axis, position: npt.NDArray[np.int64]) -> _Taps:
    """Overlaps in units of 1/(n*m) of the axis, where they are whole numbers."""
    n, m = axis.source, axis.target
    begin, end = position * n, (position + 1) * n
    first, last = begin // m, (end - 1) // m
    width = n // m if n % m == 0 else -(-n // m) + 1
    index = np.minimum(first + np.arange(1, width)[:, None], last)
    reach = first + np.arange(1, width)[:, None]
    overlap = np.minimum(end, (reach + 1) * m) - np.maximum(begin, reach * m)
    weight = np.maximum(overlap, 0) / n
    return _Taps.of(first, index, weight, period=axis.period, step=axis.step)


def _kernel_taps(axis: _Axis, position: npt.NDArray[np.int64]) -> _Taps:
    n, m = axis.source, axis.target
    widen = max(1.0, n / m)
    reach = int(np.ceil((2 if axis.kernel == "bicubic" else 3) * widen))
    doubled = (2 * position + 1) * n - m  # the target pixel's centre, in units of 1/2m source pixels
    centre, rest = doubled // (2 * m), doubled % (2 * m)
    offset = np.arange(1 - reach, reach + 1)[:, None]
    distance = (offset - rest / (2 * m)) / widen
    weight = _bicubic(distance) if axis.kernel == "bicubic" else _lanczos(distance)
    # A running sum adds in one order; a plain sum may pair up the terms depending on the number of pixels.
    weight /= np.cumsum(weight, axis=0)[-1]
    others = np.delete(np.arange(2 * reach), reach - 1)
    index = np.clip(centre + offset[others], 0, n - 1)
    base = np.clip(centre, 0, n - 1)
    return _Taps.of(base, index, weight[others], period=axis.period, step=axis.step)


def _bicubic(x: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Keys 1981 with a = -0.5."""
    x = np.abs(x)
    inner = (1.5 * x - 2.5) * x * x + 1.0
    outer = ((-0.5 * x + 2.5) * x - 4.0) * x + 2.0
    return np.where(x < 1.0, inner, np.where(x < 2.0, outer, 0.0))


def _lanczos(x: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    return np.where(np.abs(x) < 3.0, np.sinc(x) * np.sinc(x / 3.0), 0.0)
