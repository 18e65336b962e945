"""Pictures of what is done so far: small, seldom, and none where they cannot be written."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.conftest import UTM, smooth_pixels
from tests.rasters import TILES
from zido_core import previews
from zido_core.job import CancelToken, Job, Preview
from zido_core.options import Options
from zido_core.pipeline import KeptModel
from zido_core.raster.reader import open_source
from zido_core.runner import run
from zido_core.setup import prepare


@pytest.fixture
def shown(make_raster, tmp_path, monkeypatch: pytest.MonkeyPatch):
    """The previews of a job, with the model that it needs."""
    monkeypatch.setattr(previews, "PAUSE", 0.0)
    monkeypatch.setattr(previews, "SHARE", 1e9)

    def told(folder: Path, **options: Any) -> list[Preview]:
        source = make_raster(smooth_pixels((3, 80, 90), "uint8"), **UTM)
        given = Options(device="cpu", overwrite=True, **{**TILES, "steps": 2, **options})
        job = Job(input=str(source), output=str(tmp_path / "out.tif"), options=given, previews=str(folder))
        events: list[Any] = []
        run(job, events.append, CancelToken(), upscale=KeptModel().upscale)
        assert type(events[-1]).__name__ == "Done", events[-1]
        return [event for event in events if isinstance(event, Preview)]

    return told


def test_steps_and_blocks_are_shown_with_their_place(shown, tmp_path) -> None:
    folder = tmp_path / "previews"
    folder.mkdir()
    found = shown(folder, block_size=256, fidelity=0.5)
    assert len(found) == 4 * 3
    assert len({event.box for event in found}) == 4
    for event in found[-4:]:
        with Image.open(event.path) as picture:
            assert picture.mode == "RGB"
            assert max(picture.size) <= previews.SIDE
    assert len(list(folder.iterdir())) == previews.FILES


@pytest.fixture
def watched(make_raster, tmp_path):
    """Previews of one block, on a clock that is set by hand."""
    now, told = [0.0], []
    source = make_raster(smooth_pixels((3, 80, 90), "uint8"), **UTM)
    with open_source(source) as opened:
        setup = prepare(opened, None, Options(device="cpu"), to_file=False)
    watch = previews.Previews(tmp_path, setup, told.append, clock=lambda: now[0])
    return watch, setup.blocks[0], now, told


def test_large_blocks_give_small_pictures(watched) -> None:
    watch, block, _, told = watched
    watch.show(block, np.full((3, 1500, 700), 0.5, np.float32))
    assert told[0].box == (0, 0, 320, 360)
    with Image.open(told[0].path) as picture:
        assert picture.size == (233, 500)
        assert picture.getextrema() == ((128, 128),) * 3


def test_pictures_take_little_of_the_time(watched) -> None:
    watch, block, now, _ = watched
    assert watch.due
    now[0] += 0.2  # so long one takes
    watch.show(block, np.zeros((3, 8, 8), np.float32))
    for later, due in ((1.0, False), (0.2 / previews.SHARE - 0.1, False), (0.2 / previews.SHARE + 0.1, True)):
        now[0] = 0.2 + later
        assert watch.due == due


def test_a_folder_that_is_not_there_gives_none(shown, tmp_path) -> None:
    assert shown(tmp_path / "no", fidelity=1.0) == []
