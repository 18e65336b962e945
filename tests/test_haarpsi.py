import math

import numpy as np
import pytest

from zido_core.metrics.haarpsi import haarpsi
from zido_core.resample import resize
from zido_core.tiling.grid import Size

RNG = np.random.default_rng(4)
TRUTH = np.clip(resize(RNG.random((3, 12, 14), np.float32), Size(36, 42)), 0, 1)
NOISE = RNG.normal(0, 1, TRUTH.shape)


def naive(image: np.ndarray, truth: np.ndarray) -> float:
    """From the paper's formulae, pixel by pixel."""
    planes = [channels(each) for each in (image, truth)]
    height, width = planes[0][0].shape
    above = below = 0.0
    for row in range(height):
        for col in range(width):
            similar, weights = [], []
            for turned in (False, True):
                a, b = ([abs(haar(plane[0], row, col, j, turned)) for j in (1, 2, 3)] for plane in planes)
                similar.append(sum(s(a[j], b[j]) for j in (0, 1)) / 2)
                weights.append(max(a[2], b[2]))
            if len(planes[0]) == 3:
                chroma = [[abs(window(plane[at], row, col, 2).mean()) for plane in planes] for at in (1, 2)]
                similar.append(sum(s(*pair) for pair in chroma) / 2)
                weights.append(sum(weights) / 2)
            for similarity, weight in zip(similar, weights, strict=True):
                above += weight / (1 + math.exp(-4.2 * similarity))
                below += weight
    mean = above / below
    return (math.log(mean / (1 - mean)) / 4.2) ** 2


def channels(image: np.ndarray) -> list[np.ndarray]:
    """Y, I and Q of 0 to 255, reduced to half."""
    if len(image) == 3:
        red, green, blue = image
        image = np.stack(
            [
                0.299 * red + 0.587 * green + 0.114 * blue,
                0.596 * red - 0.274 * green - 0.322 * blue,
                0.211 * red - 0.523 * green + 0.312 * blue,
            ]
        )
    return [255 * (p[::2, ::2] + p[1::2, ::2] + p[::2, 1::2] + p[1::2, 1::2]) / 4 for p in image]


def window(plane: np.ndarray, row: int, col: int, side: int) -> np.ndarray:
    padded = np.pad(plane, side)
    top, left = row + side - (side // 2 - 1), col + side - (side // 2 - 1)
    return padded[top : top + side, left : left + side]


def haar(plane: np.ndarray, row: int, col: int, scale: int, turned: bool) -> float:
    pixels = window(plane, row, col, 2**scale)
    pixels = pixels if turned else pixels.T
    half = len(pixels) // 2
    return (pixels[:, :half].sum() - pixels[:, half:].sum()) / 2**scale


def s(a: float, b: float) -> float:
    return (2 * a * b + 30) / (a * a + b * b + 30)


@pytest.mark.parametrize("bands", [1, 3])
def test_haarpsi_is_reisenhofers(bands):
    image, truth = (TRUTH + 0.05 * NOISE)[:bands], TRUTH[:bands]
    assert haarpsi(image, truth) == pytest.approx(naive(image, truth))


def test_equal_images_are_one_and_noise_counts():
    scores = [haarpsi(TRUTH + level * NOISE, TRUTH) for level in (0, 0.02, 0.1)]
    assert scores[0] == pytest.approx(1)
    assert scores == sorted(scores, reverse=True)


def test_flat_images_are_equal():
    assert haarpsi(np.zeros((1, 32, 32)), np.zeros((1, 32, 32))) == 1


def test_invalid_pixels_do_not_count():
    valid = np.ones(TRUTH.shape[1:], bool)
    valid[:14, :11] = False
    damaged = np.where(valid, TRUTH, 40)
    assert haarpsi(damaged, TRUTH, valid) == pytest.approx(1)


@pytest.mark.parametrize("valid", [None, np.zeros((16, 16), bool)])
def test_nothing_to_see_is_nan(valid):
    side = 15 if valid is None else 16
    assert math.isnan(haarpsi(TRUTH[:, :side, :side], TRUTH[:, :side, :side], valid))
