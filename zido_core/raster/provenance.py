"""What an output of zido says about how it was made."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import rasterio
from PIL import Image
from PIL.ExifTags import IFD, Base

from .carry import DOMAIN
from .exif import IMAGE_HISTORY
from .gdal import quiet_warnings, session


def provenance_of(path: Path) -> Mapping[str, str]:
    """The tags of the domain ``ZIDO``, or the same from the text of a photograph; empty where there are none."""
    try:
        with session(), quiet_warnings(), rasterio.open(path) as dataset:
            tags: dict[str, str] = dataset.tags(ns=DOMAIN)
        if tags:
            return tags
    except (rasterio.errors.RasterioError, ValueError):
        pass
    try:
        with Image.open(path) as image:
            return next(filter(None, map(_parsed, _texts(image))), {})
    except Exception:  # damaged or no photograph at all: Pillow raises anything
        return {}


def _texts(image: Image.Image) -> Iterator[Any]:
    yield image.info.get(DOMAIN)
    exif = image.getexif()
    yield exif.get(IMAGE_HISTORY)
    yield exif.get_ifd(IFD.Exif).get(Base.UserComment)


def _parsed(text: Any) -> Mapping[str, str]:
    if isinstance(text, bytes):
        text = text.removeprefix(b"ASCII\0\0\0").decode("utf-8", "replace")
    try:
        found: Mapping[str, str] = json.loads(text or "")[DOMAIN]
    except (ValueError, KeyError, TypeError):
        return {}
    return found
