"""The window of zido in QGIS: opened for a layer, its runs shown among QGIS's tasks, its results loaded as layers."""

from __future__ import annotations

import os
import threading
from typing import Any

from qgis.core import QgsApplication, QgsProject, QgsRasterLayer, QgsSettings, QgsTask
from qgis.PyQt.QtCore import QCoreApplication, QDeadlineTimer, QEventLoop, QThread
from qgis.PyQt.QtWidgets import QWidget

from ..plugin.dialog import Dialog
from ..zido_core.job import Progress
from .engine import PYTHON_SETTING
from .layers import Style, file_of

PATIENCE = 8000
"""Milliseconds for the window's threads and workers to end when the plugin is unloaded."""


class RunTask(QgsTask):
    """Stands among QGIS's tasks for what the window does: its progress, its cancel button, the warning before leaving.

    The work itself is done by the worker, which a thread of the window watches.
    """

    def __init__(self, dialog: Dialog) -> None:
        super().__init__("zido", QgsTask.Flag.CanCancel)
        self._dialog = dialog
        self._over = threading.Event()
        self._share = 0.0
        dialog.runs.said.connect(self._hear)

    def _hear(self, event: object) -> None:
        if isinstance(event, Progress):
            self._share = 100.0 * event.done / max(event.total, 1)

    def end(self) -> None:
        """The run is over."""
        self._dialog.runs.said.disconnect(self._hear)
        self._over.set()

    def run(self) -> bool:
        """For QGIS, in a thread of its own."""
        while not self._over.wait(0.2):
            self.setProgress(self._share)
            if self.isCanceled():
                self._dialog.runs.stop()
        return not self.isCanceled()


class LayerWindow:
    """At most one window at a time."""

    def __init__(self, parent: QWidget) -> None:
        self._parent = parent
        self.dialog: Dialog | None = None
        self._task: RunTask | None = None

    def open(self, layer: QgsRasterLayer | None) -> Dialog:
        """Show the window, with the layer's file in it unless it is busy."""
        if self.dialog is None:
            self.dialog = Dialog(self._parent, own_python=QgsSettings().value(PYTHON_SETTING, "") or None)
            self.dialog.made.connect(self._load)
            self.dialog.runs.changed.connect(self._show_task)
            self.dialog.engine.ready.connect(self._remember_python)
            self.dialog.finished.connect(self._forget)
        path = file_of(layer) if layer is not None else None
        if path is not None and not self.dialog.running:
            self.dialog.open_input(path)
        self.dialog.show()
        self.dialog.raise_()
        self.dialog.activateWindow()
        return self.dialog

    def close(self) -> None:
        """Close it, stopping what runs, and return when its threads are gone."""
        if self.dialog is None:
            return
        self.dialog.done(self.dialog.DialogCode.Accepted)
        deadline = QDeadlineTimer(PATIENCE)
        while self.dialog is not None and not deadline.hasExpired():
            QCoreApplication.processEvents(QEventLoop.ProcessEventsFlag.AllEvents, 100)
            QThread.msleep(10)

    def _forget(self, result: int) -> None:
        if self.dialog is not None:
            self.dialog.deleteLater()
        self.dialog = None
        self._end_task()

    def _remember_python(self) -> None:
        """So that Processing uses the same."""
        if self.dialog is not None and self.dialog.engine.python:
            QgsSettings().setValue(PYTHON_SETTING, self.dialog.engine.python)

    def _show_task(self) -> None:
        if self.dialog is not None and self.dialog.running and self._task is None:
            self._task = RunTask(self.dialog)
            QgsApplication.taskManager().addTask(self._task)
        elif self.dialog is None or not self.dialog.running:
            self._end_task()

    def _end_task(self) -> None:
        task, self._task = self._task, None
        if task is not None:
            task.end()

    def _load(self, path: str) -> None:
        """A result becomes a layer, drawn like that of its input if there is one."""
        assert self.dialog is not None
        before = _layer_of(self.dialog.job().input)
        name = f"{before.name()} (upscaled)" if before is not None else os.path.splitext(os.path.basename(path))[0]
        after = Style(before).layer(path, name) if before is not None else QgsRasterLayer(path, name)
        if after.isValid():  # else it is a photograph that GDAL does not read; the window shows it
            QgsProject.instance().addMapLayer(after)


def _layer_of(path: str) -> Any:
    """The first layer of the project that shows this file."""
    layers = QgsProject.instance().mapLayers().values()
    shown = [layer for layer in layers if isinstance(layer, QgsRasterLayer) and file_of(layer) == path]
    return shown[0] if shown else None
