"""How the numbers of a block's image are kept until the output is written.

An output of 8 bits needs no more than 16-bit fixed point: half the room, and an error of at most 0.016 of a count. All
else keeps its float32, heights above all.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

FLOAT, FIXED = np.dtype("<f4"), np.dtype("<i2")
"""The two forms."""

STEPS = 2**13
"""Of fixed point in a unit, which black and white are apart: the numbers reach from -4 to 4."""

ROWS = 128
"""That are brought to it at a time, so that a large image needs no other beside it."""


def form_for(*dtypes: DTypeLike) -> np.dtype:
    """The form for images whose input and output have these data types; all must be of 8 bits for fixed point.

    Else a unit may be more than 255 counts, and the error as much larger.
    """
    return FIXED if all(np.dtype(dtype) == np.uint8 for dtype in dtypes) else FLOAT


def form_of(image: NDArray[np.float32], form: np.dtype) -> np.dtype:
    """The form that an image is kept in: ``form``, unless the image has numbers beyond its reach, or NaN."""
    least, most = np.iinfo(FIXED).min / STEPS, np.iinfo(FIXED).max / STEPS
    return form if form == FLOAT or (image.min() >= least and image.max() <= most) else FLOAT


def packed(part: NDArray[np.float32], form: np.dtype) -> NDArray[Any]:
    """A part of an image in that form, contiguous."""
    if form == FLOAT:
        return np.ascontiguousarray(part)
    out = np.empty(part.shape, FIXED)
    for row in range(0, part.shape[1], ROWS):
        rows = slice(row, row + ROWS)
        out[:, rows] = np.rint(part[:, rows] * np.float32(STEPS))
    return out


def unpacked(part: NDArray[Any]) -> NDArray[np.float32]:
    """The float32 again."""
    if part.dtype == FLOAT:
        return np.asarray(part, np.float32)
    numbers: NDArray[np.float32] = part * np.float32(1 / STEPS)  # float32, as int16 goes into it
    return numbers
