"""How time and memory grow with the raster, what zido itself costs beside the network, and many workers at once.

    python benchmarks/scale.py [--sides 1024,2048,4096] [--kinds plain,preview] [--workers 1,2] [--bands 3]
    python benchmarks/scale.py --simulate 1000 64

``plain`` is a model that does nothing: what is left is our own cost. Time is CPU time (user and system, helpers
included), which a busy machine changes less than the clock; the exponent is that of time over pixels, the start of a
process taken off. 16384 needs 42 GB of disk that are free, and takes 30 of them; ``--folder`` says where.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

STRIP = 1024
"""Rows of the input that are made at a time."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sides", default="1024,2048,4096", help="sides of the square inputs, pixels")
    parser.add_argument("--kinds", default="plain,preview")
    parser.add_argument("--workers", default="1")
    parser.add_argument("--bands", type=int, default=3, help="1 or 3")
    parser.add_argument("--json", type=Path, help="also write all figures here")
    parser.add_argument("--folder", type=Path, help="where rasters are written (default: a temporary folder)")
    parser.add_argument("--simulate", nargs=2, type=int, metavar=("BLOCKS", "WORKERS"))
    parser.add_argument("--one", nargs=3, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.one:
        return upscale_once(*chosen.one)
    if chosen.simulate:
        return simulate(*chosen.simulate)
    print(machine(), flush=True)
    figures = [
        {"kind": kind, "workers": workers, **row}
        for kind in chosen.kinds.split(",")
        for workers in map(int, chosen.workers.split(","))
        for row in series(kind, workers, list(map(int, chosen.sides.split(","))), chosen)
    ]
    if chosen.json:
        chosen.json.write_text(json.dumps(figures, indent=1) + "\n")
    return None


def machine() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    model = next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return f"{model}, {len(os.sched_getaffinity(0))} cores, load {os.getloadavg()[0]:.1f}"


def series(kind: str, workers: int, sides: Sequence[int], chosen: argparse.Namespace) -> list[dict[str, Any]]:
    """One row a side; the exponent between each and the one before."""
    start = measured(kind, 1, 16, chosen)["cpu"]
    print(f"{kind}, workers {workers}: start {start:.1f} s of CPU", flush=True)
    rows: list[dict[str, Any]] = []
    for side in sides:
        row = {"side": side, **measured(kind, workers, side, chosen)}
        row["work"] = row["cpu"] - start * workers
        if rows:
            before = rows[-1]
            row["exponent"] = math.log(row["work"] / before["work"]) / math.log((side / before["side"]) ** 2)
            row["growth"] = row["megabytes"] / before["megabytes"]
        rows.append(row)
        print("  " + ", ".join(f"{name} {value:.5g}" for name, value in row.items()), flush=True)
    return rows


def measured(kind: str, workers: int, side: int, chosen: argparse.Namespace) -> dict[str, float]:
    """Upscale a square raster by four in a process of its own."""
    with tempfile.TemporaryDirectory(dir=chosen.folder) as folder:
        source, manifest = Path(folder) / "in.tif", Path(folder) / "manifest.json"
        make_raster(source, side, chosen.bands)
        words = [kind, str(workers), folder]
        began = time.perf_counter()
        child = subprocess.Popen([sys.executable, __file__, "--one", *words], cwd=ROOT)
        _, status, usage = os.wait4(child.pid, 0)
        if os.waitstatus_to_exitcode(status):
            raise SystemExit(f"{words} failed")
        parts = json.loads(manifest.read_text())["seconds"]
        return {
            "cpu": usage.ru_utime + usage.ru_stime,
            "seconds": time.perf_counter() - began,
            "megabytes": usage.ru_maxrss / 1024,
            "network share": parts.get("network", 0) / sum(parts.values()),
        }


def make_raster(path: Path, side: int, bands: int = 3) -> None:
    """Real pixels, repeated in mirror image; every repetition is a little brighter or darker than its neighbours."""
    import rasterio

    with rasterio.open(ROOT / "examples" / "houses.tif") as source:
        tile, crs, transform = source.read()[:bands], source.crs, source.transform
    step = tile.shape[1]
    profile = {"driver": "GTiff", "count": bands, "height": side, "width": side, "dtype": "uint8", "tiled": True}
    generator = np.random.default_rng(5)
    with rasterio.open(path, "w", **profile, crs=crs, transform=transform) as target:
        for row in range(0, side, step):
            for col in range(0, side, step):
                turned = tile[:, :: 1 - 2 * (row // step % 2), :: 1 - 2 * (col // step % 2)]
                varied = np.clip(turned * generator.uniform(0.8, 1.1) + generator.normal(0, 1, turned.shape), 0, 255)
                height, width = min(step, side - row), min(step, side - col)
                window = rasterio.windows.Window(col, row, width, height)
                target.write(varied.astype(np.uint8)[:, :height, :width], window=window)


def upscale_once(kind: str, workers: str, folder: str) -> None:
    """What the measured process does."""
    from zido_core import Upscaler, upscale

    named: dict[str, Any] = {"device": "cpu", "manifest": f"{folder}/manifest.json", "max_pixels": 10**9}
    source, output = f"{folder}/in.tif", f"{folder}/out.tif"
    if kind == "plain":
        from tests.plain_backbone import PlainBackbone
        from zido_core.options import Options

        model = Upscaler(PlainBackbone(), Options(device="cpu", precision="fp32"))
        model.upscale(source, output, preset="preview", **named)
    else:
        upscale(source, output, preset=kind, workers=int(workers), **named)


class Simulated:
    """Stands for a process that does next to nothing, and sometimes fails or is lost."""

    def __init__(self, folder: Any, generator: np.random.Generator) -> None:
        from zido_core.work.store import FolderStore

        self._folder, self._generator, self._store = folder, generator, FolderStore(folder)
        self._image = np.zeros((3, 8, 8), np.float32)

    def __enter__(self) -> Simulated:
        return self

    def __exit__(self, *raised: object) -> None:
        self._store.close()

    def compute(self, index: int, told: Any) -> None:
        from zido_core.sharing.process import Failed, Lost, Taken
        from zido_core.work.claims import claim

        with claim(self._folder, index) as ours:
            if not ours:
                raise Taken
            chance = self._generator.random()
            if chance < 0.01:
                raise Lost("it ended with SIGKILL")
            if chance < 0.03:
                raise Failed("NotFinite", "NaN")
            self._store.put(index, self._image, 0)

    def end(self) -> None:
        """Nothing to end."""


def simulate(blocks: int, workers: int) -> None:
    """Many workers, a job of many blocks, and failures: what dealing out costs, and whether anything is lost."""
    from zido_core.sharing.crew import Crew
    from zido_core.sharing.desk import Desk
    from zido_core.work.folder import Description, WorkFolder
    from zido_core.work.store import FolderStore

    place = Path(tempfile.mkdtemp())
    folder, failures = WorkFolder(place / "out.tif.zido"), list[Any]()
    folder.make()
    folder.describe(Description(input="a", output="b", options={}, blocks=blocks, fingerprint={}))
    desk, store, lock = Desk(dict.fromkeys(range(blocks), 1)), FolderStore(folder), threading.Lock()
    starts = [
        partial(Simulated, WorkFolder(folder.path, f"host-{n}"), np.random.default_rng(n)) for n in range(workers)
    ]
    before, began = resource.getrusage(resource.RUSAGE_SELF), time.perf_counter()

    def compute(index: int) -> None:
        with lock:
            store.put(index, np.zeros((3, 8, 8), np.float32), 0)

    with Crew(folder, desk, starts) as crew:  # type: ignore[arg-type]
        crew.work(compute, lambda: None, failures.append)
    after = resource.getrusage(resource.RUSAGE_SELF)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    there = sum(store.holds(index) for index in range(blocks))
    written = sum(entry["event"] == "block" for path in folder.path.glob("journal*") for entry in entries(path))
    print(machine())
    print(f"{blocks} blocks, {workers} workers, {len(failures)} failures: {there} blocks there, {written} written")
    print(f"{1000 * cpu / blocks:.2f} ms of CPU a block, {time.perf_counter() - began:.1f} s in all")
    shutil.rmtree(place)


def entries(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


if __name__ == "__main__":
    main()
