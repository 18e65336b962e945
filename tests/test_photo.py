"""Photographs written: pixels, metadata, and what a failure leaves."""

from __future__ import annotations

import io
import json
import os
from dataclasses import replace

import numpy as np
import pytest
import rasterio
from PIL import ExifTags, Image, ImageCms, JpegImagePlugin

from tests.outputs import describe, noise
from zido_core.errors import OutputFailed
from zido_core.raster.geobox import GeoBox
from zido_core.raster.reader import open_source
from zido_core.raster.source import PhotoMeta
from zido_core.raster.target import choose_output
from zido_core.raster.writer import open_output
from zido_core.tiling.grid import Size, Tile

Base, IFD = ExifTags.Base, ExifTags.IFD
RGB_PROFILE = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
XMP = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><a tiff:Orientation="6" tiff:ImageWidth="8"/></x:xmpmeta>'
COLOURS = {
    1: ("gray",),
    2: ("gray", "alpha"),
    3: ("red", "green", "blue"),
    4: ("red", "green", "blue", "alpha"),
}
HAS_AVIF = "AVIF" in Image.SAVE or Image.init() or "AVIF" in Image.SAVE
SUFFIXES = [".png", ".jpg", ".webp", ".bmp", ".tga", ".ppm", ".tif", *([".avif"] if HAS_AVIF else [])]


def smooth(count, size, dtype="uint8"):
    band, row, col = np.mgrid[:count, : size[0], : size[1]]
    return ((np.sin(row / 20 + band) + np.cos(col / 30) + 2) / 4 * np.iinfo(dtype).max).astype(dtype)


def begin(folder, name, pixels, **more):
    size, options = Size(*pixels.shape[1:]), more.pop("options", ())
    names = more.pop("names", COLOURS[len(pixels)])
    info = describe(*names, geobox=GeoBox(size=size), dtype=str(pixels.dtype), **more)
    info = replace(info, kind="photo")
    return open_output(choose_output(info, folder / name, scale=1, size=size, creation_options=options), {"seed": "1"})


def save(folder, name, pixels, **more):
    writer = begin(folder, name, pixels, **more)
    fill(writer, pixels)
    return folder / name


def fill(writer, pixels, then=lambda: None):
    position = writer.spec.alpha
    colours = [at for at in range(len(pixels)) if at != position]
    with writer:
        alpha = None if position is None else pixels[position]
        writer.write(pixels[colours], Tile.whole(Size(*pixels.shape[1:])), alpha=alpha)
        then()


def load(path):
    with open_source(path) as source:
        raster = source.read()
        return raster.array if raster.alpha is None else np.concatenate([raster.array, raster.alpha[None]])


@pytest.mark.parametrize(
    ("suffix", "counts", "dtypes"),
    [
        (".png", (1, 2, 3, 4), ("uint8", "uint16")),
        (".tif", (1, 2, 3, 4), ("uint8", "uint16")),
        (".jp2", (1, 3, 4), ("uint8", "uint16")),
        (".bmp", (1, 3), ("uint8",)),
        (".ppm", (1, 3), ("uint8",)),
        (".tga", (1, 2, 3, 4), ("uint8",)),
    ],
)
def test_lossless_formats_keep_every_number(tmp_path, suffix, counts, dtypes):
    for count in counts:
        for dtype in dtypes:
            pixels = noise(count, Size(23, 31), dtype)
            path = save(tmp_path, f"{count}{dtype}{suffix}", pixels)
            if suffix == ".tga":
                with Image.open(path) as picture:
                    np.testing.assert_array_equal(np.atleast_3d(picture).transpose(2, 0, 1), pixels)
            else:
                np.testing.assert_array_equal(load(path), pixels)


@pytest.mark.parametrize("suffix", [".jpg", ".webp", *([".avif"] if HAS_AVIF else [])])
@pytest.mark.parametrize("count", [1, 3, 4])
def test_lossy_formats_come_close(tmp_path, suffix, count):
    if suffix == ".jpg" and count == 4:
        pytest.skip("JPEG has no transparency; refused before the work")
    pixels = smooth(count, (64, 96))
    with Image.open(save(tmp_path, f"out{suffix}", pixels)) as picture:
        found = np.atleast_3d(picture).transpose(2, 0, 1)[:count]
    assert np.abs(found.astype(int) - pixels).mean() < 2


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("size", [(1, 1), (3, 5), (300, 257)])
def test_any_size(tmp_path, suffix, size):
    path = save(tmp_path, f"out{suffix}", smooth(3, size))
    with Image.open(path) as picture:
        picture.load()
        assert picture.size == size[::-1]
    assert os.listdir(tmp_path) == [path.name]


