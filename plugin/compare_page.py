"""The page with the picture: ways of comparing, zoom, a preview of one place, and fidelity after the run."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from ..zido_core.catalog import describe
from ..zido_core.job import Job, Shown
from ..zido_core.options import Options, resolve
from .compare_view import MODES, CompareView, Mode
from .errands import Desk
from .pictures import Layer, Picture, Pictures
from .qt import Qt, QtCore, QtGui, QtWidgets, Signal
from .viewport import Box

PLACE = 128
"""Side of the place that is previewed, input pixels."""

STEPS = 100
"""Of the slider."""

READING = ("bands", "nodata", "offline", "allow_remote", "allow_vrt", "max_pixels")
"""Options on which a picture of a file depends."""


class ComparePage(QtWidgets.QWidget):
    """Shows the input; then a preview or a result beside it."""

    preview_asked = Signal(object)
    """The button was pressed: the place, a `Box` of whole input pixels."""

    certain_asked = Signal(object)
    """The slider was taken hold of and needs the picture without synthesised detail: the `Job` that made the result."""

    save_asked = Signal(float)
    """The blend is to be saved with this fidelity."""

    said = Signal(str)
    """A line for the log."""

    def __init__(self, desk: Desk) -> None:
        super().__init__()
        self.pictures = Pictures(desk, self)
        self.view = CompareView(self.pictures)
        self.kind = "raster"
        self._asked: Layer | None = None
        self._input: Layer | None = None
        self._result: Layer | None = None
        self._job: Job | None = None
        self._certain: Layer | None = None
        self._made: tuple[Layer, Job] | None = None
        self._waits = self._possible = False
        layout = QtWidgets.QVBoxLayout(self)
        layout.addLayout(self._tools())
        layout.addWidget(self.view, 1)
        layout.addWidget(self._blend_row())
        self.pictures.opened.connect(self._on_opened)
        self.pictures.failed.connect(self._on_failed)
        self.view.place_chosen.connect(self._move_place)
        self.view.looked_elsewhere.connect(self._show_zoom)
        self._show_state()

    @property
    def place(self) -> Box | None:
        """The place that a preview would show."""
        return self.view.box

    @property
    def shows_preview(self) -> bool:
        """Whether what is compared is a preview of one place."""
        return self._result is not None and self._result.place is not None

    def show_place(self, place: Box) -> None:
        """Show where a place is; a preview would be of it."""
        if self.pictures.frame is not None:
            self.view.box = place
            self.view.update()
            self._show_state()

    def show_input(self, job: Job) -> None:
        """Another input."""
        layer = Layer(path=job.input, like=job.input, options=reading(job.options))
        if self._asked == layer:
            return
        self._asked = self._input = layer
        self._forget_result()
        self.view.box = None
        if job.input:
            self.pictures.open(layer)
        else:
            self._on_failed("")

    def show_preview(self, path: str, size: tuple[int, int], place: Box, job: Job) -> None:
        """The result at one place."""
        self.view.names = ("input", "preview")
        self._show_second(Layer(path=path, size=size, place=place), job)
        self.view.box = place
        self.view.look_at(place)

    def show_result(self, path: str, size: tuple[int, int], job: Job) -> None:
        """The result."""
        self._made = Layer(path=path, size=size, like=job.input, options=reading(job.options)), job
        self._show_made()

    def _show_made(self) -> None:
        if self._made is not None:
            self.view.names, self.view.box = ("input", "result"), None
            self._show_second(*self._made)

    def watch(self) -> None:
        """A run begins: show the input, and on it what is done so far."""
        self._forget_result()
        self.view.box = None
        self.view.live.clear()
        if self._input is not None and self.pictures.frame is not None:
            self.view.show_layers(self._input, None)

    def show_progress(self, path: str, box: tuple[int, int, int, int], whole: tuple[int, int]) -> None:
        """A small picture of a part of the result, whose place is in pixels of a result of size ``whole``."""
        image = QtGui.QImage(path)
        if self.pictures.frame is None or image.isNull():
            return
        down, across = (small / large for small, large in zip(self.pictures.frame, whole, strict=True))
        row, col, height, width = box
        place = Box(row * down, col * across, height * down, width * across)
        self.view.live[place] = Picture(image=image, box=place)
        self.view.update()

    def end_watching(self) -> None:
        """The run has ended, well or not."""
        self.view.live.clear()
        self.view.update()

    def show_certain(self, path: str) -> None:
        """The picture without synthesised detail, of the same place and size as the result."""
        if self._result is not None:
            self._certain = replace(self._result, path=path)
            self._waits = False
            self._blend()

    def blending_failed(self) -> None:
        """The picture without synthesised detail could not be made."""
        self._waits = False
        self._show_fidelity()

    def set_preview_possible(self, possible: bool) -> None:
        """Whether there is a worker and nothing else goes on."""
        self._possible = possible
        self._show_state()

    def _tools(self) -> QtWidgets.QHBoxLayout:
        row = QtWidgets.QHBoxLayout()
        self.modes: dict[Mode, QtWidgets.QToolButton] = {}
        group = QtWidgets.QButtonGroup(self)
        for number, (mode, text) in enumerate(MODES.items(), start=1):
            button = _tool(text.replace("&", ""), f"{text.replace('&', '')} (Ctrl+{number})")
            button.setCheckable(True)
            button.setShortcut(f"Ctrl+{number}")
            button.clicked.connect(partial(self.view.set_mode, mode))
            group.addButton(button)
            row.addWidget(button)
            self.modes[mode] = button
        self.modes["swipe"].setChecked(True)
        row.addSpacing(self.fontMetrics().averageCharWidth() * 2)
        self.fit = _tool("Fit", "All of the picture (0)")
        self.fit.clicked.connect(self.view.fit)
        self.one = _tool("1:1", "A pixel of the result for each of the screen (1)")
        self.one.clicked.connect(self.view.one_to_one)
        self._zoom = QtWidgets.QLabel()
        self._zoom.setAccessibleName("Zoom")
        row.addWidget(self.fit)
        row.addWidget(self.one)
        row.addWidget(self._zoom)
        row.addStretch(1)
        self.back = _tool("Result", "The finished result again, instead of the preview")
        self.back.clicked.connect(self._show_made)
        row.addWidget(self.back)
        self.preview = QtWidgets.QPushButton("Pre&view here")
        self.preview.setToolTip("Upscales the place in the frame alone. Click on the picture to move it there.")
        self.preview.setAccessibleDescription(self.preview.toolTip())
        self.preview.setAutoDefault(False)
        self.preview.clicked.connect(self._ask_preview)
        row.addWidget(self.preview)
        return row

    def _blend_row(self) -> QtWidgets.QWidget:
        self._blending = QtWidgets.QWidget()
        row = QtWidgets.QHBoxLayout(self._blending)
        row.setContentsMargins(0, 0, 0, 0)
        label = QtWidgets.QLabel("Fidelity of what is s&hown")
        self.slider = QtWidgets.QSlider(Qt.Orientation.Horizontal)
        self.slider.setRange(0, STEPS)
        self.slider.setPageStep(10)
        self.slider.setAccessibleName("Fidelity of what is shown")
        label.setBuddy(self.slider)
        self._fidelity = QtWidgets.QLabel()
        self._fidelity.setMinimumWidth(self.fontMetrics().horizontalAdvance("working…0"))
        self.save = QtWidgets.QPushButton("Save this &blend…")
        self.save.setAutoDefault(False)
        self.save.clicked.connect(lambda: self.save_asked.emit(self.fidelity))
        self.slider.valueChanged.connect(self._blend)
        for widget in (label, self.slider, self._fidelity, self.save):
            row.addWidget(widget)
        return self._blending

    @property
    def fidelity(self) -> float:
        """Of what is shown: from that of the run, on the left, to 1, which has only what is certain."""
        least = self._least()
        return least + (1 - least) * self.slider.value() / STEPS

    @property
    def blend(self) -> tuple[Job, str, str] | None:
        """What is blended, where that can be saved: the job, its result and the same without synthesised detail."""
        if self._job is None or self._result is None or self._certain is None or self.shows_preview:
            return None
        return None if self._certain.smooth else (self._job, self._result.path, self._certain.path)

    def _least(self) -> float:
        if self._job is None:
            return 0.0
        options = self._job.options
        return resolve(options, describe(options.model), "photo" if self.kind == "photo" else "raster").fidelity

    def _show_second(self, layer: Layer, job: Job) -> None:
        self._result, self._job, self._certain, self._waits = layer, job, None, False
        self.slider.blockSignals(True)
        self.slider.setValue(0)
        self.slider.blockSignals(False)
        if self._input is not None:
            self.view.show_layers(self._input, layer)
        self._show_fidelity()
        self._show_state()

    def _forget_result(self) -> None:
        self._result = self._job = self._certain = self._made = None
        self._waits = False
        self._show_state()

    def _blend(self) -> None:
        """Show the fidelity that the slider says; what it needs for that is made when it is first moved."""
        if self._result is None or self._job is None or self._input is None:
            return
        descriptor = describe(self._job.options.model)
        if not descriptor.certain_at_one and self._certain is None:
            self._certain = replace(self._input, smooth=True)
        if self._certain is None and self.slider.value() and not self._waits:
            self._waits = True
            self.certain_asked.emit(self._job)
        share = 1 - self.slider.value() / STEPS
        if self._certain is not None:
            self.view.show_layers(self._input, self._result, under=self._certain, share=share)
        self._show_fidelity()

    def _show_fidelity(self) -> None:
        self._fidelity.setText("working…" if self._waits else f"{self.fidelity:.2f}")
        self.slider.setAccessibleDescription(f"{self.fidelity:.2f}")
        self.save.setEnabled(self.blend is not None)

    def _show_state(self) -> None:
        two = self._result is not None
        for button in self.modes.values():
            button.setEnabled(two)
        self.back.setVisible(self.shows_preview and self._made is not None)
        self._blending.setVisible(two and self._least() < 1)
        here = self.pictures.frame is not None
        for widget in (self.fit, self.one, self._zoom):
            widget.setEnabled(here)
        self._zoom.setVisible(here)
        self.preview.setEnabled(self._possible and here)

    def _show_zoom(self) -> None:
        zoom = self.view.viewport.zoom * self.view.devicePixelRatioF()
        self._zoom.setText(f"{zoom:.0%}" if zoom >= 0.095 else f"{zoom:.1%}")

    def _on_opened(self, shown: object) -> None:
        if not isinstance(shown, Shown) or self._input is None:
            return
        self.kind = shown.kind
        self._input = replace(self._input, size=shown.size)
        self.view.set_frame(shown.size)
        self.view.show_layers(self._input, None)
        height, width = shown.size
        self._move_place(height / 2, width / 2)

    def _on_failed(self, reason: str) -> None:
        if reason:
            self.said.emit(f"No picture: {reason}")
        if self.pictures.frame is None:
            self.view.show_nothing(reason)
            self.view.box = None
        self._show_state()

    def _move_place(self, row: float, col: float) -> None:
        """The frame of the preview goes where the user has clicked."""
        if self.pictures.frame is None:
            return
        height, width = (min(PLACE, side) for side in self.pictures.frame)
        top = min(max(round(row - height / 2), 0), self.pictures.frame[0] - height)
        left = min(max(round(col - width / 2), 0), self.pictures.frame[1] - width)
        self.view.box = Box(top, left, height, width)
        self.view.update()
        self._show_state()

    def _ask_preview(self) -> None:
        if self.view.box is None:  # a result is shown
            self._move_place(*self.view.viewport.centre)
        if self.view.box is not None:
            self.preview_asked.emit(self.view.box)


def reading(options: Options) -> Options:
    """Those of the options that change what a file looks like, or whether it may be opened."""
    return Options(**{name: getattr(options, name) for name in READING})


def _tool(text: str, tip: str) -> QtWidgets.QToolButton:
    button = QtWidgets.QToolButton()
    button.setText(text)
    button.setToolTip(tip)
    button.setAccessibleName(text)
    button.setAccessibleDescription(tip)
    button.setFocusPolicy(QtCore.Qt.FocusPolicy.StrongFocus)
    return button
