import os
from pathlib import Path

import numpy as np
import pytest

from zido_core.raster.radiometry import (
    Placement,
    Stretch,
    add_detail,
    back_project,
    detail_gains,
    fill_invalid,
    fit_stretch,
    to_dtype,
    to_values,
)
from zido_core.resample import resize
from zido_core.tiling.grid import Size

RNG = np.random.default_rng(4)
SMALL, LARGE = Size(16, 20), Size(64, 80)
WHOLE = Placement.whole(SMALL, LARGE)
ALL = np.ones(SMALL, bool)
DATA = Path(os.environ.get("ZIDO_DATA_DIR", Path(__file__).parents[2] / "shared" / "data")) / "pack-eval"


def test_values_outside_the_stretch_survive():
    source = np.full((1, *SMALL), 500, np.float32)
    source[:, 2:8, 3:9], source[:, 9:14, 10:18] = 9000, -40
    stretch = Stretch(lo=0, hi=1000, mode="range")
    unit = resize(stretch.to_unit(source), LARGE)
    values = to_values(unit, source, stretch, WHOLE)
    np.testing.assert_allclose(values, resize(source, LARGE), rtol=1e-5, atol=1e-2)
    assert values.max() > 8999
    assert values.min() < -39


def test_detail_is_added_in_units_of_the_stretch():
    source = RNG.uniform(100, 900, (3, *SMALL)).astype(np.float32)
    stretch = Stretch(lo=0, hi=2000, mode="range")
    detail = RNG.normal(0, 0.01, (3, *LARGE)).astype(np.float32)
    values = to_values(resize(stretch.to_unit(source), LARGE) + detail, source, stretch, WHOLE)
    np.testing.assert_allclose(values - resize(source, LARGE), detail * 2000, atol=1e-2)


def test_eight_bits_are_just_scaled():
    source = RNG.integers(0, 256, (3, *SMALL)).astype(np.uint8)
    stretch = fit_stretch(source, ALL, "uint8")
    sr = RNG.random((3, *LARGE), np.float32)
    np.testing.assert_array_equal(to_values(sr, fill_invalid(source, ALL), stretch, WHOLE), sr * np.float32(255))


@pytest.mark.parametrize(
    ("dtype", "limits", "values", "expected"),
    [
        ("uint8", None, [-3, 0.4, 0.6, 254.6, 300], [0, 0, 1, 255, 255]),
        ("uint8", (0, 15), [-3, 7.2, 15.4, 99, 15], [0, 7, 15, 15, 15]),
        ("int16", None, [-4e4, -1.5, 2.5, 4e4, 7], [-32768, -2, 2, 32767, 7]),
        ("uint32", None, [-1, 0, 1, 4294967295, 1e10], [0, 0, 1, 4294967040, 4294967040]),
        ("float32", None, [-1e9, 0.25, np.pi, 1e9, 0], [-1e9, 0.25, np.pi, 1e9, 0]),
    ],
)
def test_numbers_are_rounded_and_clipped(dtype, limits, values, expected):
    placement = Placement.whole(Size(1, 5), Size(1, 5))
    image = np.array([[values]], np.float32)
    out = to_dtype(image, dtype, None, np.ones((1, 5), bool), placement, limits=limits)
    assert out.dtype == dtype
    np.testing.assert_array_equal(out[0, 0], np.array(expected, dtype))


@pytest.mark.parametrize(
    ("dtype", "nodata", "value", "expected"),
    [
        ("uint8", 0, -0.2, 1),
        ("uint8", 255, 255.4, 254),
        ("uint8", 7, 6.8, 6),
        ("uint8", 7, 7.3, 8),
        ("int16", -9999, -9999, -9998),
        ("int16", -32768, -40000, -32767),
        ("float32", 0.0, 0.0, np.nextafter(np.float32(0), np.float32(1))),
        ("float32", np.nan, 0.0, 0.0),
        ("uint8", -9999, 3, 3),
        ("uint8", 7.5, 7.5, 8),
    ],
)
def test_valid_numbers_never_equal_nodata(dtype, nodata, value, expected):
    out = to_dtype(
        np.array([[[value]]], np.float32),
        dtype,
        nodata,
        np.ones((1, 1), bool),
        Placement.whole(Size(1, 1), Size(1, 1)),
    )
    assert out.item() == expected


