"""Everything of an input but its pixels, written into an open rasterio dataset."""

from __future__ import annotations

import mmap
from pathlib import Path
from typing import Any

from rasterio.crs import CRS
from rasterio.enums import ColorInterp

from .exif import tiff_tags
from .output import OutputSpec

DOMAIN = "ZIDO"
"""Tag domain of the provenance."""

BAND_DOMAIN = "ZIDO_BAND_TAGS"
"""Where band tags wait while a COG is made, see `release_band_tags`."""


def describe(dataset: Any, spec: OutputSpec) -> None:
    """Set georeferencing, band properties and tags; must come before the first pixel."""
    _place(dataset, spec)
    _describe_bands(dataset, spec)
    for domain, tags in _dataset_tags(spec).items():
        dataset.update_tags(ns=domain or None, **tags)


def _place(dataset: Any, spec: OutputSpec) -> None:
    geobox = spec.geobox
    if geobox.crs is not None:
        dataset.crs = geobox.crs
    if geobox.transform is not None:
        dataset.transform = geobox.transform
    elif geobox.gcps:
        # A TIFF holds either, and GDAL drops the transform where there are points.
        dataset.gcps = (list(geobox.gcps), geobox.gcps_crs or CRS())
    if geobox.rpcs is not None:
        dataset.rpcs = geobox.rpcs
    if geobox.geolocation:
        dataset.update_tags(ns="GEOLOCATION", **dict(geobox.geolocation))


def _describe_bands(dataset: Any, spec: OutputSpec) -> None:
    wanted = tuple(ColorInterp[band.interpretation] for band in spec.bands)
    if tuple(dataset.colorinterp) != wanted:
        dataset.colorinterp = wanted
    if any(band.scale != 1 or band.offset != 0 for band in spec.bands):
        dataset.scales = [band.scale for band in spec.bands]
        dataset.offsets = [band.offset for band in spec.bands]
    for number, band in enumerate(spec.bands, start=1):
        if band.description:
            dataset.set_band_description(number, band.description)
        if band.unit:
            dataset.set_band_unit(number, band.unit)
        if band.tags:
            dataset.update_tags(number, ns=BAND_DOMAIN if spec.cog else None, **band.tags)


def _dataset_tags(spec: OutputSpec) -> dict[str, dict[str, str]]:
    domains = {domain: dict(tags) for domain, tags in spec.tags.items() if domain != DOMAIN and tags}
    default = domains.setdefault("", {})
    if spec.geobox.crs is None:
        # Written into a TIFF without a reference system it would make GDAL report an invented one.
        default.pop("AREA_OR_POINT", None)
    ratios = (spec.size.width / spec.source_size.width, spec.size.height / spec.source_size.height)
    for key, ratio in zip(("TIFFTAG_XRESOLUTION", "TIFFTAG_YRESOLUTION"), ratios, strict=True):
        if key in default:
            default[key] = _times(default[key], ratio)
    if "TIFFTAG_RESOLUTIONUNIT" in default:
        # GDAL gives "2 (pixels/inch)" and takes the number.
        default["TIFFTAG_RESOLUTIONUNIT"] = default["TIFFTAG_RESOLUTIONUNIT"].split()[0]
    if spec.photo is not None:
        photo = tiff_tags(spec.photo.exif)
        if spec.dpi is not None:
            horizontal, vertical = (f"{value:.6g}" for value in spec.dpi)
            photo |= {"TIFFTAG_XRESOLUTION": horizontal, "TIFFTAG_YRESOLUTION": vertical}
            photo |= {"TIFFTAG_RESOLUTIONUNIT": "2"}
        default |= {key: value for key, value in photo.items() if key not in default}
    default["TIFFTAG_SOFTWARE"] = "zido"
    return domains


def _times(text: str, ratio: float) -> str:
    try:
        return f"{float(text) * ratio:.6g}"
    except ValueError:
        return text


def release_band_tags(path: Path, count: int) -> None:
    """Move `count` band tags of a fresh COG from `BAND_DOMAIN` to the default domain, where they belong.

    GDAL's COG driver copies either the domains of the dataset or the default tags of the bands, never both,
    and an update through GDAL would undo the layout. So the tags travel in a domain of their own, and here
    its name is overwritten with blanks, which XML ignores between attributes.
    """
    mark = f' domain="{BAND_DOMAIN}"'.encode()
    with path.open("r+b") as file, mmap.mmap(file.fileno(), 0) as content:
        position = 0
        for _ in range(count):
            position = content.find(mark, position)
            if position < 0:
                return
            content[position : position + len(mark)] = b" " * len(mark)
