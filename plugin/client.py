"""Runs jobs in a worker process, from any background thread of a host; whatever happens, a job ends with one event.

::

    with Client(worker_command(python)) as client:
        end = client.run(Job(input="a.tif"), on_event=show, cancelled=feedback.isCanceled)

The first job starts the worker, which stays for the next ones with its model loaded. A worker that is asked to stop
and does not is terminated, then killed. If it dies, `Failed` says why; it cannot outlive its host, because it ends
when the pipe to it closes.
"""

from __future__ import annotations

import contextlib
import dataclasses
import getpass
import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from ..zido_core import __version__, errors, job
from ..zido_core.job import Cancelled, Done, Event, EventSink, Failed, Hello, Job, Plan, Request
from .conversation import POLL, End, Patience, failed, follow, post_mortem
from .death import not_started
from .launch import new_log, runnable
from .link import Closed, Link


class Client:
    """A worker and how to have one; keeps it between jobs, and starts another when it is gone."""

    def __init__(
        self,
        command: Sequence[str],
        *,
        log_folder: Path | None = None,
        environment: Mapping[str, str] | None = None,
        patience: Patience | None = None,
    ) -> None:
        """``command``: see ``launch.worker_command``. ``environment`` is added to the cleaned one."""
        self.command = tuple(command)
        self.hello: Hello | None = None
        self._log_folder, self._environment = log_folder, dict(environment or {})
        self._patience = patience or Patience()
        self._link: Link | None = None
        self._turn, self._runner = threading.Lock(), 0
        self._stop, self._closed = threading.Event(), threading.Event()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def run(
        self, asked: Request, on_event: EventSink | None = None, *, cancelled: Callable[[], bool] | None = None
    ) -> End:
        """Do a job, or make a picture; returns its last event, which ``on_event`` has also got, in this thread, as all.

        ``cancelled`` is asked many times a second. A second thread waits for its turn; after ``close`` every job is
        Cancelled. Raises what ``on_event`` raises, once the worker has been ended.
        """
        tell = on_event or _ignore
        with self._my_turn(cancelled or _never) as stop:
            try:
                end = self._run(asked, tell, stop)
            except BaseException:
                self._end_worker()
                raise
        if isinstance(end, Failed):
            end = dataclasses.replace(end, message=runnable(end.message, self.command[0]))
        tell(end)
        return end

    def plan(self, asked: Job, *, cancelled: Callable[[], bool] | None = None) -> Plan | Failed | Cancelled:
        """What a job would take, or why it cannot be done; nothing is written."""
        plans: list[Plan] = []

        def keep(event: Event) -> None:
            if isinstance(event, Plan):
                plans.append(event)

        dry = dataclasses.replace(asked, options=dataclasses.replace(asked.options, dry_run=True))
        end = self.run(dry, keep, cancelled=cancelled)
        return plans[-1] if isinstance(end, Done) else end

    def start(self, *, cancelled: Callable[[], bool] | None = None) -> Hello | Failed | Cancelled:
        """Have a worker ready, so that the first job does not wait for it; returns who it is."""
        with self._my_turn(cancelled or _never) as stop:
            ready = self._ready(stop)
        return self.hello or Cancelled() if isinstance(ready, Link) else ready

    def cancel(self) -> None:
        """Stop the job that runs, if one does; returns at once. For any thread."""
        self._stop.set()

    def close(self) -> None:
        """Stop the job that runs, and end the worker; returns when it is gone, seconds later at worst.

        For any thread. All jobs that are asked for afterwards are Cancelled.
        """
        self._closed.set()
        link = self._link
        if link is not None:
            link.send(job.Shutdown())
            link.hang_up()
            self._see_off(link, self._patience.cancel)
        if self._runner != threading.get_ident() and self._turn.acquire(timeout=self._patience.terminate):
            self._turn.release()  # a thread that was about to start a worker has seen by now that it must not

    def diagnostics(self) -> str:
        """What to send with a report, without the name of the user."""
        link = self._link
        facts = [f"zido {__version__}", f"command: {' '.join(self.command)}", f"worker: {self.hello}"]
        if link is not None:
            facts += [f"exit code: {link.wait(0)}", f"log: {link.log}", *link.tail()]
        text, home = "\n".join(facts), os.path.expanduser("~")
        if len(home) > 1:  # that of some accounts is the root
            text = text.replace(home, "~")
        with contextlib.suppress(OSError, KeyError, ImportError):  # users without a name
            text = text.replace(f"{os.sep}{getpass.getuser()}{os.sep}", f"{os.sep}USER{os.sep}")
        return text

    @contextlib.contextmanager
    def _my_turn(self, cancelled: Callable[[], bool]) -> Iterator[Callable[[], bool]]:
        """Wait until no other thread has a job; gives what tells whether this one is to stop."""

        def stop() -> bool:
            return self._closed.is_set() or self._stop.is_set() or cancelled()

        while not self._turn.acquire(timeout=POLL):
            if self._closed.is_set() or cancelled():
                yield lambda: True
                return
        try:
            self._stop.clear()
            self._runner = threading.get_ident()
            yield stop
        finally:
            self._runner = 0
            self._turn.release()

    def _run(self, asked: Request, tell: EventSink, stop: Callable[[], bool]) -> End:
        while not stop():
            was_warm = self._link is not None and self._link.alive
            link = self._ready(stop)
            if not isinstance(link, Link):
                return link
            try:
                link.forget()
                link.send(asked)
            except errors.ZidoError as error:
                return failed(type(error), str(error))
            end = follow(link, tell, stop, self._patience)
            if end is not None:
                return end
            if not was_warm:
                return post_mortem(link, self._patience)
            # It left for lack of work just when this job came: a new one takes it.
        return Cancelled()

    def _ready(self, stop: Callable[[], bool]) -> Link | Failed | Cancelled:
        """A worker that has greeted."""
        if self._link is not None and self._link.alive and self.hello is not None:
            return self._link
        self._end_worker()
        if stop():
            return Cancelled()
        try:
            self._link = link = Link(self.command, new_log(self._log_folder), self._environment)
        except OSError as error:
            return not_started(error, self.command[0])
        answer = self._greeting(link, stop)
        if isinstance(answer, Hello):
            self.hello = answer
            return link
        link.kill()  # it has nothing to lose yet
        link.hang_up()
        link.wait(self._patience.terminate)
        return answer

    def _greeting(self, link: Link, stop: Callable[[], bool]) -> Hello | Failed | Cancelled:
        began, heard = time.monotonic(), False
        while not stop():
            try:
                event = link.receive(POLL)
            except Closed:
                return Cancelled() if stop() else post_mortem(link, self._patience)
            except errors.ProtocolMismatch as error:
                return failed(errors.ProtocolMismatch, f"{self.command[0]}: {error}")
            if isinstance(event, Hello | Failed):
                return event
            heard = heard or event is not None
            if time.monotonic() - began > (self._patience.dead if heard else self._patience.start):
                problem = "did not become ready" if heard else "gave no sign of life, so it is no worker of zido"
                return failed(errors.ZidoError, f"{self.command[0]} {problem}; its log is {link.log}")
        return Cancelled()

    def _end_worker(self) -> None:
        link, self._link, self.hello = self._link, None, None
        if link is not None:
            link.hang_up()
            self._see_off(link, 0.0)

    def _see_off(self, link: Link, patience: float) -> None:
        """Return when the process is gone."""
        if link.wait(patience) is None:
            link.terminate()
            if link.wait(self._patience.terminate) is None:
                link.kill()
                link.wait(self._patience.terminate)


def _ignore(event: Event) -> None:
    """For callers that do not listen."""


def _never() -> bool:
    """For callers that do not stop."""
    return False
