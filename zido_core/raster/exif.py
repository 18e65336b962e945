"""What a photograph carries, edited for its new size; pure functions on bytes."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from PIL import ExifTags, Image

from ..tiling.grid import Size

Base, IFD = ExifTags.Base, ExifTags.IFD

IMAGE_HISTORY = 0x9213
"""EXIF tag for "what was done to this image", used where the comment belongs to the user."""

JPEG_LIMIT = 65_533
"""Most bytes that one JPEG segment holds."""

TIFF_TAGS = {
    Base.ImageDescription: "TIFFTAG_IMAGEDESCRIPTION",
    Base.Artist: "TIFFTAG_ARTIST",
    Base.Copyright: "TIFFTAG_COPYRIGHT",
    Base.DateTime: "TIFFTAG_DATETIME",
    Base.HostComputer: "TIFFTAG_HOSTCOMPUTER",
}
"""EXIF tags that GDAL can write into a TIFF."""


def edited_exif(
    exif: bytes | None,
    *,
    size: Size,
    dpi: tuple[float, float] | None,
    provenance: Mapping[str, str],
    limit: int | None = None,
) -> bytes:
    """The EXIF block with the new size and resolution and the provenance.

    Over `limit` bytes, first the maker's notes go, then the provenance.
    """
    block = _parsed(exif)
    details = block.get_ifd(IFD.Exif)
    details[Base.ExifImageWidth], details[Base.ExifImageHeight] = size.width, size.height
    for tag, value in ((Base.ImageWidth, size.width), (Base.ImageLength, size.height)):
        if tag in block:
            block[tag] = value
    if dpi is not None:
        block[Base.XResolution], block[Base.YResolution] = dpi
        block[Base.ResolutionUnit] = 2
    block[Base.Software] = "zido"
    droppable: list[tuple[Any, int]] = [(details, Base.MakerNote)]
    if provenance:
        droppable.append(_add_provenance(block, details, provenance))
    while limit is not None and len(_serialised(block)) > limit and droppable:
        holder, key = droppable.pop(0)
        holder.pop(key, None)
    return _serialised(block)


def edited_xmp(xmp: bytes, size: Size) -> bytes:
    """The XMP packet with the new size in the properties that repeat it."""
    for names, value in (
        (rb"tiff:ImageWidth|exif:PixelXDimension", size.width),
        (rb"tiff:ImageLength|exif:PixelYDimension", size.height),
    ):
        xmp = re.sub(rb"((?:%s)(?:\s*=\s*[\"']|>))\d+" % names, rb"\g<1>%d" % value, xmp)
    return xmp


def provenance_text(provenance: Mapping[str, str]) -> str:
    """One line of JSON, plain ASCII so that every format takes it."""
    return json.dumps({"ZIDO": dict(provenance)}, sort_keys=True)


def tiff_tags(exif: bytes | None) -> dict[str, str]:
    """The texts of an EXIF block that a TIFF written by GDAL can hold, under GDAL's names."""
    block = _parsed(exif)
    return {name: str(block[key]) for key, name in TIFF_TAGS.items() if str(block.get(key, "")).strip("\0 ")}


def _add_provenance(block: Any, details: Any, provenance: Mapping[str, str]) -> tuple[Any, int]:
    """Write the provenance where there is room; returns where."""
    text = provenance_text(provenance)
    if details.get(Base.UserComment):
        block[IMAGE_HISTORY] = text
        return block, IMAGE_HISTORY
    details[Base.UserComment] = b"ASCII\0\0\0" + text.encode("ascii")
    return details, Base.UserComment


def _parsed(exif: bytes | None) -> Image.Exif:
    block = Image.Exif()
    if exif:
        try:
            block.load(exif)
            block.get_ifd(IFD.Exif)
            block.get_ifd(IFD.GPSInfo)
        except Exception:  # Pillow raises whatever struct, int and its TIFF reader do on a damaged block
            return Image.Exif()
    return block


def _serialised(block: Image.Exif) -> bytes:
    """The block as bytes; single tags that cannot be written (wrong types in damaged files) are left out."""
    try:
        return block.tobytes()
    except Exception:  # as above; find the tags that are at fault
        for holder in (block, block.get_ifd(IFD.Exif), block.get_ifd(IFD.GPSInfo)):
            for key in list(holder):
                if not _writable(key, holder[key]):
                    del holder[key]
        return block.tobytes()


def _writable(key: int, value: Any) -> bool:
    trial = Image.Exif()
    trial[key] = value
    try:
        trial.tobytes()
    except Exception:  # whatever makes it fail, this tag cannot be written
        return False
    return True
