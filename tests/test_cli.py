"""The command line around a pipeline that is made up: options, events, errors, exit codes, signals."""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import subprocess
import sys
import types
from pathlib import Path

import pytest

import zido_core
from zido_core import cli, errors, terminal
from zido_core.job import Plan, Progress, Stage, Warning  # noqa: A004 - the event
from zido_core.options import OPTIONS

ROOT = Path(__file__).resolve().parents[1]

PLAN = Plan(
    input_size=(30, 40),
    output_size=(120, 160),
    scale=4.0,
    tiles=2,
    tile_size=512,
    memory_bytes=310_000_000,
    disk_bytes=57_600,
    seconds=75.0,
    output="a_x4.tif",
    crs="EPSG:32750",
    warnings=("the palette becomes RGB",),
)


@pytest.fixture
def pipeline(monkeypatch):
    """A pipeline that only tells events, and fails for inputs whose name is a key of ``errors``."""
    fake = types.ModuleType("zido_core.pipeline")
    fake.calls, fake.errors = [], {}

    def upscale(src, dst, *, options, on_event, cancel):
        fake.calls.append((src, dst, options))
        if src in fake.errors:
            raise fake.errors[src]
        output = dst if dst and not os.path.isdir(dst) else os.path.join(dst or "", Path(src).stem + "_x4.tif")
        on_event(dataclasses.replace(PLAN, output=output))
        on_event(Stage(name="denoising"))
        on_event(Warning(message="a tile is flat"))
        on_event(Progress(done=1, total=2, eta=3.0))
        on_event(Progress(done=2, total=2, eta=0.0))
        return types.SimpleNamespace(path=output)

    def plan(src, dst, options):
        if src in fake.errors:
            raise fake.errors[src]
        return PLAN

    fake.upscale, fake.plan = upscale, plan
    fake.KeptModel = lambda: types.SimpleNamespace(upscale=upscale)
    monkeypatch.setitem(sys.modules, "zido_core.pipeline", fake)
    monkeypatch.setattr(zido_core, "pipeline", fake, raising=False)
    return fake


def test_an_input_is_upscaled_and_the_result_named(pipeline, capsys):
    assert cli.execute(["a.tif", "--scale", "2"]) == 0
    out, err = capsys.readouterr()
    source, target, options = pipeline.calls[0]
    assert (source, target, options.scale) == ("a.tif", None, 2.0)
    assert out.splitlines()[0].startswith("a_x4.tif, 160 x 120 px, EPSG:32750 kept, ")
    assert out.splitlines()[1] == terminal.NOTICE
    assert err.splitlines() == [
        "zido: warning: the palette becomes RGB",
        "a.tif: 40 x 30 px to 160 x 120 px, 2 tiles on cpu, about 1 min 15 s",
        "zido: warning: a tile is flat",
    ]


@pytest.mark.parametrize("spec", OPTIONS.values(), ids=OPTIONS)
def test_every_option_reaches_the_pipeline(pipeline, spec):
    by_name = {
        "model": "mini",
        "fidelity": "0.25",
        "strength": "0.5",
        "bands": "3,2,1",
        "block_size": "512",
        "creation_options": "A=1",
        "stretch": "minmax",
        "priors": "gsp,rap",
        "structure_levels": "2",
        "device": "cpu",
        "report_boxes": "1,2,30,40",
        "dask": "tcp://host:8786",
    }
    needs = {"samples": ["--uncertainty", "u.tif"], "report_boxes": ["--report", "r.html"]}
    by_kind = {bool: "", int: "40", float: "2", str: spec.choices[-1] if spec.choices else "text"}
    sample = by_name.get(spec.name, by_kind[spec.kind])
    arguments = [spec.flag] if spec.kind is bool else [spec.flag, sample]
    assert cli.execute(["a.tif", *arguments, *needs.get(spec.name, [])]) == 0
    if spec.name != "dry_run":
        expected = spec.convert(True if spec.kind is bool else sample)
        assert getattr(pipeline.calls[0][2], spec.name) == expected


def test_creation_options_repeat(pipeline):
    assert cli.execute(["a.tif", "-co", "COMPRESS=ZSTD", "-co", "PREDICTOR=2"]) == 0
    assert pipeline.calls[0][2].creation_options == ("COMPRESS=ZSTD", "PREDICTOR=2")


def test_json_is_one_event_a_line_and_nothing_else(pipeline, capsys):
    assert cli.execute(["a.tif", "--json"]) == 0
    out, err = capsys.readouterr()
    kinds = [json.loads(line)["type"] for line in out.splitlines()]
    assert kinds == ["started", "plan", "stage", "warning", "progress", "progress", "done"]
    assert err == ""


