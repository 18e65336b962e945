"""Pictures of files for the screen, made by a worker that reads rasters; here they are only asked for and kept."""

from __future__ import annotations

import contextlib
import itertools
import os
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from ..zido_core.job import Cancelled, Failed, Shown, View
from ..zido_core.options import Options
from .client import Client
from .errands import Desk, Errand, Stopped, Tell
from .qt import QtCore, QtGui, Signal
from .viewport import Box

MARGIN = 0.15
"""Share of what is seen that is asked for on each side in addition, so that a little dragging shows no gap."""


@dataclass(frozen=True, kw_only=True)
class Layer:
    """A file that shows the same place as the input, or a part of it."""

    path: str
    """The file."""

    smooth: bool = False
    """Whether it is interpolated where it is enlarged."""

    place: Box | None = None
    """What of the input it covers, input pixels; None: all."""

    size: tuple[int, int] | None = None
    """Its height and width in its own pixels; None: the input's."""

    like: str | None = None
    """File in whose black and white it is shown."""

    options: Options = field(default_factory=Options)
    """How it is read."""


@dataclass(frozen=True, kw_only=True)
class Picture:
    """A part of a layer, ready to be drawn."""

    image: QtGui.QImage
    """Its pixels."""

    box: Box
    """What it shows, input pixels."""


class Pictures(QtCore.QObject):
    """The newest picture of each layer, and one of each as a whole, which stands behind it while the next is made."""

    arrived = Signal()
    """There is something new to draw."""

    opened = Signal(object)
    """A file was looked at for the first time: `Shown`."""

    failed = Signal(str)
    """A picture cannot be made: why."""

    def __init__(self, desk: Desk, parent: QtCore.QObject) -> None:
        super().__init__(parent)
        self._desk = desk
        self._folder = tempfile.TemporaryDirectory(prefix="zido-pictures-", ignore_cleanup_errors=True)
        self._numbers = itertools.count()
        self._wanted: dict[Layer, tuple[Box, float, tuple[int, int]]] = {}
        self._asked: dict[Layer, tuple[Box, float, tuple[int, int]]] = {}
        self._near: dict[Layer, Picture] = {}
        self._whole: dict[Layer, Picture] = {}
        self._errand: Errand | None = None
        self.frame: tuple[int, int] | None = None

    def of(self, layer: Layer) -> list[Picture]:
        """What to draw of a layer, the farthest back first."""
        return [kept[layer] for kept in (self._whole, self._near) if layer in kept]

    def open(self, layer: Layer) -> None:
        """Look at a file of which nothing is known yet; `opened` tells its size."""
        self.forget()
        self.frame = None
        self._ask(layer, View(input=layer.path, output="", box=(0, 0, 1, 1), options=layer.options))

    def want(self, layer: Layer, seen: Box, zoom: float) -> None:
        """Have a picture of this part, ``zoom`` pixels of the screen per input pixel; `arrived` tells of it."""
        if self.frame is None:
            return
        wanted = (seen, zoom, self.frame)
        if self._asked.get(layer) == wanted:
            self._wanted.pop(layer, None)
        else:
            self._wanted[layer] = wanted
        self._next()

    def forget(self) -> None:
        """Other files are shown from now on."""
        for kept in (self._wanted, self._asked, self._near, self._whole):
            kept.clear()
        if self._errand is not None:
            self._errand.stop()

    def close(self) -> None:
        """Remove what lies on the disk."""
        self.forget()
        self._folder.cleanup()

    def _next(self) -> None:
        """Ask for one more; only one is made at a time, and what nobody wants any more is never made."""
        if self._errand is not None or not self._wanted or self._desk.viewer is None:
            return
        layer, wanted = self._wanted.popitem()
        seen, zoom, frame = wanted
        self._asked[layer] = wanted
        whole = Box(0, 0, *frame)
        margin = Box(
            seen.row - MARGIN * seen.height,
            seen.col - MARGIN * seen.width,
            seen.height * (1 + 2 * MARGIN),
            seen.width * (1 + 2 * MARGIN),
        )
        part = margin.intersect(layer.place or whole)
        if part is None:
            self._next()
            return
        down, across, place = _scale(layer, frame)
        box = ((part.row - place.row) * down, (part.col - place.col) * across, part.height * down, part.width * across)
        view = View(
            input=layer.path,
            output="",
            box=box,
            zoom=zoom / across if layer.smooth else min(zoom / across, 1.0),  # squares need no picture of squares
            like=layer.like,
            smooth=layer.smooth,
            options=layer.options,
        )
        self._ask(layer, view)

    def _ask(self, layer: Layer, view: View) -> None:
        if self._desk.viewer is None:
            return
        view = replace(view, output=os.path.join(self._folder.name, f"{next(self._numbers)}.ppm"))
        shown: list[Shown] = []

        def on_event(event: object) -> None:
            if isinstance(event, Shown):
                shown.append(event)

        def on_end(end: object) -> None:
            self._take(layer, shown[0] if shown else None, end)

        self._errand = self._desk.start(_show(self._desk.viewer, view), on_end, on_event)

    def _take(self, layer: Layer, shown: Shown | None, end: object) -> None:
        """A picture was made, or not."""
        self._errand = None
        image = QtGui.QImage(shown.path) if shown is not None else QtGui.QImage()
        if shown is not None:
            with contextlib.suppress(OSError):
                os.unlink(shown.path)
        if isinstance(end, Failed):
            self.failed.emit(end.message)
        elif isinstance(end, Cancelled) or shown is None:
            pass
        elif self.frame is None:
            self.frame = shown.size
            self.opened.emit(shown)
        elif layer in self._asked:
            self._keep(layer, shown, image)
        self._next()

    def _keep(self, layer: Layer, shown: Shown, image: QtGui.QImage) -> None:
        assert self.frame is not None
        down, across, place = _scale(layer, self.frame)
        row, col, height, width = shown.box
        box = Box(place.row + row / down, place.col + col / across, height / down, width / across)
        picture = Picture(image=image, box=box)
        self._near[layer] = picture
        if shown.box[2:] == shown.size:
            self._whole[layer] = picture
        self.arrived.emit()


def _scale(layer: Layer, frame: tuple[int, int]) -> tuple[float, float, Box]:
    """Pixels of the layer per input pixel, down and across, and the place that it covers."""
    place = layer.place or Box(0, 0, *frame)
    height, width = layer.size or frame
    return height / place.height, width / place.width, place


def _show(client: Client, view: View) -> Callable[[Tell, Stopped], object]:
    return lambda tell, stopped: client.run(view, tell, cancelled=stopped)
