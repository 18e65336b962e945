import numpy as np
import pytest

from zido_core.errors import ConfigurationError, InvalidOptions
from zido_core.raster.stretch import Stretch, fit_stretch

RNG = np.random.default_rng(5)
DARK = RNG.integers(200, 3000, (3, 64, 64)).astype(np.uint16)
ALL = np.ones((64, 64), bool)


@pytest.mark.parametrize(
    ("dtype", "kind", "spec", "expected"),
    [
        ("uint8", "raster", "auto", (0, 255, "dtype")),
        ("uint8", "photo", "auto", (0, 255, "dtype")),
        ("uint16", "photo", "auto", (0, 65535, "dtype")),
        ("uint16", "raster", "none", (0, 65535, "dtype")),
        ("int16", "raster", "dtype", (-32768, 32767, "dtype")),
        ("float32", "raster", "none", (0, 1, "dtype")),
        ("uint16", "raster", "s2", (0, 3000, "s2")),
        ("uint16", "raster", "range:100,4000.5", (100, 4000.5, "range")),
        ("uint8", "raster", "range:-1e2,300", (-100, 300, "range")),
        ("uint16", "raster", "minmax", (float(DARK.min()), float(DARK.max()), "minmax")),
        ("uint16", "raster", "auto", (*np.percentile(DARK, (0.1, 99.9)), "percentile:0.1,99.9")),
        ("uint16", "raster", "percentile:2,98", (*np.percentile(DARK, (2, 98)), "percentile:2,98")),
    ],
)
def test_spec(dtype, kind, spec, expected):
    stretch = fit_stretch(DARK.astype(dtype), ALL, dtype, spec, kind=kind)
    assert (stretch.lo, stretch.hi, stretch.mode) == expected
    assert stretch.whole == (stretch.mode == "dtype" and dtype != "float32")


def test_it_is_joint_over_the_bands():
    bands = np.stack([np.full((64, 64), value, np.uint16) for value in (100, 200, 900)])
    stretch = fit_stretch(bands, ALL, "uint16", "minmax")
    assert (stretch.lo, stretch.hi) == (100, 900)


@pytest.mark.parametrize("per_band", [False, True])
def test_invalid_and_infinite_numbers_do_not_count(per_band):
    sample = RNG.random((3, 64, 64), np.float32)
    valid = np.ones((3, 64, 64) if per_band else (64, 64), bool)
    expected = fit_stretch(sample[:, 9:], valid[..., 9:, :], "float32", "minmax")
    sample[:, :5] = -9999
    valid[..., :5, :] = False
    sample[:, 5:8], sample[:, 8] = np.nan, np.inf
    stretch = fit_stretch(sample, valid, "float32", "minmax")
    assert stretch == expected


@pytest.mark.parametrize(
    ("values", "dtype", "lo", "hi"),
    [
        (7, "uint16", 7, 8),
        (0.25, "float32", 0.25, 1.25),
        (1e9, "float64", 1e9, 1e9 + 1e9 / 2**16),
    ],
)
def test_a_constant_gets_some_width(values, dtype, lo, hi):
    stretch = fit_stretch(np.full((1, 8, 8), values, dtype), ALL[:8, :8], dtype)
    assert (stretch.lo, stretch.hi, stretch.mode) == (lo, hi, "constant")


@pytest.mark.parametrize(("dtype", "hi"), [("uint16", 65535), ("float32", 1)])
def test_without_a_valid_pixel_the_type_decides(dtype, hi):
    stretch = fit_stretch(np.zeros((1, 8, 8), dtype), ~ALL[:8, :8], dtype)
    assert (stretch.lo, stretch.hi) == (0, hi)


def test_rare_values_are_not_squeezed_to_nothing():
    sample = np.zeros((1, 100, 100), np.uint16)
    sample[0, 0, :3] = 500
    stretch = fit_stretch(sample, np.ones((100, 100), bool), "uint16")
    assert (stretch.lo, stretch.hi, stretch.mode) == (0, 500, "minmax")


@pytest.mark.parametrize(("top", "mode"), [(1.0, "dtype"), (4.0, "percentile:0.1,99.9")])
def test_floating_point_photographs_within_one_are_untouched(top, mode):
    sample = np.linspace(0, top, 4096, dtype=np.float32).reshape(1, 64, 64)
    assert fit_stretch(sample, ALL, "float32", kind="photo").mode == mode


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("sharp", "unknown stretch 'sharp': use auto"),
        ("range:5,1", "smaller first"),
        ("range:5", "two numbers"),
        ("range:a,b", "two numbers"),
        ("range:0,inf", "two numbers"),
        ("percentile:-1,50", "between 0 and 100"),
        ("percentile:2,101", "between 0 and 100"),
    ],
)
def test_bad_specs_are_explained(spec, message):
    with pytest.raises(InvalidOptions, match=message):
        fit_stretch(DARK, ALL, "uint16", spec)


@pytest.mark.parametrize("dtype", ["uint16", "int32", "float32", "float64"])
def test_to_unit_clips_and_from_unit_inverts(dtype):
    stretch = Stretch(lo=100, hi=300, mode="range")
    unit = stretch.to_unit(np.array([[[0, 100, 150, 300, 900]]], dtype))
    assert unit.dtype == np.float32
    np.testing.assert_allclose(unit[0, 0], [0, 0, 0.25, 1, 1], atol=1e-7)
    np.testing.assert_allclose(stretch.from_unit(unit)[0, 0], [100, 100, 150, 300, 300], rtol=1e-6)


def test_large_integers_keep_their_digits():
    stretch = Stretch(lo=2_000_000_000, hi=2_000_000_100, mode="range")
    unit = stretch.to_unit(np.array([[[2_000_000_025]]], np.int32))
    assert unit.item() == 0.25


def test_every_number_of_eight_bits_comes_back():
    stretch = fit_stretch(np.zeros((1, 1, 1), np.uint8), np.ones((1, 1), bool), "uint8")
    numbers = np.arange(256, dtype=np.uint8)[None, None]
    np.testing.assert_array_equal(np.rint(stretch.from_unit(stretch.to_unit(numbers))), numbers)


def test_the_manifest_gives_it_back():
    stretch = fit_stretch(DARK, ALL, "uint16")
    assert Stretch.from_dict(stretch.to_dict()) == stretch


@pytest.mark.parametrize(
    "values",
    [{}, {"lo": 1, "hi": 1, "mode": "x", "whole": False}, {"lo": "a", "hi": 1, "mode": "x", "whole": False}],
)
def test_a_bad_manifest_is_refused(values):
    with pytest.raises(ConfigurationError, match="a stretch"):
        Stretch.from_dict(values)
