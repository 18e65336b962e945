"""The window, driven as by a user: from an input to a result, a preview, prompts; stopped, closed, asked by others."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
import rasterio
from zido.plugin import __main__ as program
from zido.plugin import environment, errands, settings
from zido.plugin.dialog import Dialog
from zido.plugin.engine_bar import EngineBar
from zido.plugin.errands import Desk
from zido.plugin.qt import Qt, QtCore, QtGui, QtWidgets
from zido.plugin.torch_build import Build
from zido.zido_core import errors, job
from zido.zido_core.options import OPTIONS, Options

from tests.qt import FOUND, ROOT, closing, colour_at, employ_fake, live, until
from zido_core import cli, cli_window

pytestmark = pytest.mark.skipif(os.name == "nt", reason="what ends a worker here is done in the POSIX way")


@pytest.fixture(autouse=True)
def _alone(monkeypatch, tmp_path):
    """Nothing of this machine's user, and no question that nobody answers."""
    monkeypatch.setenv("ZIDO_CONFIG", str(tmp_path / "config"))
    monkeypatch.delenv("ZIDO_PYTHON", raising=False)
    monkeypatch.setattr(environment, "find", lambda setting=None: FOUND)
    monkeypatch.setattr(QtWidgets.QMessageBox, "question", lambda *question: pytest.fail(f"asked {question}"))


@pytest.fixture
def fake(monkeypatch):
    """Jobs are made up, see fake_worker.py."""
    monkeypatch.setattr(Desk, "employ", employ_fake)


@pytest.fixture
def dialog():
    with closing(Dialog()) as dialog:
        yield dialog


@pytest.fixture
def scene(tmp_path, example_raster):
    """A raster with the name of what the made-up worker shall do with it."""

    def named(name):
        return str(shutil.copy(example_raster, tmp_path / name))

    return named


def ready(dialog, path, output):
    """Open an input and wait until everything is known about it."""
    dialog.open_input(str(path))
    dialog.form.output.show_path(str(output))
    until(lambda: dialog.buttons.go.isEnabled())
    until(lambda: dialog.compare.pictures.frame is not None)
    until(lambda: "px" in fact(dialog, "Result"))


def fact(dialog, name):
    (label,) = (each for each in dialog.plan_card.findChildren(QtWidgets.QLabel) if each.accessibleName() == name)
    return label.text()


def alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return Path(f"/proc/{pid}/stat").read_text().split()[2] != "Z"


def test_from_an_input_to_a_result(fake, dialog, scene, tmp_path):
    made, out = [], tmp_path / "out.tif"
    dialog.made.connect(made.append)
    assert not dialog.buttons.go.isEnabled()
    assert "drop a file" in dialog.plan_card.notes
    ready(dialog, scene("steps"), out)
    assert fact(dialog, "Result") == "160 x 120 px, ×4"
    assert fact(dialog, "Work") == "2 tiles of 512 px on cpu"
    assert fact(dialog, "Device").startswith("cpu")
    assert not dialog.buttons.stop.isEnabled()
    dialog.buttons.go.click()
    assert dialog.running
    assert dialog.buttons.stop.isEnabled()
    assert not dialog.form.isEnabled()
    assert not dialog.buttons.go.isEnabled()
    until(lambda: not dialog.running)
    assert made == [str(out)]
    assert out.read_text() == "done"
    assert dialog.progress.text == "Done: out.tif"
    assert fact(dialog, "Time").startswith("took ")
    assert dialog.form.isEnabled()
    assert "Done in" in dialog.log.text
    assert dialog.compare.view.second.path == str(out)


def test_an_input_that_is_none_is_told_in_the_plan_and_in_the_picture(dialog, tmp_path):
    dialog.open_input(str(tmp_path / "none.tif"))
    assert dialog.plan_card.notes == "Working out what it will take…"
    until(lambda: "none.tif does not exist" in dialog.plan_card.notes)
    until(lambda: "none.tif does not exist" in dialog.compare.view.invitation)


