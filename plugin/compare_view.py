"""Two pictures of the same place, compared: swipe, side by side, blink, difference.

The wheel zooms, dragging moves. Swipe has a divider that is dragged, or moved with the left and right arrow keys. While
the space bar is held, the first picture is seen in any mode.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Literal

from .panes import draw_box, draw_difference, draw_faded, draw_halves, draw_name, draw_picture, draw_swipe
from .pictures import Layer, Picture, Pictures
from .qt import Qt, QtCore, QtGui, QtWidgets, Signal
from .viewport import Box, Viewport

Mode = Literal["swipe", "side", "blink", "difference"]

MODES: dict[Mode, str] = {
    "swipe": "S&wipe",
    "side": "Si&de by side",
    "blink": "&Blink",
    "difference": "Di&fference ×4",
}
"""The ways of comparing, and what they are called."""

STEP = 1.25
"""Zoom of one turn of the wheel or one press of a key."""

GRIP = 12
"""Pixels beside the divider that still take hold of it."""

REST = 60
"""Milliseconds of rest after which sharp pictures of what is seen are asked for."""

BLINK = 600
"""Milliseconds between two pictures."""


class CompareView(QtWidgets.QWidget):
    """Shows one picture, or compares two."""

    place_chosen = Signal(float, float)
    """A click on the picture: row and column, input pixels."""

    looked_elsewhere = Signal()
    """Another part is seen, or in another size."""

    def __init__(self, pictures: Pictures) -> None:
        super().__init__()
        self._pictures = pictures
        self.first: Layer | None = None
        self.second: Layer | None = None
        self.under: Layer | None = None
        self.share = 1.0
        self.mode: Mode = "swipe"
        self.names = ("input", "result")
        self.invitation = "Choose an input, or drop a file here."
        self.viewport = Viewport()
        self.live: dict[Box, Picture] = {}
        self.box: Box | None = None
        self._divider, self._held, self._turn = 0.5, False, False
        self._drag: Callable[[float, float], None] | None = None
        self._pressed = QtCore.QPointF()
        self._timer = QtCore.QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.setInterval(REST)
        self._timer.timeout.connect(self._ask)
        self._blinker = QtCore.QTimer(self)
        self._blinker.setInterval(BLINK)
        self._blinker.timeout.connect(self._blink)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setMouseTracking(True)
        self.setMinimumSize(240, 180)
        pictures.arrived.connect(self.update)
        self._describe()

    def show_layers(
        self, first: Layer, second: Layer | None, *, under: Layer | None = None, share: float = 1.0
    ) -> None:
        """What is compared. Of ``second`` a ``share`` is seen, and below it ``under``."""
        self.first, self.second, self.under, self.share = first, second, under, share
        self._changed()

    def show_nothing(self, reason: str) -> None:
        """There is no picture, and why."""
        self.first = self.second = self.under = None
        self.invitation = reason or "Choose an input, or drop a file here."
        self.update()

    def set_share(self, share: float) -> None:
        """How much of the second picture is seen over the one under it."""
        self.share = share
        self._changed()

    def set_mode(self, mode: Mode) -> None:
        """Another way of comparing."""
        self.mode = mode
        if mode == "blink":
            self._blinker.start()
        else:
            self._blinker.stop()
        self._look(self.viewport.resized(self._pane()))

    def set_frame(self, picture: tuple[int, int]) -> None:
        """Another input, of this height and width."""
        self._look(Viewport(picture=picture, widget=self._pane()).fitted())

    def fit(self) -> None:
        """All of it."""
        self._look(self.viewport.fitted())

    def zoom_to(self, zoom: float, at: tuple[float, float] | None = None) -> None:
        """So many screen pixels per input pixel."""
        self._look(self.viewport.zoomed(zoom / self.devicePixelRatioF(), at))

    def one_to_one(self) -> None:
        """A pixel of the result for each of the screen."""
        self.zoom_to(self.result_scale)

    def look_at(self, box: Box) -> None:
        """A part, as large as possible."""
        self._look(self.viewport.showing(box))

    @property
    def result_scale(self) -> float:
        """Pixels of the result per input pixel."""
        layer = self.second or self.first
        if layer is None or layer.size is None:
            return 1.0
        return layer.size[1] / (layer.place.width if layer.place else self.viewport.picture[1])

    @property
    def divider(self) -> float:
        """Where the divider is, 0 (left) to 1."""
        return self._divider

    def set_divider(self, share: float) -> None:
        """Move the divider."""
        self._divider = min(max(share, 0.0), 1.0)
        self._changed()

    def paintEvent(self, event: QtGui.QPaintEvent | None) -> None:  # noqa: N802 - Qt's name
        """Draw what there is; what is missing comes later."""
        painter = QtGui.QPainter(self)
        painter.fillRect(self.rect(), self.palette().color(QtGui.QPalette.ColorRole.Mid))
        if self.first is None:
            painter.drawText(self.rect(), Qt.AlignmentFlag.AlignCenter, self.invitation)
            return
        if self._held:
            self._draw_first(painter)
        elif self.second is None:
            self._draw_first(painter)
            for picture in self.live.values():  # what is done so far
                draw_picture(painter, picture, self.viewport, self.devicePixelRatioF())
        elif self.mode == "side":
            draw_halves(painter, self, self._draw_first, self._draw_second)
        elif self.mode == "difference":
            draw_difference(painter, self, self._draw_first, self._draw_second)
        elif self.mode == "blink":
            (self._draw_second if self._turn else self._draw_first)(painter)
        else:
            draw_swipe(painter, self, self._divider, self._draw_first, self._draw_second)
        if self.box is not None:
            draw_box(painter, self.box, self.viewport)
        if self.second is not None:
            self._draw_names(painter)

    def _draw_first(self, painter: QtGui.QPainter) -> None:
        self._draw(painter, self._first_shown())

    def _draw_second(self, painter: QtGui.QPainter) -> None:
        assert self.second is not None
        if self.second.place is not None:  # around a part, the input
            self._draw(painter, self._first_shown())
        if self.under is None or self.share >= 1:
            self._draw(painter, self.second)
        else:
            second = self.second
            self._draw(painter, self.under)
            draw_faded(painter, self, self.share, lambda over: self._draw(over, second))

    def _draw(self, painter: QtGui.QPainter, layer: Layer) -> None:
        for picture in self._pictures.of(layer):
            draw_picture(painter, picture, self.viewport, self.devicePixelRatioF())

    def _draw_names(self, painter: QtGui.QPainter) -> None:
        """Which picture is which."""
        if self._held:
            draw_name(painter, self, self.names[0], right=False)
        elif self.mode == "blink":
            draw_name(painter, self, self.names[self._turn], right=self._turn)
        elif self.mode != "difference":
            draw_name(painter, self, self.names[0], right=False)
            draw_name(painter, self, self.names[1], right=True)

    def _first_shown(self) -> Layer:
        """The first layer; interpolated where it is to be told from the second by its detail alone."""
        assert self.first is not None
        smooth = self.mode == "difference" and self.second is not None
        return replace(self.first, smooth=True) if smooth else self.first

    def resizeEvent(self, event: QtGui.QResizeEvent | None) -> None:  # noqa: N802 - Qt's name
        """The same middle in another size."""
        fits = self.viewport == self.viewport.fitted()
        resized = self.viewport.resized(self._pane())
        self._look(resized.fitted() if fits else resized)

    def wheelEvent(self, event: QtGui.QWheelEvent | None) -> None:  # noqa: N802 - Qt's name
        """Zoom at the pointer."""
        if event is not None:
            at = event.position()
            turns = event.angleDelta().y() / 120
            self._look(self.viewport.zoomed(self.viewport.zoom * STEP**turns, self._in_pane(at)))
            event.accept()

    def mousePressEvent(self, event: QtGui.QMouseEvent | None) -> None:  # noqa: N802 - Qt's name
        """Take hold of the divider or of the picture."""
        if event is None or event.button() != Qt.MouseButton.LeftButton:
            return
        self._pressed = at = QtCore.QPointF(event.pos())
        if self._on_divider(at):
            self._drag = lambda x, y: self.set_divider(x / max(self.width(), 1))
            return
        begun = self.viewport

        def move(x: float, y: float) -> None:
            self._look(begun.moved(x - at.x(), y - at.y()))

        self._drag = move

    def mouseMoveEvent(self, event: QtGui.QMouseEvent | None) -> None:  # noqa: N802 - Qt's name
        """Drag what was taken hold of."""
        if event is None:
            return
        at = QtCore.QPointF(event.pos())
        if self._drag is not None:
            self._drag(at.x(), at.y())
        shape = Qt.CursorShape.SplitHCursor if self._on_divider(at) else Qt.CursorShape.ArrowCursor
        self.setCursor(shape)

    def mouseReleaseEvent(self, event: QtGui.QMouseEvent | None) -> None:  # noqa: N802 - Qt's name
        """A press without dragging chooses a place."""
        if event is None or self._drag is None:
            return
        self._drag = None
        at = QtCore.QPointF(event.pos())
        if (at - self._pressed).manhattanLength() < 4 and not self._on_divider(at):
            self.place_chosen.emit(*self.viewport.in_picture(*self._in_pane(at)))

    def keyPressEvent(self, event: QtGui.QKeyEvent | None) -> None:  # noqa: N802 - Qt's name
        """All of it without a mouse."""
        if event is None:
            return
        act = self._keys().get(event.key())
        if event.key() == Qt.Key.Key_Space:
            self._hold(True)
        elif act is None:
            super().keyPressEvent(event)
        else:
            act()

    def keyReleaseEvent(self, event: QtGui.QKeyEvent | None) -> None:  # noqa: N802 - Qt's name
        """The space bar is let go."""
        if event is not None and event.key() == Qt.Key.Key_Space and not event.isAutoRepeat():
            self._hold(False)
        else:
            super().keyReleaseEvent(event)

    def _keys(self) -> dict[int, Callable[[], None]]:
        key, step = Qt.Key, min(self.width(), self.height()) / 8
        swiping = self.mode == "swipe" and self.second is not None

        def sideways(by: int) -> Callable[[], None]:
            if swiping:
                return lambda: self.set_divider(self._divider + by / 50)
            return lambda: self._look(self.viewport.moved(-by * step, 0))

        return {
            key.Key_Left: sideways(-1),
            key.Key_Right: sideways(1),
            key.Key_Up: lambda: self._look(self.viewport.moved(0, step)),
            key.Key_Down: lambda: self._look(self.viewport.moved(0, -step)),
            key.Key_Plus: lambda: self._look(self.viewport.zoomed(self.viewport.zoom * STEP)),
            key.Key_Minus: lambda: self._look(self.viewport.zoomed(self.viewport.zoom / STEP)),
            key.Key_0: self.fit,
            key.Key_1: self.one_to_one,
        }

    def _hold(self, held: bool) -> None:
        if self._held != held:
            self._held = held
            self._changed()

    def _blink(self) -> None:
        self._turn = not self._turn
        self._changed()

    def _on_divider(self, at: QtCore.QPointF) -> bool:
        swiping = self.mode == "swipe" and self.second is not None
        return swiping and abs(at.x() - self._divider * self.width()) <= GRIP

    def _pane(self) -> tuple[int, int]:
        """Height and width in which a picture is seen."""
        halved = self.mode == "side" and self.second is not None
        return max(self.height(), 1), max(self.width() // 2 - 1 if halved else self.width(), 1)

    def _in_pane(self, at: QtCore.QPointF) -> tuple[float, float]:
        """A point of the widget in the pane in which it lies."""
        pane = self._pane()[1]
        return (at.x() - pane - 2 if at.x() > pane + 1 and pane < self.width() - 1 else at.x()), at.y()

    def _look(self, viewport: Viewport) -> None:
        self.viewport = viewport
        self._changed()
        self.looked_elsewhere.emit()

    def _changed(self) -> None:
        self._describe()
        self._timer.start()
        self.update()

    def _ask(self) -> None:
        """Have sharp pictures of what is seen."""
        if self.first is None:
            return
        wanted = [self._first_shown(), *([self.second] if self.second else [])]
        if self.under is not None and self.share < 1:
            wanted.append(self.under)
        for layer in wanted:
            self._pictures.want(layer, self.viewport.visible, self.viewport.zoom * self.devicePixelRatioF())

    def _describe(self) -> None:
        """For people who hear what others see."""
        what = MODES[self.mode].replace("&", "")
        if self.second is None:
            text = "Picture of the input"
        elif self.mode == "swipe":
            text = f"{what}: {self.names[0]} left, {self.names[1]} right, divider at {self._divider:.0%}"
        else:
            text = f"{what} of {self.names[0]} and {self.names[1]}"
        self.setAccessibleName(text)
        zoom = self.viewport.zoom * self.devicePixelRatioF()
        self.setAccessibleDescription(f"{zoom:.3g} screen pixels per input pixel")
