"""Run by the desktop program after its start: a person opens the window for a layer, upscales it, and swipes.

``ZIDO_TEST_INPUT`` is the raster, ``ZIDO_TEST_FOLDER`` where pictures and what was seen go.
"""

from __future__ import annotations

import itertools
import json
import os
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from qgis.core import QgsApplication, QgsProject, QgsRasterLayer
from qgis.PyQt.QtCore import QPoint, Qt, QTimer
from qgis.PyQt.QtTest import QTest
from qgis.PyQt.QtWidgets import QApplication
from qgis.utils import iface, plugins

SOURCE, FOLDER = os.environ["ZIDO_TEST_INPUT"], Path(os.environ["ZIDO_TEST_FOLDER"])
PATIENCE = 120.0

Condition = Callable[[], Any]


class Visit:
    """The steps of one visit; each one says what it waits for."""

    def __init__(self) -> None:
        self.seen: dict[str, Any] = {}
        self.beats: list[float] = []
        self.steps = self.all()
        self.condition: Condition = lambda: True
        self.until = 0.0
        self.timer = QTimer()
        self.timer.timeout.connect(self.go_on)
        self.timer.start(10)

    def go_on(self) -> None:
        self.beats.append(time.monotonic())
        try:
            if self.condition():
                self.condition = next(self.steps)
                self.until = time.monotonic() + PATIENCE
            elif time.monotonic() > self.until:
                raise TimeoutError(f"nothing happened for {PATIENCE:g} s; seen so far: {self.seen}")
        except StopIteration:
            self.leave()
        except Exception:
            self.picture("failed.png")
            self.seen["error"] = traceback.format_exc()
            self.leave()

    def all(self) -> Iterator[Condition]:
        yield self.after(1.5)
        plugin = plugins["zido"]
        iface.mainWindow().setGeometry(0, 0, 1280, 900)
        name = Path(SOURCE).stem
        layer = QgsRasterLayer(SOURCE, name)
        QgsProject.instance().addMapLayer(layer)
        iface.setActiveLayer(layer)
        iface.zoomToActiveLayer()
        self.seen["actions"] = [action.text() for action in plugin.actions]
        yield self.after(1)
        plugin.actions[0].trigger()
        dialog = plugin.window.dialog
        yield lambda: dialog.engine.python and dialog.runs.possible
        dialog.form.fields["preset"].show("fast")
        dialog.form.output.show_path(str(FOLDER / "result.tif"))
        yield self.after(2)
        self.picture("window.png")
        tasks = QgsApplication.taskManager()
        dialog.runs.said.connect(self.measure)
        dialog.buttons.go.click()
        yield lambda: tasks.count()
        self.seen["task"] = tasks.tasks()[0].description()
        yield lambda: not dialog.running
        dialog.runs.said.disconnect(self.measure)
        yield lambda: not tasks.count()
        yield self.after(2)
        self.picture("result.png")
        layers = {each.name(): each for each in QgsProject.instance().mapLayers().values()}
        self.seen["layers"] = {name: each.source() for name, each in layers.items()}
        dialog.reject()
        yield lambda: plugin.window.dialog is None
        iface.setActiveLayer(layers[f"{name} (upscaled)"])
        plugin.actions[1].trigger()
        self.seen["tool"] = type(iface.mapCanvas().mapTool()).__name__
        yield self.after(2)
        self.seen["swipe"] = not plugin.swipe._item._image.isNull()
        self.picture("swipe.png")
        canvas, shares = iface.mapCanvas(), []
        QTest.mouseMove(canvas.viewport(), QPoint(canvas.viewport().width() // 4, 50))
        yield self.after(0.2)
        shares.append(plugin.swipe._item.share)
        QTest.keyClick(canvas, Qt.Key.Key_Right)
        shares.append(plugin.swipe._item.share)
        self.seen["shares"] = shares
        plugin.actions[1].trigger()
        self.seen["after swiping"] = type(canvas.mapTool()).__name__
        plugin.actions[0].trigger()  # left open, with its threads: unloading has to end them
        yield self.after(1)

    def measure(self, event: Any) -> None:
        """The longest time without a beat, from the first to the last event of a job."""
        if type(event).__name__ == "Started":
            self.beats.clear()
        self.seen["gap"] = max((after - before for before, after in itertools.pairwise(self.beats)), default=0.0)

    def after(self, seconds: float) -> Condition:
        end = time.monotonic() + seconds
        return lambda: time.monotonic() >= end

    def picture(self, name: str) -> None:
        QApplication.primaryScreen().grabWindow(0).save(str(FOLDER / name))

    def leave(self) -> None:
        self.timer.stop()
        (FOLDER / "seen.json").write_text(json.dumps(self.seen), encoding="utf-8")
        QgsProject.instance().clear()
        QgsProject.instance().setDirty(False)
        iface.actionExit().trigger()


visit = Visit()
