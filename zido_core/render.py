"""From the pixels of one region to its enlargement: condition, denoise, decode. Algorithm 1 of ZIDO, on one region.

Nothing here knows files or data types: images are (3, height, width) float32 in [0, 1].
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from .backbones.base import Backbone
from .blocks import Block
from .options import ResolvedOptions
from .prompts.base import Prompt
from .sampling.denoise import PromptPlan, denoise
from .sampling.schedule import scheduler_for
from .sampling.windows import windows_for
from .tiling.grid import Tile
from .tiling.noise import START, position_noise


@dataclass(frozen=True, kw_only=True)
class Bank:
    """The different prompts of a region, and which tile is told which."""

    prompts: tuple[Prompt, ...]
    """Unique prompts, positive and negative."""
    plan: PromptPlan
    """Indexes into ``prompts`` per tile."""

    @classmethod
    def of(cls, prompts: Sequence[Prompt], options: ResolvedOptions) -> Bank:
        """Encode each prompt once, however many tiles share it."""
        negatives = [Prompt(text=prompt.negative or options.negative_prompt, source="user") for prompt in prompts]
        guided = options.guidance_scale != 1
        positives = [Prompt(text=prompt.text, tags=prompt.tags) for prompt in prompts]
        unique = tuple(dict.fromkeys([*positives, *(negatives if guided else ())]))
        index = {prompt: number for number, prompt in enumerate(unique)}
        return cls(
            prompts=unique,
            plan=PromptPlan(
                positive=tuple(index[prompt] for prompt in positives),
                negative=tuple(index[prompt] for prompt in negatives) if guided else None,
            ),
        )


def render(
    backbone: Backbone[Any],
    image: NDArray[np.float32],
    block: Block,
    prompts: Sequence[Prompt],
    options: ResolvedOptions,
    advance: Callable[[int], None],
) -> NDArray[np.float32]:
    """Enlarge a region by the model's native factor: (3, h, w) -> (3, factor h, factor w), about [0, 1].

    ``prompts`` belong to the tiles of ``block.grid``. ``advance`` is told how much more work is done, in the
    units of ``Setup.work``, and may raise Cancelled.
    """
    bank = Bank.of(prompts, options)
    condition = backbone.condition(torch.from_numpy(image), block.grid.canvas, bank.prompts, advance)
    latents = None
    if options.fidelity < 1:
        noise = _noise_of(backbone, block, options.seed)
        area = block.grid.tile.height * block.grid.tile.width
        scheduler = scheduler_for(backbone.schedule, options.steps)
        windows = windows_for(
            options.fusion, block.grid, weights=options.tile_weights, steps=options.steps, seed=options.seed
        )
        latents = denoise(
            scheduler.init_noise_sigma * noise(START),
            predict=lambda *crop: backbone.predict(condition, *crop),
            scheduler=scheduler,
            windows=windows,
            prompts=bank.plan,
            guidance_scale=options.guidance_scale,
            tile_batch=options.tile_batch or 1,
            noise=noise,
            on_tiles=lambda count: advance(count * area),
        )
    return backbone.decode(condition, latents, fidelity=options.fidelity)


def _noise_of(backbone: Backbone[Any], block: Block, seed: int) -> Callable[[int], torch.Tensor]:
    """Noise of a step on the block's part of the canvas, the same wherever the block's borders lie."""
    region = Tile(*block.origin, *block.grid.canvas)

    def noise(step: int) -> torch.Tensor:
        return torch.from_numpy(position_noise(seed, step, backbone.latent_channels, region)).to(backbone.device)

    return noise
