"""File formats that zido writes, what each can hold, and what to say when one cannot."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from PIL import Image

from ..errors import InvalidOptions
from ..tiling.grid import Size

INTEGERS = frozenset({"uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "int64"})
NUMBERS = INTEGERS | {"float32", "float64"}


@dataclass(frozen=True, kw_only=True)
class Content:
    """What an output has to hold."""

    size: Size
    """Height and width in pixels."""

    dtype: str
    """Numpy name of the data type."""

    colours: int
    """Number of bands without alpha."""

    alpha: bool = False
    """True if there is an alpha band."""

    georeferenced: bool = False
    """True if anything ties the pixels to the ground."""

    mask: bool = False
    """True if the input has a mask band of its own."""


@dataclass(frozen=True, kw_only=True)
class Format:
    """A file format and its limits."""

    name: str
    """For messages."""

    driver: str
    """GDAL's name where `through` is "rasterio", else Pillow's."""

    suffixes: tuple[str, ...]
    """Lower case, the usual one first."""

    through: Literal["rasterio", "photo"]
    """Which writer makes it."""

    dtypes: frozenset[str] = frozenset({"uint8"})
    """Data types that survive."""

    colours: tuple[int, ...] | None = (1, 3)
    """Numbers of bands, alpha not counted; None: any."""

    alpha: bool = True
    """Has transparency."""

    georeferencing: bool = False
    """Says where the pixels lie on the ground; such formats can hold a mask, too."""

    max_side: int = 2**31 - 1
    """Longest side in pixels."""

    lossless: bool = True
    """Pixels read back as they were written (unless creation options say otherwise)."""

    options: frozenset[str] = frozenset()
    """Creation options of the formats that do not go through GDAL."""

    def objections(self, content: Content) -> list[str]:
        """What of `content` does not fit, in words; empty if all fits."""
        found = []
        if content.dtype not in self.dtypes:
            found.append(f"{content.dtype} numbers")
        if self.colours is not None and content.colours not in self.colours:
            found.append(f"{content.colours} bands")
        if content.alpha and not self.alpha:
            found.append("transparency")
        if content.georeferenced and not self.georeferencing:
            found.append("georeferencing")
        if content.mask and not self.georeferencing:
            found.append("a mask")
        if max(content.size) > self.max_side:
            found.append(f"a side of {max(content.size)} pixels (at most {self.max_side})")
        return found

    @property
    def available(self) -> bool:
        """False for a format that this build of Pillow lacks."""
        if self.through == "rasterio" or self.driver == "PNG":
            return True
        Image.init()
        return self.driver in Image.SAVE


FORMATS = (
    Format(
        name="GeoTIFF",
        driver="GTiff",
        suffixes=(".tif", ".tiff"),
        through="rasterio",
        dtypes=NUMBERS,
        colours=None,
        georeferencing=True,
    ),
    Format(
        name="JPEG 2000",
        driver="JP2OpenJPEG",
        suffixes=(".jp2",),
        through="rasterio",
        dtypes=frozenset({"uint8", "uint16", "int16"}),
        colours=None,
        georeferencing=True,
    ),
    Format(
        name="PNG",
        driver="PNG",
        suffixes=(".png",),
        through="photo",
        dtypes=frozenset({"uint8", "uint16"}),
        options=frozenset({"ZLEVEL"}),
    ),
    Format(
        name="JPEG",
        driver="JPEG",
        suffixes=(".jpg", ".jpeg", ".jpe", ".jfif"),
        through="photo",
        alpha=False,
        lossless=False,
        max_side=65_500,
        options=frozenset({"QUALITY"}),
    ),
    Format(
        name="WebP",
        driver="WEBP",
        suffixes=(".webp",),
        through="photo",
        lossless=False,
        max_side=16_383,
        options=frozenset({"QUALITY", "LOSSLESS"}),
    ),
    Format(
        name="AVIF",
        driver="AVIF",
        suffixes=(".avif",),
        through="photo",
        lossless=False,
        max_side=65_535,
        options=frozenset({"QUALITY"}),
    ),
    Format(
        name="BMP",
        driver="BMP",
        suffixes=(".bmp",),
        through="photo",
        alpha=False,
        max_side=32_000,
    ),
    Format(name="TGA", driver="TGA", suffixes=(".tga",), through="photo", max_side=65_535),
    Format(name="PNM", driver="PPM", suffixes=(".ppm", ".pgm", ".pnm"), through="photo", alpha=False),
)
"""In the order in which they are recommended."""

GEOTIFF = FORMATS[0]
"""Holds everything."""


def find_format(path: Path) -> Format | None:
    """The format that the suffix of `path` stands for."""
    suffix = path.suffix.lower()
    return next((form for form in FORMATS if suffix in form.suffixes and form.available), None)


def format_of(path: Path) -> Format:
    """The format that the suffix of `path` stands for, or an error naming those there are."""
    form = find_format(path)
    if form is None:
        known = ", ".join(form.suffixes[0] for form in FORMATS if form.available)
        raise InvalidOptions(f"no file format is called like {path.name!r}; end the name in one of {known}")
    return form


def check_holds(form: Format, content: Content) -> None:
    """Refuse a format that would lose something, and name those that would not."""
    objections = form.objections(content)
    if not objections:
        return
    fitting = [other.suffixes[0] for other in FORMATS if other.available and not other.objections(content)]
    advice = f"use {' or '.join(fitting)}" if fitting else "reduce the bands or the scale"
    raise InvalidOptions(f"{form.name} cannot hold {' and '.join(objections)}; {advice}")
