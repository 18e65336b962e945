"""From inputs and an output to jobs."""

from __future__ import annotations

from pathlib import Path

import pytest

from zido_core.errors import InputNotFound, InvalidOptions, OutputNotWritable
from zido_core.job import Job
from zido_core.naming import jobs_for
from zido_core.options import Options


@pytest.fixture
def folder(tmp_path):
    for name in ("b.png", "a.tif", "notes.txt", ".hidden.tif", "c.JPG"):
        (tmp_path / "in" / name).parent.mkdir(exist_ok=True)
        (tmp_path / "in" / name).touch()
    return tmp_path / "in"


@pytest.mark.parametrize("output", [None, "b.png", "."])
def test_one_input_keeps_the_output_that_was_said(output):
    options = Options(scale=2)
    assert jobs_for(["a.tif"], output, options) == [Job(input="a.tif", output=output, options=options)]


def test_a_slash_makes_a_folder(tmp_path):
    jobs_for(["a.tif"], f"{tmp_path}/deep/new/", Options())
    assert (tmp_path / "deep" / "new").is_dir()


def test_a_folder_gives_its_pictures_in_order(folder, tmp_path):
    jobs = jobs_for([str(folder)], str(tmp_path / "out"), Options())
    assert [Path(job.input).name for job in jobs] == ["a.tif", "b.png", "c.JPG"]
    assert {job.output for job in jobs} == {str(tmp_path / "out")}
    assert (tmp_path / "out").is_dir()


def test_several_inputs_without_an_output_stay_beside_themselves():
    assert [job.output for job in jobs_for(["a.tif", "b/c.tif"], None, Options())] == [None, None]


def test_a_folder_needs_an_output_that_is_another_folder(folder):
    with pytest.raises(InvalidOptions, match="-o FOLDER"):
        jobs_for([str(folder)], None, Options())
    with pytest.raises(InvalidOptions, match="folder of the inputs"):
        jobs_for([str(folder)], f"{folder}/", Options())


def test_a_folder_without_pictures_is_told(tmp_path):
    (tmp_path / "in").mkdir()
    with pytest.raises(InputNotFound, match="it is empty"):
        jobs_for([str(tmp_path / "in")], str(tmp_path / "out"), Options())
    (tmp_path / "in" / "notes.txt").touch()
    with pytest.raises(InputNotFound, match="no picture or raster"):
        jobs_for([str(tmp_path / "in")], str(tmp_path / "out"), Options())


@pytest.mark.parametrize("name", ["new.tif", "there"])
def test_several_inputs_need_a_folder_as_output(tmp_path, name):
    (tmp_path / "there").touch()
    with pytest.raises(InvalidOptions, match="several inputs need a folder"):
        jobs_for(["a.tif", "b.tif"], str(tmp_path / name), Options())


def test_an_output_folder_that_cannot_be_made_is_told(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(OutputNotWritable, match="cannot make the folder"):
        jobs_for(["a.tif", "b.tif"], str(tmp_path / "file" / "out"), Options())
