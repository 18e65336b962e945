"""Requests and events as JSON lines: what survives, and what is told of lines that are no messages."""

from __future__ import annotations

import json

import pytest

from zido_core import errors
from zido_core.job import (
    Bye,
    Cancel,
    Cancelled,
    Done,
    Fade,
    Failed,
    Heartbeat,
    Hello,
    Job,
    Plan,
    Preview,
    Progress,
    Sample,
    Shown,
    Shutdown,
    Stage,
    Started,
    Tag,
    View,
    Warning,  # noqa: A004 - the event
)
from zido_core.options import Options
from zido_core.wire import MESSAGES, decode, encode, from_bytes, to_bytes

EXAMPLES = [
    Job(input="a.tif"),
    Job(input="ä.tif", output="b.tif", options=Options(scale=2, bands=(4, 3, 2), prompt='say "é"\n')),
    Started(input="a.tif", output="b.tif", index=2, count=3),
    Plan(
        input_size=(3, 4),
        output_size=(12, 16),
        scale=4.0,
        tiles=1,
        tile_size=512,
        memory_bytes=10**10,
        disk_bytes=576,
        seconds=1.5,
        output="b.tif",
        crs="EPSG:4326",
        device="cuda:0",
        warnings=("one", "two"),
    ),
    Stage(name="denoising", index=2, count=4),
    Progress(done=1, total=9, eta=2.5),
    Warning(message="careful"),
    Preview(path="p.png", box=(0, 0, 64, 32)),
    Done(output="b.tif", seconds=3.25, output_size=(12, 16), crs="EPSG:4326"),
    Failed(message="no", kind="BadInput", code=65),
    Cancelled(),
    Cancel(),
    Shutdown(),
    Tag(input="a.tif", output="a.geojson", options=Options(tile_size=256)),
    Sample(input="a.tif", output="p.png", box=(1, 2, 128, 128), options=Options(seed=3)),
    Fade(input="a.tif", result="b.tif", certain="c.tif", output="d.tif", fidelity=0.5),
    View(input="a.tif", output="v.ppm", box=(0.5, 1.0, 20.25, 30.0), zoom=0.5, like="b.tif", smooth=True),
    Shown(path="v.ppm", size=(100, 200), box=(0, 1, 21, 30), kind="photo"),
    Hello(zido="1.2.3", python="3.11.2", pid=7, device="cuda:0", device_bytes=8 * 2**30, models=("mini",)),
    Heartbeat(stage="denoising", memory_bytes=2**30),
    Bye(reason="nothing to do"),
]


@pytest.mark.parametrize("message", EXAMPLES, ids=lambda message: type(message).__name__)
def test_a_message_survives_its_line(message):
    line = encode(message)
    assert "\n" not in line
    assert decode(line) == message


def test_a_message_survives_a_pipe_also_with_a_file_name_that_is_no_unicode():
    strange = Job(input="a\udcff.tif")
    line = to_bytes(strange)
    assert line.count(b"\n") == 1
    assert line.endswith(b"\n")
    assert from_bytes(line) == strange


@pytest.mark.parametrize("line", [b"\xff\xfe\n", b'{"v": 1, "type": "bye", "rea'])
def test_bytes_that_are_no_message_are_told(line):
    with pytest.raises(errors.ConfigurationError, match="not a message"):
        from_bytes(line)


def test_a_foreign_version_is_told_apart_from_noise():
    with pytest.raises(errors.ProtocolMismatch, match="version 2"):
        decode('{"v": 2, "type": "hello"}')


def test_every_kind_of_message_has_an_example():
    assert {type(message) for message in EXAMPLES} == set(MESSAGES.values())


def test_fields_with_their_default_are_left_out():
    assert json.loads(encode(Job(input="a.tif"))) == {"v": 1, "type": "run", "input": "a.tif"}
    assert json.loads(encode(Progress(done=1, total=2))) == {
        "v": 1,
        "type": "progress",
        "done": 1,
        "total": 2,
    }


def test_keys_and_types_of_a_newer_side_are_ignored():
    assert decode('{"v": 1, "type": "progress", "done": 1, "total": 2, "mood": "good"}') == Progress(done=1, total=2)
    assert decode('{"v": 1, "type": "song"}') is None


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ('{"v": 2, "type": "progress"}', "version 2 .* version 1"),
        ('{"v": 1, "type": "progress", "done": 1}', "incomplete message 'progress'"),
        ("Segmentation fault", "not a message of zido: 'Segmentation fault'"),
        ("[1, 2]", "not a message"),
        ('{"type": "progress"}', "not a message"),
        ('{"v": 1, "type": []}', "not a message"),
        ("x" * 1000, r"x\.\.\.'$"),
    ],
)
def test_a_line_that_is_no_message_is_told(line, told):
    with pytest.raises(errors.ConfigurationError, match=told):
        decode(line)


def test_a_wrong_option_in_a_job_is_told_as_such():
    with pytest.raises(errors.InvalidOptions, match="scale is 9"):
        decode('{"v": 1, "type": "run", "input": "a.tif", "options": {"scale": 9}}')
