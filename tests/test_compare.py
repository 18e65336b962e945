"""What `zido compare` finds in pairs of files."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import rasterio
from affine import Affine

from zido_core import compare as comparing
from zido_core.cli import execute
from zido_core.compare import compare
from zido_core.errors import BadInput

from .conftest import UTM, smooth_pixels

FINER = UTM | {"transform": UTM["transform"] * Affine.scale(0.5)}


def found(comparison: comparing.Comparison) -> dict[str, bool]:
    return {finding.name: finding.ok for finding in comparison.findings}


@pytest.mark.parametrize("scale", [1, 2, 3.3])
def test_a_run_of_ours_kept_everything(tmp_path, tiny_raster, upscaler, scale):
    result = upscaler.upscale(tiny_raster, tmp_path / "out.tif", scale=scale, preset="preview")
    comparison = compare(tiny_raster, result.path)
    assert [each for each in (*comparison.findings, *comparison.bands) if not each.ok] == []
    assert comparison.ok


def test_block_means_are_those_of_numpy(make_raster, monkeypatch):
    small = smooth_pixels((2, 11, 7), "uint16")
    large = smooth_pixels((2, 22, 14), "uint16", seed=3)
    before = make_raster(small, name="a.tif", **UTM)
    after = make_raster(large, name="b.tif", **FINER)
    means = large.reshape(2, 11, 2, 7, 2).mean(axis=(2, 4))
    apart = np.abs(means - small)
    for strip in (1, 1 << 22):  # row by row, and at once
        monkeypatch.setattr(comparing, "STRIP", strip)
        bands = compare(before, after).bands
        assert [band.mean for band in bands] == pytest.approx(apart.mean(axis=(1, 2)))
        assert [band.largest for band in bands] == pytest.approx(apart.max(axis=(1, 2)))
        assert [band.deviation for band in bands] == pytest.approx(small.std(axis=(1, 2)))
        assert not any(band.ok for band in bands)


def test_missing_pixels_do_not_count(make_raster):
    small = smooth_pixels((1, 9, 9), "float32")
    large = small.repeat(2, 1).repeat(2, 2)
    small[:, :3], large[:, :6] = -9999, -9999
    large[:, 6, 6] = -9999  # a gap in one block
    before = make_raster(small, name="a.tif", nodata=-9999, **UTM)
    after = make_raster(large, name="b.tif", nodata=-9999, **FINER)
    (band,) = compare(before, after).bands
    assert (band.mean, band.largest, band.ok) == (0, 0, True)


def test_no_valid_pixel_at_all_says_so(make_raster):
    empty = np.full((1, 8, 8), 7, "uint8")
    before = make_raster(empty, name="a.tif", nodata=7, **UTM)
    comparison = compare(before, make_raster(empty.repeat(2, 1).repeat(2, 2), name="b.tif", nodata=7, **FINER))
    assert "no pixel is valid in both" in comparison.as_text()
    assert comparison.bands[0].mean is None


@pytest.mark.parametrize(
    ("name", "changed"),
    [
        ("reference system", {"crs": "EPSG:32751"}),
        ("place", {"transform": FINER["transform"] * Affine.translation(1, 0)}),
        ("place", {"transform": Affine(1, 0, 0, 0, 1, 0)}),
        ("nodata", {"nodata": 9}),
    ],
)
def test_what_changed_is_named(make_raster, name, changed):
    small = smooth_pixels((3, 9, 9), "uint8")
    before = make_raster(small, name="a.tif", **UTM)
    after = make_raster(small.repeat(2, 1).repeat(2, 2), name="b.tif", **(FINER | changed))
    assert [each for each, ok in found(compare(before, after)).items() if not ok] == [name]


def test_other_types_bands_names_and_shapes_are_named(make_raster):
    small = smooth_pixels((3, 9, 9), "uint8")
    before = make_raster(small, name="a.tif", **UTM)
    after = make_raster(small[:2].repeat(2, 1).repeat(3, 2).astype("int16"), name="b.tif", **FINER)
    with rasterio.open(after, "r+") as dataset:
        dataset.descriptions = ("x", None)
    changed = [each for each, ok in found(compare(before, after)).items() if not ok]
    assert changed == ["size", "place", "data type", "bands", "band names"]


def test_the_wrong_way_round_is_refused(make_raster):
    before = make_raster(shape=(3, 9, 9), name="a.tif")
    after = make_raster(shape=(3, 18, 18), name="b.tif")
    with pytest.raises(BadInput, match=r"a.tif has 9 x 9 px and b.tif 18 x 18 px; give the input first"):
        compare(after, before)


def test_the_command_line_says_it_in_lines_or_as_json(make_raster, capfd):
    small = smooth_pixels((1, 9, 9), "uint8")
    before = str(make_raster(small, name="a.tif", **UTM))
    after = str(make_raster(small.repeat(2, 1).repeat(2, 2), name="b.tif", **FINER))
    assert execute(["compare", before, after]) == 0
    assert "ok  band 1: block means differ by 0 on average, 0 at most" in capfd.readouterr().out
    assert execute(["compare", before, after, "--json"]) == 0
    assert json.loads(capfd.readouterr().out)["ok"] is True


def test_a_missing_file_is_one_line(capfd, tmp_path: Path):
    assert execute(["compare", str(tmp_path / "a.tif"), str(tmp_path / "b.tif")]) != 0
    assert capfd.readouterr().err.strip().endswith("a.tif does not exist")
