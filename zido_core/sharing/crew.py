"""Other processes of this machine, and this one, compute the blocks of a job together."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from types import TracebackType
from typing import Self

import torch

from ..device import thread_count
from ..errors import Cancelled, ZidoError
from ..work.claims import claim
from ..work.folder import WorkFolder
from .desk import Desk, Failure
from .process import BlockProcess, Failed, Lost, Taken, Unable

LOSSES = 2
"""Processes that a helper loses one after the other before it gives up: too few to make a block look bad alone."""

LOOK_EVERY = 0.1
"""Seconds between two looks around of who waits."""

TAKEN_PAUSE = 0.3
"""Seconds before a block that somebody else computes is asked for again."""


class Helper(threading.Thread):
    """Has blocks computed by a process, which it replaces when it is lost."""

    def __init__(self, name: str, desk: Desk, start: Callable[[], BlockProcess]) -> None:
        super().__init__(name=name, daemon=True)
        self._desk, self._start_process = desk, start
        self._process: BlockProcess | None = None
        self._lost = 0

    def run(self) -> None:
        while self._lost < LOSSES and not self._desk.over:
            process = self._process = self._start_process()
            with ExitStack() as running:
                try:
                    running.enter_context(process)
                except (Lost, Unable) as error:
                    self._desk.note(self.name, f"cannot help: {error}")
                    return
                self._serve(process)

    def end(self) -> None:
        """End its process."""
        if self._process is not None:
            self._process.end()

    def _serve(self, process: BlockProcess) -> None:
        while (index := self._desk.take()) is not None:
            try:
                process.compute(index, partial(self._desk.told, index))
            except Taken:
                time.sleep(TAKEN_PAUSE)
                self._desk.give_back(index)
            except Failed as error:
                self._desk.fail(index, self.name, error.kind, str(error))
            except Lost as error:
                self._desk.fail(index, self.name, "ZidoError", str(error))
                self._lost += 1
                return
            else:
                self._lost = 0
                self._desk.finish(index)


class Crew:
    """A context manager: helpers that work from its beginning, and are gone at its end."""

    def __init__(self, folder: WorkFolder, desk: Desk, starts: Sequence[Callable[[], BlockProcess]]) -> None:
        """``starts``: what starts the process of each helper."""
        self._folder, self._desk = folder, desk
        self._helpers = [Helper(f"worker {number}", desk, start) for number, start in enumerate(starts, start=2)]

    def __enter__(self) -> Self:
        for helper in self._helpers:
            helper.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._desk.stop()
        enders = [threading.Thread(target=helper.end) for helper in self._helpers]
        for thread in enders:
            thread.start()
        for thread in (*enders, *self._helpers):
            thread.join(LOOK_EVERY if kind is not None else None)

    def work(self, compute: Callable[[int], None], look: Callable[[], None], report: Callable[[Failure], None]) -> None:
        """Compute what the helpers do not, until all is done.

        ``look`` is called all the time, shows progress, and may raise Cancelled; ``report`` hears what has failed.
        """
        while True:
            index = self._desk.take(LOOK_EVERY)
            for failure in self._desk.failures():
                report(failure)
            error = self._desk.error
            if error is not None:
                raise error
            if index is not None:
                self._try(index, compute)
            elif self._desk.over:
                return
            look()

    def _try(self, index: int, compute: Callable[[int], None]) -> None:
        with claim(self._folder, index) as ours:
            if not ours:
                time.sleep(LOOK_EVERY)
                self._desk.give_back(index)
                return
            try:
                if not self._folder.block(index).exists():
                    compute(index)
            except Cancelled:
                raise
            except Exception as error:
                self._desk.fail(index, "worker 1", _kind(error), str(error) or type(error).__name__)
            else:
                self._desk.finish(index, here=True)


def _kind(error: Exception) -> str:
    if isinstance(error, ZidoError):
        return type(error).__name__
    lacks = isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError"
    return "OutOfMemory" if lacks else "ZidoError"


@contextmanager
def part_of_the_cores(workers: int) -> Iterator[None]:
    """While this context lasts, this process uses no more of the cores than each of its helpers."""
    before, threads = os.environ.get("OMP_NUM_THREADS"), torch.get_num_threads()
    each = max(thread_count() // workers, 1)
    os.environ["OMP_NUM_THREADS"] = str(each)
    torch.set_num_threads(min(each, threads))
    try:
        yield
    finally:
        torch.set_num_threads(threads)
        if before is None:
            del os.environ["OMP_NUM_THREADS"]
        else:
            os.environ["OMP_NUM_THREADS"] = before


def helpers(folder: WorkFolder, workers: int, device: str, blocks: int) -> list[Callable[[], BlockProcess]]:
    """What starts each process that works beside this one, so that all have a part of the cores, or a card each."""
    workers = min(workers, blocks)
    if device.startswith("cuda"):
        others = [f"cuda:{index}" for index in range(torch.cuda.device_count()) if f"cuda:{index}" != device]
        return [partial(BlockProcess, folder.path, device=other) for other in others[: workers - 1]]
    if device != "cpu":
        return []
    threads = max(thread_count() // workers, 1)
    return [partial(BlockProcess, folder.path, threads=threads) for _ in range(workers - 1)]
