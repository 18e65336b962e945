"""Prompts files: saved and read back on any raster, drawn by hand, edited elsewhere, wrong in every way."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from affine import Affine
from rasterio.crs import CRS

from zido_core.errors import ConfigurationError, OutputNotWritable
from zido_core.prompts import geojson
from zido_core.prompts.base import Prompt, Tag
from zido_core.prompts.compose import combine
from zido_core.prompts.location import LONGITUDE_LATITUDE
from zido_core.prompts.regions import load_prompts, load_regions, save_prompts
from zido_core.prompts.scene import SceneTagger
from zido_core.prompts.vocabulary import encode, prompt_from_text
from zido_core.raster.geobox import GeoBox
from zido_core.tiling.grid import Size, Tile

SIZE = Size(100, 140)
TILES = [Tile(row, col, 60, 60) for row in (0, 40) for col in (0, 40, 80)]
UTM = GeoBox(size=SIZE, transform=Affine(0.5, 0, 297_495.0, 0, -0.5, 9_050_564.0), crs=CRS.from_epsg(32750))
TURNED = Affine.translation(3e5, 9e6) * Affine.rotation(30) * Affine.scale(2, -3)
OWN = CRS.from_string("+proj=laea +lat_0=12 +lon_0=7 +x_0=123 +ellps=GRS80 +units=m")
PLACES = {
    "utm": UTM,
    "degrees": GeoBox(size=SIZE, transform=Affine(1e-5, 0, 115.16, 0, -1e-5, -8.585), crs=CRS.from_epsg(4326)),
    "turned": GeoBox(size=SIZE, transform=TURNED, crs=CRS.from_epsg(32750)),
    "own crs": GeoBox(size=SIZE, transform=Affine(10, 0, 0, 0, -10, 0), crs=OWN),
    "no crs": GeoBox(size=SIZE, transform=Affine(2, 0, 5, 0, 2, 7)),
    "photo": GeoBox(size=SIZE),
}


@pytest.fixture(params=PLACES)
def geobox(request: pytest.FixtureRequest) -> GeoBox:
    return PLACES[request.param]


@pytest.fixture
def prompts() -> list[Prompt]:
    pixels = np.random.default_rng(0).random((3, *SIZE), np.float32)
    pixels[:, :, 70:] = np.array([0.1, 0.2, 0.4], np.float32)[:, None, None]
    return SceneTagger().tag(pixels, TILES)


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    """Write a document, text or bytes to a prompts file."""

    def to_file(content: Any, name: str = "prompts.geojson") -> Path:
        path = tmp_path / name
        text = content if isinstance(content, (str, bytes)) else json.dumps(content)
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    return to_file


def ring(col: float, row: float, width: float, height: float) -> list[list[float]]:
    return [[col, row], [col + width, row], [col + width, row + height], [col, row + height], [col, row]]


def feature(*rings: list[list[float]], **properties: Any) -> dict[str, Any]:
    geometry = {"type": "Polygon", "coordinates": list(rings)}
    return {"type": "Feature", "geometry": geometry, "properties": properties}


def collection(*features: Any, **members: Any) -> dict[str, Any]:
    return {"type": "FeatureCollection", **members, "features": list(features)}


def crs_member(name: str) -> dict[str, Any]:
    return {"type": "name", "properties": {"name": name}}


def test_saved_prompts_read_back_exactly(geobox: GeoBox, prompts: list[Prompt], tmp_path: Path):
    path = tmp_path / "prompts.geojson"
    prompts[0] = prompts[0].with_negative("cartoon")
    save_prompts(path, geobox, TILES, prompts)
    loaded = load_prompts(path, geobox, TILES)
    for saved, read in zip(prompts, loaded, strict=True):
        assert (read.text, read.tags, read.negative, read.source) == (
            saved.text, saved.tags, saved.negative, "file",
        )  # fmt: skip
        assert encode(read) == encode(saved)


def test_file_places_the_tiles(geobox: GeoBox, prompts: list[Prompt], tmp_path: Path):
    path = tmp_path / "prompts.geojson"
    save_prompts(path, geobox, TILES, prompts)
    document = json.loads(path.read_text())
    if geobox.crs is None:
        assert "crs" not in document
    else:
        name = document["crs"]["properties"]["name"]
        assert name == LONGITUDE_LATITUDE or CRS.from_user_input(name) == geobox.crs
    assert document["zido"] == {
        "format": 1,
        "coordinates": "pixels" if geobox.transform is None else "crs",
        "size": {"height": 100, "width": 140},
    }
    for index, (tile, each) in enumerate(zip(TILES, document["features"], strict=True)):
        (outline,) = each["geometry"]["coordinates"]
        assert np.allclose(sorted(outline), sorted(map(list, geobox.footprint(tile))), rtol=0, atol=1e-7)
        assert each["properties"]["tile"] == index
        window = [each["properties"][name] for name in ("row", "col", "height", "width")]
        assert window == list(tile)
        assert each["properties"]["tags"] == [{"name": tag.name, "score": tag.score} for tag in prompts[index].tags]


@pytest.mark.parametrize(
    ("name", "expected"),
    [("utm", "urn:ogc:def:crs:EPSG::32750"), ("degrees", LONGITUDE_LATITUDE), ("own crs", OWN.to_wkt())],
)
def test_name_of_the_reference_system(name: str, expected: str, prompts: list[Prompt], tmp_path: Path):
    save_prompts(tmp_path / "p.geojson", PLACES[name], TILES, prompts)
    assert json.loads((tmp_path / "p.geojson").read_text())["crs"] == crs_member(expected)


def test_existing_file_is_kept_unless_told(prompts: list[Prompt], tmp_path: Path):
    path = tmp_path / "prompts.geojson"
    path.write_text("mine")
    with pytest.raises(OutputNotWritable, match="exists"):
        save_prompts(path, UTM, TILES, prompts)
    assert path.read_text() == "mine"
    save_prompts(path, UTM, TILES, prompts, overwrite=True)
    assert len(load_regions(path, UTM)) == len(TILES)
    assert list(tmp_path.iterdir()) == [path]


def test_unwritable_place_leaves_nothing(prompts: list[Prompt], tmp_path: Path):
    with pytest.raises(OutputNotWritable, match=r"cannot write prompts to .*nowhere"):
        save_prompts(tmp_path / "nowhere" / "p.geojson", UTM, TILES, prompts)
    assert list(tmp_path.iterdir()) == []


def edited(path: Path, change: Callable[[dict[str, Any]], None]) -> Path:
    document = json.loads(path.read_text())
    change(document)
    path.write_text(json.dumps(document))
    return path


def test_edited_prompt_wins_over_tags(tmp_path: Path):
    path = tmp_path / "p.geojson"
    save_prompts(
        path,
        UTM,
        TILES,
        [Prompt(text="water, slightly noisy", tags=(Tag("water", 0.4), Tag("noisy", 0.3)))] * 6,
    )

    def change(document: dict[str, Any]) -> None:
        document["features"][2]["properties"]["prompt"] = "water, very noisy, a red barn"
        document["features"][3]["properties"]["prompt"] = ""
        document["features"][4]["properties"]["prompt"] = None

    loaded = load_prompts(edited(path, change), UTM, TILES)
    assert loaded[2].text == "water, very noisy, a red barn"
    assert loaded[2].tags == (Tag("water", 0.4), Tag("noisy", 0.85))
    assert (loaded[3].text, loaded[3].tags) == ("", ())
    assert loaded[4].text == "water, slightly noisy"


def test_what_qgis_does_to_a_file_is_understood(prompts: list[Prompt], tmp_path: Path):
    """Lists become text, integers floats, foreign members go, coordinates are rounded, order changes."""
    path = tmp_path / "p.geojson"
    save_prompts(path, UTM, TILES, prompts)

    def change(document: dict[str, Any]) -> None:
        del document["zido"]
        document["features"].reverse()
        for each in document["features"]:
            properties = each["properties"]
            properties["tags"] = json.dumps(properties["tags"])
            properties["row"] = float(properties["row"])
            outline = each["geometry"]["coordinates"]
            each["geometry"] = {
                "type": "MultiPolygon",
                "coordinates": [[[[round(x, 2), round(y, 2)] for x, y in outline[0]]]],
            }

    loaded = load_prompts(edited(path, change), UTM, TILES)
    assert [each.tags for each in loaded] == [each.tags for each in prompts]


def test_photo_file_saved_again_by_qgis_as_longitude_latitude(prompts: list[Prompt], tmp_path: Path):
    path = tmp_path / "p.geojson"
    save_prompts(path, PLACES["photo"], TILES, prompts)
    edited(path, lambda document: document.update(crs=crs_member(LONGITUDE_LATITUDE)))
    assert load_prompts(path, PLACES["photo"], TILES)[5].tags == prompts[5].tags


def test_file_that_lost_its_own_reference_system(prompts: list[Prompt], tmp_path: Path):
    """GDAL writes no crs member for a system without a code."""
    path = tmp_path / "p.geojson"
    save_prompts(path, PLACES["own crs"], TILES, prompts)
    edited(path, lambda document: document.pop("crs"))
    assert load_prompts(path, PLACES["own crs"], TILES)[5].tags == prompts[5].tags


def test_feature_without_geometry_is_found_by_its_window(prompts: list[Prompt], tmp_path: Path):
    path = tmp_path / "p.geojson"
    save_prompts(path, UTM, TILES, prompts)
    edited(path, lambda document: document["features"][1].update(geometry=None))
    assert load_prompts(path, UTM, TILES)[1].tags == prompts[1].tags


def test_file_of_another_grid_gives_the_nearest_tiles(prompts: list[Prompt], tmp_path: Path):
    save_prompts(tmp_path / "p.geojson", UTM, TILES, prompts)
    moved = [Tile(tile.row, tile.col + 10, 50, 50) for tile in TILES]
    loaded = load_prompts(tmp_path / "p.geojson", UTM, moved)
    assert [each.text for each in loaded] == [each.text for each in prompts]


def test_copied_and_redrawn_tile_counts_as_drawn(tmp_path: Path):
    path = tmp_path / "p.geojson"
    save_prompts(path, PLACES["photo"], TILES, [prompt_from_text("road")] * 6)

    def change(document: dict[str, Any]) -> None:
        copy = json.loads(json.dumps(document["features"][0]))
        copy["properties"]["prompt"] = "a red barn"
        copy["geometry"]["coordinates"] = [ring(5, 5, 10, 10)]
        document["features"].append(copy)

    assert load_prompts(edited(path, change), PLACES["photo"], TILES)[0].text == "road, a red barn"


def test_drawn_polygons_on_the_ground(geobox: GeoBox, write: Callable[..., Path]):
    """Left half sea, a strip appended to the right; drawn in the raster's system, points with heights."""
    sea, strip = (
        [[*geobox.to_crs(row, col), 12.5] for col, row in ring(*box)]
        for box in ((-500, -500, 540, 900), (125, 0, 15, 100))
    )
    document = collection(feature(sea, prompt="sea"), feature(strip, prompt="boats", negative="people"))
    if geobox.crs is not None:
        document["crs"] = crs_member(geobox.crs.to_wkt())
    path = write(document)
    tagged = [prompt_from_text("road")] * len(TILES)
    told = combine(tagged, TILES, regions=load_regions(path, geobox), prompt="summer")
    assert [each.text for each in told] == ["sea, summer", "road, summer", "road, boats, summer"] * 2
    assert [each.negative for each in told] == [None, None, "people"] * 2


