"""Ctrl-C and SIGTERM: ask politely, insist after a second, leave in any case before two seconds are over."""

from __future__ import annotations

import _thread
import contextlib
import os
import shlex
import signal
import socket
import threading
from types import FrameType, TracebackType
from typing import Any

from .errors import Cancelled
from .job import CancelToken


def stopped_text(work: str | None = None) -> str:
    """What is said of a job that was stopped; ``work``: folder from which it can be continued."""
    return "zido: stopped; nothing was written" if work is None else f"zido: stopped; {continue_text(work)}"


def continue_text(work: str) -> str:
    """How to go on with work that is kept."""
    return f"what is done is kept; go on with: zido resume {shlex.quote(work)}"


INSIST_AFTER = 1.0
"""Seconds after which work that did not look at its token is interrupted where it stands."""

LEAVE_AFTER = 1.9
"""Seconds after which the process ends, whatever it is doing; results only get their name when complete."""


class Interrupt:
    """While this context lasts, SIGINT and SIGTERM cancel the token; only for the main thread.

    A thread of its own hears of signals through a socket, because Python's handlers run only between two
    instructions of the main thread, which may be deep in a long computation.
    """

    def __init__(self, token: CancelToken) -> None:
        self._token = token
        self._before: dict[signal.Signals, Any] = {}
        self._signals = 0
        self._insisting = False
        self._over = threading.Event()

    def __enter__(self) -> CancelToken:
        self._ear, self._mouth = socket.socketpair()
        self._mouth.setblocking(False)
        self._wakeup = signal.set_wakeup_fd(self._mouth.fileno(), warn_on_full_buffer=False)
        for number in (signal.SIGINT, signal.SIGTERM):
            self._before[number] = signal.signal(number, self._on_signal)
        self._watcher = threading.Thread(target=self._watch, name="interrupt", daemon=True)
        self._watcher.start()
        return self._token

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        for number, handler in self._before.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(self._wakeup)
        self._mouth.close()
        self._watcher.join()
        self._ear.close()

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        self._signals += 1
        if self._signals > 1 or self._insisting:
            raise KeyboardInterrupt

    def _watch(self) -> None:
        """Wait for the first signal; then see to it that the process ends in time."""
        if not self._ear.recv(1):
            return  # the context is over, and the other end closed
        self._token.cancel()
        if not self._over.wait(INSIST_AFTER):
            self._insisting = True
            interrupt_main_thread()
        if not self._over.wait(LEAVE_AFTER - INSIST_AFTER):
            _leave(self._token)


def interrupt_main_thread() -> None:
    """Raise KeyboardInterrupt, or what the handler of SIGINT does, in the main thread."""
    if hasattr(signal, "pthread_kill"):
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)  # also wakes it from waiting
    else:
        _thread.interrupt_main()


def _leave(token: CancelToken) -> None:
    # Whoever listened may be gone: then the write fails, and the process must end all the same.
    with contextlib.suppress(OSError):
        os.write(2, f"{stopped_text(token.work)}\n".encode())
    os._exit(Cancelled.exit_code)
