"""Local degradation-aware MultiDiffusion (ZIDO, arXiv:2411.12072, Algorithm 1).

Tiles' predictions are fused and the scheduler steps once, on the whole canvas. For deterministic samplers
that is MultiDiffusion's mean of stepped tiles; tiles keep no state, and noise is drawn once: no seams.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from .batches import TileBatch
from .guidance import Guidance, classifier_free
from .network import Network, Predictor
from .schedule import Noise, Scheduler
from .windows import Windows


@dataclass(frozen=True, kw_only=True)
class PromptPlan:
    """Which prompt of the backbone's bank belongs to which tile of the grid."""

    positive: tuple[int, ...]
    """What each tile should be."""
    negative: tuple[int, ...] | None = None
    """What classifier-free guidance leads each tile away from; None: no guidance."""

    def branches(self, guidance_scale: float, *, places: int) -> tuple[tuple[int, ...], ...]:
        """Prompt ids of the predictions that are needed: positive, and negative unless its share is zero."""
        negative = None if guidance_scale == 1 else self.negative
        branches = (self.positive,) if negative is None else (self.positive, negative)
        for branch in branches:
            if len(branch) != places:
                raise ValueError(f"the plan has prompts for {len(branch)} tiles, and the grid {places} tiles")
        return branches


def denoise(
    latents: Tensor,
    *,
    predict: Predictor,
    scheduler: Scheduler,
    windows: Windows,
    prompts: PromptPlan,
    guidance_scale: float = 1.0,
    tile_batch: TileBatch | int = 1,
    workers: int = 1,
    noise: Noise | None = None,
    guidance: Sequence[Guidance] = (),
    start: int = 0,
    retry: Predictor | None = None,
    on_tiles: Callable[[int], None] | None = None,
    on_step: Callable[[int, Tensor], None] | None = None,
) -> Tensor:
    """Clean latents (channels, height, width) from float32 ones as noisy as they are before step `start`.

    `tile_batch` is the most crops in one call of the network on an accelerator; under guidance every tile is
    two. On a CPU `workers` tiles are computed side by side, each in a call of its own.
    `retry` is asked for crops whose prediction is not finite (the network in full precision, say).
    `on_tiles` hears how many windows more are done, `on_step` the latents after a step; both may raise
    Cancelled.
    """
    branches = prompts.branches(guidance_scale, places=len(windows.grid))
    batch = TileBatch(tile_batch) if isinstance(tile_batch, int) else tile_batch
    with torch.no_grad(), Network(predict=predict, retry=retry, batch=batch, workers=workers) as network:
        for step in range(start, len(scheduler.timesteps)):
            for guide in guidance:
                guide.before_step(latents, step)
            canvas, time = scheduler.scale_model_input(latents, step), scheduler.timesteps[step]
            predictions = network.fused(canvas, time, windows, step, branches, on_tiles or _ignore)
            prediction = classifier_free(predictions, guidance_scale)
            for guide in guidance:
                prediction = guide.on_prediction(prediction, latents, step)
            latents = scheduler.step(prediction, step, latents, noise)
            for guide in guidance:
                latents = guide.on_latents(latents, step)
            del canvas, predictions, prediction  # as large as the latents each: not beside those of the next step
            if on_step is not None:
                on_step(step, latents)
    return latents


def _ignore(count: int) -> None:
    """For callers that do not listen."""
