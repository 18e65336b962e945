"""Blocks become one image: where neighbours share pixels, one fades into the other.

The weights of all blocks at a pixel sum to one, exactly; where two blocks agree, the result has their very bits.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from .blocks import Layout
from .tiling.grid import Tile

Read = Callable[[int, Tile], NDArray[np.float32]]
"""Pixels (bands, h, w) of a block, of a tile that counts from the corner of its extent, at the model's scale."""

STEPS = 4096
"""Weights are multiples of a 4096th, so that they and their products are exact in single precision."""


def blended(read: Read, layout: Layout, window: Tile, factor: int) -> NDArray[np.float32]:
    """The pixels (bands, H, W) of a window; ``window`` in input pixels, ``factor`` pixels along each of them."""
    rows, columns = layout.meeting(0, window.row, window.bottom), layout.meeting(1, window.col, window.right)
    cuts = [[begins[at] * factor for at in some] for begins, some in ((layout.rows, rows), (layout.cols, columns))]
    strips = []
    for row in rows:
        top, bottom = _within(layout.span(0, row), (window.row, window.bottom))
        parts = []
        for col in columns:
            left, right = _within(layout.span(1, col), (window.col, window.right))
            corner = layout.span(0, row)[0], layout.span(1, col)[0]
            part = Tile(top - corner[0], left - corner[1], bottom - top, right - left).scaled(factor)
            parts.append((left * factor, read(row * layout.shape[1] + col, part)))
        strips.append((top * factor, _faded(parts, 2, cuts[1], layout.reach[1] * factor)))
    return _faded(strips, 1, cuts[0], layout.reach[0] * factor)


def ramp(start: int, stop: int, cut: int, reach: int) -> NDArray[np.float32]:
    """Weight of the block behind a cut at the pixels start..stop; that of the block before it is what lacks to one."""
    through = (np.arange(start, stop) + 0.5 - (cut - reach)) / max(2 * reach, 1)
    smooth = 0.5 - 0.5 * np.cos(np.pi * through.clip(0, 1))
    return (np.rint(smooth * STEPS) / STEPS).astype(np.float32)


def _within(span: tuple[int, int], window: tuple[int, int]) -> tuple[int, int]:
    return max(span[0], window[0]), min(span[1], window[1])


def _faded(
    parts: Sequence[tuple[int, NDArray[np.float32]]], axis: int, cuts: Sequence[int], reach: int
) -> NDArray[np.float32]:
    """Neighbours (position, pixels) along an axis as one; ``cuts`` are where the cores of each begin."""
    begin, first = parts[0]
    if len(parts) == 1:
        return first
    last_at, last = parts[-1]
    shape = list(first.shape)
    shape[axis] = last_at + last.shape[axis] - begin
    out = np.empty(shape, np.float32)
    end = begin + first.shape[axis]
    _along(out, axis, 0, end - begin)[...] = first
    for (at, part), cut in zip(parts[1:], cuts[1:], strict=True):
        shared = max(end - at, 0)
        both = _along(out, axis, at - begin, at - begin + shared)
        weight = ramp(at, at + shared, cut, reach).reshape([-1 if place == axis else 1 for place in range(3)])
        both += weight * (_along(part, axis, 0, shared) - both)
        end = at + part.shape[axis]
        _along(out, axis, at - begin + shared, end - begin)[...] = _along(part, axis, shared, part.shape[axis])
    return out


def _along(image: NDArray[np.float32], axis: int, start: int, stop: int) -> NDArray[np.float32]:
    return image[:, start:stop] if axis == 1 else image[:, :, start:stop]
