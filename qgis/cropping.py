"""Where an extent lies in a raster, and that part of it as a file of its own."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from osgeo import gdal
from qgis.core import QgsProcessingException

Affine = tuple[float, float, float, float, float, float]
"""GDAL's order: x = t[0] + col t[1] + row t[2], y = t[3] + col t[4] + row t[5]."""

UNPLACED: Affine = (0.0, 1.0, 0.0, 0.0, 0.0, -1.0)
"""Where QGIS draws a raster that lies nowhere: pixels as units, y upwards."""


@dataclass(frozen=True, kw_only=True)
class Window:
    """Whole pixels of a raster."""

    row: int
    col: int
    height: int
    width: int


@dataclass(frozen=True, kw_only=True)
class Grid:
    """Where the pixels of a raster lie in its reference system."""

    transform: Affine
    """From pixel corners to coordinates."""

    height: int
    width: int

    @classmethod
    def of(cls, source: str) -> Grid:
        """That of a file that GDAL reads."""
        dataset = _open(source)
        transform = dataset.GetGeoTransform(can_return_null=True) or UNPLACED
        return cls(transform=tuple(transform), height=dataset.RasterYSize, width=dataset.RasterXSize)

    def to_pixel(self, x: float, y: float) -> tuple[float, float]:
        """Column and row of a place."""
        a, b, c, d, e, f = self.transform
        determinant = b * f - c * e
        dx, dy = x - a, y - d
        return (f * dx - c * dy) / determinant, (b * dy - e * dx) / determinant

    def to_place(self, col: float, row: float) -> tuple[float, float]:
        """The place of a pixel's corner."""
        a, b, c, d, e, f = self.transform
        return a + b * col + c * row, d + e * col + f * row

    def window(self, corners: Sequence[tuple[float, float]]) -> Window | None:
        """The pixels that the polygon of these places touches; None if it lies outside."""
        cols, rows = zip(*(self.to_pixel(x, y) for x, y in corners), strict=True)
        left, right = _touched(cols, self.width)
        top, bottom = _touched(rows, self.height)
        if left >= right or top >= bottom:
            return None
        return Window(row=top, col=left, height=bottom - top, width=right - left)


def _touched(positions: Sequence[float], size: int) -> tuple[int, int]:
    """First and last whole pixel; what a rounded extent touches by a thousandth does not count."""
    return max(math.floor(min(positions) + 1e-3), 0), min(math.ceil(max(positions) - 1e-3), size)


def crop(source: str, window: Window, path: str, cancelled: Callable[[], bool]) -> None:
    """Write the window of a raster to a GeoTIFF, with all that GDAL keeps of it."""
    box = [window.col, window.row, window.width, window.height]
    made = gdal.Translate(
        path,
        _open(source),
        format="GTiff",
        srcWin=box,
        creationOptions=["TILED=YES", "BIGTIFF=IF_SAFER"],
        callback=lambda share, message, data: 0 if cancelled() else 1,
    )
    if made is None:
        if cancelled():
            raise QgsProcessingException("zido: stopped on request; nothing was written")
        why = gdal.GetLastErrorMsg() or "GDAL gives no reason"
        raise QgsProcessingException(f"zido: the part within the extent could not be copied: {why}")
    made.FlushCache()


def _open(source: str) -> gdal.Dataset:
    dataset = gdal.Open(source)
    if dataset is None:
        raise QgsProcessingException(f"zido: GDAL cannot open {source}: {gdal.GetLastErrorMsg()}")
    return dataset
