"""The host's side: two jobs on a warm worker, stopping one that does not want to, and every way in which it can die.

The client is loaded as in QGIS, as a part of the package `zido`.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
import rasterio
from zido.plugin.client import Client
from zido.plugin.conversation import Patience
from zido.plugin.launch import worker_command
from zido.zido_core import __version__
from zido.zido_core.errors import ConfigurationError
from zido.zido_core.job import (
    Cancelled,
    Done,
    Failed,
    Heartbeat,
    Hello,
    Job,
    Plan,
    Preview,
    Progress,
    Stage,
    Started,
    Warning,  # noqa: A004 - the event
)
from zido.zido_core.options import Options

ROOT = Path(__file__).resolve().parents[1]
FAKE = [sys.executable, str(ROOT / "tests" / "fake_worker.py")]
SOON = 20.0
"""Seconds: long before a job would end by itself. The goal, two, is for benchmarks: other programs hold up tests."""
PYTHON = [sys.executable, "-S", "-c"]
LIVES_ONLY = """
import time
while not time.sleep(0.1): print('{"v": 1, "type": "heartbeat"}')
"""

pytestmark = pytest.mark.skipif(os.name == "nt", reason="what is done to the worker here is done in the POSIX way")


@pytest.fixture
def make(tmp_path):
    clients = []

    def client(command=FAKE, **patience):
        clients.append(Client(command, log_folder=tmp_path / "logs", patience=Patience(**patience)))
        return clients[-1]

    yield client
    for each in clients:
        each.close()


@pytest.fixture(scope="module")
def warm(tmp_path_factory):
    """A client whose worker is not harmed by any test that uses it."""
    with Client(FAKE, log_folder=tmp_path_factory.mktemp("logs")) as client:
        yield client


def without_heartbeats(events):
    return [event for event in events if not isinstance(event, Heartbeat)]


class Button:
    """Pressed at the first event of a kind, as by a user who sees it."""

    def __init__(self, kind):
        self.kind, self.pressed, self.events = kind, None, []

    def on_event(self, event):
        self.events.append(event)
        if self.pressed is None and isinstance(event, self.kind):
            self.pressed = time.monotonic()

    def cancelled(self):
        return self.pressed is not None


def gone(pid, patience=SOON):
    """Whether the process ends within so many seconds: the system takes a moment after a kill."""
    deadline = time.monotonic() + patience
    while not _ended(pid):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def _ended(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    state = Path(f"/proc/{pid}/stat")
    if not Path("/proc/self/stat").exists():
        return False
    try:
        return state.read_text().rpartition(")")[2].split()[0] == "Z"  # a zombie is gone, too
    except FileNotFoundError:
        return True


def test_jobs_in_a_row_are_done_by_one_warm_worker(warm, tmp_path):
    for name in ("a", "b"):
        events = []
        end = warm.run(Job(input="steps", output=str(tmp_path / name)), events.append)
        assert end == events[-1]
        assert isinstance(end, Done)
        told = [type(event) for event in without_heartbeats(events)]
        assert told[:3] == [Started, Plan, Stage]
        assert set(told[3:]) == {Progress, Done}
    events = []
    warm.run(Job(input="says_what_is_loaded"), events.append)
    assert Warning(message="models loaded: 1") in events


def test_the_worker_says_who_it_is(warm):
    hello = warm.start()
    assert isinstance(hello, Hello)
    assert (hello.zido, hello.device) == (__version__, "cpu")
    assert warm.hello == hello


def test_a_plan_is_asked_for_without_doing_the_work(warm, tmp_path):
    assert isinstance(warm.plan(Job(input="steps", output=str(tmp_path / "a"))), Plan)
    assert list(tmp_path.iterdir()) == []


def test_previews_and_warnings_arrive(warm):
    events = []
    warm.run(Job(input="talks"), events.append)
    assert Preview(path="p.png", box=(0, 0, 8, 8)) in events
    warnings = [event.message for event in events if isinstance(event, Warning)]
    assert warnings[0].startswith("€€€")
    assert len(warnings[0]) < 1000
    assert warnings[1] == "careful"


def test_progress_never_goes_back_and_never_floods(warm):
    events = []
    warm.run(Job(input="hurries"), events.append)
    done = [event.done for event in events if isinstance(event, Progress)]
    assert done == sorted(set(done))
    assert done[-1] == 999
    assert len(done) < 100


@pytest.mark.parametrize("name", ["prints", "floods"])
def test_noise_of_the_worker_neither_blocks_nor_corrupts(warm, name):
    assert isinstance(warm.run(Job(input=name)), Done)


def test_a_job_too_long_for_a_line_is_refused(warm):
    end = warm.run(Job(input="steps", options=Options(prompt="x" * 70_000)))
    assert (end.kind, end.code) == (ConfigurationError.__name__, 78)
    assert "use a shorter prompt" in end.message


def test_cancelling_does_not_wait_for_the_job(warm, tmp_path):
    taken = []
    for _ in range(5):
        button = Button(Stage)
        end = warm.run(Job(input="slow", output=str(tmp_path / "a")), button.on_event, cancelled=button.cancelled)
        taken.append(time.monotonic() - button.pressed)
        assert end == Cancelled()
        assert button.events[-1] == end
    assert max(taken) < SOON
    assert list(tmp_path.iterdir()) == []


def test_a_job_is_cancelled_from_another_thread(warm, tmp_path):
    began = threading.Event()
    ends = []
    job = Job(input="slow", output=str(tmp_path / "a"))
    thread = threading.Thread(
        target=lambda: ends.append(warm.run(job, lambda event: isinstance(event, Stage) and began.set()))
    )
    thread.start()
    assert began.wait(SOON)
    warm.cancel()
    thread.join(SOON)
    assert ends == [Cancelled()]


def test_a_second_thread_waits_for_its_turn_and_may_give_up(warm, tmp_path):
    began, ends = threading.Event(), []
    button = Button(())

    def first():
        job = Job(input="slow", output=str(tmp_path / "a"))
        tell = lambda event: isinstance(event, Stage) and began.set()  # noqa: E731
        ends.append(warm.run(job, tell, cancelled=button.cancelled))

    thread = threading.Thread(target=first)
    thread.start()
    assert began.wait(SOON)
    assert warm.run(Job(input="steps", output=str(tmp_path / "b")), cancelled=lambda: True) == Cancelled()
    assert thread.is_alive()
    assert ends == []
    button.pressed = time.monotonic()
    assert isinstance(warm.run(Job(input="steps", output=str(tmp_path / "b"))), Done)
    thread.join(SOON)
    assert ends == [Cancelled()]


def test_a_worker_that_does_not_listen_is_terminated_then_killed(make, tmp_path):
    client, button = make(cancel=0.2, terminate=0.3), Button(Stage)
    end = client.run(Job(input="deaf", output=str(tmp_path / "a")), button.on_event, cancelled=button.cancelled)
    assert end == Cancelled()
    assert time.monotonic() - button.pressed < SOON
    assert gone(client.hello.pid)


def test_a_worker_is_asked_again_where_there_is_haste(make, tmp_path):
    client, button = make(insist=0.1, cancel=100.0), Button(Progress)
    asked = Job(input="needs_to_be_asked_again", output=str(tmp_path / "a"))
    assert client.run(asked, button.on_event, cancelled=button.cancelled) == Cancelled()
    assert client.start() == client.hello


def test_what_a_stopped_worker_has_kept_is_told(warm, tmp_path):
    end = warm.run(Job(input="keeps", output=str(tmp_path / "a")), cancelled=(tmp_path / "a.zido" / "job.json").exists)
    assert end == Cancelled(work=str(tmp_path / "a.zido"))


def test_what_a_worker_has_kept_that_had_to_be_killed_is_told(make, tmp_path):
    kept = tmp_path / "a.zido"
    client, asked = make(cancel=0.2, terminate=0.2), Job(input="keeps_and_is_deaf", output=str(tmp_path / "a"))
    assert client.run(asked, cancelled=(kept / "job.json").exists) == Cancelled(work=str(kept))


def test_what_a_worker_has_kept_that_has_died_is_told(make, tmp_path):
    end = make().run(Job(input="keeps_and_is_killed", output=str(tmp_path / "a")))
    assert (end.kind, end.work) == ("OutOfMemory", str(tmp_path / "a.zido"))


def test_commands_in_messages_are_those_of_the_workers_python(make):
    end = make().run(Job(input="lacks_files"))
    assert end.message == f"the files of seesr are not here; run `{sys.executable} -m zido_core models get seesr`"


@pytest.mark.parametrize(
    ("name", "kind", "told"),
    [
        ("crashes", "ZidoError", "crashed inside a native library"),
        ("is_killed", "OutOfMemory", "memory ran out. Take a smaller tile batch"),
        ("is_cut_off", "OutOfMemory", "memory ran out"),
    ],
)
def test_a_death_in_the_middle_is_explained_and_the_next_job_works(make, tmp_path, name, kind, told):
    client, events = make(), []
    end = client.run(Job(input=name), events.append)
    assert end == events[-1]
    assert isinstance(end, Failed)
    assert end.kind == kind
    assert told in end.message
    assert isinstance(client.run(Job(input="steps", output=str(tmp_path / "a"))), Done)


def test_a_worker_that_left_for_lack_of_work_is_replaced(make, tmp_path):
    client = make([*FAKE, "0.2"])
    pids = set()
    for name in "ab":
        assert isinstance(client.run(Job(input="steps", output=str(tmp_path / name))), Done)
        pids.add(client.hello.pid)
        time.sleep(0.6)
    assert len(pids) == 2


def test_a_worker_that_leaves_just_now_does_not_lose_the_job(make, tmp_path):
    client = make()
    client.start()
    os.kill(client.hello.pid, signal.SIGSTOP)  # it does not see that it has a job
    threading.Timer(0.3, os.kill, (client.hello.pid, signal.SIGKILL)).start()
    assert isinstance(client.run(Job(input="steps", output=str(tmp_path / "a"))), Done)


def test_a_silent_worker_is_reported_then_ended(make):
    client, events = make(quiet=0.3, dead=0.8), []
    end = client.run(Job(input="freezes"), events.append)
    assert [event.message for event in events if isinstance(event, Warning)] == [
        "nothing was heard of the worker for 0.3 s; wait, or cancel"
    ]
    assert "was silent for 0.8 s and was ended" in end.message
    assert gone(client.hello.pid)


def test_a_lost_answer_is_noticed(make):
    end = make().run(Job(input="is_not_heard"))
    assert "answer was lost" in end.message


@pytest.mark.parametrize(
    ("command", "kind", "told"),
    [
        (["/no/such/python"], "ModelMissing", "cannot start /no/such/python: there is no such program"),
        ([str(ROOT / "README.md")], "ModelMissing", "may not be run, or is no program"),
        ([sys.executable, "-I", "-S", "-m", "zido_core", "worker"], "ModelMissing", "zido is not installed in that"),
        ([*PYTHON, "import torch_of_this_name"], "ModelMissing", "package torch_of_this_name is not installed"),
        ([*PYTHON, 'print(\'{"v": 9, "type": "hello"}\')'], "ProtocolMismatch", "version 9 .* version 1"),
        ([*PYTHON, "print('hello')"], "ZidoError", "exit code 0, and its log is empty"),
        ([*PYTHON, "import time; time.sleep(60)"], "ZidoError", "gave no sign of life, so it is no worker"),
        (
            [*PYTHON, 'import time\nwhile not time.sleep(0.1): print(\'{"v": 1, "type": "heartbeat"}\')'],
            "ZidoError",
            "did not become ready",
        ),
    ],
    ids=["no program", "not a program", "no zido", "no package", "version", "not a worker", "silent", "never ready"],
)
def test_a_worker_that_does_not_start_is_explained(make, command, kind, told):
    client, events = make(command, start=1.0, dead=1.5), []
    end = client.run(Job(input="steps"), events.append)
    assert events == [end]
    assert end.kind == kind
    assert re.search(told, end.message), end.message


def test_starting_in_vain_is_told():
    client = Client(["/no/such/python"])
    assert client.start() == client.plan(Job(input="steps"))
    assert "no such program" in client.start().message


def test_starting_may_be_given_up(make):
    client = make([*PYTHON, "import time; time.sleep(60)"])
    began = time.monotonic()
    assert client.run(Job(input="steps"), cancelled=lambda: time.monotonic() > began + 0.2) == Cancelled()
    assert time.monotonic() - began < SOON


def test_an_error_of_the_host_ends_the_worker_and_is_not_swallowed(make, tmp_path):
    client, pids = make(), []

    def fail(event):
        pids.append(client.hello.pid)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        client.run(Job(input="slow", output=str(tmp_path / "a")), fail)
    assert gone(pids[0])
    assert not list(tmp_path.glob("a*"))


def test_closing_ends_the_worker_and_the_job_and_allows_no_other(make, tmp_path):
    client, began, ends = make(), threading.Event(), []
    job = Job(input="slow", output=str(tmp_path / "a"))
    thread = threading.Thread(
        target=lambda: ends.append(client.run(job, lambda event: isinstance(event, Stage) and began.set()))
    )
    thread.start()
    assert began.wait(SOON)
    client.close()
    assert gone(client.hello.pid)
    thread.join(SOON)
    assert ends == [Cancelled()]
    assert not list(tmp_path.glob("a*"))
    assert client.run(job) == Cancelled()


HOST = f"""
import importlib.util, sys
spec = importlib.util.spec_from_file_location("zido", {str(ROOT / "__init__.py")!r},
                                              submodule_search_locations=[{str(ROOT)!r}])
