"""The window: what is to be done on the left, what it looks like on the right. The work is done elsewhere.

::

    dialog = Dialog(parent)              # in a host, with its main window
    dialog.made.connect(load_the_layer)
    dialog.open_input(path)
    dialog.show()

Nothing here waits: the worker is spoken to in threads (`errands`), and closing stops them first.
"""

from __future__ import annotations

import itertools
import os
import tempfile
from collections.abc import Callable, Collection
from dataclasses import replace
from pathlib import Path

from ..zido_core import __version__
from ..zido_core.errors import InvalidOptions
from ..zido_core.job import Cancelled, Done, Event, Fade, Failed, Hello, Job, Plan, Preview, Request, Tag
from . import settings as remembered
from .client import Client
from .compare_page import ComparePage
from .engine_bar import EngineBar
from .errands import Desk, Stopped, Tell
from .files import PICTURES
from .form import Form
from .log_view import LogView
from .plan_card import PlanCard
from .planner import Planner
from .progress import ProgressRow
from .prompts_page import PromptsPage
from .qt import QtGui, QtWidgets, Signal
from .runs import Runs, beside, certain_job, sample, watched
from .unfinished import KEPT, Unfinished
from .viewport import Box
from .window_layout import Buttons, arrange, restore_size

LACKING = (
    "zido has no environment to work in yet. Press \u201cCreate environment\u201d above; that takes some minutes, once."
)


