"""What each model is, as plain data: paper, licence, sizes, defaults, presets, files.

Nothing is imported or loaded to answer these questions, so hosts can list models without torch.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Literal

from .errors import InvalidOptions
from .model_files import SEESR_FILES, ModelFile, base_files, stablesr_files

Kind = Literal["raster", "photo"]
"""Where an image comes from: georeferenced data, or a camera. Some defaults differ."""

Preset = Literal["quality", "balanced", "fast", "preview"]
FusionMethod = Literal["multidiffusion", "mixture", "spot", "spot-hybrid"]
TileWeights = Literal["uniform", "gaussian", "cosine"]
TaggerName = Literal["scene", "dape", "clip", "caption", "none"]
ColorFix = Literal["none", "adain", "wavelet", "lab"]
Start = Literal["lr", "noise"]
SamplerName = Literal["ddim", "ddpm", "euler", "dpm++", "unipc"]
Switch = Literal["auto", "on", "off"]
Precision = Literal["auto", "fp32", "bf16", "fp16"]
VaeMode = Literal["exact", "fast", "off"]

NO_OVERRIDES: Mapping[str, object] = MappingProxyType({})


@dataclass(frozen=True, kw_only=True)
class ModelDescriptor:
    """A model and its own defaults. All sizes are output pixels at the native scale."""

    name: str
    """What ``--model`` takes."""

    title: str
    """One line for lists and menus."""

    paper: str
    """Where the method comes from."""

    citation: str
    """Authors, year, identifier."""

    licence: str
    """SPDX identifier or name of the licence of the weights."""

    commercial: bool
    """Whether the licence of the weights allows commercial use; if not, a notice is shown."""

    native_scale: int
    """Factor the network works at; other scales are resampled exactly from it."""

    tile_size: int
    """Side of a tile."""

    tile_overlap: int
    """Least overlap of neighbouring tiles."""

    tile_multiple: int
    """A tile's side is a multiple of this, because the network halves it several times."""

    latent_stride: int
    """Output pixels per latent pixel; the overlap is a multiple of this."""

    least_side: int = 0
    """The canvas is filled up to so many pixels a side, for networks that know nothing smaller."""

    tile_weights: TileWeights
    """How a tile's prediction fades towards its border."""

    fusion: FusionMethod
    """How the predictions of overlapping tiles become one."""

    steps: int
    """Diffusion steps."""

    guidance_scale: float
    """Weight of the prompts; 1 means no guidance, which halves the work."""

    start: Start = "noise"
    """What sampling starts from: the noisy input or noise alone."""

    strength: float = 1.0
    """Share of the steps that are done when sampling starts from the noisy input."""

    sampler: SamplerName = "ddim"
    """How noise is taken away in steps."""

    noise_level: int = 0
    """Noise that the model is told of and gets with its input, as a training time; for models that know it."""

    controlnet_conditioning_scale: float = 1.0
    """Factor of the ControlNet's output, for models that have one."""

    fidelity: float
    """0 keeps all that the diffusion invents, 1 only what is certain."""

    certain_at_one: bool = True
    """Whether fidelity 1 needs no diffusion; if not, it is what a decoder mixes in of the input at the most."""

    prompts: str
    """``local``, ``global`` or ``none``."""

    negative_prompt: str
    """What the guidance moves away from."""

    prompt_suffix: str = ""
    """What every prompt ends with, after the tagger's and the user's words."""

    tagger: TaggerName
    """What reads the prompts off the image."""

    color_fix_raster: ColorFix
    """Colour correction for georeferenced data."""

    color_fix_photo: ColorFix
    """Colour correction for photographs."""

    consistency_raster: Literal["on", "off"] = "on"
    """Back-projection for georeferenced data: the mean of each output block equals its input pixel."""

    consistency_photo: Literal["on", "off"] = "off"
    """Back-projection for photographs."""

    precisions: Mapping[str, Precision]
    """The precision that ``auto`` means for each kind of device: cpu, cuda, mps."""

    bytes_per_pixel: int
    """Working memory per input pixel of a block, measured."""

    weight_bytes: int = 0
    """Memory of the loaded weights in half precision."""

    memory: str
    """Memory needed, for people."""

    base: str = ""
    """Name of the model that it stands on, and of that one's folder; empty for models of their own."""

    files: tuple[ModelFile, ...]
    """What must be on disk."""

    presets: Mapping[Preset, Mapping[str, object]] = field(default_factory=dict)
    """Option values of each preset; a preset without an entry is the model's own defaults."""

    def preset(self, name: Preset) -> Mapping[str, object]:
        """Option values that this preset changes from the model's own defaults."""
        return self.presets.get(name, NO_OVERRIDES)


