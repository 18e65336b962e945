"""How soon a worker stops: on request, and when its host is gone. With the embedded model, at random moments.

    python benchmarks/worker.py [--tries 50] [--preset balanced] [--side 768]

Prints the median, the 95th percentile and the longest time. Fails if a request takes two seconds in the 95th
percentile, the loss of the host three at the longest, or if either leaves a file.
"""

from __future__ import annotations

import argparse
import os
import random
import statistics
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

CANCEL_LIMIT = 2.0
"""Seconds from a request to the job's last event, 95th percentile."""

GONE_LIMIT = 3.0
"""Seconds from the loss of the host to the worker's end, longest."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tries", type=int, default=50)
    parser.add_argument("--preset", default="balanced")
    parser.add_argument("--side", type=int, default=768, help="side of the square input, pixels")
    chosen = parser.parse_args()
    from tests.as_host import load_as_host

    load_as_host()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        pixels = np.random.default_rng(0).integers(0, 256, (chosen.side, chosen.side, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / "in.png")
        requested = [cancelled_after(folder, chosen.preset, delay) for delay in delays(chosen.tries)]
        abandoned = [abandoned_after(folder, chosen.preset, delay) for delay in delays(max(chosen.tries // 5, 2))]
        left = sorted(path.name for path in folder.iterdir() if path.name not in ("in.png", "logs"))
    report("request to stop", requested)
    report("host gone", abandoned)
    if percentile(requested) > CANCEL_LIMIT or max(abandoned) > GONE_LIMIT or left:
        sys.exit(f"too slow, or files were left: {left}")


def delays(count: int) -> list[float]:
    """Seconds into a job at which it is stopped."""
    generator = random.Random(0)
    return [generator.uniform(0.0, 3.0) for _ in range(count)]


_clients: list[Any] = []


def client_in(folder: Path) -> Any:
    """The one client; its worker stays warm."""
    from zido.plugin.client import Client
    from zido.plugin.launch import worker_command

    if not _clients:
        places = {"PYTHONPATH": str(ROOT)}
        _clients.append(Client(worker_command(sys.executable), log_folder=folder / "logs", environment=places))
    return _clients[0]


class Stopwatch:
    """Does something so many seconds after the plan is known, and measures from there."""

    def __init__(self, delay: float, act: Any) -> None:
        self.began = 0.0
        self._delay, self._act = delay, act

    def __call__(self, event: Any) -> None:
        from zido.zido_core.job import Plan

        if isinstance(event, Plan):
            threading.Timer(self._delay, self._now).start()

    def _now(self) -> None:
        self.began = time.monotonic()
        self._act()


def job_in(folder: Path, preset: str) -> Any:
    from zido.zido_core.job import Job
    from zido.zido_core.options import Options

    return Job(input=str(folder / "in.png"), output=str(folder / "out.png"), options=Options(preset=preset))


def cancelled_after(folder: Path, preset: str, delay: float) -> float:
    """Seconds from the request to the job's end."""
    client = client_in(folder)
    watch = Stopwatch(delay, client.cancel)
    end = client.run(job_in(folder, preset), watch)
    took = time.monotonic() - watch.began
    if type(end).__name__ != "Cancelled":
        sys.exit(f"the job ended before it could be cancelled; take a larger --side: {end}")
    return took


def abandoned_after(folder: Path, preset: str, delay: float) -> float:
    """Seconds from the end of the pipe, which is what a dead host leaves, to the end of the worker."""
    client = client_in(folder)
    client.start()
    link = client._link
    watch = Stopwatch(delay, link.hang_up)
    client.run(job_in(folder, preset), watch)
    link.wait(10)
    return time.monotonic() - watch.began


def percentile(seconds: list[float]) -> float:
    return statistics.quantiles(seconds, n=20)[-1]


def report(name: str, seconds: list[float]) -> None:
    load = os.getloadavg()[0]
    print(
        f"{name}: median {statistics.median(seconds):.2f} s, p95 {percentile(seconds):.2f} s, "
        f"longest {max(seconds):.2f} s ({len(seconds)} tries, load {load:.1f})"
    )


if __name__ == "__main__":
    main()
