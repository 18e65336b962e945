"""A disk that runs full: no output, a line that says how much is missing, and with more room the rest is done.

``ZIDO_DISKS`` says how many sizes (``make test-faults`` takes 20).
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from tests.conftest import UTM, smooth_pixels
from tests.faults.runs import OPTIONS, plain
from zido_core.errors import OutputFailed
from zido_core.job import Event, Plan

SIZES = int(os.environ.get("ZIDO_DISKS", "2"))
COMPRESSIONS = ("DEFLATE", "ZSTD", "NONE")
LARGE = 64_000
"""kB that are enough for all."""


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[tuple[Path, Callable[[int], None]]]:
    """A file system of its own, and what gives it another size (kB); needs root."""
    folder = tmp_path / "disk"
    folder.mkdir()

    def mount(kilobytes: int, *how: str) -> bool:
        options = ",".join([*how, f"size={kilobytes}k"])
        command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)]
        return not subprocess.run(command, capture_output=True, check=False).returncode

    if shutil.which("mount") is None or not mount(LARGE):
        pytest.skip("mounting a small file system needs root")
    yield folder, lambda kilobytes: mount(kilobytes, "remount") or pytest.fail("the size cannot be changed")
    subprocess.run(["umount", folder], check=True)


@pytest.mark.parametrize("threads", [1, 4])
@pytest.mark.parametrize("compression", COMPRESSIONS)
def test_disks(make_raster, tmp_path: Path, disk, threads: int, compression: str) -> None:
    folder, resize = disk
    noise = np.random.default_rng(3).integers(0, 255, (3, 80, 90), np.uint8)
    source, upscaler = make_raster(noise // 2 + smooth_pixels((3, 80, 90), "uint8") // 2, **UTM), plain()
    options = {**OPTIONS, "creation_options": [f"COMPRESS={compression}", f"NUM_THREADS={threads}"]}
    reference = upscaler.upscale(source, tmp_path / "whole.tif", **options).path.read_bytes()
    output, said = folder / "out.tif", list[str]()
    for kilobytes in np.linspace(40, 3000, SIZES + 2)[1:-1] if SIZES < 3 else np.linspace(40, 3000, SIZES):

        def shrink(event: Event, size: int = int(kilobytes)) -> None:
            if isinstance(event, Plan):  # there was room when the job was planned
                resize(size)

        try:
            upscaler.upscale(source, output, **options, on_event=shrink)
        except OutputFailed as error:
            said.append(str(error))
            assert not output.exists()
            resize(LARGE)
            upscaler.upscale(source, output, **options, resume=True)
        assert output.read_bytes() == reference
        assert [path.name for path in folder.iterdir()] == ["out.tif"]
        output.unlink()
        resize(LARGE)
    assert said
    assert [text for text in said if not text.startswith("disk full: needs")] == []
