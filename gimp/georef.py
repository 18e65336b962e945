"""Where an image lies on the ground, as GIMP keeps it: the values of GeoTIFF's tags, attached to the image.

GIMP attaches them when it opens a GeoTIFF and writes them when it exports one, but does not change them when an image
is cropped or scaled. A pixel of the input with corner (x, y) and one of the output with corner (X, Y) are the same
place where ``x = X / sx + x0`` and ``y = Y / sy + y0``.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from .tiff import ASCII, CODES, GEO_TYPES, Numbers

PIXEL_SCALE, TIE_POINTS, MATRIX, KEYS, DOUBLES, TEXTS = 33550, 33922, 34264, 34735, 34736, 34737

PARASITES = {
    "Gimp_GeoTIFF_ModelPixelScale": PIXEL_SCALE,
    "Gimp_GeoTIFF_ModelTiePoint": TIE_POINTS,
    "Gimp_GeoTIFF_ModelTransformation": MATRIX,
    "Gimp_GeoTIFF_KeyDirectory": KEYS,
    "Gimp_GeoTIFF_DoubleParams": DOUBLES,
    "Gimp_GeoTIFF_Asciiparams": TEXTS,
}
"""GIMP's names of the tags."""

RASTER_TYPE_KEY, PIXEL_IS_POINT = 1025, 2


@dataclass(frozen=True, kw_only=True)
class Window:
    """Which part of an image an output shows, and how much larger."""

    x0: float = 0.0
    """Left edge, pixels of the image."""

    y0: float = 0.0
    """Upper edge, pixels of the image."""

    sx: float = 1.0
    """Output pixels per pixel of the image, along a row."""

    sy: float = 1.0
    """Output pixels per pixel of the image, along a column."""


def from_parasites(parasites: Mapping[str, bytes]) -> dict[int, tuple[float, ...] | bytes]:
    """Values of tags from parasites by name; those that cannot be understood are left out."""
    tags: dict[int, tuple[float, ...] | bytes] = {}
    for name, raw in parasites.items():
        tag = PARASITES.get(name)
        if tag is None:
            continue
        kind = GEO_TYPES[tag]
        if kind == ASCII:
            tags[tag] = raw
        elif raw and len(raw) % struct.calcsize(CODES[kind]) == 0:
            tags[tag] = struct.unpack(f"={len(raw) // struct.calcsize(CODES[kind])}{CODES[kind]}", raw)
    return tags


def to_parasites(tags: Numbers) -> dict[str, bytes]:
    """The inverse."""
    raw = {}
    for name, tag in PARASITES.items():
        values = tags.get(tag)
        if isinstance(values, bytes):
            raw[name] = values
        elif values is not None:
            raw[name] = struct.pack(f"={len(values)}{CODES[GEO_TYPES[tag]]}", *values)
    return raw


def moved(tags: Numbers, window: Window) -> dict[int, tuple[float, ...] | bytes]:
    """The tags of an output that shows that window."""
    result = dict(tags)
    half = 0.5 if _pixel_is_point(tags) else 0.0  # such tags count from the centre of the first pixel
    if PIXEL_SCALE in tags:
        scale = tuple(float(value) for value in tags[PIXEL_SCALE])
        result[PIXEL_SCALE] = (scale[0] / window.sx, scale[1] / window.sy, *scale[2:])
    if TIE_POINTS in tags:
        result[TIE_POINTS] = tuple(_tie_points(tags[TIE_POINTS], window, half))
    if MATRIX in tags and len(tags[MATRIX]) == 16:
        x0 = window.x0 + half / window.sx - half
        y0 = window.y0 + half / window.sy - half
        result[MATRIX] = tuple(
            number
            for a, b, c, d in zip(*[iter(float(value) for value in tags[MATRIX])] * 4, strict=True)
            for number in (a / window.sx, b / window.sy, c, a * x0 + b * y0 + d)
        )
    return result


def _tie_points(values: tuple[float, ...] | bytes, window: Window, half: float) -> Iterator[float]:
    for i, j, k, x, y, z in zip(*[iter(float(value) for value in values)] * 6, strict=False):
        yield (i + half - window.x0) * window.sx - half
        yield (j + half - window.y0) * window.sy - half
        yield from (k, x, y, z)


def _pixel_is_point(tags: Numbers) -> bool:
    keys = tuple(tags.get(KEYS, ()))
    entries = zip(*[iter(keys[4:])] * 4, strict=False)
    return any(key == RASTER_TYPE_KEY and value == PIXEL_IS_POINT for key, _, _, value in entries)