def test_windows_in_any_order(tmp_path):
    pixels = noise(4, Size(300, 257), "uint16")
    writer = begin(tmp_path, "out.png", pixels)
    with writer:
        for row in (200, 0, 100):
            for col, width in ((128, 129), (0, 128)):
                here = np.s_[:, row : row + 100, col : col + width]
                writer.write(pixels[here][:3], Tile(row, col, 100, width), alpha=pixels[here][3])
    np.testing.assert_array_equal(load(tmp_path / "out.png"), pixels)


@pytest.mark.parametrize("names", [("blue", "green", "red"), ("alpha", "blue", "red", "green")])
def test_colours_are_put_in_the_order_of_the_format(tmp_path, names):
    pixels = noise(len(names), Size(8, 9))
    found = load(save(tmp_path, "out.png", pixels, names=names))
    wanted = [names.index(name) for name in ("red", "green", "blue", "alpha") if name in names]
    np.testing.assert_array_equal(found, pixels[wanted])


def test_jpeg_is_written_for_quality(tmp_path):
    path = save(tmp_path, "out.jpg", smooth(3, (64, 64)))
    small = save(tmp_path, "small.jpg", smooth(3, (64, 64)), options=["QUALITY=50"])
    with Image.open(path) as picture:
        assert JpegImagePlugin.get_sampling(picture) == 0
        # First entry of the luminance table of the standard at quality 95.
        assert picture.quantization[0][0] == 2
    assert small.stat().st_size < path.stat().st_size


def test_lossless_webp(tmp_path):
    pixels = noise(4, Size(40, 30))
    path = save(tmp_path, "out.webp", pixels, options=["LOSSLESS=YES"])
    with Image.open(path) as picture:
        np.testing.assert_array_equal(np.asarray(picture).transpose(2, 0, 1), pixels)


@pytest.fixture
def camera(tmp_path):
    """A JPEG as a camera makes it: stored sideways, with all that a JPEG can carry."""
    exif = Image.Exif()
    exif[Base.Orientation], exif[Base.Make], exif[Base.Artist] = 6, "Maker", "Me"
    details = exif.get_ifd(IFD.Exif)
    details[Base.ExifImageWidth], details[Base.ExifImageHeight], details[Base.FocalLength] = 8, 6, 35.0
    exif.get_ifd(IFD.GPSInfo)[ExifTags.GPS.GPSLatitude] = (48.0, 8.0, 3.5)
    pixels = np.zeros((6, 8, 3), np.uint8)
    pixels[:, :4] = 255
    path = tmp_path / "camera.jpg"
    Image.fromarray(pixels).save(
        path, exif=exif, icc_profile=RGB_PROFILE, dpi=(72, 72), xmp=XMP, comment=b"a note", quality=100
    )
    return path


def enlarged(camera, folder, name):
    with open_source(camera) as source:
        info, array = source.info, source.read().array
    size = info.size.scaled(4)
    spec = choose_output(info, folder / name, scale=4, size=size)
    with open_output(spec, {"seed": "1"}) as writer:
        writer.write(array.repeat(4, 1).repeat(4, 2), Tile.whole(size))
    return folder / name


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", *([".avif"] if HAS_AVIF else [])])
def test_metadata_of_a_camera_is_kept(tmp_path, camera, suffix):
    with Image.open(enlarged(camera, tmp_path, f"out{suffix}")) as picture:
        picture.load()
        exif = picture.getexif()
        details = exif.get_ifd(IFD.Exif)
        assert picture.size == (24, 32)
        assert np.asarray(picture)[:12].min() > 200
        assert exif.get(Base.Orientation, 1) == 1
        assert (exif[Base.Make], exif[Base.Artist], details[Base.FocalLength]) == ("Maker", "Me", 35.0)
        assert (details[Base.ExifImageWidth], details[Base.ExifImageHeight]) == (24, 32)
        assert exif.get_ifd(IFD.GPSInfo)[ExifTags.GPS.GPSLatitude] == (48.0, 8.0, 3.5)
        assert exif[Base.XResolution] == 288
        assert picture.info["icc_profile"] == RGB_PROFILE
        xmp = picture.info.get("xmp") or picture.info["XML:com.adobe.xmp"].encode()
        assert b'tiff:Orientation="1" tiff:ImageWidth="24"' in xmp
        if suffix in (".jpg", ".png"):
            assert picture.info["dpi"] == pytest.approx((288, 288), abs=0.02)
            assert picture.info["comment"] in (b"a note", "a note")
        if suffix == ".png":
            assert json.loads(picture.text["ZIDO"]) == {"ZIDO": {"seed": "1"}}
        else:
            assert json.loads(details[Base.UserComment][8:]) == {"ZIDO": {"seed": "1"}}


def test_metadata_of_a_camera_in_a_tiff(tmp_path, camera):
    path = enlarged(camera, tmp_path, "out.tif")
    with Image.open(path) as picture:
        assert picture.info["icc_profile"] == RGB_PROFILE
        assert picture.info["dpi"] == (288, 288)
        assert picture.mode == "RGB"
    with open_source(path) as source:
        assert source.info.tags["ZIDO"] == {"seed": "1"}
        assert source.info.tags[""]["TIFFTAG_ARTIST"] == "Me"
        assert not source.info.geobox.georeferenced


