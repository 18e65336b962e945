"""Things done side by side by threads, each with its share of torch's: one tile or piece a core."""

from __future__ import annotations

import contextlib
import sys
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from typing import Any

HEED = 0.1
"""Seconds between two looks whether somebody wants the work to stop."""


class Threads:
    """A ``map`` whose work several threads do; made by ``side_by_side``."""

    def __init__(self, pool: ThreadPoolExecutor | None = None, ahead: int = 0) -> None:
        """``pool``: None where the work is done as it is asked for; ``ahead``: see ``side_by_side``."""
        self._pool, self._ahead = pool, ahead
        self._unwanted = False

    def map(self, work: Callable[..., Any], *things: Any, heed: Callable[[], object] = lambda: None) -> Iterator[Any]:
        """Results in order. ``heed`` is called while one is waited for, and may raise."""
        if self._pool is None:
            yield from map(work, *things)
            return
        waiting: deque[Future[Any]] = deque()
        for some in zip(*things, strict=True):
            waiting.append(self._pool.submit(work, *some))
            if len(waiting) > self._ahead:
                yield _result(waiting.popleft(), heed)
        while waiting:
            yield _result(waiting.popleft(), heed)

    def check(self) -> None:
        """For work that takes long: raises where nobody wants its result any more."""
        if self._unwanted:
            raise CancelledError

    def leave(self) -> None:
        """Nobody wants anything any more: what has not begun is dropped, what has ends where it checks."""
        self._unwanted = True
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)


@contextmanager
def side_by_side(workers: int, *, ahead: int | None = None) -> Iterator[Threads]:
    """Threads that do so many things at a time, each with its share of torch's.

    ``ahead``: things that may be begun, or done and waiting, while whoever takes the results works on one; by default
    twice as many as there are threads.

    Threads that wait for each other in every layer of a small network lose much of their time, most of it on a machine
    that others use, too. Results do not depend on how many there are.
    """
    if workers <= 1:
        yield Threads()
        return
    import torch

    count = torch.get_num_threads()
    share = (max(count // workers, 1),)
    pool = ThreadPoolExecutor(workers, "zido-tiles", initializer=torch.set_num_threads, initargs=share)
    threads = Threads(pool, 2 * workers if ahead is None else ahead)
    try:
        yield threads
    finally:
        threads.leave()
        torch.set_num_threads(count)  # also what threads begin with that are started later
        _give_back_memory()


def _result(future: Future[Any], heed: Callable[[], object]) -> Any:
    while not wait([future], HEED).done:
        heed()
    return future.result()


def _give_back_memory() -> None:
    """To the system, what threads have freed: glibc keeps it in heaps of theirs, hundreds of megabytes after tiles."""
    if sys.platform == "linux":
        import ctypes

        with contextlib.suppress(AttributeError):  # other libraries of C have no such heaps
            ctypes.CDLL(None).malloc_trim(0)
