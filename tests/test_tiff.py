"""Files between GIMP and the worker: written and read without any library, and by GDAL just the same."""

from __future__ import annotations

import struct

import numpy as np
import pytest
import rasterio
from rasterio.enums import ColorInterp
from zido.gimp import tiff
from zido.gimp.tiff import Layout, Reader, Writer
from zido.zido_core.errors import BadInput

GEO = {
    33550: (0.5, 0.5, 0.0),
    33922: (0.0, 0.0, 0.0, 297_495.0, 9_050_564.0, 0.0),
    34735: (1, 1, 0, 3, 1024, 0, 1, 1, 1025, 0, 1, 1, 3072, 0, 1, 32750),
}


def layout(dtype: str = "uint8", channels: int = 3, *, width: int = 7, height: int = 5) -> Layout:
    numbers = np.dtype(dtype)
    return Layout(
        width=width, height=height, channels=channels, floating=numbers.kind == "f", bits=8 * numbers.itemsize
    )


def pixels(shape: Layout, dtype: str) -> np.ndarray:
    chance = np.random.default_rng(1)
    return chance.uniform(0, 200, (shape.height, shape.width, shape.channels)).astype(dtype)


def write(path, shape, array, geo=None):
    with Writer(path, shape, geo) as file:
        file.write(array.tobytes())


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "uint32", "float32", "float64"])
def test_gdal_reads_what_is_written(tmp_path, dtype, channels):
    shape = layout(dtype, channels)
    array = pixels(shape, dtype)
    write(tmp_path / "a.tif", shape, array, GEO)
    with rasterio.open(tmp_path / "a.tif") as dataset:
        assert np.array_equal(np.moveaxis(dataset.read(), 0, -1), array)
        assert dataset.crs.to_epsg() == 32750
        assert dataset.transform[:6] == (0.5, 0.0, 297_495.0, 0.0, -0.5, 9_050_564.0)
        last = dataset.colorinterp[-1]
    assert (last == ColorInterp.alpha) == shape.alpha


@pytest.mark.parametrize("bigtiff", ["YES", "NO"])
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "uint32", "float32", "float64"])
def test_what_gdal_writes_as_the_worker_does_is_read(tmp_path, dtype, bigtiff):
    shape = layout(dtype, 4, width=301, height=77)
    array = pixels(shape, dtype)
    options = {"compress": "none", "tiled": "no", "interleave": "pixel", "alpha": "yes", "photometric": "rgb"}
    with rasterio.open(
        tmp_path / "a.tif", "w", driver="GTiff", width=301, height=77, count=4, dtype=dtype, bigtiff=bigtiff, **options
    ) as dataset:
        dataset.write(np.moveaxis(array, -1, 0))
    reader = Reader(tmp_path / "a.tif")
    assert reader.layout == shape
    assert reader.rows(0, 77) == array.tobytes()
    assert reader.rows(13, 29) == array[13:42].tobytes()


def test_offsets_beyond_four_gigabytes_take_a_big_tiff(tmp_path):
    shape = layout("float64", 4, width=16_384, height=16_384)
    with Writer(tmp_path / "a.tif", shape):
        pass
    assert (tmp_path / "a.tif").read_bytes()[2:4] == struct.pack("=H", 43)
    assert tiff.layout_of(tiff.read_tags(tmp_path / "a.tif")) == shape


@pytest.mark.parametrize(
    "options",
    [
        {"compress": "deflate"},
        {"tiled": "yes", "blockxsize": 16, "blockysize": 16},
        {"interleave": "band"},
        {"endianness": "big"},
    ],
    ids=str,
)
def test_other_layouts_are_refused(tmp_path, options):
    path = tmp_path / "a.tif"
    with rasterio.open(
        path, "w", driver="GTiff", width=32, height=32, count=3, dtype="uint8", photometric="rgb", **options
    ) as dataset:
        dataset.write(np.ones((3, 32, 32), "uint8"))
    with pytest.raises(BadInput, match="expected uncompressed strips"):
        Reader(path)


def test_signed_numbers_are_nothing_that_gimp_has(tmp_path):
    with rasterio.open(tmp_path / "a.tif", "w", driver="GTiff", width=3, height=3, count=1, dtype="int16") as dataset:
        dataset.write(np.ones((1, 3, 3), "int16"))
    with pytest.raises(BadInput, match="nothing that GIMP has"):
        Reader(tmp_path / "a.tif")


@pytest.mark.parametrize("content", [b"", b"II", b"II*\0\xff\xff\xff\xff", b"GIF89a", b"MM\0*\0\0\0\x08\xff\xff"])
def test_what_is_no_tiff_is_refused(tmp_path, content):
    (tmp_path / "a.tif").write_bytes(content)
    with pytest.raises(BadInput, match=r"a\.tif"):
        Reader(tmp_path / "a.tif")


def test_a_file_that_ends_too_early_is_refused(tmp_path):
    shape = layout()
    write(tmp_path / "a.tif", shape, pixels(shape, "uint8"))
    whole = (tmp_path / "a.tif").read_bytes()
    (tmp_path / "a.tif").write_bytes(whole[:-1])
    with pytest.raises(BadInput, match="ends too early"):
        Reader(tmp_path / "a.tif").rows(0, shape.height)
