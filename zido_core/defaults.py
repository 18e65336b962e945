"""What a model does where nobody says anything, and which tiles it can do at all."""

from __future__ import annotations

from .catalog import FusionMethod, Kind, ModelDescriptor
from .errors import InvalidOptions


def defaults_of(
    descriptor: ModelDescriptor, kind: Kind, *, tile_size: int | None, fusion: FusionMethod | None
) -> dict[str, object]:
    """The model's own values of the options for such images, given what was said of tiles and fusion."""
    raster = kind == "raster"
    return {
        "scale": float(descriptor.native_scale),
        "fidelity": descriptor.fidelity,
        "negative_prompt": descriptor.negative_prompt,
        "prompts": descriptor.prompts,
        "tagger": descriptor.tagger,
        "fusion": descriptor.fusion,
        "tile_size": descriptor.tile_size,
        "tile_overlap": _overlap_for(tile_size or descriptor.tile_size, descriptor),
        "tile_weights": "gaussian" if fusion == "mixture" else descriptor.tile_weights,
        "steps": descriptor.steps,
        "guidance_scale": descriptor.guidance_scale,
        "start": descriptor.start,
        "strength": descriptor.strength,
        "sampler": descriptor.sampler,
        "noise_level": descriptor.noise_level,
        "controlnet_conditioning_scale": descriptor.controlnet_conditioning_scale,
        "noise_guidance": descriptor.noise_guidance,
        "priors": descriptor.own_priors,
        "timestep_spacing": descriptor.timestep_spacing,
        "size_conditioning": descriptor.size_conditioning,
        "color_fix": descriptor.color_fix_raster if raster else descriptor.color_fix_photo,
        "consistency": descriptor.consistency_raster if raster else descriptor.consistency_photo,
    }


def check_tiles(descriptor: ModelDescriptor, *, size: int, overlap: int) -> None:
    """Raise InvalidOptions, with a proposal, unless the model can do such tiles."""
    multiple, stride = descriptor.tile_multiple, descriptor.latent_stride
    if size % multiple:
        nearest = max(round(size / multiple), 1) * multiple
        raise InvalidOptions(
            f"tile_size is {size}; model {descriptor.name} needs a multiple of {multiple}: try {nearest}"
        )
    if overlap >= size:
        raise InvalidOptions(
            f"tile_overlap is {overlap} and tile_size {size}; the overlap must be smaller: try {size // 2}"
        )
    if overlap % stride:
        nearest = round(overlap / stride) * stride
        raise InvalidOptions(
            f"tile_overlap is {overlap}; model {descriptor.name} needs a multiple of {stride}: try {nearest}"
        )


def _overlap_for(tile_size: int, descriptor: ModelDescriptor) -> int:
    """The model's share of overlap for another tile size, in whole latents."""
    stride = descriptor.latent_stride
    return round(tile_size * descriptor.tile_overlap / descriptor.tile_size / stride) * stride
