"""Asks the user, in zido's own window: another process, as GIMP's Python has no Qt.

The window ends when the pipe to it closes, hence also when GIMP ends this process.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess  # for the class of an error  # nosec B404
from dataclasses import dataclass
from pathlib import Path

from gi.repository import Gimp

from .. import plugin
from ..plugin.death import explain
from ..plugin.launch import new_log, spawn
from ..zido_core import errors
from ..zido_core.options import OPTIONS, Options
from .arguments import offered
from .work import Refused, Stopped, orphaned

POLL = 0.1
"""Seconds between two looks at the window."""

CLOSED = 1
"""How the window ends when the user closes it."""


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What the user wants."""

    options: Options
    """As chosen."""

    python: str
    """What is to do the work."""


def ask(python: str, image: Path, options: Options, folder: Path, title: str) -> Answer:
    """Show the window until the user has decided; ``options`` are what it begins with. Raises Stopped and Refused."""
    answer, begin = folder / "answer.json", folder / "options.json"
    begin.write_text(json.dumps(options.to_dict()), encoding="utf-8")
    program = str(Path(str(plugin.__file__)).parent)
    command = [python, program, str(image), "--answer", str(answer), "--options", f"@{begin}"]
    command += ["--title", title, "--python", python, "--without", ",".join(OPTIONS.keys() - offered().keys())]
    log = new_log()
    Gimp.progress_set_text("zido: waiting for its window")
    status = _follow(command, log)
    if status == CLOSED:
        raise Stopped
    try:
        told = json.loads(answer.read_text(encoding="utf-8"))
        return Answer(options=Options.from_dict(told["options"]), python=told["python"] or python)
    except (OSError, ValueError, KeyError, TypeError, errors.ZidoError):
        raise Refused(_why(status, log, python)) from None


def _follow(command: list[str], log: Path | None) -> int:
    try:
        process = spawn(command, log, _shown_on())
    except OSError as error:
        raise Refused(f"cannot start {command[0]}: {error.strerror}") from None
    with process:
        assert process.stdin is not None
        while not orphaned():
            with contextlib.suppress(subprocess.TimeoutExpired):
                return process.wait(POLL)
            Gimp.progress_pulse()
        process.stdin.close()
    raise Stopped


def _shown_on() -> dict[str, str]:
    """Where Qt shows windows, if somebody chose that: `spawn` takes GIMP's other variables away."""
    return {name: os.environ[name] for name in ("QT_QPA_PLATFORM",) if name in os.environ}


def _why(status: int, log: Path | None, python: str) -> str:
    tail = log.read_text(encoding="utf-8", errors="replace").splitlines()[-20:] if log else []
    said = next((line.removeprefix("zido: ") for line in reversed(tail) if line.startswith("zido: ")), None)
    return said or explain(status, tail, python).message.replace("zido's worker", "zido's window")
