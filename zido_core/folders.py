"""Where zido keeps things on this machine: what it should not lose, and what may be deleted at any time."""

from __future__ import annotations

import os
import sys
from pathlib import Path

WORK_SUFFIX = ".zido"
"""What the name of an output gets: the folder of its unfinished work."""

WORK_FILE = "job.json"
"""The file that makes such a folder one: it says what is to be done."""


def home() -> Path:
    """The folder of everything that zido keeps; ``ZIDO_HOME`` says which."""
    chosen = os.environ.get("ZIDO_HOME")
    if chosen:
        return Path(chosen)
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local") / "zido"
    return Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share") / "zido"


def cache_folder() -> Path:
    """Where zido remembers things that may be deleted at any time; ``ZIDO_CACHE`` says otherwise."""
    fallback = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(os.environ.get("ZIDO_CACHE") or Path(fallback) / "zido")


def unfinished_work(output: str) -> str | None:
    """The folder with what is done of an output, from which it can be continued; None where there is no such work."""
    folder = os.path.realpath(output) + WORK_SUFFIX
    return folder if os.path.exists(os.path.join(folder, WORK_FILE)) else None