def test_progress_is_told_in_words_and_goes_on(fake, dialog, scene, tmp_path):
    ready(dialog, scene("hurries"), tmp_path / "out.tif")
    seen = []
    dialog.runs.said.connect(lambda event: seen.append((dialog.progress.share, dialog.progress.text)))
    dialog.buttons.go.click()
    until(lambda: not dialog.running)
    shares = [share for share, _ in seen]
    assert shares == sorted(shares)
    assert max(shares) > 0.9
    assert any(re.fullmatch(r"Denoising: \d+%.*", text) for _, text in seen)


def test_a_running_job_can_be_stopped(fake, dialog, scene, tmp_path):
    ready(dialog, scene("slow"), tmp_path / "out.tif")
    dialog.buttons.go.click()
    until(lambda: (tmp_path / "out.tif.part").exists())
    dialog.buttons.stop.click()
    until(lambda: not dialog.running)
    assert dialog.progress.text == "Cancelled; nothing was written"
    assert not list(tmp_path.glob("out*"))
    assert dialog.buttons.go.isEnabled()


def test_a_job_that_was_stopped_goes_on_where_it_was(fake, dialog, scene, tmp_path):
    ready(dialog, scene("keeps"), tmp_path / "out.tif")
    dialog.buttons.go.click()
    until((tmp_path / "out.tif.zido" / "job.json").exists)
    assert not dialog.buttons.go_on.isVisible()
    dialog.buttons.stop.click()
    until(lambda: not dialog.running)
    assert dialog.progress.text == "Cancelled; what is done is kept: Resume goes on"
    assert f"what is done is kept in {tmp_path / 'out.tif.zido'}" in dialog.log.text
    assert "out.tif.zido" in dialog.buttons.go_on.toolTip()
    dialog.form.fields["seed"].show(8)  # which is for another job
    dialog.buttons.go_on.click()
    until(lambda: not dialog.running)
    assert (dialog.progress.text, (tmp_path / "out.tif").read_text()) == ("Done: out.tif", "done")
    assert not dialog.buttons.go_on.isVisible()


@pytest.mark.parametrize("name", ["keeps_and_fails", "keeps_and_is_killed"])
def test_a_job_that_failed_goes_on_where_it_was(fake, dialog, scene, tmp_path, name):
    ready(dialog, scene(name), tmp_path / "out.tif")
    dialog.buttons.go.click()
    until(lambda: not dialog.running)
    assert dialog.progress.text == "Failed; what is done is kept: Resume goes on"
    dialog.open_input(scene("steps"))
    assert not dialog.buttons.go_on.isVisible()


def test_work_that_an_earlier_window_left_can_be_gone_on_with(fake, dialog, scene, tmp_path):
    (tmp_path / "out.tif.zido").mkdir()
    (tmp_path / "out.tif.zido" / "job.json").write_text("{}")
    ready(dialog, scene("fails"), tmp_path / "out.tif")
    dialog.buttons.go.click()
    until(lambda: not dialog.running)
    dialog.buttons.go_on.click()
    until(lambda: not dialog.running)
    assert dialog.progress.text == "Done: out.tif"


def test_what_is_done_so_far_is_seen_during_the_run(fake, dialog, scene, tmp_path):
    ready(dialog, scene("slow"), tmp_path / "out.tif")
    view = dialog.compare.view
    dialog.buttons.go.click()
    until(lambda: view.live)
    left, top, width, height = view.viewport.on_widget(view.viewport.visible)
    corner = (left + width / 8) / view.width(), (top + height / 8) / view.height()
    assert colour_at(view, *corner) == (0, 250, 0)
    dialog.buttons.stop.click()
    until(lambda: not dialog.running)
    assert not view.live
    assert colour_at(view, *corner) != (0, 250, 0)


def test_the_window_lives_while_the_worker_does_not_answer(fake, dialog, scene, tmp_path):
    ready(dialog, scene("inattentive"), tmp_path / "out.tif")
    dialog.buttons.go.click()
    until(lambda: "Denoising" in dialog.progress.text)
    ticks = []
    timer = QtCore.QTimer()
    timer.timeout.connect(lambda: ticks.append(time.monotonic()))
    timer.start(10)
    live(500)
    timer.stop()
    assert len(ticks) > 10
    assert dialog.running


