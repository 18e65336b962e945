"""Writing rasters through rasterio: GeoTIFF, COG and JPEG 2000."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
import rasterio.shutil
from numpy.typing import NDArray
from rasterio.windows import Window

from ..errors import OutputFailed
from ..tiling.grid import Tile
from .carry import DOMAIN, describe, release_band_tags
from .creation import copy_options, lossless, tiff_options
from .gdal import quiet_warnings, session
from .output import OutputSpec, OutputWriter
from .photo import PhotoWriter

__all__ = ["OutputSpec", "OutputWriter", "RasterWriter", "open_output"]


STAGE = {"ZLEVEL": "1"}
"""Creation options of a GeoTIFF that only lives until it is copied."""


def open_output(spec: OutputSpec, provenance: Mapping[str, str] | None = None) -> OutputWriter:
    """The writer for `spec`; `provenance` goes into the `ZIDO` tags or the comment of a photograph."""
    writer = RasterWriter if spec.format.through == "rasterio" else PhotoWriter
    return writer(spec, provenance)


class RasterWriter(OutputWriter):
    """Writes a tiled GeoTIFF, and from it, if asked for, a COG or JPEG 2000 file."""

    _dataset: Any = None

    @property
    def _copied(self) -> bool:
        """True if the GeoTIFF is only a stage: these drivers need a finished source."""
        return self.spec.cog or self.spec.format.driver != "GTiff"

    def _open(self) -> None:
        spec = self.spec
        tiled = self._part.path
        if self._copied:
            tiled = self._part.stage("-tiled").with_suffix(".tif")
        with _writing(tiled), quiet_warnings():
            self._dataset = rasterio.open(
                tiled,
                "w",
                driver="GTiff",
                width=spec.size.width,
                height=spec.size.height,
                count=spec.count,
                dtype=spec.dtype,
                nodata=spec.nodata,
                **tiff_options(spec, STAGE if self._copied else spec.options),
            )
            describe(self._dataset, spec)
        self._tiled = tiled

    def _put(self, planes: NDArray[Any], window: Tile) -> None:
        with _writing(self._tiled):
            self._dataset.write(planes, window=_window(window))

    def _put_mask(self, mask: NDArray[np.uint8], window: Tile) -> None:
        with _writing(self._tiled):
            self._dataset.write_mask(mask, window=_window(window))

    def _finish(self) -> None:
        with _writing(self._tiled):
            if self.provenance:
                self._dataset.update_tags(ns=DOMAIN, **self.provenance)
            dataset, self._dataset = self._dataset, None
            dataset.close()
            if not self._copied:
                return
            path, driver = self._part.path, "COG" if self.spec.cog else self.spec.format.driver
            with quiet_warnings():
                rasterio.shutil.copy(self._tiled, path, driver=driver, **copy_options(self.spec))
        self._tiled.unlink()
        if self.spec.cog:
            release_band_tags(path, sum(len(band.tags) for band in self.spec.bands))

    def _verify(self) -> None:
        spec, exact = self.spec, lossless(self.spec)
        with _writing(self._part.path), quiet_warnings(), rasterio.open(self._part.path) as dataset:
            found = (dataset.shape, dataset.count, dataset.dtypes[0])
            if found != (spec.size, spec.count, spec.dtype):
                raise OutputFailed(f"{spec.path.name} reads back as {found}; try other creation options")
            if spec.cog and dataset.tags(ns="IMAGE_STRUCTURE").get("LAYOUT") != "COG":
                raise OutputFailed(f"GDAL {rasterio.__gdal_version__} made no COG of it; omit --cog")
            self._ledger.verify(lambda tile: dataset.read(window=_window(tile)), exact=exact)
            if spec.has_mask:
                self._mask_ledger.verify(lambda tile: dataset.read_masks([1], window=_window(tile)))

    def _close(self) -> None:
        dataset, self._dataset = self._dataset, None
        if dataset is None:
            return
        with contextlib.suppress(Exception), _writing(self._tiled):
            # Closing flushes; room for that spares the user libtiff's complaints about a full disk on stderr.
            os.truncate(self._tiled, 0)
            dataset.close()


def _window(tile: Tile) -> Window:
    return Window(tile.col, tile.row, tile.width, tile.height)


@contextlib.contextmanager
def _writing(path: Path) -> Iterator[None]:
    """GDAL set up for one call: masks inside the file, temporary files beside it (not in a small /tmp)."""
    with session(), rasterio.Env(GDAL_TIFF_INTERNAL_MASK="YES", CPL_TMPDIR=str(path.parent)):
        yield
