"""Prompts of tiles as features of a layer, and a layer's features as the file of prompts that a worker reads.

The file is in pixels of what the worker reads, so that no reference system can be misunderstood.
"""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
from collections.abc import Iterator, Mapping
from typing import Any

from qgis.core import (
    QgsCoordinateReferenceSystem,
    QgsFeature,
    QgsFeatureRequest,
    QgsFeatureSource,
    QgsField,
    QgsFields,
    QgsGeometry,
    QgsPointXY,
    QgsProcessingContext,
    QgsProcessingException,
    QgsProcessingFeedback,
    QgsProcessingUtils,
)
from qgis.PyQt.QtCore import QVariant

from .cropping import Grid, Window

PROMPTS_LAYER, FIELD = "PROMPTS_LAYER", "FIELD"
NUMBERS = ("tile", "row", "col", "height", "width")
TEXTS = ("prompt", "negative", "source", "tags")
"""Properties of a tile in a file of prompts, which are the fields of the layer."""


def fields() -> QgsFields:
    """The fields of a layer of tiles."""
    found = QgsFields()
    for names, kind in ((NUMBERS, QVariant.Int), (TEXTS, QVariant.String)):
        for name in names:
            found.append(QgsField(name, kind))
    return found


def tile_feature(properties: Mapping[str, Any], grid: Grid, window: Window | None) -> QgsFeature:
    """A tile in a worker's file as a feature; it is placed by its pixels, which are those of the window."""
    values = dict(properties)
    if window is not None:
        values |= {"row": values["row"] + window.row, "col": values["col"] + window.col}
    top, left = values["row"], values["col"]
    bottom, right = top + values["height"], left + values["width"]
    ring = [(left, top), (right, top), (right, bottom), (left, bottom), (left, top)]
    feature = QgsFeature(fields())
    feature.setGeometry(QgsGeometry.fromPolygonXY([[QgsPointXY(*grid.to_place(*corner)) for corner in ring]]))
    values["tags"] = json.dumps(values["tags"], ensure_ascii=False)
    feature.setAttributes([values.get(name) for name in (*NUMBERS, *TEXTS)])
    return feature


@contextlib.contextmanager
def prompts_file(
    source: QgsFeatureSource,
    field: str,
    grid: Grid,
    window: Window | None,
    crs: QgsCoordinateReferenceSystem,
    context: QgsProcessingContext,
    feedback: QgsProcessingFeedback,
) -> Iterator[str]:
    """A file with the polygons that have a prompt, while it is needed."""
    if source is None or source.fields().lookupField(field) < 0:
        known = ", ".join(source.fields().names()) if source is not None else "there is no such layer"
        raise QgsProcessingException(f"zido: the prompts layer has no field {field!r}; choose one of: {known}")
    request = QgsFeatureRequest().setDestinationCrs(crs, context.transformContext())
    drawn = [feature for feature in source.getFeatures(request) if _text(feature[field])]
    silent = source.featureCount() - len(drawn)
    if not drawn:
        what = f"no feature of the prompts layer has text in its field {field!r}"
        raise QgsProcessingException(f"zido: {what}; write prompts there, or choose another field or layer")
    if silent > 0:
        feedback.pushInfo(f"{silent} features without a prompt are left out; zido reads their tiles itself")
    with tempfile.TemporaryDirectory(prefix="zido-", dir=QgsProcessingUtils.tempFolder()) as folder:
        path = os.path.join(folder, "prompts.geojson")
        features = [_member(feature, field, grid, window) for feature in drawn]
        document = {"type": "FeatureCollection", "zido": {"coordinates": "pixels"}, "features": features}
        with open(path, "w", encoding="utf-8") as file:
            json.dump(document, file, ensure_ascii=False)
        yield path


def _member(feature: QgsFeature, field: str, grid: Grid, window: Window | None) -> dict[str, Any]:
    """A feature as GeoJSON, in pixels of the window."""
    top, left = (window.row, window.col) if window is not None else (0, 0)

    def moved(point: QgsPointXY) -> list[float]:
        col, row = grid.to_pixel(point.x(), point.y())
        return [col - left, row - top]

    geometry = QgsGeometry(feature.geometry())
    geometry.convertToMultiType()
    rings = [[[moved(point) for point in ring] for ring in polygon] for polygon in geometry.asMultiPolygon()]
    names = set(feature.fields().names())
    properties = {name: _plain(feature[name]) for name in (*NUMBERS, *TEXTS) if name in names}
    if properties.get("row") is not None and properties.get("col") is not None:
        properties |= {"row": properties["row"] - top, "col": properties["col"] - left}
    properties["prompt"] = _text(feature[field])
    return {
        "type": "Feature",
        "properties": properties,
        "geometry": {"type": "MultiPolygon", "coordinates": rings} if rings else None,
    }


def _plain(value: Any) -> Any:
    """What JSON can hold; QGIS has a NULL of its own."""
    return value if isinstance(value, int | float | str) else None


def _text(value: Any) -> str:
    return value.strip() if isinstance(value, str) else ""
