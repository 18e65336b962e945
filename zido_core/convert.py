"""Pickles of PyTorch (``.pth``, ``.ckpt``, ``.bin``) become safetensors, once, in a process of its own."""

from __future__ import annotations

import errno
import json
import os
import subprocess  # nosec B404
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from .errors import InputRefused, ModelMissing, OutputFailed, ZidoError

PROGRAM = Path(__file__).with_name("unpickle.py")

PAUSE = 0.05
"""Seconds between two looks at the process."""


def convert(
    source: Path,
    target: Path,
    *,
    leave_out: Sequence[str] = (),
    check: Callable[[], None] = lambda: None,
) -> int:
    """Write the tensors of a pickle as safetensors and tell how many; ``target`` appears when it is complete.

    Tensors whose names begin with one of ``leave_out`` are dropped. ``check`` may raise to stop.
    """
    part = target.with_name(f"{target.name}.part")
    # -P: the folder of the program is zido's own, and must not be searched for modules.
    command = [sys.executable, "-P", str(PROGRAM), str(source), str(part), *leave_out]
    try:
        answer = _answer(command, check)
        if "tensors" not in answer:
            raise _error(source, part, answer)
        os.replace(part, target)
    finally:
        part.unlink(missing_ok=True)
    return int(answer["tensors"])


def _answer(command: Sequence[str], check: Callable[[], None]) -> dict[str, Any]:
    # A list, which no shell sees: this Python and files that the user named.
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)  # nosec B603
    with process:
        try:
            while process.poll() is None:
                check()
                time.sleep(PAUSE)
        except BaseException:
            process.kill()
            raise
        out, err = process.communicate()
    try:
        answer: dict[str, Any] = json.loads(out.splitlines()[-1])
    except (ValueError, IndexError):
        said = err.strip().splitlines()
        why = said[-1] if said else f"it ended with status {process.returncode}, perhaps for lack of memory"
        return {"error": why}
    return answer


def _error(source: Path, part: Path, answer: dict[str, Any]) -> ZidoError:
    reason = answer["error"]
    if answer.get("refused"):
        return InputRefused(
            f"{source} is not converted: opening it could run code ({reason}); expected a pickle of tensors alone"
        )
    if answer.get("errno") == errno.ENOSPC:
        return OutputFailed(f"disk full while {source.name} was converted in {part.parent}; free some space")
    return ModelMissing(f"{source} could not be converted to safetensors ({reason}); is it whole? Get it again")
