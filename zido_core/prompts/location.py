"""From the coordinates of a prompts file to pixels of the image and back; whether the two belong together."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np

from ..tiling.grid import Size
from .geojson import PromptsFile, refusal
from .polygons import Ring

LONGITUDE_LATITUDE = "urn:ogc:def:crs:OGC:1.3:CRS84"
"""What GeoJSON means without a ``crs`` member (RFC 7946): EPSG:4326 in the order longitude, latitude."""


class ReferenceSystem(Protocol):
    """What is needed of a CRS object (rasterio's has it)."""

    def to_authority(self) -> tuple[str, str] | None: ...

    def to_wkt(self) -> str: ...

    def from_user_input(self, value: Any) -> Any: ...


class Placed(Protocol):
    """What is needed of a raster's ``GeoBox``."""

    @property
    def size(self) -> Size: ...

    @property
    def transform(self) -> Iterable[float] | None:
        """Affine coefficients a, b, c, d, e, f (and more) from (col, row) of pixel corners, or None."""

    @property
    def crs(self) -> ReferenceSystem | None: ...


@dataclass(frozen=True, kw_only=True)
class Placement:
    """Affine map between pixels of the image and the coordinates of a file."""

    matrix: tuple[float, float, float, float] | None
    """a, b, d, e of x = a col + b row + c, y = d col + e row + f; None = the file is in pixels."""

    origin: tuple[float, float] = (0.0, 0.0)
    """c, f: where the outer corner of the first pixel lies."""

    crs: ReferenceSystem | None = None
    """Reference system of the raster."""

    @classmethod
    def of(cls, placed: Placed) -> Placement:
        """Placement of a raster; in pixels where no affine transform ties it to the ground."""
        if placed.transform is None:
            return cls(matrix=None)
        a, b, c, d, e, f = (float(value) for value in tuple(placed.transform)[:6])
        if a * e == b * d:
            return cls(matrix=None)
        return cls(matrix=(a, b, d, e), origin=(c, f), crs=placed.crs)

    @property
    def in_pixels(self) -> bool:
        return self.matrix is None

    @property
    def crs_name(self) -> str | None:
        """Name of the reference system as QGIS and GDAL read it: a URN where that says it all, else WKT."""
        return None if self.crs is None else name_of(self.crs)

    def to_file(self, ring: Ring) -> Ring:
        """(col, row) → coordinates of the file."""
        if self.matrix is None:
            return ring
        return np.asarray(ring @ np.array(self.matrix).reshape(2, 2).T + self.origin, np.float64)

    def to_pixels(self, ring: Ring) -> Ring:
        """Coordinates of the file → (col, row)."""
        if self.matrix is None:
            return ring
        inverse = np.linalg.inv(np.array(self.matrix).reshape(2, 2))
        return np.asarray((ring - self.origin) @ inverse.T, np.float64)

    def for_file(self, file: PromptsFile) -> Placement:
        """The placement that reads this file; a file for another reference system is refused."""
        everywhere = all(feature.polygons is None for feature in file.features)
        if file.in_pixels or everywhere:
            return replace(self, matrix=None)
        if self.crs is None:
            # QGIS and GDAL call a file without a place longitude/latitude when they save it again.
            if file.crs is not None and not _is_longitude_latitude(file.crs):
                what = f"is in {file.crs:.80}, but the image has no reference system; draw in its pixels"
                raise refusal(file.path, what)
            return self
        mine, other = name_of(self.crs), file.crs or LONGITUDE_LATITUDE
        if file.crs is None and not mine.startswith("urn:"):
            return self  # GDAL, so QGIS, leaves out a system that has no code when it saves the file again
        if not _same(self.crs, mine, other, file):
            what = f"is in {other:.80}, but the raster in {mine:.80}; save it in the raster's system"
            raise refusal(file.path, what)
        return self


def name_of(crs: ReferenceSystem) -> str:
    """A name that reads back as the same reference system."""
    try:
        authority = crs.to_authority()
        name = f"urn:ogc:def:crs:{authority[0]}::{authority[1]}" if authority else ""
        # The authority's code may be a near match only.
        short = bool(name) and crs.from_user_input(name) == crs
    except ValueError:
        short = False
    if not short:
        return crs.to_wkt()
    return LONGITUDE_LATITUDE if _is_longitude_latitude(name) else name


def _is_longitude_latitude(name: str) -> bool:
    return name.upper().endswith(("CRS84", "EPSG::4326", "EPSG:4326"))


def _same(crs: ReferenceSystem, mine: str, other: str, file: PromptsFile) -> bool:
    if mine == other or (_is_longitude_latitude(mine) and _is_longitude_latitude(other)):
        return True
    try:
        return bool(crs.from_user_input(other) == crs)
    except ValueError as error:
        raise refusal(file.path, f"crs {other:.80} not understood ({error})") from None
