"""From inputs and an output to jobs."""

from __future__ import annotations

from pathlib import Path

import pytest

from zido_core.errors import BadInput, InputNotFound, InvalidOptions, OutputNotWritable
from zido_core.naming import default_output, jobs_for
from zido_core.options import Options


@pytest.mark.parametrize(
    ("source", "options", "name"),
    [
        ("a.tif", {}, "a_x4.tif"),
        ("dir/a.b.TIF", {}, "dir/a.b_x4.TIF"),
        ("a.png", {"scale": 2}, "a_x2.png"),
        ("a.jpg", {"scale": 2.5}, "a_x2.5.jpg"),
        ("a.jpg", {"cog": True}, "a_x4.tif"),
        ("a.jp2", {}, "a_x4.tif"),
        ("a", {}, "a_x4.tif"),
        ("https://example.org/data/a.tif?key=1", {}, "a_x4.tif"),
        ("/vsizip/b.zip/a.png", {}, "a_x4.png"),
    ],
)
def test_the_output_is_named_after_the_input(source, options, name):
    assert default_output(source, Options(**options)) == Path(name)


@pytest.fixture
def folder(tmp_path):
    for name in ("b.png", "a.tif", "notes.txt", ".hidden.tif", "c.JPG"):
        (tmp_path / "in" / name).parent.mkdir(exist_ok=True)
        (tmp_path / "in" / name).touch()
    return tmp_path / "in"


def outputs(jobs):
    return [job.output for job in jobs]


def test_one_input_goes_where_it_is_told_or_beside_itself(tmp_path):
    assert outputs(jobs_for(["a.tif"], None, Options())) == ["a_x4.tif"]
    assert outputs(jobs_for(["a.tif"], "b.png", Options())) == ["b.png"]
    assert outputs(jobs_for(["a.tif"], str(tmp_path), Options())) == [str(tmp_path / "a_x4.tif")]
    assert outputs(jobs_for(["a.tif"], f"{tmp_path}/new/", Options())) == [str(tmp_path / "new" / "a_x4.tif")]
    assert (tmp_path / "new").is_dir()


def test_a_folder_gives_its_pictures_in_order(folder, tmp_path):
    jobs = jobs_for([str(folder)], str(tmp_path / "out"), Options())
    assert [Path(job.input).name for job in jobs] == ["a.tif", "b.png", "c.JPG"]
    assert outputs(jobs) == [str(tmp_path / "out" / name) for name in ("a_x4.tif", "b_x4.png", "c_x4.JPG")]


def test_several_inputs_without_an_output_stay_beside_themselves():
    assert outputs(jobs_for(["a.tif", "b/c.tif"], None, Options())) == ["a_x4.tif", str(Path("b/c_x4.tif"))]


def test_a_folder_needs_an_output(folder):
    with pytest.raises(InvalidOptions, match="-o FOLDER"):
        jobs_for([str(folder)], None, Options())


def test_a_folder_without_pictures_is_told(tmp_path):
    with pytest.raises(InputNotFound, match="it is empty"):
        jobs_for([str(tmp_path)], str(tmp_path / "out"), Options())
    (tmp_path / "notes.txt").touch()
    with pytest.raises(InputNotFound, match="no picture or raster"):
        jobs_for([str(tmp_path)], str(tmp_path / "out"), Options())


def test_several_inputs_need_a_folder_as_output(tmp_path):
    with pytest.raises(InvalidOptions, match="several inputs need a folder"):
        jobs_for(["a.tif", "b.tif"], str(tmp_path / "c.tif"), Options())


def test_an_output_folder_that_cannot_be_made_is_told(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(OutputNotWritable, match="cannot make the folder"):
        jobs_for(["a.tif", "b.tif"], str(tmp_path / "file" / "out"), Options())


def test_two_inputs_never_become_one_file(tmp_path):
    with pytest.raises(BadInput, match="would both become"):
        jobs_for(["x/a.tif", "y/a.tif"], str(tmp_path), Options())
