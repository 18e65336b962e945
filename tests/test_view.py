"""Pictures of parts of files: that they show the right pixels at any size, in whose black and white, and how fast."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import rasterio
from rasterio.enums import Resampling
from zido.plugin.client import Client
from zido.plugin.launch import worker_command
from zido.zido_core import job as in_host

from zido_core import errors, view
from zido_core.job import CancelToken, View
from zido_core.options import Options

GREY = 236


@pytest.fixture
def viewer():
    made = view.Viewer()
    yield made
    made.close()


@pytest.fixture
def look(viewer, tmp_path):
    """Show a file; returns what was told and the picture (height, width, 3)."""

    def look(path, token=None, **asked):
        out = tmp_path / "picture.ppm"
        shown = viewer.show(View(input=str(path), output=str(out), **asked), token or CancelToken())
        return shown, read_pixmap(out)

    return look


def read_pixmap(path: Path) -> np.ndarray:
    kind, size, most, pixels = path.read_bytes().split(b"\n", 3)
    assert (kind, most) == (b"P6", b"255")
    width, height = map(int, size.split())
    return np.frombuffer(pixels, np.uint8).reshape(height, width, 3)


def test_the_whole_of_a_small_file_is_its_pixels(look, make_raster):
    path = make_raster(shape=(3, 13, 17))
    shown, picture = look(path)
    assert (shown.size, shown.box, shown.kind) == ((13, 17), (0, 0, 13, 17), "raster")
    with rasterio.open(path) as dataset:
        np.testing.assert_array_equal(picture, np.moveaxis(dataset.read(), 0, -1))


@pytest.mark.parametrize(
    ("box", "hull"),
    [
        ((2.0, 3.0, 4.0, 5.0), (2, 3, 4, 5)),
        ((2.5, 3.5, 4.0, 5.0), (2, 3, 5, 6)),
        ((-3.0, -2.0, 6.0, 6.0), (0, 0, 3, 4)),
        ((12.9, 16.9, 50.0, 50.0), (12, 16, 1, 1)),
    ],
)
def test_a_part_is_the_whole_pixels_that_the_box_touches(look, make_raster, box, hull):
    path = make_raster(shape=(3, 13, 17))
    shown, picture = look(path, box=box, zoom=3.0)
    assert shown.box == hull
    row, col, height, width = hull
    with rasterio.open(path) as dataset:
        part = np.moveaxis(dataset.read(), 0, -1)[row : row + height, col : col + width]
    np.testing.assert_array_equal(picture, part.repeat(3, 0).repeat(3, 1))


def test_a_box_beside_the_file_is_refused(look, make_raster):
    with pytest.raises(errors.InvalidOptions, match="outside the file of 13 x 17"):
        look(make_raster(), box=(20.0, 0.0, 2.0, 2.0))


def test_smooth_is_between_the_pixels(look, make_raster):
    path = make_raster(np.array([[[0, 200]]], np.uint8).repeat(3, 0))
    _, pixels = look(path, zoom=8.0)
    _, smooth = look(path, zoom=8.0, smooth=True)
    assert set(np.unique(pixels)) == {0, 200}
    assert len(np.unique(smooth)) > 5


def test_a_smaller_picture_is_the_mean(look, make_raster, monkeypatch):
    pixels = np.random.default_rng(1).integers(0, 256, (3, 64, 96), dtype=np.uint8)
    path = make_raster(pixels)
    expected = np.moveaxis(pixels.reshape(3, 16, 4, 24, 4).mean((2, 4)), 0, -1)
    _, picture = look(path, zoom=0.25)
    assert np.abs(picture - expected).max() <= 1
    monkeypatch.setattr(view, "AT_ONCE", 1000)  # in strips
    _, in_strips = look(path, zoom=0.25)
    np.testing.assert_array_equal(in_strips, picture)


def test_a_mean_leaves_out_what_is_missing(look, make_raster):
    pixels = np.full((1, 8, 8), 100, np.uint8)
    pixels[:, :, 4:] = 0
    pixels[:, :2, 6:] = 50
    _, picture = look(make_raster(pixels, nodata=0), zoom=0.25)
    assert picture[..., 0].tolist() == [[100, GREY], [100, GREY]]


def test_of_what_is_very_large_only_some_pixels_are_taken(look, make_raster, monkeypatch):
    monkeypatch.setattr(view, "EXACT", 10)
    pixels = np.arange(64, dtype=np.uint8).reshape(1, 8, 8)
    _, picture = look(make_raster(pixels), zoom=0.25)
    assert picture[..., 0].tolist() == [[18, 22], [50, 54]]


def test_overviews_of_the_file_are_used(look, make_raster):
    path = make_raster(np.zeros((3, 256, 256), np.uint8), tiled=True, blockxsize=64, blockysize=64)
    with rasterio.open(path, "r+") as dataset:
        dataset.build_overviews([2, 4], Resampling.average)
        dataset.write(np.full((3, 256, 256), 9, np.uint8))  # its overviews still say 0
    assert look(path, zoom=0.25)[1].max() == 0
    assert look(path, zoom=0.7)[1].min() == 9
    assert look(path)[1].min() == 9


def test_pictures_that_are_compared_have_one_stretch(look, make_raster):
    values = np.linspace(1000, 2000, 3 * 40 * 40).reshape(3, 40, 40).astype(np.uint16)
    before, after = make_raster(values, name="a.tif"), make_raster(values + 100, name="b.tif")
    (_, first), (_, own), (_, second) = look(before), look(after), look(after, like=str(before))
    assert np.abs(first.astype(int) - own).max() <= 1
    assert (second.astype(int) - first).max() > 20


def test_the_bands_that_the_model_sees_are_shown(look, make_raster):
    pixels = np.stack([np.full((4, 4), 10 * band, np.uint8) for band in range(1, 6)])
    path = make_raster(pixels)
    assert look(path, options=Options(bands=(5, 4, 3)))[1][0, 0].tolist() == [50, 40, 30]
    result = make_raster(pixels[:3], name="result.tif")
    assert look(result, options=Options(bands=(5, 4, 3)))[1][0, 0].tolist() == [10, 20, 30]


def test_a_picture_never_becomes_too_large(look, make_raster):
    _, picture = look(make_raster(), zoom=1e4)
    assert max(picture.shape) == view.LARGEST


def test_a_file_that_is_written_anew_is_read_anew(look, make_raster):
    path = make_raster(np.full((3, 4, 4), 10, np.uint8))
    assert look(path)[1].max() == 10
    path.unlink()
    make_raster(np.full((3, 6, 6), 20, np.uint8))
    shown, picture = look(path)
    assert (shown.size, picture.max()) == ((6, 6), 20)


def test_photographs_are_shown_upright(look, example_photo):
    shown, picture = look(example_photo, zoom=0.5)
    assert (shown.kind, shown.size, picture.shape) == ("photo", (192, 256), (96, 128, 3))


def test_only_few_files_stay_open(viewer, look, make_raster):
    for number in range(view.KEPT_OPEN + 3):
        look(make_raster(name=f"{number}.tif"))
    assert len(viewer._open) == view.KEPT_OPEN


def test_looking_can_be_stopped(look, make_raster):
    token = CancelToken()
    token.cancel()
    with pytest.raises(errors.Cancelled):
        look(make_raster(), zoom=0.5, token=token)


def test_a_picture_that_cannot_be_written_is_told(viewer, make_raster, tmp_path):
    asked = View(input=str(make_raster()), output=str(tmp_path / "none" / "p.ppm"))
    with pytest.raises(errors.OutputNotWritable, match="cannot write the picture"):
        viewer.show(asked, CancelToken())


def test_a_worker_for_views_answers_without_torch_and_survives_bad_files(tmp_path, example_raster):
    out, bad = tmp_path / "p.ppm", tmp_path / "bad.tif"
    bad.write_bytes(b"no raster")
    with Client([*worker_command(sys.executable), "--views"], log_folder=tmp_path) as client:
        asked = in_host.View(input=str(bad), output=str(out))
        failed = client.run(asked)
        assert isinstance(failed, in_host.Failed)
        assert failed.kind == "BadInput"
        told: list[object] = []
        asked = replace(asked, input=str(example_raster), zoom=0.5)
        end = client.run(asked, told.append)
    assert isinstance(end, in_host.Done)
    assert told[0] == in_host.Shown(path=str(out), size=(256, 256), box=(0, 0, 256, 256))
    assert read_pixmap(out).shape == (128, 128, 3)


def test_looking_needs_no_torch():
    code = "import sys, zido_core.view; raise SystemExit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
