"""What zido takes from layers, and how a result looks like its input."""

from __future__ import annotations

import os
from collections import deque
from typing import ClassVar

from qgis.core import (
    QgsMapLayer,
    QgsProcessingContext,
    QgsProcessingException,
    QgsProcessingFeedback,
    QgsProcessingLayerPostProcessorInterface,
    QgsRasterLayer,
    QgsReadWriteContext,
)
from qgis.PyQt.QtXml import QDomDocument


def source_of(layer: QgsRasterLayer) -> str:
    """What GDAL, so the worker, reads the layer from."""
    if layer.dataProvider() is None or layer.dataProvider().name() != "gdal":
        kind = layer.providerType() or "no provider"
        raise QgsProcessingException(
            f"zido: layer {layer.name()} comes from {kind}, not from a raster file; "
            "export it first (Export > Save As... in its menu), then upscale the file"
        )
    return str(layer.source()).partition("|")[0]


def file_of(layer: QgsRasterLayer) -> str | None:
    """The path of the layer's file; None for what is no file."""
    if layer.providerType() != "gdal":
        return None
    path = str(layer.source()).partition("|")[0]
    return path if os.path.isfile(path) else None


class Style:
    """How a raster layer is drawn: bands, contrast stretch, brightness, blending, resampling."""

    def __init__(self, layer: QgsRasterLayer) -> None:
        self._name, self._bands = layer.name(), layer.bandCount()
        renderer = layer.renderer()
        self._palette = renderer is not None and renderer.type() == "paletted"
        self._used = max(renderer.usesBands(), default=1) if renderer is not None else 0
        self._document = QDomDocument()
        categories = QgsMapLayer.StyleCategory.Symbology
        layer.exportNamedStyle(self._document, QgsReadWriteContext(), categories)

    def fits(self, layer: QgsRasterLayer) -> bool:
        """Whether the bands that it draws are there; colours of a palette have become bands of their own."""
        same = layer.bandCount() == self._bands
        return 0 < self._used <= layer.bandCount() and (same or not self._palette)

    def layer(self, path: str, name: str) -> QgsRasterLayer:
        """A raster drawn this way. QGIS then reads no statistics of it, which would keep its window waiting."""
        bare = QgsRasterLayer.LayerOptions(False)
        made = QgsRasterLayer(path, name, "gdal", bare)
        if not self.fits(made):
            return QgsRasterLayer(path, name)
        self.apply(made)
        return made

    def apply(self, layer: QgsRasterLayer) -> None:
        """Draw a layer this way; the values of a result are those of its input, so that its stretch fits."""
        if self.fits(layer):
            layer.importNamedStyle(self._document, QgsMapLayer.StyleCategory.Symbology)
            layer.triggerRepaint()


class Restyle(QgsProcessingLayerPostProcessorInterface):
    """Gives the style to a result when Processing loads it, in the main thread."""

    _kept: ClassVar[deque[Restyle]] = deque(maxlen=100)
    """QGIS keeps no reference, and calls it after the algorithm is gone."""

    def __init__(self, style: Style) -> None:
        super().__init__()
        self._style = style
        self._kept.append(self)

    def postProcessLayer(
        self, layer: QgsMapLayer, context: QgsProcessingContext, feedback: QgsProcessingFeedback
    ) -> None:
        if isinstance(layer, QgsRasterLayer):
            self._style.apply(layer)