@pytest.mark.parametrize("answer", ["Yes", "No"])
def test_closing_asks_while_a_job_runs_and_leaves_no_worker(fake, dialog, scene, tmp_path, monkeypatch, answer):
    monkeypatch.setattr(
        QtWidgets.QMessageBox, "question", lambda *_: getattr(QtWidgets.QMessageBox.StandardButton, answer)
    )
    ready(dialog, scene("slow"), tmp_path / "out.tif")
    workers = [dialog.desk.worker.hello.pid, dialog.desk.viewer.hello.pid]
    dialog.buttons.go.click()
    until(lambda: (tmp_path / "out.tif.part").exists())
    dialog.close()
    if answer == "No":
        live(100)
        assert dialog.running
        assert dialog.isVisible()
        assert all(map(alive, workers))
        return
    until(lambda: not dialog.isVisible(), 10)
    assert not any(map(alive, workers))
    assert not list(tmp_path.glob("out*"))
    assert not Path(dialog._scratch.name).exists()
    assert not Path(dialog.compare.pictures._folder.name).exists()


def test_escape_closes_at_once_where_nothing_runs(fake, dialog, scene, tmp_path):
    ready(dialog, scene("steps"), tmp_path / "out.tif")
    key = QtGui.QKeyEvent(QtCore.QEvent.Type.KeyPress, Qt.Key.Key_Escape, Qt.KeyboardModifier.NoModifier)
    QtWidgets.QApplication.sendEvent(dialog, key)
    until(lambda: not dialog.isVisible(), 10)


@pytest.mark.parametrize(
    ("name", "words"),
    [("fails", "cannot be upscaled; choose another"), ("crashes", "crashed inside a native library")],
)
def test_a_failure_is_told_and_the_next_try_works(fake, dialog, scene, tmp_path, name, words):
    ready(dialog, scene(name), tmp_path / "out.tif")
    dialog.buttons.go.click()
    until(lambda: not dialog.running)
    assert words in dialog.plan_card.notes
    assert words in dialog.log.text
    ready(dialog, scene("steps"), tmp_path / "out.tif")
    dialog.buttons.go.click()
    until(lambda: not dialog.running)
    assert dialog.progress.text == "Done: out.tif"


def test_a_wrong_value_is_told_and_nothing_begins(fake, dialog, scene, tmp_path):
    ready(dialog, scene("steps"), tmp_path / "out.tif")
    dialog.form.fields["bands"].show("four")
    dialog.buttons.go.click()
    assert not dialog.running
    assert "bands is four; expected" in dialog.plan_card.notes


def test_a_preview_shows_one_place(fake, dialog, scene, tmp_path):
    ready(dialog, scene("steps"), tmp_path / "out.tif")
    dialog.compare.preview.click()
    until(lambda: not dialog.running)
    page = dialog.compare
    assert page.shows_preview
    assert page.view.second.size == (512, 512)
    assert page.view.second.place == page.place == (64, 64, 128, 128)
    assert not list(tmp_path.glob("out*"))
    page.slider.setValue(30)
    until(lambda: page.view.under is not None)
    assert page.view.under.place == page.place
    assert page.view.share == pytest.approx(0.7)


def test_fidelity_after_the_run_needs_no_second_one(fake, dialog, scene, tmp_path, monkeypatch):
    asked = []
    began = dialog.runs.begin
    monkeypatch.setattr(dialog.runs, "begin", lambda work, then: asked.append(work) or began(work, then))
    dialog.form.fields["manifest"].show(str(tmp_path / "m.json"))
    ready(dialog, scene("steps"), tmp_path / "out.tif")
    dialog.buttons.go.click()
    until(lambda: not dialog.running)
    dialog.compare.slider.setValue(40)
    until(lambda: dialog.compare.blend is not None)
    assert asked[1].options == replace(asked[0].options, fidelity=1.0, manifest=None, overwrite=True)
    saved = tmp_path / "blend.tif"
    monkeypatch.setattr(QtWidgets.QFileDialog, "getSaveFileName", lambda *_: (str(saved), ""))
    dialog.compare.save.click()
    until(lambda: dialog.progress.text == "Saved: blend.tif")
    result, certain, fidelity = saved.read_text().split()
    assert (result, float(fidelity)) == (str(tmp_path / "out.tif"), dialog.compare.fidelity)
    assert certain.endswith("certain.tif")


