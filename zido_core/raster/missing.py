"""A nodata value that the user names, in an input that does not say so itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from ..tiling.grid import Tile
from .metadata import is_sentinel
from .source import Raster, Source


class WithNodata(Source):
    """A source in which ``nodata`` is missing, beside everything that the source itself counts as missing."""

    def __init__(self, source: Source, nodata: float) -> None:
        info = source.info
        bands = tuple(band if band.index == info.alpha else replace(band, nodata=nodata) for band in info.bands)
        self.info = replace(info, nodata=nodata, bands=bands)
        self.strip_rows = source.strip_rows
        self._source = source
        self._nodata = nodata
        self._alone = any(is_sentinel(band) for band in bands)

    def read(self, window: Tile | None = None, bands: Sequence[int] | None = None) -> Raster:
        """As for nodata in files: a number that could be a measurement must stand in all bands."""
        raster = self._source.read(window, bands)
        measured = raster.array != self._nodata
        valid = raster.valid & measured.any(axis=0)
        band_valid = raster.every_band_valid & (measured if self._alone else valid)
        uniform = bool((band_valid == valid).all())
        return replace(raster, valid=valid, band_valid=None if uniform else band_valid)

    def close(self) -> None:
        """Release the file."""
        self._source.close()
