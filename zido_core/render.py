"""From the pixels of one region to its enlargement: condition, denoise, decode. Algorithm 1 of ZIDO, on one region.

Nothing here knows files or data types: images are (3, height, width) float32 in [0, 1].
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache, partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from .backbones.base import Backbone, Told
from .block_windows import windows_of
from .blocks import Block
from .catalog import describe
from .keeping import Keeper, Slot
from .model_files import is_embedded
from .options import ResolvedOptions
from .priors import look_work, steered
from .prompts.base import Prompt, Tag
from .prompts.vocabulary import phrases
from .sampling.batches import tile_batch, workers
from .sampling.denoise import PromptPlan, denoise
from .sampling.samplers import EMBEDDED, Sampler, sampler_for
from .sampling.schedule import Noise, Scheduler, first_step, under_noise
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
    def of(cls, prompts: Sequence[Prompt], options: ResolvedOptions, suffix: str = "") -> Bank:
        """Each different prompt once, however many tiles share it; what taggers saw makes prompts differ."""
        bank: dict[tuple[Prompt, int], int] = {}

        def ended(text: str) -> str:
            return _ended(text, options.everywhere, suffix)

        def place(prompt: Prompt, text: str, tags: tuple[Tag, ...], whole: str = "") -> int:
            said = Prompt(text=text, tags=tags, embedding=prompt.embedding, whole=whole)
            return bank.setdefault((said, id(said.embedding)), len(bank))

        positive = tuple(place(each, ended(each.text), each.tags, each.whole and ended(each.whole)) for each in prompts)
        negative = None
        if _passes(options) > 1:
            negative = tuple(place(each, each.negative or options.negative_prompt, ()) for each in prompts)
        return cls(
            prompts=tuple(prompt for prompt, _ in bank),
            plan=PromptPlan(positive=positive, negative=negative),
        )


def work_of(block: Block, options: ResolvedOptions) -> int:
    """Units of work of `render`: what the networks compute, in latents times passes."""
    work = _picture_work(block, options)
    if options.diffuses:
        work += _sampling_work(block, options, _first_step(options), options.steps)
    return work * options.views


def _picture_work(block: Block, options: ResolvedOptions) -> int:
    """What leads from pixels to latents and back."""
    return describe(options.model).picture_work * block.grid.canvas.height * block.grid.canvas.width


def _sampling_work(block: Block, options: ResolvedOptions, start: int, stop: int) -> int:
    """What the network computes in these steps."""
    windows, tile = windows_of(block, options), block.grid.tile
    looks = sum(len(windows.at(step)) for step in range(start, stop)) * _passes(options)
    return looks * tile.height * tile.width + (stop - start) * look_work(block.grid.canvas, options)


def render(
    backbone: Backbone[Any],
    image: NDArray[np.float32],
    block: Block,
    prompts: Sequence[Prompt],
    options: ResolvedOptions,
    advance: Callable[[int], None],
    slot: Slot | None = None,
    on_image: Callable[[Callable[[], NDArray[np.float32]]], None] | None = None,
) -> NDArray[np.float32]:
    """Enlarge a region by the model's native factor: (3, h, w) -> (3, factor h, factor w), about [0, 1].

    ``prompts`` belong to the tiles of ``block.grid``. ``advance`` is told how much more work is done, in the
    units of ``work_of``, and may raise Cancelled. ``slot`` keeps the latents between steps, and may hold those
    of an earlier run, from which this one goes on. ``on_image`` hears of every step of a model that needs no
    autoencoder, and gets what turns its latents into an image.
    """
    bank = Bank.of(prompts, options, backbone.descriptor.prompt_suffix)
    place = Tile(*block.origin, *block.grid.canvas)
    picture = _Share(advance, _picture_work(block, options))
    told = tuple(map(Told, block.grid, bank.plan.positive))
    condition = backbone.condition(torch.from_numpy(image), place, bank.prompts, picture.add, options, told)
    latents = None
    if options.diffuses:
        show = None
        if on_image is not None and is_embedded(backbone.descriptor):  # the others show nothing without an autoencoder
            show = partial(_show, on_image, backbone, condition, options)
        latents = _sample(backbone, condition, block, bank, options, advance, slot, show)
    enlarged = backbone.decode(condition, latents, fidelity=options.fidelity)
    picture.complete()
    return enlarged


def _sample(
    backbone: Backbone[Any],
    condition: Any,
    block: Block,
    bank: Bank,
    options: ResolvedOptions,
    advance: Callable[[int], None],
    slot: Slot | None,
    show: Callable[[int, torch.Tensor], None] | None,
) -> torch.Tensor:
    """The region's latents, denoised; from where an earlier run kept them."""
    scheduler, first = _sampler_of(backbone, options), _first_step(options)
    keeper = Keeper(slot, options, scheduler)
    noise, clean = _noise_of(backbone, block, options.seed), cache(lambda: backbone.encode(condition))
    per_window = _passes(options) * block.grid.tile.height * block.grid.tile.width
    start, kept = keeper.kept((backbone.latent_channels, *block.grid.canvas), backbone.device) or (first, None)
    work = _Share(advance, _sampling_work(block, options, first, options.steps))
    work.add(_sampling_work(block, options, first, start))

    def on_step(step: int, latents: torch.Tensor) -> None:
        keeper(step, latents)
        if show is not None:
            show(step, latents)

    with steered(
        backbone,
        condition,
        bank.prompts,
        options,
        sampler=scheduler,
        clean=clean,
        origin=block.origin,
        first=first,
        on_work=work.add,
    ) as network:
        latents = denoise(  # nobody else holds the latents that it begins with: they may be large
            _start_of(backbone, clean, scheduler, noise, options) if kept is None else kept,
            predict=network.predict,
            retry=network.retry,
            guidance=network.guidance,
            scheduler=scheduler,
            windows=windows_of(block, options),
            prompts=bank.plan,
            guidance_scale=options.guidance_scale,
            tile_batch=tile_batch(options.tile_batch, backbone, block.grid.tile),
            workers=workers(backbone, block.grid),
            noise=noise,
            start=start,
            on_step=on_step,
            on_tiles=lambda count: work.add(count * per_window),
        )
    work.complete()
    return latents


