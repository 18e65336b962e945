"""Draws what a comparison shows: pictures in a viewport, a divider, a difference, names."""

from __future__ import annotations

from collections.abc import Callable

from .pictures import Picture
from .qt import Qt, QtCore, QtGui, QtWidgets
from .viewport import Box, Viewport

GRIP = 9
"""Radius of the divider's handle, pixels."""

SQUARES = 4
"""From this enlargement on, a pixel is drawn as a square with sharp edges."""

Draw = Callable[[QtGui.QPainter], None]
"""Draws one of the pictures that are compared, over the whole pane."""


def draw_picture(painter: QtGui.QPainter, picture: Picture, viewport: Viewport, ratio: float) -> None:
    """A picture where it belongs; ``ratio``: pixels of the screen per pixel of Qt's."""
    target = QtCore.QRectF(*viewport.on_widget(picture.box))
    if target.width() >= SQUARES * picture.image.width():
        target = QtCore.QRectF(target.toAlignedRect())
    hint = QtGui.QPainter.RenderHint.SmoothPixmapTransform
    painter.setRenderHint(hint, target.width() * ratio < picture.image.width() * 0.999)
    painter.drawImage(target, picture.image)


def draw_swipe(painter: QtGui.QPainter, widget: QtWidgets.QWidget, divider: float, first: Draw, second: Draw) -> None:
    """The first picture left of the divider, the second right of it."""
    height, at = widget.height(), round(divider * widget.width())
    painter.setClipRect(0, 0, at, height)
    first(painter)
    painter.setClipRect(at, 0, widget.width() - at, height)
    second(painter)
    painter.setClipping(False)
    role, palette = QtGui.QPalette.ColorRole, widget.palette()
    accent = palette.color(role.Highlight)
    for colour, thickness in ((palette.color(role.Base), 4), (accent, 2)):
        painter.setPen(QtGui.QPen(colour, thickness))
        painter.drawLine(at, 0, at, height)
    painter.setRenderHint(QtGui.QPainter.RenderHint.Antialiasing)
    painter.setPen(QtGui.QPen(palette.color(role.Base), 2))
    painter.setBrush(accent if widget.hasFocus() else palette.color(role.Button))
    painter.drawEllipse(QtCore.QPointF(at, height / 2), GRIP, GRIP)
    painter.setBrush(Qt.BrushStyle.NoBrush)


def draw_halves(painter: QtGui.QPainter, widget: QtWidgets.QWidget, first: Draw, second: Draw) -> None:
    """The pictures side by side."""
    half = widget.width() // 2
    for left, width, draw in ((0, half - 1, first), (half + 1, widget.width() - half - 1, second)):
        painter.save()
        painter.translate(left, 0)
        painter.setClipRect(0, 0, width, widget.height())
        draw(painter)
        painter.restore()


def draw_difference(painter: QtGui.QPainter, widget: QtWidgets.QWidget, first: Draw, second: Draw) -> None:
    """Four times the difference of the two pictures, whatever its sign."""
    made, other = (_canvas(widget, QtGui.QImage.Format.Format_RGB32) for _ in range(2))
    _painted(made, first)
    _painted(other, second)
    _compose(made, other, QtGui.QPainter.CompositionMode.CompositionMode_Difference)
    for _ in range(2):
        _compose(made, made.copy(), QtGui.QPainter.CompositionMode.CompositionMode_Plus)
    painter.drawImage(0, 0, made)


def draw_faded(painter: QtGui.QPainter, widget: QtWidgets.QWidget, share: float, draw: Draw) -> None:
    """A picture over what is there already, as one, of however many parts it is put together."""
    image = _canvas(widget, QtGui.QImage.Format.Format_ARGB32_Premultiplied)
    _painted(image, draw)
    painter.setOpacity(share)
    painter.drawImage(0, 0, image)
    painter.setOpacity(1.0)


def draw_box(painter: QtGui.QPainter, box: Box, viewport: Viewport) -> None:
    """The outline of a place, seen on any ground."""
    rect = QtCore.QRectF(*viewport.on_widget(box))
    painter.setBrush(Qt.BrushStyle.NoBrush)
    for colour, width in ((Qt.GlobalColor.black, 3), (Qt.GlobalColor.white, 1)):
        painter.setPen(QtGui.QPen(colour, width))
        painter.drawRect(rect)


def draw_name(painter: QtGui.QPainter, widget: QtWidgets.QWidget, name: str, *, right: bool) -> None:
    """What a picture is, in an upper corner."""
    metrics = widget.fontMetrics()
    width, height = metrics.horizontalAdvance(name) + 14, metrics.height() + 6
    rect = QtCore.QRect(widget.width() - width - 8 if right else 8, 8, width, height)
    painter.fillRect(rect, QtGui.QColor(0, 0, 0, 160))
    painter.setPen(Qt.GlobalColor.white)
    painter.drawText(rect, Qt.AlignmentFlag.AlignCenter, name)


def _canvas(widget: QtWidgets.QWidget, kind: QtGui.QImage.Format) -> QtGui.QImage:
    """An empty image as large as the widget, in pixels of the screen."""
    ratio = widget.devicePixelRatioF()
    image = QtGui.QImage(round(widget.width() * ratio), round(widget.height() * ratio), kind)
    image.setDevicePixelRatio(ratio)
    image.fill(0)
    return image


def _painted(image: QtGui.QImage, draw: Draw) -> None:
    painter = QtGui.QPainter(image)
    draw(painter)
    painter.end()


def _compose(image: QtGui.QImage, other: QtGui.QImage, mode: QtGui.QPainter.CompositionMode) -> None:
    def draw(painter: QtGui.QPainter) -> None:
        painter.setCompositionMode(mode)
        painter.drawImage(0, 0, other)

    _painted(image, draw)
