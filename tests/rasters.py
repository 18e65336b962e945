"""What tests of the whole flow share: quick options, comparisons of an input with its enlargement."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from affine import Affine
from numpy.typing import NDArray

from zido_core.resample import resize
from zido_core.tiling.grid import Size

TILES = {"tile_size": 128, "tile_overlap": 32}
"""Small tiles: 32 x 32 input pixels."""

DIFFUSED = {**TILES, "steps": 1, "fidelity": 0.25}
"""One step of diffusion: quick, and everything takes part."""

COARSE = {**TILES, "fidelity": 1.0}
"""No diffusion."""


def read(path: Path | str) -> NDArray[Any]:
    with rasterio.open(path) as dataset:
        return dataset.read()


def corner_error(old: rasterio.DatasetReader, new: rasterio.DatasetReader) -> float:
    """Largest distance of corresponding corners in pixels of `old`, in exact arithmetic."""
    a, b, _, d, e, _ = (Fraction(value) for value in old.transform[:6])
    determinant, errors = a * e - b * d, []
    for u, v in ((0, 0), (0, 1), (1, 0), (1, 1)):
        (x0, y0), (x1, y1) = (_ground(each.transform, u * each.width, v * each.height) for each in (old, new))
        x, y = x1 - x0, y1 - y0
        errors += [abs((e * x - b * y) / determinant), abs((a * y - d * x) / determinant)]
    return float(max(errors))


def _ground(transform: Affine, col: int, row: int) -> tuple[Fraction, Fraction]:
    a, b, c, d, e, f = (Fraction(value) for value in transform[:6])
    return a * col + b * row + c, d * col + e * row + f


def enlarged(mask: NDArray[Any], size: Size) -> NDArray[Any]:
    """(h, w) by nearest neighbour."""
    return resize(mask[None], size, "nearest")[0]


def block_means(array: NDArray[Any], size: Size) -> NDArray[np.float64]:
    """Area means of (bands, H, W) over the pixels of an input of this size."""
    return resize(array.astype(np.float64), size, "area")
