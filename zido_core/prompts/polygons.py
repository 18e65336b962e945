"""How much of a rectangle a polygon covers: Sutherland-Hodgman clipping and the shoelace formula.

A ring is an (n, 2) array of (col, row) points, closed or not. A polygon is its outer ring, then its holes.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Ring = npt.NDArray[np.float64]
Polygon = tuple[Ring, ...]


def area(ring: Ring) -> float:
    """Area inside a ring, whichever way it runs; pieces of zero width count nothing."""
    if len(ring) < 3:
        return 0.0
    x, y = (ring - ring[0]).T  # from the first point: projected coordinates are large
    return abs(float(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1)))) / 2.0


def clip_below(ring: Ring, axis: int, limit: float) -> Ring:
    """The part of the ring where coordinate ``axis`` is at most ``limit``."""
    if len(ring) == 0:
        return ring
    start, end = ring, np.roll(ring, -1, axis=0)
    before, after = limit - start[:, axis], limit - end[:, axis]
    crosses = (before >= 0.0) != (after >= 0.0)
    share = np.divide(before, before - after, out=np.zeros_like(before), where=crosses)
    points = np.stack([start, start + share[:, None] * (end - start)], axis=1)
    points[crosses, 1, axis] = limit
    kept: Ring = points[np.stack([before >= 0.0, crosses], axis=1)]
    return kept


def clip_between(ring: Ring, axis: int, low: float, high: float) -> Ring:
    """The part of the ring where coordinate ``axis`` lies between two limits."""
    below = clip_below(ring, axis, high)
    return -clip_below(-below, axis, -low)


def clip_polygon(polygon: Polygon, axis: int, low: float, high: float) -> Polygon:
    """A polygon with its holes between two limits."""
    return tuple(clip_between(ring, axis, low, high) for ring in polygon)


def polygon_area(polygon: Polygon) -> float:
    """Area of the outer ring without the holes."""
    outer, *holes = polygon
    return max(0.0, area(outer) - sum(area(hole) for hole in holes))


def bounds(polygons: Sequence[Polygon]) -> tuple[float, float, float, float]:
    """(least col, least row, greatest col, greatest row) of all outer rings."""
    points = np.concatenate([polygon[0] for polygon in polygons])
    low, high = points.min(axis=0), points.max(axis=0)
    return float(low[0]), float(low[1]), float(high[0]), float(high[1])
