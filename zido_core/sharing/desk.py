"""Deals out the blocks of a job to threads that have them computed, and counts what fails."""

from __future__ import annotations

import threading
import time
from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import dataclass

from .. import errors

TRIES = 3
"""A block that has failed so often stops the job."""

AT_ONCE = ("Cancelled", "ConfigurationError", "OutputFailed", "OutputNotWritable")
"""Errors that are not a block's own: another try would meet them, too."""


@dataclass(frozen=True, kw_only=True)
class Failure:
    """One that was seen."""

    who: str
    """Who was computing."""
    message: str
    """What happened, in words."""
    block: int | None = None
    """The block, where it was one's failure."""


class Desk:
    """Safe to use from any thread."""

    def __init__(self, work: Mapping[int, int]) -> None:
        """``work``: the blocks to be computed, and how much work each is."""
        self._work = dict(work)
        self._waiting, self._out = deque(work), dict[int, int]()
        self._finished = 0
        self._failed: Counter[int] = Counter()
        self._failures: list[Failure] = []
        self._error: errors.ZidoError | None = None
        self._stopped = False
        self._changed = threading.Condition(threading.RLock())

    def take(self, timeout: float | None = None) -> int | None:
        """A block that nobody has, waiting for one if others may give one back; None: there is none (in that time)."""
        deadline = None if timeout is None else time.monotonic() + timeout
        with self._changed:
            while not self._waiting and not self._over:
                left = None if deadline is None else deadline - time.monotonic()
                if left is not None and left <= 0:
                    return None
                self._changed.wait(left)
            if self._over:
                return None
            index = self._waiting.popleft()
            self._out[index] = 0
            return index

    def told(self, index: int, work: int) -> None:
        """So much of a block is done."""
        with self._changed:
            self._out[index] = work

    def finish(self, index: int, *, here: bool = False) -> None:
        """A block is done and kept; ``here``: by this process, which counts its work itself."""
        with self._changed:
            del self._out[index]
            self._finished += 0 if here else self._work[index]
            self._changed.notify_all()

    def give_back(self, index: int) -> None:
        """A block is not done, and nobody is to blame."""
        with self._changed:
            del self._out[index]
            self._waiting.append(index)
            self._changed.notify_all()

    def fail(self, index: int, who: str, kind: str, message: str) -> None:
        """A block could not be computed; ``kind``: class of the error. It is tried again, but not too often."""
        with self._changed:
            self._failed[index] += 1
            self._failures.append(Failure(who=who, block=index, message=message))
            if kind in AT_ONCE:
                self._error = error_of(kind, message)
            elif self._failed[index] >= TRIES:
                said = f"block {index} failed {TRIES} times, the last time in {who}: {message}"
                self._error = error_of(kind, f"{said}; all other finished blocks are kept")
            self.give_back(index)

    def note(self, who: str, message: str) -> None:
        """Something that went wrong, and was no block's fault."""
        with self._changed:
            self._failures.append(Failure(who=who, message=message))

    def stop(self) -> None:
        """Nobody gets another block."""
        with self._changed:
            self._stopped = True
            self._changed.notify_all()

    def failures(self) -> list[Failure]:
        """What has failed since the last look."""
        with self._changed:
            found, self._failures = self._failures, []
            return found

    @property
    def error(self) -> errors.ZidoError | None:
        """What stops the job."""
        with self._changed:
            return self._error

    @property
    def over(self) -> bool:
        """Whether all blocks are done, or the job has to stop."""
        with self._changed:
            return self._over

    @property
    def done(self) -> int:
        """Work that others have done so far; less than before where a block was lost."""
        with self._changed:
            return self._finished + sum(self._out.values())

    @property
    def _over(self) -> bool:
        return self._stopped or self._error is not None or not (self._waiting or self._out)


def error_of(kind: str, message: str) -> errors.ZidoError:
    """An error of a class that is named."""
    found = getattr(errors, kind, None)
    if isinstance(found, type) and issubclass(found, errors.ZidoError):
        return found(message)
    return errors.ZidoError(message)
