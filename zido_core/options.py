"""Every option, once: Python, command line, forms, Processing and the manifest all derive from these fields.

``Options`` is what a user says and may be partial: None leaves the choice to the preset, the model or the
input. ``resolve`` makes the full set that a run works with and that is written into its output. Sizes are
output pixels at the model's native scale.
"""

# ruff: noqa: RUF009 - option() makes a dataclass field

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from .assurance import Assurance
from .catalog import (
    DEFAULT_MODEL,
    ColorFix,
    Consistency,
    FusionMethod,
    Kind,
    ModelDescriptor,
    Preset,
    SamplerName,
    SizeConditioning,
    Start,
    TaggerName,
    TileWeights,
    describe,
)
from .defaults import check_tiles, defaults_of
from .errors import InvalidOptions
from .machine import Machine
from .option_spec import OptionSpec, jsonable, option, specs_of
from .steering import Steering, settle
from .workforce import Workforce

ExtraBands = Literal["bicubic", "detail", "drop"]
DataType = Literal["uint8", "int8", "uint16", "int16", "uint32", "int32", "float32", "float64"]

_NUMBER = r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?"


# An option stays a paragraph:
# fmt: off
@dataclass(frozen=True, kw_only=True)
class Options(Machine, Workforce, Assurance, Steering):
    """What a user says. Values are checked, and brought into their type, when the object is made."""

    scale: float | None = option(
        None, group="main", minimum=1, maximum=8, unit="times", short="-s",
        help="how many times larger", effect="larger takes more time and invents more",
    )
    """Output pixels per input pixel along a side, 1 to 8; None: the model's native factor."""

    model: str = option(
        DEFAULT_MODEL, group="main", short="-m", metavar="NAME",
        help="which model; `zido models` lists them",
    )
    """Name in the catalogue."""

    model_dir: str | None = option(
        None, group="main", advanced=True, metavar="FOLDER", result=False,
        help="folder with the model's files, for those that you got yourself",
    )
    """Path of that folder; None: the model is embedded, or in the store."""

    preset: Preset = option(
        "balanced", group="main", short="-p",
        help="a set of good values", effect="quality is slowest; preview is quickest and uses no diffusion",
    )
    """Values for what is not set otherwise; see ``ModelDescriptor.presets``."""

    fidelity: float | None = option(
        None, group="main", minimum=0, maximum=1,
        help="how close to the input", effect="0: most detail, invented; 1: only what is certain",
    )
    """Blend of certain (1) and synthesised (0) detail, 0 to 1; None: the model's own."""

    prompt: str = option("", group="prompts", help="what the picture shows, added to every tile's own prompt")
    """Free text; empty: the tagger's words alone."""

    negative_prompt: str | None = option(
        None, group="prompts", advanced=True,
        help="what it should not look like; needs guidance above 1",
    )
    """Free text; None: the model's own."""

    prompts: str | None = option(
        None, group="prompts", metavar="local|global|none|FILE",
        help="a prompt for each tile, one for all, none, or read from a file",
    )
    """``local``, ``global``, ``none`` or the path of a GeoJSON/JSON file; None: the model's own."""

    tagger: TaggerName | None = option(
        None, group="prompts", advanced=True,
        help="what reads the prompts off the image",
    )
    """Name of the tagger; None: the model's own."""

    tagger_dir: str | None = option(
        None, group="prompts", advanced=True, metavar="FOLDER", result=False,
        help="folder with the files of a tagger that is a network: dape, clip, caption",
    )
    """Path of that folder; None: that of the model."""

    save_prompts: str | None = option(
        None, group="prompts", metavar="FILE", result=False,
        help="write the prompts of all tiles to this GeoJSON file; edit it and give it to --prompts",
    )
    """Path of the GeoJSON file to write; None: none."""

    fusion: FusionMethod | None = option(
        None, group="tiling", advanced=True,
        help="how predictions of overlapping tiles become one",
    )
    """Method of the sampler; None: the model's own."""

    tile_size: int | None = option(
        None, group="tiling", advanced=True, minimum=32, maximum=8192, unit="px",
        help="side of a tile", effect="larger sees more context and takes more memory",
    )
    """Side of a tile, px, a multiple of the model's ``tile_multiple``; None: the model's own."""

    tile_overlap: int | None = option(
        None, group="tiling", advanced=True, minimum=0, maximum=8191, unit="px",
        help="least overlap of neighbouring tiles", effect="more is smoother and slower",
    )
    """Least overlap, px, less than the tile; None: the model's share of the tile size."""

    tile_weights: TileWeights | None = option(
        None, group="tiling", advanced=True,
        help="how a tile fades towards its border",
    )
    """Weight of a tile's prediction over its area; None: what suits the fusion and the model."""

    tile_batch: int | None = option(
        None, group="tiling", advanced=True, minimum=1, maximum=1024, result=False,
        help="tiles computed at once", effect="faster on a GPU, more memory; the result is the same",
    )
    """Tiles per call of the network; None: what fits."""

    steps: int | None = option(
        None, group="sampling", minimum=1, maximum=1000,
        help="diffusion steps", effect="more is finer and slower",
    )
    """Number of diffusion steps; None: the model's own."""

    guidance_scale: float | None = option(
        None, group="sampling", minimum=0, maximum=30,
        help="how strongly prompts steer; 0 and 1 are off", effect="above 1 takes twice the time",
    )
    """Classifier-free guidance weight; None: the model's own."""

    start: Start | None = option(
        None, group="sampling", advanced=True,
        help="begin with the noisy input (lr) or with noise alone", effect="lr keeps colours and layout better",
    )
    """What the first step sees; None: the model's own."""

    strength: float | None = option(
        None, group="sampling", minimum=0.01, maximum=1,
        help="how much of the input is noised away, when sampling starts from it",
        effect="less stays closer to the input, and takes less time",
    )
    """Share of the steps that are done with ``start`` lr; None: the model's own."""

    sampler: SamplerName | None = option(
        None, group="sampling", advanced=True,
        help="how noise is taken away in steps; dpm++ and unipc need fewer",
    )
    """Solver of the diffusion; None: the model's own."""

    seed: int = option(0, group="sampling", minimum=0, maximum=2**31 - 1, help="same seed, same result")
    """Seed of all random numbers."""

    color_fix: ColorFix | None = option(None, group="radiometry", help="take the colours of the input")
    """Colour correction of the result; None: the model's own for this kind of image."""

    consistency: Literal["auto", "on", "local", "off"] = option(
        "auto", group="radiometry",
        help="make the mean of each block of output equal its input pixel; local: only means of neighbourhoods, which "
        "leaves the model free to remove noise; auto: on for rasters",
    )
    """Back-projection."""

    bands: tuple[int, ...] | None = option(
        None, group="radiometry", minimum=1, maximum=65535, metavar="R,G,B",
        help="bands that the model sees, one or three; auto: by colour interpretation",
    )
    """Band numbers from 1, one (gray) or three (red, green, blue); None: by colour interpretation."""

    extra_bands: ExtraBands = option(
        "bicubic", group="radiometry",
        help="the other bands: smooth enlargement, with detail from the first three, or left out",
    )
    """What happens to bands that the model does not see."""

    stretch: str = option(
        "auto", group="radiometry", advanced=True, metavar="HOW",
        pattern=rf"auto|none|minmax|s2|(percentile|range):{_NUMBER},{_NUMBER}",
        expected="auto, none, minmax, s2, percentile:LO,HI or range:LO,HI",
        help="which values the model sees as black and white, such as percentile:2,98 or range:0,3000",
    )
    """Which values map to 0 and 1; all values survive, the output has the input's range."""

    dtype: DataType | None = option(
        None, group="radiometry", advanced=True,
        help="data type of the output; auto: as the input",
    )
    """numpy name; None: the input's."""

    nodata: float | None = option(
        None, group="radiometry", advanced=True, metavar="VALUE",
        help="value that marks missing pixels; auto: as the input says",
    )
    """Value of missing pixels in input and output; None: the input's own, if any."""

    creation_options: tuple[str, ...] = option(
        (), group="output", advanced=True, short="-co", metavar="KEY=VALUE", result=False,
        pattern=r"[A-Za-z_][A-Za-z0-9_]*=.+", expected="KEY=VALUE, such as COMPRESS=ZSTD",
        help="GDAL creation option; may be repeated",
    )
    """GDAL creation options, ``KEY=VALUE`` each."""

    cog: bool = option(False, group="output", result=False, help="write a Cloud-Optimized GeoTIFF")
    """Write a COG instead of a plain tiled GeoTIFF."""

    overwrite: bool = option(False, group="output", result=False, help="replace an existing output")
    """Replace an existing output; else that is an error."""

    resume: bool = option(
        False, group="output", result=False,
        help="continue unfinished work, and leave alone what is finished",
    )
    """Continue an earlier run of the same job where it stopped; an output that is complete is left as it is."""

    keep_work: bool = option(
        False, group="output", advanced=True, result=False,
        help="keep the work folder OUTPUT.zido when the output is complete",
    )
    """Keep the folder with the blocks, which is removed otherwise."""

    manifest: str | None = option(
        None, group="output", advanced=True, metavar="FILE", result=False,
        help="write how it was made to this JSON file",
    )
    """Path of the JSON file to write; None: none. The output itself carries the same facts in any case."""

    dry_run: bool = option(False, group="output", result=False, help="say what it would take, and stop")
    """Plan and stop."""

    def __post_init__(self) -> None:
        for name, spec in OPTIONS.items():
            object.__setattr__(self, name, spec.convert(getattr(self, name)))
        describe(self.model)
        self.check_assurance()
        if self.bands is not None and len(self.bands) not in (1, 3):
            raise InvalidOptions(f"bands has {len(self.bands)} numbers; expected one or three, such as 4,3,2")

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Options:
        """Options from JSON-like values; an unknown name is answered with the nearest known one."""
        for name in values:
            if name not in OPTIONS:
                near = difflib.get_close_matches(name.replace("-", "_"), OPTIONS, n=1)
                hint = f"did you mean {near[0]!r}?" if near else "see `zido --help` for all options"
                raise InvalidOptions(f"there is no option {name!r}; {hint}")
        return cls(**values)

    def to_dict(self) -> dict[str, Any]:
        """JSON-like values of what differs from the defaults."""
        values = {name: getattr(self, name) for name in OPTIONS}
        return {name: jsonable(value) for name, value in values.items() if value != OPTIONS[name].default}

