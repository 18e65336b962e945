"""How long the window stands still at the most, from opening it to closing it, with the embedded model at work.

    QT_QPA_PLATFORM=offscreen python benchmarks/window.py [RASTER] [--preset balanced]

A timer of the window ticks every 10 ms; what is printed is the longest time between two ticks in each part of a visit.
Fails if one is longer than 200 ms.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

LIMIT = 0.2
"""Seconds between two ticks, longest."""

TICK = 10
"""Milliseconds."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("raster", nargs="?", default=str(ROOT / "examples" / "houses.tif"))
    parser.add_argument("--preset", default="balanced")
    chosen = parser.parse_args()
    os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
    from tests.as_host import load_as_host

    load_as_host()
    with tempfile.TemporaryDirectory() as folder:
        os.environ["ZIDO_CONFIG"] = folder
        longest = visit(chosen.raster, chosen.preset, Path(folder) / "out.tif")
    for name, (gap, seconds) in longest.items():
        print(f"{name:<10} {1000 * gap:6.0f} ms at the longest, in {seconds:5.1f} s")
    worst = max(gap for gap, _ in longest.values())
    sys.exit(f"the window stood still for {1000 * worst:.0f} ms" if worst > LIMIT else 0)


def visit(raster: str, preset: str, out: Path) -> dict[str, tuple[float, float]]:
    """Open, preview, upscale, compare, fade, read prompts, close; longest gap and duration of each."""
    from zido.plugin.dialog import Dialog
    from zido.plugin.qt import application

    application("zido")
    dialog = Dialog(own_python=sys.executable)
    page, watch = dialog.compare, Watch(dialog)
    dialog.show()

    def prepare() -> None:
        dialog.form.fields["preset"].show(preset)
        dialog.form.output.show_path(str(out))
        dialog.open_input(raster)

    def compare() -> None:
        for button in page.modes.values():
            button.click()
            for step in range(10):
                page.view.zoom_to(1.0 + step)

    def idle() -> bool:
        return not dialog.running

    watch.during("opening", prepare, lambda: dialog.buttons.go.isEnabled() and page.pictures.frame is not None)
    watch.during("preview", page.preview.click, idle)
    watch.during("run", dialog.buttons.go.click, idle)
    watch.during("comparing", compare, lambda: True)
    watch.during("fading", lambda: page.slider.setValue(50), idle)
    watch.during("prompts", dialog.prompts.read.click, idle)
    watch.during("closing", dialog.accept, lambda: not dialog.isVisible())
    return watch.longest


class Watch:
    """Notes the gaps between the ticks of a timer of a window."""

    def __init__(self, window: Any) -> None:
        from zido.plugin.qt import QtCore

        self.longest: dict[str, tuple[float, float]] = {}
        self._core, self._last, self._gap = QtCore, time.monotonic(), 0.0
        self._timer = QtCore.QTimer(window)
        self._timer.timeout.connect(self._tick)
        self._timer.start(TICK)

    def during(self, name: str, begin: Callable[[], object], over: Callable[[], bool], patience: float = 600) -> None:
        """Begin something, and watch until it is over and half a second longer."""
        began = self._last = time.monotonic()
        self._gap = 0.0
        begin()
        while not over():
            if time.monotonic() - began > patience:
                sys.exit(f"{name}: not over after {patience:g} s")
            self._live(50)
        seconds = time.monotonic() - began
        self._live(500)
        self.longest[name] = (self._gap, seconds)

    def _live(self, milliseconds: int) -> None:
        loop = self._core.QEventLoop()
        self._core.QTimer.singleShot(milliseconds, loop.quit)
        loop.exec()

    def _tick(self) -> None:
        now = time.monotonic()
        self._gap, self._last = max(self._gap, now - self._last), now


if __name__ == "__main__":
    main()
