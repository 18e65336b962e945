"""Images that are already in memory: arrays and Pillow images as sources."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ..errors import BadInput
from ..tiling.grid import Size, Tile
from .geobox import GeoBox
from .source import Band, Raster, Source, SourceInfo

INTERPRETATIONS = {
    1: ("gray",),
    2: ("gray", "alpha"),
    3: ("red", "green", "blue"),
    4: ("red", "green", "blue", "alpha"),
}
"""What the channels of an image are taken for; with more than four only the first three have a meaning."""


class ArraySource(Source):
    """An array (height, width), or (height, width, channels) in the order of ``INTERPRETATIONS``."""

    def __init__(self, array: NDArray[Any], *, name: str = "array") -> None:
        if array.ndim not in (2, 3) or 0 in array.shape:
            raise BadInput(
                f"{name} has the shape {array.shape}; expected (height, width) or (height, width, channels)"
            )
        if array.dtype.kind not in "uif" or array.dtype.itemsize > 8:
            raise BadInput(f"{name} has the data type {array.dtype}; expected integers or floats")
        self.planes = np.atleast_3d(array).transpose(2, 0, 1)
        count = len(self.planes)
        words = INTERPRETATIONS.get(count, ("red", "green", "blue") + ("undefined",) * (count - 3))
        dtype = str(array.dtype)
        self.info = SourceInfo(
            path=None,
            name=name,
            kind="photo",
            driver="MEM",
            count=count,
            dtype=dtype,
            geobox=GeoBox(size=Size(*array.shape[:2])),
            bands=tuple(Band(index=i, interpretation=word, dtype=dtype) for i, word in enumerate(words, 1)),
            alpha=count if words[-1] == "alpha" else None,
        )

    def read(self, window: Tile | None = None, bands: Sequence[int] | None = None) -> Raster:
        """Pixels of the window; a pixel without opacity or with NaN is not valid."""
        window = window or Tile.whole(self.info.size)
        crop = self.planes[(..., *window.slices)]
        array = crop[[band - 1 for band in bands or self.info.colour_bands]]
        alpha = None if self.info.alpha is None else crop[self.info.alpha - 1]
        valid = np.ones(window.size, dtype=bool) if alpha is None else alpha > 0
        if array.dtype.kind == "f":
            valid &= np.isfinite(array).all(axis=0)
        return Raster(array=array, valid=valid, alpha=alpha)

    def close(self) -> None:
        """Nothing is held open."""


def source_of(image: NDArray[Any] | Image.Image) -> ArraySource:
    """The source of an array or a Pillow image; modes that no array has (palettes, CMYK) become RGB or RGBA."""
    if isinstance(image, Image.Image):
        known = image.mode in ("L", "LA", "RGB", "RGBA", "I;16", "I", "F")
        mode = "RGBA" if image.has_transparency_data else "RGB"
        return ArraySource(np.asarray(image if known else image.convert(mode)), name="image")
    return ArraySource(np.asarray(image))


def as_given(planes: NDArray[Any], given: NDArray[Any] | Image.Image) -> NDArray[Any] | Image.Image:
    """Result planes (bands, height, width) as what the input was: (height, width[, channels]) array or Pillow image."""
    single = len(planes) == 1 and (isinstance(given, Image.Image) or given.ndim == 2)
    array = np.ascontiguousarray(planes[0] if single else planes.transpose(1, 2, 0))
    return Image.fromarray(array) if isinstance(given, Image.Image) else array
