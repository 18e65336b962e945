"""Real windows on no screen: the application, waiting for what happens in them, and the workers they use in tests.

Loaded as in hosts, as parts of the package `zido`.
"""

from __future__ import annotations

import gc
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")

from zido.plugin import environment
from zido.plugin.dialog import Dialog
from zido.plugin.errands import Desk
from zido.plugin.launch import worker_command
from zido.plugin.qt import QtCore, QtWidgets, application

ROOT = Path(__file__).resolve().parents[1]
FAKE = [sys.executable, str(ROOT / "tests" / "fake_worker.py")]
VIEWER = [*worker_command(sys.executable, idle=0), "--views"]
FOUND = environment.Found(python=sys.executable, origin="setting", zido="1", version="Python 3", torch="2")

APP = application("zido")


def until(condition: Callable[[], object], seconds: float = 60.0) -> None:
    """Let the window live until something is true."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise AssertionError(f"nothing came of it in {seconds:g} s")
        live(20)


def live(milliseconds: int) -> None:
    """Let the window live for a while."""
    loop = QtCore.QEventLoop()
    QtCore.QTimer.singleShot(milliseconds, loop.quit)
    loop.exec()


def employ_fake(self: Desk, python: str) -> None:
    """Workers whose jobs are made up, and a viewer that is real."""
    employ(self, python, worker=FAKE, viewer=VIEWER)


employ = Desk.employ


@contextmanager
def closing(dialog: Dialog) -> Iterator[Dialog]:
    """Show a window; whatever happens, it is closed and gone afterwards."""
    dialog.show()
    try:
        yield dialog
    finally:
        dialog.runs.stop()
        if dialog.isVisible():
            dialog.accept()
            until(lambda: not dialog.isVisible())
        dialog.deleteLater()
        live(10)
        gc.collect()


def colour_at(widget: QtWidgets.QWidget, x: float, y: float) -> tuple[int, int, int]:
    """Red, green and blue at a point; x and y are shares of the width and height."""
    image = widget.grab().toImage()
    colour = image.pixelColor(round(x * (image.width() - 1)), round(y * (image.height() - 1)))
    return colour.red(), colour.green(), colour.blue()
