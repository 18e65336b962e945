"""What of an input, beside its pixels, is found again in the output."""

from __future__ import annotations

import base64
import os

import numpy as np
import pytest
import rasterio
from PIL import ImageCms
from rasterio.control import GroundControlPoint
from rasterio.crs import CRS
from rasterio.enums import ColorInterp, MaskFlags
from rasterio.rpc import RPC

from tests.outputs import AFFINE, CONTENT, SMALL, UTM, band, describe, noise, save
from zido_core.raster.geobox import GeoBox
from zido_core.raster.reader import open_source
from zido_core.raster.source import PhotoMeta
from zido_core.raster.target import choose_output
from zido_core.raster.writer import open_output
from zido_core.tiling.grid import Size, Tile

RPCS = RPC(
    err_bias=0.5,
    err_rand=0.25,
    height_off=100.0,
    height_scale=500.0,
    lat_off=12.3456789,
    lat_scale=0.1,
    line_off=1000.5,
    line_scale=900.0,
    long_off=45.6789,
    long_scale=0.2,
    samp_off=2000.25,
    samp_scale=1900.0,
    line_num_coeff=[i / 7 for i in range(20)],
    line_den_coeff=[1.0] * 20,
    samp_num_coeff=[i / 3 for i in range(20)],
    samp_den_coeff=[1.0] * 20,
)
POINTS = tuple(GroundControlPoint(2.5 * i, 3.25 * i, 15.0 + i, 40.0 - i, 7.0) for i in range(4))


def test_affine_and_reference_system_keep_the_extent(tmp_path):
    path, _ = save(describe(), tmp_path)
    with rasterio.open(path) as dataset:
        assert dataset.crs == UTM
        for corner in ((0, 0), (12, 0), (0, 10), (12, 10)):
            assert dataset.transform * (corner[0] * 2, corner[1] * 2) == pytest.approx(AFFINE * corner, rel=1e-12)


def test_custom_reference_system_survives_as_an_object(tmp_path):
    crs = CRS.from_proj4("+proj=laea +lat_0=12.5 +lon_0=-33.25 +R=3396190 +units=m +no_defs")
    path, _ = save(describe(geobox=GeoBox(size=SMALL, transform=AFFINE, crs=crs)), tmp_path)
    with rasterio.open(path) as dataset:
        assert dataset.crs == crs


def test_what_is_not_georeferenced_stays_so(tmp_path):
    path, _ = save(describe(geobox=GeoBox(size=SMALL), tags={"": {"AREA_OR_POINT": "Point"}}), tmp_path)
    with open_source(path) as source:
        assert not source.info.geobox.georeferenced


@pytest.mark.parametrize("gcps_crs", [CRS.from_epsg(4326), None])
@pytest.mark.parametrize("content", CONTENT.values(), ids=CONTENT)
def test_ground_control_points_and_rpcs(tmp_path, content, gcps_crs):
    geobox = GeoBox(size=SMALL, gcps=POINTS, gcps_crs=gcps_crs, rpcs=RPCS)
    path, _ = save(describe(geobox=geobox), tmp_path, **content)
    expected = geobox.resized(SMALL.scaled(2))
    with rasterio.open(path) as dataset:
        found, crs = dataset.gcps
        assert crs == gcps_crs
        # A TIFF numbers its points; names and remarks have no place in it.
        assert [(p.row, p.col, p.x, p.y, p.z) for p in found] == [(p.row, p.col, p.x, p.y, p.z) for p in expected.gcps]
        assert dataset.rpcs.line_off == expected.rpcs.line_off
        assert dataset.rpcs.samp_scale == expected.rpcs.samp_scale
        assert dataset.rpcs.line_num_coeff == pytest.approx(RPCS.line_num_coeff, rel=1e-14)


