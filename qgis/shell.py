"""The plugin as QGIS sees it: a Processing provider; on the desktop also a menu, a toolbar and a map tool."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from qgis.core import QgsApplication, QgsMapLayer, QgsRasterLayer
from qgis.PyQt.QtGui import QIcon
from qgis.PyQt.QtWidgets import QAction

from .engine import Engine
from .layers import file_of
from .provider import ICON, ZidoProvider

MENU = "&zido"
SWIPE_ICON = ICON.with_name("swipe.svg")


class ZidoPlugin:
    """Made by ``classFactory``. ``iface`` is None in ``qgis_process``."""

    def __init__(self, iface: Any) -> None:
        self.iface = iface
        self.engine = Engine()
        self.provider: ZidoProvider | None = None
        self.actions: list[QAction] = []
        self.swipe: Any = None
        self.window: Any = None

    def initProcessing(self) -> None:
        """Processing alone: what ``qgis_process`` needs."""
        self.provider = ZidoProvider(self.engine)  # QGIS keeps no reference
        QgsApplication.processingRegistry().addProvider(self.provider)

    def initGui(self) -> None:
        """All of it."""
        self.initProcessing()
        self._add_action(ICON, "Upscale…", "Upscale a raster or photograph with zido", self.upscale)
        swipe = "Compare the active layer with what lies under it; again: stop"
        self._add_action(SWIPE_ICON, "Swipe active layer", swipe, self.compare)

    def unload(self) -> None:
        """Take everything back, the worker too."""
        for action in self.actions:
            self.iface.removePluginRasterMenu(MENU, action)
            self.iface.removeToolBarIcon(action)
        if self.swipe is not None:
            self.iface.mapCanvas().unsetMapTool(self.swipe)
        if self.window is not None:
            self.window.close()
        if self.provider is not None:
            QgsApplication.processingRegistry().removeProvider(self.provider)
        self.engine.close()

    def upscale(self) -> None:
        """Open the window for the active layer."""
        from .window import LayerWindow

        layer = self.iface.activeLayer()
        if isinstance(layer, QgsRasterLayer) and file_of(layer) is None:
            text = f"{layer.name()} is not a raster file. Export it first (Export > Save As… in its menu)."
            self.iface.messageBar().pushInfo("zido", text)
        if self.window is None:
            self.window = LayerWindow(self.iface.mainWindow())
        self.window.open(layer if isinstance(layer, QgsRasterLayer) else None)

    def compare(self) -> None:
        """Swipe between the map with and without the active layer; once more: end it."""
        from .swipe import SwipeTool

        layer = self.iface.activeLayer()
        if not isinstance(layer, QgsMapLayer):
            self.iface.messageBar().pushInfo("zido", "Choose the layer to compare in the layer tree first.")
            return
        canvas = self.iface.mapCanvas()
        if self.swipe is None:
            self.swipe = SwipeTool(canvas)
        if canvas.mapTool() is self.swipe and self.swipe.layer is layer:
            canvas.unsetMapTool(self.swipe)
            return
        canvas.unsetMapTool(self.swipe)
        self.swipe.compare(layer)
        canvas.setMapTool(self.swipe)

    def _add_action(self, icon: Path, text: str, tip: str, act: Callable[[], None]) -> None:
        action = QAction(QIcon(str(icon)), text, self.iface.mainWindow())
        action.setToolTip(tip)
        action.triggered.connect(lambda _checked=False: act())
        self.iface.addPluginToRasterMenu(MENU, action)
        self.iface.addToolBarIcon(action)
        self.actions.append(action)
