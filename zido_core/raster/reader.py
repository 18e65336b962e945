"""Open any image that rasterio or Pillow can read, and read it by window.

`open_source` decides: what is georeferenced, masked, has more than four bands or numbers that no photograph
has, is a raster; other PNG, JPEG, WebP, BMP and GIF files are photographs (see image.py).
"""

from __future__ import annotations

import base64
import contextlib
import os
import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from rasterio._err import CPLE_BaseError
from rasterio.errors import CRSError, RasterioError
from rasterio.io import DatasetReader
from rasterio.windows import Window

from ..errors import BadInput, OutOfMemory, ZidoError
from ..tiling.grid import Size, Tile
from . import image
from .gdal import quiet_stderr, quiet_warnings, reason, session
from .geobox import GeoBox
from .guard import MAX_PIXELS, Target, check_pixels, check_target
from .integrity import check_complete
from .metadata import (
    carried_tags,
    check_numbers,
    common_dtype,
    describe_bands,
    is_sentinel,
    nodata_masks,
    own_masks,
    shared_nodata,
)
from .palette import Palette, as_gray, read_palette
from .source import Band, PhotoMeta, Raster, Source, SourceInfo

__all__ = ["Band", "PhotoMeta", "Raster", "RasterSource", "Source", "SourceInfo", "open_source"]

T = TypeVar("T")

PHOTO_DRIVERS = frozenset({"PNG", "JPEG", "WEBP", "BMP", "GIF", "BIGGIF", "AVIF"})


def open_source(
    path: str | os.PathLike[str],
    *,
    allow_remote: bool = False,
    allow_vrt: bool = False,
    max_pixels: int = MAX_PIXELS,
) -> Source:
    """Open an input for reading.

    `allow_remote` lets URLs, /vsi paths and GDAL prefixes in, `allow_vrt` lets files in that name other
    files. Raises InputNotFound, InputRefused or BadInput with one line for the user; nothing is printed.
    """
    target = check_target(path, allow_remote=allow_remote, allow_vrt=allow_vrt)
    with session(remote=target.remote, network=target.network) as messages, quiet_warnings():
        try:
            with quiet_stderr(messages):
                dataset = DatasetReader(target.address, driver=list(target.drivers))
        except (RasterioError, CPLE_BaseError, ValueError, TypeError) as error:
            return _open_without_gdal(target, max_pixels, reason(error))
        try:
            return _open_dataset(target, dataset, max_pixels, messages)
        except ZidoError:
            dataset.close()
            raise
        except Exception as error:  # damaged headers give any: text that is no UTF-8, a bad CRS...
            dataset.close()
            raise BadInput(f"{target.name} is damaged: {reason(error)}") from error


