"""Prompts files as they lie on disk: reading with every check, and atomic writing.

Accepted: a GeoJSON FeatureCollection (or one Feature) of Polygons and MultiPolygons; a JSON object
``{"prompt": ..., "negative": ...}`` or JSON string, and a ``.txt`` file: one prompt for the whole image.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn
from uuid import uuid4

import numpy as np

from ..errors import ConfigurationError, OutputFailed, OutputNotWritable
from .polygons import Polygon, Ring

MAX_BYTES = 50_000_000
"""Largest prompts file that is read."""


@dataclass(frozen=True, kw_only=True)
class Feature:
    """One feature of a prompts file, checked for form."""

    number: int
    """Position in the file, from 1: what messages call it."""

    polygons: tuple[Polygon, ...] | None
    """Polygons in the file's coordinates; empty for a null geometry, None for a prompt of the whole image."""

    properties: Mapping[str, Any]
    """Its properties as read."""


@dataclass(frozen=True, kw_only=True)
class PromptsFile:
    """What a prompts file holds."""

    path: Path
    """Where it was read, for messages."""

    features: tuple[Feature, ...]
    """At least one."""

    crs: str | None = None
    """Name in the ``crs`` member; None means longitude and latitude, or pixels for images without a place."""

    in_pixels: bool = False
    """Whether the file says that its coordinates are pixels."""

    def wrong(self, feature: Feature, problem: str) -> NoReturn:
        """Refuse the file because of a feature."""
        raise refusal(self.path, f"feature {feature.number}: {problem}")


def refusal(path: Path, problem: str) -> ConfigurationError:
    """The error of a prompts file that cannot be used."""
    return ConfigurationError(f"prompts file {path}: {problem}")


def read_file(path: Path) -> PromptsFile:
    """Read and check a prompts file."""
    text = _read_text(path)
    if path.suffix.casefold() == ".txt":
        return _whole_image(path, {"prompt": text})
    try:
        document = json.loads(text, parse_constant=_no_constant)
    except RecursionError:
        raise refusal(path, "nested too deeply; expected a GeoJSON FeatureCollection") from None
    except ValueError as error:
        what = f"not JSON ({error}); expected GeoJSON, or a .txt file with one prompt"
        raise refusal(path, what) from None
    if isinstance(document, str):
        return _whole_image(path, {"prompt": document})
    if isinstance(document, dict) and "type" not in document and "prompt" in document:
        return _whole_image(path, document)
    return _collection(path, document)


def _read_text(path: Path) -> str:
    try:
        size = path.stat().st_size
        if size > MAX_BYTES:
            raise refusal(path, f"{size / 1e6:.0f} MB; expected at most {MAX_BYTES / 1e6:.0f} MB, so simplify it")
        return path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise refusal(path, "not found; give local, global, none or the path of a GeoJSON file") from None
    except UnicodeDecodeError:
        raise refusal(path, "not text in UTF-8; expected GeoJSON") from None
    except OSError as error:
        raise refusal(path, f"cannot be read ({error.strerror})") from None


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON number")


def _whole_image(path: Path, properties: Mapping[str, Any]) -> PromptsFile:
    return PromptsFile(path=path, features=(Feature(number=1, polygons=None, properties=properties),))


def _collection(path: Path, document: Any) -> PromptsFile:
    kind = document.get("type") if isinstance(document, dict) else type(document).__name__
    if kind == "Feature":
        document = {"features": [document], "crs": document.get("crs")}
    elif kind != "FeatureCollection":
        raise refusal(path, f"found {kind!r:.60}; expected a GeoJSON FeatureCollection of polygons")
    features = document.get("features")
    if not isinstance(features, list) or not features:
        raise refusal(path, "no features; expected polygons with a 'prompt' property")
    extra = document.get("zido")
    return PromptsFile(
        path=path,
        features=tuple(_feature(path, number, each) for number, each in enumerate(features, start=1)),
        crs=_crs_name(path, document.get("crs")),
        in_pixels=isinstance(extra, dict) and extra.get("coordinates") == "pixels",
    )


