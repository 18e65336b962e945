"""Tag tiles: what zido sees in each tile of a raster, as a layer of polygons to look at and to edit."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Mapping
from typing import Any

from qgis.core import (
    QgsFeatureSink,
    QgsProcessing,
    QgsProcessingContext,
    QgsProcessingException,
    QgsProcessingFeedback,
    QgsProcessingParameterFeatureSink,
    QgsProcessingUtils,
    QgsWkbTypes,
)

from ..zido_core.job import Tag
from ..zido_core.options import OPTIONS
from .cropping import Grid
from .parameters import OUTPUT
from .prompt_layer import fields, tile_feature
from .raster_algorithm import RasterAlgorithm

ASKED = (
    *("scale", "model", "model_dir", "prompt", "prompts", "tagger", "tagger_dir", "tile_size", "tile_overlap"),
    *("bands", "stretch", "nodata", "device", "precision", "allow_remote", "allow_vrt", "max_pixels", "debug"),
)
"""Options that decide what the tiles are and what is said of them, or whether the raster is read at all."""


class TagAlgorithm(RasterAlgorithm):
    """``zido:tagtiles``."""

    ID, TITLE = "tagtiles", "Tag tiles"
    HELP = (
        "Makes a layer of the tiles in which zido works, each with the prompt that zido reads off it. Edit the field "
        "prompt, then give the layer to Upscale raster with prompts layer."
    )

    def initAlgorithm(self, configuration: Mapping[str, Any] | None = None) -> None:
        self.add_input()
        self.add_options([OPTIONS[name] for name in ASKED])
        polygons = QgsProcessing.SourceType.TypeVectorPolygon
        self.addParameter(QgsProcessingParameterFeatureSink(OUTPUT, "Tiles", polygons))

    def processAlgorithm(
        self, parameters: Mapping[str, Any], context: QgsProcessingContext, feedback: QgsProcessingFeedback
    ) -> dict[str, Any]:
        grid = Grid.of(self.source)
        window = self.window(grid, parameters, context)
        sink, output = self.parameterAsSink(parameters, OUTPUT, context, fields(), QgsWkbTypes.Type.Polygon, self.crs)
        if sink is None:
            raise QgsProcessingException(self.invalidSinkError(parameters, OUTPUT))
        with self.read_from(window, feedback) as source:
            tiles = self._tiles(source, feedback)
        for tile in tiles:
            sink.addFeature(tile_feature(tile["properties"], grid, window), QgsFeatureSink.Flag.FastInsert)
        feedback.pushInfo(f"{len(tiles)} tiles")
        return {OUTPUT: output}

    def _tiles(self, source: str, feedback: QgsProcessingFeedback) -> list[dict[str, Any]]:
        """The features of the file of prompts that a worker saves."""
        with tempfile.TemporaryDirectory(prefix="zido-", dir=QgsProcessingUtils.tempFolder()) as folder:
            path = os.path.join(folder, "tiles.geojson")
            self.engine.run(Tag(input=source, output=path, options=self.options), feedback)
            with open(path, encoding="utf-8") as file:
                document: dict[str, Any] = json.load(file)
        return list(document["features"])
