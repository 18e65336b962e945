"""The PNG encoder against two decoders."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image
from rasterio.io import MemoryFile

from zido_core.raster.png import SIGNATURE, density_chunk, filtered, profile_chunk, text_chunk, write_png
from zido_core.tiling.grid import Size


def smooth(size, channels, dtype):
    row, col, band = np.mgrid[: size[0], : size[1], :channels]
    return ((np.sin(row / 9 + band) + np.cos(col / 7) + 2) / 4 * np.iinfo(dtype).max).astype(dtype)


def encode(pixels, *, step=5, **more):
    file = io.BytesIO()
    rows = [pixels[top : top + step] for top in range(0, len(pixels), step)]
    size = Size(*pixels.shape[:2])
    write_png(file, size, rows, channels=pixels.shape[2], dtype=str(pixels.dtype), **more)
    return file.getvalue()


def chunks(content):
    """(type, data) of every chunk; the CRCs are checked."""
    assert content.startswith(SIGNATURE)
    at, found = len(SIGNATURE), []
    while at < len(content):
        (length,) = struct.unpack_from(">I", content, at)
        kind, data = content[at + 4 : at + 8], content[at + 8 : at + 8 + length]
        assert struct.unpack_from(">I", content, at + 8 + length)[0] == zlib.crc32(kind + data)
        found.append((kind, data))
        at += 12 + length
    return found


@pytest.mark.parametrize("size", [(1, 1), (3, 5), (300, 257), (1, 90), (90, 1)])
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
def test_gdal_reads_what_was_written(size, channels, dtype):
    pixels = smooth(size, channels, dtype)
    pixels[::2] ^= np.random.default_rng(0).integers(0, 255, pixels[::2].shape).astype(dtype)
    with MemoryFile(encode(pixels)) as memory, memory.open() as dataset:
        assert dataset.dtypes[0] == dtype
        np.testing.assert_array_equal(dataset.read().transpose(1, 2, 0), pixels)


@pytest.mark.parametrize(("channels", "mode"), [(1, "L"), (2, "LA"), (3, "RGB"), (4, "RGBA")])
def test_pillow_reads_what_was_written(channels, mode):
    pixels = smooth((64, 48), channels, "uint8")
    with Image.open(io.BytesIO(encode(pixels))) as picture:
        picture.load()
        assert picture.mode == mode
        np.testing.assert_array_equal(np.atleast_3d(picture), pixels)


@pytest.mark.parametrize("step", [1, 7, 64])
def test_bytes_do_not_depend_on_how_rows_come(step):
    pixels = smooth((64, 48), 3, "uint8")
    assert encode(pixels, step=step) == encode(pixels)


def test_data_is_cut_into_chunks():
    pixels = np.random.default_rng(0).integers(0, 255, (900, 1300, 3), dtype=np.uint8)
    kinds = [kind for kind, _ in chunks(encode(pixels, step=100))]
    assert kinds == [b"IHDR", *[b"IDAT"] * 4, b"IEND"]


def test_files_are_as_small_as_those_of_others():
    pixels, file = smooth((200, 200), 3, "uint8"), io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    assert len(encode(pixels)) < 1.05 * len(file.getvalue()) < len(zlib.compress(pixels.tobytes()))


def test_the_filter_with_the_smallest_differences_is_chosen():
    ramp = np.arange(0, 40, dtype=np.uint8)
    rows = np.stack([ramp, ramp, np.zeros(40, np.uint8)])
    found = np.frombuffer(filtered(rows, np.zeros(40, np.uint8), 1), np.uint8).reshape(3, 41)
    assert found[:, 0].tolist() == [1, 2, 0]


def test_metadata_chunks():
    icc, note = bytes(range(200)) * 3, "größer " * 50
    wanted = [profile_chunk(icc), density_chunk((300, 150)), text_chunk("Note", note), text_chunk("A", "b")]
    content = encode(smooth((4, 4), 3, "uint8"), chunks=wanted)
    assert [kind for kind, _ in chunks(content)] == [
        b"IHDR",
        b"iCCP",
        b"pHYs",
        b"iTXt",
        b"iTXt",
        b"IDAT",
        b"IEND",
    ]
    with Image.open(io.BytesIO(content)) as picture:
        assert picture.info["icc_profile"] == icc
        assert picture.info["dpi"] == pytest.approx((300, 150), abs=0.02)
        assert picture.text == {"Note": note, "A": "b"}
