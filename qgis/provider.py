"""zido's folder in the Processing toolbox."""

from __future__ import annotations

from pathlib import Path

from qgis.core import QgsProcessingProvider
from qgis.PyQt.QtGui import QIcon

from ..zido_core import __version__
from .comparing import CompareAlgorithm
from .engine import Engine
from .tagging import TagAlgorithm
from .upscaling import PromptedAlgorithm, UpscaleAlgorithm

ICON = Path(__file__).parent / "icon.svg"
ALGORITHMS = (UpscaleAlgorithm, TagAlgorithm, PromptedAlgorithm, CompareAlgorithm)
FORMATS = ["tif", "tiff", "jp2", "png", "jpg", "webp"]
"""Formats of results, the usual one first."""


class ZidoProvider(QgsProcessingProvider):
    """The algorithms, all of which share one worker."""

    def __init__(self, engine: Engine) -> None:
        super().__init__()
        self._engine = engine

    def loadAlgorithms(self) -> None:
        for algorithm in ALGORITHMS:
            self.addAlgorithm(algorithm(self._engine))

    def id(self) -> str:
        return "zido"

    def name(self) -> str:
        return "zido"

    def longName(self) -> str:
        return f"zido {__version__}: diffusion upscaling"

    def icon(self) -> QIcon:
        return QIcon(str(ICON))

    def svgIconPath(self) -> str:
        return str(ICON)

    def supportedOutputRasterLayerExtensions(self) -> list[str]:
        return FORMATS

    def defaultRasterFileExtension(self) -> str:
        return FORMATS[0]
