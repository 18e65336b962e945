"""Where the output goes, and all refusals that come before the work."""

from __future__ import annotations

import os
import shutil
import stat
from dataclasses import replace
from pathlib import Path

import pytest
from affine import Affine

from tests.outputs import SMALL, band, describe
from zido_core.errors import InvalidOptions, OutputNotWritable
from zido_core.raster.formats import FORMATS
from zido_core.raster.geobox import GeoBox
from zido_core.raster.source import PhotoMeta
from zido_core.raster.target import choose_output
from zido_core.tiling.grid import Size


def photo(path, *names, driver="PNG", **more):
    names = names or ("red", "green", "blue")
    more = {"photo": PhotoMeta(format=driver, mode="RGB"), **more}
    info = describe(*names, geobox=GeoBox(size=SMALL), **more)
    return replace(info, path=path, name=path.name, kind="photo", driver=driver)


def raster(path, *names, **more):
    return replace(describe(*names, **more), path=path, name=path.name)


def choose(info, destination=None, scale=4.0, **more):
    return choose_output(info, destination, scale=scale, size=SMALL.scaled(4), **more)


@pytest.mark.parametrize(
    ("name", "make", "scale", "expected"),
    [
        ("a.tif", raster, 4, "a_x4.tif"),
        ("a.b.TIFF", raster, 2.5, "a.b_x2.5.tif"),
        ("a.jp2", raster, 4.0, "a_x4.tif"),
        ("worldfile.jpg", raster, 10 / 3, "worldfile_x3.333.tif"),
        ("a.png", photo, 4, "a_x4.png"),
        ("a.JPG", photo, 1, "a_x1.jpg"),
        ("a.jpeg", photo, 4, "a_x4.jpeg"),
        ("a.webp", photo, 4, "a_x4.webp"),
        ("a.bmp", photo, 4, "a_x4.bmp"),
        ("a.gif", photo, 4, "a_x4.png"),
        ("a.heic", photo, 4, "a_x4.png"),
        ("noname", photo, 4, "noname_x4.png"),
    ],
)
def test_default_name(tmp_path, name, make, scale, expected):
    assert choose(make(tmp_path / name), scale=scale).path == tmp_path / expected


def test_default_format_is_one_that_holds_the_data(tmp_path):
    assert choose(photo(tmp_path / "a.bmp", "red", "green", "blue", "alpha")).path.name == "a_x4.png"
    assert choose(photo(tmp_path / "a.png"), dtype="float32").path.name == "a_x4.tif"
    assert choose(photo(tmp_path / "a.png"), cog=True).path.name == "a_x4.tif"


def test_remote_input_is_written_to_the_current_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert choose(replace(describe(), name="scene.tif")).path == tmp_path / "scene_x4.tif"


def test_a_folder_takes_the_default_name(tmp_path):
    (tmp_path / "out").mkdir()
    assert choose(raster(tmp_path / "a.tif"), tmp_path / "out").path == tmp_path / "out" / "a_x4.tif"


NO_PLACE = {"geobox": GeoBox(size=SMALL)}
REFUSED = [
    ("a.jpg", ("gray",), {"dtype": "float32", **NO_PLACE}, "JPEG cannot hold float32 numbers; use .tif"),
    (
        "a.jpg",
        ("red", "green", "blue", "alpha"),
        NO_PLACE,
        r"transparency; use \.tif or \.jp2 or \.png or \.webp",
    ),
    ("a.png", ("gray",) * 5, NO_PLACE, "5 bands; use .tif"),
    ("a.png", ("gray",), {}, "georeferencing; use .tif or .jp2"),
    ("a.webp", ("gray",), {"has_mask": True, **NO_PLACE}, "a mask; use .tif"),
    ("a.jp2", ("gray",), {"dtype": "float32"}, "JPEG 2000 cannot hold float32 numbers; use .tif"),
    ("a.webp", ("gray",), {"dtype": "uint16", **NO_PLACE}, "uint16 numbers; use .tif or .jp2 or .png"),
    ("a.xyz", ("gray",), {}, "no file format .* end the name in one of .tif, .jp2, .png"),
    ("a", ("gray",), {}, "no file format"),
]


@pytest.mark.parametrize(("name", "names", "more", "message"), REFUSED)
def test_formats_that_would_lose_something(tmp_path, name, names, more, message):
    with pytest.raises(InvalidOptions, match=message):
        choose(describe(*names, **more), tmp_path / name)


def test_formats_with_a_longest_side(tmp_path):
    info = describe("gray", geobox=GeoBox(size=Size(1, 5000)))
    with pytest.raises(InvalidOptions, match=r"20000 pixels \(at most 16383\)"):
        choose_output(info, tmp_path / "a.webp", scale=4, size=Size(4, 20_000))


def test_cog_is_a_tiff(tmp_path):
    with pytest.raises(InvalidOptions, match="--cog"):
        choose(describe(geobox=GeoBox(size=SMALL)), tmp_path / "a.png", cog=True)


@pytest.mark.parametrize(
    ("name", "option", "message"),
    [
        ("a.png", "COMPRESS=LZW", "it has: ZLEVEL"),
        ("a.jpg", "QUALITY=high", "whole number"),
        ("a.bmp", "X=1", "none"),
    ],
)
def test_options_of_photographs(tmp_path, name, option, message):
    info = photo(tmp_path / "in.png")
    with pytest.raises(InvalidOptions, match=message):
        choose(info, tmp_path / name, creation_options=[option])


