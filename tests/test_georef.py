"""Georeferencing as GIMP keeps it, moved to a part of an image at another size."""

from __future__ import annotations

import numpy as np
import pytest
import rasterio
from affine import Affine
from zido.gimp import georef
from zido.gimp.georef import Window, from_parasites, moved, to_parasites
from zido.gimp.tiff import GEO_TYPES, Layout, Writer, read_tags

UTM = Affine(0.5, 0.0, 297_495.0, 0.0, -0.5, 9_050_564.0)
TURNED = Affine.translation(3e5, 9e6) * Affine.rotation(30) * Affine.scale(2, -3)

WINDOWS = [
    Window(),
    Window(sx=4.0, sy=4.0),
    Window(x0=3, y0=5),
    Window(x0=3, y0=5, sx=4.0, sy=4.0),
    Window(x0=2.5, y0=1.25, sx=1.5, sy=1.25),
]


def tags_of(path, **profile):
    """The tags that GDAL writes for such a place."""
    with rasterio.open(path, "w", driver="GTiff", width=20, height=10, count=1, dtype="uint8", **profile) as dataset:
        dataset.write(np.ones((1, 10, 20), "uint8"))
        if profile.get("point"):
            dataset.update_tags(AREA_OR_POINT="Point")
    tags = read_tags(path)
    return {tag: tags[tag] for tag in GEO_TYPES if tag in tags}


def place(path, tags):
    """The corner coordinates that GDAL reads from such tags."""
    with Writer(path, Layout(width=8, height=8, channels=1, floating=False, bits=8), tags) as file:
        file.write(bytes(64))
    with rasterio.open(path) as dataset:
        return dataset.transform, dataset.crs, dataset.gcps[0]


@pytest.mark.parametrize("window", WINDOWS, ids=str)
@pytest.mark.parametrize("point", [False, True], ids=["area", "point"])
@pytest.mark.parametrize("transform", [UTM, TURNED], ids=["utm", "turned"])
def test_every_place_stays_where_it_is(tmp_path, transform, point, window):
    tags = tags_of(tmp_path / "a.tif", transform=transform, crs="EPSG:32750", point=point)
    assert georef._pixel_is_point(tags) == point
    found, crs, _ = place(tmp_path / "b.tif", moved(tags, window))
    assert crs.to_epsg() == 32750
    for x, y in ((0, 0), (20, 10), (7.5, 3)):
        out = ((x - window.x0) * window.sx, (y - window.y0) * window.sy)
        assert found * out == pytest.approx(transform * (x, y), abs=1e-7)


@pytest.mark.parametrize("window", WINDOWS, ids=str)
def test_ground_control_points_move_with_their_pixels(tmp_path, window):
    points = [
        rasterio.control.GroundControlPoint(row=row, col=col, x=100 + col, y=50 - row)
        for row, col in ((0, 0), (0, 20), (10, 0), (10, 20))
    ]
    tags = tags_of(tmp_path / "a.tif", gcps=points, crs="EPSG:32750")
    _, _, found = place(tmp_path / "b.tif", moved(tags, window))
    expected = [((p.col - window.x0) * window.sx, (p.row - window.y0) * window.sy, p.x, p.y) for p in points]
    assert [(p.col, p.row, p.x, p.y) for p in found] == expected


def test_parasites_hold_the_tags_bit_for_bit(tmp_path):
    tags = tags_of(tmp_path / "a.tif", transform=TURNED, crs="EPSG:32750") | {34737: b"WGS 84|\0"}
    parasites = to_parasites(tags)
    assert set(parasites) <= set(georef.PARASITES)
    assert from_parasites(parasites) == tags


def test_parasites_that_cannot_be_understood_are_left_out():
    given = {"Gimp_GeoTIFF_ModelPixelScale": b"123", "gimp-comment": b"hello", "Gimp_GeoTIFF_Asciiparams": b"x|"}
    assert from_parasites(given) == {georef.TEXTS: b"x|"}
