"""StableSR (arXiv:2305.07015): Stable Diffusion 2.1 whose residual branches are modulated by the input's structure.

A time-aware encoder looks at the input's latents, tile by tile and step by step; in the end, feature wrapping mixes
what the autoencoder sees of the input into the image, as much as ``fidelity`` says.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..errors import ModelMissing
from ..options import ResolvedOptions
from ..prompts.base import Prompt
from ..tiling.fusion import crop
from ..tiling.grid import Tile
from .cfw import keep, wrap
from .latent_model import LatentBackbone, LatentCondition
from .latents import DECODING
from .stablesr_files import CFW_NAME, StablesrParts, load_parts
from .vae import decode_tiled, encode_tiled


@dataclass(kw_only=True)
class Seen(threading.local):
    """What the encoder last made of some tiles at a time: both branches of guidance look at the same.

    Each thread has tiles of its own.
    """

    tiles: tuple[Tile, ...] = ()
    time: float = -1.0
    maps: Sequence[Tensor] = ()


@dataclass(frozen=True, kw_only=True)
class StablesrCondition(LatentCondition):
    """What these networks are told besides."""

    latents: Tensor
    """(4, H, W): those of the enlarged input."""
    seen: Seen = field(default_factory=Seen)
    """Of the last batch of tiles."""


class StablesrBackbone(LatentBackbone[StablesrParts, StablesrCondition]):
    """StableSR, loaded."""

    load_parts = staticmethod(load_parts)

    def told_more(
        self,
        common: LatentCondition,
        image: Tensor,
        place: Tile,
        prompts: Sequence[Prompt],
        options: ResolvedOptions,
    ) -> StablesrCondition:
        """The latents of the input."""
        if self.parts.cfw is None and options.fidelity > 0:
            raise ModelMissing(
                f"fidelity is {options.fidelity:g}, which StableSR's autoencoder with feature wrapping makes of it "
                f"({CFW_NAME}), and {options.model_dir or 'the model store'} has none: put it there, or choose "
                "--fidelity 0"
            )
        return StablesrCondition(**vars(common), latents=self.latents_of(common))

    def encode(self, condition: StablesrCondition) -> Tensor:
        """The latents of the enlarged input: their mean, where the published code draws from its tiny variance."""
        return condition.latents

    def predicted(
        self,
        condition: StablesrCondition,
        crops: Tensor,
        timestep: Tensor,
        tiles: Sequence[Tile],
        prompt_ids: list[int],
    ) -> Tensor:
        """Noise or velocity in every tile, modulated by what its crop of the input shows."""
        times = timestep.to(self.device).expand(len(tiles))
        words = condition.texts.tokens[condition.text_ids[prompt_ids]].to(crops.dtype)
        structure = self._structure(condition, tiles, timestep, crops.dtype)
        predicted: Tensor = self.parts.unet(crops, times, words, structure)
        return predicted

    def _structure(
        self, condition: StablesrCondition, tiles: Sequence[Tile], timestep: Tensor, dtype: torch.dtype
    ) -> Sequence[Tensor]:
        """Maps of the tiles' structure; each different tile is encoded once."""
        seen, different, time = condition.seen, tuple(dict.fromkeys(tiles)), float(timestep)
        if (seen.tiles, seen.time) != (different, time) or seen.maps[0].dtype != dtype:
            crops = torch.stack([crop(condition.latents, tile) for tile in different]).to(dtype)
            times = timestep.to(self.device).expand(len(different))
            seen.maps, seen.tiles, seen.time = self.parts.encoder(crops, times), different, time
        rows = [different.index(tile) for tile in tiles]
        return seen.maps if len(rows) == len(different) else [each[rows] for each in seen.maps]

    def decode(self, condition: StablesrCondition, latents: Tensor | None, *, fidelity: float) -> NDArray[np.float32]:
        """The autoencoder's image, with what it sees of the input wrapped in ``fidelity`` times (eq. 6)."""
        height, width = condition.size.scaled(self.descriptor.native_scale)
        if latents is None:
            return condition.image[:, :height, :width].numpy()
        vae, tap = self.parts.vae, None
        self.placing.ready(*self.parts.painters)
        if self.parts.cfw is not None and fidelity > 0:
            # Encoded again: through all steps of a large image, its features would fill the memory.
            seen: dict[int, Tensor] = {}
            told = condition.image * 2 - 1
            encode_tiled(
                vae, told, mode=condition.vae, on_tiles=lambda _: condition.on_work(0), tap=keep(self.parts.cfw, seen)
            )
            tap = wrap(self.parts.cfw, seen, weight=fidelity)
        image = decode_tiled(
            vae,
            latents / vae.config.scaling_factor,
            mode=condition.vae,
            on_tiles=lambda part: condition.on_work(DECODING * part),
            tap=tap,
        )
        return (image[:, :height, :width] / 2 + 0.5).numpy()
