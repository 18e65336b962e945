"""What a file is and what is read from it, the same for rasters and photographs.

Arrays are ``(bands, height, width)`` in the file's own data type. The alpha band is counted in `SourceInfo.count` and
listed in `SourceInfo.bands`, but never mixed with the colour: `Source.read` hands it over as `Raster.alpha`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray

from ..tiling.grid import Tile, Size
from .geobox import GeoBox


@dataclass(frozen=True, kw_only=True)
class Band:
    """One band and what its numbers mean."""

    index: int
    """Position in the file as it is read, from 1 (a palette counts as the bands it is expanded to)."""

    interpretation: str
    """Colour interpretation in rasterio's words: red, green, blue, alpha, gray, nir, undefined..."""

    dtype: str
    """Numpy name of the band's data type."""

    description: str | None = None
    """Name of the band, e.g. "B04"."""

    scale: float = 1.0
    """Physical value = number * scale + offset. Carried, never applied."""

    offset: float = 0.0
    """See `scale`."""

    unit: str | None = None
    """Unit of the physical value, e.g. "metre"."""

    nodata: float | None = None
    """Number that stands for "nothing measured" in this band."""

    bits: int | None = None
    """Bits in use where fewer than the data type has (GDAL's NBITS); numbers stay in 0..2**bits - 1."""

    tags: Mapping[str, str] = field(default_factory=dict)
    """Tags of the band worth carrying; statistics are left out, the output's are others."""


@dataclass(frozen=True, kw_only=True)
class PhotoMeta:
    """What a photograph carries beside its pixels."""

    format: str
    """Pillow's name of the file format: PNG, JPEG, WEBP..."""

    mode: str
    """Pillow's mode of the stored pixels: RGB, RGBA, L, P, I;16..."""

    orientation: int = 1
    """EXIF orientation of the stored pixels, 1..8. `Source.read` gives them upright where `upright` is True."""

    upright: bool = True
    """True if pixels are read turned by `orientation`; then `exif` and `xmp` say 1."""

    exif: bytes | None = None
    """EXIF block to write (without the thumbnail, which would show the small picture); None if there is none."""

    icc: bytes | None = None
    """ICC profile to embed; numbers are kept in its space."""

    xmp: bytes | None = None
    """XMP packet to write."""

    dpi: tuple[float, float] | None = None
    """Resolution (horizontal, vertical) in pixels per inch, to be multiplied by the scale."""


@dataclass(frozen=True, kw_only=True)
class SourceInfo:
    """All that is known of an input before its pixels are read."""

    path: Path | None
    """Local file; None for a remote or inline dataset."""

    name: str
    """Short name for messages, without the folder."""

    kind: Literal["raster", "photo"]
    """"raster": read by window through rasterio. "photo": decoded once, kept in memory."""

    driver: str
    """GDAL driver, or Pillow format where GDAL does not know it: GTiff, JP2OpenJPEG, PNG, JPEG, TGA..."""

    count: int
    """Number of bands, alpha included."""

    dtype: str
    """Numpy name of the data type of all arrays read."""

    geobox: GeoBox
    """Size and georeferencing."""

    bands: tuple[Band, ...]
    """One per band, alpha included, in the order of the file."""

    nodata: float | None = None
    """The nodata value shared by all bands but alpha; None if there is none or bands differ (see `Band.nodata`)."""

    has_mask: bool = False
    """True if the file has a mask of its own (.msk, internal, NODATA_VALUES) that the output should have, too."""

    alpha: int | None = None
    """Index (from 1) of the alpha band."""

    tags: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """Tags worth carrying, by domain; "" is the default domain."""

    photo: PhotoMeta | None = None
    """EXIF, ICC, DPI... of PNG, JPEG, WebP and their like, also where they are georeferenced; ICC of a TIFF."""

    warnings: tuple[str, ...] = ()
    """What the user should know: palette expanded, first page only, something that cannot be carried."""

    @property
    def size(self) -> Size:
        """Height and width in pixels."""
        return self.geobox.size

    @property
    def colour_bands(self) -> tuple[int, ...]:
        """Indices (from 1) of all bands but alpha."""
        return tuple(band.index for band in self.bands if band.index != self.alpha)


@dataclass(frozen=True, kw_only=True, eq=False)
class Raster:
    """Pixels of a window."""

    array: NDArray[Any]
    """(bands, height, width), data type of the source; invalid pixels hold whatever the file holds."""

    valid: NDArray[np.bool_]
    """(height, width): False where the pixel is no measurement. GDAL's dataset mask over the bands read (mask, else
    nodata in ALL of them, else alpha 0), and also False where ANY of them is NaN or infinite."""

    band_valid: NDArray[np.bool_] | None = None
    """(bands, height, width): the same per band; None where it is `valid` for every band. A pixel with nodata in some
    bands only is `valid`, but those numbers must not reach the network."""

    alpha: NDArray[Any] | None = None
    """(height, width) opacity in the data type of the source, None without an alpha band."""


class Source(ABC):
    """An open input; close it, or use it as a context manager. Safe to read from several threads."""

    info: SourceInfo

    @abstractmethod
    def read(self, window: Tile | None = None, bands: Sequence[int] | None = None) -> Raster:
        """Pixels of `window` (default: all) of `bands` (from 1; default: all but alpha)."""

    @abstractmethod
    def close(self) -> None:
        """Release the file."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()
