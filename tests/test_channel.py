"""What a worker says: whole lines, short enough, with progress that neither goes back nor floods."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from zido_core import channel
from zido_core.channel import Channel, fitted
from zido_core.job import Done, Failed, Plan, Progress, Started, Warning  # noqa: A004
from zido_core.wire import LINE_LIMIT, from_bytes

ROOT = Path(__file__).resolve().parents[1]


def said(events, *, monkeypatch=None, times=None):
    """What comes out of a channel that these events went into."""
    if times is not None:
        clock = iter(times)
        monkeypatch.setattr(channel.time, "monotonic", lambda: next(clock))
    reading, writing = os.pipe()
    talker = Channel(writing, lambda: None)
    for event in events:
        talker.say(event)
    talker.close(5)
    with os.fdopen(reading, "rb") as lines:
        return [from_bytes(line) for line in lines]


def test_events_come_out_in_order():
    events = [Started(input="a.tif"), Progress(done=1, total=2), Warning(message="é"), Done(output=None, seconds=1.0)]
    assert said(events) == events


@pytest.mark.parametrize(
    ("readings", "told"),
    [
        ([(0.0, 1), (0.05, 2), (0.11, 3)], [1, 3]),
        ([(0.0, 1), (1.0, 1), (2.0, 0), (3.0, 2)], [1, 2]),
        ([(0.0, 1), (0.01, 9)], [1, 9]),
    ],
    ids=["at most ten a second", "never back", "the last one always"],
)
def test_progress_is_thinned_out(monkeypatch, readings, told):
    events = [Progress(done=done, total=9) for _, done in readings]
    heard = said(events, monkeypatch=monkeypatch, times=[at for at, _ in readings])
    assert [event.done for event in heard] == told


def test_every_job_has_its_own_progress():
    events = [Progress(done=5, total=5), Started(input="b.tif"), Progress(done=1, total=5)]
    assert said(events) == events


LONG = "\x01" * LINE_LIMIT


@pytest.mark.parametrize(
    "event",
    [
        Warning(message="a" + LONG + "z"),
        Failed(message="a" + "é" * LINE_LIMIT + "z", traceback=LONG),
        Plan(
            input_size=(1, 1),
            output_size=(4, 4),
            scale=4.0,
            tiles=1,
            tile_size=512,
            memory_bytes=1,
            disk_bytes=1,
            warnings=(LONG,) * 1000,
        ),
    ],
    ids=lambda event: type(event).__name__,
)
def test_a_long_event_fits_a_line_and_keeps_its_ends(event):
    line = fitted(event)
    assert len(line) <= LINE_LIMIT
    message = getattr(from_bytes(line), "message", "az")
    assert (message[0], message[-1]) == ("a", "z")


def test_an_event_that_fits_is_left_alone():
    event = Warning(message="x" * 60_000)
    assert from_bytes(fitted(event)) == event


def test_a_host_that_listens_no_more_is_noticed():
    lost = threading.Event()
    reading, writing = os.pipe()
    os.close(reading)
    talker = Channel(writing, lost.set)
    talker.say(Warning(message="is anybody there?"))
    assert lost.wait(5)
    talker.say(Warning(message="no"))
    talker.close(5)


def test_claimed_pipes_belong_to_the_protocol_alone():
    code = (
        f"import sys; sys.path.insert(0, {str(ROOT)!r})\n"
        "import os\n"
        "from zido_core.channel import claim_pipes\n"
        "requests, answers = claim_pipes()\n"
        "print('a print', flush=True); os.system('echo a shell'); os.write(1, b'a library\\n')\n"
        "assert sys.stdin.read() == ''\n"
        "os.write(answers, requests.readline())\n"
    )
    ran = subprocess.run([sys.executable, "-c", code], input=b"hello\n", capture_output=True, check=False, timeout=60)
    assert ran.stdout == b"hello\n"
    assert ran.stderr.split(b"\n")[:3] == [b"a print", b"a shell", b"a library"], ran.stderr
