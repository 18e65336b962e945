"""The worker of this QGIS: one for all algorithms, kept between runs, and how a run reads in Processing's log."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path

from qgis.core import QgsProcessingException, QgsProcessingFeedback, QgsProcessingUtils, QgsSettings

from ..plugin import environment
from ..plugin.client import Client
from ..plugin.conversation import Patience
from ..plugin.launch import worker_command
from ..zido_core import job
from ..zido_core.job import Cancelled, Done, Event, Request
from ..zido_core.words import amount, duration, pixels
from .hearing import asked_to_stop, is_without_windows
from .parameters import in_parameter_names

SPEAK_EVERY = 10.0
"""Seconds between two lines about the time left."""


PYTHON_SETTING = "zido/python"
"""Key in QGIS's settings of the Python that the window used last, which is tried first."""


HASTE = Patience(insist=0.4, cancel=0.5, terminate=0.1)
"""For `qgis_process`, which Ctrl-C ends: so all is gone in two seconds, of which QGIS takes up to one to leave."""


ADVICE = (
    "Open Raster > zido > Upscale… once, which offers to make an environment for it; or set the variable ZIDO_PYTHON "
    "to a Python that has zido."
)
"""What to do where there is no Python for the work."""


class Engine:
    """Has a worker when one is needed. Jobs of several threads wait for each other."""

    def __init__(self) -> None:
        self._client: Client | None = None
        self._lock = threading.Lock()

    def python(self) -> str:
        """The Python that has zido_core. Raises QgsProcessingException with what to do if there is none."""
        chosen = QgsSettings().value(PYTHON_SETTING, "") or None
        found = environment.find(chosen)
        if chosen and isinstance(found, environment.Missing):  # it may have been there once
            found = environment.find()
        if isinstance(found, environment.Missing):
            raise QgsProcessingException(f"zido: {found.reason} {ADVICE}")
        return found.python

    def client(self) -> Client:
        """The client of the worker, which starts with the first job."""
        with self._lock:
            if self._client is None:
                self._client = Client(worker_command(self.python()), patience=HASTE if is_without_windows() else None)
            return self._client

    def run(self, asked: Request, feedback: QgsProcessingFeedback) -> Done:
        """Do a job in the thread of an algorithm. Raises QgsProcessingException with the reason if it is not done."""
        end = self.client().run(asked, Narrator(feedback), cancelled=asked_to_stop(feedback))
        if isinstance(end, Done):
            return end
        if isinstance(end, Cancelled):
            raise QgsProcessingException(f"zido: stopped on request; {kept_text(end.work) or 'nothing was written'}")
        kept = f"; {kept_text(end.work)}" if end.work else ""
        raise QgsProcessingException(f"zido: {in_parameter_names(end.message)}{kept}")

    def close(self) -> None:
        """End the worker; the next job looks for the Python anew and starts another."""
        with self._lock:
            client, self._client = self._client, None
        if client is not None:
            client.close()


class Narrator:
    """Tells Processing's feedback what the worker says."""

    def __init__(self, feedback: QgsProcessingFeedback) -> None:
        self._feedback = feedback
        self._stage, self._spoke = "", time.monotonic()

    def __call__(self, event: Event) -> None:
        match event:
            case job.Plan():
                self._feedback.pushInfo(plan_text(event))
                for message in event.warnings:
                    self._feedback.pushWarning(in_parameter_names(message))
            case job.Stage():
                self._stage = event.name
                self._feedback.setProgressText(f"{event.name} ({event.index} of {event.count})")
            case job.Progress():
                self._feedback.setProgress(100.0 * event.done / max(event.total, 1))
                self._speak_of_time(event.eta)
            case job.Warning():
                self._feedback.pushWarning(in_parameter_names(event.message))
            case job.Failed(traceback=str() as trace):
                self._feedback.pushDebugInfo(trace)
            case job.Done():
                self._feedback.pushInfo(f"done in {duration(event.seconds)}")

    def _speak_of_time(self, eta: float | None) -> None:
        now = time.monotonic()
        if eta is not None and now - self._spoke >= SPEAK_EVERY:
            self._spoke = now
            self._feedback.setProgressText(f"{self._stage}: about {duration(eta)} left")


def kept_text(work: str | None) -> str:
    """Where unfinished work is, and how to go on with it; empty where there is none."""
    if work is None:
        return ""
    if Path(work).is_relative_to(os.path.realpath(QgsProcessingUtils.tempFolder())):
        return "what is done is lost, as the output is temporary; with a file as output, RESUME can go on"
    return f"what is done is kept in {work}; to go on, run it again with the same parameters and RESUME"


def plan_text(plan: job.Plan) -> str:
    """What a job takes, in a line."""
    parts = [
        f"{pixels(plan.input_size)} become {pixels(plan.output_size)}",
        f"{plan.tiles} tile{'' if plan.tiles == 1 else 's'} of {plan.tile_size} px on {plan.device}",
        f"up to {amount(plan.memory_bytes)} of memory and {amount(plan.disk_bytes)} of disk",
    ]
    if plan.seconds is not None:
        parts.append(f"about {duration(plan.seconds)}")
    return ", ".join(parts)
