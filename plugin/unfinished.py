"""The window's last job, where it has not come to its end and something of it is kept to go on from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from ..zido_core.folders import unfinished_work
from ..zido_core.job import Cancelled, Failed, Job, Plan

KEPT = "what is done is kept: Resume goes on"


class Unfinished:
    """Follows jobs, and offers to go on."""

    def __init__(self, offer: Callable[[str | None], None]) -> None:
        """``offer`` gets the folder with what is done; None: there is nothing to go on with."""
        self.job: Job | None = None
        """The job that goes on, whatever the form says by now."""
        self._offer = offer
        self._begun, self._output = Job(input=""), ""

    def begin(self, job: Job) -> None:
        """A job begins."""
        self._begun, self._output = job, ""
        self.forget()

    def follow(self, plan: Plan) -> None:
        """Where its result will be."""
        self._output = plan.output or ""

    def end(self, end: object) -> None:
        """How it has ended. It may have been refused for the work of an earlier one, which it can go on with."""
        work = end.work if isinstance(end, Failed | Cancelled) else None
        if isinstance(end, Failed) and self._output and not self._begun.options.resume:
            work = work or unfinished_work(self._output)
        if work is not None:
            self.job = replace(self._begun, options=replace(self._begun.options, resume=True))
            self._offer(work)

    def forget(self) -> None:
        """There is something else to do."""
        self.job = None
        self._offer(None)
