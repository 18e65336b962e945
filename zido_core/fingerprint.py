"""All that a result depends on, as plain data: two runs with one fingerprint give one result.

Work is continued only under the fingerprint that it was begun with; where they differ, the key that differs is named.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from . import __version__
from .backbones.base import Backbone
from .prompts.base import tagger_weights
from .raster.mosaic import parts_of
from .raster.source import SourceInfo
from .setup import Setup

PACKAGES = ("torch", "diffusers", "transformers", "numpy", "rasterio", "pillow")
"""Packages whose versions may change a result."""

ENDS = 1 << 20
"""Bytes at either end of a large file that stand for it; a file of no more than both is read whole."""


def fingerprint(setup: Setup, backbone: Backbone[Any]) -> dict[str, Any]:
    """Of a run that is about to begin."""
    return {
        "input": input_facts(setup.info),
        "options": result_options(setup),
        "weights": backbone.weights_hash,
        "tagger": tagger_weights(setup.options) if setup.options.tags else None,
        "device": backbone.device.type,
        "blocks": {"block_size": setup.block_size, "count": len(setup.blocks)},
        "versions": {"zido": __version__, **dict(versions())},
    }


def identity(found: Mapping[str, Any]) -> str:
    """A hash of what a finished result depends on: neither when the input was copied nor what versions were used."""
    file = {name: value for name, value in found["input"].items() if name != "modified"}
    told = {"input": file, **{name: found[name] for name in ("options", "weights", "tagger", "device", "blocks")}}
    return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()


def difference(old: Mapping[str, Any], new: Mapping[str, Any]) -> str | None:
    """The first key that differs, with both values, in words; None where nothing does."""
    flat_old, flat_new = dict(_flat(old)), dict(_flat(new))
    for key in dict.fromkeys([*flat_old, *flat_new]):
        if flat_old.get(key) != flat_new.get(key):
            return f"{key} was {flat_old.get(key)} and is {flat_new.get(key)} now"
    return None


def input_facts(info: SourceInfo) -> dict[str, Any]:
    """What tells one input from another, without reading all of it."""
    facts: dict[str, Any] = {"name": info.name, "pixels": list(info.size), "bands": info.count, "dtype": info.dtype}
    if info.path is not None:
        status = info.path.stat()
        facts |= {"bytes": status.st_size, "modified": status.st_mtime_ns, "content": _content(info.path)}
        if info.driver == "VRT":
            parts = {str(part): part.stat() for part in parts_of(info.path)}
            facts["parts"] = {name: [found.st_size, found.st_mtime_ns] for name, found in parts.items()}
    return facts


def result_options(setup: Setup) -> dict[str, Any]:
    """The options that can change a byte of the output, with a hash for the file that one of them may name."""
    options = setup.options
    told = options.record() | {"creation_options": list(options.creation_options), "cog": options.cog}
    if os.path.isfile(options.prompts):
        told["prompts"] = f"{os.path.basename(options.prompts)} ({_content(Path(options.prompts))[:12]})"
    return told


def versions() -> Iterator[tuple[str, str]]:
    """Names and versions of the packages that count."""
    for name in PACKAGES:
        try:
            yield name, version(name)
        except PackageNotFoundError:
            continue


def _content(path: Path) -> str:
    """sha256 of a small file, or of both ends of a large one."""
    found = hashlib.sha256()
    with path.open("rb") as file:
        found.update(file.read(ENDS))
        file.seek(max(path.stat().st_size - ENDS, ENDS))
        found.update(file.read())
    return found.hexdigest()


def _flat(facts: Mapping[str, Any], before: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in facts.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{before}{key} ")
        else:
            yield f"{before}{key}", value
