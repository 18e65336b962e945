"""Rasters written through rasterio: pixels of every type and size, options, and what a failure leaves."""

from __future__ import annotations

import errno
import os
import resource
import shutil
import subprocess

import numpy as np
import pytest
import rasterio

from tests.outputs import CONTENT, SMALL, describe, noise, save
from zido_core.errors import InvalidOptions, OutputFailed
from zido_core.raster.reader import open_source
from zido_core.raster.target import choose_output
from zido_core.raster.writer import RasterWriter, open_output
from zido_core.tiling.grid import Size, Tile

DTYPES = ("uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "int64", "float32", "float64")


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("count", "cog"), [(1, False), (3, False), (5, False), (1, True)])
def test_every_type_reads_back_exactly(tmp_path, dtype, count, cog):
    path, pixels = save(describe(*["undefined"] * count, dtype=dtype), tmp_path, cog=cog)
    with rasterio.open(path) as dataset:
        assert set(dataset.dtypes) == {dtype}
        np.testing.assert_array_equal(dataset.read(), pixels)


@pytest.mark.parametrize("nodata", [float("nan"), -9999.0, -3.4028234663852886e38])
def test_nodata_and_numbers_that_are_none(tmp_path, nodata):
    info = describe(dtype="float32", nodata=nodata)
    spec = choose_output(info, tmp_path / "out.tif", scale=1, size=SMALL)
    pixels = np.full((1, *SMALL), nodata, "float32")
    pixels[0, 0, :3] = (np.nan, np.inf, -0.0)
    with open_output(spec) as writer:
        writer.write(pixels, Tile.whole(SMALL))
    with rasterio.open(tmp_path / "out.tif") as dataset:
        np.testing.assert_equal(dataset.nodata, nodata)
        assert dataset.read().tobytes() == pixels.tobytes()


@pytest.mark.parametrize("size", [Size(1, 1), Size(3, 5), Size(300, 257), Size(1, 700), Size(700, 1), Size(16, 16)])
@pytest.mark.parametrize("content", CONTENT.values(), ids=CONTENT)
def test_any_size_and_its_blocks_are_multiples_of_16(tmp_path, size, content):
    path, pixels = save(describe("red", "green", "blue", size=size), tmp_path, factor=1, **content)
    with rasterio.open(path) as dataset:
        np.testing.assert_array_equal(dataset.read(), pixels)
        assert all(side % 16 == 0 for side in dataset.block_shapes[0])
        assert dataset.compression.name == "deflate"


@pytest.mark.parametrize("step", [(100, 257), (64, 50), (300, 31), (7, 257)])
def test_windows_in_any_order(tmp_path, step):
    size = Size(300, 257)
    info = describe("red", "green", "blue", size=size, dtype="uint16", has_mask=True)
    spec = choose_output(info, tmp_path / "out.tif", scale=1, size=size)
    pixels, valid = noise(3, size, "uint16"), noise(1, size)[0] > 100
    rows, cols = step
    windows = [
        Tile(row, col, min(rows, 300 - row), min(cols, 257 - col))
        for row in range(0, 300, rows)
        for col in range(0, 257, cols)
    ]
    np.random.default_rng(1).shuffle(windows)
    with open_output(spec) as writer:
        for row, col, height, width in windows:
            here = np.s_[..., row : row + height, col : col + width]
            writer.write(pixels[here], Tile(row, col, height, width), valid=valid[here])
    with rasterio.open(tmp_path / "out.tif") as dataset:
        np.testing.assert_array_equal(dataset.read(), pixels)
        np.testing.assert_array_equal(dataset.read_masks(1) == 255, valid)


def test_profile_of_the_input_is_not_copied(tmp_path, make_raster):
    path = make_raster(shape=(3, 160, 160), compress="jpeg", photometric="ycbcr", blockysize=16)
    with open_source(path) as source:
        written, pixels = save(source.info, tmp_path)
    with rasterio.open(written) as dataset:
        assert dataset.compression.name == "deflate"
        assert dataset.is_tiled
        np.testing.assert_array_equal(dataset.read(), pixels)


