import numpy as np
import pytest

from zido_core.raster.back_projection import REACH, back_project, keep_local_means
from zido_core.raster.placement import Placement
from zido_core.resample import resize
from zido_core.tiling.grid import Size, Tile

SMALL = Size(24, 30)
RNG = np.random.default_rng(8)
ALL = np.ones(SMALL, bool)


def scene(large: Size, bands: int = 3) -> tuple[np.ndarray, np.ndarray]:
    """Source of 8-bit numbers, and a bad enlargement: gain, bias and noise."""
    source = RNG.integers(20, 230, (bands, *SMALL)).astype(np.float32)
    gain = np.array([1.12, 0.95, 0.9][:bands], np.float32)[:, None, None]
    noise = RNG.normal(0, 15, (bands, *large)).astype(np.float32)
    return source, resize(source, large) * gain + 8 + noise


@pytest.mark.parametrize("factor", [1, 2, 3, 4, 8])
@pytest.mark.parametrize("iterations", [0, 2])
def test_means_are_exact_at_whole_factors(factor, iterations):
    large = SMALL.scaled(factor)
    source, image = scene(large)
    same = back_project(image, source, ALL, Placement.whole(SMALL, large), iterations=iterations)
    assert same is image
    np.testing.assert_allclose(resize(image, SMALL, "area"), source, atol=1e-4)


@pytest.mark.parametrize(
    ("large", "tolerance"),
    [(Size(29, 36), 0.1), (Size(36, 45), 0.1), (Size(60, 75), 0.1), (Size(61, 104), 0.1), (Size(27, 33), 4)],
)
def test_means_are_close_at_other_factors(large, tolerance):
    source, image = scene(large)
    back_project(image, source, ALL, Placement.whole(SMALL, large))
    assert np.abs(resize(image, SMALL, "area") - source).max() < tolerance


def test_means_survive_rounding_and_the_range_of_the_type():
    large = SMALL.scaled(4)
    source, image = scene(large)
    source[:, ::3] = np.where(source[:, ::3] > 120, 255, 0)
    source[:, 1::3] = np.where(source[:, 1::3] > 120, 252, 2)
    back_project(image, source, ALL, Placement.whole(SMALL, large), limits=(0, 255))
    assert image.min() >= 0
    assert image.max() <= 255
    means = resize(np.rint(image).astype(np.uint8), SMALL, "area")
    assert np.abs(means - source).max() < 0.5
    assert np.abs(means - source).mean() < 0.1


def test_the_smooth_passes_leave_little_to_the_blocky_one():
    large = SMALL.scaled(4)
    source = resize(np.random.default_rng(1).random((1, 6, 8), np.float32) * 200, SMALL)
    placement = Placement.whole(SMALL, large)
    smooth = back_project(resize(source, large) * 1.1, source, ALL, placement)
    blocky = back_project(resize(source, large) * 1.1, source, ALL, placement, iterations=0)
    kinks = [np.abs(np.diff(image, 2, axis=2))[..., 2::4].mean() for image in (smooth, blocky)]
    assert kinks[0] < 0.5 * kinks[1]


@pytest.mark.parametrize("large", [SMALL.scaled(4), Size(60, 75)])
@pytest.mark.parametrize("per_band", [False, True])
def test_nodata_never_leaks_into_valid_pixels(large, per_band):
    source, image = scene(large)
    valid = RNG.random((3, *SMALL) if per_band else SMALL) > 0.3
    placement = Placement.whole(SMALL, large)
    with_nan, with_huge = (np.where(valid, source, gap) for gap in (np.nan, -1e6))
    first = back_project(image.copy(), with_nan, valid, placement)
    second = back_project(image.copy(), with_huge, valid, placement)
    np.testing.assert_array_equal(first, second)
    means = placement.reduce(first, valid)
    mask = np.broadcast_to(valid, source.shape)
    assert np.abs(means - source)[mask].max() < (1e-3 if placement.whole_factor else 0.1)


