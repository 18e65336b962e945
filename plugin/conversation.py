"""One job with one worker, from the request to the last event, with a watch on both sides' patience."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

from ..zido_core import errors, job
from ..zido_core.folders import unfinished_work
from ..zido_core.job import Bye, Cancelled, Done, Event, EventSink, Failed, Heartbeat, Plan
from .death import explain
from .link import Closed, Link

POLL = 0.05
"""Seconds between two looks at whether somebody wants to stop."""

LOST_AFTER = 3
"""So many signs of life of a worker without a job, which should have one, mean that its answer is lost."""

End = Done | Failed | Cancelled
"""The last event of a job."""


@dataclass(frozen=True, kw_only=True)
class Patience:
    """How long to wait for what, seconds."""

    start: float = 60.0
    """For the first sign of life of a new worker; a cold disk and a virus scanner take their time."""

    quiet: float = 15.0
    """Without a sign of life: then the user is told."""

    dead: float = 600.0
    """Without a sign of life, or for a worker to become ready: then it is ended."""

    insist: float | None = None
    """After the request to stop: then it is asked again, upon which it drops what it has loaded; None: it is not."""

    cancel: float = 5.0
    """After the last request to stop: then it is terminated."""

    terminate: float = 3.0
    """After that: then it is killed."""


def follow(link: Link, tell: EventSink, stop: Callable[[], bool], patience: Patience) -> End | None:
    """Hand on the events of a job that was sent, and return the last; None if the worker left before it took it."""
    ladder, silence = Ladder(link, patience), Silence(tell, patience)
    begun, idle = False, 0
    output: str | None = None
    while True:
        if stop():
            ladder.climb()
        try:
            event = link.receive(POLL)
        except Closed:
            if stop():
                bury(link, patience)
                return _with_work(Cancelled(), output)
            return _with_work(post_mortem(link, patience), output) if begun else None
        except errors.ProtocolMismatch as error:
            return failed(type(error), f"{link.command[0]}: {error}")
        if silence.too_long(event):
            link.kill()
            link.wait(patience.terminate)
            told = failed(errors.ZidoError, f"the worker was silent for {patience.dead:g} s and was ended; try again")
            return _with_work(told, output)
        if isinstance(event, Plan):
            output = event.output
        match event:
            case Done() | Failed() | Cancelled():
                return event
            case Heartbeat(stage=None) if begun:
                idle += 1
                if idle == LOST_AFTER:
                    return failed(errors.ZidoError, "the worker's answer was lost on the way; try again")
            case Heartbeat():
                tell(event)
            case Event() if not isinstance(event, Bye):
                begun, idle = True, 0
                tell(event)


def post_mortem(link: Link, patience: Patience) -> Failed:
    """Why a worker that says no more is dead; dead it is afterwards."""
    return explain(bury(link, patience), link.tail(), link.command[0])


def bury(link: Link, patience: Patience) -> int | None:
    """See to it that a worker that says no more is gone; its exit code, None if it had to be killed."""
    status = link.wait(patience.terminate)
    if status is None:
        link.kill()
        link.wait(patience.terminate)
    link.hang_up()
    return status


def failed(kind: type[errors.ZidoError], message: str) -> Failed:
    """A failure that the host itself has found."""
    return Failed(message=message, kind=kind.__name__, code=kind.exit_code)


def _with_work(end: Failed | Cancelled, output: str | None) -> Failed | Cancelled:
    """The end of a job whose worker could not say any more what it has kept."""
    return end if output is None else replace(end, work=unfinished_work(output))


class Ladder:
    """Stops a worker: asks it to, then terminates, then kills it."""

    def __init__(self, link: Link, patience: Patience) -> None:
        self._rungs: list[tuple[float, Callable[[], None]]] = [
            (0.0, partial(link.send, job.Cancel())),
            *([] if patience.insist is None else [(patience.insist, partial(link.send, job.Cancel()))]),
            (patience.cancel, link.terminate),
            (patience.terminate, link.kill),
        ]
        self._since = time.monotonic()

    def climb(self) -> None:
        """Take the next rung if its time has come; to be called again and again."""
        if self._rungs and time.monotonic() - self._since >= self._rungs[0][0]:
            _, act = self._rungs.pop(0)
            act()
            self._since = time.monotonic()


class Silence:
    """How long the worker has not been heard.

    It adds up what this side has waited, not what the clock says: after a computer has slept, nobody is late.
    """

    def __init__(self, tell: EventSink, patience: Patience) -> None:
        self._tell, self._patience = tell, patience
        self._seconds = 0.0

    def too_long(self, event: Event | None) -> bool:
        """Whether the worker, from which this came now, should be given up; the user is told before."""
        before = self._seconds
        self._seconds = 0.0 if event is not None else before + POLL
        if before < self._patience.quiet <= self._seconds:
            message = f"nothing was heard of the worker for {self._patience.quiet:g} s; wait, or cancel"
            self._tell(job.Warning(message=message))
        return self._seconds >= self._patience.dead
