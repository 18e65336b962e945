"""Photographs, through Pillow: pixels, and what belongs to a picture rather than to a map (EXIF, ICC, XMP,
DPI).

A photograph is decoded once, turned upright and kept in memory. Pillow reduces 16-bit RGB to 8 bits without a
word, so the pixels of such files come through rasterio and only the metadata through Pillow.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ..errors import BadInput, OutOfMemory, ZidoError
from ..tiling.grid import Size, Tile
from .gdal import quiet_warnings, reason, session
from .geobox import GeoBox
from .guard import check_pixels
from .photo_meta import photo_meta, texts
from .source import Band, PhotoMeta, Raster, Source, SourceInfo

if TYPE_CHECKING:
    from rasterio.io import DatasetReader

MAX_PHOTO_PIXELS = 1 << 28
"""Photographs beyond this are read by window as rasters; decoding them whole would take gigabytes."""

FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "GIF", "AVIF", "PPM", "QOI", "PCX", "ICO", "DIB")
"""Pillow formats that zido opens: no container of other files, no page description language."""

PLANES = {
    "L": ("gray",),
    "LA": ("gray", "alpha"),
    "RGB": ("red", "green", "blue"),
    "RGBA": ("red", "green", "blue", "alpha"),
    "I;16": ("gray",),
    "F": ("gray",),
}
"""Pillow modes that need no conversion, and the bands they hold."""

CONVERSIONS = {
    "1": "L",
    "La": "LA",
    "RGBX": "RGB",
    "RGBa": "RGBA",
    "PA": "RGBA",
    "YCbCr": "RGB",
    "HSV": "RGB",
}
"""Pillow modes that hold the same colours as another one."""

Decoder = Callable[[], NDArray[Any]]
"""Gives all planes (bands, height, width), alpha included, upright."""


class PhotoSource(Source):
    """A photograph; decoded on the first read, then kept."""

    def __init__(self, info: SourceInfo, decode: Decoder, close: Callable[[], None]) -> None:
        self.info = info
        self._decode = decode
        self._close = close
        self._planes: NDArray[Any] | None = None
        self._lock = threading.Lock()

    def read(self, window: Tile | None = None, bands: Sequence[int] | None = None) -> Raster:
        row, col, height, width = self.checked_window(window)
        bands = self.checked_bands(bands)
        planes = self._decoded()[:, row : row + height, col : col + width]
        alpha = None if self.info.alpha is None else planes[self.info.alpha - 1].copy()
        array = planes[[band - 1 for band in bands]]
        valid = np.ones((height, width), bool) if alpha is None else alpha != 0
        if array.dtype.kind == "f":
            valid &= np.isfinite(array).all(axis=0)
        return Raster(array=array, valid=valid, alpha=alpha)

    def close(self) -> None:
        with self._lock:
            self._planes = None
            self._close()

    def _decoded(self) -> NDArray[Any]:
        with self._lock:
            if self._planes is None:
                try:
                    with quiet_warnings():
                        self._planes = self._decode()
                except MemoryError as error:
                    raise OutOfMemory(f"no memory to decode {self.info.name}") from error
                except ZidoError:
                    raise
                except Exception as error:  # decoders raise SyntaxError, struct.error, zlib.error...
                    raise _damaged(self.info.name, error) from error
            return self._planes


def open_photo(path: Path, dataset: DatasetReader, info: SourceInfo) -> PhotoSource | None:
    """The photograph that GDAL opened as `dataset`; None if it has anything that only a raster has."""
    if info.geobox.georeferenced or info.size.height * info.size.width > MAX_PHOTO_PIXELS:
        return None
    if info.dtype not in {"uint8", "uint16"} or any(band.description for band in info.bands):
        return None
    picture = _open(path)
    if picture is None:
        return None
    # GDAL shows a transparent colour as nodata or as a mask; any other nodata or mask makes a raster.
    if (info.nodata is not None or info.has_mask) and "transparency" not in picture.info:
        picture.close()
        return None
    if info.dtype == "uint8":
        dataset.close()
        return _from_pillow(path, picture, info.driver, info.warnings)
    return _from_dataset(dataset, picture, info)


def open_other(path: Path, max_pixels: int) -> PhotoSource | None:
    """A picture in a format that GDAL did not open; None if Pillow cannot either."""
    picture = _open(path)
    if picture is None:
        return None
    size = Size(picture.height, picture.width)
    check_pixels(path.name, size, max_pixels)
    if size.height * size.width > MAX_PHOTO_PIXELS:
        raise BadInput(f"{path.name} is too large to be read as {picture.format}; convert it to TIFF first")
    return _from_pillow(path, picture, str(picture.format), ())


def read_meta(path: Path, *, upright: bool) -> PhotoMeta | None:
    """EXIF, ICC, XMP and DPI of a picture; None if Pillow cannot open it."""
    picture = _open(path)
    if picture is None:
        return None
    with picture:
        return photo_meta(picture, upright=upright)[0]


def turn(planes: NDArray[Any], orientation: int) -> NDArray[Any]:
    """(bands, height, width) stored with this EXIF orientation, as it is to be seen."""
    if orientation in {5, 6, 7, 8}:
        planes = planes.swapaxes(1, 2)
    if orientation in {3, 4, 7, 8}:
        planes = planes[:, ::-1]
    if orientation in {2, 3, 6, 7}:
        planes = planes[:, :, ::-1]
    return np.ascontiguousarray(planes)


def _open(path: Path) -> Image.Image | None:
    """Like Image.open, but without its pixel limit (ours is checked) and with our list of formats."""
    Image.init()
    with path.open("rb") as file:
        head = file.read(16)
    for name in FORMATS:
        factory, accept = Image.OPEN.get(name, (None, None))
        # Plugins signal "not mine" and "damaged" by SyntaxError, struct.error, IndexError, OSError...
        with contextlib.suppress(Exception):
            if factory is None or (accept is not None and accept(head) is not True):
                continue
            return factory(str(path), "")  # type: ignore[arg-type]  # a path is fine, too
    return None


def _from_pillow(path: Path, picture: Image.Image, driver: str, warnings: tuple[str, ...]) -> PhotoSource:
    try:
        mode = _target_mode(path.name, picture)
        meta, more = photo_meta(picture, upright=True)
        tags = texts(picture)
    except Exception as error:
        picture.close()
        if isinstance(error, ZidoError):
            raise
        raise _damaged(path.name, error) from error
    if picture.mode in {"P", "PA"}:
        more = (f"palette expanded to {mode}: indices cannot be upscaled", *more)
    if _animated(picture):
        more = (f"only the first of {getattr(picture, 'n_frames', 2)} pictures is read", *more)
    size = Size(picture.height, picture.width)
    dtype = {"I;16": "uint16", "F": "float32"}.get(mode, "uint8")
    info = SourceInfo(
        path=path,
        name=path.name,
        kind="photo",
        driver=driver,
        count=len(PLANES[mode]),
        dtype=dtype,
        geobox=GeoBox(size=_upright(size, meta.orientation)),
        bands=tuple(Band(index=index, interpretation=name, dtype=dtype) for index, name in enumerate(PLANES[mode], 1)),
        alpha=PLANES[mode].index("alpha") + 1 if "alpha" in PLANES[mode] else None,
        tags=tags,
        photo=meta,
        warnings=more + warnings,
    )

    def decode() -> NDArray[Any]:
        picture.load()
        shown = picture if picture.mode == mode else picture.convert(mode)
        pixels = np.asarray(shown)
        return turn(pixels[None] if pixels.ndim == 2 else np.moveaxis(pixels, 2, 0), meta.orientation)

    return PhotoSource(info, decode, picture.close)


def _from_dataset(dataset: DatasetReader, picture: Image.Image, info: SourceInfo) -> PhotoSource:
    """16 bits: pixels through rasterio."""
    with picture:
        meta, more = photo_meta(picture, upright=True)
        found = texts(picture)
    hidden = (info.nodata is not None or info.has_mask) and info.alpha is None
    bands = info.bands
    if hidden:
        bands = (*bands, Band(index=len(bands) + 1, interpretation="alpha", dtype=info.dtype))
    info = replace(
        info,
        kind="photo",
        count=len(bands),
        bands=tuple(replace(band, nodata=None) for band in bands),
        nodata=None,
        has_mask=False,
        alpha=len(bands) if hidden else info.alpha,
        geobox=GeoBox(size=_upright(info.size, meta.orientation)),
        tags=found,
        photo=meta,
        warnings=info.warnings + more,
    )

    def decode() -> NDArray[Any]:
        with session():
            planes = dataset.read()
            if hidden:
                shown = (dataset.read_masks() != 0).any(axis=0, keepdims=True)
                planes = np.concatenate([planes, shown.astype(planes.dtype) * np.iinfo(planes.dtype).max])
        return turn(planes, meta.orientation)

    return PhotoSource(info, decode, dataset.close)


def _damaged(name: str, error: Exception) -> BadInput:
    return BadInput(f"{name} is damaged or cut off ({reason(error)}); fetch it again")


def _target_mode(name: str, picture: Image.Image) -> str:
    mode = picture.mode
    transparent = "transparency" in picture.info
    if mode == "P":
        table = np.reshape(picture.getpalette("RGB") or [0, 0, 0], (-1, 3))
        colours = "L" if (table == table[:, :1]).all() else "RGB"
        return colours + "A" * transparent
    if transparent and mode in {"1", "L", "RGB"}:
        return "RGBA" if mode == "RGB" else "LA"
    mode = CONVERSIONS.get(mode, mode)
    if mode == "CMYK":
        raise BadInput(f"{name} holds printing colours (CMYK); convert it to RGB first")
    if mode.startswith("I;16") or mode == "I":
        return "I;16"
    if mode not in PLANES:
        raise BadInput(f"{name} holds {mode} pixels; expected gray, RGB or RGBA: convert it first")
    return mode


def _upright(size: Size, orientation: int) -> Size:
    return Size(size.width, size.height) if orientation >= 5 else size


def _animated(picture: Image.Image) -> bool:
    """Counting frames reads on in the file, which may be damaged there."""
    with contextlib.suppress(Exception):
        return bool(getattr(picture, "is_animated", False))
    return False
