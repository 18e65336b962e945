"""A screen that nobody sees, with a mouse and a keyboard."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

T = TypeVar("T")

PATIENCE = 120.0
"""Seconds for anything to happen on it; programs start slowly on a busy machine."""


class Screen:
    """An X server of its own; a context. Programs in a chroot reach it, too, as they share the network."""

    def __enter__(self) -> Self:
        number, told = os.pipe()
        # Without -noreset it starts anew whenever the last program leaves, and turns away who comes meanwhile.
        options = ["-noreset", "-screen", "0", "1280x900x24", "-ac", "-nolisten", "tcp"]
        command = ["Xvfb", "-displayfd", str(told), *options]
        self._server = subprocess.Popen(command, pass_fds=[told], stderr=subprocess.DEVNULL)
        os.close(told)
        with os.fdopen(number) as line:
            self.display = f":{line.readline().strip()}"
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.terminate()
        self._server.wait()

    def click(self, x: int, y: int) -> None:
        """Press and release the left button there."""
        self._do("mousemove", str(x), str(y), "click", "1")

    def keys(self, process: subprocess.Popen[str], window: str, *keys: str) -> None:
        """Press keys in the window with that name, once the process shows it."""
        found = until(lambda: self._do("search", "--name", f"^{window}").split(), process=process)
        self._do("windowfocus", "--sync", found[-1])
        time.sleep(0.5)  # on a busy machine a window is there before it listens
        for key in keys:
            self._do("key", "--delay", "50", key)
            time.sleep(0.3)

    def picture(self, path: Path) -> Path:
        """What is to be seen, as a PNG file."""
        subprocess.run(["import", "-display", self.display, "-window", "root", str(path)], check=True)
        return path

    def _do(self, *arguments: str) -> str:
        variables = {**os.environ, "DISPLAY": self.display}
        done = subprocess.run(["xdotool", *arguments], env=variables, capture_output=True, text=True, check=False)
        return done.stdout


def until(condition: Callable[[], T], patience: float = PATIENCE, *, process: subprocess.Popen[str] | None = None) -> T:
    """Wait for it, and return what it gives; fails if nothing comes, or the process ends before."""
    end = time.monotonic() + patience
    while time.monotonic() < end:
        found = condition()
        if found:
            return found
        if process is not None and process.poll() is not None:
            raise AssertionError(f"ended with code {process.returncode}: {process.communicate()}")
        time.sleep(0.05)
    raise AssertionError(f"not so after {patience:g} s")
