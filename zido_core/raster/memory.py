"""Images that are already in memory: arrays and Pillow images as sources, and results as what the input was."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ..errors import BadInput, InvalidOptions
from ..tiling.grid import Size, Tile
from .geobox import GeoBox
from .photo_meta import photo_meta
from .source import Band, PhotoMeta, Raster, Source, SourceInfo

INTERPRETATIONS = {
    1: ("gray",),
    2: ("gray", "alpha"),
    3: ("red", "green", "blue"),
    4: ("red", "green", "blue", "alpha"),
}
"""What the channels of an image are taken for; with more than four only the first three have a meaning."""


class ArraySource(Source):
    """An array (height, width), or (height, width, channels) in the order of ``INTERPRETATIONS``."""

    def __init__(self, array: NDArray[Any], *, name: str = "array", photo: PhotoMeta | None = None) -> None:
        if array.ndim not in (2, 3) or 0 in array.shape:
            raise BadInput(f"{name} has the shape {array.shape}; expected (height, width) or (height, width, channels)")
        if array.dtype.kind not in "uif" or array.dtype.itemsize > 8:
            raise BadInput(f"{name} holds {array.dtype} numbers; expected integers or floats up to 64 bits")
        native = array.astype(array.dtype.newbyteorder("="), copy=False)
        self._planes = np.atleast_3d(native).transpose(2, 0, 1)
        count, dtype = len(self._planes), str(native.dtype)
        words = INTERPRETATIONS.get(count, ("red", "green", "blue") + ("undefined",) * (count - 3))
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
            photo=photo,
        )

    def read(self, window: Tile | None = None, bands: Sequence[int] | None = None) -> Raster:
        """Pixels of the window; a pixel without opacity, or with a number that is not finite, is not valid."""
        crop = self._planes[:, *self.checked_window(window).slices]
        array = crop[[band - 1 for band in self.checked_bands(bands)]]
        alpha = None if self.info.alpha is None else crop[self.info.alpha - 1]
        valid = np.ones(array.shape[1:], dtype=bool) if alpha is None else alpha > 0
        if array.dtype.kind == "f":
            valid &= np.isfinite(array).all(axis=0)
        return Raster(array=array, valid=valid, alpha=alpha)

    def close(self) -> None:
        """Nothing is held open."""


def source_of(image: NDArray[Any] | Image.Image) -> ArraySource:
    """The source of an array or a Pillow image."""
    if not isinstance(image, Image.Image):
        return ArraySource(np.asarray(image))
    mode = _mode_to_read(image)
    pixels = np.asarray(image if image.mode == mode else image.convert(mode))
    return ArraySource(pixels, name="image", photo=photo_meta(image, upright=False)[0])


def _mode_to_read(image: Image.Image) -> str:
    """The mode with the same colours that an array can hold; palettes, CMYK and their like become RGB."""
    if image.mode in ("I", "F", "I;16"):
        return image.mode
    if image.mode.startswith("I;16"):
        return "I"
    gray = image.mode in ("1", "L", "LA", "La")
    return ("L" if gray else "RGB") + "A" * image.has_transparency_data


def as_given(planes: NDArray[Any], given: NDArray[Any] | Image.Image) -> NDArray[Any] | Image.Image:
    """Result planes (bands, height, width) as what the input was: (height, width[, channels]) array or Pillow image."""
    if not isinstance(given, Image.Image):
        flat = np.ndim(given) == 2 and len(planes) == 1
        return np.ascontiguousarray(planes[0] if flat else planes.transpose(1, 2, 0))
    array = np.ascontiguousarray(planes[0] if len(planes) == 1 else planes.transpose(1, 2, 0))
    try:
        image = Image.fromarray(array)
    except (TypeError, ValueError, KeyError) as error:
        raise InvalidOptions(
            f"no Pillow image holds {len(planes)} bands of {planes.dtype}; give an array, or omit dtype"
        ) from error
    image.info |= {key: value for key, value in given.info.items() if key != "transparency"}
    return image
