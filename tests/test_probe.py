"""What a Python says of itself, and what is said of one that says nothing."""

from __future__ import annotations

import os
import sys

import pytest
from zido.plugin import base_python, candidates, probe
from zido.zido_core import errors

from tests.fake_pythons import FACTS, fake_python, script

pytestmark = pytest.mark.skipif(os.name == "nt", reason="programs of a POSIX shell")


def facts(**changes) -> probe.Facts:
    told = FACTS | changes
    return probe.Facts(**told | {"version": tuple(told["version"]), "lacking": tuple(told["lacking"])})


def test_a_real_python_tells_what_it_is():
    told = probe.ask(sys.executable)
    assert told.version == sys.version_info[:3]
    assert told.bits == 64
    assert told.torch.startswith("2.")
    assert "torch" not in told.lacking


def test_the_environment_of_a_host_does_not_reach_it(monkeypatch):
    monkeypatch.setenv("PYTHONHOME", "/of/the/host")
    monkeypatch.setenv("PYTHONPATH", "/of/the/host")
    assert isinstance(probe.ask(sys.executable), probe.Facts)


def test_what_it_prints_besides_its_answer_does_no_harm(tmp_path):
    assert probe.ask(fake_python(tmp_path / "python", zido="9")).zido == "9"


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ("echo hello", "not a working Python"),
        ("exit 3", "exit code 3"),
        ('echo "{}"', "not a working Python"),
        ("echo []", "not a working Python"),
        ("sleep 30", "does not answer"),
    ],
)
def test_a_program_that_is_no_python_is_told(tmp_path, body, told):
    assert told in probe.ask(script(tmp_path / "python", f"exec {body}" if "sleep" in body else body), patience=1.0)


def test_a_file_that_cannot_be_run_is_told(tmp_path):
    (tmp_path / "text").write_text("text")
    assert "does not exist" in probe.ask(str(tmp_path / "nothing"))
    assert "may not be run" in probe.ask(str(tmp_path / "text"))


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({}, None),
        ({"version": [3, 10, 1]}, "zido needs 3.11 or newer"),
        ({"zido": ""}, "Python 3.12.4 without zido"),
        ({"lacking": ["torch", "rasterio"]}, "lacks torch, rasterio"),
    ],
)
def test_why_zido_cannot_work_in_it(changes, told):
    fault = probe.fault(facts(**changes))
    assert fault is None if told is None else told in fault


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({}, None),
        ({"zido": "", "lacking": ["torch"]}, None),
        ({"version": [3, 9, 18]}, "too old"),
        ({"bits": 32}, "32-bit"),
        ({"platform": "mingw_x86_64_ucrt"}, "no packages"),
        ({"can_make": False}, "apt install python3-venv"),
    ],
)
def test_why_no_environment_can_be_made_from_it(changes, told):
    fault = base_python.unfit(facts(**changes))
    assert fault is None if told is None else told in fault


def test_the_first_suitable_python_is_the_base(tmp_path, monkeypatch):
    paths = [fake_python(tmp_path / "old", version=[3, 9, 1]), fake_python(tmp_path / "new")]
    monkeypatch.setattr(candidates, "for_environments", lambda: iter(paths))
    assert base_python.find_base() == paths[1]


def test_without_a_suitable_python_each_is_named_and_what_to_install(tmp_path, monkeypatch):
    paths = [fake_python(tmp_path / "old", version=[3, 9, 1]), str(tmp_path / "gone")]
    monkeypatch.setattr(candidates, "for_environments", lambda: iter(paths))
    with pytest.raises(errors.ModelMissing, match=r"old is Python 3.9.1, too old; .*gone does not exist.*python\.org"):
        base_python.find_base()


def test_a_chosen_base_is_taken_or_refused(tmp_path):
    with pytest.raises(errors.ModelMissing, match="too old"):
        base_python.find_base(fake_python(tmp_path / "old", version=[3, 9, 1]))


def test_what_qgis_calls_its_executable_is_not_run_as_a_python(monkeypatch, tmp_path):
    monkeypatch.setattr(sys, "executable", str(tmp_path / "qgis-bin.exe"))
    monkeypatch.setattr(sys, "exec_prefix", str(tmp_path))
    fake_python(tmp_path / "python.exe")
    found = list(candidates.for_environments())
    assert found[0] == str(tmp_path / "python.exe")
    assert sys.executable not in found


def test_each_file_counts_once_but_a_virtual_environment_for_itself(tmp_path, monkeypatch):
    base = fake_python(tmp_path / "base" / "python3")
    (tmp_path / "base" / "python").symlink_to(base)
    venv = tmp_path / "venv" / "bin"
    venv.mkdir(parents=True)
    (venv.parent / "pyvenv.cfg").touch()
    (venv / "python3.12").symlink_to(base)
    monkeypatch.setenv("PATH", f"{tmp_path / 'base'}{os.pathsep}{venv}")
    assert list(candidates.on_path()) == [base, str(venv / "python3.12")]


def test_the_command_zido_on_path_leads_to_its_python(tmp_path, monkeypatch):
    tool = tmp_path / "tools" / "zido" / "bin"
    python = fake_python(tool / "python")
    script(tool / "zido", "exit 0")
    links = tmp_path / "links"
    links.mkdir()
    (links / "zido").symlink_to(tool / "zido")
    monkeypatch.setenv("PATH", str(links))
    assert list(candidates.on_path()) == [python]