MINI = ModelDescriptor(
    name="mini",
    title="Embedded small model: works offline, also without a GPU",
    paper="ZIDO, section 6: a regression model first, local diffusion on what it leaves",
    citation="Moser, Frolov, Nauen, Raue, Dengel: Zoomed In, Diffused Out (2024), arXiv:2411.12072",
    licence="MIT",
    commercial=True,
    native_scale=4,
    tile_size=576,
    tile_overlap=64,
    tile_multiple=32,
    latent_stride=4,
    tile_weights="cosine",
    fusion="multidiffusion",
    steps=4,
    guidance_scale=1.0,
    fidelity=0.25,
    prompts="local",
    negative_prompt="",
    tagger="scene",
    color_fix_raster="none",
    color_fix_photo="wavelet",
    precisions={"cpu": "fp32", "cuda": "bf16", "mps": "fp32"},
    bytes_per_pixel=1500,
    memory="under 2 GB, CPU or GPU",
    files=(ModelFile(path="weights/mini.safetensors", card="weights/mini.json", embedded=True),),
    presets={
        "quality": {"steps": 8},
        "fast": {"steps": 2},
        "preview": {"fidelity": 1.0},
    },
)

ZIDO = ModelDescriptor(
    name="zido",
    title="ZIDO: SeeSR with a prompt for every tile, the paper's method",
    paper="ZIDO, Algorithm 1: local degradation-aware prompts, MultiDiffusion",
    citation="Moser, Frolov, Nauen, Raue, Dengel: Zoomed In, Diffused Out (2024), arXiv:2411.12072",
    licence="Apache-2.0, on CreativeML-OpenRAIL++-M (Stable Diffusion 2)",
    commercial=True,
    native_scale=4,
    tile_size=512,
    tile_overlap=256,
    tile_multiple=64,
    latent_stride=8,
    least_side=512,
    tile_weights="uniform",
    fusion="multidiffusion",
    steps=50,
    guidance_scale=5.5,
    start="lr",
    sampler="ddpm",
    fidelity=0.0,
    prompts="local",
    negative_prompt="dotted, noise, blur, lowres, smooth",
    prompt_suffix="clean, high-resolution, 8k",
    tagger="dape",
    color_fix_raster="wavelet",
    color_fix_photo="adain",
    precisions={"cpu": "fp32", "cuda": "bf16", "mps": "fp16"},
    bytes_per_pixel=26_000,
    weight_bytes=5 * 2**30,
    memory="a GPU with about 8 GB (not measured)",
    base="stable-diffusion-2-base",
    files=(*SEESR_FILES, *base_files("stable-diffusion-2-base", unet=False)),
    presets={
        "fast": {"steps": 20},
        "preview": {"steps": 10, "guidance_scale": 1.0},
    },
)

SEESR = replace(
    ZIDO,
    name="seesr",
    title="SeeSR: one prompt for the whole image",
    paper="SeeSR: semantics-aware real-world super-resolution with a degradation-aware prompt extractor",
    citation="Wu, Yang, Sun, Zhang, Li, Zhang: SeeSR (CVPR 2024), arXiv:2311.16518",
    tile_size=768,
    tile_overlap=32,
    tile_weights="gaussian",
    prompts="global",
)

SEESR_TURBO = replace(
    SEESR,
    name="seesr-turbo",
    title="SeeSR on SD-Turbo: two steps",
    licence="Apache-2.0, on Stability AI Non-Commercial Research Community (SD-Turbo)",
    commercial=False,
    tile_overlap=256,
    steps=2,
    guidance_scale=1.0,
    base="sd-turbo",
    files=(*SEESR_FILES, *base_files("sd-turbo", unet=True)),
    presets={},
)

SD_X4 = ModelDescriptor(
    name="sd-x4",
    title="Stable Diffusion x4 upscaler: sees the input itself, takes its noise level",
    paper="High-resolution image synthesis with latent diffusion models, section 4.4",
    citation="Rombach, Blattmann, Lorenz, Esser, Ommer (CVPR 2022), arXiv:2112.10752",
    licence="CreativeML-OpenRAIL++-M",
    commercial=True,
    native_scale=4,
    tile_size=512,
    tile_overlap=128,
    tile_multiple=32,
    latent_stride=4,
    tile_weights="cosine",
    fusion="multidiffusion",
    steps=75,
    guidance_scale=9.0,
    noise_level=20,
    fidelity=0.0,
    prompts="local",
    negative_prompt="blurry, noise, lowres, jpeg artifacts",
    tagger="scene",
    color_fix_raster="wavelet",
    color_fix_photo="wavelet",
    precisions={"cpu": "fp32", "cuda": "bf16", "mps": "fp16"},
    bytes_per_pixel=26_000,
    weight_bytes=1_800 * 2**20,
    memory="a GPU with about 6 GB (not measured)",
    base="stable-diffusion-x4-upscaler",
    files=base_files("stable-diffusion-x4-upscaler", unet=True, low_res_scheduler=True),
    presets={"fast": {"steps": 25, "sampler": "dpm++"}, "preview": {"steps": 12, "sampler": "dpm++"}},
)