def _crs_name(path: Path, member: Any) -> str | None:
    if member is None:
        return None
    properties = member.get("properties") if isinstance(member, dict) else None
    name = properties.get("name") if isinstance(properties, dict) else None
    if not isinstance(name, str):
        raise refusal(path, 'crs member not understood; expected {"type": "name", "properties": {"name": ...}}')
    return name


def _feature(path: Path, number: int, value: Any) -> Feature:
    def wrong(problem: str) -> ConfigurationError:
        return refusal(path, f"feature {number}: {problem}")

    if not isinstance(value, dict) or value.get("type") != "Feature":
        raise wrong("found something else than a GeoJSON Feature")
    properties = value.get("properties") or {}
    if not isinstance(properties, dict):
        raise wrong("properties are not an object")
    try:
        polygons = _polygons(value.get("geometry"))
    except ValueError as error:
        raise wrong(str(error)) from None
    return Feature(number=number, polygons=polygons, properties=properties)


def _polygons(geometry: Any) -> tuple[Polygon, ...]:
    if geometry is None:
        return ()
    kind = geometry.get("type") if isinstance(geometry, dict) else geometry
    if kind not in ("Polygon", "MultiPolygon"):
        raise ValueError(f"found geometry {kind!r:.60}; expected Polygon or MultiPolygon")
    coordinates = geometry.get("coordinates")
    parts = [coordinates] if kind == "Polygon" else coordinates
    if not isinstance(parts, list) or not parts:
        raise ValueError("polygon without coordinates")
    return tuple(_polygon(part) for part in parts)


def _polygon(rings: Any) -> Polygon:
    if not isinstance(rings, list) or not rings:
        raise ValueError("polygon without rings")
    return tuple(_ring(ring) for ring in rings)


def _ring(points: Any) -> Ring:
    if not isinstance(points, list) or len(points) < 4:
        raise ValueError("ring with fewer than four points")
    ring = np.array([_point(point) for point in points], np.float64)
    if not np.array_equal(ring[0], ring[-1]):
        raise ValueError("ring is not closed; its last point must repeat the first")
    return ring


def _point(point: Any) -> tuple[float, float]:
    numbers = point[:2] if isinstance(point, list) else ()
    if len(numbers) != 2 or any(isinstance(n, bool) or not isinstance(n, (int, float)) for n in numbers):
        raise ValueError(f"found point {point!r:.60}; expected [x, y]")
    try:
        x, y = float(numbers[0]), float(numbers[1])
    except OverflowError:
        x = y = math.inf
    if not (math.isfinite(x) and math.isfinite(y)):
        raise ValueError("coordinate is not a finite number")
    return x, y


def write_file(path: Path, document: Mapping[str, Any], features: Sequence[Mapping[str, Any]]) -> None:
    """Write a FeatureCollection, one feature per line, complete or not at all."""
    head = json.dumps({"type": "FeatureCollection", **document}, ensure_ascii=False, allow_nan=False)
    lines = ",\n".join(json.dumps(each, ensure_ascii=False, allow_nan=False) for each in features)
    text = f'{head[:-1]},\n"features": [\n{lines}\n]}}\n'
    part = path.with_name(f"{path.name}.{uuid4().hex[:8]}.part")
    try:
        with part.open("x", encoding="utf-8") as stream:
            stream.write(text)
            stream.flush()
            os.fsync(stream.fileno())
        part.replace(path)
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError, PermissionError) as error:
        what = f"cannot write prompts to {path}: {error.strerror}; choose another place"
        raise OutputNotWritable(what) from None
    except OSError as error:
        raise OutputFailed(f"writing prompts to {path} failed: {error.strerror}") from None
    finally:
        with suppress(OSError):
            part.unlink()
