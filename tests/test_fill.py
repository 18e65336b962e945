import numpy as np
import pytest

from zido_core.raster.fill import fill_invalid

RNG = np.random.default_rng(3)


def blobs(height: int, width: int, share: float = 0.3) -> np.ndarray:
    cells = RNG.random((height // 8 + 1, width // 8 + 1)) > share
    return np.kron(cells, np.ones((8, 8), bool))[:height, :width]


@pytest.mark.parametrize("shape", [(1, 1, 1), (2, 1, 9), (3, 33, 47), (1, 200, 3)])
@pytest.mark.parametrize("per_band", [False, True])
def test_valid_pixels_keep_their_bits_and_gaps_stay_within_range(shape, per_band):
    image = RNG.normal(size=shape).astype(np.float32)
    valid = RNG.random(shape if per_band else shape[1:]) > 0.5
    valid.flat[0] = True
    holes = np.where(valid, image, np.nan)
    filled = fill_invalid(holes, valid, far=0.0)
    mask = np.broadcast_to(valid, shape)
    np.testing.assert_array_equal(filled[mask], image[mask])
    assert np.isfinite(filled).all()
    assert filled.min() >= min(image[mask].min(), 0)
    assert filled.max() <= max(image[mask].max(), 0)


def test_a_complete_image_is_handed_back():
    image = RNG.random((3, 8, 8), np.float32)
    assert fill_invalid(image, np.ones((8, 8), bool)) is image


def test_a_constant_is_continued():
    image = np.where(blobs(70, 90), np.float32(42.5), np.nan)[None]
    np.testing.assert_array_equal(fill_invalid(image, ~np.isnan(image)), np.float32(42.5))


def test_gaps_take_the_values_around_them():
    left_half = np.zeros((1, 32, 32), np.float32)
    left_half[..., 16:] = 10
    valid = np.ones((32, 32), bool)
    valid[12:20, 4:8] = valid[12:20, 24:28] = False
    filled = fill_invalid(np.where(valid, left_half, -999), valid)
    np.testing.assert_allclose(filled, left_half, atol=1.5)


def test_it_is_smooth_across_a_wide_gap():
    image = np.zeros((1, 64, 64), np.float32)
    image[..., 32:] = 100
    valid = np.zeros((64, 64), bool)
    valid[:, :8] = valid[:, 56:] = True
    filled = fill_invalid(image, valid)
    assert np.abs(np.diff(filled[0, 30])).max() < 12


@pytest.mark.parametrize(("far", "expected"), [(7.0, [7, 7]), (np.array([1.0, 2.0]), [1, 2]), (None, [5, 6])])
def test_wide_gaps_end_in_the_far_value(far, expected):
    image = np.zeros((2, 300, 300), np.float32)
    image[0, :4], image[1, :4] = 5, 6
    valid = np.zeros((300, 300), bool)
    valid[:4] = True
    np.testing.assert_allclose(fill_invalid(image, valid, far=far)[:, -1, -1], expected, rtol=1e-6)


def test_without_any_valid_pixel_all_is_far():
    np.testing.assert_array_equal(fill_invalid(np.full((1, 5, 5), np.nan), np.zeros((5, 5), bool)), 0)


@pytest.mark.parametrize(("row", "col"), [(0, 0), (31, 96), (100, 57)])
def test_a_crop_with_a_halo_has_the_bits_of_the_whole(row, col):
    image, valid, halo = RNG.random((2, 300, 280), np.float32), blobs(300, 280, 0.7), 128
    whole = fill_invalid(image, valid, far=0.5, levels=5)
    top, left = max(0, row - halo), max(0, col - halo)
    crop = np.s_[top : row + 90 + halo, left : col + 80 + halo]
    part = fill_invalid(image[:, *crop], valid[crop], far=0.5, levels=5, origin=(top, left))
    np.testing.assert_array_equal(
        part[:, row - top : row - top + 90, col - left : col - left + 80],
        whole[:, row : row + 90, col : col + 80],
    )


@pytest.mark.parametrize(("dtype", "result"), [("uint8", "f4"), ("uint16", "f4"), ("int32", "f8"), ("float64", "f8")])
def test_dtype(dtype, result):
    assert fill_invalid(np.ones((1, 4, 4), dtype), np.eye(4, dtype=bool)).dtype == result
