"""Which Python is taken for the worker, and what is said if there is none."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from zido.plugin import candidates, environment, managed
from zido.zido_core import __version__, errors, job

from tests.fake_pythons import fake_python

pytestmark = pytest.mark.skipif(os.name == "nt", reason="programs of a POSIX shell")


@pytest.fixture(autouse=True)
def machine(tmp_path, monkeypatch):
    """A machine without any Python; its folders."""
    monkeypatch.setenv("ZIDO_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("PATH", str(tmp_path / "path"))
    monkeypatch.delenv("ZIDO_PYTHON", raising=False)
    monkeypatch.setattr(environment, "ROOT", tmp_path / "plugin")
    (tmp_path / "plugin").mkdir()
    return tmp_path


def put(machine: Path, origin: str, monkeypatch, **facts) -> str:
    """A Python where it is found under that origin."""
    place = {
        "managed": machine / "home" / "environments" / "env-1" / "bin" / "python",
        "PATH": machine / "path" / "python3",
    }.get(origin, machine / origin)
    python = fake_python(place, **{"zido": __version__} | facts)
    if origin == "ZIDO_PYTHON":
        monkeypatch.setenv("ZIDO_PYTHON", python)
    elif origin == "note":
        (machine / "plugin" / environment.NOTE).write_text(f"{python}\n")
    elif origin == "managed":
        (machine / "home" / "environments" / "current").write_text("env-1")
    return python


ORDER = ("ZIDO_PYTHON", "note", "managed", "PATH")


@pytest.mark.parametrize("first", range(len(ORDER)))
def test_the_first_in_the_order_is_taken(machine, monkeypatch, first):
    pythons = {origin: put(machine, origin, monkeypatch) for origin in ORDER[first:]}
    found = environment.find()
    assert (found.origin, found.python) == (ORDER[first], pythons[ORDER[first]])


def test_a_python_in_the_settings_comes_before_all(machine, monkeypatch):
    put(machine, "ZIDO_PYTHON", monkeypatch)
    chosen = put(machine, "setting", monkeypatch)
    found = environment.find(chosen)
    assert (found.origin, found.python, found.version) == ("setting", chosen, "Python 3.12.4")


@pytest.mark.parametrize(("origin", "told"), [("setting", "in the settings"), ("ZIDO_PYTHON", "variable ZIDO_PYTHON")])
def test_what_the_user_names_is_taken_or_refused_and_nothing_else_is_tried(machine, monkeypatch, origin, told):
    put(machine, "PATH", monkeypatch)
    chosen = put(machine, origin, monkeypatch, lacking=["rasterio"])
    missing = environment.find(chosen if origin == "setting" else None)
    assert isinstance(missing, environment.Missing)
    assert told in missing.reason
    assert "lacks rasterio" in missing.reason


def test_a_note_that_leads_nowhere_is_passed_over(machine, monkeypatch):
    (machine / "plugin" / environment.NOTE).write_text("/gone/python\n")
    python = put(machine, "PATH", monkeypatch)
    assert environment.find().python == python


def test_without_a_python_it_is_said_what_was_looked_at_and_what_to_do(machine, monkeypatch):
    put(machine, "PATH", monkeypatch, zido="")
    (machine / "plugin" / environment.NOTE).write_text("/gone/python\n")
    missing = environment.find()
    assert [line.partition(" ")[2] for line in missing.looked] == ["does not exist", "is Python 3.12.4 without zido"]
    assert missing.reason
    assert "create" in missing.advice
    assert str(missing) == f"{missing.reason} {missing.advice}"


@pytest.mark.parametrize(("zido", "older"), [(__version__, False), ("0.0.9", True), ("99.0", False)])
def test_an_older_zido_is_noticed_and_works_all_the_same(machine, monkeypatch, zido, older):
    put(machine, "PATH", monkeypatch, zido=zido)
    assert environment.find().is_older is older


@pytest.mark.parametrize("origin", ["managed", "PATH"])
def test_only_zidos_own_environment_is_brought_up_to_date(machine, monkeypatch, origin):
    old = put(machine, origin, monkeypatch, zido="0.0.9")
    renewed = []

    def refresh() -> Path:
        renewed.append(old)
        return Path(fake_python(Path(old), zido=__version__))

    monkeypatch.setattr(managed, "refresh", refresh)
    found = environment.find()
    assert bool(renewed) is (found.zido == __version__) is (origin == "managed")
    assert found.python == old


def test_an_environment_that_cannot_be_renewed_is_taken_as_it_is(machine, monkeypatch):
    def refresh() -> Path:
        raise errors.DownloadFailed("there is no newpackage")

    put(machine, "managed", monkeypatch, zido="0.0.9")
    monkeypatch.setattr(managed, "refresh", refresh)
    assert environment.find().zido == "0.0.9"


def test_creating_hands_on_what_was_asked_and_returns_the_python(machine, monkeypatch):
    asked = {}

    def make(kind, **given):
        asked.update(given, kind=kind)
        given["on_event"](job.Stage(name="making"))
        return Path(put(machine, "managed", monkeypatch))

    monkeypatch.setattr(managed, "make", make)
    events = []
    found = environment.create("cpu", wheelhouse="wheels", on_event=events.append)
    assert found.origin == "managed"
    assert asked["kind"] == "cpu"
    assert asked["wheelhouse"] == Path("wheels").absolute()
    assert asked["cancelled"]() is False
    assert events == [job.Stage(name="making")]


def test_an_environment_that_does_not_answer_is_an_error(machine, monkeypatch):
    monkeypatch.setattr(managed, "make", lambda kind, **given: machine / "gone")
    with pytest.raises(errors.ModelMissing, match="does not exist; make it again"):
        environment.create()


def test_the_interpreter_of_an_environment_lies_where_venv_puts_it(tmp_path):
    assert candidates.python_of(tmp_path).parent.name == "bin"
