"""The pixels of tiles, as taggers that are networks take them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt
from PIL import Image

from ..errors import BadInput
from ..tiling.grid import Tile

GPU_BATCH = 16
"""Tiles per call of a network on a GPU."""


def batches(
    image: npt.NDArray[np.float32], tiles: Sequence[Tile], device: str, batch: int | None
) -> Iterator[list[npt.NDArray[np.float32]]]:
    """Crops (3, h, w) in [0, 1] of the tiles, some at a time.

    On a CPU one by one unless ``batch`` says otherwise: more are not faster there, and change the last bits.
    """
    if image.ndim != 3 or image.size == 0:
        raise BadInput(f"cannot tag an image of shape {image.shape}; expected (3, height, width) with pixels")
    step = batch or (1 if device == "cpu" else GPU_BATCH)
    for start in range(0, len(tiles), step):
        yield [crop_rgb(image, tile) for tile in tiles[start : start + step]]


def crop_rgb(image: npt.NDArray[np.float32], tile: Tile) -> npt.NDArray[np.float32]:
    """The part of the tile that lies on the image, at least one pixel; one band is taken as gray."""
    inside = clamp(tile, image.shape)
    return rgb(image[:, inside.row : inside.bottom, inside.col : inside.right])


def clamp(tile: Tile, shape: tuple[int, ...]) -> Tile:
    """The part of the tile that lies on an image of that shape (bands, height, width); at least one pixel."""
    row, col = min(max(tile.row, 0), shape[1] - 1), min(max(tile.col, 0), shape[2] - 1)
    bottom = min(max(tile.row + tile.height, row + 1), shape[1])
    right = min(max(tile.col + tile.width, col + 1), shape[2])
    return Tile(row, col, bottom - row, right - col)


def rgb(image: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Three bands in [0, 1], without NaN."""
    bands = image[:3] if image.shape[0] >= 3 else image[:1].repeat(3, axis=0)
    return np.clip(np.nan_to_num(bands.astype(np.float32, copy=False)), 0.0, 1.0)


def picture(crop: npt.NDArray[np.float32]) -> Image.Image:
    """A crop as the 8-bit picture that published processors of networks start from."""
    return Image.fromarray(np.round(crop.transpose(1, 2, 0) * 255).astype(np.uint8))
