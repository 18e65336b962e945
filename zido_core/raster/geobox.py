"""Where a raster lies on the ground, at any size.

Resizing keeps the extent: the corners of the resized raster are the corners of the original, for every kind
of georeferencing (affine, ground control points, rational polynomials, geolocation arrays). GDAL is not asked
to do this, because it got RPC offsets wrong for years (GDAL #3946, #10600).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from affine import Affine
from rasterio.control import GroundControlPoint
from rasterio.crs import CRS
from rasterio.errors import CRSError
from rasterio.rpc import RPC

from ..tiling.grid import Size, Tile

METRES_PER_DEGREE = 111_319.49079327358
"""Length of one degree on the equator of WGS 84, in metres."""


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
    """Ground control points; their `row` and `col` count from the corner of the first pixel."""

    gcps_crs: CRS | None = None
    """Reference system of the ground control points."""

    rpcs: RPC | None = None
    """Rational polynomial coefficients; line and sample count from the centre of the first pixel."""

    geolocation: tuple[tuple[str, str], ...] = ()
    """The GEOLOCATION domain as (key, value) pairs; the coordinate arrays stay in the datasets it names."""

    @property
    def georeferenced(self) -> bool:
        """True if anything ties the pixels to the ground."""
        places = (self.transform, self.crs, self.rpcs, self.gcps or None, self.geolocation or None)
        return any(place is not None for place in places)

    def resized(self, size: Size) -> GeoBox:
        """The same extent with another number of pixels."""
        vertical, horizontal = size.height / self.size.height, size.width / self.size.width
        return replace(
            self,
            size=size,
            transform=_resized_transform(self.transform, self.size, size),
            gcps=tuple(_resized_gcp(gcp, vertical, horizontal) for gcp in self.gcps),
            rpcs=None if self.rpcs is None else _resized_rpcs(self.rpcs, vertical, horizontal),
            geolocation=tuple(_resized_geolocation(item, vertical, horizontal) for item in self.geolocation),
        )

    def to_crs(self, row: float, col: float) -> tuple[float, float]:
        """CRS coordinates (x, y) of a point in pixels, (0, 0) being the outer corner of the first pixel.

        Without a transform the point itself as (col, row).
        """
        if self.transform is None:
            return float(col), float(row)
        a, b, c, d, e, f = self.transform[:6]
        return a * col + b * row + c, d * col + e * row + f

    def footprint(self, tile: Tile | None = None) -> tuple[tuple[float, float], ...]:
        """Closed ring of five (x, y) around `tile` (default: the whole raster), from its first corner
        clockwise in the picture. Exact for rotated and sheared rasters; never a bounding box.
        """
        row, col, height, width = tile or Tile.whole(self.size)
        corners = (
            (row, col),
            (row, col + width),
            (row + height, col + width),
            (row + height, col),
            (row, col),
        )
        return tuple(self.to_crs(*corner) for corner in corners)

    @property
    def pixel_size(self) -> tuple[float, float] | None:
        """Length of a pixel's edges (down a column, along a row) in units of the CRS, also when rotated."""
        if self.transform is None:
            return None
        return math.hypot(self.transform.b, self.transform.e), math.hypot(self.transform.a, self.transform.d)

    @property
    def ground_resolution(self) -> float | None:
        """Metres per pixel at the centre, the geometric mean of both directions; None where the CRS cannot
        tell.

        Degrees are converted on the sphere, good to half a percent: enough to choose a model or a prompt.
        """
        if self.transform is None or self.crs is None:
            return None
        down, along = (self.transform.b, self.transform.e), (self.transform.a, self.transform.d)
        try:
            if self.crs.is_geographic:
                _, latitude = self.to_crs(self.size.height / 2, self.size.width / 2)
                to_metres = METRES_PER_DEGREE * max(math.cos(math.radians(latitude)), 0.0), METRES_PER_DEGREE
            else:
                to_metres = (self.crs.linear_units_factor[1],) * 2
        except CRSError:
            return None
        edges = [math.hypot(x * to_metres[0], y * to_metres[1]) for x, y in (down, along)]
        return math.sqrt(edges[0] * edges[1]) or None


def _resized_transform(transform: Affine | None, old: Size, new: Size) -> Affine | None:
    """T * scale(w/W, h/H), written out: rotation and shear scale with their column, the origin stays to the
    bit.
    """
    if transform is None:
        return None
    a, b, c, d, e, f = transform[:6]
    along, down = old.width / new.width, old.height / new.height
    return Affine(a * along, b * down, c, d * along, e * down, f)


def _resized_gcp(gcp: GroundControlPoint, vertical: float, horizontal: float) -> GroundControlPoint:
    return GroundControlPoint(
        row=gcp.row * vertical, col=gcp.col * horizontal, x=gcp.x, y=gcp.y, z=gcp.z, id=gcp.id, info=gcp.info
    )


def _resized_rpcs(rpcs: RPC, vertical: float, horizontal: float) -> RPC:
    """Offsets count from pixel centres: half a pixel is added before, taken after. The ground side stays."""
    fields = {name: getattr(rpcs, name) for name in RPC_FIELDS}
    fields["line_off"] = (rpcs.line_off + 0.5) * vertical - 0.5
    fields["samp_off"] = (rpcs.samp_off + 0.5) * horizontal - 0.5
    fields["line_scale"] = rpcs.line_scale * vertical
    fields["samp_scale"] = rpcs.samp_scale * horizontal
    return RPC(**fields)


def _resized_geolocation(item: tuple[str, str], vertical: float, horizontal: float) -> tuple[str, str]:
    """Array index i lies at pixel OFFSET + STEP * i (plus half a step by convention), so both grow with the
    pixels.
    """
    key, value = item
    factor = {"LINE": vertical, "PIXEL": horizontal}.get(key.partition("_")[0])
    if factor is None or not key.endswith(("_OFFSET", "_STEP")):
        return item
    return key, repr(float(value) * factor)


RPC_FIELDS = (
    *(f"{axis}_{part}" for axis in ("height", "lat", "long", "line", "samp") for part in ("off", "scale")),
    *(f"{axis}_{part}_coeff" for axis in ("line", "samp") for part in ("num", "den")),
    "err_bias",
    "err_rand",
)
"""Names of all values of a rasterio RPC object."""
