"""A map tool: left of a line that follows the mouse the map is drawn without a layer, so one sees before and after."""

from __future__ import annotations

from qgis.core import QgsMapLayer, QgsMapRendererParallelJob, QgsMapSettings
from qgis.gui import QgsMapCanvas, QgsMapCanvasItem, QgsMapMouseEvent, QgsMapTool
from qgis.PyQt.QtCore import QLineF, QRectF, Qt
from qgis.PyQt.QtGui import QColor, QImage, QKeyEvent, QPainter, QPen
from qgis.PyQt.QtWidgets import QStyleOptionGraphicsItem, QWidget

HANDLE = 9
"""Radius of the handle, pixels."""

STEP = 0.02
"""Share of the canvas by which an arrow key moves the line."""


class SwipeItem(QgsMapCanvasItem):
    """The map without the layer, drawn over the left part of the canvas, and the line."""

    def __init__(self, canvas: QgsMapCanvas) -> None:
        super().__init__(canvas)
        self._canvas = canvas
        self._image = QImage()
        self.share = 0.5
        self.setZValue(100)
        self.updatePosition()

    def show_image(self, image: QImage) -> None:
        self._image = image
        self.update()

    def move(self, share: float) -> None:
        """Put the line at this share of the width."""
        self.share = min(max(share, 0.0), 1.0)
        self.update()

    def updatePosition(self) -> None:
        self.setPos(0, 0)

    def boundingRect(self) -> QRectF:
        return QRectF(self._canvas.viewport().rect())

    def paint(
        self, painter: QPainter, option: QStyleOptionGraphicsItem | None = None, widget: QWidget | None = None
    ) -> None:
        width, height = self.boundingRect().width(), self.boundingRect().height()
        x = float(round(self.share * width))
        if not self._image.isNull():
            painter.save()
            painter.setClipRect(QRectF(0, 0, x, height))
            painter.drawImage(QRectF(0, 0, width, height), self._image)
            painter.restore()
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        for colour, thickness in ((QColor(0, 0, 0, 160), 4), (QColor(255, 255, 255), 2)):
            painter.setPen(QPen(colour, thickness))
            painter.drawLine(QLineF(x, 0, x, height))
        painter.setBrush(QColor(255, 255, 255))
        painter.setPen(QPen(QColor(0, 0, 0, 160), 1))
        painter.drawEllipse(QRectF(x - HANDLE, height / 2 - HANDLE, 2 * HANDLE, 2 * HANDLE))


class SwipeTool(QgsMapTool):
    """Compares a layer with what lies under it; the mouse or the arrow keys move the line."""

    def __init__(self, canvas: QgsMapCanvas) -> None:
        super().__init__(canvas)
        self.layer: QgsMapLayer | None = None
        self._item: SwipeItem | None = None
        self._job: QgsMapRendererParallelJob | None = None
        self.setCursor(Qt.CursorShape.SplitHCursor)

    def activate(self) -> None:
        super().activate()
        self._item = SwipeItem(self.canvas())
        self.canvas().mapCanvasRefreshed.connect(self._render)
        self._render()

    def deactivate(self) -> None:
        if self._item is not None:
            self.canvas().mapCanvasRefreshed.disconnect(self._render)
            self._stop()
            self.canvas().scene().removeItem(self._item)
            self._item = None
        super().deactivate()

    def canvasMoveEvent(self, event: QgsMapMouseEvent) -> None:
        if self._item is not None:
            self._item.move(event.pos().x() / max(self.canvas().viewport().width(), 1))

    def keyPressEvent(self, event: QKeyEvent) -> None:
        steps = {Qt.Key.Key_Left: -STEP, Qt.Key.Key_Right: STEP}
        if self._item is not None and event.key() in steps:
            self._item.move(self._item.share + steps[event.key()])
            event.accept()  # else the canvas pans

    def compare(self, layer: QgsMapLayer) -> None:
        """The layer that is left out to the left of the line."""
        self._forget()
        self.layer = layer
        layer.willBeDeleted.connect(self._leave)

    def _forget(self) -> None:
        if self.layer is not None:
            self.layer.willBeDeleted.disconnect(self._leave)
        self.layer = None

    def _leave(self) -> None:
        self._forget()
        self.canvas().unsetMapTool(self)

    def _render(self) -> None:
        """Draw the map without the layer, in the background."""
        if self._item is None or self.layer is None:
            return
        self._stop()
        settings = QgsMapSettings(self.canvas().mapSettings())
        settings.setLayers([layer for layer in settings.layers() if layer.id() != self.layer.id()])
        self._job = QgsMapRendererParallelJob(settings)
        self._job.finished.connect(self._rendered)
        self._job.start()

    def _rendered(self) -> None:
        if self._item is not None and self._job is not None:
            self._item.show_image(self._job.renderedImage())

    def _stop(self) -> None:
        job, self._job = self._job, None
        if job is not None and job.isActive():
            job.finished.disconnect(self._rendered)
            job.cancelWithoutBlocking()
