"""Has the work done by a worker; GIMP's progress bar follows.

GIMP ends a plug-in without warning when the user cancels, and tells nobody when it dies itself. The worker ends when
the pipe to this process closes; this process stops the work when its parent is gone.
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path

from gi.repository import Gimp

from ..plugin.client import Client
from ..plugin.launch import worker_command
from ..plugin.wording import in_words_of_the_form
from ..zido_core import job
from ..zido_core.job import Done, Event, Failed, Job, Plan, Progress, Stage

_PARENT = os.getppid()


class Stopped(Exception):
    """The user does not want the result."""


class Refused(Exception):
    """It cannot be done; the text is for the user."""


@dataclass(frozen=True, kw_only=True)
class Result:
    """A finished file."""

    path: Path
    """Where it is."""

    warnings: tuple[str, ...]
    """What the user should know."""


class Bar:
    """GIMP's progress bar, moved by events. It belongs to the thread in which the plug-in was called."""

    def __init__(self) -> None:
        self.warnings: list[str] = []

    def show(self, event: Event) -> None:
        """Follow an event."""
        match event:
            case Plan(warnings=warnings):
                self.warnings.extend(map(in_words_of_the_form, warnings))
            case job.Warning(message=message):
                self.warnings.append(in_words_of_the_form(message))
            case Stage(name=name):
                Gimp.progress_set_text(f"zido: {name}")
            case Progress(done=done, total=total, eta=eta):
                Gimp.progress_update(done / max(total, 1))
                if eta is not None:
                    Gimp.progress_set_text(f"zido: {_time(eta)} left")


def orphaned() -> bool:
    """Whether GIMP is gone, so that nobody waits for the result."""
    return os.getppid() != _PARENT


def upscale(python: str, asked: Job) -> Result:
    """Do a job. Raises Refused and Stopped."""
    bar = Bar()
    Gimp.progress_update(0.0)
    with Client(worker_command(python, idle=60)) as client:
        end = client.run(asked, bar.show, cancelled=orphaned)
    match end:
        case Done(output=str(output)):
            return Result(path=Path(output), warnings=tuple(bar.warnings))
        case Failed(message=message):
            raise Refused(in_words_of_the_form(message))
    raise Stopped


def _time(seconds: float) -> str:
    return time.strftime("%H:%M:%S" if seconds >= 3600 else "%M:%S", time.gmtime(max(seconds, 0)))
