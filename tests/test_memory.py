"""Images in memory as sources, and results as what the input was."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from zido_core.errors import BadInput, InvalidOptions
from zido_core.raster.memory import ArraySource, as_given, source_of
from zido_core.tiling.grid import Size, Tile

WORDS = {
    1: ("gray",),
    2: ("gray", "alpha"),
    3: ("red", "green", "blue"),
    4: ("red", "green", "blue", "alpha"),
    6: ("red", "green", "blue", "undefined", "undefined", "undefined"),
}


@pytest.mark.parametrize("count", WORDS)
def test_channels_have_a_meaning(count: int) -> None:
    info = ArraySource(np.zeros((4, 5, count), np.uint16)).info
    assert tuple(band.interpretation for band in info.bands) == WORDS[count]
    assert (info.size, info.count, info.dtype, info.kind) == (Size(4, 5), count, "uint16", "photo")
    assert info.alpha == (count if WORDS[count][-1] == "alpha" else None)


def test_windows_and_bands() -> None:
    image = np.arange(4 * 5 * 3, dtype=np.uint8).reshape(4, 5, 3)
    source = ArraySource(image)
    raster = source.read(Tile(1, 2, 2, 3), bands=[3, 1])
    assert (raster.array == image[1:3, 2:5, [2, 0]].transpose(2, 0, 1)).all()
    assert raster.valid.shape == (2, 3)
    with pytest.raises(ValueError, match="not inside"):
        source.read(Tile(0, 0, 5, 5))
    with pytest.raises(InvalidOptions, match="band 4"):
        source.read(bands=[4])


def test_transparent_and_unreal_pixels_are_not_valid() -> None:
    image = np.full((2, 3, 4), 0.5, np.float32)
    image[0, 0, 3], image[1, 1, 0], image[1, 2, 1] = 0, np.nan, np.inf
    raster = ArraySource(image).read()
    assert np.argwhere(~raster.valid).tolist() == [[0, 0], [1, 1], [1, 2]]
    assert raster.array.shape == (3, 2, 3)
    assert raster.alpha is not None


@pytest.mark.parametrize("dtype", [">u2", "<f4", ">f8", ">i2", "float16", "int64"])
def test_numbers_in_any_order_of_bytes(dtype: str) -> None:
    image = np.arange(6).reshape(2, 3).astype(dtype)
    source = ArraySource(image)
    assert source.info.dtype == np.dtype(dtype).name
    assert (source.read().array[0] == image).all()
    assert source.read().array.dtype.isnative


@pytest.mark.parametrize(
    ("image", "words"),
    [
        (np.zeros(5), "shape"),
        (np.zeros((0, 4, 3)), "shape"),
        (np.zeros((2, 2, 2, 2)), "shape"),
        (np.zeros((2, 2), complex), "complex128"),
        (np.zeros((2, 2), bool), "bool"),
        (np.array([["a", "b"]]), "integers or floats"),
        (np.zeros((2, 2), np.longdouble), "64 bits"),
    ],
)
def test_what_is_no_image(image: np.ndarray, words: str) -> None:
    with pytest.raises(BadInput, match=words):
        source_of(image)


@pytest.mark.parametrize(
    ("mode", "count", "dtype"),
    [
        *((mode, 1, "uint8") for mode in ("1", "L")),
        *((mode, 2, "uint8") for mode in ("LA", "La")),
        *((mode, 3, "uint8") for mode in ("P", "RGB", "RGBX", "CMYK", "YCbCr", "HSV")),
        *((mode, 4, "uint8") for mode in ("RGBA", "RGBa")),
        *(("I", 1, "int32"), ("F", 1, "float32"), ("I;16", 1, "uint16"), ("I;16B", 1, "int32")),
    ],
)
def test_pillow_modes(mode: str, count: int, dtype: str) -> None:
    info = source_of(Image.new(mode, (5, 4))).info
    assert (info.size, info.count, info.dtype) == (Size(4, 5), count, dtype)


@pytest.mark.parametrize(("mode", "count"), [("P", 4), ("RGB", 4), ("L", 2)])
def test_a_transparent_colour_becomes_opacity(mode: str, count: int) -> None:
    image = Image.new(mode, (5, 4))
    image.info["transparency"] = (0, 0, 0) if mode == "RGB" else 0
    source = source_of(image)
    assert source.info.count == count
    assert not source.read().valid.any()


def test_a_picture_brings_its_profile_along() -> None:
    image = Image.new("RGB", (5, 4))
    image.info |= {"icc_profile": b"profile", "dpi": (300, 300)}
    photo = source_of(image).info.photo
    assert photo is not None
    assert (photo.icc, photo.dpi) == (b"profile", (300, 300))


@pytest.mark.parametrize(
    ("given", "count", "shape"),
    [((4, 5), 1, (8, 10)), ((4, 5, 1), 1, (8, 10, 1)), ((4, 5, 3), 3, (8, 10, 3)), ((4, 5), 2, (8, 10, 2))],
)
def test_arrays_come_back(given: tuple[int, ...], count: int, shape: tuple[int, ...]) -> None:
    planes = np.arange(count * 80, dtype=np.uint16).reshape(count, 8, 10)
    image = as_given(planes, np.zeros(given, np.uint16))
    assert isinstance(image, np.ndarray)
    assert image.shape == shape
    assert image.flags.c_contiguous
    assert (image.reshape(8, 10, count).transpose(2, 0, 1) == planes).all()


def test_pictures_come_back_with_what_they_carry() -> None:
    given = Image.new("P", (5, 4))
    given.info |= {"dpi": (72, 72), "transparency": 3}
    image = as_given(np.zeros((4, 8, 10), np.uint8), given)
    assert isinstance(image, Image.Image)
    assert (image.mode, image.size, image.info) == ("RGBA", (10, 8), {"dpi": (72, 72)})


def test_some_numbers_fit_into_no_picture() -> None:
    with pytest.raises(InvalidOptions, match="3 bands of float32"):
        as_given(np.zeros((3, 4, 4), np.float32), Image.new("RGB", (2, 2)))
