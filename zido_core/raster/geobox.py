"""Where a raster lies on the ground, at any size.

Resizing keeps the extent: the corners of the resized raster are the corners of the original, for every kind of
georeferencing (affine, ground control points, rational polynomials, geolocation arrays). GDAL is not asked to do
this, because it got RPC offsets wrong for years (GDAL #3946, #10600).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from affine import Affine
from rasterio.control import GroundControlPoint
from rasterio.crs import CRS
from rasterio.rpc import RPC

from ..tiling.grid import Size, Tile

METRES_PER_DEGREE = 111_319.49079327358
"""Length of one degree on the equator of WGS 84, metres."""

GEOLOCATION_STEPS = ("PIXEL_OFFSET", "PIXEL_STEP", "LINE_OFFSET", "LINE_STEP")
"""Keys of the GEOLOCATION domain that count pixels of the raster: ``pixel = OFFSET + STEP * (index + half)``."""


@dataclass(frozen=True, kw_only=True)
class GeoBox:
    """Size of a raster and all that is known of its place; any part of the georeferencing may be missing."""

    size: Size
    """Height and width in pixels."""

    transform: Affine | None = None
    """Maps (col, row) of pixel corners to CRS coordinates; None where the file has none (GDAL's identity)."""

    crs: CRS | None = None
    """Reference system of `transform`, as the object read: custom WKT survives, an EPSG number would not."""

    gcps: tuple[GroundControlPoint, ...] = ()
    """Ground control points; `row` and `col` count from the corner of the first pixel."""

    gcps_crs: CRS | None = None
    """Reference system of the ground control points."""

    rpcs: RPC | None = None
    """Rational polynomial coefficients; line and sample count from the centre of the first pixel."""

    geolocation: tuple[tuple[str, str], ...] = ()
    """The GEOLOCATION domain as (key, value) pairs; the coordinate arrays stay in the datasets it names."""

    @property
    def georeferenced(self) -> bool:
        """True if anything ties the pixels to the ground."""
        return bool(self.transform or self.crs or self.gcps or self.rpcs or self.geolocation)

    def resized(self, size: Size) -> GeoBox:
        """The same extent with another number of pixels."""
        if size == self.size:
            return self
        vertical, horizontal = size.height / self.size.height, size.width / self.size.width
        return replace(
            self,
            size=size,
            transform=self.transform
            and self.transform * Affine.scale(self.size.width / size.width, self.size.height / size.height),
            gcps=tuple(_resized_gcp(gcp, vertical, horizontal) for gcp in self.gcps),
            rpcs=self.rpcs and _resized_rpcs(self.rpcs, vertical, horizontal),
            geolocation=_resized_geolocation(self.geolocation, vertical, horizontal),
        )
