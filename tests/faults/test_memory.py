"""The n-th call of a network finds no memory: fewer tiles at once go on, or the run ends, and the next one goes on.

``ZIDO_CALLS`` says how many of a run's calls, evenly spread (``make test-faults`` takes all).
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.conftest import UTM, smooth_pixels
from tests.faults.runs import OPTIONS
from tests.plain_backbone import PlainBackbone
from zido_core.errors import OutOfMemory
from zido_core.options import Options
from zido_core.pipeline import Upscaler
from zido_core.runner import failure
from zido_core.sampling import network

COUNT = int(os.environ.get("ZIDO_CALLS", "4"))


class Short(PlainBackbone):
    """Has no memory for one of its calls."""

    def __init__(self, failing: int = 0) -> None:
        self.failing, self.calls = failing, list[str]()

    def condition(self, *given: Any) -> Any:
        return self._called("condition", *given)

    def predict(self, *given: Any) -> Any:
        return self._called("predict", *given)

    def decode(self, *given: Any, **named: Any) -> Any:
        return self._called("decode", *given, **named)

    def _called(self, name: str, *given: Any, **named: Any) -> Any:
        self.calls.append(name)
        if len(self.calls) == self.failing:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return getattr(PlainBackbone, name)(self, *given, **named)


def run(backbone: Short, source: Path, output: Path, **options: Any) -> bytes:
    upscaler = Upscaler(backbone, Options(device="cpu", precision="fp32"))
    return upscaler.upscale(source, output, **{**OPTIONS, "tile_batch": 4, **options}).path.read_bytes()


@pytest.mark.parametrize("batched", [False, True])
def test_every_call(make_raster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, batched: bool) -> None:
    monkeypatch.setattr(network, "one_by_one", lambda device: not batched)
    source, output = make_raster(smooth_pixels((3, 80, 90), "uint8"), **UTM), tmp_path / "out.tif"
    unharmed = Short()
    reference = run(unharmed, source, tmp_path / "whole.tif")
    total = len(unharmed.calls)
    for number in sorted({int(each) for each in np.linspace(1, total, min(COUNT, total))}):
        goes_on = batched and unharmed.calls[number - 1] == "predict"
        try:
            found = run(Short(number), source, output)
            assert goes_on
        except (OutOfMemory, torch.OutOfMemoryError) as error:
            assert not goes_on
            told = failure(error)
            assert (told.kind, told.code) == ("OutOfMemory", OutOfMemory.exit_code)
            assert "memory" in told.message
            assert not output.exists()
            found = run(Short(), source, output, resume=True)
        assert found == reference
        assert {path.name for path in tmp_path.iterdir()} == {source.name, "whole.tif", "out.tif"}
        output.unlink()
    print(f"{min(COUNT, total)} of {total} calls without memory")