ITEMS = {
    "descriptions": (lambda d: d.descriptions, ("blue", None, "red")),
    "interpretation": (lambda d: [c.name for c in d.colorinterp], ["blue", "green", "red"]),
    "scales": (lambda d: d.scales, (0.5, 1.0, 2.0)),
    "offsets": (lambda d: d.offsets, (-3.0, 0.0, 0.25)),
    "units": (lambda d: d.units, ("m", None, "K")),
    "band tags": (
        lambda d: list(map(d.tags, (1, 2, 3))),
        [{"wavelength": "490 <nm>"}, {}, {"a": "b", "c": "d"}],
    ),
    "nodata": (lambda d: d.nodatavals, (7.0, 7.0, 7.0)),
    "domain": (lambda d: d.tags(ns="MISSION"), {"orbit": "12"}),
    "provenance": (lambda d: d.tags(ns="ZIDO"), {"seed": "1", "prompt": 'ü "x" <y>'}),
    "geolocation": (lambda d: d.tags(ns="GEOLOCATION")["PIXEL_STEP"], "2.0"),
    "colour profile": (lambda d: d.tags(ns="COLOR_PROFILE")["SOURCE_ICC_PROFILE"], None),
    "tag": (lambda d: d.tags()["owner"], "me"),
    "point": (lambda d: d.tags()["AREA_OR_POINT"], "Point"),
    "resolution": (lambda d: [d.tags()[f"TIFFTAG_{axis}RESOLUTION"] for axis in "XY"], ["144", "300"]),
    "resolution unit": (lambda d: d.tags()["TIFFTAG_RESOLUTIONUNIT"][:1], "2"),
    "software": (lambda d: d.tags()["TIFFTAG_SOFTWARE"], "zido"),
}
PROFILE = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


@pytest.fixture(scope="module", params=CONTENT)
def carried(request, tmp_path_factory):
    bands = (
        band(1, "blue", description="blue", scale=0.5, offset=-3.0, unit="m", tags={"wavelength": "490 <nm>"}),
        band(2, "green"),
        band(3, "red", description="red", scale=2.0, offset=0.25, unit="K", tags={"a": "b", "c": "d"}),
    )
    default = {"owner": "me", "AREA_OR_POINT": "Point", "TIFFTAG_SOFTWARE": "camera"}
    default |= {"TIFFTAG_XRESOLUTION": "72", "TIFFTAG_YRESOLUTION": "150"}
    default |= {"TIFFTAG_RESOLUTIONUNIT": "2 (pixels/inch)"}
    steps = (("PIXEL_STEP", "1"), ("PIXEL_OFFSET", "0"), ("LINE_STEP", "1"), ("LINE_OFFSET", "0"))
    info = describe(
        bands=bands,
        nodata=7.0,
        tags={"": default, "MISSION": {"orbit": "12"}, "ZIDO": {"seed": "0", "x": "y"}},
        photo=PhotoMeta(format="GTiff", mode="", icc=PROFILE),
        geobox=GeoBox(size=SMALL, transform=AFFINE, crs=UTM, geolocation=steps),
    )
    path, _ = save(
        info,
        tmp_path_factory.mktemp("carried"),
        provenance={"seed": "1", "prompt": 'ü "x" <y>'},
        **CONTENT[request.param],
    )
    with rasterio.open(path) as dataset:
        yield dataset


@pytest.mark.parametrize(("read", "expected"), ITEMS.values(), ids=ITEMS)
def test_everything_but_pixels_is_carried(carried, read, expected):
    expected = base64.b64encode(PROFILE).decode() if expected is None else expected
    assert read(carried) == expected


@pytest.mark.parametrize("content", CONTENT.values(), ids=CONTENT)
def test_provenance_may_be_added_until_the_end(tmp_path, content):
    info = describe(size=Size(600, 300), has_mask=True)
    spec = choose_output(info, tmp_path / "out.tif", scale=1, size=info.size, **content)
    pixels = noise(1, info.size)
    with open_output(spec, {"seed": "1"}) as writer:
        writer.write(pixels, Tile.whole(info.size))
        writer.provenance["manifest"] = "late " * 2000
    with rasterio.open(tmp_path / "out.tif") as dataset:
        assert dataset.tags(ns="ZIDO") == {"seed": "1", "manifest": "late " * 2000}
        np.testing.assert_array_equal(dataset.read(), pixels)
        assert dataset.mask_flag_enums[0] == [MaskFlags.per_dataset]


