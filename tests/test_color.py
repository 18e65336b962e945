import numpy as np
import pytest
import torch

from zido_core import color
from zido_core.color import adain, fix_color, from_lab, lab, low_frequency, to_lab, wavelet
from zido_core.errors import InvalidOptions

METHODS = {"adain": adain, "wavelet": wavelet, "lab": lab}


def images(height: int = 60, width: int = 72) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(height)
    style = low_frequency(torch.rand(3, height, width, generator=generator) * 2 - 0.5).clamp(0, 1)
    detail = 0.05 * torch.randn(3, height, width, generator=generator)
    return (style + detail) * torch.tensor([1.1, 0.9, 0.8])[:, None, None] + 0.05, style


def naive_low_frequency(image: np.ndarray) -> np.ndarray:
    kernel = np.outer([1, 2, 1], [1, 2, 1]) / 16
    height, width = image.shape
    for level in range(5):
        reach = 2**level
        padded = np.pad(image, reach, mode="edge")
        image = sum(
            kernel[i, j] * padded[i * reach : i * reach + height, j * reach : j * reach + width]
            for i in range(3)
            for j in range(3)
        )
    return image


@pytest.mark.parametrize("shape", [(3, 100, 40), (2, 1, 65, 9), (31, 8)])
def test_strips_are_smoothed_as_in_the_whole(monkeypatch, shape):
    image = torch.rand(shape)
    whole = low_frequency(image)
    monkeypatch.setattr(color, "STRIP", 16)
    assert torch.equal(low_frequency(image), whole)


@pytest.mark.parametrize("shape", [(1, 1), (7, 50), (64, 33)])
def test_low_frequency_is_five_dilated_convolutions(shape):
    image = torch.rand(1, *shape, dtype=torch.float64)
    np.testing.assert_allclose(low_frequency(image)[0], naive_low_frequency(image[0].numpy()), atol=1e-12)


def test_adain_matches_mean_and_deviation():
    content, style = images()
    result = adain(content, style)
    torch.testing.assert_close(result.mean((1, 2)), style.mean((1, 2)), atol=1e-5, rtol=0)
    torch.testing.assert_close(result.std((1, 2)), style.std((1, 2)), atol=1e-3, rtol=0)


def test_wavelet_takes_low_frequencies_only():
    content, style = images()
    result = wavelet(content, style)
    expected = content - low_frequency(content) + low_frequency(style)
    torch.testing.assert_close(result, expected, atol=1e-6, rtol=0)


def test_lab_matches_hue_but_keeps_the_contrast_of_lightness():
    content, style = images()
    result, wanted = to_lab(lab(content, style)), to_lab(style)
    torch.testing.assert_close(result.mean((1, 2)), wanted.mean((1, 2)), atol=1e-2, rtol=0)
    torch.testing.assert_close(result[1:].std((1, 2)), wanted[1:].std((1, 2)), atol=1e-2, rtol=0)
    assert result[0].std() > wanted[0].std()


@pytest.mark.parametrize(
    ("rgb", "expected"),
    [
        ((1, 1, 1), (100, 0, 0)),
        ((0, 0, 0), (0, 0, 0)),
        ((1, 0, 0), (53.2408, 80.0925, 67.2032)),
        ((0, 1, 0), (87.7347, -86.1827, 83.1793)),
        ((0, 0, 1), (32.2970, 79.1875, -107.8602)),
        ((0.5, 0.5, 0.5), (53.3890, 0, 0)),
    ],
)
def test_cielab_of_known_colours(rgb, expected):
    color = torch.tensor(rgb, dtype=torch.float64)[:, None, None]
    np.testing.assert_allclose(to_lab(color).flatten(), expected, atol=0.01)


def test_lab_goes_back_also_out_of_range():
    image = torch.linspace(-0.3, 1.4, 3 * 40 * 41, dtype=torch.float64).reshape(41 * 40, 3).T.reshape(3, 41, 40)
    torch.testing.assert_close(from_lab(to_lab(image)), image, atol=1e-9, rtol=0)


@pytest.mark.parametrize("method", METHODS)
def test_equal_colours_are_left_alone(method):
    _, style = images()
    torch.testing.assert_close(METHODS[method](style, style), style, atol=2e-5, rtol=0)


@pytest.mark.parametrize("method", METHODS)
def test_a_batch_is_as_its_images(method):
    pairs = [images(), images()]
    batch = METHODS[method](*(torch.stack(side) for side in zip(*pairs, strict=True)))
    for result, pair in zip(batch, pairs, strict=True):
        torch.testing.assert_close(result, METHODS[method](*pair), atol=1e-6, rtol=0)


@pytest.mark.parametrize("method", METHODS)
def test_invalid_pixels_do_not_count(method):
    content, style = images()
    valid = torch.ones(content.shape[1:], dtype=torch.bool)
    valid[:, 30:45] = valid[50:] = False
    first = fix_color(method, content, style, valid)
    for image, value in ((content, 50.0), (style, -70.0)):
        image[:, ~valid] = value
    second = fix_color(method, content, style, valid)
    torch.testing.assert_close(first[:, valid], second[:, valid], rtol=0, atol=0)


@pytest.mark.parametrize("method", METHODS)
def test_an_all_valid_mask_changes_nothing(method):
    content, style = images()
    everything = torch.ones(content.shape[1:], dtype=torch.bool)
    torch.testing.assert_close(
        fix_color(method, content, style, everything), fix_color(method, content, style), rtol=0, atol=0
    )


def test_a_shift_is_corrected_beside_a_gap():
    _, style = images()
    valid = torch.ones(style.shape[1:], dtype=torch.bool)
    valid[:, 30:] = False
    shifted = torch.where(valid, style + 0.2, 0)
    result = wavelet(shifted, style, valid)
    torch.testing.assert_close(result[:, valid], style[:, valid], atol=1e-5, rtol=0)


@pytest.mark.parametrize("valid", [None, torch.zeros(60, 72, dtype=torch.bool)])
def test_none_and_nothing_valid_hand_the_content_back(valid):
    content, style = images()
    assert fix_color("none" if valid is None else "adain", content, style, valid) is content


def test_the_wavelet_fix_of_a_block_with_halo_is_that_of_the_whole():
    content, style = images(150, 170)
    whole, part = wavelet(content, style), wavelet(content[:, 40:, 50:], style[:, 40:, 50:])
    torch.testing.assert_close(part[:, 31:, 31:], whole[:, 71:, 81:], rtol=0, atol=0)


@pytest.mark.parametrize("method", ["adain", "wavelet"])
def test_bits_do_not_depend_on_threads(method):
    content, style = images(300, 310)
    before = torch.get_num_threads()
    try:
        results = []
        for threads in (1, 3):
            torch.set_num_threads(threads)
            results.append(fix_color(method, content, style))
    finally:
        torch.set_num_threads(before)
    assert torch.equal(*results)


def test_mistakes_are_explained():
    content, style = images()
    with pytest.raises(InvalidOptions, match="one size"):
        fix_color("adain", content, style[:, 1:])
    with pytest.raises(InvalidOptions, match="unknown colour correction 'hsv'"):
        fix_color("hsv", content, style)
