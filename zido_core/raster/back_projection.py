"""Make the output say, on average over each input pixel, what the input says.

Iterative back-projection (Irani and Peleg 1991) with the area mean as the sensor, aware of invalid pixels.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..resample import Kernel
from .placement import Placement

_FRACTIONAL_PASSES = 8
"""Passes where output pixels straddle input pixels; each leaves a third of the error or less from x1.5 up."""


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
    rounding. At other factors several such passes come close (0.01 of the remaining error at x1.5; below
    that, less well). With ``limits``, the range of the output's data type, pixels are clipped, and blocks
    that lose their mean by it are contracted towards the far limit, which restores it without leaving the
    range.
    """
    for _ in range(iterations):
        _add(image, _missing(image, source, valid, placement), placement, "bicubic")
    kernel: Kernel = "nearest" if placement.whole_factor else "area"
    for _ in range(1 if placement.whole_factor else _FRACTIONAL_PASSES):
        _add(image, _missing(image, source, valid, placement), placement, kernel)
    if limits is not None and not (image.min() >= limits[0] and image.max() <= limits[1]):
        np.clip(image, *limits, out=image)
        _contract(image, source, valid, placement, limits)
    return image


def _missing(
    image: NDArray[Any], source: NDArray[Any], valid: NDArray[np.bool_], placement: Placement
) -> NDArray[Any]:
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
