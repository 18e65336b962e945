"""What the worker is asked to do for the window, one thing after another: jobs, previews, prompts, blends."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from ..zido_core.job import Job, Request, Sample
from ..zido_core.options import OPTIONS, Options
from .client import Client
from .errands import Desk, Errand, Stopped, Tell
from .qt import QtCore, Signal
from .viewport import Box

Then = Callable[[object], None]


class Runs(QtCore.QObject):
    """At most one request is on its way; the others wait until the user asks again."""

    said = Signal(object)
    """An event of what runs."""

    changed = Signal()
    """Something has begun or ended."""

    def __init__(self, desk: Desk, parent: QtCore.QObject) -> None:
        super().__init__(parent)
        self._desk = desk
        self._errand: Errand | None = None
        self._then: Then | None = None

    @property
    def running(self) -> bool:
        """Whether anything is on its way."""
        return self._errand is not None

    @property
    def possible(self) -> bool:
        """Whether something could be begun now."""
        return self._errand is None and self._desk.worker is not None

    def begin(self, asked: Request, then: Then) -> bool:
        """Ask the worker; ``then`` gets the last event. False if it has something else to do."""
        client = self._desk.worker
        if client is None or self._errand is not None:
            return False
        self._then = then
        self._errand = self._desk.start(_run(client, asked), self._on_end, self.said.emit)
        self.changed.emit()
        return True

    def stop(self) -> None:
        """Stop what runs."""
        if self._errand is not None:
            self._errand.stop()

    def _on_end(self, end: object) -> None:
        then, self._errand, self._then = self._then, None, None
        if then is not None:
            then(end)
        self.changed.emit()


def watched(job: Job, folder: str) -> Job:
    """The same, with pictures of what is done so far in that folder."""
    return replace(job, previews=folder)


def certain_job(job: Job, path: str) -> Job:
    """The same without any synthesised detail, into a file of the window's own."""
    return Job(input=job.input, output=path, options=certain(job.options))


def sample(job: Job, place: Box, path: str) -> Sample:
    """The job at one place alone."""
    row, col, height, width = (round(value) for value in place)
    return Sample(input=job.input, output=path, box=(row, col, height, width), options=beside(job.options))


def certain(options: Options) -> Options:
    """Only what is certain."""
    return replace(beside(options), fidelity=1.0)


def beside(options: Options) -> Options:
    """What decides the pixels; nothing of what is to be written beside them, or how."""
    kept = {name: value for name, value in options.to_dict().items() if OPTIONS[name].group != "output"}
    return replace(Options.from_dict(kept), overwrite=True, save_prompts=None)


def _run(client: Client, asked: Request) -> Callable[[Tell, Stopped], object]:
    return lambda tell, stopped: client.run(asked, tell, cancelled=stopped)
