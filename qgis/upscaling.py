"""Upscale a raster layer, with the prompts that zido finds or with those of a layer."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from qgis.core import (
    QgsProcessing,
    QgsProcessingContext,
    QgsProcessingFeedback,
    QgsProcessingParameterFeatureSource,
    QgsProcessingParameterField,
    QgsProcessingParameterRasterDestination,
)

from ..zido_core.job import Job
from .cropping import Grid, Window
from .layers import Restyle, Style
from .parameters import INPUT, OUTPUT, asked
from .prompt_layer import FIELD, PROMPTS_LAYER, prompts_file
from .raster_algorithm import RasterAlgorithm

RESULT = "Upscaled"
"""What Processing calls the result unless somebody chose a name."""


class UpscaleAlgorithm(RasterAlgorithm):
    """``zido:upscale``."""

    ID, TITLE = "upscale", "Upscale raster"
    HELP = (
        "Makes a raster finer by tiled diffusion, with a prompt of its own for every tile. Georeferencing, data type, "
        "nodata, bands and tags are kept. Fine detail is synthesised: good to look at, not to measure."
    )
    LEFT_OUT: tuple[str, ...] = ()

    def initAlgorithm(self, configuration: Mapping[str, Any] | None = None) -> None:
        self.add_input()
        self.add_prompts()
        self.add_options(asked(without=self.LEFT_OUT))
        self.addParameter(QgsProcessingParameterRasterDestination(OUTPUT, RESULT))

    def add_prompts(self) -> None:
        """Where prompts come from, besides the options."""

    def prepareAlgorithm(
        self, parameters: Mapping[str, Any], context: QgsProcessingContext, feedback: QgsProcessingFeedback
    ) -> bool:
        super().prepareAlgorithm(parameters, context, feedback)
        self.style = Style(self.parameterAsRasterLayer(parameters, INPUT, context))
        return True

    def processAlgorithm(
        self, parameters: Mapping[str, Any], context: QgsProcessingContext, feedback: QgsProcessingFeedback
    ) -> dict[str, Any]:
        output = self.parameterAsOutputLayer(parameters, OUTPUT, context)
        grid = Grid.of(self.source)
        window = self.window(grid, parameters, context)
        options = replace(self.options, overwrite=True)
        with (
            self.read_from(window, feedback) as source,
            self.prompts(grid, window, parameters, context, feedback) as prompts,
        ):
            if prompts is not None:
                options = replace(options, prompts=prompts)
            done = self.engine.run(Job(input=source, output=output, options=options), feedback)
        self.announce(output, context)
        named = {spec.name.upper(): getattr(options, spec.name) for spec in self.specs if spec.metavar == "FILE"}
        files = {name: path for name, path in named.items() if path and self.outputDefinition(name)}
        return {**files, OUTPUT: done.output or output}

    @contextlib.contextmanager
    def prompts(
        self,
        grid: Grid,
        window: Window | None,
        parameters: Mapping[str, Any],
        context: QgsProcessingContext,
        feedback: QgsProcessingFeedback,
    ) -> Iterator[str | None]:
        """A file of prompts for this run, where there is one."""
        yield None

    def announce(self, output: str, context: QgsProcessingContext) -> None:
        """Name and draw the result, if it is to be loaded."""
        if not context.willLoadLayerOnCompletion(output):
            return
        details = context.layerToLoadOnCompletionDetails(output)
        if details.name == RESULT:
            details.name = f"{self.layer_name} (upscaled)"
        details.setPostProcessor(Restyle(self.style))


class PromptedAlgorithm(UpscaleAlgorithm):
    """``zido:upscalewithprompts``."""

    ID, TITLE = "upscalewithprompts", "Upscale raster with prompts layer"
    HELP = (
        "As Upscale raster, with prompts from a polygon layer: the edited result of Tag tiles, or polygons that you "
        "have drawn. A polygon that covers more than half of a tile speaks for it; a smaller one is added to its "
        "prompt."
    )
    LEFT_OUT = ("prompts",)

    def add_prompts(self) -> None:
        polygons = [QgsProcessing.SourceType.TypeVectorPolygon]
        self.addParameter(QgsProcessingParameterFeatureSource(PROMPTS_LAYER, "Prompts layer", polygons))
        field = QgsProcessingParameterField(
            FIELD, "Field with the prompt", "prompt", PROMPTS_LAYER, QgsProcessingParameterField.DataType.String
        )
        self.addParameter(field)

    @contextlib.contextmanager
    def prompts(
        self,
        grid: Grid,
        window: Window | None,
        parameters: Mapping[str, Any],
        context: QgsProcessingContext,
        feedback: QgsProcessingFeedback,
    ) -> Iterator[str | None]:
        source = self.parameterAsSource(parameters, PROMPTS_LAYER, context)
        field = self.parameterAsString(parameters, FIELD, context)
        with prompts_file(source, field, grid, window, self.crs, context, feedback) as path:
            yield path
