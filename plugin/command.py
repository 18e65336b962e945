"""Runs a command whose lines are wanted as they come, and which may be stopped. Not a worker: nothing is said to it."""

from __future__ import annotations

import contextlib
import os
import queue
import signal
import subprocess  # for the class of an error  # nosec B404
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from ..zido_core.errors import Cancelled
from .launch import spawn

POLL = 0.1
"""Seconds between two looks at whether somebody wants to stop."""

GRACE = 3.0
"""Seconds for a stopped command to end by itself."""


def run(
    command: Sequence[str],
    *,
    log: Path,
    environment: Mapping[str, str] | None = None,
    on_line: Callable[[str], bool] = lambda line: False,
    cancelled: Callable[[], bool] = lambda: False,
) -> int:
    """Run it to its end; returns its exit code. What it writes goes to the log, but lines that ``on_line`` has used up.

    Raises Cancelled when it was stopped and is gone, and OSError if it cannot be started.
    """
    _note(log, f"$ {' '.join(command)}")
    process = spawn(command, log, environment or {})
    lines: queue.SimpleQueue[str | None] = queue.SimpleQueue()
    reader = threading.Thread(target=_read, args=(process, lines), name="zido command", daemon=True)
    reader.start()
    try:
        while True:
            if cancelled():
                raise Cancelled("stopped on request; nothing has changed")
            with contextlib.suppress(queue.Empty):
                line = lines.get(timeout=POLL)
                if line is None:
                    return process.wait()
                if not on_line(line):
                    _note(log, line)
    finally:
        _end(process)
        reader.join(GRACE)


def answer(command: Sequence[str], *, log: Path, cancelled: Callable[[], bool]) -> list[str]:
    """The lines that a command writes, however it ends."""
    lines: list[str] = []

    def keep(line: str) -> bool:
        lines.append(line)
        return False

    run(command, log=log, on_line=keep, cancelled=cancelled)
    return lines


def _read(process: subprocess.Popen[bytes], lines: queue.SimpleQueue[str | None]) -> None:
    with contextlib.suppress(OSError, ValueError), process:
        if process.stdin is not None:
            process.stdin.close()
        for line in process.stdout or ():
            lines.put(line.decode("utf-8", "replace").rstrip())
    lines.put(None)


def _end(process: subprocess.Popen[bytes]) -> None:
    """See to it that the command and what it has started are gone."""
    for number in (signal.SIGTERM, getattr(signal, "SIGKILL", signal.SIGTERM)):
        if process.poll() is not None:
            return
        with contextlib.suppress(OSError):
            if os.name == "nt":
                process.terminate()
            else:
                os.killpg(process.pid, number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(GRACE)


def _note(log: Path, line: str) -> None:
    with contextlib.suppress(OSError), log.open("a", encoding="utf-8") as file:
        print(line, file=file)
