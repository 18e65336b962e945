"""What zido's algorithms on one raster share: the raster, an extent, options, a worker."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator, Mapping
from html import escape
from typing import Any, Self

from qgis.core import (
    QgsCoordinateReferenceSystem,
    QgsProcessingAlgorithm,
    QgsProcessingContext,
    QgsProcessingException,
    QgsProcessingFeedback,
    QgsProcessingParameterExtent,
    QgsProcessingParameterRasterLayer,
    QgsProcessingUtils,
)
from qgis.PyQt.QtGui import QIcon

from ..zido_core.option_spec import OptionSpec
from .cropping import Grid, Window, crop
from .engine import Engine
from .hearing import asked_to_stop
from .layers import source_of
from .parameters import INPUT, add_to, options_from

EXTENT = "EXTENT"


class Algorithm(QgsProcessingAlgorithm):
    """What Processing asks of every algorithm. Subclasses have ``ID``, ``TITLE`` and ``HELP``."""

    ID, TITLE, HELP = "", "", ""

    def __init__(self, engine: Engine) -> None:
        super().__init__()
        self.engine = engine

    def createInstance(self) -> Self:
        return type(self)(self.engine)

    def name(self) -> str:
        return self.ID

    def displayName(self) -> str:
        return self.TITLE

    def icon(self) -> QIcon:
        return self.provider().icon() if self.provider() else QIcon()

    def shortHelpString(self) -> str:
        definitions = [d for d in self.parameterDefinitions() if d.help()]
        listed = "".join(f"<p><b>{escape(d.description())}</b>: {escape(d.help())}</p>" for d in definitions)
        return f"<p>{escape(self.HELP)}</p>{listed}"


class RasterAlgorithm(Algorithm):
    """An algorithm whose worker reads one raster, or the part of it within an extent."""

    def add_input(self) -> None:
        """The raster, and the extent."""
        self.addParameter(QgsProcessingParameterRasterLayer(INPUT, "Raster"))
        extent = QgsProcessingParameterExtent(EXTENT, "Extent", optional=True)
        extent.setHelp("Only this part is read; whole pixels of the raster. Left out: all of it.")
        self.addParameter(extent)

    def add_options(self, specs: list[OptionSpec]) -> None:
        """The options."""
        self.specs = specs
        add_to(self, specs)

    def checkParameterValues(self, parameters: Mapping[str, Any], context: QgsProcessingContext) -> tuple[bool, str]:
        fine, message = super().checkParameterValues(parameters, context)
        if fine:
            try:
                options_from(self, parameters, context, self.specs)
            except QgsProcessingException as error:
                return False, str(error)
        return fine, message

    def prepareAlgorithm(
        self, parameters: Mapping[str, Any], context: QgsProcessingContext, feedback: QgsProcessingFeedback
    ) -> bool:
        """In the main thread, where layers live."""
        layer = self.parameterAsRasterLayer(parameters, INPUT, context)
        if layer is None:
            raise QgsProcessingException(self.invalidRasterError(parameters, INPUT))
        self.layer_name, self.source = layer.name(), source_of(layer)
        self.crs = QgsCoordinateReferenceSystem(layer.crs())
        self.options = options_from(self, parameters, context, self.specs)
        return True

    def window(self, grid: Grid, parameters: Mapping[str, Any], context: QgsProcessingContext) -> Window | None:
        """The pixels of the extent; None if there is no extent."""
        if not parameters.get(EXTENT):
            return None
        polygon = self.parameterAsExtentGeometry(parameters, EXTENT, context, self.crs).convexHull().asPolygon()
        corners = [(point.x(), point.y()) for point in polygon[0]] if polygon else []
        window = grid.window(corners) if corners else None
        if window is None:
            box = self.parameterAsExtent(parameters, EXTENT, context, self.crs)
            raise QgsProcessingException(
                f"zido: the extent {box.toString(2)} lies outside {self.layer_name}; choose one within the raster"
            )
        return window

    @contextlib.contextmanager
    def read_from(self, window: Window | None, feedback: QgsProcessingFeedback) -> Iterator[str]:
        """The file that the worker reads: the layer's own, or a copy of the window."""
        if window is None:
            yield self.source
            return
        with tempfile.TemporaryDirectory(prefix="zido-", dir=QgsProcessingUtils.tempFolder()) as folder:
            stem = os.path.splitext(os.path.basename(self.source))[0] or "part"
            path = os.path.join(folder, f"{stem}.tif")
            feedback.setProgressText(f"copying {window.width} x {window.height} px within the extent")
            crop(self.source, window, path, asked_to_stop(feedback))
            with contextlib.suppress(OSError):  # the source may lie within another file
                status = os.stat(self.source)
                os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))  # as old, so that work on it can be resumed
            yield path
