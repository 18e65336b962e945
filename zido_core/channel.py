"""A worker's line to its host: what is said goes out whole and in order, whatever else this process writes.

The protocol moves to descriptors of its own. Standard output then leads where standard error does, so that prints
of Python, of C libraries and of child processes go to the log; standard input gives nothing. The latter also keeps
Windows from stalling: libraries that look at standard input while they load wait there for as long as a thread reads
from the same pipe (numpy issue 24290).
"""

from __future__ import annotations

import dataclasses
import os
import queue
import threading
import time
from collections.abc import Callable
from typing import BinaryIO

from .job import Event, Progress, Started
from .wire import LINE_LIMIT, to_bytes

PROGRESS_EVERY = 0.1
"""Least seconds between two readings of progress; the last one always goes out."""

TEXT_LIMIT = 200
"""Characters that are left of every text of a message that would not fit a line, path or not."""

ITEM_LIMIT = 40
"""Items that are left of every list of such a message."""


def claim_pipes() -> tuple[BinaryIO, int]:
    """What the host sends, and the descriptor on which it listens; to be called before anything is printed."""
    requests, answers = os.dup(0), os.dup(1)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.dup2(2, 1)
    return os.fdopen(requests, "rb"), answers


class Channel:
    """Says events, from any thread. Nobody waits for the host, and a signal never cuts a line in two.

    ``on_lost`` is called once, from a thread of the channel's own, when nobody listens any more.
    """

    def __init__(self, descriptor: int, on_lost: Callable[[], None]) -> None:
        self._descriptor, self._on_lost = descriptor, on_lost
        self._lines: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self._told: tuple[float, int] | None = None
        self._writer = threading.Thread(target=self._write, name="channel", daemon=True)
        self._writer.start()

    def say(self, event: Event) -> None:
        """Send an event. Progress that goes back, or comes too soon after the last, is left out."""
        if isinstance(event, Started):
            self._told = None
        if isinstance(event, Progress) and not self._is_worth_telling(event):
            return
        self._lines.put(fitted(event))

    def close(self, timeout: float) -> None:
        """Wait, so long at most, until all is sent."""
        self._lines.put(None)
        self._writer.join(timeout)

    def _is_worth_telling(self, event: Progress) -> bool:
        now = time.monotonic()
        if self._told is not None:
            at, done = self._told
            if event.done <= done or (now - at < PROGRESS_EVERY and event.done < event.total):
                return False
        self._told = now, event.done
        return True

    def _write(self) -> None:
        try:
            while (line := self._lines.get()) is not None:
                while line:
                    line = line[os.write(self._descriptor, line) :]
        except OSError:
            self._on_lost()
        finally:
            os.close(self._descriptor)


def fitted(event: Event) -> bytes:
    """The event's line; if it is too long for one, with its texts cut in the middle and its lists at the end."""
    line = to_bytes(event)
    if len(line) <= LINE_LIMIT:
        return line
    values = {part.name: _cut(getattr(event, part.name)) for part in dataclasses.fields(event)}
    return to_bytes(dataclasses.replace(event, **values))


def _cut(value: object) -> object:
    if isinstance(value, str) and len(value) > TEXT_LIMIT:
        half = TEXT_LIMIT // 2 - 2
        return f"{value[:half]} ... {value[-half:]}"
    if isinstance(value, tuple):
        return tuple(_cut(item) for item in value[:ITEM_LIMIT])
    return value
