"""EXIF and XMP, edited for the new size."""

from __future__ import annotations

import json

import pytest
from PIL import ExifTags, Image

from zido_core.raster.exif import IMAGE_HISTORY, edited_exif, edited_xmp, provenance_text, tiff_tags
from zido_core.tiling.grid import Size

Base, IFD = ExifTags.Base, ExifTags.IFD
SIZE = Size(300, 400)


def block(comment=None, note=b"note"):
    exif = Image.Exif()
    exif[Base.Make], exif[Base.Artist], exif[Base.XResolution], exif[Base.ImageWidth] = (
        "Maker",
        "Me",
        72.0,
        100,
    )
    details = exif.get_ifd(IFD.Exif)
    details[Base.ExifImageWidth], details[Base.ExifImageHeight], details[Base.MakerNote] = 100, 75, note
    details[Base.FocalLength] = 35.0
    if comment:
        details[Base.UserComment] = comment
    exif.get_ifd(IFD.GPSInfo)[ExifTags.GPS.GPSLatitude] = (48.0, 8.0, 3.5)
    return exif.tobytes()


def parsed(content):
    exif = Image.Exif()
    exif.load(content)
    return exif, exif.get_ifd(IFD.Exif), exif.get_ifd(IFD.GPSInfo)


def edited(content, provenance=None, **more):
    return edited_exif(content, size=SIZE, dpi=(288, 300), provenance=provenance or {}, **more)


def test_size_and_resolution_are_new_and_the_rest_is_kept():
    main, details, place = parsed(edited(block()))
    assert (details[Base.ExifImageWidth], details[Base.ExifImageHeight]) == (400, 300)
    assert (main[Base.XResolution], main[Base.YResolution], main[Base.ResolutionUnit]) == (288, 300, 2)
    assert main[Base.ImageWidth] == 400
    assert Base.ImageLength not in main
    assert (main[Base.Make], details[Base.FocalLength], details[Base.MakerNote]) == ("Maker", 35.0, b"note")
    assert place[ExifTags.GPS.GPSLatitude] == (48.0, 8.0, 3.5)
    assert main[Base.Software] == "zido"
    assert Base.UserComment not in details


def test_provenance_goes_into_a_free_comment():
    _, details, _ = parsed(edited(block(), {"seed": "1", "prompt": "ü"}))
    comment = details[Base.UserComment]
    assert comment.startswith(b"ASCII\0\0\0")
    assert json.loads(comment[8:]) == {"ZIDO": {"seed": "1", "prompt": "ü"}}


def test_a_comment_of_the_user_stays():
    main, details, _ = parsed(edited(block(comment=b"ASCII\0\0\0mine"), {"seed": "1"}))
    assert details[Base.UserComment] == b"ASCII\0\0\0mine"
    assert json.loads(main[IMAGE_HISTORY]) == {"ZIDO": {"seed": "1"}}


@pytest.mark.parametrize("content", [None, b"", b"Exif\0\0rubbish", b"Exif\0\0II*\0\xff\xff\xff\xff"])
def test_nothing_or_damage_gives_a_fresh_block(content):
    _, details, _ = parsed(edited(content, {"seed": "1"}))
    assert details[Base.ExifImageWidth] == 400
    assert Base.UserComment in details


def test_over_the_limit_the_makers_notes_go_first_then_the_provenance():
    long = {"prompt": "x" * 1000}
    _, details, _ = parsed(edited(block(note=b"n" * 3000), long, limit=2000))
    assert Base.MakerNote not in details
    assert Base.UserComment in details
    _, details, _ = parsed(edited(block(note=b"n" * 3000), long, limit=900))
    assert Base.UserComment not in details
    assert details[Base.FocalLength] == 35.0


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ('tiff:ImageWidth="100" tiff:ImageLength="75"', 'tiff:ImageWidth="400" tiff:ImageLength="300"'),
        (
            "<exif:PixelXDimension>100</exif:PixelXDimension>",
            "<exif:PixelXDimension>400</exif:PixelXDimension>",
        ),
        ("exif:PixelYDimension = '75'", "exif:PixelYDimension = '300'"),
        ('xmp:Rating="5"', 'xmp:Rating="5"'),
    ],
)
def test_xmp(before, after):
    assert edited_xmp(before.encode(), SIZE) == after.encode()


def test_provenance_is_one_ascii_line_and_sorted():
    assert provenance_text({"b": "ü\n", "a": "1"}) == '{"ZIDO": {"a": "1", "b": "\\u00fc\\n"}}'


def test_texts_that_a_tiff_can_hold():
    assert tiff_tags(block()) == {"TIFFTAG_ARTIST": "Me"}
    assert tiff_tags(None) == {}