SD15 = replace(
    SD_X4,
    name="sd15",
    title="Stable Diffusion 1.5, image to image; holds on to the input by a tile ControlNet, if there is one",
    paper="High-resolution image synthesis with latent diffusion models; ControlNet: arXiv:2302.05543",
    licence="CreativeML-OpenRAIL-M",
    tile_multiple=64,
    latent_stride=8,
    steps=30,
    guidance_scale=6.0,
    start="lr",
    strength=0.3,
    noise_level=0,
    sampler="dpm++",
    prompt_suffix="highly detailed, sharp focus",
    weight_bytes=2_200 * 2**20,
    base="stable-diffusion-v1-5",
    files=base_files("stable-diffusion-v1-5", unet=True),
    presets={"fast": {"steps": 20}, "preview": {"steps": 20, "strength": 0.15}},
)

SD21 = replace(
    SD15,
    name="sd21",
    title="Stable Diffusion 2.1, image to image",
    licence="CreativeML-OpenRAIL++-M",
    tile_size=768,
    weight_bytes=2_600 * 2**20,
    memory="a GPU with about 8 GB (not measured)",
    base="stable-diffusion-2-1",
    files=base_files("stable-diffusion-2-1", unet=True),
)

SDXL = replace(
    SD15,
    name="sdxl",
    title="Stable Diffusion XL, image to image",
    paper="SDXL: improving latent diffusion models for high-resolution image synthesis",
    citation="Podell, English, Lacey, Blattmann, Dockhorn, Müller, Penna, Rombach (2023), arXiv:2307.01952",
    licence="CreativeML-OpenRAIL++-M",
    tile_size=1024,
    weight_bytes=7_000 * 2**20,
    memory="a GPU with about 12 GB (not measured)",
    base="stable-diffusion-xl-base-1.0",
    files=base_files("stable-diffusion-xl-base-1.0", unet=True, second_text=True),
)

STABLESR = replace(
    ZIDO,
    name="stablesr",
    title="StableSR: a time-aware encoder modulates Stable Diffusion; feature wrapping trades detail for fidelity",
    paper="Exploiting diffusion prior for real-world image super-resolution",
    citation="Wang, Yue, Zhou, Chan, Loy (IJCV 2024), arXiv:2305.07015",
    licence="S-Lab License 1.0 (non-commercial), on CreativeML-OpenRAIL++-M (Stable Diffusion 2.1)",
    commercial=False,
    tile_weights="gaussian",
    steps=200,
    guidance_scale=1.0,
    fidelity=0.5,
    certain_at_one=False,
    prompts="none",
    negative_prompt="3d, cartoon, anime, sketches, (worst quality:2), (low quality:2)",
    prompt_suffix="",
    tagger="none",
    bytes_per_pixel=32_000,
    weight_bytes=3 * 2**30,
    memory="a GPU with about 6 GB (not measured)",
    base="stable-diffusion-2-1-base",
    files=stablesr_files("stablesr", "stablesr_000117", "stable-diffusion-2-1-base"),
    presets={"fast": {"steps": 20, "sampler": "ddim"}, "preview": {"steps": 10, "sampler": "ddim", "fidelity": 0.0}},
)

STABLESR_768V = replace(
    STABLESR,
    name="stablesr-768v",
    title="StableSR on Stable Diffusion 2.1 for 768 pixels",
    tile_size=768,
    tile_overlap=384,
    least_side=768,
    fidelity=0.0,
    base="stable-diffusion-2-1",
    files=stablesr_files("stablesr-768v", "stablesr_768v_000139", "stable-diffusion-2-1"),
)

STABLESR_TURBO = replace(
    STABLESR,
    name="stablesr-turbo",
    title="StableSR on SD-Turbo: four steps",
    licence="S-Lab License 1.0 (non-commercial), on Stability AI Non-Commercial Research Community (SD-Turbo)",
    steps=4,
    base="sd-turbo",
    files=stablesr_files("stablesr-turbo", "stablesr_turbo", "sd-turbo"),
    presets={},
)

_ALL = (
    *(MINI, ZIDO, SEESR, SEESR_TURBO, STABLESR, STABLESR_768V, STABLESR_TURBO),
    *(SD_X4, SD15, SD21, SDXL),
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
