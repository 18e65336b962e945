"""What a picture says beside its pixels: EXIF, XMP, ICC, resolution, texts."""

from __future__ import annotations

import math
import re
from typing import Any

from PIL import Image

from .gdal import one_line, quiet_warnings
from .source import PhotoMeta

ORIENTATION = 0x0112
"""EXIF tag."""


def photo_meta(picture: Image.Image, *, upright: bool) -> tuple[PhotoMeta, tuple[str, ...]]:
    """Metadata to carry, and warnings about what is lost."""
    warnings: tuple[str, ...] = ()
    orientation, exif = 1, None
    xmp = picture.info.get("xmp") or picture.info.get("XML:com.adobe.xmp")
    if isinstance(xmp, str):
        xmp = xmp.encode()
    try:
        with quiet_warnings():
            found = picture.getexif()
            orientation = int(found.get(ORIENTATION, 1))
            orientation = orientation if 1 <= orientation <= 8 else 1
            if upright and ORIENTATION in found:
                found[ORIENTATION] = 1
            exif = found.tobytes() if len(found) else None
    except Exception as error:  # EXIF is full of surprises; a picture is not refused for it
        if picture.info.get("exif"):
            warnings = (f"EXIF is damaged and left out ({one_line(error, 60)})",)
    meta = PhotoMeta(
        format=str(picture.format),
        mode=picture.mode,
        orientation=orientation,
        upright=upright,
        exif=exif,
        icc=picture.info.get("icc_profile") or None,
        xmp=_upright_xmp(xmp) if upright and isinstance(xmp, bytes) else xmp,
        dpi=_dpi(picture.info.get("dpi")),
    )
    return meta, warnings


def _upright_xmp(xmp: bytes) -> bytes:
    return re.sub(rb"(tiff:Orientation(?:=[\"']|>))\s*\d", rb"\g<1>1", xmp)


def _dpi(value: Any) -> tuple[float, float] | None:
    try:
        horizontal, vertical = (float(part) for part in value)
    except (TypeError, ValueError, ZeroDivisionError):
        return None
    return (horizontal, vertical) if all(math.isfinite(v) and v > 0 for v in (horizontal, vertical)) else None


def texts(picture: Image.Image) -> dict[str, dict[str, str]]:
    """Text chunks of a PNG, comment of a JPEG or GIF."""
    chunks = getattr(picture, "text", {}) if picture.format == "PNG" else {}
    found = {key: str(value) for key, value in chunks.items() if not key.startswith("XML:")}
    comment = picture.info.get("comment")
    if isinstance(comment, bytes):
        found["comment"] = comment.decode("utf-8", "replace")
    return {"": found} if found else {}
