"""StableSR (arXiv:2305.07015): Stable Diffusion 2.1 whose residual branches are modulated by the input's structure.

A time-aware encoder looks at the input's latents, tile by tile and step by step; in the end, feature wrapping mixes
what the autoencoder sees of the input into the image, as much as ``fidelity`` says.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..catalog import ModelDescriptor, VaeMode
from ..options import ResolvedOptions
from ..prompts.base import Prompt
from ..prompts.vocabulary import content_of
from ..tiling.fusion import crop
from ..tiling.grid import Size, Tile
from .cfw import keep, wrap
from .latents import enlarged, latents_of
from .stablesr_files import StablesrParts, load_parts
from .vae import decode_tiled, encode_tiled


@dataclass(kw_only=True)
class Seen:
    """What the encoder last made of some tiles at a time: both branches of guidance look at the same."""

    tiles: tuple[Tile, ...] = ()
    time: float = -1.0
    maps: Sequence[Tensor] = ()


@dataclass(frozen=True, kw_only=True)
class StablesrCondition:
    """A region as the networks are told of it. H and W are the canvas's, in latents."""

    size: Size
    """Input pixels of the region."""
    image: Tensor
    """(3, 8H, 8W) in [0, 1], on the CPU: the enlarged input, mirrored where the canvas is larger."""
    latents: Tensor
    """(4, H, W): its latents."""
    texts: Tensor
    """(different texts, tokens, channels)."""
    text_ids: Tensor
    """(prompts of the bank): the text of each."""
    vae: VaeMode = "exact"
    """How the autoencoder is run."""
    check: Callable[[], None] = lambda: None
    """Raises Cancelled when the run was cancelled."""
    seen: Seen = field(default_factory=Seen)
    """Of the last batch of tiles."""


class StablesrBackbone:
    """StableSR, loaded."""

    latent_channels = 4

    def __init__(
        self, descriptor: ModelDescriptor, parts: StablesrParts, device: torch.device, precision: torch.dtype
    ) -> None:
        self.descriptor, self.parts = descriptor, parts
        self.device, self.precision = device, precision
        self.schedule, self.weights_hash = parts.schedule, parts.weights_hash

    @classmethod
    def load(
        cls, descriptor: ModelDescriptor, device: torch.device, precision: torch.dtype, folder: Path | None
    ) -> StablesrBackbone:
        """Load everything from a model folder."""
        return cls(descriptor, load_parts(descriptor, folder, device, precision), device, precision)

    def condition(
        self,
        image: Tensor,
        place: Tile,
        prompts: Sequence[Prompt],
        advance: Callable[[int], None],
        options: ResolvedOptions,
    ) -> StablesrCondition:
        """Enlarge the image, encode it, encode every different text once."""
        assert self.parts.text is not None
        said = [content_of(prompt) for prompt in prompts]
        texts = list(dict.fromkeys(said))
        size = Size(*image.shape[-2:])
        canvas = place.size.scaled(self.descriptor.latent_stride)
        large = enlarged(image, size.scaled(self.descriptor.native_scale), canvas)
        condition = self.told(
            latents_of(self.parts.vae, large, options.vae, lambda: advance(0)),
            image=large,
            size=size,
            texts=self.parts.text.encode(texts),
            text_ids=[texts.index(text) for text in said],
            vae=options.vae,
            check=lambda: advance(0),
        )
        advance(place.height * place.width)
        return condition

    def told(
        self,
        latents: Tensor,
        *,
        image: Tensor,
        size: Size,
        texts: Tensor,
        text_ids: Sequence[int],
        vae: VaeMode = "exact",
        check: Callable[[], None] = lambda: None,
    ) -> StablesrCondition:
        """The condition for the latents of an image of ``size`` input pixels, and for encoded prompts."""
        return StablesrCondition(
            size=size,
            image=image,
            latents=latents.to(self.device),
            texts=texts.to(self.device, self.precision),
            text_ids=torch.tensor(text_ids),
            vae=vae,
            check=check,
        )

    def encode(self, condition: StablesrCondition) -> Tensor:
        """The latents of the enlarged input: their mean, where the published code draws from its tiny variance."""
        return condition.latents

    @torch.inference_mode()
    def predict(
        self,
        condition: StablesrCondition,
        latents: Tensor,
        timestep: Tensor,
        tiles: Sequence[Tile],
        prompt_ids: Sequence[int],
    ) -> Tensor:
        """Noise or velocity in every tile, modulated by what its crop of the input shows."""
        times = timestep.to(self.device).expand(len(tiles))
        words = condition.texts[condition.text_ids[list(prompt_ids)]]
        structure = self._structure(condition, tiles, timestep)
        predicted: Tensor = self.parts.unet(latents.to(self.precision), times, words, structure).float()
        return predicted

    def _structure(self, condition: StablesrCondition, tiles: Sequence[Tile], timestep: Tensor) -> Sequence[Tensor]:
        """Maps of the tiles' structure; each different tile is encoded once."""
        seen, different, time = condition.seen, tuple(dict.fromkeys(tiles)), float(timestep)
        if (seen.tiles, seen.time) != (different, time):
            crops = torch.stack([crop(condition.latents, tile) for tile in different]).to(self.precision)
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
        if self.parts.cfw is not None and fidelity > 0:
            # Encoded again: through all steps of a large image, its features would fill the memory.
            seen: dict[int, Tensor] = {}
            told = condition.image * 2 - 1
            encode_tiled(
                vae, told, mode=condition.vae, on_tiles=lambda _: condition.check(), tap=keep(self.parts.cfw, seen)
            )
            tap = wrap(self.parts.cfw, seen, weight=fidelity)
        image = decode_tiled(
            vae,
            latents / vae.config.scaling_factor,
            mode=condition.vae,
            on_tiles=lambda _: condition.check(),
            tap=tap,
        )
        return (image[:, :height, :width] / 2 + 0.5).numpy()
