"""Which numbers of a raster the model sees as black and white.

The stretch is fitted once for a dataset, jointly over the bands of the model (hue is kept), and the same
for every tile, block, worker and resumed run. It is linear, and nothing is lost outside it: see
`radiometry.to_values`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ..errors import ConfigurationError, InvalidOptions

ROBUST = (0.1, 99.9)
"""Percentiles of the automatic stretch."""

SENTINEL2 = (0.0, 3000.0)
"""Surface reflectance 0 to 0.3 of Sentinel-2, in the product's numbers (10 000 is 1.0, no offset)."""


@dataclass(frozen=True, kw_only=True)
class Stretch:
    """A linear map between the numbers of a raster and the model's [0, 1]."""

    lo: float
    """Number that the model sees as 0."""

    hi: float
    """Number that the model sees as 1; larger than `lo`."""

    mode: str
    """How it was found: dtype, minmax, percentile:a,b, range, s2 or constant."""

    whole: bool = False
    """True if no number of the dataset's type lies outside, hence nothing is ever clipped."""

    @property
    def span(self) -> float:
        """Numbers per unit."""
        return self.hi - self.lo

    def to_unit(self, array: NDArray[Any]) -> NDArray[np.float32]:
        """Any array of numbers, as float32 within [0, 1]."""
        wide = np.result_type(array.dtype, np.float32)
        image = array.astype(wide) - wide.type(self.lo)
        image *= wide.type(1.0 / self.span)
        np.clip(image, 0.0, 1.0, out=image)
        return np.asarray(image, np.float32)

    def from_unit(self, image: NDArray[Any]) -> NDArray[Any]:
        """The inverse for an image of any range; not clipped, dtype of the image."""
        return np.asarray(image * image.dtype.type(self.span) + image.dtype.type(self.lo))

    def to_dict(self) -> dict[str, Any]:
        """For the manifest and the tags; `from_dict` gives the same stretch, bit for bit."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Stretch:
        try:
            stretch = cls(
                lo=float(values["lo"]),
                hi=float(values["hi"]),
                mode=str(values["mode"]),
                whole=bool(values["whole"]),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise ConfigurationError(
                f"a stretch has lo, hi, mode, whole; got {dict(values)!r}: delete the manifest and restart"
            ) from error
        if not stretch.lo < stretch.hi:
            raise ConfigurationError(f"a stretch needs lo < hi, got {stretch.lo:g} and {stretch.hi:g}")
        return stretch


def fit_stretch(
    sample: NDArray[Any],
    valid: NDArray[np.bool_],
    dtype: np.dtype[Any] | str,
    spec: str = "auto",
    *,
    kind: Literal["raster", "photo"] = "raster",
) -> Stretch:
    """The stretch of a dataset, from a sample of the model's bands.

    ``sample`` is (bands, h, w), for instance a thumbnail of at most 2048 x 2048; ``valid`` is (h, w) or
    (bands, h, w); ``dtype`` is the dataset's. ``spec``: ``auto`` (8 bit: untouched; 16-bit photographs: the
    type's range; floating-point photographs within 0..1: untouched; all else: percentiles 0.1 and 99.9),
    ``none`` or ``dtype`` (the type's range, 0..1 for floating point), ``minmax``, ``percentile:2,98``,
    ``range:0,3000``, ``s2``.
    """
    dtype = np.dtype(dtype)
    name, _, rest = spec.partition(":")
    if name == "range" or name == "percentile":
        low, high = _two_numbers(spec, rest)
    if name == "range":
        return Stretch(lo=low, hi=high, mode="range")
    if name == "s2":
        return Stretch(lo=SENTINEL2[0], hi=SENTINEL2[1], mode="s2")
    values = _values(sample, valid)
    if name in ("none", "dtype") or (name == "auto" and _untouched(values, dtype, kind)):
        return _whole_type(dtype)
    if name == "minmax":
        return _between(values, (0.0, 100.0), dtype)
    if name == "auto":
        return _between(values, ROBUST, dtype)
    if name == "percentile":
        if not 0 <= low < high <= 100:
            raise InvalidOptions(f"percentiles lie between 0 and 100, got {spec!r}: try percentile:2,98")
        return _between(values, (low, high), dtype)
    raise InvalidOptions(
        f"unknown stretch {spec!r}: use auto, none, dtype, minmax, s2, percentile:LO,HI or range:LO,HI"
    )


def _two_numbers(spec: str, text: str) -> tuple[float, float]:
    try:
        low, high = (float(part) for part in text.split(","))
    except ValueError:
        low = high = math.nan
    if not (low < high and math.isfinite(low) and math.isfinite(high)):
        raise InvalidOptions(f"needed are two numbers, the smaller first, got {spec!r}: try range:0,3000")
    return low, high


def _values(sample: NDArray[Any], valid: NDArray[np.bool_]) -> NDArray[Any]:
    values = sample[np.broadcast_to(valid, sample.shape)]
    return values[np.isfinite(values)] if values.dtype.kind == "f" else values


def _untouched(values: NDArray[Any], dtype: np.dtype[Any], kind: str) -> bool:
    if dtype == np.uint8 or dtype == np.bool_:
        return True
    if kind == "photo" and dtype.kind == "f":
        return not values.size or bool(values.min() >= 0 and values.max() <= 1)
    return kind == "photo" and dtype == np.uint16


def _whole_type(dtype: np.dtype[Any]) -> Stretch:
    if dtype.kind not in "iu":
        return Stretch(lo=0.0, hi=1.0, mode="dtype")
    limits = np.iinfo(dtype)
    return Stretch(lo=float(limits.min), hi=float(limits.max), mode="dtype", whole=True)


def _between(values: NDArray[Any], percents: tuple[float, float], dtype: np.dtype[Any]) -> Stretch:
    """From percentile to percentile; from the least to the largest value where these are equal."""
    if not values.size:
        return _whole_type(dtype)
    numbers = np.finfo(np.result_type(dtype, np.float32))
    largest = float(numbers.max) / 4  # their difference is a number, too
    for pair in (percents, (0.0, 100.0)):
        lo, hi = (float(value) for value in np.percentile(values, pair))
        lo, hi = max(lo, -largest), min(hi, largest)
        if hi - lo >= float(numbers.tiny) and numbers.dtype.type(lo) < numbers.dtype.type(hi):
            mode = "minmax" if pair == (0.0, 100.0) else f"percentile:{pair[0]:g},{pair[1]:g}"
            return Stretch(lo=lo, hi=hi, mode=mode)
    # One value everywhere: any width will do, but it must be seen at that value's precision.
    return Stretch(lo=lo, hi=lo + max(1.0, abs(lo) / 2**16), mode="constant")
