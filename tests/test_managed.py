"""Environments are made, switched to and removed; whatever goes wrong, the one before stays."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest
from zido.plugin import candidates, installer, making, managed
from zido.plugin.torch_build import Build
from zido.zido_core import errors, job
from zido.zido_core.store_lock import StoreLock

CPU = Build(name="cpu", room=1000, title="the CPU build")
LINES = ("Collecting torch", "Progress 5 of 10", "Progress 10 of 10", "Installing collected packages: torch")
GOOD = {"name": "torch", "ok": True, "found": "2.13.0"}


class Pip:
    """venv, pip and doctor of a machine on which nothing is really installed."""

    def __init__(self) -> None:
        self.commands: list[list[str]] = []
        self.fails_at = ""
        self.checks = [GOOD]
        self.version = "pip 25.0 from x"

    def run(self, command: Sequence[str], *, log: Path, on_line=None, cancelled=None, environment=None) -> int:
        self.commands.append(list(command))
        self.environment = environment
        with log.open("a") as file:
            file.write("ERROR: No space left on device\n")
        if cancelled is not None and cancelled():
            raise errors.Cancelled("stopped")
        if "venv" in command:
            python = candidates.python_of(Path(command[-1]))
            python.parent.mkdir(parents=True)
            python.touch()
        if on_line is not None:
            for line in LINES:
                on_line(line)
        return int(bool(self.fails_at) and self.fails_at in " ".join(command))

    def answer(self, command: Sequence[str], *, log: Path, cancelled) -> list[str]:
        self.run(command, log=log, cancelled=cancelled)
        return [json.dumps({"checks": self.checks})] if "doctor" in command else [self.version]


@pytest.fixture
def pip(tmp_path, monkeypatch) -> Pip:
    fake = Pip()
    monkeypatch.setenv("ZIDO_HOME", str(tmp_path))
    monkeypatch.setattr(making, "run", fake.run)
    monkeypatch.setattr(making, "answer", fake.answer)
    monkeypatch.setattr(installer, "run", fake.run)
    monkeypatch.setattr(making, "make_wheel", lambda folder: folder / "zido.whl")
    monkeypatch.setattr(managed, "find_base", lambda base: base or "/usr/bin/python3")
    monkeypatch.setattr(managed, "build_for", lambda kind: CPU)
    names = iter(f"env-{number}" for number in range(9))
    monkeypatch.setattr(managed.time, "strftime", lambda form: next(names))
    return fake


def make(**given) -> Path:
    asked = {"wheelhouse": None, "base": None, "extras": (), "on_event": lambda event: None, "cancelled": bool}
    return managed.make("auto", **asked | given)


def environments() -> list[str]:
    return sorted(path.name for path in managed.folder().glob("env-*") if path.is_dir())


def test_an_environment_counts_when_it_is_complete(pip):
    python = make()
    assert managed.current() == managed.folder() / "env-0"
    assert python == candidates.python_of(managed.current())
    assert not (managed.current() / "tmp").exists()


def test_a_new_one_takes_the_place_of_the_old_one(pip):
    make()
    make()
    assert managed.current().name == "env-1"
    assert environments() == ["env-1"]


def test_packages_go_nowhere_but_into_the_environment(pip):
    make(base="/host/python", extras=("gui",))
    assert [each for each in pip.commands if each[0] == "/host/python"] == [
        ["/host/python", "-m", "venv", str(managed.folder() / "env-0")]
    ]
    installed = [each for each in pip.commands if "install" in each]
    assert [each[-1].rpartition("/")[2] for each in installed] == ["torch", "zido.whl[gui]"]
    assert all("--progress-bar" in each and "-c" in each for each in installed)


def test_a_pip_too_old_to_tell_of_downloads_is_replaced_first_if_that_can_be_done(pip):
    pip.version, pip.fails_at = "pip 23.2.1 from x", "--upgrade pip"
    make()
    assert managed.current() is not None
    assert any("--upgrade" in each for each in pip.commands)
    assert not any("--progress-bar" in each for each in pip.commands)


@pytest.mark.parametrize("step", ["-m venv", "install.* torch", "zido.whl"])
def test_what_fails_leaves_the_one_before_and_says_why(pip, step):
    make()
    pip.fails_at = step.replace("install.* ", "")
    with pytest.raises(errors.OutputFailed, match="the disk is full"):
        make()
    assert managed.current().name == "env-0"
    assert environments() == ["env-0"]
    assert (managed.folder() / "env-1.log").is_file()


def test_one_that_does_not_work_is_not_used(pip):
    make()
    pip.checks = [GOOD, {"name": "rasterio", "ok": False, "found": "does not load (ImportError: x)"}]
    with pytest.raises(errors.ModelMissing, match="rasterio does not load"):
        make()
    assert environments() == ["env-0"]


def test_a_full_disk_at_the_end_is_no_fault_of_the_environment(pip):
    pip.checks = [GOOD, {"name": "disk", "ok": False, "found": "1 GiB free"}]
    make()
    assert managed.current() is not None


def test_stopping_leaves_the_one_before(pip):
    make()
    asked = []
    with pytest.raises(errors.Cancelled):
        make(cancelled=lambda: asked.append(1) or len(asked) > 3)
    assert managed.current().name == "env-0"
    assert environments() == ["env-0"]


def test_what_was_never_finished_is_removed(pip):
    (managed.folder() / "env-killed" / "bin").mkdir(parents=True)
    make()
    assert environments() == ["env-0"]


def test_progress_never_goes_back_and_ends_at_all(pip):
    events: list[job.Event] = []
    make(on_event=events.append)
    done = [event.done for event in events if isinstance(event, job.Progress)]
    assert done == sorted(set(done))
    assert done[-1] == 1000
    stages = [event for event in events if isinstance(event, job.Stage)]
    assert [stage.index for stage in stages] == sorted(stage.index for stage in stages)
    assert stages[-1].index == stages[-1].count == 4


def test_without_room_nothing_begins(pip, monkeypatch):
    monkeypatch.setattr(managed, "build_for", lambda kind: Build(name="cpu", room=2**60, title="the CPU build"))
    with pytest.raises(errors.OutputFailed, match="GiB are free"):
        make()
    assert pip.commands == []


def test_a_folder_of_wheels_must_be_one(pip, tmp_path):
    with pytest.raises(errors.ConfigurationError, match="there is no folder"):
        make(wheelhouse=tmp_path / "gone")
    with pytest.raises(errors.ConfigurationError, match="no wheel of torch"):
        make(wheelhouse=tmp_path)
    (tmp_path / "torch-2.13.0-any.whl").touch()
    make(wheelhouse=tmp_path)
    assert managed.current() is not None


def test_zido_alone_is_renewed_without_the_network(pip):
    make()
    pip.commands.clear()
    assert managed.refresh() == candidates.python_of(managed.current())
    (command,) = pip.commands
    assert command[-1].endswith("zido.whl")
    assert pip.environment["PIP_NO_INDEX"] == "1"
    assert not (managed.current() / "tmp").exists()


def test_what_cannot_be_renewed_stays_as_it_is(pip):
    make()
    pip.fails_at = "zido.whl"
    with pytest.raises(errors.ZidoError):
        managed.refresh()
    assert managed.current() is not None


def test_there_must_be_something_to_renew(pip):
    with pytest.raises(errors.ModelMissing, match="let zido create one"):
        managed.refresh()


def test_nobody_waits_for_somebody_who_makes_an_environment(pip):
    make()
    with StoreLock(managed.folder() / "lock"), pytest.raises(errors.ConfigurationError, match="another process"):
        managed.refresh()


def test_removing_takes_all_of_it(pip):
    assert managed.remove() is False
    make()
    assert managed.remove() is True
    assert managed.current() is None
    assert environments() == []
