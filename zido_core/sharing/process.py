"""A process that computes blocks of a job: `block_server` on its side, this on ours.

::

    zido-core blocks OUTPUT.zido        a line "17" asks for a block; the end of the input ends the process at once
    {"ready": 4711}                     the model is loaded; or {"unable": ..., "kind": ...}
    {"block": 17, "work": 5120}         so much is done of it, at least twice a second
    {"block": 17, "end": "done"}        or "taken": somebody else computes it; or "failed", "kind": ..., "message": ...
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess  # nosec B404
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

COMMAND = (sys.executable, "-m", "zido_core", "blocks")
"""What starts one, with the work folder behind it."""

HOME = Path(__file__).resolve().parents[2]
"""Where that process finds zido."""

LEAVES_IN = 1.0
"""Seconds that it is given to leave by itself."""


class Lost(Exception):
    """The process has ended; says how."""


class Unable(Exception):
    """The process cannot do this job; says why."""


class Taken(Exception):
    """Somebody else is computing the block."""


class Failed(Exception):
    """The block could not be computed."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


class BlockProcess:
    """A context manager: the process, with the model loaded once it is entered."""

    def __init__(
        self,
        folder: Path,
        *,
        device: str | None = None,
        threads: int | None = None,
        command: Sequence[str] | None = None,
    ) -> None:
        """``device``: which of this machine, None for the job's; ``threads``: how many of its cores it may use."""
        words = () if device is None else ("--device", device)
        self._command = [*(command or COMMAND), str(folder), *words]
        self._environment = os.environ | {"PYTHONPATH": os.pathsep.join(_paths())}
        if threads is not None:
            self._environment["OMP_NUM_THREADS"] = str(threads)
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self._said = tempfile.TemporaryFile()
        # A list, which no shell sees; a session of its own, so that Ctrl-C reaches whoever started it alone.
        self._process = subprocess.Popen(  # nosec B603
            self._command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._said,
            env=self._environment,
            start_new_session=True,
        )
        try:
            answer = self._answer()
            if "ready" not in answer:
                raise Unable(answer.get("unable", "it gave no answer"))
        except BaseException:
            self._close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._close()

    def compute(
        self, index: int, told: Callable[[int], None] = lambda work: None, check: Callable[[], None] = lambda: None
    ) -> None:
        """Have a block computed and kept. ``told`` hears how much of it is done; ``check`` may raise meanwhile."""
        self._ask(index)
        while True:
            answer = self._answer()
            check()
            match answer.get("end"):
                case None:
                    told(int(answer.get("work", 0)))
                case "done":
                    return
                case "taken":
                    raise Taken
                case _:
                    raise Failed(answer["kind"], answer["message"])

    def end(self) -> None:
        """End the process, whatever it is doing: what is not complete is not there. Any thread may ask for it."""
        process = self._process
        if process is None or process.stdin is None:
            return
        with contextlib.suppress(OSError):
            process.stdin.close()
        try:
            process.wait(LEAVES_IN)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def _close(self) -> None:
        """End the process, and let go of what it said; only for the thread that asks it for blocks."""
        self.end()
        assert self._process is not None
        assert self._process.stdout is not None
        self._process.stdout.close()
        self._said.close()

    def _ask(self, index: int) -> None:
        assert self._process is not None
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(b"%d\n" % index)
            self._process.stdin.flush()
        except (OSError, ValueError) as error:
            raise Lost(self._end()) from error

    def _answer(self) -> dict[str, Any]:
        assert self._process is not None
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line.endswith(b"\n"):
            raise Lost(self._end())
        answer: dict[str, Any] = json.loads(line)
        return answer

    def _end(self) -> str:
        """How it ended, in words."""
        assert self._process is not None
        status = self._process.wait()
        self._said.seek(0)
        lines = self._said.read().decode(errors="replace").strip().splitlines()
        how = f"status {status}" if status >= 0 else _signal(-status)
        return f"it ended with {how}" + (f" ({lines[-1][:200]})" if lines else "")


def _signal(number: int) -> str:
    try:
        name = signal.Signals(number).name
    except ValueError:
        name = f"signal {number}"
    return f"{name}, perhaps for lack of memory" if name == "SIGKILL" else name


def _paths() -> list[str]:
    before = os.environ.get("PYTHONPATH", "")
    return [str(HOME), *([before] if before else [])]
