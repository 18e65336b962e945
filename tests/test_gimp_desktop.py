"""GIMP with its windows: cancelling, its death, and zido's window, by mouse and keyboard on a screen nobody sees."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.conftest import ROOT
from tests.gimp_host import Gimp, leftovers, workers
from tests.screen import Screen, until

GONE = 3.0
"""Seconds within which nothing of zido may be left."""

OPEN = f"""
image = load({str(ROOT / "examples" / "barn.png")!r})
(layer,) = image.get_layers()
Gimp.Display.new(image)
"""


@pytest.fixture
def screen(gimp: Gimp) -> Iterator[Screen]:
    with Screen() as made:
        yield made


@pytest.fixture
def start(gimp: Gimp) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Starts a GIMP, which is ended with the test."""
    started = []

    def begin(script: str, **environment: str) -> subprocess.Popen[str]:
        started.append(gimp.start(script, **environment))
        return started[-1]

    yield begin
    for process in started:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def end_of(gimp: Gimp, process: subprocess.Popen[str]) -> dict[str, Any]:
    """The answer of the script."""
    out, err = process.communicate(timeout=180)
    assert process.returncode == 0, out[-2000:] + err[-2000:]
    told: dict[str, Any] = json.loads(gimp.answer.read_text())
    return told


def job_runs(gimp: Gimp, jobs_before: int, process: subprocess.Popen[str]) -> None:
    until(lambda: len(gimp.seen()) > jobs_before, process=process)
    time.sleep(1)  # the bar moves


def test_the_cancel_button_ends_everything(gimp, screen, start):
    jobs = len(gimp.seen())
    script = OPEN + (
        "answer['first'] = call(image, [layer], prompt='slow')[0]\n"
        "open(os.environ['HOME'] + '/cancelled', 'w').close()\n"
        "answer['second'] = call(image, [layer], scale=1.0)[0]\n"
        "answer['layers'] = len(image.get_layers())\n"
    )
    process = start(script, DISPLAY=screen.display)
    job_runs(gimp, jobs, process)
    assert workers(gimp.home)
    cancelled = gimp.home / "cancelled"
    for x in range(490, 560, 12):  # the button lies at the right of the status bar, where the font has it
        screen.click(x, 583)
        with contextlib.suppress(AssertionError):
            until(cancelled.exists, 2)
            break
    answer = end_of(gimp, process)
    assert (answer["first"], answer["second"], answer["layers"]) == ("cancel", "success", 2)
    until(lambda: not workers(gimp.home), GONE)
    assert leftovers(gimp.home) == []  # the second run has tidied up for the first


def test_nothing_outlives_a_gimp_that_is_killed(gimp, start):
    jobs = len(gimp.seen())
    process = start(OPEN.replace("Gimp.Display.new(image)", "") + "call(image, [layer], prompt='slow')\n")
    job_runs(gimp, jobs, process)
    assert len(workers(gimp.home)) >= 2
    os.kill(process.pid, signal.SIGKILL)
    until(lambda: not workers(gimp.home), GONE)


def test_the_window_asks_and_its_values_are_remembered(gimp, screen, start):
    script = OPEN + (
        "first = call(image, [layer], mode=Gimp.RunMode.INTERACTIVE)\n"
        "answer['first'] = [first[0], first[1] and first[1].get_width()]\n"
        "again = call(image, [layer], mode=Gimp.RunMode.WITH_LAST_VALS)\n"
        "answer['again'] = [again[0], again[1] and again[1].get_width()]\n"
        "answer['closed'] = call(image, [layer], mode=Gimp.RunMode.INTERACTIVE)[0]\n"
    )
    jobs = len(gimp.seen())
    process = start(script, DISPLAY=screen.display)
    screen.keys(process, "zido: ", "alt+s", "2", "Return")
    until(lambda: len(gimp.seen()) >= jobs + 2, process=process)
    screen.keys(process, "zido: ", "Escape")
    answer = end_of(gimp, process)
    assert answer == {"first": ["success", 512], "again": ["success", 512], "closed": "cancel"}
    assert [job["options"]["scale"] for job in gimp.seen()[jobs:]] == [2.0, 2.0]
    assert leftovers(gimp.home) == []


def test_a_result_at_scale_1_is_one_step_to_undo(gimp, screen, start):
    script = OPEN + (
        "image.select_rectangle(Gimp.ChannelOps.REPLACE, 20, 20, 50, 50)\n"
        "Gimp.Selection.feather(image, 5)\n"
        "call(image, [layer], scale=1.0)\n"
        "import time\n"
        "answer['before'] = len(image.get_layers())\n"
        "open(os.environ['HOME'] + '/layered', 'w').close()\n"
        "for _ in range(600):\n"
        "    time.sleep(0.1)\n"
        "    if len(image.get_layers()) == 1:\n"
        "        break\n"
        "answer['after'] = [len(image.get_layers()), Gimp.Selection.is_empty(image)]\n"
    )
    process = start(script, DISPLAY=screen.display)
    until((gimp.home / "layered").exists, process=process)
    screen.keys(process, ".*px|.*192 – GIMP|.*GIMP built-in", "ctrl+z")
    answer = end_of(gimp, process)
    assert answer == {"before": 2, "after": [1, False]}  # the selection, made before, is still there


def test_without_a_python_it_offers_to_make_one(gimp, screen, start):
    script = OPEN + "answer['status'] = call(image, [layer], mode=Gimp.RunMode.INTERACTIVE)[0]\n"
    process = start(script, DISPLAY=screen.display, ZIDO_PYTHON="", ZIDO_HOME=str(gimp.home / "nothing"))
    screen.keys(process, "zido$", "Escape")
    assert end_of(gimp, process) == {"status": "cancel"}
    assert not (gimp.home / "nothing").exists()


def test_the_window_goes_with_a_gimp_that_is_killed(gimp, screen, start):
    process = start(OPEN + "call(image, [layer], mode=Gimp.RunMode.INTERACTIVE)\n", DISPLAY=screen.display)
    screen.keys(process, "zido: ")
    assert workers(gimp.home)
    os.kill(process.pid, signal.SIGKILL)
    until(lambda: not workers(gimp.home), GONE)
