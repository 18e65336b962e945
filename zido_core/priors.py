"""What steers the denoising of one region, as the options have it: C-Upscale's priors, DeeDSR's noise guidance.

C-Upscale's third prior, the regional semantic prior, is a prompt for every tile (``prompting``).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from .backbones.base import Backbone
from .catalog import describe
from .options import ResolvedOptions
from .prompts.base import Prompt
from .sampling.attention_prior import RegionalAttentionPrior
from .sampling.guidance import Guidance
from .sampling.network import Predictor
from .sampling.noise_guidance import NoiseGuidance
from .sampling.samplers import Sampler
from .sampling.structure_prior import GlobalStructurePrior
from .tiling.grid import Size, Tile, view_of
from .tiling.noise import VIEW, position_noise

if TYPE_CHECKING:
    from .backbones.regional import Regional


@dataclass(frozen=True, kw_only=True)
class Steered:
    """A region's network and what steers it."""

    predict: Predictor
    """The network."""
    retry: Predictor
    """The network in full precision."""
    guidance: Sequence[Guidance] = ()
    """Hooks of the loop."""


def look_work(canvas: Size, options: ResolvedOptions) -> int:
    """Latents that the network looks at in a step besides the tiles of a canvas, if all prompts tell of the whole."""
    if not options.uses("rap"):
        return 0
    model = describe(options.model)
    stride = model.latent_stride
    view = view_of(canvas, side=options.tile_size // stride, multiple=model.tile_multiple // stride)
    return view.height * view.width


@contextmanager
def steered(
    backbone: Backbone[Any],
    condition: Any,
    prompts: Sequence[Prompt],
    options: ResolvedOptions,
    *,
    sampler: Sampler,
    clean: Callable[[], Tensor],
    origin: tuple[int, int],
    first: int = 0,
    on_work: Callable[[int], None] = lambda _: None,
) -> Iterator[Steered]:
    """The network of a region under the priors that are on; within ``with`` its attention is listened to.

    ``prompts`` is the bank; ``clean`` gives the latents of the enlarged input, ``origin`` says where they begin on the
    whole canvas; ``first`` is the step that sampling starts with. ``on_work`` hears of what a prior has the network
    look at besides the tiles, in latents (``look_work`` in all).
    """
    guidance: list[Guidance] = []
    if options.noise_guidance:
        steps = range(first, first + options.noise_guidance)
        guidance.append(NoiseGuidance(schedule=sampler, clean=clean(), steps=frozenset(steps)))
    if options.uses("gsp"):
        guidance.append(_structure(sampler, clean(), options, origin))
    if not options.uses("rap") or not any(prompt.whole for prompt in prompts):
        yield Steered(
            predict=lambda *crops: backbone.predict(condition, *crops),
            retry=lambda *crops: backbone.predict_precisely(condition, *crops),
            guidance=guidance,
        )
        return
    # Only here: they bring diffusers along, which the embedded model does without.
    from .backbones.latent_model import LatentBackbone
    from .backbones.regional import Regional

    assert isinstance(backbone, LatentBackbone)
    regional = Regional(backbone, condition, prompts, options)
    guidance.append(_attention(sampler, regional, options.seed, on_work))
    with regional.listening:
        yield Steered(predict=regional.predict, retry=regional.predict_precisely, guidance=guidance)


def _structure(sampler: Sampler, clean: Tensor, options: ResolvedOptions, origin: tuple[int, int]) -> Guidance:
    return GlobalStructurePrior(
        sampler, clean, weight=options.structure_weight, levels=options.structure_levels, origin=origin
    )


def _attention(sampler: Sampler, regional: Regional, seed: int, on_work: Callable[[int], None]) -> Guidance:
    clean, area = regional.clean(), regional.view.height * regional.view.width

    def noise(step: int) -> Tensor:
        drawn = position_noise(seed, VIEW - step, len(clean), Tile.whole(Size(*clean.shape[1:])))
        return torch.from_numpy(drawn).to(clean.device)

    def look(latents: Tensor, timestep: Tensor) -> None:
        regional.look(latents, timestep)
        on_work(area)

    return RegionalAttentionPrior(scheduler=sampler, clean=clean, noise=noise, look=look)