def test_prompts_are_read_edited_and_used(fake, dialog, scene, tmp_path):
    ready(dialog, scene("steps"), tmp_path / "out.tif")
    page = dialog.prompts
    assert page.model.rowCount() == 0
    page.read.click()
    until(lambda: page.model.rowCount() == 3)
    assert dialog.form.options().prompts is None
    index = page.model.index(1, 2)
    page.model.setData(index, "river")
    path = dialog.form.options().prompts
    assert json.loads(Path(path).read_text())["features"][1]["properties"]["prompt"] == "river"
    page.table.selectRow(2)
    assert dialog.compare.place == (0, 16, 8, 8)
    page.drop.click()
    assert dialog.form.options().prompts is None
    page.show_file(Path(path), used=True)
    dialog.open_input(scene("slow"))
    assert dialog.form.options().prompts is None
    assert page.model.rowCount() == 0


def test_what_was_chosen_is_there_the_next_time(fake, scene, tmp_path):
    with closing(Dialog()) as first:
        first.form.show_options(Options(scale=2, preset="fast"))
        first.form.unfold(["tiling"])
        first.open_input(scene("steps"))
        first.resize(1300, 800)
        first.reject()
        until(lambda: not first.isVisible())
    with closing(Dialog()) as second:
        assert second.form.options() == Options(scale=2, preset="fast")
        assert second.form.unfolded == ("tiling",)
        assert (second.width(), second.height()) == (1300, 800)
        assert second.form.input.path == ""
        assert second.form.input.folder == str(tmp_path)


def test_a_file_can_be_dropped(fake, dialog, scene):
    path = scene("steps")
    data = QtCore.QMimeData()
    data.setUrls([QtCore.QUrl.fromLocalFile(path)])
    where, copy = QtCore.QPointF(5, 5), Qt.DropAction.CopyAction
    left, none = Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier
    enter = QtGui.QDragEnterEvent(where.toPoint(), copy, data, left, none)
    dialog.dragEnterEvent(enter)
    assert enter.isAccepted()
    dialog.dropEvent(QtGui.QDropEvent(where, copy, data, left, none))
    assert dialog.form.input.path == path


def test_what_is_copied_for_a_report_says_what_happened(fake, dialog, scene, tmp_path):
    ready(dialog, scene("steps"), tmp_path / "out.tif")
    dialog.log.copy_button.click()
    text = QtGui.QGuiApplication.clipboard().text()
    assert "zido" in text
    assert "worker: Hello(" in text
    assert "Using" in text


def test_everything_that_takes_the_focus_says_what_it_is(fake, dialog):
    dialog.form.unfold([spec.group for spec in OPTIONS.values()])
    unnamed = [
        f"{type(widget).__name__} {widget.objectName()}"
        for widget in dialog.findChildren(QtWidgets.QWidget)
        if widget.focusPolicy() & Qt.FocusPolicy.TabFocus
        and not isinstance(widget, QtWidgets.QTabBar | QtWidgets.QScrollArea | QtWidgets.QListView)
        and not widget.objectName().startswith("qt_")
        and not widget.accessibleName()
        and not getattr(widget, "text", lambda: "")()
    ]
    assert unnamed == []


def test_the_tab_key_reaches_everything(fake, dialog, scene, tmp_path):
    ready(dialog, scene("steps"), tmp_path / "out.tif")
    dialog.form.unfold([])
    reached, widget = [], dialog.form.input.line
    while widget not in reached:
        reached.append(widget)
        widget = widget.nextInFocusChain()
    for name in ("model", "preset", "scale", "fidelity"):
        assert dialog.form.fields[name].widget in reached
    order = [reached.index(dialog.form.fields[name].widget) for name in ("model", "preset", "scale", "fidelity")]
    assert order == sorted(order)
    assert {dialog.buttons.go, dialog.compare.view, dialog.compare.preview} <= set(reached)


def test_no_two_things_in_sight_have_one_letter(fake, dialog):
    seen = [*dialog.form.findChildren(QtWidgets.QLabel), *dialog.findChildren(QtWidgets.QPushButton)]
    tabs = [dialog.pages.tabText(number) for number in range(dialog.pages.count())]
    for page in range(dialog.pages.count()):
        dialog.pages.setCurrentIndex(page)
        texts = [widget.text() for widget in seen if widget.isVisible()] + tabs
        letters = [letter.lower() for text in texts for letter in re.findall(r"&(\w)", text)]
        assert len(letters) == len(set(letters)), sorted(letters)


