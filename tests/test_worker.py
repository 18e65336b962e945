"""A worker as its host sees it: lines in, lines out, and how it ends."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from zido_core import cli, worker
from zido_core.errors import Cancelled as WasCancelled
from zido_core.job import (
    Bye,
    Cancel,
    Cancelled,
    Done,
    Failed,
    Heartbeat,
    Hello,
    Job,
    Plan,
    Progress,
    Shutdown,
    Stage,
    Started,
    Warning,  # noqa: A004 - the event
)
from zido_core.options import Options
from zido_core.wire import from_bytes, to_bytes

ROOT = Path(__file__).resolve().parents[1]
FAKE = [sys.executable, str(ROOT / "tests" / "fake_worker.py")]
SOON = 20.0
"""Seconds: long before a job would end by itself. The goal, two, is for benchmarks: other programs hold up tests."""
END = (Done, Failed, Cancelled)

pytestmark = pytest.mark.skipif(os.name == "nt", reason="what is done to the worker here is done in the POSIX way")


class Host:
    """The other side of a worker."""

    def __init__(self, command, stderr):
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        self.process = subprocess.Popen(command, stderr=stderr, **pipes)
        self._watchdog = threading.Timer(60, self.process.kill)
        self._watchdog.daemon = True
        self._watchdog.start()

    def say(self, *messages):
        for message in messages:
            self.process.stdin.write(message if isinstance(message, bytes) else to_bytes(message))
        self.process.stdin.flush()

    def hear(self, *, until=END, heartbeats=False):
        """Events up to one of these kinds, or to the end."""
        events = []
        for line in self.process.stdout:
            event = from_bytes(line)
            if heartbeats or not isinstance(event, Heartbeat):
                events.append(event)
            if isinstance(event, until):
                break
        return events

    def end(self):
        self._watchdog.cancel()
        with contextlib.suppress(OSError):
            self.process.stdin.close()
        code = self.process.wait(SOON)
        self.process.stdout.close()
        return code


@pytest.fixture
def start(tmp_path):
    hosts = []

    def begin(*arguments, command=FAKE, greeted=True):
        with (tmp_path / "log").open("ab") as log:
            hosts.append(Host([*command, *arguments], log))
        if greeted:
            hosts[-1].hear(until=Hello)
        return hosts[-1]

    yield begin
    for host in hosts:
        host.end()


def kinds(events):
    return [type(event) for event in events]


def test_it_lives_before_it_is_ready_and_then_says_who_it_is(start):
    host = start(greeted=False)
    first, *_, hello = host.hear(until=Hello, heartbeats=True)
    assert isinstance(first, Heartbeat)
    assert first.stage == "starting"
    assert (hello.pid, hello.device, hello.models) == (host.process.pid, "cpu", ("mini",))
    assert hello.device_bytes >= hello.free_bytes > 0


def test_it_does_one_job_after_another_with_one_model(start, tmp_path):
    host = start()
    for name in ("a", "b"):
        host.say(Job(input="steps", output=str(tmp_path / name)))
        heard = host.hear()
        assert kinds(heard)[:3] == [Started, Plan, Stage]
        assert set(kinds(heard)[3:-1]) == {Progress}
        assert heard[-2].done == heard[-2].total
        assert heard[-1].output == str(tmp_path / name)
        assert (tmp_path / name).exists()
    host.say(Job(input="says_what_is_loaded"))
    assert Warning(message="models loaded: 1") in host.hear()


def test_a_dry_run_is_a_plan(start, tmp_path):
    host = start()
    host.say(Job(input="steps", output=str(tmp_path / "a"), options=Options(dry_run=True)))
    assert kinds(host.hear()) == [Started, Plan, Done]
    assert not (tmp_path / "a").exists()


@pytest.mark.parametrize(("name", "models"), [("slow", 1), ("inattentive", 2)])
def test_a_cancelled_job_ends_soon_and_the_worker_stays(start, tmp_path, name, models):
    host, taken = start(), []
    for _ in range(2 if name == "inattentive" else 5):
        host.say(Job(input=name, output=str(tmp_path / "a")))
        host.hear(until=Stage)
        began = time.monotonic()
        host.say(Cancel())
        assert kinds(host.hear()) == [Cancelled]
        taken.append(time.monotonic() - began)
        assert list(tmp_path.iterdir()) == [tmp_path / "log"]
    assert max(taken) < SOON
    host.say(Job(input="steps", output=str(tmp_path / "a")))
    assert isinstance(host.hear()[-1], Done)


def test_what_was_interrupted_anywhere_is_not_kept(start):
    host = start()
    host.say(Job(input="inattentive"))
    host.hear(until=Stage)
    host.say(Cancel(), Job(input="says_what_is_loaded"))
    assert isinstance(host.hear()[-1], Cancelled)
    assert Warning(message="models loaded: 2") in host.hear()


def test_who_asks_again_does_not_wait_for_the_work_to_look_up(start):
    host = start()
    host.say(Job(input="needs_to_be_asked_again"))
    host.hear(until=Progress)
    host.say(Cancel(), Cancel())
    assert kinds(host.hear()) == [Cancelled]
    host.say(Job(input="says_what_is_loaded"))
    assert Warning(message="models loaded: 2") in host.hear()


def test_cancelling_means_all_that_was_sent_and_nothing_later(start, tmp_path):
    host = start()
    host.say(Cancel(), Job(input="slow", output=str(tmp_path / "a")), Job(input="slow", output=str(tmp_path / "b")))
    host.hear(until=Stage)
    host.say(Cancel(), Job(input="steps", output=str(tmp_path / "c")))
    assert [type(host.hear()[-1]) for _ in range(3)] == [Cancelled, Cancelled, Done]


@pytest.mark.parametrize("name", ["slow", "inattentive", "deaf"])
def test_it_leaves_with_its_host_in_the_middle_of_a_job(start, tmp_path, name):
    host = start()
    host.say(Job(input=name, output=str(tmp_path / "a")))
    host.hear(until=Stage)
    began = time.monotonic()
    assert host.end() == worker.HOST_GONE
    assert time.monotonic() - began < SOON
    assert list(tmp_path.iterdir()) == [tmp_path / "log"]


def test_half_a_request_is_none(start, tmp_path):
    host = start()
    host.say(to_bytes(Job(input="steps", output=str(tmp_path / "a")))[:-1])
    assert host.end() == worker.HOST_GONE
    assert not (tmp_path / "a").exists()


def test_it_leaves_when_nobody_listens(start):
    host = start()
    host.process.stdout.close()
    assert host.process.wait(SOON) == worker.HOST_GONE


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("name", ["slow", None])
def test_a_signal_ends_it(start, tmp_path, name, number):
    host = start()
    if name:
        host.say(Job(input=name, output=str(tmp_path / "a")))
        host.hear(until=Stage)
    host.process.send_signal(number)
    heard = host.hear(until=Bye)
    assert kinds(heard) == ([Cancelled, Bye] if name else [Bye])
    assert host.process.wait(SOON) == WasCancelled.exit_code
    assert list(tmp_path.iterdir()) == [tmp_path / "log"]


@pytest.mark.parametrize(
    ("arguments", "said", "reason"),
    [(["600"], [Shutdown()], "asked to by the host"), (["0.3"], [], "no job for 0.3 s")],
    ids=["shutdown", "idle"],
)
def test_it_says_goodbye(start, arguments, said, reason):
    host = start(*arguments)
    host.say(*said)
    assert host.hear(until=Bye) == [Bye(reason=reason)]
    assert host.process.wait(SOON) == 0


@pytest.mark.parametrize(
    ("line", "code", "told"),
    [
        (b"what?\n", 78, "not a message of zido"),
        (b"\xff\xfe\n", 78, "not a message of zido"),
        (b'{"v": 2, "type": "run", "input": "steps"}\n', 78, "version 2 of the protocol and this one version 1"),
        (b'{"v": 1, "type": "run"}\n', 78, "incomplete message 'run'"),
        (b'{"v": 1, "type": "run", "input": "steps", "options": {"scal": 2}}\n', 2, "did you mean 'scale'"),
    ],
)
def test_what_it_cannot_do_is_told_and_it_stays(start, tmp_path, line, code, told):
    host = start()
    host.say(b'{"v": 1, "type": "sing"}\n', line, Job(input="steps", output=str(tmp_path / "a")))
    refused = host.hear()[-1]
    assert refused.code == code
    assert told in refused.message
    assert isinstance(host.hear()[-1], Done)


def test_whatever_writes_to_standard_output_goes_to_the_log(start, tmp_path):
    host = start()
    host.say(Job(input="prints"))
    assert kinds(host.hear()) == [Started, Plan, Stage, Done]
    log = (tmp_path / "log").read_text()
    assert log.count("stray") == 3
    assert "forged" in log
    assert "input gives ''" in log


def test_memory_that_runs_out_inside_a_job_is_told(start):
    host = start()
    host.say(Job(input="runs_out_of_memory"), Job(input="says_what_is_loaded"))
    assert host.hear()[-1].code == 71
    assert isinstance(host.hear()[-1], Done)


def test_instead_of_a_greeting_comes_the_reason_why_there_is_none(start):
    code = (
        f"import sys; sys.path.insert(0, {str(ROOT)!r}); sys.modules['numpy'] = None\n"
        "from zido_core.worker import serve; serve()"
    )
    host = start(command=[sys.executable, "-c", code], greeted=False)
    failed, goodbye = host.hear(until=Bye)
    assert (failed.kind, failed.code) == ("ModelMissing", 69)
    assert "package numpy is not installed" in failed.message
    assert isinstance(goodbye, Bye)
    assert host.process.wait(SOON) == 69


def test_a_model_is_loaded_once_and_anew_where_another_is_wanted(upscaler, monkeypatch):
    from zido_core import pipeline

    loaded = []
    monkeypatch.setattr(
        pipeline, "backbone_for", lambda setup: loaded.append(setup.options.precision) or upscaler.backbone
    )
    model, image = pipeline.KeptModel(), np.zeros((8, 8, 3), np.uint8)
    for precision in ("fp32", "fp32", "bf16"):
        options = Options(preset="preview", device="cpu", precision=precision)
        assert model.upscale(image, options=options).image.shape == (32, 32, 3)
    assert loaded == ["fp32", "bf16"]


def test_it_leads_a_process_group(start):
    host = start()
    assert os.getpgid(host.process.pid) == host.process.pid != os.getpgid(0)


def test_it_knows_its_memory():
    assert worker.resident_bytes() > 10 * 2**20 or not Path("/proc/self/statm").exists()


def test_a_log_begins_anew_before_it_fills_the_disk(tmp_path, monkeypatch):
    monkeypatch.setattr(worker, "LOG_LIMIT", 1000)
    kept, path = os.dup(2), tmp_path / "log"
    with path.open("ab") as log:
        os.dup2(log.fileno(), 2)
        try:
            sizes = []
            for text in (b"x" * 1000, b"y", b"z"):
                os.write(2, text)
                worker._bound_log()
                sizes.append(path.stat().st_size)
        finally:
            os.dup2(kept, 2)
            os.close(kept)
    assert sizes == [1000, 0, 1]


def test_the_command_line_starts_one(capsys, monkeypatch):
    served = []
    monkeypatch.setattr(worker, "serve", lambda idle, *, only_views: served.append((idle, only_views)))
    assert cli.execute(["worker"]) == 0
    assert cli.execute(["worker", "--idle", "5", "--views"]) == 0
    assert cli.execute(["worker", "--idle", "-1"]) == 2
    assert served == [(worker.IDLE, False), (5.0, True)]
    assert cli.execute(["worker", "--help"]) == 0
    told = capsys.readouterr().out
    assert "docs/worker.md" in told
    assert (ROOT / "docs" / "worker.md").exists()
