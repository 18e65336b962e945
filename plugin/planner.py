"""Asks the worker what the job on the form would take, whenever the form has rested for a moment."""

from __future__ import annotations

from collections.abc import Callable

from ..zido_core.errors import InvalidOptions
from ..zido_core.job import Cancelled, Failed, Job
from .client import Client
from .errands import Desk, Errand, Stopped, Tell
from .qt import QtCore, Signal

REST = 350
"""Milliseconds without a change after which it asks."""


class Planner(QtCore.QObject):
    """Tells the plan of what `read` gives; the last change wins."""

    planned = Signal(object)
    """A `Plan`, or `Failed` with the reason why there is none."""

    def __init__(self, desk: Desk, read: Callable[[], Job], parent: QtCore.QObject) -> None:
        super().__init__(parent)
        self._desk, self._read = desk, read
        self._errand: Errand | None = None
        self._again = False
        self._timer = QtCore.QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.setInterval(REST)
        self._timer.timeout.connect(self._ask)

    def refresh(self) -> None:
        """The form has changed."""
        self._again = True
        self._timer.start()

    def rest(self) -> None:
        """Ask no more for now: the job begins."""
        self._timer.stop()
        self._again = False
        if self._errand is not None:
            self._errand.stop()

    def _ask(self) -> None:
        client = self._desk.worker
        if self._errand is not None or client is None:
            return  # it is asked again when that one ends, or when there is a worker
        self._again = False
        try:
            job = self._read()
        except InvalidOptions as error:
            self.planned.emit(Failed(message=str(error), kind=type(error).__name__, code=error.exit_code))
            return
        if job.input:
            self._errand = self._desk.start(_plan_of(client, job), self._on_end)

    def _on_end(self, end: object) -> None:
        self._errand = None
        if not isinstance(end, Cancelled) and not self._again:
            self.planned.emit(end)
        if self._again:
            self._timer.start()


def _plan_of(client: Client, job: Job) -> Callable[[Tell, Stopped], object]:
    return lambda tell, stopped: client.plan(job, cancelled=stopped)
