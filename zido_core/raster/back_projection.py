"""Make the output say, on average over each input pixel, what the input says.

Iterative back-projection (Irani and Peleg 1991) with the area mean as the sensor, aware of invalid pixels.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..resample import Kernel
from .placement import Placement

_PASSES, _LEAST = 16, 0.05
"""Passes where output pixels straddle input pixels, and the weakest share of an error that one pass
corrects and that they are tuned to (1/9 at a factor of 1.5)."""

WIDTH, REACH = 2.5, 8
"""Neighbourhood whose mean ``keep_local_means`` keeps: a Gaussian's deviation and where it ends, input pixels. In it
the noise of single pixels is a ninth."""


def back_project(
    image: NDArray[Any],
    source: NDArray[Any],
    valid: NDArray[np.bool_],
    placement: Placement,
    *,
    iterations: int = 2,
    limits: tuple[float, float] | None = None,
) -> NDArray[Any]:
    """Change ``image`` (bands, H, W; float, in place) until its block means are ``source`` (bands, h, w).

    ``valid``: (h, w) or (bands, h, w) of the source; invalid pixels pull at nothing. ``iterations`` smooth
    (bicubic) corrections come first; then one constant per block makes the means exact at whole factors, to
    rounding. At other factors sixteen passes leave 0.001 of an error from x1.2 up, and more of the finest
    pattern below that. With ``limits``, the range of the output's data type, pixels are clipped, and blocks
    that lose their mean by it are contracted towards the far limit, which restores it within the range.
    """
    for _ in range(iterations):
        _add(image, _missing(image, source, valid, placement), placement, "bicubic")
    kernel: Kernel = "nearest" if placement.whole_factor else "area"
    for strength in (1.0,) if placement.whole_factor else _strengths():
        delta = _missing(image, source, valid, placement)
        _add(image, delta * image.dtype.type(strength), placement, kernel)
    if limits is not None and not (image.min() >= limits[0] and image.max() <= limits[1]):
        np.clip(image, *limits, out=image)
        _contract(image, source, valid, placement, limits)
    return image


def keep_local_means(
    image: NDArray[Any],
    source: NDArray[Any],
    valid: NDArray[np.bool_],
    placement: Placement,
    *,
    limits: tuple[float, float] | None = None,
) -> NDArray[Any]:
    """Change ``image`` in place until its means over neighbourhoods are those of ``source``; noise may stay away.

    One smooth correction, by what the block means miss, averaged over ``WIDTH``; all else as in ``back_project``.
    """
    missing = _missing(image, source, valid, placement)
    counts, inside = np.zeros_like(missing), placement.inside.slices
    counts[:, *inside] = np.broadcast_to(valid, missing.shape)[:, *inside]
    missing, counts = _averaged(missing), _averaged(counts)
    np.divide(missing, counts, out=missing, where=counts > 0)
    _add(image, missing, placement, "bicubic")
    return image if limits is None else np.clip(image, *limits, out=image)


def _averaged(planes: NDArray[Any]) -> NDArray[Any]:
    """Gaussian mean over the last two axes, zeros beyond the border."""
    taps = np.exp(-0.5 * (np.arange(-REACH, REACH + 1) / WIDTH) ** 2)
    taps = (taps / taps.sum()).astype(planes.dtype)
    for axis in (-2, -1):
        around = np.zeros((planes.ndim, 2), int)
        around[axis] = REACH
        wide, length = np.moveaxis(np.pad(planes, around), axis, -1), planes.shape[axis]
        total = np.zeros_like(np.moveaxis(planes, axis, -1))
        for place, tap in enumerate(taps):
            total += tap * wide[..., place : place + length]
        planes = np.moveaxis(total, -1, axis)
    return planes


def _strengths() -> list[float]:
    """Over- and underrelaxation by the roots of a Chebyshev polynomial (Richardson's method).

    Strong and weak passes take turns, so that none of them makes the image overflow on the way.
    """
    angles = (np.arange(_PASSES) + 0.5) * np.pi / _PASSES
    roots = np.sort((1 + _LEAST) / 2 + (1 - _LEAST) / 2 * np.cos(angles))
    turns = np.stack((roots[: _PASSES // 2], roots[: _PASSES // 2 - 1 : -1]), 1).ravel()
    return [float(1 / root) for root in turns]


def _missing(image: NDArray[Any], source: NDArray[Any], valid: NDArray[np.bool_], placement: Placement) -> NDArray[Any]:
    """Source minus block mean, (bands, h, w); 0 at invalid pixels and at blocks cut by the target's edge."""
    inside = placement.inside
    delta = np.zeros(source.shape, image.dtype)
    if inside.height and inside.width:
        delta[:, *inside.slices] = source[:, *inside.slices] - placement.reduce(image, valid)
    delta[~np.broadcast_to(valid, source.shape)] = 0
    return delta


def _add(image: NDArray[Any], delta: NDArray[Any], placement: Placement, kernel: Kernel) -> None:
    for rows in placement.row_bands(len(image)):
        image[:, rows] += placement.enlarge(delta, rows, kernel)


def _contract(
    image: NDArray[Any],
    source: NDArray[Any],
    valid: NDArray[np.bool_],
    placement: Placement,
    limits: tuple[float, float],
) -> None:
    """``x -> limit - (limit - x) * (limit - wanted) / (limit - mean)``, the limit being the one to move
    towards.
    """
    kernel: Kernel = "nearest" if placement.whole_factor else "area"
    delta = _missing(image, source, valid, placement)
    low, high = (np.asarray(limit, image.dtype) for limit in limits)
    up = _share(np.maximum(delta, 0), high - (source - delta))
    down = _share(np.maximum(-delta, 0), (source - delta) - low)
    for rows in placement.row_bands(len(image)):
        part = image[:, rows]
        part += (high - part) * placement.enlarge(up, rows, kernel)
        part -= (part - low) * placement.enlarge(down, rows, kernel)


def _share(change: NDArray[Any], room: NDArray[Any]) -> NDArray[Any]:
    share = np.zeros_like(change)
    np.divide(np.minimum(change, room), room, out=share, where=room > 0)
    return share