def test_multipolygon_with_a_hole(write: Callable[..., Path]):
    island = {"type": "MultiPolygon", "coordinates": [[ring(0, 0, 140, 100), ring(45, 5, 50, 50)]]}
    path = write(collection({"type": "Feature", "geometry": island, "properties": {"prompt": "sea"}}))
    loaded = load_prompts(path, PLACES["photo"], TILES)
    assert [each.text for each in loaded] == ["sea"] * 6
    around = [Tile(0, 40, 60, 60), Tile(10, 50, 40, 40)]
    assert [each.text for each in load_prompts(path, PLACES["photo"], around)] == ["sea", ""]


def test_file_in_pixels_fits_a_raster_on_the_ground(write: Callable[..., Path]):
    path = write(collection(feature(ring(0, 0, 40, 40), prompt="sea"), zido={"coordinates": "pixels"}))
    assert [each.text for each in load_prompts(path, UTM, TILES)] == ["sea", "", "", "", "", ""]


@pytest.mark.parametrize(
    ("content", "name"),
    [
        ("a harbour\n", "prompt.txt"),
        ('"a harbour"', "prompt.json"),
        ({"prompt": "a harbour"}, "prompt.json"),
        (b"\xef\xbb\xbfa harbour", "prompt.TXT"),
    ],
)
def test_one_prompt_for_the_whole_image(content: Any, name: str, write: Callable[..., Path]):
    assert {each.text for each in load_prompts(write(content, name), UTM, TILES)} == {"a harbour"}


