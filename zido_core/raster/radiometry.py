"""From the numbers of a raster to the image that the model sees, and back without losing any.

::

    filled = fill_invalid(numbers, valid)                 band_plan.py chose the bands, stretch.py the range
    unit = stretch.to_unit(filled)                        -> model -> sr, within [0, 1] or nearly
    values = to_values(sr, filled, stretch, placement)    residual form: numbers outside the stretch survive
    back_project(values, filled, valid, placement)        means over input pixels are the input's
    array = to_dtype(values, dtype, nodata, valid, placement)

Arrays are (bands, height, width); capital H, W stand for output pixels.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .back_projection import back_project, keep_local_means
from .band_plan import BandPlan, ExtraBands, luminance, plan_bands
from .fill import fill_invalid
from .placement import Placement
from .stretch import Stretch, fit_stretch

__all__ = [
    "BandPlan",
    "ExtraBands",
    "Placement",
    "Stretch",
    "add_detail",
    "back_project",
    "detail_gains",
    "fill_invalid",
    "fit_stretch",
    "keep_local_means",
    "limits_of",
    "luminance",
    "plan_bands",
    "to_dtype",
    "to_values",
]


def to_values(sr: NDArray[np.float32], source: NDArray[Any], stretch: Stretch, placement: Placement) -> NDArray[Any]:
    """Numbers (bands, H, W) of the model's image ``sr`` (bands, H, W; in units of the stretch).

    ``out = up(source) + inverse(sr) - inverse(up(clip(unit(source))))``: a residual on the enlarged input,
    so that highlights and shadows that the model saw clipped keep their value. ``source`` (bands, h, w) is
    the filled input. float32, or float64 for a source that needs it.
    """
    dtype = np.result_type(source.dtype, np.float32)
    if stretch.whole and dtype == np.float32:
        return stretch.from_unit(sr)  # nothing was clipped: both enlargements cancel
    unit = stretch.to_unit(source)
    out = np.empty(sr.shape, dtype)
    for rows in placement.row_bands(len(sr)):
        residual = sr[:, rows] - placement.enlarge(unit, rows)
        out[:, rows] = residual
        out[:, rows] *= dtype.type(stretch.span)
        out[:, rows] += placement.enlarge(source, rows)
    return out


def detail_gains(extra: NDArray[Any], model: NDArray[Any], valid: NDArray[np.bool_]) -> NDArray[np.float64]:
    """How strongly each extra band (bands, h, w) follows the luminance of the model's bands (1 or 3, h, w).

    The slope of the regression of differences between neighbouring valid pixels, hence of detail only. Fit
    it once for a dataset, on the same sample as the stretch. 0 where the luminance is flat.
    """
    luma = luminance(model.astype(np.float64))
    valid = np.logical_and.reduce(valid) if valid.ndim == 3 else valid
    products, squares = np.zeros(len(extra)), 0.0
    for axis in (1, 2):
        pairs = _both(valid, axis - 1)
        slope = np.where(pairs, np.diff(luma, axis=axis), 0.0)
        squares += float(np.sum(slope * slope))
        for band, numbers in enumerate(extra):
            change = np.diff(numbers.astype(np.float64), axis=axis - 1)
            products[band] += float(np.sum(slope[0] * np.where(pairs, change, 0.0)))
    return products / squares if squares > 0 else np.zeros(len(extra))


def _both(valid: NDArray[np.bool_], axis: int) -> NDArray[np.bool_]:
    return valid[1:] & valid[:-1] if axis == 0 else valid[:, 1:] & valid[:, :-1]


def add_detail(
    extra: NDArray[Any],
    model: NDArray[Any],
    values: NDArray[Any],
    gains: NDArray[np.float64],
    placement: Placement,
) -> NDArray[Any]:
    """Extra bands (bands, H, W), enlarged, with the luminance detail of the model's bands.

    ``extra`` (bands, h, w) and ``model`` (1 or 3, h, w) are numbers of the filled input, ``values`` (1 or
    3, H, W) the finished numbers of the model's bands, ``gains`` from `detail_gains`; gains of 0 give the
    plain enlargement. Detail is what the enlarged input lacks. Run `back_project` on the result: it keeps
    the bands' own means.
    """
    out = np.empty((len(extra), *values.shape[1:]), np.result_type(extra.dtype, np.float32))
    small = luminance(model.astype(np.result_type(model.dtype, np.float32), copy=False))
    for rows in placement.row_bands(len(extra) + len(model)):
        out[:, rows] = placement.enlarge(extra, rows)
        if gains.any():
            detail = luminance(values[:, rows]) - placement.enlarge(small, rows)
            out[:, rows] += detail * gains.astype(out.dtype)[:, None, None]
    return out


def limits_of(dtype: np.dtype[Any] | str) -> tuple[float, float] | None:
    """Least and largest number of an integer type, None for floating point."""
    dtype = np.dtype(dtype)
    if dtype.kind not in "iu":
        return None
    info = np.iinfo(dtype)
    return float(info.min), float(info.max)


def to_dtype(
    values: NDArray[Any],
    dtype: np.dtype[Any] | str,
    nodata: float | Sequence[float | None] | None,
    valid: NDArray[np.bool_],
    placement: Placement,
    *,
    source: NDArray[Any] | None = None,
    limits: tuple[float, float] | None = None,
) -> NDArray[Any]:
    """Numbers (bands, H, W; float) as the output's type: rounded, clipped, nodata where it belongs.

    ``valid``, (h, w) or (bands, h, w), is the input's; its footprint grows by nearest neighbour. Invalid
    pixels get ``nodata`` (one for all bands, or one each), or where there is none or the type cannot hold
    it, the number of ``source`` (bands, h, w), else 0. A valid number that would equal nodata moves one
    step aside, within ``limits`` (default: the type's; narrower where a band uses fewer bits).
    """
    dtype = np.dtype(dtype)
    each = tuple(nodata) if isinstance(nodata, Sequence) else (nodata,) * len(values)
    reserved = [value if value is None or _holds(dtype, value) else None for value in each]
    low, high = _representable(limits or limits_of(dtype), values.dtype)
    out = np.empty(values.shape, dtype)
    mask = valid if valid.ndim == 3 else valid[None]
    for rows in placement.row_bands(len(values)):
        part = values[:, rows]
        if dtype.kind in "iu":
            part = np.rint(part).clip(low, high)
        out[:, rows] = part
        holds = np.broadcast_to(placement.enlarge(mask, rows, "nearest"), part.shape)
        for band, number in enumerate(reserved):
            if number is not None:
                _step_aside(out[band, rows], values[band, rows], number, (low, high))
        if not holds.all():
            numbers = None if source is None else placement.enlarge(source, rows, "nearest")
            _restore(out[:, rows], ~holds, reserved, numbers)
    return out


def _holds(dtype: np.dtype[Any], number: float) -> bool:
    if dtype.kind not in "iu":
        return True
    info = np.iinfo(dtype)
    return float(number).is_integer() and info.min <= number <= info.max


def _representable(limits: tuple[float, float] | None, dtype: np.dtype[Any]) -> tuple[Any, Any]:
    """The limits as floats of the image; 2**32 - 1 as float32 would be 2**32, which overflows."""
    if limits is None:
        return -np.inf, np.inf
    low, high = (dtype.type(limit) for limit in limits)
    return low, np.nextafter(high, dtype.type(0)) if float(high) > limits[1] else high


def _step_aside(out: NDArray[Any], values: NDArray[Any], number: float, limits: tuple[float, float]) -> None:
    """Move numbers of a band that equal nodata to the neighbour on the side of the value before rounding."""
    hit = out == out.dtype.type(number)
    if not hit.any():
        return
    up = values[hit] >= number
    if number >= limits[1] or number <= limits[0]:
        up[:] = number <= limits[0]
    if out.dtype.kind in "iu":
        out[hit] = np.where(up, int(number) + 1, int(number) - 1).astype(out.dtype)
    else:
        out[hit] = np.nextafter(out.dtype.type(number), np.where(up, np.inf, -np.inf).astype(out.dtype))


def _restore(
    out: NDArray[Any], gone: NDArray[np.bool_], reserved: Sequence[float | None], source: NDArray[Any] | None
) -> None:
    for band, number in enumerate(reserved):
        if number is not None:
            out[band][gone[band]] = number
        elif source is not None:
            out[band][gone[band]] = source[band][gone[band]].astype(out.dtype)
        else:
            out[band][gone[band]] = 0
