"""The embedded model: coarse regression, then diffusion of the detail that it leaves to chance.

The latents are the detail over the coarse image, unshuffled to input resolution and divided by the amplitude that the
coarse network expects at each place. They are unit noise wherever the picture is busy, and multiply out to nothing
where it is flat: a quiet sky cannot get grain.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 - the name everybody uses

from ..catalog import ModelDescriptor
from ..embedded import embedded
from ..nets.mini import (
    DETAIL_CHANNELS,
    HARM_CHANNELS,
    HARM_SEEN,
    SCALE,
    Coarse,
    CoarseOutput,
    Refiner,
    middle,
    refiner_condition,
    shuffle,
)
from ..options import ResolvedOptions
from ..prompts.base import Prompt
from ..prompts.vocabulary import DEGRADATIONS, VOCABULARY, encode
from ..resample import resize
from ..threads import Threads, side_by_side
from ..tiling.fusion import Fusion, crop
from ..tiling.grid import Size, Tile, partition
from ..tiling.weights import tile_weights
from .base import ScheduleSpec, Told

COARSE_TILE = 256
"""Side of what the coarse network sees at once, without its margin, input pixels: bounds memory. Half of it where there
would not be enough for all threads. Never changes the result."""

DECODED = 32
"""Rows of latents that become pixels at a time: bounds memory, and stays in the processor's cache."""


@dataclass(frozen=True, kw_only=True)
class MiniCondition:
    """A region as the two networks see it. H and W are the canvas's: a little more than an image below tile size."""

    size: Size
    """Input pixels of the region."""
    image: Tensor
    """(3, h, w) in [0, 1]."""
    detail: Tensor
    """(48, H, W): expected detail over the bicubic enlargement."""
    amplitude: Tensor
    """(1, H, W): standard deviation of the detail to come."""
    maps: Tensor
    """(68, H, W): the refiner's condition, in half precision; (0, H, W) where nothing is sampled."""
    levels: Tensor
    """(prompts, vocabulary): level of every tag of every prompt of the bank."""


