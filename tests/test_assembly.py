"""The output's pieces: the same whether they are finished one after another or side by side."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch

from tests.conftest import UTM, smooth_pixels
from tests.plain_backbone import PlainBackbone
from zido_core import Upscaler
from zido_core import setup as decisions
from zido_core.errors import Cancelled
from zido_core.job import CancelToken, Progress
from zido_core.options import Options


@pytest.fixture
def plain(monkeypatch: pytest.MonkeyPatch) -> Iterator[Upscaler]:
    """A model that does nothing; pieces of 32 pixels, as many of torch's threads as each test wants."""
    monkeypatch.setattr(decisions, "PIECE", 128)
    before = torch.get_num_threads()
    yield Upscaler(PlainBackbone(), Options(device="cpu", precision="fp32"))
    torch.set_num_threads(before)


@pytest.mark.parametrize("color_fix", ["none", "wavelet", "lab"])
def test_pieces_are_the_same_side_by_side(plain: Upscaler, color_fix: Any) -> None:
    image = np.moveaxis(smooth_pixels((3, 70, 90), "uint8"), 0, -1)
    results = []
    for threads in (1, 2):
        torch.set_num_threads(threads)
        results.append(np.asarray(plain.upscale(image, color_fix=color_fix).image))
    assert results[0].shape == (280, 360, 3)
    assert (results[0] == results[1]).all()


def test_numbers_too_large_to_calculate_with_are_said_by_us_and_not_by_numpy(plain, make_raster, tmp_path) -> None:
    pixels = np.full((1, 70, 70), 7, np.float32)
    pixels[0, 20, 20] = 3e38
    torch.set_num_threads(2)
    result = plain.upscale(make_raster(pixels, **UTM), tmp_path / "out.tif")
    assert sum("numbers too large" in text for text in result.manifest["warnings"]) == 1


def test_finishing_can_be_stopped(plain: Upscaler) -> None:
    torch.set_num_threads(2)
    cancel, stages = CancelToken(), []

    def stop(event: Any) -> None:
        stages.append(getattr(event, "name", None))
        if isinstance(event, Progress) and "finishing" in stages:
            cancel.cancel()

    with pytest.raises(Cancelled):
        plain.upscale(np.zeros((200, 40), np.uint8), on_event=stop, cancel=cancel)
