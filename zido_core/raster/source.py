"""What a file is and what is read from it, the same for rasters and photographs.

Arrays are ``(bands, height, width)`` in the file's own data type. The alpha band is counted in
`SourceInfo.count` and listed in `SourceInfo.bands`, but never mixed with the colour: `Source.read` hands it
over as `Raster.alpha`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray

from ..errors import InvalidOptions
from ..tiling.grid import Size, Tile
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
    """EXIF orientation of the stored pixels, 1..8."""

    upright: bool = True
    """True if pixels are read turned by `orientation`; then `exif` and `xmp` say 1."""

    exif: bytes | None = None
    """EXIF block to write, without its thumbnail (it would show the small picture)."""

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
    """The nodata value shared by all bands but alpha; None if there is none or bands differ."""

    has_mask: bool = False
    """True if the file has a mask of its own (.msk, internal, NODATA_VALUES); the output needs one, too."""

    alpha: int | None = None
    """Index (from 1) of the alpha band."""

    tags: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """Tags worth carrying, by domain; "" is the default domain."""

    photo: PhotoMeta | None = None
    """EXIF, ICC, DPI... of PNG, JPEG, WebP and their like, even georeferenced; ICC of a TIFF."""

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
    """(height, width): False where the pixel is no measurement. GDAL's dataset mask over the bands read
    (mask, else nodata in ALL of them, else alpha 0), and also False where ANY of them is NaN or infinite.
    """

    band_valid: NDArray[np.bool_] | None = None
    """(bands, height, width): the same per band, None where it is `valid` for every band. A band of a `valid`
    pixel is False here if it holds a nodata value that can be no measurement (in float bands, or negative),
    NaN or infinity: such a number must not reach the network and keeps its value in the output.
    """

    alpha: NDArray[Any] | None = None
    """(height, width) opacity in the data type of the source, None without an alpha band."""

    def crop(self, tile: Tile) -> Raster:
        """A part of the window; ``tile`` counts from its corner."""
        part = (slice(None), *tile.slices)
        return Raster(
            array=self.array[part],
            valid=self.valid[part[1:]],
            band_valid=None if self.band_valid is None else self.band_valid[part],
            alpha=None if self.alpha is None else self.alpha[part[1:]],
        )

    def take(self, rows: NDArray[np.intp], cols: NDArray[np.intp]) -> Raster:
        """The pixels where `rows` and `cols` cross."""
        rows, cols = rows[:, None], cols[None]
        return Raster(
            array=self.array[:, rows, cols],
            valid=self.valid[rows, cols],
            band_valid=None if self.band_valid is None else self.band_valid[:, rows, cols],
            alpha=None if self.alpha is None else self.alpha[rows, cols],
        )

    @classmethod
    def stack(cls, parts: Sequence[Raster], axis: int = 0) -> Raster:
        """One raster of parts, from top to bottom, or with ``axis`` 1 from left to right."""
        mixed = any(part.band_valid is not None for part in parts)
        alphas = [part.alpha for part in parts if part.alpha is not None]
        return cls(
            array=np.concatenate([part.array for part in parts], axis=axis + 1),
            valid=np.concatenate([part.valid for part in parts], axis=axis),
            band_valid=np.concatenate([part.every_band_valid for part in parts], axis=axis + 1) if mixed else None,
            alpha=np.concatenate(alphas, axis=axis) if alphas else None,
        )

    @property
    def every_band_valid(self) -> NDArray[np.bool_]:
        """(bands, height, width) validity, also where it is the same for all bands."""
        return np.broadcast_to(self.valid, self.array.shape) if self.band_valid is None else self.band_valid


SAMPLED_COLS = 8192
"""Columns that `Source.thumbnail` reads at a time."""


class Source(ABC):
    """An open input; close it, or use it as a context manager. Safe to read from several threads."""

    info: SourceInfo
    """What is known of the input."""

    strip_rows: int = 1024
    """Rows that `thumbnail` reads at a time, a good number for the file's layout."""

    @abstractmethod
    def read(self, window: Tile | None = None, bands: Sequence[int] | None = None) -> Raster:
        """Pixels of `window` (default: all) of `bands` (from 1; default: all but alpha)."""

    @abstractmethod
    def close(self) -> None:
        """Release the file."""

    def thumbnail(self, max_side: int = 2048) -> Raster:
        """Evenly spaced pixels (nearest, never mixed) of all bands but alpha, with their validity; for
        statistics.

        Overviews are not used: they were resampled by somebody else, and the same pixels must give the same
        numbers whether a file has overviews or not.
        """
        height, width = self.info.size
        factor = min(1.0, max_side / max(height, width))
        rows, cols = (_spread(length, max(1, round(length * factor))) for length in (height, width))
        # Pieces of strips: what is in memory at a time does not grow with the width.
        strips = [
            Raster.stack([self._sampled(some, few) for few in _runs(cols, SAMPLED_COLS)], axis=1)
            for some in _runs(rows, self.strip_rows)
        ]
        return Raster.stack(strips)

    def _sampled(self, rows: NDArray[np.intp], cols: NDArray[np.intp]) -> Raster:
        """The pixels where these rows and columns cross."""
        (top, bottom), (left, right) = ((int(some[0]), int(some[-1]) + 1) for some in (rows, cols))
        return self.read(Tile(top, left, bottom - top, right - left)).take(rows - top, cols - left)

    def overview(self, window: Tile, size: Size, bands: Sequence[int]) -> Raster | None:
        """About `window` at a smaller `size`, from overviews in the file; None where it has none. For the eye."""
        return None

    def checked_window(self, window: Tile | None) -> Tile:
        """`window`, or the whole image; ValueError if it is not inside."""
        height, width = self.info.size
        window = window or Tile.whole(self.info.size)
        row, col, rows, cols = window
        if row < 0 or col < 0 or rows < 1 or cols < 1 or row + rows > height or col + cols > width:
            raise ValueError(f"window {tuple(window)} is not inside {height} x {width} (row, col, height, width)")
        return window

    def checked_bands(self, bands: Sequence[int] | None) -> tuple[int, ...]:
        """`bands`, or all but alpha; InvalidOptions if one does not exist."""
        if bands is None:
            return self.info.colour_bands
        wrong = [band for band in bands if not 1 <= band <= self.info.count]
        if wrong or not bands:
            found = f"band {wrong[0]}" if wrong else "no band"
            raise InvalidOptions(f"{found} asked of {self.info.name}; expected bands 1 to {self.info.count}")
        return tuple(bands)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


def _runs(places: NDArray[np.intp], side: int) -> Iterator[NDArray[np.intp]]:
    """Ascending places, those together that lie between two multiples of ``side``."""
    groups = places // side
    yield from np.split(places, np.flatnonzero(np.diff(groups)) + 1)


def _spread(length: int, count: int) -> NDArray[np.intp]:
    """`count` evenly spaced pixel indices, each the middle of its share of `length`."""
    return ((np.arange(count) + 0.5) * length / count).astype(np.intp)