def test_creation_options_of_the_user_win(tmp_path):
    given = ["COMPRESS=ZSTD", "blockxsize=32", "BLOCKYSIZE=32", "INTERLEAVE=BAND", "BIGTIFF=YES"]
    path, _ = save(describe("red", "green", "blue", size=Size(70, 70)), tmp_path, creation_options=given)
    with rasterio.open(path) as dataset:
        assert dataset.compression.name == "zstd"
        assert dataset.block_shapes[0] == (32, 32)
        assert dataset.interleaving.name == "band"
    assert path.read_bytes()[2] == 43


def test_untiled_on_request(tmp_path):
    path, _ = save(describe(size=Size(70, 70)), tmp_path, creation_options=["TILED=NO", "COMPRESS=NONE"])
    with rasterio.open(path) as dataset:
        assert not dataset.is_tiled
        assert dataset.compression is None


def test_world_file_on_request(tmp_path):
    save(describe(), tmp_path, creation_options=["TFW=YES"])
    assert sorted(os.listdir(tmp_path)) == ["out.tfw", "out.tif"]


@pytest.mark.parametrize("option", ["COMPRESS=JPEG", "COMPRESS=WEBP", "DISCARD_LSB=2", "NBITS=7"])
def test_lossy_options_are_allowed(tmp_path, option):
    path, _ = save(describe("red", "green", "blue", size=Size(70, 70)), tmp_path, creation_options=[option])
    with rasterio.open(path) as dataset:
        assert dataset.shape == (140, 140)


@pytest.mark.parametrize(
    "option", ["COMPRESS=FOO", "NONSENSE=1", "BLOCKXSIZE=100", "PREDICTOR=9", "WIDTH=7", "COMPRESS", "=X"]
)
def test_wrong_options_are_found_before_the_work(tmp_path, option):
    with pytest.raises(InvalidOptions, match=option.partition("=")[0] or "KEY=VALUE"):
        choose_output(describe(), tmp_path / "out.tif", scale=2, size=Size(20, 24), creation_options=[option])
    assert os.listdir(tmp_path) == []


def test_cog_is_laid_out_as_one(tmp_path):
    info = describe("red", "green", "blue", size=Size(600, 700), has_mask=True)
    path, pixels = save(info, tmp_path, factor=1, cog=True, creation_options=["BLOCKSIZE=256"])
    with rasterio.open(path) as dataset:
        assert dataset.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"
        assert dataset.overviews(1) == [2, 4]
        assert dataset.block_shapes[0] == (256, 256)
        np.testing.assert_array_equal(dataset.read(), pixels)
    assert os.listdir(tmp_path) == ["out.tif"]


def test_jpeg2000_is_lossless(tmp_path):
    path, pixels = save(describe(*["undefined"] * 5, dtype="uint16"), tmp_path, name="out.jp2", provenance={"a": "b"})
    with rasterio.open(path) as dataset:
        assert dataset.driver == "JP2OpenJPEG"
        assert dataset.tags(ns="ZIDO") == {"a": "b"}
        np.testing.assert_array_equal(dataset.read(), pixels)


def begin(tmp_path, side=64, **options):
    size = Size(side, side)
    spec = choose_output(describe(size=size), tmp_path / "out.tif", scale=1, size=size, **options)
    return RasterWriter(spec), noise(1, size)


@pytest.mark.parametrize("content", CONTENT.values(), ids=CONTENT)
@pytest.mark.parametrize("position", [0.5, 0.9])
def test_flipped_byte_is_found(tmp_path, monkeypatch, content, position):
    writer, pixels = begin(tmp_path, **content)
    verify = writer._verify

    def flip():
        content = bytearray(writer._part.path.read_bytes())
        content[int(len(content) * position)] ^= 0x40
        writer._part.path.write_bytes(content)
        verify()

    monkeypatch.setattr(writer, "_verify", flip)
    with pytest.raises(OutputFailed, match=r"check the disk|failed"), writer:
        writer.write(pixels, Tile.whole(Size(64, 64)))
    assert os.listdir(tmp_path) == []


