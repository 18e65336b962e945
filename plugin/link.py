"""One worker process, and the lines to it and from it."""

from __future__ import annotations

import contextlib
import os
import queue
import signal
import subprocess  # for the class of an error  # nosec B404
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, cast

from ..zido_core.errors import ConfigurationError, ProtocolMismatch
from ..zido_core.job import Event, Heartbeat, Message
from ..zido_core.wire import LINE_LIMIT, from_bytes, to_bytes
from .launch import spawn

TAIL = 16 * 1024
"""Bytes at the end of the log among which an explanation is looked for."""

BACKLOG = 100
"""Messages that may wait to be received; signs of life beyond that are left out."""

_CLOSED = object()


class Closed(Exception):
    """The worker says no more."""


class Link:
    """Starts a worker, sends it requests and hands out its events. Raises OSError where it cannot be started.

    A thread reads, so that the worker never waits for the host. Lines that are no messages are left out: whatever
    is written to a pipe before the worker claims it does no harm, and neither does a line that is cut off.
    """

    def __init__(self, command: Sequence[str], log: Path | None, environment: Mapping[str, str]) -> None:
        self.command, self.log = tuple(command), log
        self._process = spawn(command, log, environment)
        self._to_worker = cast("IO[bytes]", self._process.stdin)
        self._from_worker = cast("IO[bytes]", self._process.stdout)
        self._received: queue.SimpleQueue[object] = queue.SimpleQueue()
        self._reader = threading.Thread(target=self._read, name="zido worker", daemon=True)
        self._reader.start()

    def send(self, message: Message) -> None:
        """Say something; if nobody is there to hear it, `receive` will tell."""
        line = to_bytes(message)
        if len(line) > LINE_LIMIT:
            raise ConfigurationError(
                f"the job takes {len(line)} bytes to describe, and {LINE_LIMIT} are possible; use a shorter prompt, or "
                "a file of prompts"
            )
        with contextlib.suppress(OSError, ValueError):  # broken, or closed
            self._to_worker.write(line)
            self._to_worker.flush()

    def receive(self, timeout: float) -> Event | None:
        """The next event; None if none comes in time.

        Raises Closed when there are no more, and ProtocolMismatch if the worker is of a version that cannot be
        understood.
        """
        try:
            received = self._received.get(timeout=timeout)
        except queue.Empty:
            return None
        if received is _CLOSED:
            self._received.put(_CLOSED)
            raise Closed
        if isinstance(received, ProtocolMismatch):
            raise received
        return received if isinstance(received, Event) else None

    def forget(self) -> None:
        """Leave out what has come since the last job: signs of life."""
        for _ in range(self._received.qsize()):
            with contextlib.suppress(Closed, ProtocolMismatch):
                self.receive(0)

    @property
    def alive(self) -> bool:
        """Whether the process runs and may say more."""
        return self._process.poll() is None and self._reader.is_alive()

    def wait(self, timeout: float) -> int | None:
        """The exit code; negative for a signal; None if the process still runs after so many seconds."""
        try:
            return self._process.wait(timeout)
        except subprocess.TimeoutExpired:
            return None

    def hang_up(self) -> None:
        """Close the worker's input, upon which it leaves."""
        with contextlib.suppress(OSError):
            self._to_worker.close()

    def terminate(self) -> None:
        """Tell the process to end."""
        self._signal(signal.SIGTERM)

    def kill(self) -> None:
        """End the process, and what it has started, without asking."""
        self._signal(getattr(signal, "SIGKILL", signal.SIGTERM))

    def tail(self, lines: int = 20) -> list[str]:
        """The last lines of the log."""
        with contextlib.suppress(OSError), open(self.log or os.devnull, "rb") as file:
            file.seek(max(0, os.fstat(file.fileno()).st_size - TAIL))
            return file.read().decode("utf-8", "replace").splitlines()[-lines:]
        return []

    def _signal(self, number: int) -> None:
        if self._process.poll() is not None:
            return
        with contextlib.suppress(OSError):
            if os.name == "nt":
                self._process.terminate()
            else:
                os.killpg(self._process.pid, number)

    def _read(self) -> None:
        with contextlib.suppress(OSError), self._from_worker as lines:
            while line := lines.readline(LINE_LIMIT + 1):
                try:
                    message = from_bytes(line)
                    if self._received.qsize() < BACKLOG or not isinstance(message, Heartbeat):
                        self._received.put(message)
                except ProtocolMismatch as error:
                    self._received.put(error)
                except ConfigurationError:
                    continue
        self._received.put(_CLOSED)
