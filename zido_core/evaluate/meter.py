"""Time and memory that a piece of work takes."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

_STATUS, _RESET = Path("/proc/self/status"), Path("/proc/self/clear_refs")


@dataclass
class Cost:
    """Filled when the work is done."""

    seconds: float = 0.0
    """Wall clock."""
    megabytes: float = 0.0
    """Peak of the memory: on a CUDA device what its tensors take, else of the whole process."""


@contextmanager
def measured(device: str = "cpu") -> Iterator[Cost]:
    """Measure what is done inside. Without Linux the peak is that of the process since it began."""
    cost, on_gpu = Cost(), device.startswith("cuda")
    if on_gpu:
        import torch

        torch.cuda.synchronize(device)
        torch.cuda.reset_peak_memory_stats(device)
    else:
        with contextlib.suppress(OSError):
            _RESET.write_text("5")
    began = time.perf_counter()
    yield cost
    if on_gpu:
        torch.cuda.synchronize(device)
    cost.seconds = time.perf_counter() - began
    cost.megabytes = (torch.cuda.max_memory_allocated(device) if on_gpu else _peak()) / 2**20


def _peak() -> float:
    """Largest resident size of this process, bytes."""
    with contextlib.suppress(OSError, StopIteration):
        lines = _STATUS.read_text().splitlines()
        return 1024 * float(next(line.split()[1] for line in lines if line.startswith("VmHWM:")))
    if sys.platform == "win32":
        return float("nan")
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return float(peak if sys.platform == "darwin" else 1024 * peak)