def fill(writer, pixels, then=lambda: None, rows=64):
    """Write the first `rows`, do something, and finish."""
    with writer:
        writer.write(pixels[:, :rows], Tile(0, 0, rows, pixels.shape[2]))
        then()


@pytest.mark.parametrize("error", [RuntimeError("bug"), KeyboardInterrupt()])
@pytest.mark.parametrize("content", CONTENT.values(), ids=CONTENT)
def test_an_exception_leaves_the_old_file_alone(tmp_path, error, content, capfd):
    def fail():
        raise error

    (tmp_path / "out.tif").write_text("old")
    writer, pixels = begin(tmp_path, overwrite=True, **content)
    with pytest.raises(type(error)):
        fill(writer, pixels, fail, rows=32)
    assert os.listdir(tmp_path) == ["out.tif"]
    assert (tmp_path / "out.tif").read_text() == "old"
    assert capfd.readouterr() == ("", "")


def test_missing_rows_are_no_output(tmp_path):
    writer, pixels = begin(tmp_path)
    with pytest.raises(OutputFailed, match="2048 pixels"):
        fill(writer, pixels, rows=32)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda a: a.astype("uint16"), "uint16"),
        (lambda a: a.repeat(2, 0), "2 bands"),
        (lambda a: a[:, 1:], "fit"),
    ],
)
def test_arrays_that_do_not_fit_are_refused(tmp_path, change, message):
    writer, pixels = begin(tmp_path)
    with pytest.raises(ValueError, match=message), writer:
        writer.write(change(pixels), Tile.whole(Size(64, 64)))
    assert os.listdir(tmp_path) == []


def test_full_disk_is_seen_before_gdal_complains(tmp_path, monkeypatch, capfd):
    def no_room():
        monkeypatch.setattr(shutil, "disk_usage", lambda folder: shutil._ntuple_diskusage(1, 1, 0))
        writer.write(pixels[:, 32:], Tile(32, 0, 32, 64))

    writer, pixels = begin(tmp_path)
    with pytest.raises(OutputFailed, match=r"disk full: needs \d+ MB more in "):
        fill(writer, pixels, no_room, rows=32)
    assert os.listdir(tmp_path) == []
    assert capfd.readouterr().err == ""


def test_full_disk_at_the_end(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    writer, pixels = begin(tmp_path)
    with pytest.raises(OutputFailed, match="disk full: needs"):
        fill(writer, pixels, lambda: monkeypatch.setattr(os, "fsync", full))
    assert os.listdir(tmp_path) == []


@pytest.fixture
def tiny_disk(tmp_path):
    """A file system of 6 MB; needs root."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = shutil.which("mount") and subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=6m", "tmpfs", folder], capture_output=True, check=False
    )
    if not mounted or mounted.returncode:
        pytest.skip("mounting a small file system needs root")
    yield folder
    subprocess.run(["umount", folder], check=True)


@pytest.mark.parametrize("threads", [1, 4])
@pytest.mark.parametrize("compress", ["DEFLATE", "NONE", "ZSTD"])
def test_disk_that_runs_full_keeps_nothing(tiny_disk, monkeypatch, threads, compress):
    size = Size(2048, 1536)
    options = [f"COMPRESS={compress}", f"NUM_THREADS={threads}"]
    spec = choose_output(describe(size=size), tiny_disk / "out.tif", scale=1, size=size, creation_options=options)
    (tiny_disk / "other").write_bytes(bytes(4_500_000))
    writer = open_output(spec)
    monkeypatch.setattr(writer, "_check_room", lambda coming: None)
    with pytest.raises(OutputFailed, match="disk full: needs"):
        fill(writer, noise(1, size), rows=2048)
    assert os.listdir(tiny_disk) == ["other"]


def test_file_size_limit_leaves_nothing(tmp_path):
    """What users without root meet instead of a full disk; in a child, because the limit is the process's."""
    child = os.fork()
    if child == 0:
        status = 1
        try:
            resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))
            os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
            writer, pixels = begin(tmp_path, 700)
            try:
                fill(writer, pixels, rows=700)
            except OutputFailed:
                status = 0
        finally:
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert os.listdir(tmp_path) == []