class MiniBackbone:
    """The embedded model, loaded."""

    latent_channels = DETAIL_CHANNELS
    parallel = True
    schedule = ScheduleSpec(prediction_type="v_prediction", zero_terminal_snr=True, timestep_spacing="trailing")

    def __init__(self, descriptor: ModelDescriptor, device: torch.device, precision: torch.dtype) -> None:
        self.descriptor = descriptor
        self.device = device
        self.precision = precision
        weights = embedded("mini")
        self.weights_hash, self.vocabulary = weights.sha256, len(weights.tensors["refiner.tags.names"])
        self.coarse, self.refiner = Coarse(padded=False), Refiner(vocabulary=self.vocabulary)
        for name, network in (("coarse", self.coarse), ("refiner", self.refiner)):
            network.load_state_dict(weights.part(name), assign=True)
            network.eval().requires_grad_(False).to(device)

    def condition(
        self,
        image: Tensor,
        place: Tile,
        prompts: Sequence[Prompt],
        advance: Callable[[int], None],
        options: ResolvedOptions,
        told: Sequence[Told] = (),
    ) -> MiniCondition:
        """Run the coarse network over the region, and turn the prompts into levels."""
        canvas = place.size
        size = Size(*image.shape[-2:])
        reach = self.coarse.reach
        right, bottom = canvas.width - size.width, canvas.height - size.height
        padded = F.pad(image[None].to(self.device), (reach, reach + right, reach, reach + bottom), mode="replicate")
        condition = MiniCondition(
            size=size,
            image=image,
            detail=torch.empty(DETAIL_CHANNELS, *canvas, device=self.device),
            amplitude=torch.empty(1, *canvas, device=self.device),
            maps=torch.empty(self._maps if options.diffuses else 0, *canvas, device=self.device, dtype=torch.half),
            levels=prompt_levels(prompts, self.vocabulary).to(self.device),
        )
        harm = harm_map(condition.levels, told, canvas)
        harm = F.pad(harm[None], (reach,) * 4, mode="replicate")
        threads = torch.get_num_threads() if self.device.type == "cpu" else 1
        side = COARSE_TILE if canvas.height * canvas.width >= threads * COARSE_TILE**2 else COARSE_TILE // 2
        tiles = list(partition(canvas, side))
        workers = min(len(tiles), threads)
        with side_by_side(workers) as team:
            look = partial(self._look, padded, harm, condition, team)
            for tile, _ in zip(tiles, team.map(look, tiles, heed=partial(advance, 0)), strict=True):
                advance(tile.height * tile.width)
        return condition

    @property
    def _maps(self) -> int:
        """Channels of the refiner's condition."""
        return self.refiner.head.in_features - DETAIL_CHANNELS

    @torch.inference_mode()
    def _look(self, padded: Tensor, harm: Tensor, condition: MiniCondition, threads: Threads, tile: Tile) -> None:
        """Fill a tile of the condition. The coarse network sees a margin as wide as its reach: equal to the whole."""
        reach = self.coarse.reach
        rows, cols = tile.slices
        around = (..., slice(rows.start, rows.stop + 2 * reach), slice(cols.start, cols.stop + 2 * reach))
        seen = padded[around]
        with self._autocast():
            out = self.coarse(seen, harm[around], threads.check)
        out = CoarseOutput(*(part.float() for part in out))
        condition.detail[:, rows, cols] = out.residual[0]
        condition.amplitude[:, rows, cols] = out.amplitude[0]
        if len(condition.maps):
            condition.maps[:, rows, cols] = refiner_condition(middle(seen, tile.size), out)[0]

    def encode(self, condition: MiniCondition) -> Tensor:
        """The coarse image itself: no detail over it, in no memory."""
        return condition.detail.new_zeros(()).expand_as(condition.detail)

    def predict(
        self,
        condition: MiniCondition,
        latents: Tensor,
        timestep: Tensor,
        tiles: Sequence[Tile],
        prompt_ids: Sequence[int],
    ) -> Tensor:
        """The v of every tile."""
        with self._autocast():
            return self.predict_precisely(condition, latents, timestep, tiles, prompt_ids)

    @torch.inference_mode()
    def predict_precisely(
        self,
        condition: MiniCondition,
        latents: Tensor,
        timestep: Tensor,
        tiles: Sequence[Tile],
        prompt_ids: Sequence[int],
    ) -> Tensor:
        """The same in float32. On a CPU tiles go one by one: batches are not faster there, and change the last bits."""
        levels = condition.levels[list(prompt_ids)]
        step = 1 if self.device.type == "cpu" else len(tiles)
        out = []
        for start in range(0, len(tiles), step):
            part = slice(start, start + step)
            maps = torch.stack([crop(condition.maps, tile).float() for tile in tiles[part]])
            times = timestep.to(self.device).expand(len(maps))
            out.append(self.refiner(latents[part], times, maps, levels[part]))
        return torch.cat(out)

    def decode(self, condition: MiniCondition, latents: Tensor | None, *, fidelity: float) -> NDArray[np.float32]:
        """Bicubic enlargement + expected detail + (1 - fidelity) * amplitude * sampled detail."""
        height, width = condition.size
        image = resize(condition.image.numpy(), Size(height * SCALE, width * SCALE))
        for start in range(0, height, DECODED):
            here = (..., slice(start, min(start + DECODED, height)), slice(width))
            detail = condition.detail[here]
            if latents is not None and fidelity < 1:
                detail = torch.add(detail, latents[here] * condition.amplitude[here], alpha=1 - fidelity)
            image[:, start * SCALE : (start + DECODED) * SCALE] += shuffle(detail[None])[0].cpu().numpy()
        return image

    def _autocast(self) -> torch.autocast:
        reduced = self.precision != torch.float32
        return torch.autocast(self.device.type, self.precision if reduced else torch.bfloat16, enabled=reduced)


def prompt_levels(prompts: Sequence[Prompt], vocabulary: int = len(VOCABULARY)) -> Tensor:
    """Level of every word of every prompt, (prompts, vocabulary)."""
    levels = torch.zeros(len(prompts), vocabulary)
    for row, prompt in zip(levels, prompts, strict=True):
        for token, level in zip(*encode(prompt), strict=True):
            if token < vocabulary:
                row[token] = level
    return levels


def harm_words(levels: Tensor) -> Tensor:
    """Levels of ``vocabulary.DEGRADATIONS`` alone, (n, 4), of (n, vocabulary)."""
    return levels[:, [VOCABULARY.index(word) for word in DEGRADATIONS]]


def harm_in(words: Tensor) -> Tensor:
    """What ``harm_words`` tell the coarse network, (n, ``HARM_CHANNELS``); zeros where they say nothing."""
    strength = words[:, : len(HARM_SEEN)] / words.new_tensor(HARM_SEEN)
    return torch.cat([strength.clamp(max=1), words.amax(1, keepdim=True) > 0], 1)


def harm_map(levels: Tensor, told: Sequence[Told], canvas: Size) -> Tensor:
    """What tiles tell of harm, place by place (``HARM_CHANNELS``, H, W): blended where they overlap."""
    if not told:
        return levels.new_zeros(HARM_CHANNELS, *canvas)
    harm, blended = harm_in(harm_words(levels)), Fusion((HARM_CHANNELS, *canvas), levels.device)
    weights = blended.weights(tile_weights("cosine", told[0].tile.size))
    for tile, prompt_id in told:
        blended.add(tile, harm[prompt_id, :, None, None].expand(-1, *tile.size), weights)
    return blended.mean()
