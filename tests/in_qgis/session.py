"""Run by the Python of QGIS: uses zido as a script would, and writes what it saw to a JSON file.

``session.py PLUGINS INPUT FOLDER``: the folder that holds the plugin, a raster, and where results go.
"""

from __future__ import annotations

import itertools
import json
import sys
import time
from pathlib import Path
from typing import Any

from osgeo import gdal
from qgis.core import (
    QgsApplication,
    QgsProcessingAlgRunnerTask,
    QgsProcessingContext,
    QgsProcessingException,
    QgsProcessingFeedback,
    QgsProcessingModelAlgorithm,
    QgsProcessingModelChildAlgorithm,
    QgsProcessingModelChildParameterSource,
    QgsProcessingModelParameter,
    QgsProcessingParameterRasterLayer,
    QgsProject,
    QgsRasterLayer,
    QgsVectorLayer,
)
from qgis.PyQt.QtCore import QEventLoop, QTimer

QUICK = {"SCALE": 2, "PRESET": "preview"}


class Log(QgsProcessingFeedback):
    """Keeps what is said."""

    def __init__(self) -> None:
        super().__init__(False)
        self.infos: list[str] = []
        self.shares: list[float] = []
        self.progressChanged.connect(self.shares.append)

    def pushInfo(self, info: str) -> None:
        self.infos.append(info)


def main(plugins: str, source: str, folder: str) -> None:
    sys.path[:0] = [plugins, "/usr/share/qgis/python/plugins"]
    application = QgsApplication([], True)
    application.setPrefixPath("/usr", True)
    application.initQgis()
    import zido
    from processing.core.Processing import Processing

    Processing.initialize()
    plugin = zido.classFactory(None)
    plugin.initProcessing()
    try:
        seen = Session(source, Path(folder)).all()
    finally:
        plugin.unload()
    seen["providers after unload"] = [each.id() for each in QgsApplication.processingRegistry().providers()]
    seen["foreign modules"] = sorted({"torch", "rasterio", "zido_core"} & set(sys.modules))
    (Path(folder) / "seen.json").write_text(json.dumps(seen), encoding="utf-8")
    QgsProject.instance().clear()
    application.exitQgis()