def test_texts_of_a_png_are_kept(tmp_path):
    tags = {"": {"Title": "grün", "Software": "camera", "TIFFTAG_X": "1"}}
    with Image.open(save(tmp_path, "out.png", noise(3, Size(4, 4)), tags=tags)) as picture:
        assert picture.text["Title"] == "grün"
        assert picture.text["Software"] == "zido"
        assert "TIFFTAG_X" not in picture.text


@pytest.mark.parametrize("suffix", [".png", ".jpg"])
def test_profile_of_another_number_of_bands_is_left_out(tmp_path, suffix):
    writer = begin(
        tmp_path,
        f"out{suffix}",
        noise(1, Size(4, 4)),
        photo=PhotoMeta(format="PNG", mode="", icc=RGB_PROFILE),
    )
    fill(writer, noise(1, Size(4, 4)))
    assert "profile" in writer.warnings[0]
    with Image.open(tmp_path / f"out{suffix}") as picture:
        assert "icc_profile" not in picture.info


def test_metadata_too_long_for_a_jpeg_does_not_cost_the_picture(tmp_path):
    exif = Image.Exif()
    exif[Base.Make] = "Maker"
    exif.get_ifd(IFD.Exif)[Base.MakerNote] = bytes(65_000)
    meta = PhotoMeta(format="JPEG", mode="RGB", exif=exif.tobytes() + bytes(600), xmp=b"x" * 70_000)
    writer = begin(tmp_path, "out.jpg", noise(3, Size(4, 4)), photo=meta)
    writer.provenance["prompt"] = "p" * 1000
    fill(writer, noise(3, Size(4, 4)))
    assert "XMP" in writer.warnings[0]
    with Image.open(tmp_path / "out.jpg") as picture:
        assert picture.getexif()[Base.Make] == "Maker"


def test_16_bit_colour_is_seen_by_other_programs(tmp_path):
    path = save(tmp_path, "out.png", noise(4, Size(5, 6), "uint16"))
    header = path.read_bytes()[16:26]
    assert header == bytes([0, 0, 0, 6, 0, 0, 0, 5, 16, 6])
    with rasterio.open(path) as dataset:
        assert [each.name for each in dataset.colorinterp] == ["red", "green", "blue", "alpha"]


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp", ".bmp", ".tif"])
def test_flipped_byte_is_found(tmp_path, monkeypatch, suffix):
    pixels = noise(3, Size(64, 64))
    writer = begin(tmp_path, f"out{suffix}", pixels)
    verify = writer._verify

    def flip():
        content = bytearray(writer._part.path.read_bytes())
        content[len(content) // 2] ^= 0x40
        writer._part.path.write_bytes(content)
        verify()

    monkeypatch.setattr(writer, "_verify", flip)
    with pytest.raises(OutputFailed, match=r"check the disk|failed"):
        fill(writer, pixels)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("error", [RuntimeError("bug"), KeyboardInterrupt()])
@pytest.mark.parametrize("suffix", [".png", ".jpg"])
def test_an_exception_leaves_nothing(tmp_path, suffix, error):
    def fail():
        raise error

    pixels = noise(3, Size(8, 8))
    with pytest.raises(type(error)):
        fill(begin(tmp_path, f"out{suffix}", pixels), pixels, fail)
    assert os.listdir(tmp_path) == []


def test_encoder_that_refuses_is_an_error_for_people(tmp_path, monkeypatch):
    def refuse(*_, **__):
        raise ValueError("encoder error -2")

    pixels = noise(3, Size(8, 8))
    writer = begin(tmp_path, "out.webp", pixels)
    monkeypatch.setattr(Image.Image, "save", refuse)
    with pytest.raises(OutputFailed, match=r"WebP cannot be written: encoder error -2; use \.png"):
        fill(writer, pixels)
    assert os.listdir(tmp_path) == []


def test_large_pictures_of_our_own_are_no_attack(tmp_path, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    path = save(tmp_path, "out.jpg", smooth(3, (64, 64)))
    assert JpegImagePlugin.JpegImageFile(io.BytesIO(path.read_bytes())).size == (64, 64)


def test_a_real_photograph(tmp_path, example_photo):
    with open_source(example_photo) as source:
        array = source.read().array
        spec = choose_output(source.info, tmp_path, scale=1, size=source.info.size)
        with open_output(spec) as writer:
            writer.write(array, Tile.whole(source.info.size))
    assert spec.path.name == "barn_x1.png"
    np.testing.assert_array_equal(load(spec.path), array)
    assert spec.path.stat().st_size < 1.1 * example_photo.stat().st_size
