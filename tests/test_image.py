"""Photographs: upright pixels of full depth, and what belongs to a picture."""

from __future__ import annotations

import io
import warnings
from pathlib import Path

import numpy as np
import pytest
import rasterio
from numpy.typing import NDArray
from PIL import Image, ImageCms, ImageOps

from zido_core.errors import BadInput
from zido_core.raster import image
from zido_core.raster.photo_meta import ORIENTATION
from zido_core.raster.reader import open_source
from zido_core.tiling.grid import Size, Tile

RNG = np.random.default_rng(7)
RGB = RNG.integers(0, 256, (20, 31, 3), np.uint8)
RGBA = np.dstack([RGB, RNG.choice(np.array([0, 128, 255], np.uint8), (20, 31))])
XMP = b'<x:xmpmeta><rdf:Description tiff:Orientation="6"/></x:xmpmeta>'


def write_16_bit(path: Path, planes: NDArray[np.uint16], *, nodata: int | None = None) -> None:
    count, height, width = planes.shape
    profile = {"driver": "PNG", "count": count, "height": height, "width": width, "dtype": "uint16"}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with rasterio.open(path, "w", **profile, nodata=nodata) as dataset:
            dataset.write(planes)
    path.with_name(path.name + ".aux.xml").unlink(missing_ok=True)


def deep(count: int) -> NDArray[np.uint16]:
    return RNG.integers(0, 65_536, (count, 20, 31), dtype=np.uint16)


def exif_with(orientation: int) -> Image.Exif:
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    exif[0x010F] = "Maker"
    return exif


@pytest.mark.parametrize(
    ("mode", "bands"),
    [
        ("L", ["gray"]),
        ("LA", ["gray", "alpha"]),
        ("RGB", ["red", "green", "blue"]),
        ("RGBA", ["red", "green", "blue", "alpha"]),
    ],
)
@pytest.mark.parametrize("suffix", ["png", "webp", "bmp", "gif", "jpg"])
def test_modes_and_formats(tmp_path: Path, mode: str, bands: list[str], suffix: str) -> None:
    if (suffix in {"bmp", "gif", "jpg"} and "A" in mode) or (suffix == "gif" and mode != "L"):
        pytest.skip(f"{suffix} has no {mode}")
    path = tmp_path / f"photo.{suffix}"
    Image.fromarray(RGBA).convert(mode).save(path, **({"lossless": True, "exact": True} if suffix == "webp" else {}))
    if suffix == "webp":
        bands = ["red", "green", "blue"] + ["alpha"] * mode.endswith("A")
    with Image.open(path) as picture:
        shown = picture.convert("L") if picture.mode == "P" else picture
        expected = np.atleast_3d(np.asarray(shown)).transpose(2, 0, 1)
    with open_source(path) as source:
        assert source.info.kind == "photo"
        assert (source.info.size, source.info.dtype) == (Size(20, 31), "uint8")
        assert [band.interpretation for band in source.info.bands] == bands
        assert not source.info.geobox.georeferenced
        found = source.read()
    assert (found.array == expected[: len(source.info.colour_bands)]).all()
    assert (found.alpha is not None) == ("alpha" in bands)
    if found.alpha is not None:
        assert (found.alpha == expected[-1]).all()
        assert (found.valid == (expected[-1] > 0)).all()


@pytest.mark.parametrize("count", [1, 2, 3, 4])
def test_16_bits_are_kept(tmp_path: Path, count: int) -> None:
    planes = deep(count)
    write_16_bit(tmp_path / "deep.png", planes)
    with open_source(tmp_path / "deep.png") as source:
        assert (source.info.kind, source.info.dtype, source.info.count) == ("photo", "uint16", count)
        found = source.read()
    colours = count - (count in {2, 4})
    assert (found.array == planes[:colours]).all()
    if count in {2, 4}:
        assert found.alpha is not None
        assert (found.alpha == planes[-1]).all()


def test_16_bit_transparent_colour_becomes_alpha(tmp_path: Path) -> None:
    planes = deep(1)
    planes[:, 3, 4] = 40_000
    write_16_bit(tmp_path / "key.png", planes, nodata=40_000)
    with open_source(tmp_path / "key.png") as source:
        found = source.read()
        assert [band.interpretation for band in source.info.bands] == ["gray", "alpha"]
    assert found.alpha is not None
    assert found.alpha[3, 4] == 0
    assert not found.valid[3, 4]
    assert found.alpha.max() == 65_535


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "deep.png"])
def test_pixels_are_upright_and_exif_says_so(tmp_path: Path, orientation: int, suffix: str) -> None:
    path = tmp_path / f"photo.{suffix}"
    if suffix == "deep.png":
        stored = np.zeros((20, 31), np.uint16)
        stored[:] = RNG.integers(0, 65_536, stored.shape)
        Image.fromarray(stored).save(path, exif=exif_with(orientation))
    else:
        Image.fromarray(RGB).save(path, exif=exif_with(orientation))
    with Image.open(path) as picture:
        expected = np.atleast_3d(np.asarray(ImageOps.exif_transpose(picture))).transpose(2, 0, 1)
    with open_source(path) as source:
        meta = source.info.photo
        assert source.info.size == Size(*expected.shape[1:])
        assert (source.read().array == expected).all()
    assert meta is not None
    assert meta.exif is not None
    assert (meta.orientation, meta.upright) == (orientation, True)
    carried = Image.Exif()
    carried.load(meta.exif)
    assert (carried[ORIENTATION], carried[0x010F]) == (1, "Maker")


