"""What has happened, line by line, and what to send with a report."""

from __future__ import annotations

import time
from collections.abc import Callable

from ..zido_core.job import Cancelled, Done, Event, Failed, Plan, Stage, Started, Warning  # noqa: A004 - the event
from ..zido_core.words import duration, pixels
from .qt import QtGui, QtWidgets

LINES_KEPT = 5000


class LogView(QtWidgets.QWidget):
    """A list of lines with the time of day, and a button that copies all that a report needs."""

    def __init__(self, diagnostics: Callable[[], str]) -> None:
        """``diagnostics``: what is known of the worker."""
        super().__init__()
        self._diagnostics = diagnostics
        self._lines = QtWidgets.QPlainTextEdit()
        self._lines.setReadOnly(True)
        self._lines.setMaximumBlockCount(LINES_KEPT)
        self._lines.setAccessibleName("Log")
        self._lines.setTabChangesFocus(True)
        self.copy_button = QtWidgets.QPushButton("Copy dia&gnostics")
        self.copy_button.setToolTip("Copies this log and what is known of the worker, without your user name.")
        self.copy_button.setAccessibleName("Copy diagnostics")
        self.copy_button.setAutoDefault(False)
        self.copy_button.clicked.connect(self._copy)
        layout = QtWidgets.QVBoxLayout(self)
        layout.addWidget(self._lines)
        row = QtWidgets.QHBoxLayout()
        row.addStretch(1)
        row.addWidget(self.copy_button)
        layout.addLayout(row)

    @property
    def text(self) -> str:
        """All lines."""
        return self._lines.toPlainText()

    def say(self, line: str) -> None:
        """Add a line."""
        self._lines.appendPlainText(f"{time.strftime('%H:%M:%S')}  {line}")

    def show_event(self, event: Event) -> None:
        """Add what is worth a line."""
        line = told(event)
        if line:
            self.say(line)

    def _copy(self) -> None:
        clipboard = QtGui.QGuiApplication.clipboard()
        if clipboard is not None:
            clipboard.setText(f"{self._diagnostics()}\n\n{self.text}")


def told(event: Event) -> str:
    """An event as a line; empty for those that are no news."""
    match event:
        case Started():
            return f"Started: {event.input}"
        case Plan():
            size = f"{pixels(event.input_size)} to {pixels(event.output_size)}"
            return f"Plan: {size}, {event.tiles} tiles of {event.tile_size} px on {event.device}"
        case Stage():
            return f"{event.name.capitalize()} ({event.index} of {event.count})"
        case Warning():
            return f"Warning: {event.message}"
        case Done():
            return f"Done in {duration(event.seconds)}" + (f": {event.output}" if event.output else "")
        case Failed():
            return f"Failed: {event.message}{_kept(event.work)}" + (f"\n{event.traceback}" if event.traceback else "")
        case Cancelled():
            return f"Cancelled{_kept(event.work) or '; nothing was written'}"
    return ""


def _kept(work: str | None) -> str:
    return f"; what is done is kept in {work}" if work else ""