def test_a_single_feature_is_enough(write: Callable[..., Path]):
    path = write(feature(ring(0, 0, 140, 100), prompt="sea"))
    assert load_prompts(path, PLACES["photo"], TILES)[0].text == "sea"


def test_features_outside_are_ignored_where_others_are_inside(write: Callable[..., Path]):
    outside, inside = ring(1000, 1000, 10, 10), ring(0, 0, 60, 60)
    path = write(collection(feature(outside, prompt="road"), feature(inside, prompt="sea")))
    assert load_prompts(path, PLACES["photo"], TILES)[0].text == "sea"


def test_control_characters_are_removed(write: Callable[..., Path]):
    path = write(collection(feature(ring(0, 0, 140, 100), prompt="a\u0000\u001b[2J\nsea\u202e", negative=" \n")))
    prompt = load_prompts(path, PLACES["photo"], TILES)[0]
    assert (prompt.text, prompt.negative) == ("a [2J sea", None)


BOX = ring(0, 0, 60, 60)
OPEN = BOX[:-1]
SEA = feature(BOX, prompt="sea")
SEA_TEXT = json.dumps(collection(SEA))
INFINITE = "feature 1: coordinate is not a finite number"
POINT = r"feature 1: found point \[1, 'a'\]"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("no json", r"not JSON \(.*\); expected GeoJSON"),
        ("", "not JSON"),
        (b"\xff\xfe\x00", "not text in UTF-8"),
        ("[" * 100_000, "nested too deeply|not JSON"),
        ('{"type": "FeatureCollection", "features": NaN}', "NaN is no JSON number"),
        ([1, 2], "found 'list'; expected a GeoJSON FeatureCollection"),
        ({"type": "Topology"}, "found 'Topology'; expected"),
        (collection(), "no features; expected polygons"),
        ({"type": "FeatureCollection"}, "no features"),
        ({"type": "FeatureCollection", "features": {"a": 1}}, "no features"),
        (collection(SEA, 7), "feature 2: found something else than a GeoJSON Feature"),
        (collection(SEA, feature(OPEN, prompt="x")), "feature 2: ring is not closed"),
        (collection(feature(OPEN[:3], prompt="x")), "feature 1: ring with fewer than four points"),
        (collection(feature(prompt="x")), "feature 1: polygon without rings"),
        (collection(feature([[0, 0], [1, "a"], [1, 1], [0, 0]], prompt="x")), POINT),
        (collection(feature([[0, 0], [True, 1], [1, 1], [0, 0]], prompt="x")), "feature 1: found point"),
        (collection(feature([[0, 0], [1], [1, 1], [0, 0]], prompt="x")), "feature 1: found point"),
        (SEA_TEXT.replace("60", "1e999"), INFINITE),
        (SEA_TEXT.replace("60", "1" * 400), INFINITE),
        (SEA_TEXT.replace("60", "1" * 5000), "not JSON"),
        (collection({**SEA, "geometry": {"type": "Point", "coordinates": [1, 2]}}), "found geometry 'Point'"),
        (collection({**SEA, "geometry": 3}), "found geometry 3"),
        (collection({**SEA, "geometry": {"type": "MultiPolygon"}}), "polygon without coordinates"),
        (collection({**SEA, "geometry": None}), "feature 1: no geometry; draw a polygon"),
        (collection({**SEA, "properties": [1]}), "feature 1: properties are not an object"),
        (collection(SEA, feature(BOX)), "feature 2: found prompt None; expected text"),
        (collection(feature(BOX, prompt=3)), "feature 1: found prompt 3"),
        (collection(feature(BOX, prompt="x", negative=[1])), r"feature 1: found negative \[1\]"),
        (collection(feature(BOX, prompt="x" * 1001)), "feature 1: prompt longer than 1000"),
        (collection(feature(BOX, prompt="x", tags=[{"name": 1}])), "feature 1: tags not understood"),
        (collection(feature(BOX, prompt="x", tags="{")), "feature 1: tags not understood"),
        (
            collection(feature(BOX, prompt="x", tags=[{"name": "water", "score": 7}])),
            "feature 1: score of a tag outside 0..1",
        ),
        (collection(feature(ring(900, 900, 9, 9), prompt="x")), r"feature 1 to 1 lie outside .* 140 x 100"),
        (collection(SEA, crs="EPSG:4326"), "crs member not understood"),
        (collection(SEA, crs=crs_member("EPSG:32750")), "but the image has no reference system"),
        ({"prompt": 5}, "feature 1: found prompt 5"),
    ],
)  # fmt: skip
def test_wrong_files_are_refused_in_one_line(content: Any, message: str, write: Callable[..., Path]):
    path = write(content)
    with pytest.raises(ConfigurationError, match=message) as caught:
        load_regions(path, PLACES["photo"])
    text = str(caught.value)
    assert str(path) in text
    assert "\n" not in text
    assert len(text) < 400


