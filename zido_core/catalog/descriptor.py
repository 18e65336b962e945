"""What is said of a model: the values that options take, and the fields of its entry."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal

from ..model_files import ModelFile

Kind = Literal["raster", "photo"]
"""Where an image comes from: georeferenced data, or a camera. Some defaults differ."""

Preset = Literal["quality", "balanced", "fast", "preview"]
FusionMethod = Literal["multidiffusion", "mixture", "spot", "spot-hybrid"]
TileWeights = Literal["uniform", "gaussian", "cosine"]
TaggerName = Literal["scene", "dape", "clip", "caption", "none"]
ColorFix = Literal["none", "adain", "wavelet", "lab"]
Start = Literal["lr", "noise"]
SamplerName = Literal["ddim", "ddpm", "euler", "dpm++", "unipc"]
Consistency = Literal["on", "local", "off"]
Precision = Literal["auto", "fp32", "bf16", "fp16"]
VaeMode = Literal["exact", "fast", "off"]
Offload = Literal["none", "model"]
Prior = Literal["gsp", "rap", "rsp"]
"""C-Upscale's priors: global structure, regional attention, regional semantics."""

TimestepSpacing = Literal["leading", "trailing", "linspace"]
SizeConditioning = Literal["tile", "crop"]

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

    noise_guidance: int = 0
    """In how many of the first steps the noise is what the input leaves of the latents (DeeDSR)."""

    hears_words: bool = True
    """Whether prompts and their guidance mean anything to it."""

    priors: tuple[Prior, ...] = ("gsp", "rsp")
    """Which of C-Upscale's priors the model can do."""

    own_priors: str = "none"
    """Those that are on, with commas between them, where nobody says anything."""

    timestep_spacing: TimestepSpacing | None = None
    """How the steps are spread over the training times; None: as its files say."""

    size_conditioning: SizeConditioning = "tile"
    """Whether XL is told that a tile is a picture of its own, or where it is cut out of the whole."""

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

    consistency_raster: Consistency = "on"
    """Back-projection for georeferenced data: the mean of each output block equals its input pixel."""

    consistency_photo: Consistency = "off"
    """Back-projection for photographs."""

    precisions: Mapping[str, Precision]
    """The precision that ``auto`` means for each kind of device: cpu, cuda, mps; fp32 where bf16 is not in hardware."""

    bytes_per_pixel: int
    """Working memory per input pixel of a block, measured."""

    picture_work: int = 7
    """Work besides the sampling, in looks of the denoiser at the canvas: words and hint 1, encoding about 2, decoding
    about 4 (Stable Diffusion's, by their multiplications; the autoencoder's float32 makes up for the rest)."""

    bytes_per_latent: int = 64_000
    """Working memory of the denoiser per latent pixel of a tile, in single precision; estimated from the widths of
    Stable Diffusion's layers: its skip connections, a ControlNet's, and the widest pair of maps in work."""

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