class Dialog(QtWidgets.QDialog):
    """zido's window."""

    made = Signal(str)
    """A result is complete: its path."""

    def __init__(
        self,
        parent: QtWidgets.QWidget | None = None,
        *,
        python: str | None = None,
        own_python: str | None = None,
        answers: bool = False,
        without: Collection[str] = (),
        keep: Path | None = None,
    ) -> None:
        """``python``: the one with zido; by default it is looked for, ``own_python`` first. ``answers``: the button
        only accepts, and somebody else does the job, who says what is read and where the result goes, and decides
        the options that the form is ``without``. ``keep``: folder for edited prompts that shall outlive the window.
        """
        super().__init__(parent)
        self.setWindowTitle(f"zido {__version__}")
        self.setAcceptDrops(not answers)
        self._answers, self._closing, self._result = answers, False, 0
        self._last, self._place = Job(input=""), Box(0, 0, 1, 1)
        self._seen: Preview | None = None
        self._is_job, self._output_size = False, (1, 1)
        self._numbers = itertools.count(1)
        self._scratch = tempfile.TemporaryDirectory(prefix="zido-window-", ignore_cleanup_errors=True)
        self.settings = remembered.load()
        self.desk = Desk(self)
        self.runs = Runs(self.desk, self)
        self.form = Form(with_input=not answers, with_output=not answers, without=without)
        self.engine = EngineBar(self.desk, python, own_python)
        self.plan_card, self.progress = PlanCard(), ProgressRow()
        self.compare = ComparePage(self.desk)
        self.prompts = PromptsPage(keep or Path(self._scratch.name))
        self.log = LogView(self._diagnostics)
        self.buttons = Buttons()
        self.unfinished = Unfinished(self.buttons.offer_to_go_on)
        self.planner = Planner(self.desk, self.form.job, self)
        self.pages = arrange(self)
        self._recall()
        self._connect()
        self._on_change()
        self.engine.look()

    def open_input(self, path: str) -> None:
        """Put a file into the form."""
        self.form.input.show_path(path)

    def job(self) -> Job:
        """What the form says; raises InvalidOptions."""
        return self.form.job()

    @property
    def running(self) -> bool:
        """Whether a job is on its way, or something smaller."""
        return self.runs.running

    def begin(self) -> None:
        """The button was pressed: start the job, or answer."""
        job = self._read()
        if job is None:
            return
        self._remember()
        if self._answers:
            self.accept()
            return
        self._start_job(job)

    def resume(self) -> None:
        """The button was pressed: go on with the job that has not come to its end, whatever the form says by now."""
        if self.unfinished.job is not None:
            self._start_job(self.unfinished.job)

    def _start_job(self, job: Job) -> None:
        if self._begin(watched(job, self._scratch.name), self._on_made, "Starting"):
            self._last = job
            self.unfinished.begin(job)
            self.compare.watch()

    def _begin(self, asked: Request, then: Callable[[object], None], words: str) -> bool:
        """Ask the worker for something, unless it has something else to do."""
        self.planner.rest()
        self._is_job, self._seen = isinstance(asked, Job), None
        begun = self.runs.begin(asked, then)
        if begun:
            self.progress.begin(words)
        return begun

    def cancel(self) -> None:
        """Stop what runs."""
        if self.running:
            self.progress.begin("Stopping")
            self.runs.stop()

    def done(self, result: int) -> None:
        """Close: nothing is left running behind."""
        if self._closing:
            return
        rejected = result == QtWidgets.QDialog.DialogCode.Rejected
        if rejected and (self.running or self.engine.busy) and not self._may_stop():
            return
        self._closing = True
        self._remember()
        self.progress.begin("Stopping")
        self.setEnabled(False)
        self.planner.rest()
        self.compare.pictures.forget()
        self._result = result
        self.desk.is_shut.connect(self._close)
        self.desk.shut()

    def dragEnterEvent(self, event: QtGui.QDragEnterEvent | None) -> None:  # noqa: N802 - Qt's name
        """Files may be dropped."""
        if event is not None and _dropped(event):
            event.acceptProposedAction()

    def dropEvent(self, event: QtGui.QDropEvent | None) -> None:  # noqa: N802 - Qt's name
        """A file becomes the input."""
        if event is not None and not self.running:
            self.open_input(_dropped(event))

    def _close(self) -> None:
        self.compare.pictures.close()
        self._scratch.cleanup()
        super().done(self._result)

    def _connect(self) -> None:
        self.buttons.go.clicked.connect(self.begin)
        self.buttons.go_on.clicked.connect(self.resume)
        self.buttons.stop.clicked.connect(self.cancel)
        self.buttons.leave.clicked.connect(self.reject)
        self.form.changed.connect(self._on_change)
        self.form.input_changed.connect(self._on_input)
        self.planner.planned.connect(self._on_plan)
        self.engine.ready.connect(self._on_ready)
        self.engine.lacking.connect(self._on_change)
        self.engine.said.connect(self.log.say)
        self.runs.said.connect(self._on_event)
        self.runs.changed.connect(self._show_state)
        self.compare.said.connect(self.log.say)
        self.compare.preview_asked.connect(self._preview)
        self.compare.certain_asked.connect(self._make_certain)
        self.compare.save_asked.connect(self._save_blend)
        self.prompts.read_asked.connect(self._read_prompts)
        self.prompts.use_changed.connect(self._use_prompts)
        self.prompts.tile_chosen.connect(self.compare.show_place)

    def _on_ready(self) -> None:
        """There is a worker: have it started before it is needed."""
        worker = self.desk.worker
        if worker is not None:
            self.desk.start(_start(worker), self._on_hello)
        self._on_change()

    def _on_hello(self, hello: object) -> None:
        if isinstance(hello, Hello):
            self.plan_card.show_hello(hello)
            self.form.show_models(hello.models)
        elif isinstance(hello, Failed):
            self.plan_card.show_problem(hello)

    def _on_input(self) -> None:
        self.prompts.clear()
        self._use_prompts(None)
        self.progress.rest("")
        self.unfinished.forget()
        self.plan_card.show_nothing("Working out what it will take…" if self.form.input.path else "")

    def _on_change(self) -> None:
        self._show_state()
        job = self._read()
        if job is not None and self.desk.viewer is not None:
            self.compare.show_input(job)
        if self.engine.lacks:
            self.plan_card.show_nothing(LACKING)
            self.compare.view.show_nothing("No environment yet: press \u201cCreate environment\u201d on the left.")
        elif not self.form.input.path:
            self.plan_card.show_nothing("Choose an input, or drop a file here.")
        elif not self.running:
            self.planner.refresh()

    def _read(self) -> Job | None:
        """What the form says; None where it is wrong, which is said."""
        try:
            return self.form.job()
        except InvalidOptions as error:
            self.plan_card.show_problem(str(error))
            return None

    def _on_plan(self, plan: object) -> None:
        if isinstance(plan, Plan):
            self.plan_card.show_plan(plan)
        elif isinstance(plan, Failed):
            self.plan_card.show_problem(plan)

    def _on_event(self, event: object) -> None:
        if isinstance(event, Event):
            self.log.show_event(event)
            self.progress.show_event(event)
        if isinstance(event, Plan) and self._is_job:
            self._output_size = event.output_size
            self.unfinished.follow(event)
            self._on_plan(event)
        if isinstance(event, Preview):
            self._seen = event
            if self._is_job and event.box is not None:
                self.compare.show_progress(event.path, event.box, self._output_size)

    def _on_made(self, end: object) -> None:
        self.compare.end_watching()
        self.unfinished.end(end)
        if self._went_well(end) and isinstance(end, Done) and end.output:
            self.progress.rest(f"Done: {os.path.basename(end.output)}")
            self.plan_card.show_done(end)
            if end.output_size is not None:
                self.compare.show_result(end.output, end.output_size, self._last)
                self.pages.setCurrentWidget(self.compare)
            self.made.emit(end.output)

    def _preview(self, place: Box) -> None:
        job = self._read()
        if job is None:
            return
        self._last, self._place = job, place
        self._begin(sample(job, place, self._path("preview.png")), self._on_preview, "Previewing")

    def _on_preview(self, end: object) -> None:
        if self._went_well(end) and self._seen is not None and self._seen.box is not None:
            self.progress.rest("Preview done")
            _, _, height, width = self._seen.box
            self.compare.show_preview(self._seen.path, (height, width), self._place, self._last)

    def _make_certain(self, job: Job) -> None:
        """What the blend fades to."""
        picture = self.compare.shows_preview or self.compare.kind == "photo"
        path = self._path("certain.png" if picture else "certain.tif")
        asked: Request = certain_job(job, path)
        if self.compare.shows_preview:
            asked = sample(certain_job(job, path), self._place, path)
        if not self._begin(asked, self._on_certain, "Computing what is certain"):
            self.compare.blending_failed()
        self._is_job = False

    def _on_certain(self, end: object) -> None:
        if self._went_well(end) and isinstance(end, Done) and end.output:
            self.progress.rest("Fidelity can be chosen now")
            self.compare.show_certain(end.output)
        else:
            self.compare.blending_failed()

    def _save_blend(self, fidelity: float) -> None:
        blend = self.compare.blend
        if blend is None:
            return
        job, result, certain = blend
        stem, suffix = os.path.splitext(result)
        proposed = f"{stem}_fidelity_{round(100 * fidelity)}{suffix}"
        path, _ = QtWidgets.QFileDialog.getSaveFileName(self, "Save this blend", proposed, PICTURES)
        if path:
            options = replace(job.options, overwrite=True)
            asked = Fade(
                input=job.input, result=result, certain=certain, output=path, fidelity=fidelity, options=options
            )
            self._begin(asked, self._on_saved, "Saving")

    def _on_saved(self, end: object) -> None:
        if self._went_well(end) and isinstance(end, Done) and end.output:
            self.progress.rest(f"Saved: {os.path.basename(end.output)}")
            self.made.emit(end.output)

    def _read_prompts(self) -> None:
        job = self._read()
        if job is None:
            return
        path = self._path("read.geojson")
        self._begin(Tag(input=job.input, output=path, options=beside(job.options)), self._on_prompts, "Reading prompts")

    def _on_prompts(self, end: object) -> None:
        if self._went_well(end) and isinstance(end, Done) and end.output:
            self.progress.rest("Prompts read")
            self.prompts.show_file(Path(end.output), used=False)

    def _use_prompts(self, path: Path | None) -> None:
        self.form.fields["prompts"].show(None if path is None else str(path))

    def _went_well(self, end: object) -> bool:
        """Say it where it did not."""
        if isinstance(end, Cancelled):
            self.progress.rest(f"Cancelled; {KEPT if self._can_resume else 'nothing was written'}")
        elif isinstance(end, Failed):
            self.progress.rest(f"Failed; {KEPT}" if self._can_resume else "Failed")
            self.plan_card.show_problem(end)
        return isinstance(end, Done)

    @property
    def _can_resume(self) -> bool:
        """Whether it was a job that ended, and something of it is there."""
        return self._is_job and self.unfinished.job is not None

    def _path(self, name: str) -> str:
        """A file of this window, new each time: a picture that is shown is never written over."""
        return str(Path(self._scratch.name) / f"{next(self._numbers)}-{name}")

    def _show_state(self) -> None:
        """Which buttons can be pressed now."""
        here = bool(self.form.input.path)
        self.buttons.go.setEnabled(here and (self._answers or self.runs.possible) and not self.running)
        self.buttons.go_on.setEnabled(self.runs.possible)
        self.buttons.stop.setEnabled(self.running)
        self.form.setEnabled(not self.running)
        self.compare.set_preview_possible(here and self.runs.possible)
        self.prompts.set_possible(here and self.runs.possible)

    def _may_stop(self) -> bool:
        yes = QtWidgets.QMessageBox.StandardButton.Yes
        text = "The work is not finished. Stop it? There will be no result; of a large image, what is done is kept."
        return QtWidgets.QMessageBox.question(self, "zido", text) == yes

    def _recall(self) -> None:
        self.form.input.folder = self.settings.folder
        self.form.show_options(self.settings.options)
        self.form.unfold(self.settings.open_sections)
        restore_size(self, self.settings.geometry)

    def _remember(self) -> None:
        """What somebody else asks for is theirs to remember."""
        folder = "" if self._answers else os.path.dirname(self.form.input.path)
        self.settings = remembered.updated(
            self.settings,
            folder=folder,
            geometry=(self.width(), self.height()),
            open_sections=self.form.unfolded,
            options=(lambda: self.settings.options) if self._answers else self.form.options,
        )
        remembered.save(self.settings)

    def _diagnostics(self) -> str:
        worker = self.desk.worker
        return f"zido {__version__}, no worker" if worker is None else worker.diagnostics()


def _start(worker: Client) -> Callable[[Tell, Stopped], object]:
    return lambda tell, stopped: worker.start(cancelled=stopped)


def _dropped(event: QtGui.QDropEvent) -> str:
    """The first file of what is dropped; empty for anything else."""
    data = event.mimeData()
    files = [url.toLocalFile() for url in data.urls() if url.isLocalFile()] if data is not None else []
    return files[0] if files else ""