@pytest.mark.parametrize("name", ["out.tif", "out.jp2"])
@pytest.mark.parametrize("content", CONTENT.values(), ids=CONTENT)
def test_mask_lands_in_the_file_of_the_output(tmp_path, name, content):
    if name == "out.jp2" and content:
        pytest.skip("a COG is a TIFF")
    valid = np.ones(SMALL.scaled(2), bool)
    valid[3:9, 4:] = False
    path, _ = save(describe("red", "green", "blue", has_mask=True), tmp_path, name=name, valid=valid, **content)
    with rasterio.open(path) as dataset:
        assert dataset.mask_flag_enums[0] == [MaskFlags.per_dataset]
        assert ((dataset.read_masks(2) == 255) == valid).all()
    extra = {"out.jp2.msk"} if name == "out.jp2" else set()
    assert {entry for entry in os.listdir(tmp_path) if not entry.endswith(".aux.xml")} == {name} | extra


def test_without_a_given_mask_all_is_valid(tmp_path):
    path, _ = save(describe(has_mask=True), tmp_path)
    with rasterio.open(path) as dataset:
        assert dataset.mask_flag_enums[0] == [MaskFlags.per_dataset]
        assert (dataset.read_masks(1) == 255).all()


@pytest.mark.parametrize(
    "names",
    [
        ("gray", "alpha"),
        ("red", "green", "blue", "alpha"),
        ("blue", "green", "red", "alpha"),
        ("red", "green", "blue", "nir", "alpha"),
        ("alpha", "red", "green", "blue"),
    ],
)
@pytest.mark.parametrize("content", CONTENT.values(), ids=CONTENT)
def test_alpha_keeps_its_place(tmp_path, names, content):
    path, pixels = save(describe(*names), tmp_path, **content)
    with rasterio.open(path) as dataset:
        assert tuple(each.name for each in dataset.colorinterp) == names
        np.testing.assert_array_equal(dataset.read(), pixels)


@pytest.mark.parametrize("names", [("undefined",) * 3, ("undefined",) * 4, ("gray", "undefined"), ("nir", "swir")])
def test_no_colours_are_invented(tmp_path, names):
    path, _ = save(describe(*names), tmp_path)
    with rasterio.open(path) as dataset:
        found = [each.name for each in dataset.colorinterp]
        # GDAL calls the first band of any gray TIFF gray.
        assert [("undefined" if at == 0 and name == "gray" else name) for at, name in enumerate(found)] == [
            ("undefined" if at == 0 and name == "gray" else name) for at, name in enumerate(names)
        ]


def test_real_rasters_keep_what_they_say(tmp_path, example_raster):
    with open_source(example_raster) as source:
        info = source.info
        path, _ = save(info, tmp_path, factor=4)
    with open_source(path) as again:
        found = again.info
        assert found.geobox == info.geobox.resized(info.size.scaled(4))
        assert [each.interpretation for each in found.bands] == [each.interpretation for each in info.bands]
        assert found.nodata == info.nodata
        carried = {key: text for key, text in info.tags.get("", {}).items() if "TIFFTAG" not in key}
        assert carried.items() <= found.tags[""].items()


def test_interpretations_known_to_rasterio_are_all_written(tmp_path):
    names = [each.name for each in ColorInterp if each.name in {"pan", "coastal", "rededge", "nir", "swir", "tir"}]
    path, _ = save(describe(*names), tmp_path)
    with rasterio.open(path) as dataset:
        assert [each.name for each in dataset.colorinterp] == names
