"""Computes blocks of one job for another process of zido, whose side is `sharing.process`; the model stays loaded."""

from __future__ import annotations

import json
import os
import queue
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, NoReturn

from .block_job import BlockJob
from .channel import claim_pipes
from .runner import failure
from .work.claims import claim

BEAT = 0.5
"""Seconds between two signs of life while a block is computed."""


def serve(folder: Path, device: str | None) -> NoReturn:
    """Compute what is asked for, until nobody is there who could ask."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # whoever asks hears of it, and decides
    requests, descriptor = claim_pipes()
    orders: queue.SimpleQueue[int] = queue.SimpleQueue()
    threading.Thread(target=_listen, args=(requests, orders), name="orders", daemon=True).start()
    answers = _Answers(descriptor)
    try:
        with BlockJob(folder, device=device) as job:
            answers.say(ready=os.getpid())
            while True:
                _answer(job, orders.get(), answers)
    except Exception as error:
        failed = failure(error)
        answers.say(unable=failed.message, kind=failed.kind)
    os._exit(0)  # the listening thread must not keep it


def _listen(requests: BinaryIO, orders: queue.SimpleQueue[int]) -> None:
    for line in requests:
        orders.put(int(line))
    os._exit(0)  # in the middle of a block, if need be: what is not complete is not there


class _Answers:
    """Lines of JSON, each written whole."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor, self._lock = descriptor, threading.Lock()

    def say(self, **answer: Any) -> None:
        line = json.dumps(answer).encode() + b"\n"
        with self._lock:
            while line:
                line = line[os.write(self._descriptor, line) :]


class _Beat:
    """Tells how much of a block is done, also while that stays the same."""

    def __init__(self, index: int, answers: _Answers) -> None:
        self._index, self._answers, self._work = index, answers, 0
        self._over = threading.Event()

    def advance(self, work: int) -> None:
        self._work += work

    @contextmanager
    def beating(self) -> Iterator[None]:
        thread = threading.Thread(target=self._beat, name="beat", daemon=True)
        thread.start()
        try:
            yield
        finally:
            self._over.set()
            thread.join()

    def _beat(self) -> None:
        while not self._over.wait(BEAT):
            self._answers.say(block=self._index, work=self._work)


def _answer(job: BlockJob, index: int, answers: _Answers) -> None:
    beat = _Beat(index, answers)
    end: dict[str, Any] = {"end": "done"}
    with claim(job.folder, index) as ours:
        if not ours:
            end = {"end": "taken"}
        elif not job.folder.block(index).exists():
            try:
                with beat.beating():
                    job.compute(index, beat.advance)
            except Exception as error:
                failed = failure(error)
                end = {"end": "failed", "kind": failed.kind, "message": failed.message}
    answers.say(block=index, **end)
