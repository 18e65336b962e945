"""kill -9 at any moment: the output is absent or complete, and the next run gives the very bytes of an unharmed one.

``ZIDO_KILLS`` says how often (``make test-faults`` kills 210 times).
"""

from __future__ import annotations

import os
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.conftest import UTM, smooth_pixels
from tests.faults.runs import FORMATS, OPTIONS, kill_after, plain

KILLS = int(os.environ.get("ZIDO_KILLS", "6"))

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")


@pytest.mark.parametrize("name", FORMATS)
def test_kills(make_raster, tmp_path: Path, name: str) -> None:
    options = FORMATS[name]
    pixels = smooth_pixels((3, 80, 90), "uint8")
    source = tmp_path / "input.png"
    if name.endswith(".png"):
        Image.fromarray(pixels.transpose(1, 2, 0)).save(source)
    else:
        source = make_raster(pixels, **UTM)
    upscaler = plain()
    began = time.monotonic()
    reference = upscaler.upscale(source, tmp_path / f"whole-{name}", **OPTIONS, **options).path.read_bytes()
    seconds = time.monotonic() - began
    generator = np.random.default_rng(7)
    output, killed = tmp_path / name, 0
    for _ in range(max(KILLS // len(FORMATS), 1)):
        while True:  # now and then the run that goes on is killed, too
            at_work = kill_after(generator.uniform(0, 1.1 * seconds), source, output, **options, resume=True)
            killed += at_work
            assert not output.exists() or output.read_bytes() == reference
            if generator.random() < 0.7:
                break
        upscaler.upscale(source, output, **OPTIONS, **options, resume=True)
        assert output.read_bytes() == reference
        left = {path.name for path in tmp_path.iterdir()} - {source.name, f"whole-{name}", name}
        assert left == set()
        output.unlink()
    print(f"{name}: {killed} killed at work")