@pytest.mark.parametrize(
    ("nodata", "gaps"), [(9.0, [9, 9]), ((9.0, None), [9, 201]), (None, [100, 201]), (-1.0, [100, 201])]
)
def test_the_nodata_footprint_is_the_nearest_neighbour_of_the_input(nodata, gaps):
    valid = RNG.random(SMALL) > 0.4
    source = np.stack([np.full(SMALL, 100), np.full(SMALL, 201)]).astype(np.uint8)
    values = np.full((2, *LARGE), 50, np.float32)
    out = to_dtype(values, "uint8", nodata, valid, WHOLE, source=source)
    expected = np.where(np.kron(valid, np.ones((4, 4), bool)), 50, np.array(gaps)[:, None, None])
    np.testing.assert_array_equal(out, expected)


def test_each_band_has_gaps_of_its_own():
    valid = RNG.random((2, *SMALL)) > 0.4
    out = to_dtype(np.full((2, *LARGE), np.nan, np.float32), "float32", (5.0, np.nan), valid, WHOLE)
    np.testing.assert_array_equal(out[0] == 5, ~np.kron(valid[0], np.ones((4, 4), bool)))


def test_nothing_known_of_a_gap_is_zero():
    out = to_dtype(np.ones((1, *LARGE)), "uint8", None, ~ALL, WHOLE)
    assert not out.any()


def test_gains_follow_the_luminance():
    model = RNG.random((3, *SMALL))
    luma = 0.299 * model[0] + 0.587 * model[1] + 0.114 * model[2]
    extra = np.stack([2.5 * luma + 7, -0.5 * luma, np.full(SMALL, 3.0)])
    valid = RNG.random(SMALL) > 0.2
    extra[:, ~valid] = 1e6
    np.testing.assert_allclose(detail_gains(extra, model, valid), [2.5, -0.5, 0], atol=1e-9)


@pytest.mark.parametrize("valid", [ALL, ~ALL])
def test_flat_luminance_gives_no_gain(valid):
    np.testing.assert_array_equal(detail_gains(RNG.random((2, *SMALL)), np.ones((1, *SMALL)), valid), 0)


def test_extra_bands_take_the_detail_and_keep_their_means():
    values = RNG.random((3, *LARGE), np.float32)
    model = resize(values, SMALL, "area")
    extra = (3 * model[:1] + 1).astype(np.float32)
    plain = add_detail(extra, model, values, np.zeros(1), WHOLE)
    np.testing.assert_array_equal(plain, resize(extra, LARGE))
    sharp = add_detail(extra, model, values, detail_gains(extra, model, ALL), WHOLE)
    back_project(sharp, extra, ALL, WHOLE)
    np.testing.assert_allclose(resize(sharp, SMALL, "area"), extra, atol=1e-5)
    truth = 3 * values[0] + 1
    assert np.corrcoef(sharp[0].ravel(), truth.ravel())[0, 1] > 1.3 * np.corrcoef(plain[0].ravel(), truth.ravel())[0, 1]


@pytest.mark.parametrize("file", ["RGB.byte.tif", "rgb16.tif", "cog_nodata_nan.tif", "dsm.tif", "s2_lataseno_ex.tif"])
def test_a_real_raster_keeps_its_means_and_its_gaps(file):
    rasterio = pytest.importorskip("rasterio")
    paths = sorted(DATA.rglob(file))
    if not paths:
        pytest.skip(f"{file} is not below {DATA}; set ZIDO_DATA_DIR")
    with rasterio.open(paths[0]) as dataset:
        window = rasterio.windows.Window(dataset.width // 3, 0, 96, 80)
        source, valid = dataset.read([1], window=window), dataset.dataset_mask(window=window) > 0
        nodata = dataset.nodata
    valid &= np.isfinite(source[0])
    small = Size(*valid.shape)
    placement = Placement.whole(small, small.scaled(4))
    stretch = fit_stretch(source, valid, source.dtype)
    filled = fill_invalid(source, valid)
    sr = resize(stretch.to_unit(filled), small.scaled(4)) * 1.1 + 0.02
    sr += RNG.normal(0, 0.03, sr.shape).astype(np.float32)
    values = to_values(sr, filled, stretch, placement)
    limits = (0.0, float(np.iinfo(source.dtype).max)) if source.dtype.kind == "u" else None
    back_project(values, filled, valid, placement, limits=limits)
    out = to_dtype(values, source.dtype, nodata, valid, placement, source=source)
    np.testing.assert_array_equal(
        out[0][~np.kron(valid, np.ones((4, 4), bool))],
        np.repeat(source[0][~valid], 16) if nodata is None else nodata,
    )
    error = np.abs(resize(out, small, "area") - source)[0][valid]
    assert error.mean() <= (0.25 if source.dtype.kind == "u" else 1e-4 * stretch.span)