def _show(
    on_image: Callable[[Callable[[], NDArray[np.float32]]], None],
    backbone: Backbone[Any],
    condition: Any,
    options: ResolvedOptions,
    step: int,
    latents: torch.Tensor,
) -> None:
    """Offer what a step has made of the image."""
    shown = 1 - (1 - options.fidelity) * (step + 1) / options.steps  # noise fades in as it becomes detail
    on_image(lambda: backbone.decode(condition, latents, fidelity=shown))


class _Share:
    """A known amount of work, whatever those who do it tell of it: what they leave out is told in the end."""

    def __init__(self, advance: Callable[[int], None], total: int) -> None:
        self._advance, self._left = advance, total

    def add(self, work: int) -> None:
        work = min(work, self._left)
        self._left -= work
        self._advance(work)

    def complete(self) -> None:
        self.add(self._left)


def _sampler_of(backbone: Backbone[Any], options: ResolvedOptions) -> Sampler:
    spacing = options.timestep_spacing or backbone.schedule.timestep_spacing
    schedule = replace(backbone.schedule, timestep_spacing=spacing)
    return sampler_for(options.sampler, schedule, options.steps, options.timesteps or ())


def _start_of(
    backbone: Backbone[Any],
    clean: Callable[[], torch.Tensor],
    scheduler: Scheduler,
    noise: Noise,
    options: ResolvedOptions,
) -> torch.Tensor:
    """Noisy latents to begin with: noise alone, or the input under it."""
    if options.start == "noise":
        return scheduler.init_noise_sigma * noise(START)
    first = _first_step(options)
    if first == 0 and options.sampler in EMBEDDED and options.timesteps is None:
        return under_noise(clean(), noise(START), backbone.schedule)
    return scheduler.add_noise(clean(), noise(START), first)


def _first_step(options: ResolvedOptions) -> int:
    return 0 if options.start == "noise" else first_step(options.strength, options.steps)


def _ended(text: str, user: str, suffix: str) -> str:
    """SeeSR's template ``{tags}, {user},{suffix}``, commas and all; ``text`` has the tags and the user's words."""
    if not suffix:
        return text
    words = ", ".join(phrases(user))
    tags = text.removesuffix(words).removesuffix(", ")
    return f"{tags}, {words},{suffix}"


def _passes(options: ResolvedOptions) -> int:
    """How often the network looks at a window in a step."""
    return 1 if options.guidance_scale == 1 else 2


def _noise_of(backbone: Backbone[Any], block: Block, seed: int) -> Callable[[int], torch.Tensor]:
    """Noise of a step on the block's part of the canvas, the same wherever the block's borders lie."""
    region = Tile(*block.origin, *block.grid.canvas)

    def noise(step: int) -> torch.Tensor:
        values = position_noise(seed, step, backbone.latent_channels, region)
        return torch.from_numpy(values).to(backbone.device)

    return noise
