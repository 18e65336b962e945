"""Small images of every kind that zido reads: the parents of damaged ones."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import rasterio
from affine import Affine
from PIL import Image
from rasterio.enums import ColorInterp

PLACE = {"crs": "EPSG:32633", "transform": Affine(10, 0, 4e5, 0, -10, 5e6)}


def write_seeds(folder: Path) -> list[Path]:
    """Every parent, in ``folder``."""
    generator = np.random.default_rng(0)
    colours = generator.integers(0, 256, (3, 20, 24), dtype=np.uint8)
    wide = generator.integers(0, 10_000, (4, 20, 24), dtype=np.uint16)
    return [*_rasters(folder, colours, wide), *_photos(folder, colours.transpose(1, 2, 0))]


def _rasters(folder: Path, colours: np.ndarray, wide: np.ndarray) -> list[Path]:
    layouts = {
        "plain": {},
        "deflate": {"compress": "deflate", "predictor": 2},
        "lzw": {"compress": "lzw", "tiled": True, "blockxsize": 16, "blockysize": 16},
        "jpeg": {"compress": "jpeg", "photometric": "ycbcr", "interleave": "pixel"},
        "big": {"bigtiff": "yes", "compress": "zstd"},
    }
    paths = [_write(folder / f"{name}.tif", colours, **layout) for name, layout in layouts.items()]
    paths.append(_write(folder / "wide.tif", wide, nodata=0, tiled=True, blockxsize=16, blockysize=16))
    paths.append(_write(folder / "float.tif", wide[:1].astype(np.float32) / 7, nodata=-9999.0))
    paths.append(_write(folder / "cog.tif", colours, driver="COG", blocksize=128))
    paths.append(_write(folder / "tagged.tif", colours, tags={"AREA": "field"}, mask=True))
    palette = _write(folder / "palette.tif", colours[:1] % 8)
    with rasterio.open(palette, "r+") as target:
        target.write_colormap(1, {value: (value, 255 - value, 7, 255) for value in range(8)})
    alpha = _write(folder / "alpha.tif", np.concatenate([colours, colours[:1]]))
    with rasterio.open(alpha, "r+") as target:
        target.colorinterp = [ColorInterp.red, ColorInterp.green, ColorInterp.blue, ColorInterp.alpha]
    return [*paths, palette, alpha]


def _write(path: Path, array: np.ndarray, *, tags: dict[str, str] | None = None, mask: bool = False, **profile) -> Path:
    count, height, width = array.shape
    profile = {"driver": "GTiff", "count": count, "height": height, "width": width, "dtype": array.dtype} | profile
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True), rasterio.open(path, "w", **profile, **PLACE) as target:
        target.write(array)
        target.update_tags(**(tags or {}))
        if mask:
            target.write_mask((np.arange(width) > 3)[None].repeat(height, 0))
    return path


def _photos(folder: Path, pixels: np.ndarray) -> list[Path]:
    picture = Image.fromarray(pixels)
    exif = Image.Exif()
    exif[0x0112], exif[0x010E] = 6, "a picture"
    kinds = {
        "a.jpg": (picture, {"quality": 90, "exif": exif, "dpi": (72, 72)}),
        "cmyk.jpg": (picture.convert("CMYK"), {}),
        "a.png": (picture, {"dpi": (72, 72)}),
        "interlaced.png": (picture.convert("P"), {}),
        "alpha.png": (picture.convert("RGBA"), {}),
        "deep.png": (Image.fromarray(pixels[..., 0].astype(np.uint16) * 257), {}),
        "a.webp": (picture, {"lossless": True}),
        "a.bmp": (picture, {}),
        "a.gif": (picture.convert("P"), {}),
        "a.jp2": (picture, {}),
    }
    paths = []
    for name, (image, options) in kinds.items():
        image.save(folder / name, **options)
        paths.append(folder / name)
    return paths