# fmt: on

OPTIONS: Mapping[str, OptionSpec] = specs_of(Options)
"""The specification of every option by name, in the order of forms and help texts."""


@dataclass(frozen=True, kw_only=True)
class ResolvedOptions(Options):
    """The full set that a run works with. None remains only where the input or the machine decides."""

    scale: float
    fidelity: float
    negative_prompt: str
    prompts: str
    tagger: TaggerName
    fusion: FusionMethod
    tile_size: int
    tile_overlap: int
    tile_weights: TileWeights
    steps: int
    guidance_scale: float
    start: Start
    strength: float
    sampler: SamplerName
    noise_level: int
    controlnet_conditioning_scale: float
    color_fix: ColorFix
    consistency: Consistency
    priors: str
    noise_guidance: int
    size_conditioning: SizeConditioning

    @property
    def diffuses(self) -> bool:
        """Whether diffusion is needed: the certain part of a result is there without it."""
        return self.fidelity < 1 or not describe(self.model).certain_at_one

    @property
    def tags(self) -> bool:
        """Whether a tagger looks at the image: at its tiles, or for what is said of all of it."""
        return self.prompts != "none" or (self.uses("rap", "rsp") and not self.prompt)

    @property
    def everywhere(self) -> str:
        """The user's words, unless tiles hear their own alone (C-Upscale, eq. 8)."""
        return "" if self.uses("rsp") and self.prompts != "none" else self.prompt

    def record(self) -> dict[str, Any]:
        """JSON-like values of all that can change the result: for the manifest and the output's tags."""
        return {name: jsonable(getattr(self, name)) for name, spec in OPTIONS.items() if spec.result}


def resolve(options: Options, descriptor: ModelDescriptor, kind: Kind) -> ResolvedOptions:
    """Fill in what the user left open: from the preset, then from the model's defaults for such images."""
    values = {name: getattr(options, name) for name in OPTIONS}
    values["model"] = descriptor.name
    if values["consistency"] == "auto":
        values["consistency"] = None
    own = defaults_of(descriptor, kind, tile_size=options.tile_size, fusion=options.fusion)
    for defaults in (descriptor.preset(options.preset), own):
        for name, value in defaults.items():
            if values[name] is None:
                values[name] = value
    if values["fusion"] == "spot":
        values["tile_overlap"] = 0
    settle(values, descriptor, said=options)
    resolved = ResolvedOptions(**values)
    check_tiles(descriptor, size=resolved.tile_size, overlap=resolved.tile_overlap)
    return resolved
