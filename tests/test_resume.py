"""A run that ended too early goes on where it stopped, and its result has the very bytes of one that did not."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import rasterio.shutil
import torch
from PIL import Image
from rasterio.vrt import WarpedVRT

from tests.conftest import UTM, smooth_pixels
from tests.plain_backbone import PlainBackbone
from tests.rasters import TILES, read
from zido_core import cli, keeping, upscaling
from zido_core.block_job import BlockJob
from zido_core.errors import BadInput, Cancelled, ConfigurationError, InvalidOptions, OutputFailed, OutputNotWritable
from zido_core.facts import Facts, load_facts, save_facts
from zido_core.fingerprint import difference, identity
from zido_core.job import CancelToken, Done, Progress
from zido_core.options import Options
from zido_core.pipeline import Upscaler
from zido_core.prompts.base import Prompt, Tag
from zido_core.raster.stretch import Stretch
from zido_core.survey import Survey
from zido_core.work.folder import WorkFolder, work_folder
from zido_core.work.store import Kept, StateSlot

ROOT = Path(__file__).resolve().parents[1]

OPTIONS: dict[str, Any] = {**TILES, "steps": 2, "fidelity": 0.3, "block_size": 256}
"""Four blocks of a raster of 80 x 90."""


@pytest.fixture
def source(make_raster) -> Path:
    return make_raster(smooth_pixels((3, 80, 90), "uint8"), **UTM)


class OneSided(PlainBackbone):
    """Its views differ, and their latents show."""

    def predict(self, condition: Any, latents: torch.Tensor, *given: Any) -> torch.Tensor:
        return latents.cumsum(-1) / 50

    predict_precisely = predict

    def decode(self, condition: Any, latents: torch.Tensor | None, *, fidelity: float) -> np.ndarray:
        assert latents is not None
        detail = latents[:, : condition.shape[1], : condition.shape[2]] / 20
        return (condition + detail).repeat_interleave(4, 1).repeat_interleave(4, 2).numpy()


class Stopped(Exception):
    """Stands for anything that ends a run."""


@pytest.fixture
def stopping(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], list[int]]:
    """Ends runs before block ``n`` of those that they compute; returns which blocks were begun."""

    def arrange(number: int) -> list[int]:
        begun: list[int] = []
        monkeypatch.undo()

        def compute(*given: Any, **named: Any) -> Any:
            if len(begun) == number:
                raise Stopped
            begun.append(given[4].index)
            return real(*given, **named)

        real = upscaling.compute_block
        monkeypatch.setattr(upscaling, "compute_block", compute)
        return begun

    return arrange


@pytest.fixture
def whole(upscaler, source, tmp_path) -> bytes:
    return upscaler.upscale(source, tmp_path / "whole.tif", **OPTIONS).path.read_bytes()


def test_the_rest_is_computed_and_the_bytes_are_those_of_one_run(
    upscaler, source, tmp_path, whole, stopping, monkeypatch
) -> None:
    output, events = tmp_path / "out.tif", []
    begun = stopping(2)
    with pytest.raises(Stopped):
        upscaler.upscale(source, output, **OPTIONS)
    assert begun == [0, 1]
    assert not output.exists()
    begun = stopping(99)
    upscaler.upscale(source, output, **OPTIONS, resume=True, on_event=events.append)
    assert begun == [2, 3]
    assert output.read_bytes() == whole
    assert not work_folder(output).exists()
    progress = [event for event in events if isinstance(event, Progress)]
    assert progress[0].done > progress[0].total // 3
    assert progress[-1].done == progress[-1].total


def test_a_damaged_block_is_computed_again(upscaler, source, tmp_path, whole, stopping) -> None:
    output = tmp_path / "out.tif"
    stopping(3)
    with pytest.raises(Stopped):
        upscaler.upscale(source, output, **OPTIONS)
    block = WorkFolder(work_folder(output)).block(1)
    content = bytearray(block.read_bytes())
    content[-100] ^= 4
    block.write_bytes(content)
    begun = stopping(99)
    upscaler.upscale(source, output, **OPTIONS, resume=True)
    assert begun == [1, 3]
    assert output.read_bytes() == whole


@pytest.mark.filterwarnings("ignore:__array__ implementation")  # diffusers gives numpy a tensor
@pytest.mark.parametrize("sampler", ["ddim", "euler", "dpm++", "unipc"])
def test_a_long_block_goes_on_between_two_steps(upscaler, make_raster, tmp_path, monkeypatch, sampler: str) -> None:
    source = make_raster(smooth_pixels((3, 30, 40), "uint8"), **UTM)
    options = {**TILES, "steps": 4, "fidelity": 0.0, "save_every": 1, "sampler": sampler}
    reference = upscaler.upscale(source, tmp_path / "whole.tif", **options).path.read_bytes()
    output, save = tmp_path / "out.tif", keeping.Keeper.__call__

    def stop(keeper: Any, step: int, latents: Any) -> None:
        save(keeper, step, latents)
        if step == 2:
            raise Stopped

    with monkeypatch.context() as patch:
        patch.setattr(keeping.Keeper, "__call__", stop)
        with pytest.raises(Stopped):
            upscaler.upscale(source, output, **options)
    folder = WorkFolder(work_folder(output))
    assert folder.exists
    steps: list[int] = []
    monkeypatch.setattr(keeping.Keeper, "__call__", lambda keeper, step, latents: steps.append(step))
    upscaler.upscale(source, output, **options, resume=True)
    assert steps == [3]
    assert output.read_bytes() == reference
    assert not folder.path.exists()


@pytest.mark.filterwarnings("ignore:__array__ implementation")  # diffusers gives numpy a tensor
@pytest.mark.parametrize(
    ("stop", "left"),
    [(1, [1, 2, *[0, 1, 2] * 7]), (3, [0, 1, 2] * 7), (4, [0, 1, 2] * 7), (6, [2, *[0, 1, 2] * 6]), (32, [])],
)
@pytest.mark.parametrize("sampler", ["ddim", "dpm++"])
def test_a_block_of_several_views_goes_on_in_the_middle_of_one(
    make_raster, tmp_path, monkeypatch, sampler: str, stop: int, left: list[int]
) -> None:
    """Each view saves its three steps and then itself."""
    upscaler = Upscaler(OneSided(), Options(device="cpu", precision="fp32"))
    source = make_raster(smooth_pixels((3, 30, 40), "uint8"), **UTM)
    options = {**TILES, "steps": 3, "fidelity": 0.0, "save_every": 1, "sampler": sampler, "tta": True}
    reference = upscaler.upscale(source, tmp_path / "whole.tif", **options).path.read_bytes()
    output, save, saved = tmp_path / "out.tif", StateSlot.save, list[int]()

    def stopped(slot: StateSlot, kept: Kept) -> None:
        save(slot, kept)
        saved.append(kept.step)
        if len(saved) == stop:
            raise Stopped

    with monkeypatch.context() as patch:
        patch.setattr(StateSlot, "save", stopped)
        with pytest.raises(Stopped):
            upscaler.upscale(source, output, **options)
    steps, events = list[int](), []
    monkeypatch.setattr(keeping.Keeper, "__call__", lambda keeper, step, latents: steps.append(step))
    upscaler.upscale(source, output, **options, resume=True, on_event=events.append)
    assert steps == left
    assert output.read_bytes() == reference
    assert not work_folder(output).exists()
    progress = [event.done for event in events if isinstance(event, Progress)]
    assert progress == sorted(progress)
    assert progress[-1] == next(event.total for event in events if isinstance(event, Progress))


def test_quick_blocks_leave_nothing(upscaler, source, tmp_path) -> None:
    upscaler.upscale(source, tmp_path / "out.tif", **{**OPTIONS, "block_size": None})
    assert sorted(path.name for path in tmp_path.iterdir()) == [source.name, "out.tif"]


def test_assembly_goes_on_from_finished_blocks(upscaler, source, tmp_path, whole, stopping, monkeypatch) -> None:
    output = tmp_path / "out.tif"
    with monkeypatch.context() as patch:
        patch.setattr(upscaling.Manifest, "tags", lambda manifest: (_ for _ in ()).throw(OutputFailed("disk full")))
        with pytest.raises(OutputFailed):
            upscaler.upscale(source, output, **OPTIONS)
    assert not output.exists()
    begun = stopping(99)
    upscaler.upscale(source, output, **OPTIONS, resume=True)
    assert begun == []
    assert output.read_bytes() == whole


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"seed": 4}, "options seed was 0 and is 4 now"),
        ({"steps": 1}, "options steps was 2 and is 1 now"),
        ({"block_size": 320}, "blocks block_size was 256 and is 320 now"),
        ({"creation_options": ["COMPRESS=LZW"]}, "options creation_options"),
    ],
)
def test_what_differs_is_named(upscaler, source, tmp_path, stopping, change: dict[str, Any], named: str) -> None:
    output = tmp_path / "out.tif"
    stopping(1)
    with pytest.raises(Stopped):
        upscaler.upscale(source, output, **OPTIONS)
    with pytest.raises(InvalidOptions, match=named):
        upscaler.upscale(source, output, **{**OPTIONS, **change}, resume=True)
    assert WorkFolder(work_folder(output)).exists


def test_a_changed_input_is_named(upscaler, source, tmp_path, stopping) -> None:
    output = tmp_path / "out.tif"
    stopping(1)
    with pytest.raises(Stopped):
        upscaler.upscale(source, output, **OPTIONS)
    os.utime(source, ns=(0, 1))
    with pytest.raises(InvalidOptions, match="input modified was"):
        upscaler.upscale(source, output, **OPTIONS, resume=True)


def test_unfinished_work_is_neither_lost_nor_taken_without_a_word(upscaler, source, tmp_path, whole, stopping) -> None:
    output = tmp_path / "out.tif"
    stopping(1)
    with pytest.raises(Stopped):
        upscaler.upscale(source, output, **OPTIONS)
    begun = stopping(99)
    with pytest.raises(OutputNotWritable, match="--resume, or start anew with --overwrite"):
        upscaler.upscale(source, output, **OPTIONS)
    assert begun == []
    upscaler.upscale(source, output, **OPTIONS, overwrite=True)
    assert begun == [0, 1, 2, 3]
    assert output.read_bytes() == whole


def test_work_in_hand_is_left_alone(upscaler, source, tmp_path, stopping) -> None:
    output = tmp_path / "out.tif"
    stopping(1)
    with pytest.raises(Stopped):
        upscaler.upscale(source, output, **OPTIONS)
    with WorkFolder(work_folder(output)).lock(), pytest.raises(OutputNotWritable, match="is working in"):
        upscaler.upscale(source, output, **OPTIONS, resume=True)


def test_work_can_be_kept(upscaler, source, tmp_path, whole) -> None:
    output = tmp_path / "out.tif"
    upscaler.upscale(source, output, **OPTIONS, keep_work=True)
    folder = WorkFolder(work_folder(output))
    assert all(folder.block(index).exists() for index in range(4))
    assert folder.journal.entries()[-1] == {"event": "done"}
    assert output.read_bytes() == whole


def test_what_is_finished_is_left_alone(upscaler, tmp_path, stopping) -> None:
    source, begun = tmp_path / "photo.png", stopping(99)
    Image.fromarray(smooth_pixels((3, 20, 30), "uint8").transpose(1, 2, 0)).save(source)
    for name in ("out.tif", "out.png", "out.jpg"):
        options = {**OPTIONS, "resume": True, "block_size": None, "steps": 1}
        first = upscaler.upscale(source, tmp_path / name, **options)
        again = upscaler.upscale(source, tmp_path / name, **options)
        assert (first.skipped, again.skipped, again.path) == (False, True, tmp_path / name)
        with pytest.raises(OutputNotWritable, match="exists, and is not what this job makes"):
            upscaler.upscale(source, tmp_path / name, **{**options, "seed": 1})
        assert not upscaler.upscale(source, tmp_path / name, **{**options, "seed": 1}, overwrite=True).skipped
    assert len(begun) == 6


@pytest.mark.parametrize("half_gone", [False, True])
def test_what_a_run_left_that_was_killed_at_its_very_end_goes(upscaler, source, tmp_path, half_gone: bool) -> None:
    output = tmp_path / "out.tif"
    upscaler.upscale(source, output, **OPTIONS, keep_work=True)
    folder = WorkFolder(work_folder(output))
    if half_gone:
        (folder.path / "job.json").unlink()
    assert upscaler.upscale(source, output, **OPTIONS, resume=True).skipped
    assert not folder.path.exists()


def test_a_file_that_is_damaged_behind_its_head_leaves_no_folder(upscaler, tmp_path) -> None:
    source = tmp_path / "photo.png"
    noise = np.random.default_rng(0).integers(0, 255, (80, 90, 3), np.uint8)
    Image.fromarray(noise).save(source)
    source.write_bytes(source.read_bytes()[:12_000])
    with pytest.raises(BadInput):
        upscaler.upscale(source, tmp_path / "out.tif", **OPTIONS)
    assert [path.name for path in tmp_path.iterdir()] == ["photo.png"]


def test_cancelling_tells_how_to_go_on(upscaler, source, tmp_path) -> None:
    token = CancelToken()

    def stop(event: Any) -> None:
        if isinstance(event, Progress) and event.done > event.total // 2:
            token.cancel()

    with pytest.raises(Cancelled):
        upscaler.upscale(source, tmp_path / "out.tif", **OPTIONS, on_event=stop, cancel=token)
    assert token.work == str(work_folder(tmp_path / "out.tif"))


# --- other processes ---------------------------------------------------------------------------------------


def test_blocks_of_other_processes_are_the_same(upscaler, source, tmp_path, whole, stopping) -> None:
    output = tmp_path / "out.tif"
    stopping(1)
    with pytest.raises(Stopped):
        upscaler.upscale(source, output, **OPTIONS)
    stopping(99)
    with BlockJob(work_folder(output), load=lambda setup: upscaler.backbone) as job:
        assert job.missing() == [1, 2, 3]
        for index in (3, 1):
            job.compute(index)
        assert job.missing() == [2]
    begun = stopping(99)
    upscaler.upscale(source, output, **OPTIONS, resume=True)
    assert begun == [2]
    assert output.read_bytes() == whole


def test_a_process_that_would_make_something_else_is_refused(upscaler, source, tmp_path, stopping, monkeypatch) -> None:
    output = tmp_path / "out.tif"
    stopping(1)
    with pytest.raises(Stopped):
        upscaler.upscale(source, output, **OPTIONS)
    monkeypatch.setattr("zido_core.fingerprint.__version__", "9.9")
    refused = pytest.raises(ConfigurationError, match=r"versions zido was .* and is 9\.9 now")
    with refused, BlockJob(work_folder(output), load=lambda setup: upscaler.backbone):
        pass


@pytest.mark.skipif(os.name == "nt", reason="needs kill -9")
def test_a_killed_process_is_resumed_by_the_command_line(source, tmp_path, capfd) -> None:
    """The whole way: kill -9 after a block, then ``zido resume``."""
    output = tmp_path / "out.tif"
    folder = WorkFolder(work_folder(output))
    words = ["--tile-size", "128", "--tile-overlap", "32", "--steps", "2", "--block-size", "256", "--device", "cpu"]
    command = [sys.executable, "-m", "zido_core", str(source), "-o", str(output), *words]
    with subprocess.Popen(command, cwd=ROOT, stderr=subprocess.DEVNULL) as process:
        deadline = time.monotonic() + 120
        while not folder.block(0).exists() and time.monotonic() < deadline and process.poll() is None:
            time.sleep(0.05)
        process.send_signal(signal.SIGKILL)
    assert folder.block(0).exists()
    assert not output.exists()
    assert cli.execute([str(source), "-o", str(output), *words]) == 73
    assert "continue it with --resume" in capfd.readouterr().err
    assert cli.execute(["resume", str(output), "--quiet"]) == 0
    assert cli.execute([str(source), "-o", str(tmp_path / "whole.tif"), *words, "--quiet"]) == 0
    assert output.read_bytes() == (tmp_path / "whole.tif").read_bytes()
    assert not folder.path.exists()


def test_a_folder_of_files_is_resumed(make_raster, tmp_path, capfd) -> None:
    sources = [str(make_raster(smooth_pixels((1, 9, 8), "uint8"), name=name, **UTM)) for name in ("a.tif", "b.tif")]
    (tmp_path / "c.tif").write_text("no picture")
    words = [*sources, str(tmp_path / "c.tif"), "-o", str(tmp_path / "out"), "--preset", "preview", "--device", "cpu"]
    assert cli.execute(words) == 3
    made = tmp_path / "out" / "a_x4.tif"
    (tmp_path / "out" / "b_x4.tif").unlink()
    before = made.stat().st_mtime_ns
    capfd.readouterr()
    assert cli.execute([*words, "--resume"]) == 3
    out, err = capfd.readouterr()
    assert f"{made}: was finished before" in out
    assert "2 of 3 files upscaled" in out
    assert "c.tif" in err
    assert made.stat().st_mtime_ns == before
    assert read(tmp_path / "out" / "b_x4.tif").shape == (1, 36, 32)


def test_mosaics_of_a_folder_are_resumed_unless_a_part_has_changed(make_raster, tmp_path, capfd) -> None:
    (tmp_path / "in").mkdir()
    part = make_raster(smooth_pixels((1, 9, 8), "uint8"), name="part.tif", **UTM)
    with rasterio.open(part) as dataset, WarpedVRT(dataset) as warped:
        rasterio.shutil.copy(warped, tmp_path / "in" / "mosaic.vrt", driver="VRT")
    words = [str(tmp_path / "in"), "-o", str(tmp_path / "out"), "--allow-vrt", "--preset", "preview", "--device", "cpu"]
    assert cli.execute(words) == 0
    assert cli.execute([*words, "--resume"]) == 0
    assert "mosaic_x4.tif: was finished before" in capfd.readouterr().out
    os.utime(part, ns=(0, 1))
    assert cli.execute([*words, "--resume"]) == 73
    assert "is not what this job makes" in capfd.readouterr().err


# --- what is kept ------------------------------------------------------------------------------------------


def test_facts_come_back_bit_by_bit(tmp_path) -> None:
    folder = WorkFolder(tmp_path)
    seen = [np.random.default_rng(seed).standard_normal((3, 2), np.float32)[None] for seed in (0, 1)]
    prompts = [
        Prompt(text="water", tags=(Tag("water", np.float32(0.3)),), embedding=seen[0][0]),
        Prompt(text="water", tags=(Tag("water", np.float32(0.3)),), embedding=seen[1][0]),
        Prompt(text="by hand", source="file", negative="noise"),
    ]
    found = Survey(
        stretch=Stretch(lo=0.1, hi=7 / 3, mode="percentile:2,98"),
        means={1: 1 / 3, 4: 2e-9},
        gains=np.array([0.1, 1 / 7]),
        hard_alpha=True,
        noise=1 / 7,
    )
    assert load_facts(folder) is None
    facts = Facts(survey=found, prompts=[prompts[index] for index in (0, 1, 2, 0)])
    if facts.prompts[0].embedding is not None:
        save_facts(folder, facts)
    again = load_facts(folder)
    assert again is not None
    assert (again.survey.stretch, again.survey.means, again.survey.hard_alpha) == (found.stretch, found.means, True)
    assert (again.survey.gains == found.gains).all()
    assert again.survey.noise == found.noise
    assert list(again.prompts) == list(facts.prompts)
    for mine, kept in zip(facts.prompts, again.prompts, strict=True):
        assert (mine.embedding is None) == (kept.embedding is None)
        if mine.embedding is not None:
            assert (mine.embedding == kept.embedding).all()
    (tmp_path / "facts.json").write_text("{}")
    assert load_facts(folder) is None


def test_the_first_difference_is_told_and_copies_of_an_input_are_one() -> None:
    old = {"input": {"content": "a", "modified": 1}, "options": {"a": 1}, "weights": "w", "tagger": None}
    old |= {"device": "cpu", "blocks": {}}
    assert difference(old, old) is None
    copied = {**old, "input": {"content": "a", "modified": 2}}
    assert difference(old, copied) == "input modified was 1 and is 2 now"
    assert identity(old) == identity(copied)
    assert identity(old) != identity({**old, "weights": "x"})


def test_done_says_that_nothing_was_to_do() -> None:
    from zido_core.terminal import done_line

    assert done_line(Done(output="a.tif", seconds=0.1, skipped=True)) == "a.tif: was finished before"
