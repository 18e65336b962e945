"""From a raster to one prompt per tile: tagger, file, user; and what the network is told."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio

import zido_core
from tests.conftest import UTM, smooth_pixels
from tests.rasters import DIFFUSED
from zido_core import prompting
from zido_core.catalog import MINI
from zido_core.errors import Cancelled, ConfigurationError, InvalidOptions
from zido_core.job import CancelToken
from zido_core.options import Options, resolve
from zido_core.prompting import prompts_of
from zido_core.prompts.base import Prompt, Tag
from zido_core.raster.reader import open_source
from zido_core.render import Bank
from zido_core.setup import prepare
from zido_core.survey import survey

TILES = {"tile_size": 256, "tile_overlap": 64, "device": "cpu"}


class Recorder:
    """A tagger that says where a tile is and how bright."""

    def __init__(self) -> None:
        self.images: list[np.ndarray] = []

    def tag(self, image: np.ndarray, tiles: Any) -> list[Prompt]:
        self.images.append(image)
        means = [image[:, *tile.slices].mean() for tile in tiles]
        return [Prompt(text=f"{mean:.4f}", tags=(Tag("dark", float(mean)),)) for mean in means]


@pytest.fixture
def recorder(monkeypatch: pytest.MonkeyPatch) -> Recorder:
    tagger = Recorder()
    monkeypatch.setattr(prompting, "tagger_for", lambda options: tagger)
    return tagger


def test_each_tile_is_tagged_by_its_own_pixels(make_raster, recorder) -> None:
    source = make_raster(shape=(3, 150, 100), **UTM)
    prompts = zido_core.tag(source, **TILES)
    pixels = _unit(source)
    rows, cols = (0, 43, 86), (0, 36)
    assert [each.text for each in prompts] == [
        f"{pixels[:, row : row + 64, col : col + 64].mean():.4f}" for row in rows for col in cols
    ]
    assert [image.shape for image in recorder.images] == [(3, 64, 100)] * 3  # a row of tiles at a time


def test_tiles_of_a_wide_raster_are_tagged_a_few_at_a_time(make_raster, recorder, monkeypatch) -> None:
    source = make_raster(shape=(3, 64, 300), **UTM)
    together = zido_core.tag(source, **TILES)
    monkeypatch.setattr(prompting, "STRIP_TILES", 2)
    assert zido_core.tag(source, **TILES) == together
    assert [image.shape[2] for image in recorder.images] == [300, 111, 111, 112]


def _unit(path: Path) -> np.ndarray:
    with rasterio.open(path) as dataset:
        return dataset.read() / np.float32(255)


def test_the_middle_speaks_for_all(make_raster, recorder) -> None:
    prompts = zido_core.tag(make_raster(shape=(3, 150, 100), **UTM), prompts="global", **TILES)
    assert len(prompts) == 6
    assert len({each.text for each in prompts}) == 1
    assert [image.shape for image in recorder.images] == [(3, 150, 100)]


def test_nothing_is_said(make_raster, recorder) -> None:
    prompts = zido_core.tag(make_raster(shape=(3, 150, 100), **UTM), prompts="none", **TILES)
    assert {each.text for each in prompts} == {""}
    assert recorder.images == []


def test_gaps_are_not_shown_to_the_tagger(make_raster, recorder) -> None:
    pixels = smooth_pixels((3, 64, 64), "float32")
    pixels[:, :32] = -9999
    zido_core.tag(make_raster(pixels, nodata=-9999, **UTM), **TILES)
    (image,) = recorder.images
    assert np.isfinite(image).all()
    assert image[:, :20].std() < 0.3
    assert image[:, :20].min() > 0.2


def test_tagging_can_be_stopped(make_raster, recorder) -> None:
    token = CancelToken()
    token.cancel()
    with open_source(make_raster(shape=(3, 150, 100), **UTM)) as source:
        setup = prepare(source, None, Options(**TILES), to_file=False)
        with pytest.raises(Cancelled):
            prompts_of(source, setup, survey(source, setup), token)


def test_the_users_words_come_last(make_raster, recorder) -> None:
    prompts = zido_core.tag(
        make_raster(shape=(3, 64, 64), **UTM), prompt="farm houses", negative_prompt="blurred", **TILES
    )
    assert prompts[0].text.endswith(", farm houses")
    assert prompts[0].negative == "blurred"


@pytest.mark.parametrize("place", [UTM, {}])
def test_saved_prompts_give_the_same_result_again(example_raster, make_raster, upscaler, tmp_path, place) -> None:
    with rasterio.open(example_raster) as dataset:
        source = make_raster(dataset.read()[:, 40:100, 40:120], **place)
    saved, quick = tmp_path / "prompts.geojson", {**DIFFUSED, "fidelity": 0.0}
    first = upscaler.upscale(source, tmp_path / "a.tif", save_prompts=str(saved), **quick)
    again = upscaler.upscale(source, tmp_path / "b.tif", prompts=str(saved), **quick)
    with rasterio.open(first.path) as one, rasterio.open(again.path) as two:
        assert (one.read() == two.read()).all()
    assert first.manifest["prompts"] == again.manifest["prompts"]
    assert len(json.loads(saved.read_text())["features"]) == first.manifest["tiles"]


def test_a_drawn_region_speaks_for_its_tiles(make_raster, tmp_path) -> None:
    source, drawn = make_raster(shape=(3, 64, 200), **UTM), tmp_path / "drawn.geojson"
    left, top = UTM["transform"] * (0, 0)
    right, bottom = UTM["transform"] * (70, 64)
    ring = [[left, top], [left, bottom], [right, bottom], [right, top], [left, top]]
    feature = {
        "type": "Feature",
        "properties": {"prompt": "a lake"},
        "geometry": {"type": "Polygon", "coordinates": [ring]},
    }
    crs = {"type": "name", "properties": {"name": "urn:ogc:def:crs:EPSG::32750"}}
    drawn.write_text(json.dumps({"type": "FeatureCollection", "crs": crs, "features": [feature]}))
    prompts = zido_core.tag(source, prompts=str(drawn), **TILES)
    assert [each.text == "a lake" for each in prompts] == [True, False, False, False]


@pytest.mark.parametrize("content", [None, "", "[]", "{", '{"type": "FeatureCollection", "features": [1]}'])
def test_a_wrong_prompts_file_is_found_before_any_work(make_raster, tmp_path, content: str | None) -> None:
    file = tmp_path / "prompts.geojson"
    if content is not None:
        file.write_text(content)
    with pytest.raises(ConfigurationError, match=r"prompts\.geojson"):
        zido_core.plan(make_raster(**UTM), prompts=str(file), **TILES)


def test_an_unknown_tagger_is_refused() -> None:
    with pytest.raises(InvalidOptions, match="tagger"):
        Options(tagger="oracle")


def bank(prompts: list[Prompt], **options: Any) -> Bank:
    return Bank.of(prompts, resolve(Options(**options), MINI, "photo"))


def test_equal_prompts_are_told_once() -> None:
    said = bank([Prompt(text="a"), Prompt(text="b"), Prompt(text="a", source="file", negative="c")])
    assert [prompt.text for prompt in said.prompts] == ["a", "b"]
    assert said.plan.positive == (0, 1, 0)
    assert said.plan.negative is None


def test_negatives_are_told_only_under_guidance() -> None:
    said = bank([Prompt(text="a", negative="x"), Prompt(text="b")], guidance_scale=2.0, negative_prompt="noisy")
    assert [prompt.text for prompt in said.prompts] == ["a", "b", "x", "noisy"]
    assert (said.plan.positive, said.plan.negative) == ((0, 1), (2, 3))


def test_what_taggers_saw_makes_prompts_differ() -> None:
    seen = [np.zeros((2, 3), np.float32), np.ones((2, 3), np.float32)]
    said = bank([Prompt(text="a", embedding=each) for each in (seen[0], seen[1], seen[0])], guidance_scale=2.0)
    assert said.plan.positive == (0, 1, 0)
    assert [prompt.embedding is seen[i] for i, prompt in zip((0, 1), said.prompts[:2], strict=True)] == [True] * 2
    assert len(said.prompts) == 4
