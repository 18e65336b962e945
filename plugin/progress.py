"""How far a job is: a bar, and the same in words."""

from __future__ import annotations

from ..zido_core.job import Event, Heartbeat, Progress, Stage
from ..zido_core.words import amount, duration
from .qt import QtWidgets

FINE = 1000
"""Steps of the bar."""


class ProgressRow(QtWidgets.QWidget):
    """A bar and a line of text."""

    def __init__(self) -> None:
        super().__init__()
        self._bar = QtWidgets.QProgressBar()
        self._bar.setAccessibleName("Progress")
        self._bar.setTextVisible(False)
        self._text = QtWidgets.QLabel()
        self._text.setAccessibleName("State")
        layout = QtWidgets.QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self._bar, 1)
        layout.addWidget(self._text, 2)
        self._stage, self._memory = "", ""
        self.rest("")

    @property
    def text(self) -> str:
        """What it says."""
        return self._text.text()

    @property
    def share(self) -> float:
        """What is done, 0 to 1."""
        return self._bar.value() / FINE

    def begin(self, words: str) -> None:
        """Something has begun, and there is no telling how far it is."""
        self._stage, self._memory = words, ""
        self._bar.setVisible(True)
        self._bar.setRange(0, 0)
        self._say(words)

    def show_event(self, event: Event) -> None:
        """What the work tells."""
        match event:
            case Stage():
                self._stage = event.name.capitalize()
                self._say(f"{self._stage} ({event.index} of {event.count})")
            case Progress():
                self._bar.setRange(0, FINE)
                self._bar.setValue(FINE * event.done // max(event.total, 1))
                left = "" if event.eta is None else f", {duration(event.eta)} left"
                self._say(f"{self._stage}: {event.done / max(event.total, 1):.0%}{left}{self._memory}")
            case Heartbeat() if event.memory_bytes is not None:
                self._memory = f" · {amount(event.memory_bytes)} in use"

    def rest(self, words: str) -> None:
        """Nothing goes on; ``words`` say how it ended."""
        self._bar.setVisible(False)
        self._bar.setRange(0, FINE)
        self._bar.setValue(0)
        self._say(words)

    def _say(self, words: str) -> None:
        self._text.setText(words)
        self._text.setToolTip(words)
        self._bar.setAccessibleDescription(words)