def test_quiet_says_warnings_only(pipeline, capsys):
    assert cli.execute(["a.tif", "-q"]) == 0
    out, err = capsys.readouterr()
    assert out == ""
    assert all(line.startswith("zido: warning:") for line in err.splitlines())


def test_a_dry_run_says_what_it_would_take(pipeline, capsys):
    assert cli.execute(["a.tif", "--dry-run"]) == 0
    out = capsys.readouterr().out
    assert pipeline.calls == []
    for told in (
        "160 x 120 px (x4)",
        "EPSG:32750",
        "2 of 512 px",
        "about 310 MB on cpu (estimated)",
        "57.6 kB (estimated)",
        "1 min 15 s (estimated)",
        "palette",
    ):
        assert told in out


def test_a_dry_run_as_json_is_the_plan(pipeline, capsys):
    assert cli.execute(["a.tif", "--dry-run", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["type"] == "plan"


def test_a_dry_run_of_what_cannot_be_done_fails(pipeline, capsys):
    pipeline.errors["a.tif"] = errors.BadInput("a.tif has no bands")
    assert cli.execute(["a.tif", "--dry-run"]) == 65
    assert capsys.readouterr().err == "zido: a.tif has no bands\n"


@pytest.mark.parametrize(
    ("error", "code", "told"),
    [
        (errors.BadInput("a.tif has\nno bands"), 65, "a.tif has no bands"),
        (errors.InputNotFound("there is no a.tif"), 66, "there is no a.tif"),
        (errors.ModelMissing("no weights"), 69, "no weights"),
        (errors.OutOfMemory("too large"), 71, "too large"),
        (errors.OutputNotWritable("a_x4.tif exists"), 73, "a_x4.tif exists"),
        (errors.Cancelled("stopped"), 130, "stopped; nothing was written"),
        (MemoryError(), 71, "not enough memory"),
        (OSError(28, "No space left on device"), 74, "the disk is full"),
        (PermissionError(13, "Permission denied", "b"), 74, "Permission denied"),
        (ModuleNotFoundError("no", name="torch"), 69, "package torch is not installed; `zido doctor`"),
        (KeyError("rows"), 70, "internal error (KeyError: 'rows'); this is a bug"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else None,
)
def test_an_error_is_one_line_and_a_code(pipeline, capsys, error, code, told):
    pipeline.errors["a.tif"] = error
    assert cli.execute(["a.tif"]) == code
    out, err = capsys.readouterr()
    assert out == ""
    assert len(err.splitlines()) == 1
    assert err.startswith("zido: ")
    assert told in err


def test_an_error_as_json_is_the_last_event(pipeline, capsys):
    pipeline.errors["a.tif"] = errors.BadInput("no bands")
    assert cli.execute(["a.tif", "--json"]) == 65
    out, err = capsys.readouterr()
    last = json.loads(out.splitlines()[-1])
    assert last == {"v": 1, "type": "failed", "message": "no bands", "kind": "BadInput", "code": 65}
    assert err == "zido: no bands\n"


def test_debug_shows_the_traceback(pipeline, capsys):
    pipeline.errors["a.tif"] = KeyError("rows")
    assert cli.execute(["a.tif", "--debug"]) == 70
    assert "Traceback (most recent call last)" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["a.tif", "--scal", "2"], "there is no option --scal; did you mean --scale?"),
        (["a.tif", "--qqq"], "there is no option --qqq; see zido --help"),
        (["a.tif", "--scale"], "option '--scale' requires an argument"),
        (["a.tif", "--scale", "9"], "scale is 9; expected a number from 1 to 8"),
        (["a.tif", "--fusion", "blend"], "fusion is blend; expected multidiffusion"),
        (["a.tif", "--model", "mimi"], "there is no model 'mimi'; did you mean 'mini'?"),
        (["-q"], "missing argument 'INPUT...'"),
        (["a.tif", "b.tif", "-o", "c.tif"], "several inputs need a folder"),
        (["models", "lst"], "no such command 'lst'"),
    ],
)
def test_a_wrong_call_is_one_line_and_code_2(pipeline, capsys, arguments, told):
    assert cli.execute(arguments) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert len(err.splitlines()) == 1
    assert err.startswith("zido: ")
    assert told in err
    assert pipeline.calls == []


def test_a_failed_file_does_not_stop_the_others(pipeline, capsys, tmp_path):
    pipeline.errors["b.tif"] = errors.BadInput("b.tif is broken")
    assert cli.execute(["a.tif", "b.tif", "c.tif", "-o", str(tmp_path)]) == 3
    out, err = capsys.readouterr()
    assert [call[0] for call in pipeline.calls] == ["a.tif", "b.tif", "c.tif"]
    assert "zido: b.tif is broken" in err
    assert out.splitlines()[-2:] == ["2 of 3 files upscaled; see above for the others", terminal.NOTICE]


def test_two_inputs_never_become_one_file(pipeline, capsys, tmp_path):
    assert cli.execute(["x/a.tif", "y/a.png", "-o", str(tmp_path), "--overwrite"]) == 3
    assert "a_x4.tif was made from another input just now" in capsys.readouterr().err


def test_a_cancelled_file_stops_the_others(pipeline, tmp_path):
    pipeline.errors["a.tif"] = errors.Cancelled("stopped")
    assert cli.execute(["a.tif", "b.tif", "-o", str(tmp_path)]) == 130
    assert len(pipeline.calls) == 1


def test_a_file_named_like_a_command_is_reached_by_its_path(pipeline):
    assert cli.execute(["./doctor"]) == 0
    assert pipeline.calls[0][0] == "./doctor"


def test_the_help_shows_every_option_main_ones_first(capsys):
    assert cli.execute(["--help"]) == 0
    text = capsys.readouterr().out
    assert all(spec.flag in text for spec in OPTIONS.values())
    assert text.index("--scale") < text.index("Advanced:") < text.index("--tile-batch") < text.index("Commands:")


def test_no_arguments_show_the_help(capsys):
    assert cli.execute([]) == 2
    assert "Usage:" in capsys.readouterr().err


def test_the_models_are_listed(capsys):
    assert cli.execute(["models"]) == 0
    text = capsys.readouterr().out
    assert cli.execute(["models", "list"]) == 0
    assert capsys.readouterr().out == text
    assert cli.execute(["models", "list", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)[0]["name"] == "mini"
    assert "mini" in text


def test_the_doctor_answers_in_json(capsys):
    code = cli.execute(["doctor", "--json"])
    answer = json.loads(capsys.readouterr().out)
    assert code == (0 if answer["ok"] else 69)


def test_a_bar_is_shown_and_taken_away(pipeline, capsys, monkeypatch):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    assert cli.execute(["a.tif"]) == 0
    err = capsys.readouterr().err
    assert "denoising  50 %" in err
    assert err.endswith("\r")


FAKE = """
import sys, time, types
sys.path.insert(0, {root!r})
import zido_core
fake = types.ModuleType("zido_core.pipeline")
def upscale(src, dst, *, options, on_event, cancel):
    print("working", flush=True)
    {work}
fake.upscale = upscale
sys.modules["zido_core.pipeline"] = zido_core.pipeline = fake
from zido_core.cli import main
main(["a.tif", "--quiet"])
"""

WORK = {
    "looks at its token": "while True: time.sleep(0.01); cancel.check()",
    "does not look": "time.sleep(60)",
    "holds on": """
    while True:
        try: time.sleep(60)
        except KeyboardInterrupt: pass""",
}


@pytest.mark.skipif(os.name == "nt", reason="signals are sent in the POSIX way")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("work", WORK)
def test_a_signal_ends_the_work_whatever_it_does(work, number):
    code = FAKE.format(root=str(ROOT), work=WORK[work])
    with subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "working\n"
        process.send_signal(number)
        _, err = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "Traceback" not in err
    assert err == "zido: stopped; nothing was written\n"


def test_the_work_stops_quietly_when_its_reader_leaves():
    work = "while True: on_event(zido_core.job.Stage(name='x' * 1000))"
    code = FAKE.format(root=str(ROOT), work=work).replace("--quiet", "--json")
    with subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        process.stdout.close()
        assert process.wait(timeout=30) == 1
        assert process.stderr is not None
        assert "Traceback" not in process.stderr.read()


@pytest.mark.parametrize("end", [errors.Cancelled("stopped"), errors.OutputFailed("disk full")])
def test_kept_work_is_told_with_the_command_that_goes_on(pipeline, capsys, monkeypatch, end):
    def stopped(src, dst, *, options, on_event, cancel):
        cancel.work = "my out.tif.zido"
        raise end

    monkeypatch.setattr(pipeline, "upscale", stopped)
    assert cli.execute(["a.tif"]) == end.exit_code
    err = capsys.readouterr().err
    assert "what is done is kept; go on with: zido resume 'my out.tif.zido'" in err
    assert "nothing was written" not in err
