"""How long work takes: what is left of a run by its own pace, and of a plan by that of earlier runs."""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Callable

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


class Eta:
    """Seconds left, from the recent pace: what lies a tenth of the work back counts half."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._last: tuple[float, int] | None = None
        self._pace: float | None = None

    def update(self, done: int, total: int) -> float | None:
        """Seconds left when ``done`` of ``total`` units are done; None until two readings differ."""
        now = self._clock()
        if self._last is None:
            self._last = (now, done)
        before, already = self._last
        if done > already:
            pace = (now - before) / (done - already)
            fresh = 1.0 if self._pace is None else 1.0 - 0.5 ** (10 * (done - already) / max(total, 1))
            self._pace = pace if self._pace is None else self._pace + fresh * (pace - self._pace)
            self._last = (now, done)
        return None if self._pace is None else self._pace * max(total - done, 0)
