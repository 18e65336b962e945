"""Local degradation-aware MultiDiffusion (ZIDO, arXiv:2411.12072, Algorithm 1).

Tiles' predictions are fused and the scheduler steps once, on the whole canvas. For deterministic samplers
that is MultiDiffusion's mean of stepped tiles; tiles keep no state, and noise is drawn once: no seams.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Protocol

import torch
from torch import Tensor

from ..errors import NotFinite, OutOfMemory
from ..tiling.fusion import Fusion, crop
from ..tiling.grid import Tile
from .guidance import Guidance, classifier_free
from .schedule import Noise, Scheduler
from .windows import Window, Windows


class Predictor(Protocol):
    """The network, with everything that it is told but these four."""

    def __call__(
        self, latents: Tensor, timestep: Tensor, tiles: Sequence[Tile], prompt_ids: Sequence[int], /
    ) -> Tensor:
        """Prediction (n, channels, h, w) for `latents`, crops of the canvas at `tiles` (in latents).

        A tile may reach over the lower or right border: read conditions with `tiling.fusion.crop`.
        """
        ...


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


@torch.no_grad()
def denoise(
    latents: Tensor,
    *,
    predict: Predictor,
    scheduler: Scheduler,
    windows: Windows,
    prompts: PromptPlan,
    guidance_scale: float = 1.0,
    tile_batch: int = 1,
    noise: Noise | None = None,
    guidance: Sequence[Guidance] = (),
    start: int = 0,
    retry: Predictor | None = None,
    on_tiles: Callable[[int], None] | None = None,
    on_step: Callable[[int, Tensor], None] | None = None,
) -> Tensor:
    """Clean latents (channels, height, width) from float32 ones as noisy as they are before step `start`.

    `tile_batch` is the most crops in one call of the network; under guidance every tile is two. On a CPU it
    is always one: that is no slower there, and the kernels' last bits depend on the size of a batch.
    `retry` is asked for crops whose prediction is not finite (the network in full precision, say).
    `on_tiles` hears how many windows more are done, `on_step` the latents after a step; both may raise
    Cancelled.
    """
    branches = prompts.branches(guidance_scale, places=len(windows.grid))
    network = _Network(predict=predict, retry=retry, batch=tile_batch, on_tiles=on_tiles)
    for step in range(start, len(scheduler.timesteps)):
        for guide in guidance:
            guide.before_step(latents, step)
        canvas = scheduler.scale_model_input(latents, step)
        predictions = network.fused(canvas, scheduler.timesteps[step], windows, step, branches)
        prediction = classifier_free(predictions, guidance_scale)
        for guide in guidance:
            prediction = guide.on_prediction(prediction, latents, step)
        latents = scheduler.step(prediction, step, latents, noise)
        for guide in guidance:
            latents = guide.on_latents(latents, step)
        if on_step is not None:
            on_step(step, latents)
    return latents


class _Network:
    """The network on a whole canvas: in batches of crops, checked, fused."""

    def __init__(
        self,
        *,
        predict: Predictor,
        retry: Predictor | None,
        batch: int,
        on_tiles: Callable[[int], None] | None,
    ) -> None:
        self._predict, self._retry, self._batch, self._on_tiles = predict, retry, batch, on_tiles

    def fused(
        self, canvas: Tensor, timestep: Tensor, windows: Windows, step: int, branches: Sequence[Sequence[int]]
    ) -> list[Tensor]:
        """Per branch the weighted mean of all windows' predictions (channels, height, width)."""
        fusions = [Fusion(canvas.shape, canvas.device) for _ in branches]
        weight = fusions[0].weights(windows.weights)
        pairs = [(window, branch) for window in windows.at(step) for branch in range(len(branches))]
        for batch in _balanced(pairs, crops_per_call(canvas.device, self._batch)):
            tiles = [window.tile for window, _ in batch]
            ids = [branches[branch][window.place] for window, branch in batch]
            predictions = self._predictions(canvas, timestep, tiles, ids)
            for (window, branch), prediction in zip(batch, predictions, strict=True):
                fusions[branch].add(window.tile, prediction, weight)
            if self._on_tiles is not None:
                self._on_tiles(sum(branch == len(branches) - 1 for _, branch in batch))
        return [fusion.mean() for fusion in fusions]

    def _predictions(
        self, canvas: Tensor, timestep: Tensor, tiles: Sequence[Tile], ids: Sequence[int]
    ) -> list[Tensor]:
        """Predictions of some tiles; half of them at a time where memory does not suffice for all."""
        try:
            return self._finite(torch.stack([crop(canvas, tile) for tile in tiles]), timestep, tiles, ids)
        except torch.OutOfMemoryError as error:
            if len(tiles) == 1:
                raise OutOfMemory(
                    f"one tile of {tiles[0].height}x{tiles[0].width} latents does not fit into the memory of "
                    f"{canvas.device}; choose a smaller tile size, or another device"
                ) from error
        self._batch = half = len(tiles) // 2
        first = self._predictions(canvas, timestep, tiles[:half], ids[:half])
        return first + self._predictions(canvas, timestep, tiles[half:], ids[half:])

    def _finite(
        self, crops: Tensor, timestep: Tensor, tiles: Sequence[Tile], ids: Sequence[int]
    ) -> list[Tensor]:
        predictions = self._predict(crops, timestep, tiles, ids)
        checked = list(predictions)
        for i, finite in enumerate(_all_finite(predictions)):
            if not finite:
                one = slice(i, i + 1)
                checked[i] = self._again(crops[one], timestep, tiles[one], ids[one])
        return checked

    def _again(self, crops: Tensor, timestep: Tensor, tiles: Sequence[Tile], ids: Sequence[int]) -> Tensor:
        if self._retry is not None:
            prediction = self._retry(crops, timestep, tiles, ids)
            if all(_all_finite(prediction)):
                return prediction[0]
        tile = tiles[0]
        raise NotFinite(
            f"the network gives NaN or infinity for the tile at row {tile.row}, column {tile.col} (latents), "
            f"time {timestep.item():g}; expected finite numbers: try --precision fp32"
        )


def crops_per_call(device: torch.device, wanted: int) -> int:
    """Batches only where they pay: on a CPU they would cost that the bytes are one whatever the batch."""
    return 1 if device.type == "cpu" else wanted


def _all_finite(predictions: Tensor) -> list[bool]:
    """Of each prediction of a batch; asks the device once."""
    finite: list[bool] = torch.isfinite(predictions).flatten(1).all(1).tolist()
    return finite


def _balanced(pairs: Sequence[tuple[Window, int]], most: int) -> Iterator[Sequence[tuple[Window, int]]]:
    """As few batches as hold at most so many each, of nearly one size."""
    count = -(-len(pairs) // most)
    for start, end in pairwise(i * len(pairs) // count for i in range(count + 1)):
        yield pairs[start:end]
