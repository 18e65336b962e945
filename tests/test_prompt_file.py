"""Prompts as the window edits them: what is read, what is kept, and that the worker understands the result."""

from __future__ import annotations

import json

import pytest
from zido.plugin import prompt_file
from zido.plugin.viewport import Box
from zido.zido_core.errors import ConfigurationError, OutputNotWritable

from zido_core.pipeline import tag


def feature(**properties):
    return {"type": "Feature", "properties": properties, "geometry": None}


@pytest.fixture
def path(tmp_path):
    tile = {"tile": 7, "row": 0, "col": 4, "height": 8, "width": 16}
    document = {
        "type": "FeatureCollection",
        "zido": {"format": 1},
        "features": [
            feature(**tile, prompt="road", tags=[{"name": "road", "score": 0.91}], negative=None),
            feature(prompt="my own", tags='[{"name": "water", "score": 1.0}]'),
            feature(),
        ],
    }
    path = tmp_path / "p.geojson"
    path.write_text(json.dumps(document))
    return path


def test_a_row_per_feature(path):
    file = prompt_file.read(path)
    assert len(file) == 3
    assert [file.name(row) for row in range(3)] == ["7", "1", "2"]
    assert [file.prompt(row) for row in range(3)] == ["road", "my own", ""]
    assert [file.tags(row) for row in range(3)] == ["road 91%", "water 100%", ""]
    assert [file.place(row) for row in range(3)] == [Box(0, 4, 8, 16), None, None]


def test_what_is_not_edited_stays_as_it_was(path, tmp_path):
    before = json.loads(path.read_text())
    file = prompt_file.read(path)
    file.set_prompt(1, "river")
    assert file.edited
    prompt_file.write(file, tmp_path / "new.geojson")
    assert not file.edited
    after = json.loads((tmp_path / "new.geojson").read_text())
    assert after["features"][1]["properties"].pop("prompt") == "river"
    before["features"][1]["properties"].pop("prompt")
    assert after == before


def test_the_same_text_is_no_edit(path):
    file = prompt_file.read(path)
    file.set_prompt(0, "road")
    assert not file.edited


@pytest.mark.parametrize(
    "content", ["", "[]", "{}", '{"features": 3}', '{"features": [{"properties": {"tags": [1]}}]}']
)
def test_other_files_are_refused_in_one_line(tmp_path, content):
    path = tmp_path / "other.json"
    path.write_text(content)
    with pytest.raises(ConfigurationError, match=r"other\.json is no file of prompts") as told:
        prompt_file.read(path)
    assert "\n" not in str(told.value)


def test_a_folder_that_is_not_there_is_told(path, tmp_path):
    with pytest.raises(OutputNotWritable, match="choose another folder"):
        prompt_file.write(prompt_file.read(path), tmp_path / "none" / "p.geojson")


def test_the_worker_hears_what_was_edited(make_raster, tmp_path):
    raster, saved, edited = make_raster(shape=(3, 64, 64)), tmp_path / "a.geojson", tmp_path / "b.geojson"
    tag(raster, save_prompts=str(saved))
    file = prompt_file.read(saved)
    file.set_prompt(0, "water; very noisy")
    prompt_file.write(file, edited)
    (prompt,) = tag(raster, prompts=str(edited))
    assert (prompt.text, prompt.source) == ("water; very noisy", "file")
