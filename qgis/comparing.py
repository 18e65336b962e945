"""Compare an enlargement with its input: what was kept, as a page for Processing's viewer and as numbers."""

from __future__ import annotations

import json
import subprocess  # for the class of an error  # nosec B404
from collections.abc import Mapping
from html import escape
from typing import Any

from qgis.core import (
    QgsProcessingContext,
    QgsProcessingException,
    QgsProcessingFeedback,
    QgsProcessingOutputBoolean,
    QgsProcessingOutputNumber,
    QgsProcessingParameterFileDestination,
    QgsProcessingParameterRasterLayer,
)

from ..plugin.launch import new_log, spawn
from .hearing import asked_to_stop
from .layers import source_of
from .parameters import INPUT, in_parameter_names
from .raster_algorithm import Algorithm

RESULT, PAGE, KEPT, LARGEST = "RESULT", "OUTPUT_HTML_FILE", "KEPT", "LARGEST_DIFFERENCE"


class CompareAlgorithm(Algorithm):
    """``zido:compare``."""

    ID, TITLE = "compare", "Compare with input"
    HELP = (
        "Looks what an enlargement kept of its input: place, size, data type, nodata, and for each band how far the "
        "mean of the pixels that replace an input pixel lies from it. It says nothing about the detail, which is "
        "synthesised."
    )

    def initAlgorithm(self, configuration: Mapping[str, Any] | None = None) -> None:
        self.addParameter(QgsProcessingParameterRasterLayer(INPUT, "Input raster"))
        self.addParameter(QgsProcessingParameterRasterLayer(RESULT, "Upscaled raster"))
        page = QgsProcessingParameterFileDestination(PAGE, "Report", "HTML (*.html)", optional=True)
        self.addParameter(page)
        self.addOutput(QgsProcessingOutputBoolean(KEPT, "Everything was kept"))
        self.addOutput(QgsProcessingOutputNumber(LARGEST, "Largest difference of a block mean"))

    def prepareAlgorithm(
        self, parameters: Mapping[str, Any], context: QgsProcessingContext, feedback: QgsProcessingFeedback
    ) -> bool:
        self.sources = []
        for name in (INPUT, RESULT):
            layer = self.parameterAsRasterLayer(parameters, name, context)
            if layer is None:
                raise QgsProcessingException(self.invalidRasterError(parameters, name))
            self.sources.append(source_of(layer))
        return True

    def processAlgorithm(
        self, parameters: Mapping[str, Any], context: QgsProcessingContext, feedback: QgsProcessingFeedback
    ) -> dict[str, Any]:
        found = json.loads(self._ask(feedback))
        for finding in found["findings"]:
            say = feedback.pushInfo if finding["ok"] else feedback.pushWarning
            say(f"{finding['name']}: {finding['found']}")
        for band in found["bands"]:
            (feedback.pushInfo if band["ok"] else feedback.pushWarning)(band_text(band))
        page = self.parameterAsFileOutput(parameters, PAGE, context)
        if page:
            with open(page, "w", encoding="utf-8") as file:
                file.write(page_of(found))
        largest = [band["largest"] for band in found["bands"] if band["largest"] is not None]
        return {KEPT: found["ok"], LARGEST: max(largest, default=None), PAGE: page}

    def _ask(self, feedback: QgsProcessingFeedback) -> str:
        """What ``zido compare --json`` says of the two files."""
        log = new_log()
        command = [self.engine.python(), "-m", "zido_core", "compare", "--json", "--", *self.sources]
        process, stopped = spawn(command, log, {}), asked_to_stop(feedback)
        while True:
            try:
                answer, _ = process.communicate(timeout=0.1)
                break
            except subprocess.TimeoutExpired:
                if stopped():
                    process.kill()
                    process.communicate()
                    raise QgsProcessingException("zido: stopped on request") from None
        if process.returncode == 0:
            return answer.decode("utf-8")
        said = log.read_text(encoding="utf-8", errors="replace").strip().splitlines() if log is not None else []
        reason = said[-1] if said else f"zido compare ended with code {process.returncode}"
        raise QgsProcessingException(in_parameter_names(reason))


def band_text(band: Mapping[str, Any]) -> str:
    """A band in a line."""
    if band["mean"] is None:
        return f"band {band['band']}: no pixel is valid in both"
    return f"band {band['band']}: block means differ by {band['mean']:.4g} on average, {band['largest']:.4g} at most"


def page_of(found: Mapping[str, Any]) -> str:
    """The findings as a page; names of files and bands are anybody's text."""
    rows = [(each["ok"], each["name"], each["found"]) for each in found["findings"]]
    rows += [(each["ok"], "values", band_text(each)) for each in found["bands"]]
    cells = "".join(
        f"<tr><td>{'kept' if ok else '<b>changed</b>'}</td><td>{escape(name)}</td><td>{escape(text)}</td></tr>"
        for ok, name, text in rows
    )
    title = escape(f"{found['result']} against {found['input']}")
    return (
        f"<!DOCTYPE html><html><head><meta charset='utf-8'><title>{title}</title></head><body><h2>{title}</h2>"
        f"<table border='1' cellpadding='4' cellspacing='0'>{cells}</table>"
        "<p>Fine detail in the enlargement is synthesised: good to look at, not to measure.</p></body></html>"
    )