@pytest.mark.parametrize(
    ("nodata", "dtype", "good"),
    [
        (-9999, "uint8", False),
        (0.5, "int16", False),
        (float("nan"), "uint16", False),
        (2**60, "int64", False),
        (-9999, "int64", True),
        (255, "uint8", True),
        (float("nan"), "float32", True),
        (-1e30, "float64", True),
    ],
)
def test_nodata_must_be_a_number_of_the_type(tmp_path, nodata, dtype, good):
    info = describe(dtype=dtype)
    if good:
        assert choose(info, tmp_path / "a.tif", nodata=nodata).nodata == pytest.approx(nodata, nan_ok=True)
    else:
        with pytest.raises(InvalidOptions, match="--nodata"):
            choose(info, tmp_path / "a.tif", nodata=nodata)


def test_an_existing_file_needs_overwrite(tmp_path):
    (tmp_path / "a.tif").write_text("old")
    with pytest.raises(OutputNotWritable, match="--overwrite"):
        choose(describe(), tmp_path / "a.tif")
    assert choose(describe(), tmp_path / "a.tif", overwrite=True).overwrite
    assert (tmp_path / "a.tif").read_text() == "old"


@pytest.mark.parametrize("link", [os.symlink, os.link, None])
def test_the_input_is_never_the_output(tmp_path, link):
    source, target = tmp_path / "a.tif", tmp_path / "b.tif"
    source.write_text("input")
    if link is None:
        target = source.parent / "." / "a.tif"
    else:
        link(source, target)
    with pytest.raises(OutputNotWritable, match="input itself"):
        choose(raster(source), target, overwrite=True)


def test_missing_folder(tmp_path):
    with pytest.raises(OutputNotWritable, match=r"no folder .*nowhere"):
        choose(describe(), tmp_path / "nowhere" / "a.tif")


def test_a_device_is_no_target(tmp_path):
    os.mkfifo(tmp_path / "a.tif")
    with pytest.raises(OutputNotWritable, match="no regular file"):
        choose(describe(), tmp_path / "a.tif", overwrite=True)


def test_name_too_long(tmp_path):
    with pytest.raises(OutputNotWritable, match="too long"):
        choose(describe(), tmp_path / ("a" * 245 + ".tif"))


def test_folder_without_permission(tmp_path, monkeypatch):
    def refuse(self, *_, **__):
        raise PermissionError(13, "Permission denied")

    if os.geteuid() == 0:
        monkeypatch.setattr(Path, "touch", refuse)
    else:
        tmp_path.chmod(stat.S_IRUSR | stat.S_IXUSR)
    with pytest.raises(OutputNotWritable, match="Permission denied"):
        choose(describe(), tmp_path / "a.tif")


def test_a_trial_that_another_machine_took_away_is_no_fault(tmp_path, monkeypatch):
    """Two machines of a cluster may give shards of one output the same process number."""
    touch = Path.touch

    def race(self, *given, **named):
        touch(self, *given, **named)
        self.unlink()

    monkeypatch.setattr(Path, "touch", race)
    assert choose(describe(), tmp_path / "a.tif").path == tmp_path / "a.tif"


def test_room_is_checked_before_the_work(tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: shutil._ntuple_diskusage(9, 9, 10**9))
    size = Size(40_000, 40_000)
    with pytest.raises(OutputNotWritable, match=r"may take 1\.6 GB.* has 1\.0 GB free: needs 0\.6 GB more"):
        choose_output(describe(), tmp_path / "a.tif", scale=4, size=size)
    with pytest.raises(OutputNotWritable, match=r"needs 2\.0 GB more"):
        choose(describe(), tmp_path / "a.tif", reserve=3 * 10**9)


def test_choosing_leaves_nothing_behind(tmp_path):
    choose(describe("red", "green", "blue", has_mask=True), tmp_path / "a.tif", cog=True)
    assert os.listdir(tmp_path) == []


def test_losses_are_told(tmp_path):
    exif = PhotoMeta(format="JPEG", mode="RGB", exif=b"Exif\0\0MM\0*\0\0\0\x08\0\0\0\0\0\0", icc=b"x")
    assert "EXIF" in choose(photo(tmp_path / "a.jpg", photo=exif), tmp_path / "b.tif").warnings[0]
    assert "EXIF, ICC" in choose(photo(tmp_path / "a.jpg", photo=exif), tmp_path / "b.bmp").warnings[0]
    bands = (band(1, nodata=0.0), band(2, nodata=1.0))
    assert "different nodata" in choose(describe(bands=bands), tmp_path / "b.tif").warnings[0]
    assert choose(photo(tmp_path / "a.jpg", photo=exif), tmp_path / "b.png").warnings == ()


def test_georeferencing_is_resized(tmp_path):
    spec = choose(describe(), tmp_path / "a.tif")
    assert spec.geobox.transform == describe().geobox.transform * Affine.scale(0.25)
    assert spec.size == Size(40, 48)


def test_every_suffix_names_one_format():
    suffixes = [suffix for form in FORMATS for suffix in form.suffixes]
    assert len(suffixes) == len(set(suffixes))
