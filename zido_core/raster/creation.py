"""Creation options: fresh defaults for every output, never the input's, and what the user gave on top.

An input's profile would bring its strips, its lossy compression or a driver that cannot write.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from ..errors import InvalidOptions
from .output import OutputSpec

BLOCK = 256
"""Side of a TIFF tile in pixels, GDAL's default."""

LARGE = 256_000_000
"""Bytes from which compression is worth all processors."""

RESERVED = frozenset(
    {"DRIVER", "WIDTH", "HEIGHT", "COUNT", "DTYPE", "CRS", "TRANSFORM", "NODATA"}
    | {"FP", "MODE", "SHARING", "OPENER", "THREAD_SAFE"}
)
"""Names that rasterio would take for arguments of its own."""

RGB = ("red", "green", "blue")


def parse_creation_options(texts: Iterable[str]) -> dict[str, str]:
    """``KEY=VALUE`` texts as a mapping with keys in upper case; the last one wins, as in GDAL's tools."""
    options = {}
    for text in texts:
        key, equals, value = text.partition("=")
        key = key.strip().upper()
        if not key or not equals or not value:
            raise InvalidOptions(f"creation option {text!r} is not KEY=VALUE, such as COMPRESS=ZSTD")
        if key in RESERVED:
            raise InvalidOptions(f"{key} is no creation option; remove it")
        options[key] = value.strip()
    return options


def tiff_options(spec: OutputSpec, options: Mapping[str, str]) -> dict[str, Any]:
    """How a GeoTIFF is laid out and compressed."""
    floating = np.issubdtype(np.dtype(spec.dtype), np.floating)
    chosen: dict[str, Any] = {
        "TILED": "YES",
        "BLOCKXSIZE": _block(spec.size.width),
        "BLOCKYSIZE": _block(spec.size.height),
        "COMPRESS": "DEFLATE",
        "BIGTIFF": "IF_SAFER",
        "INTERLEAVE": "PIXEL" if spec.count <= 4 else "BAND",
        "PHOTOMETRIC": "RGB" if _interpretations(spec)[:3] == RGB else "MINISBLACK",
    }
    if spec.raw_bytes >= LARGE:
        # Writes that fail in a thread go unreported; reading everything back finds them.
        chosen["NUM_THREADS"] = "ALL_CPUS"
    if spec.alpha is not None and spec.alpha == (3 if chosen["PHOTOMETRIC"] == "RGB" else 1):
        # GDAL gives ALPHA to the first band after the colours; any other place is set by interpretation.
        chosen["ALPHA"] = "YES"
    if spec.photo is not None and spec.photo.icc is not None:
        chosen["SOURCE_ICC_PROFILE"] = base64.b64encode(spec.photo.icc).decode()
    chosen |= options
    if str(chosen["TILED"]).upper() in ("NO", "FALSE", "OFF"):
        for key in {"BLOCKXSIZE", "BLOCKYSIZE"} - set(options):
            del chosen[key]
    if chosen["COMPRESS"].upper() in ("DEFLATE", "LZW", "ZSTD") and "NBITS" not in options:
        chosen.setdefault("PREDICTOR", 3 if floating else 2)
    if chosen["COMPRESS"].upper() == "DEFLATE":
        # Less than half the time of GDAL's 6 for a few percent of size.
        chosen.setdefault("ZLEVEL", 4)
    return chosen


def copy_options(spec: OutputSpec) -> dict[str, Any]:
    """How a finished GeoTIFF is turned into a COG or a JPEG 2000 file."""
    if spec.cog:
        chosen = {"COMPRESS": "DEFLATE", "BIGTIFF": "IF_SAFER", "NUM_THREADS": "ALL_CPUS"}
        chosen |= {"COPY_SRC_MDD": "YES", **spec.options}
        if chosen["COMPRESS"].upper() in ("DEFLATE", "LZW", "ZSTD") and "NBITS" not in spec.options:
            chosen.setdefault("PREDICTOR", "YES")
        return chosen
    return {"QUALITY": "100", "REVERSIBLE": "YES", "YCC": "NO", "WRITE_METADATA": "YES", **spec.options}


def lossless(spec: OutputSpec) -> bool:
    """False where the options allow numbers to read back changed."""
    options = {key: value.upper() for key, value in spec.options.items()}
    if spec.format.driver == "JP2OpenJPEG":
        return not {"QUALITY", "REVERSIBLE", "YCC", "YCBCR420"} & set(options)
    compress = options.get("COMPRESS", "DEFLATE")
    if {"NBITS", "DISCARD_LSB"} & set(options) or compress in ("JPEG", "JXL", "WEBP"):
        return False
    return not (compress.startswith("LERC") and "MAX_Z_ERROR" in options)


def _interpretations(spec: OutputSpec) -> tuple[str, ...]:
    return tuple(band.interpretation for band in spec.bands)


def _block(side: int) -> int:
    """A whole tile, or for a smaller raster the multiple of 16 that holds it."""
    return min(BLOCK, -(-side // 16) * 16)