sys.modules["zido"] = importlib.util.module_from_spec(spec)
from zido.plugin.client import Client
from zido.zido_core.job import Job, Stage
client = Client({FAKE!r})
tell = lambda event: isinstance(event, Stage) and print(client.hello.pid, flush=True)
client.run(Job(input="slow", output=sys.argv[1]), tell)
"""


def test_a_killed_host_leaves_no_orphan_and_no_file(tmp_path):
    host = subprocess.Popen([sys.executable, "-S", "-c", HOST, str(tmp_path / "a")], stdout=subprocess.PIPE, text=True)
    with host:
        worker = int(host.stdout.readline())
        host.send_signal(signal.SIGKILL)
    deadline = time.monotonic() + SOON
    while not gone(worker) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert gone(worker)
    assert list(tmp_path.iterdir()) == []


def test_diagnostics_name_neither_home_nor_user(make, monkeypatch):
    home = os.path.expanduser("~")
    client = make([*PYTHON, f"raise SystemExit('in {home}/x and /data/somebody/y')"])
    monkeypatch.setattr("getpass.getuser", lambda: "somebody")
    client.run(Job(input="steps"))
    told = client.diagnostics()
    assert f"zido {__version__}" in told
    assert "exit code: 1" in told
    assert told.splitlines()[-1] == "in ~/x and /data/USER/y"


def test_the_real_worker_gives_the_bytes_of_any_other_run(make_raster, upscaler, tmp_path):
    """Whatever ran before it; and a poisoned environment of the host does not reach it."""
    source = str(make_raster(shape=(3, 24, 30), crs="EPSG:32750"))
    options = Options(preset="preview", device="cpu", precision="fp32")
    outputs = [tmp_path / name for name in ("one.tif", "two.tif", "alone.tif")]
    python, places = worker_command(sys.executable), {"PYTHONPATH": str(ROOT)}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PROJ_LIB", str(tmp_path))
        patch.setenv("PYTHONHOME", str(tmp_path))
        with Client(python, log_folder=tmp_path / "logs", environment=places) as client:
            for output in outputs[:2]:
                end = client.run(Job(input=source, output=str(output), options=options))
                assert isinstance(end, Done), end
                assert (end.output, end.crs) == (str(output), "EPSG:32750")
    upscaler.upscale(source, outputs[2], preset="preview")
    arrays = []
    for output in outputs:
        with rasterio.open(output) as dataset:
            arrays.append(dataset.read())
    assert arrays[0].shape == (3, 96, 120)
    assert (arrays[0] == arrays[1]).all()
    assert (arrays[0] == arrays[2]).all()