class Session:
    """One thing after another, all with the same worker."""

    def __init__(self, source: str, folder: Path) -> None:
        self.source, self.folder = source, folder

    def all(self) -> dict[str, Any]:
        """What was seen, by topic."""
        topics = [self.script, self.extent, self.extras, self.tags, self.prompts, self.compare, self.style, self.model]
        topics += [self.dialogs, self.gap]
        return {topic.__name__: topic() for topic in topics} | {"refusals": self.refusals()}

    def run(self, algorithm: str, feedback: QgsProcessingFeedback | None = None, **parameters: Any) -> dict[str, Any]:
        import processing

        return dict(processing.run(f"zido:{algorithm}", {"INPUT": self.source, **parameters}, feedback=feedback))

    def script(self) -> dict[str, Any]:
        """With values of Python's types."""
        log, output = Log(), str(self.folder / "script.tif")
        more = {"BANDS": [3, 2, 1], "CREATION_OPTIONS": "COMPRESS=DEFLATE|PREDICTOR=2", "SEED": 3}
        files = {"MANIFEST": str(self.folder / "manifest.json"), "SAVE_PROMPTS": str(self.folder / "saved.geojson")}
        result = self.run("upscale", log, OUTPUT=output, **QUICK, **more, **files)
        compression = gdal.Open(output).GetMetadataItem("COMPRESSION", "IMAGE_STRUCTURE")
        return {"result": result, "infos": log.infos, "shares": log.shares, "compression": compression}

    def extent(self) -> dict[str, Any]:
        """A part of the raster, given in another reference system."""
        layer = QgsRasterLayer(self.source, "part")
        box = layer.extent()
        box.scale(0.5)
        text = f"{box.xMinimum()},{box.xMaximum()},{box.yMinimum()},{box.yMaximum()} [{layer.crs().authid()}]"
        output = str(self.folder / "extent.tif")
        self.run("upscale", OUTPUT=output, EXTENT=text, **QUICK)
        self.part = text
        return {"box": [box.xMinimum(), box.yMinimum(), box.xMaximum(), box.yMaximum()], "output": output}

    def extras(self) -> dict[str, Any]:
        """A raster and a page beside the result."""
        names = {"OUTPUT": "sure.tif", "UNCERTAINTY": "spread.tif", "REPORT": "page.html"}
        files = {name: str(self.folder / file) for name, file in names.items()}
        result = self.run("upscale", EXTENT=self.part, SCALE=2, PRESET="fast", SAMPLES=2, **files)
        sizes = [gdal.Open(files[name]).RasterXSize for name in ("OUTPUT", "UNCERTAINTY")]
        return {"result": result, "files": files, "sizes": sizes}

    def tags(self) -> dict[str, Any]:
        """A layer of tiles, edited."""
        result = self.run("tagtiles", OUTPUT="memory:", TILE_SIZE=96, TILE_OVERLAP=32)
        self.tiles = result["OUTPUT"]
        features = list(self.tiles.getFeatures())
        self.tiles.startEditing()
        for feature in features:
            prompt = "water, smooth" if feature["tile"] == 0 else None
            self.tiles.changeAttributeValue(feature.id(), self.tiles.fields().lookupField("prompt"), prompt)
        box = self.tiles.extent()
        return {
            "saved": self.tiles.commitChanges(),
            "crs": self.tiles.crs().authid(),
            "prompts": [feature["prompt"] for feature in features],
            "fields": self.tiles.fields().names(),
            "box": [box.xMinimum(), box.yMinimum(), box.xMaximum(), box.yMaximum()],
        }

    def prompts(self) -> dict[str, Any]:
        """With the edited layer, and with polygons in another reference system."""
        drawn = QgsVectorLayer("MultiPolygon?crs=EPSG:4326&field=says:string", "drawn", "memory")
        import processing

        moved = processing.run(
            "native:reprojectlayer", {"INPUT": self.tiles, "TARGET_CRS": "EPSG:4326", "OUTPUT": "memory:"}
        )["OUTPUT"]
        drawn = moved
        manifests = []
        for name, layer in (("edited", self.tiles), ("moved", drawn)):
            path = str(self.folder / f"{name}.geojson")
            output = str(self.folder / f"{name}.tif")
            tiles = {"TILE_SIZE": 96, "TILE_OVERLAP": 32, "SAVE_PROMPTS": path}
            self.run("upscalewithprompts", PROMPTS_LAYER=layer, FIELD="prompt", OUTPUT=output, **QUICK, **tiles)
            manifests.append([each["properties"] for each in json.loads(Path(path).read_text())["features"]])
        return {"edited": manifests[0], "moved": manifests[1]}

    def compare(self) -> dict[str, Any]:
        """The result against its input."""
        page = str(self.folder / "report.html")
        return self.run("compare", RESULT=str(self.folder / "script.tif"), OUTPUT_HTML_FILE=page)

    def style(self) -> dict[str, Any]:
        """Into the project, drawn like the input."""
        import processing

        layer = QgsRasterLayer(self.source, "field")
        renderer = layer.renderer()
        renderer.setRedBand(2)
        stretch = renderer.redContrastEnhancement()
        if stretch is not None:
            stretch.setMinimumValue(111)
            stretch.setMaximumValue(2222)
        layer.setOpacity(0.5)
        QgsProject.instance().addMapLayer(layer)
        output = str(self.folder / "style.tif")
        processing.runAndLoadResults("zido:upscale", {"INPUT": layer, "OUTPUT": output, **QUICK})
        loaded = [each for each in QgsProject.instance().mapLayers().values() if each.source() == output]
        drawn = loaded[0].renderer()
        found = drawn.redContrastEnhancement()
        return {
            "name": loaded[0].name(),
            "red": drawn.redBand(),
            "stretch": [found.minimumValue(), found.maximumValue()] if found else None,
            "wanted": [111, 2222] if stretch is not None else None,
        }

    def model(self) -> dict[str, Any]:
        """As a step of a model."""
        model = QgsProcessingModelAlgorithm("test", "test")
        model.addModelParameter(
            QgsProcessingParameterRasterLayer("RASTER", "RASTER"), QgsProcessingModelParameter("RASTER")
        )
        child = QgsProcessingModelChildAlgorithm("zido:upscale")
        child.setChildId("up")
        child.addParameterSources("INPUT", [QgsProcessingModelChildParameterSource.fromModelParameter("RASTER")])
        for name, value in QUICK.items():
            child.addParameterSources(name, [QgsProcessingModelChildParameterSource.fromStaticValue(value)])
        model.addChildAlgorithm(child)
        context, feedback = QgsProcessingContext(), QgsProcessingFeedback()
        results, ok = model.run({"RASTER": self.source}, context, feedback)
        path = results["CHILD_RESULTS"]["up"]["OUTPUT"]
        return {"ok": ok, "width": gdal.Open(path).RasterXSize}

    def dialogs(self) -> dict[str, list[str]]:
        """Processing's own forms: the widgets that its parameters have got."""
        from processing.gui.AlgorithmDialog import AlgorithmDialog

        shown = {}
        for algorithm in QgsApplication.processingRegistry().providerById("zido").algorithms():
            dialog = AlgorithmDialog(algorithm.create(), False, None)
            dialog.resize(1000, 900)
            dialog.show()
            QgsApplication.processEvents()
            dialog.grab().save(str(self.folder / f"{algorithm.name()}.png"))
            shown[algorithm.name()] = sorted(dialog.mainWidget().wrappers)
            dialog.close()
        return shown

    def gap(self) -> dict[str, Any]:
        """How long the event loop stands still while a job runs in Processing's thread."""
        algorithm = QgsApplication.processingRegistry().createAlgorithmById("zido:upscale")
        context, feedback = QgsProcessingContext(), QgsProcessingFeedback()
        output = str(self.folder / "gap.tif")
        parameters = {"INPUT": self.source, "OUTPUT": output, "SCALE": 3, "PRESET": "fast"}
        loop, beats = QEventLoop(), [time.monotonic()]
        timer = QTimer()
        timer.timeout.connect(lambda: beats.append(time.monotonic()))
        timer.start(10)
        task = QgsProcessingAlgRunnerTask(algorithm, parameters, context, feedback)
        ended: list[bool] = []
        task.executed.connect(lambda ok, results: (ended.append(ok), loop.quit()))
        QgsApplication.taskManager().addTask(task)
        loop.exec()
        timer.stop()
        gaps = [after - before for before, after in itertools.pairwise(beats)]
        return {"ok": ended[0], "longest": max(gaps), "beats": len(gaps)}

    def refusals(self) -> dict[str, str]:
        """What is said where it cannot be done."""
        link = str(self.folder / "link.vrt")
        gdal.Translate(link, self.source, format="VRT")
        cases: dict[str, dict[str, Any]] = {
            "number": {"NODATA": "many"},
            "choice": {"TAGGER": "me"},
            "device": {"DEVICE": "toaster"},
            "vrt": {"INPUT": link},
            "outside": {"EXTENT": "0,1,0,1"},
            "bands": {"BANDS": [1, 2]},
            "tiles": {"TILE_SIZE": "96", "TILE_OVERLAP": "96"},
        }
        said = {}
        for name, parameters in cases.items():
            try:
                self.run("upscale", OUTPUT=str(self.folder / f"{name}.tif"), **QUICK, **parameters)
                said[name] = "no error"
            except QgsProcessingException as error:
                said[name] = str(error)
        return said


if __name__ == "__main__":
    main(*sys.argv[1:])
