"""Work that the window waits for without standing still: each errand has a thread, and the two workers behind them.

One worker upscales, and keeps its model loaded. The other only looks at files: it answers at once also while the first
one works, and is there before PyTorch is loaded.

The threads are Python's and never touch Qt: what they have to tell goes into a queue, at which the window looks many
times a second. So a host may end at any moment, and no object of Qt is in use in two threads.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Sequence

from ..zido_core.errors import Cancelled as Stop
from ..zido_core.errors import ZidoError
from ..zido_core.job import Cancelled, Failed
from .client import Client
from .launch import worker_command
from .qt import QtCore, Signal

Tell = Callable[[object], None]
Stopped = Callable[[], bool]
Work = Callable[[Tell, Stopped], object]
"""Called in a thread with what to tell events to and what says whether to stop; returns how it ended."""

IDLE = 600.0
"""Seconds without a job after which the worker gives the memory back."""

EVERY = 15
"""Milliseconds between two looks at the queues."""

AT_MOST = 0.05
"""Seconds that are spent on what is in them before the window is served."""


class Errand:
    """One piece of work in a thread of its own."""

    def __init__(self, work: Work, then: Tell, on_event: Tell | None, *, awaited: bool) -> None:
        self.then, self.on_event, self.awaited = then, on_event, awaited
        self.told: queue.SimpleQueue[object] = queue.SimpleQueue()
        self.ended: queue.SimpleQueue[object] = queue.SimpleQueue()
        self._work, self._stop = work, threading.Event()
        threading.Thread(target=self._run, name="zido errand", daemon=True).start()

    def stop(self) -> None:
        """Ask it to end soon."""
        self._stop.set()

    def _run(self) -> None:
        try:
            end = self._work(self.told.put, self._stop.is_set)
        except Stop:
            end = Cancelled()
        except ZidoError as error:
            end = Failed(message=str(error), kind=type(error).__name__, code=error.exit_code)
        except Exception as error:  # whatever it is, the window goes on and says so
            end = Failed(message=f"internal error ({type(error).__name__}: {error}); please report it")
        self.ended.put(end)


class Desk(QtCore.QObject):
    """The errands of a window and its two workers. After `shut`, when `is_shut` is told, nothing of them is left."""

    is_shut = Signal()

    def __init__(self, parent: QtCore.QObject) -> None:
        super().__init__(parent)
        self.worker: Client | None = None
        self.viewer: Client | None = None
        self._errands: list[Errand] = []
        self._shutting = self._is_shut = False
        self._timer = QtCore.QTimer(self)
        self._timer.setInterval(EVERY)
        self._timer.timeout.connect(self._deliver)

    def employ(self, python: str, *, worker: Sequence[str] = (), viewer: Sequence[str] = ()) -> None:
        """Have workers in this Python from now on. The commands are other ones than usual for tests."""
        self._dismiss()
        self.worker = Client(worker or worker_command(python, idle=IDLE))
        self.viewer = Client(viewer or [*worker_command(python, idle=0), "--views"])

    def start(self, work: Work, then: Tell, on_event: Tell | None = None, *, awaited: bool = True) -> Errand:
        """Do something in a thread; ``on_event`` and ``then`` are called in this one.

        ``awaited``: whether it must have ended before the window closes.
        """
        errand = Errand(work, then, on_event, awaited=awaited)
        self._errands.append(errand)
        if self._shutting:
            errand.stop()
        self._timer.start()
        return errand

    @property
    def busy(self) -> bool:
        """Whether any errand is on its way."""
        return bool(self._errands)

    def shut(self) -> None:
        """Stop everything; returns at once. Nobody hears how errands end any more."""
        if self._shutting:
            return
        self._shutting = True
        for errand in self._errands:
            errand.stop()
        self._dismiss()
        self._timer.start()

    def _dismiss(self) -> None:
        """End the workers: asking, waiting and killing takes seconds at worst, so in a thread."""
        clients = [client for client in (self.worker, self.viewer) if client is not None]
        self.worker = self.viewer = None

        def close(tell: Tell, stopped: Stopped) -> object:
            for client in clients:
                client.close()
            return None

        if clients:
            self.start(close, _ignore)

    def _deliver(self) -> None:
        """Hand on what the threads have told."""
        began = time.monotonic()
        for errand in list(self._errands):
            if not self._hand_on(errand, began + AT_MOST):
                continue
            self._errands.remove(errand)
            if not self._shutting:
                errand.then(errand.ended.get())
        if self._shutting and not self._is_shut and not any(errand.awaited for errand in self._errands):
            self._is_shut = True
            self.is_shut.emit()
        if not self._errands:
            self._timer.stop()

    def _hand_on(self, errand: Errand, until: float) -> bool:
        """Hand on the events of an errand; whether it has ended, and all is told."""
        over = not errand.ended.empty()  # before the events, so that none comes after the end
        while not errand.told.empty():
            if time.monotonic() > until:
                return False
            event = errand.told.get()
            if errand.on_event is not None and not self._shutting:
                errand.on_event(event)
        return over


def _ignore(event: object) -> None:
    """For errands whose end is no news."""
