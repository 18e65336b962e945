"""One job, many processes: the same bytes, whoever computes, and whoever is lost on the way."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import UTM, smooth_pixels
from zido_core import cli
from zido_core import device as devices
from zido_core.errors import ConfigurationError, InvalidOptions, NotFinite, OutputFailed, OutputNotWritable, ZidoError
from zido_core.sharing import crew as crews
from zido_core.sharing import process as processes
from zido_core.sharing.crew import Crew, helpers
from zido_core.sharing.desk import Desk
from zido_core.sharing.process import BlockProcess, Failed, Lost, Taken, Unable
from zido_core.sharing.shard import Shard
from zido_core.work.claims import claim, is_busy
from zido_core.work.folder import Description, WorkFolder, work_folder

ROOT = Path(__file__).resolve().parents[1]
QUICK = {"preset": "preview", "block_size": 256, "device": "cpu", "precision": "fp32"}
WORDS = ["--preset", "preview", "--block-size", "256", "--device", "cpu", "--precision", "fp32"]


@pytest.fixture
def source(make_raster) -> Path:
    """Four blocks."""
    return make_raster(smooth_pixels((3, 80, 90), "uint8"), **UTM)


@pytest.fixture
def folder(tmp_path: Path) -> WorkFolder:
    found = WorkFolder(work_folder(tmp_path / "out.tif"))
    found.make()
    found.describe(Description(input="a.tif", output=str(tmp_path / "out.tif"), options={}, blocks=9, fingerprint={}))
    return found


@pytest.fixture
def whole(upscaler, source, tmp_path) -> bytes:
    return upscaler.upscale(source, tmp_path / "whole.tif", **QUICK).path.read_bytes()


# --- claims ------------------------------------------------------------------------------------------------


def test_a_block_is_claimed_once(folder: WorkFolder) -> None:
    with claim(folder, 3) as first, claim(folder, 3) as second, claim(folder, 4) as other:
        assert (first, second, other) == (True, False, True)
        assert is_busy(folder)
    assert not is_busy(folder)
    with claim(folder, 3) as again:
        assert again


HOLD = """
import sys, time
from pathlib import Path
from zido_core.work.claims import claim
from zido_core.work.folder import WorkFolder
with claim(WorkFolder(Path(sys.argv[1])), 5) as ours:
    print(ours, flush=True)
    time.sleep(60)
