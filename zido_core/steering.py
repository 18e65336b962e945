"""Options of what steers a diffusion besides prompts: C-Upscale's priors, times of steps, what networks are told."""

# ruff: noqa: RUF009 - option() makes a dataclass field

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any, get_args

from .catalog import ModelDescriptor, Prior, SizeConditioning, TimestepSpacing
from .errors import InvalidOptions
from .option_spec import option

NO_PRIORS = "none"
_PRIOR = "|".join(get_args(Prior))

PRIORS: dict[str, str] = {
    "gsp": "global structure prior",
    "rap": "regional attention prior",
    "rsp": "regional semantic prior",
}
"""Name -> the paper's."""


# An option stays a paragraph:
# fmt: off
@dataclass(frozen=True, kw_only=True)
class Steering:
    """What a user says of it."""

    priors: str | None = option(
        None, group="sampling", metavar="gsp,rap,rsp|none",
        pattern=rf"{NO_PRIORS}|({_PRIOR})(, ?({_PRIOR}))*",
        expected=f"some of {', '.join(get_args(Prior))} with commas between them, or {NO_PRIORS}",
        help="C-Upscale's priors: global structure, regional attention, regional semantics",
        effect="gsp works with every model of latents",
    )
    """Names with commas between them, or ``none``; None: the model's own."""

    structure_weight: float = option(
        0.2, group="sampling", advanced=True, minimum=0, maximum=2,
        help="step size of the global structure prior", effect="more keeps the layout of the input, and its blur",
    )
    """Eta of eq. 5 of C-Upscale, which falls along a cosine; 1 is all of the way at pure noise."""

    structure_levels: int = option(
        1, group="sampling", advanced=True, minimum=1, maximum=5,
        help="Haar levels of the global structure prior", effect="more hold on to coarser structure alone",
    )
    """How often the Haar transform is applied; the paper does not say, one is our reading."""

    noise_guidance: int | None = option(
        None, group="sampling", advanced=True, minimum=0, maximum=1000,
        help="in how many of the first steps the input itself leads, not the network (DeeDSR); with any model",
        effect="one keeps layout and colours; more gets nearer to the input, and its blur",
    )
    """Steps of noise guidance; None: the model's own."""

    timesteps: tuple[int, ...] | None = option(
        None, group="sampling", advanced=True, minimum=0, maximum=1000, metavar="T,T,...",
        help="training times of the steps, descending, for few-step models; takes the place of --steps",
    )
    """Training times, such as 999,749,499,249; None: spread by ``timestep_spacing``."""

    timestep_spacing: TimestepSpacing | None = option(
        None, group="sampling", advanced=True,
        help="how the steps are spread over the training times; few-step models want trailing",
    )
    """As in diffusers; None: the model's own, by its files."""

    noise_level: int | None = option(
        None, group="sampling", advanced=True, minimum=0, maximum=999,
        help="how much noise to expect in the input; for models that are told it, such as sd-x4",
        effect="more cleans a poor input, and invents more",
    )
    """Training time of the noise that the model's view of the input gets; None: the model's own."""

    controlnet_conditioning_scale: float | None = option(
        None, group="sampling", advanced=True, minimum=0, maximum=2,
        help="how strongly a ControlNet holds on to the input; for models that have one",
    )
    """Factor of the ControlNet's output; None: the model's own."""

    size_conditioning: SizeConditioning | None = option(
        None, group="sampling", advanced=True,
        help="what XL is told of a tile: that it is a picture of its own, or where it is cut out of the whole",
    )
    """``tile`` or ``crop``; None: the model's own."""

    def uses(self, *priors: Prior) -> bool:
        """Whether one of these priors is on."""
        return any(prior in _named(self.priors or NO_PRIORS) for prior in priors)

# fmt: on


def settle(values: dict[str, Any], descriptor: ModelDescriptor, *, said: Any) -> None:
    """Make resolved values agree with each other, in place; InvalidOptions where what was ``said`` cannot be."""
    chosen = _named(values["priors"])
    for prior in chosen:
        if prior not in descriptor.priors:
            raise InvalidOptions(
                f"priors is {values['priors']}; {descriptor.name} has no {PRIORS[prior]}: "
                f"choose {','.join(descriptor.priors) or NO_PRIORS}"
            )
    if values["tta"] and "rap" in chosen:
        raise InvalidOptions(
            "tta turns what the network sees, and the regional attention prior (rap) looks into it; leave one out"
        )
    values["priors"] = ",".join(prior for prior in PRIORS if prior in chosen) or NO_PRIORS
    if said.prompts is None and "rsp" in descriptor.own_priors.split(",") and "rsp" not in chosen:
        values["prompts"] = "none"  # every region hears the global prompt
    values["guidance_scale"] = values["guidance_scale"] or 1.0  # 0 is off, too, as in diffusers
    if not descriptor.hears_words:
        silent = {"prompt": "", "prompts": "none", "guidance_scale": 1.0}
        for name, value in silent.items():
            if values[name] != value:
                raise InvalidOptions(
                    f"{name} is {values[name]}; {descriptor.name} is told by images, not by words: leave it out"
                )
    times = values["timesteps"]
    if times is not None:
        if not times or any(first <= second for first, second in pairwise(times)):
            raise InvalidOptions(f"timesteps is {_written(times)}; expected descending times, such as 999,749,499,249")
        if said.steps not in (None, len(times)):
            raise InvalidOptions(f"steps is {said.steps}, and timesteps has {len(times)}; leave out one of them")
        values["steps"] = len(times)


def _named(priors: str) -> list[str]:
    return [] if priors == NO_PRIORS else [prior.strip() for prior in priors.split(",")]


def _written(times: tuple[int, ...]) -> str:
    return ",".join(map(str, times)) or "empty"