MISSING = environment.Missing(reason="No Python with zido.", advice="Let zido make one.", looked=("python3 is old",))


@pytest.fixture
def without(monkeypatch, fake):
    """There is no Python with zido yet."""
    monkeypatch.setattr(environment, "find", lambda setting=None: FOUND if setting else MISSING)
    monkeypatch.setattr("zido.plugin.engine_bar.build_for", lambda kind: Build(name=kind, room=2**30, title="small"))


def test_without_an_environment_one_is_offered_and_made(without, dialog, scene, monkeypatch):
    questions = []

    def create(kind, *, wheelhouse, on_event, cancelled):
        on_event(job.Stage(name="installing PyTorch", index=2, count=4))
        on_event(job.Progress(done=1, total=4, eta=10.0))
        time.sleep(0.2)
        return FOUND

    def agree(*question):
        questions.append(question[-1])
        return QtWidgets.QMessageBox.StandardButton.Yes

    monkeypatch.setattr(environment, "create", create)
    monkeypatch.setattr(QtWidgets.QMessageBox, "question", agree)
    until(lambda: dialog.engine.isVisible())
    dialog.open_input(scene("steps"))
    assert not dialog.buttons.go.isEnabled()
    assert "Press \u201cCreate environment\u201d" in dialog.plan_card.notes
    assert "Create environment" in dialog.compare.view.invitation
    assert "python3 is old" in dialog.log.text
    dialog.engine.make("cpu")
    until(lambda: "Installing" in dialog.engine.progress.text)
    assert "PyTorch: small" in questions[0]
    assert "1 GB" in questions[0]
    until(lambda: dialog.buttons.go.isEnabled())
    assert not dialog.engine.isVisible()
    assert dialog.engine.python == FOUND.python


def test_making_an_environment_can_be_stopped_and_can_fail(without, dialog, monkeypatch):
    def create(kind, *, wheelhouse, on_event, cancelled):
        if wheelhouse:
            raise errors.OutputFailed("the disk is full; free some")
        while not cancelled():
            time.sleep(0.01)
        raise errors.Cancelled("stopped on request; nothing has changed")

    monkeypatch.setattr(environment, "create", create)
    yes = QtWidgets.QMessageBox.StandardButton.Yes
    monkeypatch.setattr(QtWidgets.QMessageBox, "question", lambda *_: yes)
    until(lambda: dialog.engine.isVisible())
    dialog.engine.make("auto")
    until(lambda: dialog.engine.stop.isVisible() and dialog.engine.progress.text == "Preparing")
    dialog.engine.stop.click()
    until(lambda: not dialog.engine.stop.isVisible())
    assert labels(dialog.engine)[0] == "Stopped; nothing has changed."
    dialog.engine.make("auto", "/wheels")
    until(lambda: labels(dialog.engine)[0] == "the disk is full; free some")
    assert dialog.engine.isVisible()


def test_nothing_is_made_that_was_not_agreed_to(without, dialog, monkeypatch):
    monkeypatch.setattr(environment, "create", lambda *a, **k: pytest.fail("made"))
    no = QtWidgets.QMessageBox.StandardButton.No
    monkeypatch.setattr(QtWidgets.QMessageBox, "question", lambda *_: no)
    until(lambda: dialog.engine.isVisible())
    dialog.engine.make("cuda")
    until(lambda: not dialog.engine.busy)
    live(50)
    assert dialog.engine.python is None


def test_a_python_can_be_chosen(without, dialog, monkeypatch):
    monkeypatch.setattr(QtWidgets.QFileDialog, "getOpenFileName", lambda *_: (FOUND.python, ""))
    until(lambda: dialog.engine.isVisible())
    dialog.engine.choose.click()
    until(lambda: dialog.engine.python == FOUND.python)


def labels(widget):
    return [label.text() for label in widget.findChildren(QtWidgets.QLabel)]


