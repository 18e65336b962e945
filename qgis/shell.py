"""The plugin as QGIS sees it: a Processing provider; on the desktop also a menu, a toolbar and a map tool."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from qgis.core import QgsApplication, QgsMapLayer, QgsRasterLayer
from qgis.PyQt.QtGui import QIcon
from qgis.PyQt.QtWidgets import QAction

from .engine import Engine
from .provider import ICON, ZidoProvider

MENU = "&zido"


class ZidoPlugin:
    """Made by ``classFactory``. ``iface`` is None in ``qgis_process``."""

    def __init__(self, iface: Any) -> None:
        self.iface = iface
        self.engine = Engine()
        self.provider: ZidoProvider | None = None
        self.actions: list[QAction] = []
        self.swipe: Any = None

    def initProcessing(self) -> None:
        """Processing alone: what ``qgis_process`` needs."""
        self.provider = ZidoProvider(self.engine)  # QGIS keeps no reference
        QgsApplication.processingRegistry().addProvider(self.provider)

    def initGui(self) -> None:
        """All of it."""
        self.initProcessing()
        self._add_action("Upscale…", "Upscale a raster or photograph with zido", self.upscale, icon=QIcon(str(ICON)))
        self._add_action("Swipe active layer", "Compare the active layer with what lies under it", self.compare)

    def unload(self) -> None:
        """Take everything back, the worker too."""
        for action in self.actions:
            self.iface.removePluginRasterMenu(MENU, action)
            self.iface.removeRasterToolBarIcon(action)
        if self.swipe is not None:
            self.iface.mapCanvas().unsetMapTool(self.swipe)
        if self.provider is not None:
            QgsApplication.processingRegistry().removeProvider(self.provider)
        self.engine.close()

    def upscale(self) -> None:
        """Open the dialog of the algorithm, for the active layer."""
        import processing

        layer = self.iface.activeLayer()
        chosen = {"INPUT": layer.id()} if isinstance(layer, QgsRasterLayer) else {}
        processing.execAlgorithmDialog("zido:upscale", chosen)

    def compare(self) -> None:
        """Swipe between the map with and without the active layer."""
        from .swipe import SwipeTool

        layer = self.iface.activeLayer()
        if not isinstance(layer, QgsMapLayer):
            self.iface.messageBar().pushInfo("zido", "Choose the layer to compare in the layer tree first.")
            return
        if self.swipe is None:
            self.swipe = SwipeTool(self.iface.mapCanvas())
        self.swipe.compare(layer)
        self.iface.mapCanvas().setMapTool(self.swipe)

    def _add_action(self, text: str, tip: str, act: Callable[[], None], icon: QIcon | None = None) -> None:
        action = QAction(icon or QIcon(), text, self.iface.mainWindow())
        action.setToolTip(tip)
        action.triggered.connect(lambda _checked=False: act())
        self.iface.addPluginToRasterMenu(MENU, action)
        self.iface.addRasterToolBarIcon(action)
        self.actions.append(action)