def test_a_block_has_the_means_of_the_pixels_it_holds():
    large = SMALL.scaled(4)
    source, image = scene(large)
    target = Tile(18, 22, 50, 60)
    placement = Placement(source=Tile(4, 5, 14, 16), source_size=SMALL, target=target, target_size=large)
    piece = image[:, *target.slices].copy()
    back_project(piece, source[:, 4:18, 5:21], ALL[4:18, 5:21], placement)
    rows, cols = placement.inside.shifted(4, 5).slices
    np.testing.assert_allclose(placement.reduce(piece), source[:, rows, cols], atol=1e-4)


def test_row_bands_do_not_show(monkeypatch):
    large = SMALL.scaled(4)
    source, image = scene(large)
    placement = Placement.whole(SMALL, large)
    expected = back_project(image.copy(), source, ALL, placement, limits=(0, 255))
    monkeypatch.setattr("zido_core.raster.placement._BAND", 1000)
    np.testing.assert_array_equal(back_project(image, source, ALL, placement, limits=(0, 255)), expected)


def test_numbers_of_32_bits_keep_their_digits():
    source = 2_000_000_000 + RNG.integers(0, 99, (1, *SMALL)).astype(np.float64)
    large = SMALL.scaled(2)
    image = back_project(resize(source, large) + 3, source, ALL, Placement.whole(SMALL, large))
    np.testing.assert_allclose(resize(image, SMALL, "area"), source, rtol=0, atol=1e-5)


class TestLocalMeans:
    """Means over neighbourhoods are kept, the noise of single pixels is not."""

    def test_what_is_smooth_is_restored_and_noise_stays_away(self):
        size = Size(48, 60)
        rows, cols = np.mgrid[:48, :60].astype(np.float32)
        smooth = (100 + rows + 2 * cols)[None]
        noisy = smooth + np.random.default_rng(2).normal(0, 12, smooth.shape).astype(np.float32)
        placement = Placement.whole(size, size.scaled(4))
        clean = resize(smooth, size.scaled(4))
        drifted = clean * np.float32(1.1) + 6
        keep_local_means(drifted, noisy, np.ones(size, bool), placement)
        assert np.abs(drifted - clean).mean() < 2
        exact = back_project(clean * np.float32(1.1) + 6, noisy, np.ones(size, bool), placement)
        assert np.abs(exact - clean).mean() > 8

    def test_invalid_pixels_pull_at_nothing(self):
        valid = ALL.copy()
        valid[:, :15] = False
        source = np.full((1, *SMALL), 50, np.float32)
        source[:, ~valid] = 9000
        image = np.full((1, *SMALL.scaled(4)), 40, np.float32)
        keep_local_means(image, source, valid, Placement.whole(SMALL, SMALL.scaled(4)))
        np.testing.assert_allclose(image[:, :, 10 * 4 :], 50, atol=1e-3)

    def test_the_range_of_the_type_holds(self):
        source = np.full((1, *SMALL), 250, np.float32)
        image = np.tile(np.array([200, 255], np.float32), (1, SMALL.height * 2, SMALL.width))
        keep_local_means(image, source, ALL, Placement.whole(SMALL, SMALL.scaled(2)), limits=(0, 255))
        assert image.max() == 255

    def test_a_piece_is_made_as_in_the_whole(self):
        large = SMALL.scaled(4)
        source, image = scene(large)
        piece = image[:, :, : 24 * 4].copy()
        keep_local_means(image, source, ALL, Placement.whole(SMALL, large))
        crop = Tile(0, 0, SMALL.height, 24)
        part = Placement(source=crop, source_size=SMALL, target=crop.scaled(4), target_size=large)
        keep_local_means(piece, source[:, :, :24], ALL[:, :24], part)
        seen = (24 - REACH - 2) * 4
        np.testing.assert_allclose(piece[:, :, :seen], image[:, :, :seen], atol=1e-3)
