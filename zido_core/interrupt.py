"""Ctrl-C and SIGTERM: ask politely, insist after a second, leave in any case before two seconds are over."""

from __future__ import annotations

import _thread
import contextlib
import os
import signal
import threading
from types import FrameType, TracebackType
from typing import Any

from .errors import Cancelled
from .job import CancelToken

STOPPED = "zido: stopped; nothing was written"

INSIST_AFTER = 1.0
"""Seconds after which work that did not look at its token is interrupted where it stands."""

LEAVE_AFTER = 1.9
"""Seconds after which the process ends, whatever it is doing; results only get their name when complete."""


class Interrupt:
    """While this context lasts, SIGINT and SIGTERM cancel the token; only for the main thread."""

    def __init__(self, token: CancelToken) -> None:
        self._token = token
        self._timers: list[threading.Timer] = []
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> CancelToken:
        for number in (signal.SIGINT, signal.SIGTERM):
            self._before[number] = signal.signal(number, self._on_signal)
        return self._token

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for timer in self._timers:
            timer.cancel()
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        if self._token.cancelled:
            raise KeyboardInterrupt
        self._token.cancel()
        self._timers = [
            threading.Timer(INSIST_AFTER, _interrupt_main_thread),
            threading.Timer(LEAVE_AFTER, _leave),
        ]
        for timer in self._timers:
            timer.daemon = True
            timer.start()


def _interrupt_main_thread() -> None:
    if hasattr(signal, "pthread_kill"):
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)  # also wakes it from waiting
    else:
        _thread.interrupt_main()


def _leave() -> None:
    # Whoever listened may be gone: then the write fails, and the process must end all the same.
    with contextlib.suppress(OSError):
        os.write(2, f"{STOPPED}\n".encode())
    os._exit(Cancelled.exit_code)
