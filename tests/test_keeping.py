"""When the state of a block is saved, and from where it can go on."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from zido_core.catalog import describe
from zido_core.keeping import EVERY, Keeper
from zido_core.options import Options, resolve

OPTIONS = resolve(Options(steps=6), describe("mini"), "raster")
DEVICE = torch.device("cpu")


class Shelf:
    """A slot in memory."""

    def __init__(self) -> None:
        self.kept: tuple[int, np.ndarray] | None = None
        self.steps: list[int] = []

    def load(self):
        return self.kept

    def save(self, step: int, latents: np.ndarray) -> None:
        self.kept = step, latents.copy()
        self.steps.append(step)


@pytest.mark.parametrize(
    ("every", "sampler", "seconds", "saved"),
    [
        (None, "ddim", EVERY / 10, []),
        (None, "ddim", EVERY / 3, [3, 6]),
        (None, "ddim", EVERY * 2, [1, 2, 3, 4, 5, 6]),
        (4, "ddim", 0.0, [4, 6]),
        (1, "ddpm", 0.0, [1, 2, 3, 4, 5, 6]),
        (1, "dpm++", 0.0, [6]),  # a solver with memory cannot go on midway
    ],
)
def test_when_it_is_saved(every, sampler, seconds: float, saved: list[int]) -> None:
    shelf, now = Shelf(), [0.0]
    keeper = Keeper(shelf, replace(OPTIONS, save_every=every, sampler=sampler), clock=lambda: now[0])
    for step in range(OPTIONS.steps):
        now[0] += seconds
        keeper(step, torch.full((1, 2, 2), float(step)))
    assert shelf.steps == saved
    if saved:
        assert shelf.kept is not None
        assert (shelf.kept[1] == saved[-1] - 1).all()


@pytest.mark.parametrize(
    ("step", "sampler", "shape", "goes_on"),
    [
        (3, "ddim", (1, 2, 2), True),
        (3, "unipc", (1, 2, 2), False),
        (6, "unipc", (1, 2, 2), True),
        (3, "ddim", (1, 2, 3), False),
    ],
)
def test_from_where_it_goes_on(step: int, sampler, shape, goes_on: bool) -> None:
    shelf = Shelf()
    shelf.kept = step, np.ones(shape, np.float32)
    found = Keeper(shelf, replace(OPTIONS, sampler=sampler)).kept((1, 2, 2), DEVICE)
    assert (found is not None) == goes_on
    if found is not None:
        assert found[0] == step
        assert (found[1] == 1).all()


def test_without_a_slot_nothing_happens() -> None:
    keeper = Keeper(None, OPTIONS)
    assert keeper.kept((1, 2, 2), DEVICE) is None
    keeper(5, torch.zeros(1, 2, 2))
