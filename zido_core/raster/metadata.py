"""What a GDAL dataset says about its bands and which of its tags outlive a resize."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from rasterio.enums import MaskFlags

from ..errors import BadInput
from .source import Band

if TYPE_CHECKING:
    from rasterio.io import DatasetReader

DROPPED_DOMAINS = frozenset(
    {"IMAGE_STRUCTURE", "DERIVED_SUBDATASETS", "SUBDATASETS", "OVERVIEWS"} | {"RPC", "GEOLOCATION", "COLOR_PROFILE"}
)
"""Domains that are rebuilt for the output, or carried in GeoBox and PhotoMeta."""

DROPPED_PREFIXES = ("xml:", "json:", "NITF_BLOCKA", "STATISTICS_", "HISTOGRAM_", "rio_")
"""Documents (not key=value), corners of the old grid, statistics of the old pixels, rasterio's notes."""

DROPPED_KEYS = frozenset(
    {"NODATA_VALUES", "OVR_RESAMPLING_ALG", "TIFFTAG_MINSAMPLEVALUE", "TIFFTAG_MAXSAMPLEVALUE"}
    | {"EXIF_PixelXDimension", "EXIF_PixelYDimension"}
    | {"lines", "samples", "bands", "header_offset", "data_type", "interleave", "byte_order", "map_info"}
    | {"coordinate_system_string", "geo_points", "file_compression", "x_start", "y_start"}
)
"""Facts about the old file: tuple nodata (it becomes a mask), sizes, ENVI's header."""

MAX_BANDS = 4096
"""Far beyond hyperspectral images; a damaged header may claim 65,535."""

REFUSED_COLOURS = {"CMYK": "printing colours (CMYK)", "CIELAB": "CIELAB colours"}
REFUSED_INTERPRETATIONS = frozenset(
    {"cyan", "magenta", "yellow", "black", "hue", "saturation", "lightness", "Cb", "Cr"}
)
KNOWN_DTYPES = frozenset(
    {
        "uint8",
        "int8",
        "uint16",
        "int16",
        "uint32",
        "int32",
        "uint64",
        "int64",
        "float16",
        "float32",
        "float64",
    }
)


def check_numbers(name: str, dataset: DatasetReader) -> None:
    """Refuse what cannot be upscaled, with the reason."""
    if dataset.count == 0:
        inside = ", ".join(dataset.subdatasets[:3])
        hint = f"; open one of its parts: {inside}" if inside else ""
        raise BadInput(f"{name} has no bands of its own{hint}")
    if dataset.count > MAX_BANDS:
        raise BadInput(f"{name} has {dataset.count} bands; expected at most {MAX_BANDS}: is it damaged?")
    for dtype in dataset.dtypes:
        if "complex" in dtype:
            raise BadInput(f"{name} holds complex numbers ({dtype}); convert it to amplitude first")
        if dtype not in KNOWN_DTYPES:
            raise BadInput(f"{name} holds {dtype} numbers; expected integers or floats up to 64 bits")
    colours = dataset.tags(ns="IMAGE_STRUCTURE").get("SOURCE_COLOR_SPACE", "")
    interpretations = REFUSED_INTERPRETATIONS.intersection(item.name for item in dataset.colorinterp)
    if colours in REFUSED_COLOURS or interpretations:
        found = REFUSED_COLOURS.get(colours) or ", ".join(sorted(interpretations)) + " bands"
        raise BadInput(f"{name} holds {found}; convert it to RGB first")


def describe_bands(dataset: DatasetReader) -> tuple[Band, ...]:
    """The bands as they are in the file."""
    columns = (
        dataset.indexes,
        dataset.colorinterp,
        dataset.dtypes,
        dataset.descriptions,
        dataset.scales,
        dataset.offsets,
        dataset.units,
        dataset.nodatavals,
    )
    return tuple(
        Band(
            index=index,
            interpretation=interpretation.name,
            dtype=np.dtype(dtype).name,
            description=description or None,
            scale=scale,
            offset=offset,
            unit=unit or None,
            nodata=None if nodata is None else float(nodata),
            bits=_bits(dataset, index, np.dtype(dtype)),
            tags=kept(dataset.tags(index)),
        )
        for index, interpretation, dtype, description, scale, offset, unit, nodata in zip(*columns, strict=True)
    )


def common_dtype(bands: tuple[Band, ...]) -> str:
    """The one data type that holds the numbers of all bands."""
    return str(np.result_type(*(np.dtype(band.dtype) for band in bands)))


def shared_nodata(bands: tuple[Band, ...], alpha: int | None) -> float | None:
    """The nodata value of all bands but alpha, None where they differ."""
    values = [band.nodata for band in bands if band.index != alpha]
    first = values[0] if values else None
    if first is None or any(value is None or not _same(value, first) for value in values):
        return None
    return first


def carried_tags(dataset: DatasetReader) -> dict[str, dict[str, str]]:
    """Tags of the dataset by domain, without those that describe the old pixels or the old file."""
    domains = {"": kept(dataset.tags())}
    for domain in dataset.tag_namespaces():
        if domain and domain not in DROPPED_DOMAINS and not domain.startswith(DROPPED_PREFIXES):
            domains[domain] = kept(dataset.tags(ns=domain))
    return {domain: tags for domain, tags in domains.items() if tags}


def kept(tags: Mapping[str, str]) -> dict[str, str]:
    """The tags of one domain that stay true at another size."""
    return {
        key: value for key, value in tags.items() if key not in DROPPED_KEYS and not key.startswith(DROPPED_PREFIXES)
    }


def own_masks(dataset: DatasetReader) -> frozenset[int]:
    """Bands masked by a .msk file, an internal mask, NODATA_VALUES or a mask per band; not by nodata or alpha."""
    return frozenset(
        index
        for index, flags in enumerate(dataset.mask_flag_enums, 1)
        if not flags or (MaskFlags.per_dataset in flags and MaskFlags.alpha not in flags)
    )


def nodata_masks(dataset: DatasetReader) -> frozenset[int]:
    """Bands of which GDAL derives the mask from their nodata value."""
    flags = enumerate(dataset.mask_flag_enums, 1)
    return frozenset(index for index, found in flags if list(found) == [MaskFlags.nodata])


def is_sentinel(band: Band) -> bool:
    """True if the nodata value can be no measurement, so that a single band of a pixel may lack one.

    Zero or 255 in one band of three is dark or bright, not missing: GDAL asks for nodata in all bands. But
    -9999 among positive numbers must not be taken for one because the other bands are good.
    """
    return band.nodata is not None and (np.dtype(band.dtype).kind == "f" or band.nodata < 0)


def _bits(dataset: DatasetReader, index: int, dtype: np.dtype[Any]) -> int | None:
    bits = dataset.tags(index, ns="IMAGE_STRUCTURE").get("NBITS", "")
    return int(bits) if bits.isdigit() and dtype.kind == "u" and int(bits) < 8 * dtype.itemsize else None


def _same(one: float, other: float) -> bool:
    return one == other or (math.isnan(one) and math.isnan(other))
