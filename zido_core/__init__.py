"""zido: diffusion upscaling with a local prompt for every tile, for georeferenced rasters and photographs.

Nothing heavy is imported here; the public names come in when they are first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .options import Options
    from .pipeline import Upscaler, UpscaleResult, plan, tag, upscale

__version__ = "0.1.0"

__all__ = ["Options", "UpscaleResult", "Upscaler", "__version__", "plan", "tag", "upscale"]

_HOMES = {
    "Options": "options",
    "UpscaleResult": "pipeline",
    "Upscaler": "pipeline",
    "plan": "pipeline",
    "tag": "pipeline",
    "upscale": "pipeline",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f".{_HOMES[name]}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
