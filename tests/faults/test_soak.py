"""A long run in short: tens of thousands of tiles with failures among them, workers that come and go; nothing adds up.

``ZIDO_SOAK`` says how many tiles (``make test-faults`` takes 50,000), with 1 % out of memory and 0.1 % NaN.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from zido_core.backbones.base import ScheduleSpec
from zido_core.sampling import network
from zido_core.sampling.denoise import PromptPlan, denoise
from zido_core.sampling.samplers import sampler_for
from zido_core.sampling.windows import Windows
from zido_core.sharing.crew import Crew
from zido_core.sharing.desk import Desk, Failure
from zido_core.sharing.process import BlockProcess
from zido_core.tiling.grid import Size, even_grid
from zido_core.work.folder import Description, WorkFolder, work_folder
from zido_core.work.store import FolderStore

TILES = int(os.environ.get("ZIDO_SOAK", "3000"))
ROUNDS = 20
"""Blocks of tiles; a worker is lost in each."""

pytestmark = pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="reads /proc")

WORKER = """
import json, os, sys, time
print(json.dumps({"ready": 1}), flush=True)
for line in sys.stdin:
    if sys.argv[1] == "dies":
        time.sleep(0.3)
        os.kill(os.getpid(), 9)
    print(json.dumps({"block": int(line), "end": "done"}), flush=True)
"""
"""Another process: the first one of a round is lost with its block, the second one does it."""


def megabytes() -> float:
    """Memory that this process holds."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


def handles() -> int:
    return len(os.listdir("/proc/self/fd"))


class Troubled:
    """A network that runs out of memory in 1 % of its calls, and gives NaN for 0.1 % of the tiles."""

    def __init__(self) -> None:
        self._generator = np.random.default_rng(11)
        self.tiles = self.full = self.bad = 0

    def predict(self, crops: Tensor, time: Tensor, tiles: Any, prompt_ids: Any) -> Tensor:
        if len(crops) > 1 and self._generator.random() < 0.01:
            self.full += 1
            raise torch.OutOfMemoryError("out of memory")
        self.tiles += len(crops)
        out = torch.zeros_like(crops)
        bad = torch.from_numpy(self._generator.random(len(crops)) < 0.001)
        self.bad += int(bad.sum())
        out[bad] = float("nan")
        return out

    def precisely(self, crops: Tensor, time: Tensor, tiles: Any, prompt_ids: Any) -> Tensor:
        return torch.zeros_like(crops)


def test_soak(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(network, "one_by_one", lambda device: False)  # batches, as on an accelerator
    grid, net = even_grid(Size(80, 80), 16, 8), Troubled()
    steps = -(-TILES // (ROUNDS * len(grid)))
    folder = WorkFolder(work_folder(tmp_path / "out.tif"))
    folder.make()
    folder.describe(Description(input="a", output="b", options={}, blocks=ROUNDS, fingerprint={}))
    store, seen = FolderStore(folder), list[tuple[int, float, int]]()

    def compute(index: int) -> None:
        if index >= ROUNDS:  # the other process is not back yet
            return
        latents = denoise(
            torch.zeros(1, 80, 80),
            predict=net.predict,
            retry=net.precisely,
            scheduler=sampler_for("ddim", ScheduleSpec(prediction_type="v_prediction"), steps, ()),
            windows=Windows(grid=grid, weighting="gaussian"),
            prompts=PromptPlan(positive=(0,) * len(grid)),
            tile_batch=4,
        )
        assert bool(torch.isfinite(latents).all())
        store.put(index, latents.numpy(), 0)

    lost: list[Failure] = []
    for index in range(ROUNDS):
        ways = ["does", "dies"]

        def start(ways: list[str] = ways) -> BlockProcess:
            return BlockProcess(folder.path, command=[sys.executable, "-S", "-c", WORKER, ways.pop()])

        desk = Desk({ROUNDS + index: 1, index: 1})
        with Crew(folder, desk, [start]) as crew:
            while not desk._out and not desk.over:  # the other process gets the first one
                time.sleep(0.005)
            crew.work(compute, lambda: None, lost.append)
        seen.append((net.tiles, megabytes(), handles()))
    store.close()
    settled = seen[ROUNDS // 4 :]
    slope = np.polyfit([tiles / 1000 for tiles, *_ in settled], [memory for _, memory, _ in settled], 1)[0]
    assert len({count for *_, count in settled}) == 1, seen
    assert len(lost) == ROUNDS
    assert net.full > 0
    assert slope < 1 or settled[-1][1] - settled[0][1] < 2, seen
    print(
        f"{net.tiles} tiles, {net.full} out of memory, {net.bad} NaN, {len(lost)} lost, {slope:.3f} MB per 1,000 tiles"
    )
