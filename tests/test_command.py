"""A command whose lines are wanted as they come, and which may be stopped."""

from __future__ import annotations

import os
import sys
import time

import pytest
from zido.plugin import command
from zido.zido_core.errors import Cancelled

PYTHON = [sys.executable, "-S", "-c"]


def test_lines_and_errors_go_to_the_log_but_for_those_used_up(tmp_path):
    code = "import sys; print('one'); print('Progress 1 of 2'); print('bad', file=sys.stderr); sys.exit(3)"
    heard = []

    def hear(line: str) -> bool:
        heard.append(line)
        return line.startswith("Progress")

    assert command.run([*PYTHON, code], log=tmp_path / "log", on_line=hear) == 3
    assert heard == ["one", "Progress 1 of 2"]
    written = (tmp_path / "log").read_text().splitlines()
    assert written[0].startswith("$ ")
    assert sorted(written[1:]) == ["bad", "one"]


def test_the_lines_of_an_answer_are_kept(tmp_path):
    answer = command.answer([*PYTHON, "print('a'); print('b')"], log=tmp_path / "log", cancelled=lambda: False)
    assert answer == ["a", "b"]


def test_the_environment_is_cleaned_and_has_what_is_added(tmp_path, monkeypatch):
    monkeypatch.setenv("PIP_TARGET", "/of/the/host")
    code = "import os; print(os.environ.get('PIP_TARGET'), os.environ['PIP_NO_INDEX'])"
    heard = []
    added = {"PIP_NO_INDEX": "1"}
    command.run([*PYTHON, code], log=tmp_path / "log", environment=added, on_line=lambda line: not heard.append(line))
    assert heard == ["None 1"]


@pytest.mark.skipif(os.name == "nt", reason="process groups of POSIX")
def test_a_stopped_command_is_gone_and_so_is_what_it_has_started(tmp_path):
    sleep = "import time; time.sleep(60)"
    code = (
        f"import subprocess, sys; child = subprocess.Popen([sys.executable, '-S', '-c', {sleep!r}]);"
        f"print(child.pid, flush=True); {sleep}"
    )
    heard = []
    with pytest.raises(Cancelled, match="nothing has changed"):
        command.run(
            [*PYTHON, code],
            log=tmp_path / "log",
            on_line=lambda line: not heard.append(line),
            cancelled=lambda: bool(heard),
        )
    deadline = time.monotonic() + 10
    while _lives(int(heard[0])) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not _lives(int(heard[0]))


def test_what_cannot_be_started_is_an_oserror(tmp_path):
    with pytest.raises(FileNotFoundError):
        command.run([str(tmp_path / "gone")], log=tmp_path / "log")


def _lives(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        pass
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return not os.path.isdir("/proc/self")
