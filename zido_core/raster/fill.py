"""Plausible numbers for pixels without any, so that a network does not see cliffs at the edge of the data."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def fill_invalid(
    image: NDArray[Any],
    valid: NDArray[np.bool_],
    *,
    origin: tuple[int, int] = (0, 0),
    levels: int = 5,
    far: NDArray[Any] | float | None = None,
) -> NDArray[Any]:
    """Replace invalid pixels of ``image`` (bands, h, w) smoothly from the valid ones around them.

    A push-pull pyramid: means of the valid pixels of 2 x 2 cells, level by level, then every gap takes the
    smoothly enlarged next level. ``valid`` is (h, w) or (bands, h, w); valid pixels keep their bits. Gaps
    wider than about 2**``levels`` pixels end in ``far``, a number or one per band (default: the mean of the
    valid pixels). Cells are anchored at absolute positions, which ``origin`` (row, col of the crop) gives,
    and a filled pixel depends on nothing farther than 2**(``levels`` + 1): a crop with that halo and the
    same ``far`` has the bits of the whole. Float images keep their dtype, integers give float32 or float64.
    """
    values = image.astype(np.result_type(image.dtype, np.float32), copy=False)
    mask = np.broadcast_to(valid, image.shape)
    if mask.all():
        return values
    constant = _constant(values, mask, far)
    cell = 2**levels
    (top, bottom), (left, right) = (
        (start % cell, -(start + size) % cell) for start, size in zip(origin, image.shape[1:], strict=True)
    )
    margins = ((0, 0), (top, bottom), (left, right))
    filled = _pull(np.pad(np.where(mask, values, 0), margins), np.pad(mask, margins), levels, constant)
    inner = filled[:, top : top + image.shape[1], left : left + image.shape[2]]
    return np.where(mask, values, inner)


def _constant(values: NDArray[Any], mask: NDArray[np.bool_], far: NDArray[Any] | float | None) -> NDArray[Any]:
    """(bands, 1, 1)"""
    if far is None:
        count = np.maximum(mask.sum((1, 2)), 1)
        far = np.where(mask, values, 0).sum((1, 2), dtype=np.float64) / count
    return np.broadcast_to(np.asarray(far, values.dtype), values.shape[0]).reshape(-1, 1, 1)


def _pull(values: NDArray[Any], mask: NDArray[np.bool_], levels: int, far: NDArray[Any]) -> NDArray[Any]:
    """``values`` with zeros where ``mask`` is False, filled; sides are multiples of 2**levels."""
    if levels == 0:
        return np.where(mask, values, far)
    count = _quartet_sums(mask.astype(values.dtype))
    means = _quartet_sums(values) / np.maximum(count, 1)
    coarse = _pull(means, count > 0, levels - 1, far)
    return np.where(mask, values, _doubled(_doubled(coarse, 1), 2))


def _quartet_sums(values: NDArray[Any]) -> NDArray[Any]:
    rows = values[:, 0::2] + values[:, 1::2]
    return np.asarray(rows[:, :, 0::2] + rows[:, :, 1::2])


def _doubled(values: NDArray[Any], axis: int) -> NDArray[Any]:
    """Twice as many pixels along an axis, linearly, border pixels repeated."""
    size = values.shape[axis]
    places = np.arange(size)
    shape = list(values.shape)
    shape[axis] = 2 * size
    out = np.empty(shape, values.dtype)
    for parity, neighbour in ((0, np.maximum(places - 1, 0)), (1, np.minimum(places + 1, size - 1))):
        chosen = [slice(None)] * 3
        chosen[axis] = slice(parity, None, 2)
        out[tuple(chosen)] = values + 0.25 * (np.take(values, neighbour, axis) - values)
    return out
