import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from zido_core import resample
from zido_core.errors import BadInput
from zido_core.resample import resize, resize_window, source_window
from zido_core.tiling.grid import Size, Tile

KERNELS = ("bicubic", "lanczos", "area", "nearest")
PILLOW = {"bicubic": Image.Resampling.BICUBIC, "lanczos": Image.Resampling.LANCZOS}


def random_image(*shape: int) -> np.ndarray:
    return np.random.default_rng(sum(shape)).random(shape, dtype=np.float32)


def naive_area(row: np.ndarray, target: int) -> np.ndarray:
    """The integral of the staircase over each target interval, sample by sample."""
    fine = np.repeat(row.astype(np.float64), target)
    return fine.reshape(target, len(row)).mean(1)


def naive_bicubic(row: np.ndarray, target: int) -> np.ndarray:
    scale = len(row) / target
    widen = max(1.0, scale)
    out = []
    for j in range(target):
        centre = (j + 0.5) * scale - 0.5
        total = weights = 0.0
        for i in range(int(np.floor(centre - 2 * widen)), int(np.ceil(centre + 2 * widen)) + 1):
            x = abs(i - centre) / widen
            w = 1.5 * x**3 - 2.5 * x**2 + 1 if x < 1 else -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2 if x < 2 else 0
            total, weights = total + w * row[np.clip(i, 0, len(row) - 1)], weights + w
        out.append(total / weights)
    return np.array(out)


@pytest.mark.parametrize("size", [(40, 80), (41, 97), (7, 9), (20, 13), (33, 20), (1, 1), (128, 3)])
@pytest.mark.parametrize("kernel", PILLOW)
def test_equals_pillow_with_repeated_borders(kernel, size):
    image, margin = random_image(2, 33, 29), 100
    padded = np.pad(image, ((0, 0), (margin, margin), (margin, margin)), mode="edge")
    box = (margin, margin, margin + 29, margin + 33)
    expected = [np.asarray(Image.fromarray(band).resize(size[::-1], PILLOW[kernel], box=box)) for band in padded]
    np.testing.assert_allclose(resize(image, Size(*size), kernel), expected, atol=1e-5)


@pytest.mark.parametrize("size", [(160, 144), (100, 90), (60, 54), (20, 18), (40, 90), (120, 12), (41, 37), (640, 3)])
@pytest.mark.parametrize("kernel", ["bicubic", "lanczos", "area"])
@pytest.mark.parametrize("chunk", [64, 1 << 16])
def test_patterns_of_taps_have_the_bits_of_single_ones(monkeypatch, kernel, size, chunk):
    image = random_image(2, 40, 36)
    monkeypatch.setattr(resample, "_CHUNK", chunk)
    fast = resize(image, Size(*size), kernel)
    monkeypatch.setattr(resample, "_pattern_of", lambda *taps: resample._NO_PATTERN)
    resample._taps.cache_clear()
    single = resize(image, Size(*size), kernel)
    resample._taps.cache_clear()
    assert (fast == single).all()


@pytest.mark.parametrize(("count", "target"), [(7, 28), (7, 10), (10, 7), (12, 3), (5, 1), (1, 4), (9, 9)])
@pytest.mark.parametrize(("kernel", "naive"), [("area", naive_area), ("bicubic", naive_bicubic)])
def test_equals_naive_sums(kernel, naive, count, target):
    row = random_image(count)
    expected = naive(row, target)
    np.testing.assert_allclose(resize(row[None, None], Size(1, target), kernel)[0, 0], expected, atol=2e-6)
    np.testing.assert_allclose(resize(row[None, :, None], Size(target, 1), kernel)[0, :, 0], expected, atol=2e-6)


def test_area_of_whole_factors_is_the_block_mean():
    image = np.random.default_rng(0).integers(0, 256, (3, 24, 32)).astype(np.uint8)
    means = image.reshape(3, 6, 4, 8, 4).mean((2, 4))
    np.testing.assert_array_equal(resize(image, Size(6, 8), "area"), means.astype(np.float32))