"""


def test_a_claim_dies_with_its_owner_and_work_in_hand_is_not_removed(folder: WorkFolder, capfd) -> None:
    command = [sys.executable, "-c", HOLD, str(folder.path)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "True\n"
        with claim(folder, 5) as ours:
            assert not ours
        assert cli.execute(["clean", str(folder.path)]) == OutputNotWritable.exit_code
        assert "other processes compute blocks" in capfd.readouterr().err
        process.kill()
    with claim(folder, 5) as ours:
        assert ours


# --- the desk ----------------------------------------------------------------------------------------------


def test_every_block_is_dealt_once_and_lost_work_is_taken_back() -> None:
    desk = Desk({0: 10, 1: 20})
    assert (desk.take(), desk.take(), desk.take(0.01)) == (0, 1, None)
    desk.told(1, 15)
    assert desk.done == 15
    desk.fail(1, "worker 2", "ZidoError", "it ended with SIGKILL")
    assert desk.done == 0
    desk.finish(0)
    assert (desk.done, desk.over) == (10, False)
    assert desk.take() == 1
    desk.finish(1, here=True)
    assert (desk.done, desk.over, desk.take(), desk.error) == (10, True, None, None)
    assert [(failure.who, failure.block) for failure in desk.failures()] == [("worker 2", 1)]
    assert desk.failures() == []


def test_who_waits_gets_what_another_gives_back() -> None:
    desk, got = Desk({7: 1}), list[int | None]()
    assert desk.take() == 7
    waiting = threading.Thread(target=lambda: got.append(desk.take()))
    waiting.start()
    desk.give_back(7)
    waiting.join(30)
    assert got == [7]


def test_a_block_that_fails_three_times_stops_the_job() -> None:
    desk = Desk({0: 1, 1: 1})
    for _ in range(3):
        while (index := desk.take()) != 1:
            desk.give_back(index)
        assert desk.error is None
        desk.fail(1, "worker 2", "NotFinite", "tile 4 is NaN")
    assert isinstance(desk.error, NotFinite)
    assert str(desk.error).startswith("block 1 failed 3 times, the last time in worker 2: tile 4 is NaN")
    assert desk.over


@pytest.mark.parametrize("kind", ["OutputFailed", "ConfigurationError"])
def test_what_is_no_block_s_fault_stops_at_once(kind: str) -> None:
    desk = Desk({0: 1})
    desk.take()
    desk.fail(0, "worker 2", kind, "disk full")
    assert type(desk.error).__name__ == kind


# --- helpers -----------------------------------------------------------------------------------------------


class Scripted:
    """Stands for a process: does what the test says about each block."""

    def __init__(self, act: Callable[[int], None]) -> None:
        self._act = act

    def __enter__(self) -> Scripted:
        return self

    def __exit__(self, *raised: object) -> None:
        pass

    def compute(self, index: int, told: Callable[[int], None]) -> None:
        told(1)
        self._act(index)

    def end(self) -> None:
        pass


def shared(folder: WorkFolder, acts: list[Callable[[int], None]], blocks: int) -> tuple[list[int], list[str]]:
    """Blocks that this process computed, and what was reported."""
    own: list[int] = []
    told: list[str] = []
    desk = Desk(dict.fromkeys(range(blocks), 1))
    starts: list[Any] = [partial(Scripted, act) for act in acts]
    with Crew(folder, desk, starts) as crew:
        crew.work(own.append, lambda: time.sleep(0.001), lambda failure: told.append(failure.message))
    return own, told


def test_helpers_and_this_process_do_each_block_once(folder: WorkFolder) -> None:
    done: list[int] = []
    own, told = shared(folder, [done.append, done.append], 40)
    assert sorted(own + done) == list(range(40))
    assert told == []


def test_a_lost_helper_is_replaced_and_its_block_computed_by_another(folder: WorkFolder) -> None:
    done: list[int] = []
    left = [Lost("it ended with SIGKILL"), Lost("it ended with SIGSEGV")]

    def act(index: int) -> None:
        if left:
            raise left.pop()
        done.append(index)

    own, told = shared(folder, [act], 30)
    assert sorted(own + done) == list(range(30))
    assert sum("SIGKILL" in message for message in told) >= 1


def test_a_helper_that_cannot_help_is_reported_and_missed(folder: WorkFolder) -> None:
    class Useless(Scripted):
        def __enter__(self) -> Scripted:
            raise Unable("weights differ")

    told: list[str] = []
    desk, own = Desk(dict.fromkeys(range(3), 1)), list[int]()
    starts: list[Any] = [lambda: Useless(own.append)]
    with Crew(folder, desk, starts) as crew:
        time.sleep(0.2)
        crew.work(own.append, lambda: None, lambda failure: told.append(failure.message))
    assert own == [0, 1, 2]
    assert told == ["cannot help: weights differ"]


def test_a_poison_block_stops_all_and_says_which(folder: WorkFolder) -> None:
    def act(index: int) -> None:
        if index == 5:
            raise Failed("NotFinite", "tile 2 is not finite")

    def compute(index: int) -> None:
        if index == 5:
            raise NotFinite("tile 2 is not finite")

    desk = Desk(dict.fromkeys(range(9), 1))
    starts: list[Any] = [partial(Scripted, act)]
    said = r"block 5 failed 3 times.*all other finished blocks are kept"
    with pytest.raises(NotFinite, match=said), Crew(folder, desk, starts) as crew:
        crew.work(compute, lambda: None, lambda failure: None)


def test_a_block_in_other_hands_is_waited_for(folder: WorkFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(crews, "TAKEN_PAUSE", 0.01)
    turns = [Taken(), Taken()]

    def act(index: int) -> None:
        if turns:
            raise turns.pop()

    with ExitStack() as held:
        held.enter_context(claim(folder, 0))
        threading.Timer(0.3, held.close).start()
        own, _ = shared(folder, [act], 1)
    assert own in ([], [0])


@pytest.mark.parametrize(
    ("device", "workers", "blocks", "expected"),
    [
        ("cpu", 1, 9, []),
        ("cpu", 3, 9, [None, None]),
        ("cpu", 8, 2, [None]),
        ("cuda:1", 8, 9, ["cuda:0", "cuda:2"]),
        ("cuda:0", 2, 9, ["cuda:1"]),
        ("mps", 4, 9, []),
    ],
)
def test_one_process_a_card_or_parts_of_the_cores(
    folder, monkeypatch, device: str, workers: int, blocks: int, expected: list[str | None]
) -> None:
    monkeypatch.setattr("torch.cuda.device_count", lambda: 3)
    monkeypatch.setattr(crews, "thread_count", lambda: 9)
    starts: list[Any] = helpers(folder, workers, device, blocks)
    assert [start.keywords.get("device") for start in starts] == expected
    if device == "cpu":
        assert all(start.keywords["threads"] == 9 // min(workers, blocks) for start in starts)


def test_this_process_takes_a_part_of_the_cores_only_as_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "6")
    with crews.part_of_the_cores(3):
        assert devices.thread_count() == 2
    assert devices.thread_count() == 6


# --- processes ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("script", "error", "said"),
    [
        ("raise SystemExit('no memory')", Lost, r"status 1 \(no memory\)"),
        ("import os; os.kill(os.getpid(), 9)", Lost, "SIGKILL, perhaps for lack of memory"),
        ('print(\'{"unable": "weights differ"}\')', Unable, "weights differ"),
    ],
)
def test_a_process_that_does_not_begin_says_why(tmp_path, script: str, error: type[Exception], said: str) -> None:
    with pytest.raises(error, match=said), BlockProcess(tmp_path, command=[sys.executable, "-c", script]):
        pass


ANSWERS = """
import json, os, sys
print(json.dumps({"ready": 1}), flush=True)
for line in sys.stdin:
    for answer in json.loads(os.environ["ANSWERS"]):
        print(json.dumps({"block": int(line), **answer}), flush=True)