class RasterSource(Source):
    """A dataset read by window through rasterio."""

    def __init__(
        self,
        dataset: DatasetReader,
        info: SourceInfo,
        target: Target,
        *,
        stored: tuple[Band, ...],
        palette: Palette | None,
    ) -> None:
        self.info = info
        block_rows = dataset.block_shapes[0][0]
        self.strip_rows = block_rows * max(1, 512 // block_rows) if block_rows <= 2048 else 1024
        self._dataset = dataset
        self._stored = {band.index: band for band in stored}
        self._palette = palette
        self._masked = own_masks(dataset) | nodata_masks(dataset)
        self._target = target
        self._lock = threading.Lock()

    def read(self, window: Tile | None = None, bands: Sequence[int] | None = None) -> Raster:
        window = self.checked_window(window)
        bands = self.checked_bands(bands)
        view = Window(window.col, window.row, window.width, window.height)
        try:
            with self._lock, session(remote=self._target.remote, network=self._target.network):
                if self._palette is not None:
                    return self._read_palette(view, self._palette, bands)
                return self._read_bands(view, bands)
        except MemoryError as error:
            found = f"{window.width} x {window.height} px of {self.info.name}"
            raise OutOfMemory(f"no memory to read {found}") from error
        except (RasterioError, ValueError, CPLE_BaseError) as error:
            where = f"row {window.row}, column {window.col}"
            raise BadInput(f"{self.info.name} is damaged or cut off at {where} ({reason(error)})") from error

    def overview(self, window: Tile, size: Size, bands: Sequence[int]) -> Raster | None:
        if self._palette is not None:
            return None
        view = Window(window.col, window.row, window.width, window.height)
        with self._lock, session(remote=self._target.remote, network=self._target.network), quiet_warnings():
            least = min(self._dataset.overviews(bands[0]), default=0)
            if not least or least * size.height > window.height:
                return None
            array = self._dataset.read(list(bands), window=view, out_shape=(len(bands), *size))
            valid = self._dataset.dataset_mask(window=view, out_shape=tuple(size)) != 0
        return Raster(array=array, valid=valid & np.isfinite(array).all(axis=0))

    def close(self) -> None:
        with self._lock:
            self._dataset.close()

    def _read_bands(self, view: Window, bands: tuple[int, ...]) -> Raster:
        array = self._pixels(view, bands)
        alpha = None if self.info.alpha is None else self._pixels(view, (self.info.alpha,))[0]
        if self._masked.intersection(bands):
            band_valid = self._masks(view, bands)
            ordinary = [place for place, index in enumerate(bands) if not is_sentinel(self._stored[index])]
            band_valid[ordinary] = band_valid.any(axis=0)
        elif alpha is not None:
            band_valid = np.broadcast_to(alpha != 0, array.shape)
        else:
            band_valid = np.broadcast_to(np.True_, array.shape)
        return _with_validity(array, band_valid, alpha)

    def _read_palette(self, view: Window, palette: Palette, bands: tuple[int, ...]) -> Raster:
        colours, alpha = palette.expand(self._pixels(view, (1,))[0])
        valid = self._masks(view, (1,))[0]
        array = colours[[index - 1 for index in bands]]
        if alpha is not None and 1 not in self._masked:
            valid = valid & (alpha != 0)
        return _with_validity(array, np.broadcast_to(valid, array.shape), alpha)

    def _pixels(self, view: Window, bands: tuple[int, ...]) -> NDArray[Any]:
        stored = np.result_type(*(np.dtype(self._stored[index].dtype) for index in bands))
        array: NDArray[Any] = self._dataset.read(list(bands), window=view, out_dtype=str(stored))
        return array.astype(self.info.dtype, copy=False)

    def _masks(self, view: Window, bands: tuple[int, ...]) -> NDArray[np.bool_]:
        """GDAL's own masks: its notion of equality with nodata, of masks in files and of tuples."""
        # rasterio warns at each read that nodata hides alpha; `Raster.valid` documents it.
        with quiet_warnings() if self.info.alpha else contextlib.nullcontext():
            return np.asarray(self._dataset.read_masks(list(bands), window=view) != 0)


def _with_validity(array: NDArray[Any], band_valid: NDArray[np.bool_], alpha: NDArray[Any] | None) -> Raster:
    valid: NDArray[np.bool_] = np.asarray(band_valid.any(axis=0))
    if array.dtype.kind == "f":
        finite = np.isfinite(array)
        band_valid = band_valid & finite
        valid = valid & finite.all(axis=0)
    uniform = bool((band_valid == valid).all())
    return Raster(array=array, valid=valid, band_valid=None if uniform else band_valid, alpha=alpha)


def _open_dataset(target: Target, dataset: DatasetReader, max_pixels: int, messages: list[str]) -> Source:
    size = Size(dataset.height, dataset.width)
    # GDAL reads EXIF and XML when first asked, and rasterio raises their errors where it looks next. The
    # pixels are good all the same: ask once, so that later questions are answered.
    for ask in (dataset.tags, lambda: dataset.colorinterp):
        with contextlib.suppress(RasterioError, CPLE_BaseError, ValueError):
            ask()
    check_numbers(target.name, dataset)
    check_pixels(target.name, size, max_pixels)
    bands = describe_bands(dataset)
    if target.path is not None:
        check_complete(target.path, dataset, bands)
    info = _describe(target, dataset, bands, messages)
    if target.path is not None and dataset.driver in PHOTO_DRIVERS:
        photo = image.open_photo(target.path, dataset, info)
        if photo is not None:
            return photo
        info = replace(info, photo=image.read_meta(target.path, upright=False))
    palette = read_palette(target.name, dataset)
    if palette is not None:
        info = palette.describe(info)
    elif any(band.interpretation == "palette" for band in bands):
        info = as_gray(info)
    return RasterSource(dataset, info, target, stored=bands, palette=palette)


def _open_without_gdal(target: Target, max_pixels: int, gdal_says: str) -> Source:
    photo = None if target.path is None else image.open_other(target.path, max_pixels)
    if photo is None:
        raise BadInput(f"{target.name} is not an image that zido reads, or it is damaged ({gdal_says})")
    return photo


def _describe(target: Target, dataset: DatasetReader, bands: tuple[Band, ...], messages: list[str]) -> SourceInfo:
    alpha = next((band.index for band in bands if band.interpretation == "alpha"), None)
    if alpha is not None and len(bands) == 1:
        alpha = None
    return SourceInfo(
        path=target.path,
        name=target.name,
        kind="raster",
        driver=dataset.driver,
        count=len(bands),
        dtype=common_dtype(bands),
        geobox=_geobox(dataset),
        bands=bands,
        nodata=shared_nodata(bands, alpha),
        has_mask=bool(own_masks(dataset) - {alpha}),
        alpha=alpha,
        tags=carried_tags(dataset),
        photo=_colour_profile(dataset),
        warnings=tuple(_warnings(dataset, bands, alpha, messages)),
    )


def _geobox(dataset: DatasetReader) -> GeoBox:
    gcps, gcps_crs = dataset.gcps
    return GeoBox(
        size=Size(dataset.height, dataset.width),
        transform=None if dataset.transform.is_identity else dataset.transform,
        crs=_or_none(lambda: dataset.crs),
        gcps=tuple(gcps),
        gcps_crs=gcps_crs or None if gcps else None,
        rpcs=_or_none(lambda: dataset.rpcs),
        geolocation=tuple(dataset.tags(ns="GEOLOCATION").items()),
    )


def _or_none(read: Callable[[], T]) -> T | None:
    """Georeferencing that cannot be understood is left out; the pixels are still good."""
    try:
        return read() or None
    except (CRSError, KeyError, IndexError, ValueError, TypeError):
        return None


def _colour_profile(dataset: DatasetReader) -> PhotoMeta | None:
    profile = dataset.tags(ns="COLOR_PROFILE").get("SOURCE_ICC_PROFILE")
    if not profile:
        return None
    return PhotoMeta(format=dataset.driver, mode="", upright=False, icc=base64.b64decode(profile))


def _warnings(dataset: DatasetReader, bands: tuple[Band, ...], alpha: int | None, messages: list[str]) -> list[str]:
    found = []
    pages = len(dataset.subdatasets)
    if pages > 1:
        found.append(f"only the first of {pages} pages is read")
    if len({band.dtype for band in bands}) > 1:
        found.append(f"bands have different data types; all are read as {common_dtype(bands)}")
    if any(band.dtype in {"int64", "uint64"} for band in bands):
        found.append("64-bit integers beyond 2**53 lose their last digits")
    if sum(band.interpretation == "alpha" for band in bands) > 1:
        found.append(f"several alpha bands; only band {alpha} is used as opacity")
    if dataset.tags(ns="RPC") and _or_none(lambda: dataset.rpcs) is None:
        found.append("the RPC tags are incomplete and left out")
    if dataset.tags(ns="GEOLOCATION"):
        found.append("geolocation arrays stay in the files that the input names; keep those with the output")
    found += [f"GDAL: {text}" for text in dict.fromkeys(messages) if "Unknown field with tag" not in text]
    return found[:8]