@pytest.mark.parametrize(
    ("member", "message"),
    [
        ({}, "is in urn:ogc:def:crs:OGC:1.3:CRS84, but the raster in urn:ogc:def:crs:EPSG::32750; save it"),
        (
            {"crs": crs_member("urn:ogc:def:crs:EPSG::32650")},
            "is in urn:ogc:def:crs:EPSG::32650, but the raster",
        ),
        ({"crs": crs_member("EPSG:banana")}, "crs EPSG:banana not understood"),
    ],
)
def test_another_reference_system_is_refused(member: dict[str, Any], message: str, write: Callable[..., Path]):
    outline = [list(point) for point in UTM.footprint()]
    path = write(collection(feature(outline, prompt="sea"), **member))
    with pytest.raises(ConfigurationError, match=message):
        load_regions(path, UTM)


@pytest.mark.parametrize("name", ["EPSG:32750", "urn:ogc:def:crs:EPSG::32750", CRS.from_epsg(32750).to_wkt()])
def test_names_of_the_same_reference_system_are_equal(name: str, write: Callable[..., Path]):
    outline = [list(point) for point in UTM.footprint()]
    path = write(collection(feature(outline, prompt="sea"), crs=crs_member(name)))
    assert load_prompts(path, UTM, TILES)[0].text == "sea"