def test_the_own_python_is_taken_where_it_will_do(fake, monkeypatch):
    asked = []

    def find(setting=None):
        asked.append(setting)
        return MISSING if setting == "/own/python" else FOUND

    monkeypatch.setattr(environment, "find", find)
    window = QtWidgets.QWidget()
    desk = Desk(window)
    bar = EngineBar(desk, None, "/own/python")
    bar.look()
    until(lambda: bar.python)
    assert asked == ["/own/python", None]
    desk.shut()
    until(lambda: not desk.busy)


def test_work_that_raises_is_told_as_a_failure(fake):
    window, ends = QtWidgets.QWidget(), []
    desk = Desk(window)

    def raising(error):
        def work(tell, stopped):
            raise error

        return work

    for error in (ValueError("odd"), errors.BadInput("bad"), errors.Cancelled("stop")):
        desk.start(raising(error), ends.append)
    until(lambda: len(ends) == 3)
    assert {type(end) for end in ends} == {job.Failed, job.Cancelled}
    assert {end.message for end in ends if isinstance(end, job.Failed)} == {
        "bad",
        "internal error (ValueError: odd); please report it",
    }
    assert isinstance(desk, errands.Desk)


def press_later(act):
    """Do something once the program shows its window."""

    def when_ready():
        windows = [each for each in QtWidgets.QApplication.topLevelWidgets() if isinstance(each, Dialog)]
        shown = [each for each in windows if each.isVisible() and each.buttons.go.isEnabled()]
        act(shown[0]) if shown else QtCore.QTimer.singleShot(50, when_ready)

    QtCore.QTimer.singleShot(50, when_ready)


def test_asked_by_another_program_it_answers_with_what_was_chosen(fake, scene, tmp_path):
    answer, source = tmp_path / "answer.json", scene("steps")

    def press(dialog):
        assert not dialog.form.output.isVisible()
        assert not dialog.form.input.isVisible()
        assert "resume" not in dialog.form.fields
        assert dialog.windowTitle() == "zido for GIMP"
        dialog.form.fields["preset"].show("fast")
        until(lambda: dialog.engine.python)
        dialog.buttons.go.click()

    press_later(press)
    begin = json.dumps({"seed": 5, "scale": 3, "keep_work": True})
    asked = ["--options", begin, "--title", "zido for GIMP", "--without", "resume,keep-work"]
    assert program.main([source, "--answer", str(answer), *asked]) == 0
    assert json.loads(answer.read_text()) == {
        "version": 1,
        "input": source,
        "output": None,
        "options": {"seed": 5, "scale": 3.0, "preset": "fast", "keep_work": True},
        "python": FOUND.python,
    }
    assert settings.load().options == Options()  # which are those of this user's own runs
    assert settings.load().folder == ""


def test_asked_by_another_program_and_closed_it_answers_nothing(fake, scene, tmp_path):
    press_later(lambda dialog: dialog.close())
    assert program.main([scene("steps"), "--answer", str(tmp_path / "answer.json")]) == 1
    assert not (tmp_path / "answer.json").exists()


def test_on_its_own_it_begins_with_what_it_is_given(fake, scene, tmp_path):
    seen = []
    press_later(lambda dialog: seen.append(dialog.job()) or dialog.close())
    (tmp_path / "o.json").write_text('{"steps": 2}')
    assert program.main([scene("steps"), "-o", "x.tif", "--options", f"@{tmp_path / 'o.json'}"]) == 0
    assert seen == [job.Job(input=str(tmp_path / "steps"), output="x.tif", options=Options(steps=2))]


@pytest.mark.parametrize(
    ("options", "words", "code"),
    [
        ('{"scal": 2}', "did you mean 'scale'", 2),
        ("[1]", "expected a JSON object", 78),
        ("@/none", "cannot be read", 78),
    ],
)
def test_options_that_are_wrong_are_told_in_one_line(capsys, options, words, code):
    assert program.main(["a.tif", "--options", options]) == code
    err = capsys.readouterr().err
    assert words in err
    assert err.count("\n") == 1


@pytest.mark.parametrize("names", ["scal", "resume,scale"])
def test_options_that_cannot_be_left_out_are_told(capsys, names):
    assert program.main(["a.tif", "--answer", "a.json", "--without", names]) == 2
    assert "--without has scal" in capsys.readouterr().err


