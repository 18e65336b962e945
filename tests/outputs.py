"""What tests of writing share: sources that exist in words only, and outputs written from random pixels."""

from __future__ import annotations

import numpy as np
from affine import Affine
from rasterio.crs import CRS

from zido_core.raster.geobox import GeoBox
from zido_core.raster.source import Band, SourceInfo
from zido_core.raster.target import choose_output
from zido_core.raster.writer import open_output
from zido_core.tiling.grid import Size, Tile

SMALL = Size(10, 12)
UTM = CRS.from_epsg(32633)
AFFINE = Affine(10, 0.5, 500_000, 0.25, -10, 4_000_000)
CONTENT = {"COG": {"cog": True}, "GTiff": {}}


def band(index, interpretation="gray", **more):
    return Band(index=index, interpretation=interpretation, dtype="uint8", **more)


def describe(*names, size=SMALL, dtype="uint8", **more):
    """A source with the bands of these colour interpretations."""
    bands = more.pop("bands", tuple(band(index, name) for index, name in enumerate(names or ("gray",), 1)))
    geobox = more.pop("geobox", GeoBox(size=size, transform=AFFINE, crs=UTM))
    alpha = next((each.index for each in bands if each.interpretation == "alpha"), None)
    return SourceInfo(
        path=None,
        name="input.tif",
        kind="raster",
        driver="GTiff",
        count=len(bands),
        dtype=dtype,
        geobox=geobox,
        bands=bands,
        alpha=alpha,
        **more,
    )


def noise(count, size, dtype="uint8"):
    rng = np.random.default_rng(7)
    if dtype.startswith("float"):
        return (rng.standard_normal((count, *size)) * 1000).astype(dtype)
    limits = np.iinfo(dtype)
    return rng.integers(limits.min, limits.max, (count, *size), dtype=dtype, endpoint=True)


def save(info, folder, *, factor=2, name="out.tif", valid=None, provenance=None, **options):
    """Write random pixels as an output of `info`, `factor` times as large; returns path and pixels."""
    size = info.size.scaled(factor)
    spec = choose_output(info, folder / name, scale=factor, size=size, **options)
    pixels = noise(spec.count, size, spec.dtype)
    colours = [at for at in range(spec.count) if at != spec.alpha]
    with open_output(spec, provenance) as writer:
        alpha = None if spec.alpha is None else pixels[spec.alpha]
        writer.write(pixels[colours], Tile.whole(size), alpha=alpha, valid=valid)
    return folder / name, pixels