def test_plain_geojson_fits_a_raster_in_degrees(write: Callable[..., Path]):
    outline = [list(point) for point in PLACES["degrees"].footprint()]
    path = write(collection(feature(outline, prompt="sea")))
    assert load_prompts(path, PLACES["degrees"], TILES)[5].text == "sea"


def test_missing_file_folder_and_huge_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    with pytest.raises(ConfigurationError, match="not found; give local, global, none or the path"):
        load_regions(tmp_path / "lokal", UTM)
    with pytest.raises(ConfigurationError, match="cannot be read"):
        load_regions(tmp_path, UTM)
    path = tmp_path / "big.geojson"
    with path.open("wb") as stream:
        stream.truncate(51_000_000)
    monkeypatch.setattr(geojson.json, "loads", lambda *_, **__: pytest.fail("a huge file was parsed"))
    with pytest.raises(ConfigurationError, match="51 MB; expected at most 50 MB"):
        load_regions(path, UTM)


def test_a_long_coastline_over_many_tiles(write: Callable[..., Path]):
    """20,000 points over 1,681 tiles: the shares still add up to the polygon's area."""
    angles = np.linspace(0, 2 * np.pi, 20_001)
    radius = 900 + 30 * np.sin(40 * angles)
    coast = np.stack([1000 + radius * np.cos(angles), 1000 + radius * np.sin(angles)], axis=1)
    coast[-1] = coast[0]
    geobox = GeoBox(size=Size(2050, 2050))
    tiles = [Tile(row, col, 50, 50) for row in range(0, 2050, 50) for col in range(0, 2050, 50)]
    path = write(collection(feature(coast.tolist(), prompt="sea")))
    loaded = load_prompts(path, geobox, tiles)
    sea = sum(each.text == "sea" and each.source == "file" for each in loaded)
    assert sea * 2500 == pytest.approx(np.pi * (900**2 + 30**2 / 2), rel=0.02)


@pytest.mark.parametrize("name", ["rasterio/rotated.tif", "rasterio/RGB.byte.tif", "rasterio/goes.tif"])
def test_real_rasters(name: str, data_dir: Path, tmp_path: Path):
    with rasterio.open(data_dir / "pack-eval" / "rasters" / name) as source:
        geobox = GeoBox(size=Size(*source.shape), transform=source.transform, crs=source.crs)
    tiles = [Tile(0, 0, 8, 8), Tile(2, 2, 8, 8)]
    prompts = [prompt_from_text("water, very noisy"), prompt_from_text("road")]
    save_prompts(tmp_path / "p.geojson", geobox, tiles, prompts)
    loaded = load_prompts(tmp_path / "p.geojson", geobox, tiles)
    assert [each.text for each in loaded] == ["water, very noisy", "road"]
