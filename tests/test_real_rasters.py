"""Real files of every kind through the whole flow: all that makes them rasters survives."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from PIL import Image
from rasterio.control import GroundControlPoint
from rasterio.enums import ColorInterp, MaskFlags
from rasterio.rpc import RPC
from rasterio.windows import Window

from tests.conftest import ROOT
from tests.rasters import block_means, corner_error, enlarged
from zido_core.raster.reader import open_source
from zido_core.tiling.grid import Size

SIDE = 64
"""Largest side of the windows that are cut out of the files."""

DATA = Path(os.environ.get("ZIDO_DATA_DIR") or ROOT.parent / "shared" / "data") / "pack-eval"
FILES = sorted(path for path in DATA.glob("rasters/*/*") if path.suffix in (".tif", ".vrt"))
PHOTOS = sorted(DATA.glob("photos/*.png"))[:2]

pytestmark = pytest.mark.skipif(not FILES, reason=f"pack-eval is not here: set ZIDO_DATA_DIR (looked in {DATA})")


def cut_out(source: Path, target: Path) -> Path:
    """The middle of a raster with everything that it carries."""
    with rasterio.open(source) as old:
        height, width = (min(side, SIDE) for side in old.shape)
        row, col = (old.height - height) // 2, (old.width - width) // 2
        window = Window(col, row, width, height)
        profile: dict[str, Any] = {"driver": "GTiff", "count": old.count, "dtype": old.dtypes[0]}
        profile |= {"height": height, "width": width, "nodata": old.nodata, "crs": old.crs}
        if not old.transform.is_identity:
            profile["transform"] = old.window_transform(window)
        colours = old.colorinterp
        profile["photometric"] = "PALETTE" if ColorInterp.palette in colours else "MINISBLACK"
        with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True), rasterio.open(target, "w", **profile) as new:
            if ColorInterp.palette in colours:
                new.write_colormap(1, old.colormap(1))
            else:
                new.colorinterp = colours
            describe(old, new, row, col)
            new.write(old.read(window=window))
            if MaskFlags.per_dataset in old.mask_flag_enums[0] and ColorInterp.alpha not in colours:
                new.write_mask(old.dataset_mask(window=window))
    return target


def describe(old: rasterio.DatasetReader, new: Any, row: int, col: int) -> None:
    gcps, crs = old.gcps
    if gcps:
        moved = [GroundControlPoint(p.row - row, p.col - col, p.x, p.y, p.z, p.id) for p in gcps]
        new.gcps = (moved, crs)
    if old.rpcs:
        values = old.rpcs.to_dict()
        new.rpcs = RPC(**{**values, "line_off": values["line_off"] - row, "samp_off": values["samp_off"] - col})
    new.descriptions, new.scales, new.offsets, new.units = old.descriptions, old.scales, old.offsets, old.units
    new.update_tags(**{key: value for key, value in old.tags().items() if key != "NODATA_VALUES"})


def expected_bands(path: Path) -> tuple[str, ...]:
    """Colour interpretations after a palette has become colours."""
    with open_source(path) as source:
        return tuple(band.interpretation for band in source.info.bands)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_everything_survives(upscaler, tmp_path: Path, path: Path) -> None:
    source = cut_out(path, tmp_path / "in.tif")
    result = upscaler.upscale(source, tmp_path / "out.tif", preset="preview")
    assert result.manifest["consistency"]["reflectance"] in (None, pytest.approx(0, abs=2e-3))
    with rasterio.open(source) as old, rasterio.open(result.path) as new:
        size = Size(*new.shape)
        assert size == (4 * old.height, 4 * old.width)
        assert new.dtypes[0] == old.dtypes[0]
        assert tuple(each.name for each in new.colorinterp) == expected_bands(source)
        check_place(old, new)
        check_words(old, new)
        mask = old.dataset_mask()
        assert (new.dataset_mask() == enlarged(mask, size)).all()
        assert MaskFlags.per_dataset not in old.mask_flag_enums[0] or new.mask_flag_enums == old.mask_flag_enums
        if old.count == new.count:
            check_means(old.read(), new.read(), mask != 0, old.nodata)


def check_place(old: rasterio.DatasetReader, new: rasterio.DatasetReader) -> None:
    assert new.crs == old.crs
    if not (old.gcps[0] or old.transform.is_identity):
        assert corner_error(old, new) < 1e-9
    assert [(4 * p.row, 4 * p.col, p.x, p.y, p.z) for p in old.gcps[0]] == [
        (p.row, p.col, p.x, p.y, p.z) for p in new.gcps[0]
    ]
    assert new.gcps[1] == old.gcps[1]
    assert (new.rpcs is None) == (old.rpcs is None)
    if old.rpcs:
        one, two = old.rpcs.to_dict(), new.rpcs.to_dict()
        assert two["line_off"] == pytest.approx(4 * (one["line_off"] + 0.5) - 0.5, abs=1e-6)
        assert two["samp_scale"] == pytest.approx(4 * one["samp_scale"], abs=1e-6)
        for name in ("lat_off", "long_scale", "line_num_coeff", "samp_den_coeff"):
            assert two[name] == pytest.approx(one[name])


def check_words(old: rasterio.DatasetReader, new: rasterio.DatasetReader) -> None:
    if old.nodata is not None and ColorInterp.palette not in old.colorinterp:
        assert new.nodata == old.nodata or np.isnan(old.nodata)
    if old.count == new.count:
        assert (new.descriptions, new.units) == (old.descriptions, old.units)
        assert (new.scales, new.offsets) == (old.scales, old.offsets)
    changed = ("TIFFTAG_XRESOLUTION", "TIFFTAG_YRESOLUTION", "TIFFTAG_SOFTWARE", "TIFFTAG_RESOLUTIONUNIT", "OVR_")
    kept = {key: value for key, value in old.tags().items() if not key.startswith(changed)}
    if old.crs is None and not old.gcps[0]:
        kept.pop("AREA_OR_POINT", None)  # without a reference system GDAL would invent one
    assert kept.items() <= new.tags().items()
    assert new.tags(ns="ZIDO")["SYNTHETIC_DETAIL"] == "YES"


def check_means(old: np.ndarray, new: np.ndarray, valid: np.ndarray, nodata: float | None) -> None:
    """Block means are the input's, to rounding, where a measurement does not have to step aside for nodata."""
    if not valid.any():
        return
    step = 0.5 if old.dtype.kind in "iu" else 1e-4 * float(np.ptp(old[:, valid]))
    error = np.abs(block_means(new, Size(*valid.shape)) - old)[:, valid]
    tolerance = step + (1.0 if nodata is not None and old.dtype.kind in "iu" else 1e-6)
    assert error.max() <= tolerance


@pytest.mark.parametrize("path", PHOTOS, ids=lambda path: path.name)
def test_photographs(upscaler, tmp_path: Path, path: Path) -> None:
    source = tmp_path / "in.png"
    with Image.open(path) as picture:
        picture.crop((100, 100, 100 + SIDE, 90 + SIDE)).save(source, dpi=(100, 100))
    result = upscaler.upscale(source, preset="preview")
    assert result.path == tmp_path / "in_x4.png"
    with Image.open(source) as old, Image.open(result.path) as new:
        assert (new.size, new.mode) == ((4 * SIDE, 4 * (SIDE - 10)), old.mode)
        assert new.info["dpi"] == pytest.approx((400, 400), abs=0.1)
        assert "ZIDO" in new.info
        error = block_means(np.asarray(new).transpose(2, 0, 1), Size(SIDE - 10, SIDE))
        assert np.abs(error - np.asarray(old).transpose(2, 0, 1)).mean() < 3