"""


@pytest.mark.parametrize(
    ("end", "error"),
    [
        ({"end": "done"}, None),
        ({"end": "taken"}, Taken),
        ({"end": "failed", "kind": "NotFinite", "message": "NaN"}, Failed),
    ],
)
def test_answers_of_a_process(tmp_path, monkeypatch, end: dict[str, str], error: type[Exception] | None) -> None:
    monkeypatch.setenv("ANSWERS", json.dumps([{"work": 3}, {"work": 5}, end]))
    told: list[int] = []
    with BlockProcess(tmp_path, command=[sys.executable, "-c", ANSWERS]) as process, ExitStack() as expected:
        if error is not None:
            expected.enter_context(pytest.raises(error))
        process.compute(1, told.append)
    assert told == [3, 5]


def test_a_process_that_does_not_leave_is_ended(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(processes, "LEAVES_IN", 0.1)
    script = "import time; print('{\"ready\": 1}', flush=True); time.sleep(60)"
    began = time.monotonic()
    with BlockProcess(tmp_path, command=[sys.executable, "-c", script]):
        pass
    assert time.monotonic() - began < 30


# --- whole runs --------------------------------------------------------------------------------------------


def test_two_processes_give_the_bytes_of_one(upscaler, source, tmp_path, whole, monkeypatch) -> None:
    """The other process does most of it, as this one waits for it first; the first of them is killed."""
    started: list[Any] = []
    begin = BlockProcess.__enter__

    def enter(process: BlockProcess) -> BlockProcess:
        started.append(process)
        found = begin(process)
        if len(started) == 1:
            assert process._process is not None
            os.kill(process._process.pid, signal.SIGKILL)
        return found

    real = crews.Crew.work

    def work(crew: Crew, *given: Any) -> None:
        deadline = time.monotonic() + 120
        while not folder.block(1).exists() and time.monotonic() < deadline:
            time.sleep(0.05)
        real(crew, *given)

    monkeypatch.setattr(BlockProcess, "__enter__", enter)
    monkeypatch.setattr(crews.Crew, "work", work)
    folder, events = WorkFolder(work_folder(tmp_path / "out.tif")), list[Any]()
    made = upscaler.upscale(source, tmp_path / "out.tif", **QUICK, workers=2, keep_work=True, on_event=events.append)
    assert made.path.read_bytes() == whole
    assert len(started) == 2
    done = [event.done for event in events if type(event).__name__ == "Progress"]
    assert done == sorted(done)
    assert done[-1] == next(event.total for event in events if type(event).__name__ == "Progress")
    assert any("SIGKILL" in event.message for event in events if type(event).__name__ == "Warning")
    journals = {path.name for path in folder.path.glob("journal*.jsonl")}
    assert len(journals) == 2
    assert any(entry["event"] == "failed" for entry in folder.journal.entries())


def test_shards_and_assemble(source, tmp_path, whole, capfd) -> None:
    output = tmp_path / "out.tif"
    command = [str(source), "-o", str(output), *WORDS, "--quiet"]
    assert cli.execute([*command, "--shard", "2/2"]) == 0
    assert not output.exists()
    assert cli.execute(["assemble", str(output)]) == OutputFailed.exit_code
    assert "2 of 4 blocks are not there yet: 0, 2; run their shards again" in capfd.readouterr().err
    assert cli.execute([*command, "--shard", "1/2"]) == 0
    assert cli.execute(["assemble", str(output), "--quiet"]) == 0
    assert output.read_bytes() == whole
    assert not work_folder(output).exists()


def test_shards_that_begin_at_once_do_not_hurt_each_other(upscaler, source, tmp_path, whole) -> None:
    from zido_core import pipeline
    from zido_core.options import Options

    output, raised = tmp_path / "out.tif", list[BaseException]()

    def compute(number: int) -> None:
        try:
            shard = Shard(index=number, count=3)
            options = Options(**QUICK)
            pipeline._upscale(source, output, options, lambda _: upscaler.backbone, None, None, shard=shard)
        except BaseException as error:
            raised.append(error)

    threads = [threading.Thread(target=compute, args=(number,)) for number in (1, 2, 3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert raised == []
    assert cli.execute(["assemble", str(output), "--quiet"]) == 0
    assert output.read_bytes() == whole


def test_the_plan_has_the_memory_of_all_processes(source, tmp_path) -> None:
    from zido_core import plan

    one, two, many = (plan(source, tmp_path / "o.tif", **QUICK, workers=count).memory_bytes for count in (1, 2, 99))
    assert (two, many) == (2 * one, 4 * one)  # there are four blocks


@pytest.mark.parametrize("text", ["0/2", "3/2", "1", "a/b", "1/0", "-1/2"])
def test_shards_that_there_are_not(text: str) -> None:
    with pytest.raises(InvalidOptions, match="from 1/8 to 8/8"):
        Shard.of(text)


def test_shards_are_all_blocks() -> None:
    shards = [Shard.of(f"{number}/3") for number in (1, 2, 3)]
    assert sorted(block for shard in shards for block in range(10) if shard.has(block)) == list(range(10))


def test_a_single_block_has_no_shards(make_raster, tmp_path, capfd) -> None:
    small = make_raster(smooth_pixels((3, 9, 8), "uint8"), **UTM)
    assert cli.execute([str(small), "-o", str(tmp_path / "o.tif"), *WORDS, "--shard", "1/2"]) == 2
    assert "is a single block" in capfd.readouterr().err


def test_errors_keep_their_class() -> None:
    from zido_core.sharing.desk import error_of

    assert type(error_of("ConfigurationError", "x")) is ConfigurationError
    assert type(error_of("os", "x")) is ZidoError
