"""How fast this machine has been, remembered between runs: what a plan's time is worked out from."""

from __future__ import annotations

import contextlib
import json
import os

from .folders import cache_folder

LEAST = 1.0
"""Seconds below which a run tells nothing about larger ones."""


def expected(kind: str, work: int) -> float | None:
    """Seconds that so many units of a kind of work should take; None before the first such run."""
    pace = _read().get(kind)
    return None if pace is None else pace * work


def remember(kind: str, work: int, seconds: float) -> None:
    """Note the pace of a finished run; failing to write it is no failure."""
    if seconds < LEAST or work < 1:
        return
    paces = _read() | {kind: seconds / work}
    with contextlib.suppress(OSError, RuntimeError):  # also where there is no home
        folder = cache_folder()
        folder.mkdir(parents=True, exist_ok=True)
        part = folder / f"pace.json.{os.getpid()}"
        part.write_text(json.dumps(paces))
        part.replace(folder / "pace.json")


def _read() -> dict[str, float]:
    with contextlib.suppress(OSError, RuntimeError, ValueError, AttributeError, TypeError):
        paces = json.loads((cache_folder() / "pace.json").read_text())
        return {str(name): float(pace) for name, pace in paces.items()}
    return {}
