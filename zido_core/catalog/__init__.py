"""What each model is, as plain data: paper, licence, sizes, defaults, presets, files.

Nothing is imported or loaded to answer these questions, so hosts can list models without torch. Each family of models
has a file; a new one is added to ``_ALL`` here.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from types import MappingProxyType

from ..errors import InvalidOptions
from .c_upscale import C_UPSCALE, C_UPSCALE_PIXART, C_UPSCALE_SD3, C_UPSCALE_SD15, C_UPSCALE_SD21
from .deedsr import DEEDSR
from .descriptor import (
    ColorFix,
    Consistency,
    FusionMethod,
    Kind,
    ModelDescriptor,
    Offload,
    Precision,
    Preset,
    Prior,
    SamplerName,
    SizeConditioning,
    Start,
    TaggerName,
    TileWeights,
    TimestepSpacing,
    VaeMode,
)
from .embedded import MINI
from .seesr import SEESR, SEESR_TURBO, ZIDO
from .stable_diffusion import SD15, SD21, SD_X4, SDXL
from .stablesr import STABLESR, STABLESR_768V, STABLESR_TURBO

__all__ = [
    "C_UPSCALE",
    "C_UPSCALE_PIXART",
    "C_UPSCALE_SD3",
    "C_UPSCALE_SD15",
    "C_UPSCALE_SD21",
    "DEEDSR",
    "DEFAULT_MODEL",
    "MINI",
    "MODELS",
    "SD15",
    "SD21",
    "SDXL",
    "SD_X4",
    "SEESR",
    "SEESR_TURBO",
    "STABLESR",
    "STABLESR_768V",
    "STABLESR_TURBO",
    "ZIDO",
    "ColorFix",
    "Consistency",
    "FusionMethod",
    "Kind",
    "ModelDescriptor",
    "Offload",
    "Precision",
    "Preset",
    "Prior",
    "SamplerName",
    "SizeConditioning",
    "Start",
    "TaggerName",
    "TileWeights",
    "TimestepSpacing",
    "VaeMode",
    "describe",
]

_ALL = (
    *(MINI, ZIDO, SEESR, SEESR_TURBO, STABLESR, STABLESR_768V, STABLESR_TURBO, DEEDSR),
    *(SD_X4, SD15, SD21, SDXL),
    *(C_UPSCALE, C_UPSCALE_SD15, C_UPSCALE_SD21, C_UPSCALE_PIXART, C_UPSCALE_SD3),
)
MODELS: Mapping[str, ModelDescriptor] = MappingProxyType({model.name: model for model in _ALL})
"""All models by name, in the order in which lists show them."""

DEFAULT_MODEL = MINI.name


def describe(name: str) -> ModelDescriptor:
    """The model of that name; an unknown name is answered with the nearest known one."""
    try:
        return MODELS[name]
    except KeyError:
        near = difflib.get_close_matches(name, MODELS, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else f"; known models: {', '.join(MODELS)}"
        raise InvalidOptions(f"there is no model {name!r}{hint}") from None
