"""When the state of a block is saved, and from where it can go on."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from zido_core.backbones.base import ScheduleSpec
from zido_core.catalog import SamplerName, describe
from zido_core.keeping import EVERY, Keeper, Views
from zido_core.options import Options, resolve
from zido_core.sampling.samplers import Sampler, sampler_for
from zido_core.work.store import Kept

OPTIONS = resolve(Options(steps=6), describe("mini"), "raster")
DEVICE = torch.device("cpu")


class Shelf:
    """A slot in memory."""

    def __init__(self) -> None:
        self.kept: Kept | None = None
        self.steps: list[int] = []
        self.others: dict[str, Shelf] = {}

    def load(self) -> Kept | None:
        return self.kept

    def save(self, kept: Kept) -> None:
        self.kept = kept._replace(images=kept.images.copy(), numbers=json.loads(json.dumps(kept.numbers)))
        self.steps.append(kept.step)

    def beside(self, kind: str) -> Shelf:
        return self.others.setdefault(kind, Shelf())


def sampler_of(name: SamplerName = "ddim") -> Sampler:
    return sampler_for(name, ScheduleSpec(prediction_type="v_prediction"), OPTIONS.steps)


@pytest.mark.parametrize(
    ("every", "seconds", "saved"),
    [
        (None, EVERY / 10, []),
        (None, EVERY / 3, [3, 6]),
        (None, EVERY * 2, [1, 2, 3, 4, 5, 6]),
        (4, 0.0, [4, 6]),
        (1, 0.0, [1, 2, 3, 4, 5, 6]),
    ],
)
def test_when_it_is_saved(every: int | None, seconds: float, saved: list[int]) -> None:
    shelf, now = Shelf(), [0.0]
    keeper = Keeper(shelf, replace(OPTIONS, save_every=every), sampler_of(), clock=lambda: now[0])
    for step in range(OPTIONS.steps):
        now[0] += seconds
        keeper(step, torch.full((1, 2, 2), float(step)))
    assert shelf.steps == saved
    if saved:
        assert shelf.kept is not None
        assert (shelf.kept.images == saved[-1] - 1).all()


@pytest.mark.parametrize(("shape", "goes_on"), [((1, 2, 2), True), ((1, 2, 3), False), ((3, 2, 2), True)])
def test_from_where_it_goes_on(shape: tuple[int, ...], goes_on: bool) -> None:
    shelf = Shelf()
    shelf.kept = Kept(3, np.ones(shape, np.float32), {})
    found = Keeper(shelf, OPTIONS, sampler_of()).kept((1, 2, 2), DEVICE)
    assert (found is not None) == goes_on
    if found is not None:
        assert found[0] == 3
        assert found[1].shape == (1, 2, 2)


@pytest.mark.filterwarnings("ignore:__array__ implementation")  # diffusers gives numpy a tensor
@pytest.mark.parametrize("name", ["ddim", "euler", "dpm++", "unipc"])
@pytest.mark.parametrize("stop", [1, 2, 3, 5, 6])
def test_another_sampler_goes_on_with_the_same_bits(name: SamplerName, stop: int) -> None:
    generator = torch.Generator().manual_seed(1)
    latents, *predictions = torch.randn(1 + OPTIONS.steps, 4, 8, 8, generator=generator)
    shelf, sampler = Shelf(), sampler_of(name)
    keeper = Keeper(shelf, replace(OPTIONS, save_every=stop), sampler)
    for step, prediction in enumerate(predictions):
        sampler.scale_model_input(latents, step)
        latents = sampler.step(prediction, step, latents)
        if step + 1 == stop:
            keeper(step, latents)
    other = sampler_of(name)
    found = Keeper(shelf, OPTIONS, other).kept((4, 8, 8), DEVICE)
    assert found is not None
    start, again = found
    assert start == stop
    for step in range(start, OPTIONS.steps):
        other.scale_model_input(again, step)
        again = other.step(predictions[step], step, again)
    assert torch.equal(again, latents)


def test_without_a_slot_nothing_happens() -> None:
    keeper = Keeper(None, OPTIONS, sampler_of())
    assert keeper.kept((1, 2, 2), DEVICE) is None
    keeper(5, torch.zeros(1, 2, 2))


@pytest.mark.parametrize(
    ("seconds", "sums", "views"),
    [
        (EVERY / 20, [], []),
        (EVERY / 5, [2, 4], []),
        (EVERY * 0.4, [1, 2, 3, 4], [0, 1, 2, 3, 4]),
        (EVERY, [1, 2, 3, 4], [view for view in range(5) for _ in range(3)]),
    ],
)
def test_when_the_sum_of_views_is_saved(seconds: float, sums: list[int], views: list[int]) -> None:
    """Once a minute, and before the state of a view that was begun with another sum."""
    shelf, now = Shelf(), [0.0]
    told: list[int] = []
    options = replace(OPTIONS, steps=3)
    running = Views(shelf, options, clock=lambda: now[0])
    for view in range(5):
        keeper = Keeper(running, options, sampler_of(), clock=lambda: now[0])
        for step in range(3):
            now[0] += seconds
            before = len(shelf.steps)
            keeper(step, torch.zeros(1, 2, 2))
            if len(shelf.steps) > before:
                assert shelf.kept is not None
                assert shelf.kept.numbers["view"] == view == (shelf.beside("views").steps or [0])[-1]
                told.append(view)
        running.add(np.ones((3, 8, 8), np.float32))
    assert shelf.beside("views").steps == sums
    assert told == views


def test_the_state_of_another_view_is_of_no_use() -> None:
    shelf = Shelf()
    views = Views(shelf, replace(OPTIONS, save_every=1))
    views.save(Kept(2, np.ones((1, 2, 2), np.float32), {"order": 1}))
    again = Views(shelf, OPTIONS).load()
    assert again is not None
    assert (again.step, again.numbers) == (2, {"order": 1})
    views.add(np.ones((3, 8, 8), np.float32))
    later = Views(shelf, OPTIONS)
    assert later.done == 1
    assert later.load() is None
