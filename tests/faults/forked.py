"""Runs of the command line in forked processes: nothing that a file does can end the test, and everything is seen."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import sys
import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.plain_backbone import PlainBackbone

SECONDS = 10
"""What takes longer counts as hanging: of the processor's time, which other programs change little."""
WAITING = 60
"""The same for waiting: seconds of the clock."""


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What became of one file."""

    name: str
    """Of the file."""
    code: int | None
    """Exit code; None if the process died or hung."""
    told: str
    """All of stderr."""
    left: tuple[str, ...]
    """Files that were not there before, in the folder of the outputs."""


def run_all(files: Sequence[Path], outputs: Path, *, batch: int = 40) -> list[Outcome]:
    """``zido FILE -o OUTPUT`` for every file, with the plain model; ``outputs`` is emptied after each."""
    done: list[Outcome] = []
    while len(done) < len(files):
        # A child that dies is followed by one that begins behind the file that killed it.
        done += _child(files[len(done) : len(done) + batch], outputs)
    return done


def _child(files: Sequence[Path], outputs: Path) -> list[Outcome]:
    reading, writing = os.pipe()
    process = os.fork()
    if not process:
        os.close(reading)
        with os.fdopen(writing, "w") as report, contextlib.suppress(BaseException):
            _work(files, outputs, report)
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as report:
        told = [json.loads(line) for line in report]
    outcomes = [Outcome(**{**each, "left": tuple(each["left"])}) for each in told]
    os.waitpid(process, 0)
    if len(outcomes) < len(files):
        left = _emptied(outputs)
        outcomes.append(Outcome(name=files[len(outcomes)].name, code=None, told="died or hung", left=left))
    return outcomes


def _work(files: Sequence[Path], outputs: Path, report) -> None:
    import torch

    from zido_core import cli, pipeline

    torch.set_num_threads(1)  # a fork has none of its parent's threads
    pipeline.load_backbone = lambda *_, **__: PlainBackbone()
    for number in (signal.SIGALRM, signal.SIGPROF):
        signal.signal(number, signal.SIG_DFL)
    for path in files:
        signal.setitimer(signal.ITIMER_PROF, SECONDS)
        signal.alarm(WAITING)
        with (outputs.parent / "stderr").open("w+") as stream:
            os.dup2(stream.fileno(), 2)
            sys.stderr = os.fdopen(2, "w", buffering=1, closefd=False)
            try:
                code = cli.execute([str(path), "-o", str(outputs / "out.tif"), "--device", "cpu", "--quiet"])
            except BaseException:
                code = -1
                traceback.print_exc()
            sys.stderr.flush()
            stream.seek(0)
            told = stream.read()
        left = _emptied(outputs)
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.alarm(0)
        report.write(json.dumps({"name": path.name, "code": code, "told": told, "left": left}) + "\n")
        report.flush()


def _emptied(folder: Path) -> tuple[str, ...]:
    """Names of what is in a folder, which is deleted."""
    names = tuple(sorted(path.name for path in folder.iterdir()))
    shutil.rmtree(folder)
    folder.mkdir()
    return names
