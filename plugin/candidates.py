"""Where Pythons may be on this machine. Nothing is run here."""

from __future__ import annotations

import itertools
import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

NAMES = ("python3", "python", *(f"python3.{minor}" for minor in (12, 13, 11, 14)))
"""What a Python may be called on PATH, in the order of trying."""


def python_of(folder: Path) -> Path:
    """The interpreter of a virtual environment."""
    return folder / "Scripts" / "python.exe" if os.name == "nt" else folder / "bin" / "python"


def on_path() -> Iterator[str]:
    """Pythons on PATH, that of the command ``zido`` first."""
    command = shutil.which("zido")
    if command is not None:
        # Tools like uv and pipx put a link on PATH; the Python lies beside what it leads to.
        beside = Path(command).resolve().parent
        yield from (str(beside / name) for name in ("python", "python.exe") if (beside / name).is_file())
    yield from _unique(_named())


def for_environments() -> Iterator[str]:
    """Pythons from which an environment may be made: the host's own, those on PATH, those in the usual places.

    Programs that are started by a click on macOS do not have the PATH of a terminal.
    """
    yield from _unique(itertools.chain(_of_the_host(), _named(), _usual_places()))


def _named() -> Iterator[str]:
    yield from filter(None, map(shutil.which, NAMES))


def _of_the_host() -> Iterator[str]:
    """The interpreter of this process. ``sys.executable`` is QGIS itself on Windows and macOS."""
    if Path(sys.executable or "").stem.lower().startswith("python"):
        yield sys.executable
    for name in ("python.exe", "bin/python3"):
        path = Path(sys.exec_prefix) / name
        if path.is_file():
            yield str(path)


def _usual_places() -> Iterator[str]:
    if os.name == "nt":
        roots = [os.environ.get("LOCALAPPDATA", "") + r"\Programs\Python", os.environ.get("PROGRAMFILES", ""), "C:\\"]
        patterns = [(Path(root), "Python3*/python.exe") for root in roots if root.strip("\\")]
    else:
        patterns = [
            (Path("/Library/Frameworks/Python.framework/Versions"), "3.*/bin/python3"),
            (Path("/opt/homebrew/bin"), "python3.1?"),
            (Path("/usr/local/bin"), "python3.1?"),
            (Path("/usr/bin"), "python3.1?"),
            (Path.home() / ".local" / "bin", "python3.1?"),
        ]
    for folder, pattern in patterns:
        yield from (str(path) for path in sorted(folder.glob(pattern), reverse=True) if os.access(path, os.X_OK))


def _unique(paths: Iterator[str]) -> Iterator[str]:
    """Each file once, under its first name; a virtual environment's own link to its base counts for itself."""
    seen: set[str] = set()
    for path in paths:
        folder = Path(path).parent
        key = os.path.abspath(path) if (folder.parent / "pyvenv.cfg").is_file() else os.path.realpath(path)
        if key not in seen:
            seen.add(key)
            yield path
