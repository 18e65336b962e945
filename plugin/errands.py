"""Work that the window waits for without standing still: each errand has a thread, and the two workers behind them.

One worker upscales, and keeps its model loaded. The other only looks at files: it answers at once also while the first
one works, and is there before PyTorch is loaded.
"""

from __future__ import annotations

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


class Errand(QtCore.QThread):
    """One piece of work in a thread of its own."""

    said = Signal(object)
    """What the work tells on its way."""

    ended = Signal(object)
    """What it returned; `Failed` if it raised."""

    def __init__(self, work: Work, parent: QtCore.QObject) -> None:
        super().__init__(parent)
        self._work = work

    def run(self) -> None:
        """For Qt, in the new thread."""
        try:
            end = self._work(self.said.emit, self.isInterruptionRequested)
        except Stop:
            end = Cancelled()
        except ZidoError as error:
            end = Failed(message=str(error), kind=type(error).__name__, code=error.exit_code)
        except Exception as error:  # whatever it is, the window goes on and says so
            end = Failed(message=f"internal error ({type(error).__name__}: {error}); please report it")
        self.ended.emit(end)

    def stop(self) -> None:
        """Ask it to end soon."""
        self.requestInterruption()


class Desk(QtCore.QObject):
    """The errands of a window and its two workers. After `shut`, when `is_shut` is told, nothing of them is left."""

    is_shut = Signal()

    def __init__(self, parent: QtCore.QObject) -> None:
        super().__init__(parent)
        self.worker: Client | None = None
        self.viewer: Client | None = None
        self._errands: list[Errand] = []
        self._shutting = False

    def employ(self, python: str, *, worker: Sequence[str] = (), viewer: Sequence[str] = ()) -> None:
        """Have workers in this Python from now on. The commands are other ones than usual for tests."""
        self._dismiss()
        self.worker = Client(worker or worker_command(python, idle=IDLE))
        self.viewer = Client(viewer or [*worker_command(python, idle=0), "--views"])

    def start(
        self, work: Work, then: Callable[[object], None], on_event: Callable[[object], None] | None = None
    ) -> Errand:
        """Do something in a thread; ``on_event`` and ``then`` are called in this one."""
        errand = Errand(work, self)
        self._errands.append(errand)
        if on_event is not None:
            errand.said.connect(on_event)
        errand.ended.connect(then)
        errand.finished.connect(self._clear)
        if self._shutting:
            errand.stop()
        errand.start()
        return errand

    @property
    def busy(self) -> bool:
        """Whether any errand is on its way."""
        return bool(self._errands)

    def shut(self) -> None:
        """Stop everything; returns at once."""
        if self._shutting:
            return
        self._shutting = True
        for errand in self._errands:
            errand.ended.disconnect()  # nobody is there to hear it
            errand.stop()
        self._dismiss()

    def _dismiss(self) -> None:
        """End the workers: asking, waiting and killing takes seconds at worst, so in a thread."""
        clients = [client for client in (self.worker, self.viewer) if client is not None]
        self.worker = self.viewer = None

        def close(tell: Tell, stopped: Stopped) -> object:
            for client in clients:
                client.close()
            return None

        if clients or self._shutting:
            errand = Errand(close, self)
            self._errands.append(errand)
            errand.finished.connect(self._clear)
            errand.start()

    def _clear(self) -> None:
        self._errands = [errand for errand in self._errands if not errand.isFinished()]
        if self._shutting and not self._errands:
            self.is_shut.emit()