def test_nearest_takes_the_pixel_under_the_centre_and_keeps_the_dtype():
    mask = np.array([[[True, False, True]]])
    large = resize(mask, Size(2, 6), "nearest")
    assert large.dtype == bool
    np.testing.assert_array_equal(large[0, 1], [True, True, False, False, True, True])
    np.testing.assert_array_equal(resize(np.arange(7)[None, None], Size(1, 3), "nearest")[0, 0], [1, 3, 5])


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("value", [0.1, 65535.0, -1e-20, 3.3e30])
@pytest.mark.parametrize("size", [(31, 44), (5, 3), (13, 100)])
def test_a_constant_stays_itself(kernel, value, size):
    image = np.full((1, 13, 11), value, np.float32)
    assert np.unique(resize(image, Size(*size), kernel)).tolist() == [np.float32(value)]


@pytest.mark.parametrize("kernel", KERNELS)
def test_the_same_size_changes_nothing(kernel):
    image = random_image(2, 9, 7)
    np.testing.assert_array_equal(resize(image, Size(9, 7), kernel), image)


@pytest.mark.parametrize(
    ("dtype", "result"),
    [("uint8", "f4"), ("int16", "f4"), ("float16", "f4"), ("int32", "f8"), ("float64", "f8")],
)
def test_dtype_is_wide_enough_for_the_values(dtype, result):
    assert resize(np.ones((1, 2, 2), dtype), Size(4, 4)).dtype == result


@settings(max_examples=60, deadline=None)
@given(
    kernel=st.sampled_from(KERNELS),
    source=st.tuples(st.integers(1, 40), st.integers(1, 40)),
    target=st.tuples(st.integers(1, 90), st.integers(1, 90)),
    data=st.data(),
)
def test_a_window_has_the_bits_of_the_whole(kernel, source, target, data):
    image = random_image(2, *source)
    top, left = (data.draw(st.integers(0, n - 1)) for n in target)
    window = Tile(top, left, data.draw(st.integers(1, target[0] - top)), data.draw(st.integers(1, target[1] - left)))
    need = source_window(window, Size(*source), Size(*target), kernel)
    crop = image[:, need.row : need.row + need.height, need.col : need.col + need.width]
    part = resize_window(crop, (need.row, need.col), Size(*source), Size(*target), window, kernel)
    whole = resize(image, Size(*target), kernel)
    rows, cols = slice(top, top + window.height), slice(left, left + window.width)
    np.testing.assert_array_equal(part, whole[:, rows, cols])


def test_row_bands_do_not_show(monkeypatch):
    image = random_image(3, 50, 40)
    expected = [resize(image, Size(*size)) for size in ((200, 160), (23, 17))]
    monkeypatch.setattr("zido_core.resample._BAND", 1)
    monkeypatch.setattr("zido_core.resample._CHUNK", 1)
    for size, want in zip(((200, 160), (23, 17)), expected, strict=True):
        np.testing.assert_array_equal(resize(image, Size(*size)), want)


def test_the_source_window_of_an_enlargement_is_two_pixels_wider():
    window = source_window(Tile(40, 80, 40, 40), Size(100, 100), Size(400, 400), "bicubic")
    assert window == Tile(8, 18, 14, 14)
    assert source_window(Tile(40, 80, 40, 40), Size(100, 100), Size(400, 400), "area") == Tile(10, 20, 10, 10)
    assert source_window(Tile(0, 0, 4, 4), Size(1, 1), Size(4, 4)) == Tile(0, 0, 1, 1)


def test_a_crop_that_is_too_small_says_what_it_lacks():
    with pytest.raises(BadInput, match="rows 0 to 4 and this window needs"):
        resize_window(np.zeros((1, 4, 9)), (0, 0), Size(9, 9), Size(36, 36), Tile(0, 0, 36, 36))


@pytest.mark.parametrize("size", [(0, 4), (4, 0)])
def test_an_empty_target_is_refused(size):
    with pytest.raises(BadInput, match="at least one pixel"):
        resize(np.zeros((1, 3, 3)), Size(*size))


def test_nothing_shifts():
    ramp = np.arange(32, dtype=np.float32)[None, None]
    large = resize(ramp, Size(1, 128))[0, 0]
    centres = (np.arange(128) + 0.5) / 4 - 0.5
    np.testing.assert_allclose(large[8:-8], centres[8:-8], atol=1e-5)
