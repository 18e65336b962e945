import math
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from zido_core.errors import BadInput
from zido_core.metrics.consistency import (
    borders,
    consistency,
    phase_shift,
    reflectance,
    seam_ratio,
    spectral_angle,
    subpixel_shift,
)
from zido_core.resample import resize
from zido_core.tiling.grid import Size, Tile

RNG = np.random.default_rng(12)
DATA = Path(os.environ.get("ZIDO_DATA_DIR", Path(__file__).parents[2] / "shared" / "data")) / "pack-eval"


def scene(height: int, width: int, cells: int = 6) -> np.ndarray:
    """Something with detail at several scales, (3, height, width)."""
    layers = [
        resize(RNG.random((3, -(-height // n), -(-width // n)), np.float32), Size(height, width))
        for n in (1, 2, cells, 4 * cells)
    ]
    return (0.1 * layers[0] + 0.2 * layers[1] + 0.3 * layers[2] + 0.4 * layers[3]).astype(np.float32)


def shifted(image: np.ndarray, rows: float, cols: float) -> np.ndarray:
    phase = np.fft.fftfreq(image.shape[1])[:, None] * rows + np.fft.fftfreq(image.shape[2]) * cols
    return np.fft.ifft2(np.fft.fft2(image) * np.exp(-2j * np.pi * phase)).real


@pytest.mark.parametrize("size", [Size(160, 200), Size(90, 131)])
def test_a_consistent_enlargement_scores_zero(size):
    sr = scene(*size)
    lr = resize(sr, Size(40, 50), "area")
    score = consistency(sr, lr)
    assert score.reflectance == 0
    assert score.spectral == pytest.approx(0, abs=0.05)
    assert score.spatial == 0


def test_reflectance_is_the_mean_difference_over_valid_pixels():
    lr = scene(20, 24)
    sr = np.kron(lr, np.ones((1, 4, 4), np.float32)) + np.float32(0.03)
    sr[:, :40] += 9
    valid = np.ones((20, 24), bool)
    valid[:10] = False
    assert reflectance(sr, lr, valid) == pytest.approx(0.03, rel=1e-4)
    assert consistency(sr, lr, valid).reflectance == reflectance(sr, lr, valid)


def test_a_gain_of_one_band_turns_the_spectrum():
    lr = np.ones((3, 10, 10))
    sr = np.ones((3, 40, 40))
    sr[0] = 2
    angle = math.degrees(math.acos(4 / math.sqrt(3 * 6)))
    assert spectral_angle(sr, lr) == pytest.approx(angle)
    assert spectral_angle(1.7 * np.ones((3, 40, 40)), lr) == pytest.approx(0, abs=1e-5)


@pytest.mark.parametrize("shift", [(0, 0), (0.25, -0.4), (1.5, 0.7), (-3, 5), (0.04, 0.02)])
def test_phase_shift_finds_a_known_shift(shift):
    image = scene(96, 128)
    found = phase_shift(shifted(image, *shift) + RNG.normal(0, 0.002, image.shape), image)
    np.testing.assert_allclose(found, shift, atol=0.03)


@pytest.mark.parametrize("offset", [0, 1, 2])
def test_a_displacement_of_the_result_is_measured_in_input_pixels(offset):
    sr = scene(320, 400)
    lr = resize(sr, Size(80, 100), "area")
    found = subpixel_shift(np.roll(sr, (offset, -offset), (1, 2)), lr)
    np.testing.assert_allclose(found, (offset / 4, -offset / 4), atol=0.03)
    assert found.length == pytest.approx(math.hypot(offset, offset) / 4, abs=0.04)


@pytest.mark.parametrize("image", [np.zeros((1, 5, 40)), np.full((1, 40, 40), 0.5)])
def test_without_structure_there_is_no_shift(image):
    assert all(math.isnan(part) for part in phase_shift(image, image))


def test_bands_must_agree():
    with pytest.raises(BadInput, match="same bands"):
        reflectance(np.zeros((3, 8, 8)), np.zeros((1, 2, 2)))


ROWS, COLS = [64, 128, 192], [48, 96, 144, 192, 240]


@pytest.mark.parametrize("seed", range(3))
def test_an_image_without_tiles_has_no_seams(seed):
    smooth = resize(np.random.default_rng(seed).random((3, 64, 72), np.float32), Size(256, 288))
    assert seam_ratio(smooth, ROWS, COLS, period=4, reference=smooth) == 1
    assert seam_ratio(smooth, ROWS, COLS, period=4) == pytest.approx(1, abs=0.06)


def test_the_input_may_be_enlarged_where_it_is_looked_at():
    small, image = RNG.random((3, 64, 72), np.float32), RNG.random((3, 256, 288), np.float32)
    whole = seam_ratio(image, ROWS, COLS, period=4, reference=resize(small, Size(256, 288)))
    assert seam_ratio(image, ROWS, COLS, period=4, reference=small) == whole


def test_a_pattern_of_input_pixels_is_not_a_seam():
    blocky = np.kron(RNG.random((3, 64, 72), np.float32), np.ones((1, 4, 4), np.float32))
    assert seam_ratio(blocky, ROWS, COLS, period=4) == pytest.approx(1, abs=0.06)
    assert seam_ratio(blocky, ROWS, COLS) > 10


@pytest.mark.parametrize(("contrast", "step", "least"), [(0, 0.01, 10), (0.1, 0.02, 1.5), (0.4, 0.05, 1.15)])
def test_steps_between_tiles_are_found(contrast, step, least):
    image = contrast * resize(RNG.random((3, 64, 72), np.float32), Size(256, 288))
    tiled = image.copy()
    for index, row in enumerate(ROWS):
        tiled[:, row:] += step * (-1) ** index
    assert seam_ratio(tiled, ROWS, [], period=4, reference=image) > least
    turned, plain = tiled.transpose(0, 2, 1), image.transpose(0, 2, 1)
    assert seam_ratio(turned, [], ROWS, period=4, reference=plain) > least
    assert seam_ratio(tiled, [], COLS, period=4, reference=image) == pytest.approx(1, abs=0.01)


def test_it_is_the_odds_of_the_step_at_the_border():
    image = np.cumsum([0.0, 0, 1, 1, 3, 1, 1, 0])[None, :, None] * np.ones((1, 1, 5))
    share = (3 / 4 + 3 / 4 + 3 / 4 + 3 / 4) / 4
    assert seam_ratio(image, [4], []) == pytest.approx(share / (1 - share), rel=1e-2)


def test_invalid_pixels_do_not_count():
    image = resize(RNG.random((1, 64, 72), np.float32), Size(256, 288))
    valid = np.ones((256, 288), bool)
    valid[:, 100:180] = False
    expected = seam_ratio(image, ROWS, COLS, period=4, valid=valid)
    image[:, 64:, 100:180] = 50
    assert seam_ratio(image, ROWS, COLS, period=4, valid=valid) == expected


@pytest.mark.parametrize(("rows", "cols"), [([], []), ([1], [1]), ([62, 63, 64, 65, 66], [])])
def test_without_a_border_that_has_neighbours_it_is_unknown(rows, cols):
    assert math.isnan(seam_ratio(np.zeros((1, 128, 128)), rows, cols, period=1 if len(rows) > 1 else 4))


def test_borders_are_where_tiles_begin_and_end():
    tiles = [Tile(0, 0, 64, 64), Tile(0, 32, 64, 64), Tile(36, 0, 64, 64)]
    assert borders(tiles, Size(100, 96)) == ([36, 64], [32, 64])


@pytest.mark.parametrize("name", ["kodim01.png", "kodim08.png", "kodim19.png"])
@pytest.mark.parametrize("spacing", [32, 64, 128])
def test_real_photographs_have_no_seams(name, spacing):
    path = DATA / "photos" / name
    if not path.exists():
        pytest.skip(f"no {path}; set ZIDO_DATA_DIR")
    image = np.asarray(Image.open(path), np.float32).transpose(2, 0, 1) / 255
    size = Size(*image.shape[1:])
    enlarged = resize(resize(image, Size(size.height // 4, size.width // 4), "area"), size)
    rows, cols = range(spacing, size.height, spacing), range(spacing, size.width, spacing)
    assert seam_ratio(image, rows, cols, period=4, reference=enlarged) == pytest.approx(1, abs=0.03)