def test_an_answer_needs_a_picture(capsys):
    with pytest.raises(SystemExit):
        program.main(["--answer", "a.json"])
    assert "needs the picture" in capsys.readouterr().err


def test_it_starts_as_a_program_and_ends_with_who_asks(tmp_path, example_raster):
    """As GIMP starts it: the folder `plugin`, run by some Python, its input a pipe."""
    command = [sys.executable, str(ROOT / "plugin"), str(example_raster), "--answer", str(tmp_path / "a.json")]
    places = {"ZIDO_CONFIG": str(tmp_path), "QT_QPA_PLATFORM": "offscreen", "PYTHONSAFEPATH": "1"}
    with subprocess.Popen(command, stdin=subprocess.PIPE, env=os.environ | places, cwd=tmp_path) as process:
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(3)
        process.stdin.close()
        assert process.wait(10) == 1
    assert not (tmp_path / "a.json").exists()


def test_what_pip_has_installed_finds_the_core_of_its_python(tmp_path, monkeypatch):
    """A wheel has the folder `plugin` in share/zido, and zido_core elsewhere."""
    monkeypatch.delenv("QT_API", raising=False)
    shutil.copytree(ROOT / "plugin", tmp_path / "share" / "plugin")
    shutil.copy(ROOT / "__init__.py", tmp_path / "share")
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "zido_core").symlink_to(ROOT / "zido_core")
    command = [sys.executable, str(tmp_path / "share" / "plugin"), "a.tif", "--options", "[1]"]
    places = os.environ | {"PYTHONPATH": str(tmp_path / "site")}
    ended = subprocess.run(command, env=places, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert "expected a JSON object" in ended.stderr
    assert ended.returncode == 78


def test_the_command_line_opens_the_window(monkeypatch):
    called = []
    monkeypatch.setattr(cli_window.subprocess, "call", lambda command: called.append(command) or 7)
    assert cli.execute(["window", "a.tif", "--options", "{}"]) == 7
    assert called == [[sys.executable, str(ROOT / "plugin"), "a.tif", "--options", "{}"]]


NO_QT = 'sys.modules.update(dict.fromkeys(["PyQt5", "PyQt6"]))'
NO_LIBRARY = """
import types
class Broken(types.ModuleType):
    __path__ = []
class Finder:
    def find_spec(self, name, path=None, target=None):
        if name == "PyQt5.QtWidgets":
            raise ImportError("libGL.so.1: cannot open shared object file")
sys.modules.update(PyQt5=Broken("PyQt5"), PyQt6=None)
sys.meta_path.insert(0, Finder())
"""


@pytest.mark.parametrize(
    ("without", "words"), [(NO_QT, "pip install PyQt5"), (NO_LIBRARY, "PyQt5 does not load (libGL.so.1")]
)
def test_a_python_without_qt_says_what_to_do(without, words, monkeypatch):
    monkeypatch.delenv("QT_API", raising=False)
    code = f"import runpy, sys\n{without}\nsys.argv = ['plugin', 'a.tif']\n"
    code += f"runpy.run_path({str(ROOT / 'plugin')!r}, run_name='__main__')"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert ended.returncode == 69
    assert words in ended.stderr
    assert ended.stderr.count("\n") == 1


def test_a_real_run_from_the_window(dialog, example_raster, tmp_path):
    out = tmp_path / "out.tif"
    dialog.form.show_options(Options(preset="preview", device="cpu", precision="fp32"))
    ready(dialog, example_raster, out)
    assert "EPSG:32737" in fact(dialog, "Result")
    dialog.buttons.go.click()
    until(lambda: not dialog.running, 120)
    assert dialog.progress.text == "Done: out.tif", dialog.log.text
    with rasterio.open(example_raster) as before, rasterio.open(out) as after:
        assert after.shape == (1024, 1024)
        assert after.crs == before.crs
    assert dialog.compare.view.second.size == (1024, 1024)
    dialog.prompts.read.click()
    until(lambda: dialog.prompts.model.rowCount() > 0)
    dialog.compare.preview.click()
    until(lambda: not dialog.running, 120)
    assert dialog.compare.shows_preview, dialog.log.text
    assert settings.load().options.preset == "preview"