def test_window_of_a_turned_photo(tmp_path: Path) -> None:
    Image.fromarray(RGB).save(tmp_path / "a.png", exif=exif_with(6))
    with open_source(tmp_path / "a.png") as source:
        whole = source.read().array
        assert (source.read(Tile(5, 3, 7, 9), bands=[3, 1]).array == whole[[2, 0], 5:12, 3:12]).all()


def test_icc_dpi_xmp_and_texts_are_carried(tmp_path: Path) -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    path = tmp_path / "a.jpg"
    Image.fromarray(RGB).save(path, icc_profile=profile, dpi=(300, 150), xmp=XMP, comment=b"hello")
    with open_source(path) as source:
        meta = source.info.photo
        assert source.info.tags == {"": {"comment": "hello"}}
    assert meta is not None
    assert (meta.format, meta.mode, meta.icc, meta.dpi) == ("JPEG", "RGB", profile, (300.0, 150.0))
    assert meta.xmp == XMP.replace(b'"6"', b'"1"')


def test_palette_becomes_colours(tmp_path: Path) -> None:
    picture = Image.fromarray(RGB).quantize(16)
    picture.save(tmp_path / "p.png")
    picture.save(tmp_path / "t.png", transparency=3)
    with open_source(tmp_path / "p.png") as source:
        assert (source.read().array == np.asarray(picture.convert("RGB")).transpose(2, 0, 1)).all()
        assert any("palette" in text for text in source.info.warnings)
    with open_source(tmp_path / "t.png") as source:
        assert source.info.alpha == 4
        assert (source.read().valid == (np.asarray(picture) != 3)).all()


def test_transparent_colour_becomes_alpha(tmp_path: Path) -> None:
    Image.fromarray(RGB).save(tmp_path / "key.png", transparency=tuple(int(v) for v in RGB[2, 3]))
    with open_source(tmp_path / "key.png") as source:
        assert source.info.alpha == 4
        assert source.info.nodata is None
        assert (~source.read().valid).sum() == 1


def test_one_bit_is_black_and_white(tmp_path: Path) -> None:
    picture = Image.fromarray(RGB).convert("1")
    picture.save(tmp_path / "b.png")
    with open_source(tmp_path / "b.png") as source:
        assert (source.read().array[0] == np.asarray(picture) * np.uint8(255)).all()


def test_only_the_first_frame_and_a_warning(tmp_path: Path) -> None:
    frames = [Image.fromarray(RNG.integers(0, 256, (20, 31), np.uint8)) for _ in range(3)]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    with open_source(tmp_path / "a.gif") as source:
        assert (source.read().array[0] == np.asarray(frames[0])).all()
        assert any("first of 3" in text for text in source.info.warnings)


def test_cmyk_is_refused_with_the_reason(tmp_path: Path) -> None:
    Image.fromarray(RGB).convert("CMYK").save(tmp_path / "c.jpg")
    with pytest.raises(BadInput, match=r"c\.jpg holds printing colours \(CMYK\)"):
        open_source(tmp_path / "c.jpg")


def test_format_that_only_pillow_reads(tmp_path: Path) -> None:
    Image.fromarray(RGB).save(tmp_path / "a.pcx")
    with open_source(tmp_path / "a.pcx") as source:
        assert (source.info.kind, source.info.driver) == ("photo", "PCX")
        assert (source.read().array == RGB.transpose(2, 0, 1)).all()


def test_pillows_own_pixel_limit_neither_counts_nor_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Image.fromarray(RGB).save(tmp_path / "a.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)
    with open_source(tmp_path / "a.png") as source:
        assert source.read().array.shape == (3, 20, 31)
    assert Image.MAX_IMAGE_PIXELS == 10


def test_huge_photos_are_read_by_window(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Image.fromarray(RGB).save(tmp_path / "a.png", exif=exif_with(6))
    monkeypatch.setattr(image, "MAX_PHOTO_PIXELS", 100)
    with open_source(tmp_path / "a.png") as source:
        assert source.info.kind == "raster"
        assert (source.read().array == RGB.transpose(2, 0, 1)).all()
        assert source.info.photo is not None
        assert (source.info.photo.orientation, source.info.photo.upright) == (6, False)


@pytest.mark.parametrize("suffix", ["png", "jpg", "webp", "bmp", "gif", "pcx"])
@pytest.mark.parametrize("share", [0.2, 0.6, 0.95])
def test_cut_off_photo_is_bad_input(tmp_path: Path, suffix: str, share: float) -> None:
    whole = io.BytesIO()
    Image.fromarray(RGB).save(whole, format={"jpg": "jpeg"}.get(suffix, suffix))
    path = tmp_path / f"cut.{suffix}"
    path.write_bytes(whole.getvalue()[: int(len(whole.getvalue()) * share)])
    with pytest.raises(BadInput, match="cut"), open_source(path) as source:
        source.read()


def test_cut_off_16_bit_png_is_bad_input(tmp_path: Path) -> None:
    path = tmp_path / "cut.png"
    write_16_bit(path, deep(3))
    path.write_bytes(path.read_bytes()[:-600])
    with pytest.raises(BadInput, match="cut off"):
        open_source(path)


def test_damaged_exif_does_not_matter(tmp_path: Path) -> None:
    Image.fromarray(RGB).save(tmp_path / "a.jpg", exif=b"Exif\0\0MM\0*" + bytes(range(200)))
    with open_source(tmp_path / "a.jpg") as source:
        assert source.read().array.shape == (3, 20, 31)
