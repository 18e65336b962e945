"""Finds the Python that does the work; where there is none, says so and offers to make one."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial

from ..zido_core.folders import home
from ..zido_core.job import Cancelled, Event, Failed
from . import environment
from .environment import Found, Missing
from .errands import Desk, Errand, Stopped, Tell
from .log_view import told
from .progress import ProgressRow
from .qt import QtWidgets, Signal
from .torch_build import GIB, Build, Kind, build_for

KINDS: dict[Kind, str] = {
    "auto": "What suits this computer",
    "cpu": "Without a graphics card (CPU)",
    "cuda": "For a graphics card of NVIDIA (CUDA)",
}
"""The builds of PyTorch that can be had."""


class EngineBar(QtWidgets.QFrame):
    """Out of sight as long as all is well."""

    ready = Signal()
    """There is a worker now."""

    lacking = Signal()
    """There is none, and this says so."""

    said = Signal(str)
    """A line for the log."""

    def __init__(self, desk: Desk, python: str | None, own: str | None) -> None:
        """``python``: the one to take, whatever else there is. ``own``: one that is tried first."""
        super().__init__()
        self.python: str | None = None
        self.lacks = False
        """Whether there is none, as far as is known."""
        self._desk, self._chosen, self._own = desk, python, own
        self._errand: Errand | None = None
        self.setFrameShape(QtWidgets.QFrame.Shape.StyledPanel)
        self.setAccessibleName("Environment")
        self._text = QtWidgets.QLabel()
        self._text.setWordWrap(True)
        self.progress = ProgressRow()
        self.make_button = QtWidgets.QPushButton("Create environme&nt")
        self.choose = QtWidgets.QPushButton("Choose P&ython…")
        self.stop = QtWidgets.QPushButton("Stop")
        row = QtWidgets.QHBoxLayout()
        for button in (self.make_button, self.choose, self.stop):
            button.setAutoDefault(False)
            row.addWidget(button)
        row.addStretch(1)
        layout = QtWidgets.QVBoxLayout(self)
        layout.addWidget(self._text)
        layout.addLayout(row)
        layout.addWidget(self.progress)
        self.make_button.setMenu(self._menu())
        self.choose.clicked.connect(self._choose)
        self.stop.clicked.connect(self._stop)
        self.hide()

    @property
    def busy(self) -> bool:
        """Whether an environment is being made."""
        return self._errand is not None and self._errand.awaited

    def look(self) -> None:
        """Look for a Python with zido, in the background."""

        def find(tell: Tell, stopped: Stopped) -> object:
            if self._own and not self._chosen and not os.environ.get("ZIDO_PYTHON"):
                own = environment.find(self._own)
                if isinstance(own, Found):
                    return own
            return environment.find(self._chosen)

        self._errand = self._desk.start(find, self._on_found, awaited=False)
        self._show_buttons()

    def make(self, kind: Kind, wheelhouse: str | None = None) -> None:
        """Make an environment, once the user has seen what that takes."""

        def consider(tell: Tell, stopped: Stopped) -> object:
            return build_for(kind)

        def ask(build: object) -> None:
            self._rest()
            if isinstance(build, Failed):
                self._refuse(build)
            elif isinstance(build, Build) and self._agrees(build, wheelhouse):
                self._make(kind, wheelhouse)

        self._begin(consider, ask)

    def _make(self, kind: Kind, wheelhouse: str | None) -> None:
        def create(tell: Tell, stopped: Stopped) -> object:
            return environment.create(kind, wheelhouse=wheelhouse, on_event=tell, cancelled=stopped)

        self.progress.begin("Preparing")
        self._begin(create, self._on_found, self._on_event)

    def _begin(
        self,
        work: Callable[[Tell, Stopped], object],
        then: Callable[[object], None],
        on_event: Callable[[object], None] | None = None,
    ) -> None:
        self._errand = self._desk.start(work, then, on_event)
        self._show_buttons()

    def _on_event(self, event: object) -> None:
        if isinstance(event, Event):
            self.progress.show_event(event)
            line = told(event)
            if line:
                self.said.emit(line)

    def _on_found(self, found: object) -> None:
        self._rest()
        match found:
            case Found():
                self.hide()
                self.lacks = False
                self.python = found.python
                self.said.emit(f"Using {found}")
                self._desk.employ(found.python)
                self.ready.emit()
            case Missing():
                for looked in found.looked:
                    self.said.emit(f"Will not do: {looked}")
                self._text.setText(str(found))
                self.show()
                self.lacks = self.python is None
                self.lacking.emit()
            case Cancelled():
                self._text.setText("Stopped; nothing has changed.")
            case Failed():
                self._refuse(found)

    def _refuse(self, failed: Failed) -> None:
        self._text.setText(failed.message)
        self.said.emit(told(failed))
        self.show()

    def _rest(self) -> None:
        self._errand = None
        self.progress.rest("")
        self._show_buttons()

    def _show_buttons(self) -> None:
        idle = self._errand is None
        self.make_button.setEnabled(idle)
        self.choose.setEnabled(idle)
        self.stop.setVisible(not idle)
        self.progress.setVisible(not idle)

    def _stop(self) -> None:
        if self._errand is not None:
            self.progress.begin("Stopping")
            self._errand.stop()

    def _choose(self) -> None:
        path, _ = QtWidgets.QFileDialog.getOpenFileName(self.window(), "The Python that has zido")
        if path:
            self._chosen = path
            self.look()

    def _menu(self) -> QtWidgets.QMenu:
        menu = QtWidgets.QMenu(self)
        for kind, title in KINDS.items():
            action = menu.addAction(title)
            assert action is not None
            action.triggered.connect(partial(self._on_kind, kind))
        menu.addSeparator()
        offline = menu.addAction("From a folder of wheels, without the network…")
        assert offline is not None
        offline.triggered.connect(self._from_wheels)
        return menu

    def _on_kind(self, kind: Kind, checked: bool = False) -> None:
        self.make(kind)

    def _from_wheels(self) -> None:
        folder = QtWidgets.QFileDialog.getExistingDirectory(self.window(), "Folder of wheels")
        if folder:
            self.make("auto", folder)

    def _agrees(self, build: Build, wheelhouse: str | None) -> bool:
        source = f"the folder {wheelhouse}" if wheelhouse else "the network"
        text = (
            f"zido makes a Python environment of its own in {home()}. Nothing else on this computer "
            f"changes.\n\nPyTorch: {build.title}\nPackages come from {source}, and up to {build.room / GIB:.0f} GB "
            "of disk are needed. This takes some minutes and can be stopped."
        )
        yes = QtWidgets.QMessageBox.StandardButton.Yes
        return QtWidgets.QMessageBox.question(self.window(), "Create environment", text) == yes
