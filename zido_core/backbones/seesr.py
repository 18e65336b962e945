"""SeeSR, and ZIDO on top of it (arXiv:2311.16518, arXiv:2411.12072): Stable Diffusion 2 under a ControlNet.

The ControlNet sees the enlarged input; both networks hear the tile's words and see DAPE's embedding of its pixels.
The latents are those of Stable Diffusion's autoencoder, eight output pixels each.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ..catalog import ModelDescriptor, VaeMode
from ..nets.seesr import IMAGE_CHANNELS, IMAGE_TOKENS, take_hint_embedding
from ..options import ResolvedOptions
from ..prompts.base import Prompt
from ..tiling.fusion import crop
from ..tiling.grid import Size, Tile
from .latents import HINT_STRIDE, enlarged, hint_of, image_of, latents_of
from .seesr_files import SeesrParts, load_parts
from .text import TextEncoder

HintMode = Literal["canvas", "tile"]


@dataclass(frozen=True, kw_only=True)
class SeesrCondition:
    """A region as the networks are told of it. H and W are the canvas's, in latents."""

    size: Size
    """Input pixels of the region."""
    image: Tensor
    """(3, 8H, 8W) in [0, 1], on the CPU: the enlarged input, mirrored where the canvas is larger."""
    texts: Tensor
    """(different texts, tokens, channels)."""
    text_ids: Tensor
    """(prompts of the bank): the text of each."""
    seen: Tensor
    """(different images, tokens, 512): embeddings of what taggers saw."""
    seen_ids: Tensor
    """(prompts of the bank): the embedding of each."""
    scale: float
    """Weight of the ControlNet."""
    hint: Tensor | None = None
    """(channels, H, W): the ControlNet's embedding of the whole image; None: every tile embeds its own crop."""
    options: ResolvedOptions | None = None
    """How the autoencoder is run; None: exactly."""
    check: Callable[[], None] = lambda: None
    """Raises Cancelled when the run was cancelled."""


class SeesrBackbone:
    """SeeSR, loaded."""

    latent_channels = 4

    def __init__(
        self,
        descriptor: ModelDescriptor,
        parts: SeesrParts,
        device: torch.device,
        precision: torch.dtype,
        *,
        hint: HintMode = "canvas",
    ) -> None:
        """``hint``: ``canvas`` embeds the image once, ``tile`` every crop alone with zeros around, as published."""
        self.descriptor = descriptor
        self.device, self.precision, self.hint = device, precision, hint
        self.schedule = parts.schedule
        self.weights_hash = parts.weights_hash
        layout = torch.channels_last if device.type == "cuda" else torch.preserve_format
        self.unet = parts.unet.to(device=device, memory_format=layout)
        self.controlnet = parts.controlnet.to(device=device, memory_format=layout)
        self.hint_embedding: nn.Module = take_hint_embedding(self.controlnet)
        self.vae: Any = parts.vae
        self.text: TextEncoder | None = parts.text

    @classmethod
    def load(
        cls, descriptor: ModelDescriptor, device: torch.device, precision: torch.dtype, folder: Path | None
    ) -> SeesrBackbone:
        """Load everything from a model folder."""
        return cls(descriptor, load_parts(descriptor, folder, device, precision), device, precision)

    def condition(
        self,
        image: Tensor,
        place: Tile,
        prompts: Sequence[Prompt],
        advance: Callable[[int], None],
        options: ResolvedOptions,
    ) -> SeesrCondition:
        """Enlarge the image, encode every different text once, embed the hint."""
        assert self.text is not None
        texts = list(dict.fromkeys(prompt.text for prompt in prompts))
        seen = {id(prompt.embedding): prompt.embedding for prompt in prompts}
        size = Size(*image.shape[-2:])
        condition = self.told(
            enlarged(image, size.scaled(self.descriptor.native_scale), place.size.scaled(HINT_STRIDE)),
            size=size,
            texts=self.text.encode(texts),
            text_ids=[texts.index(prompt.text) for prompt in prompts],
            seen=_stacked(list(seen.values())),
            seen_ids=[list(seen).index(id(prompt.embedding)) for prompt in prompts],
            scale=options.controlnet_conditioning_scale,
        )
        advance(place.height * place.width)
        return replace(condition, options=options, check=lambda: advance(0))

    def told(
        self,
        image: Tensor,
        *,
        size: Size,
        texts: Tensor,
        text_ids: Sequence[int],
        seen: Tensor,
        seen_ids: Sequence[int],
        scale: float = 1.0,
    ) -> SeesrCondition:
        """The condition for an enlarged image (3, 8H, 8W) of ``size`` input pixels and for encoded prompts."""
        return SeesrCondition(
            size=size,
            image=image,
            texts=texts.to(self.device, self.precision),
            text_ids=torch.tensor(text_ids),
            seen=seen.to(self.device, self.precision),
            seen_ids=torch.tensor(seen_ids),
            scale=scale,
            hint=self._hint_of(image) if self.hint == "canvas" else None,
        )

    def encode(self, condition: SeesrCondition) -> Tensor:
        """The latents of the enlarged input: their mean, since the noise of the start hides what it leaves open."""
        return latents_of(self.vae, condition.image, _vae_mode(condition), condition.check).to(self.device)

    @torch.inference_mode()
    def predict(
        self,
        condition: SeesrCondition,
        latents: Tensor,
        timestep: Tensor,
        tiles: Sequence[Tile],
        prompt_ids: Sequence[int],
    ) -> Tensor:
        """The noise in every tile, told by its own words, embedding and hint."""
        ids = list(prompt_ids)
        told = {
            "encoder_hidden_states": condition.texts[condition.text_ids[ids]],
            "cross_attention_kwargs": {IMAGE_TOKENS: condition.seen[condition.seen_ids[ids]]},
            "return_dict": False,
        }
        crops, time = latents.to(self.precision), timestep.to(self.device)
        down, middle = self.controlnet(
            crops,
            time,
            controlnet_cond=self._hints(condition, tiles),
            conditioning_scale=condition.scale,
            **told,
        )
        (noise,) = self.unet(
            crops,
            time,
            down_block_additional_residuals=down,
            mid_block_additional_residual=middle,
            **told,
        )
        predicted: Tensor = noise.float()
        return predicted

    def decode(self, condition: SeesrCondition, latents: Tensor | None, *, fidelity: float) -> NDArray[np.float32]:
        """The autoencoder's image, blended with the bicubic enlargement by ``fidelity``."""
        factor = self.descriptor.native_scale
        height, width = condition.size.scaled(factor)
        certain = condition.image[:, :height, :width]
        if latents is None:
            return certain.numpy()
        made = image_of(self.vae, latents, _vae_mode(condition), condition.check)[:, :height, :width]
        return torch.lerp(made, certain, fidelity).numpy()

    def _hints(self, condition: SeesrCondition, tiles: Sequence[Tile]) -> Tensor:
        if condition.hint is not None:
            return torch.stack([crop(condition.hint, tile) for tile in tiles])
        images = torch.stack([crop(condition.image, tile.scaled(HINT_STRIDE)) for tile in tiles])
        embedded: Tensor = self.hint_embedding(images.to(self.device, self.precision))
        return embedded

    def _hint_of(self, image: Tensor) -> Tensor:
        return hint_of(self.hint_embedding, image, self.device, self.precision)


def _vae_mode(condition: SeesrCondition) -> VaeMode:
    return "exact" if condition.options is None else condition.options.vae


def _stacked(embeddings: Sequence[NDArray[np.float32] | None]) -> Tensor:
    """All embeddings as one tensor; where a tagger saw nothing, zeros."""
    shapes = [embedding.shape for embedding in embeddings if embedding is not None]
    nothing = np.zeros(shapes[0] if shapes else (1, IMAGE_CHANNELS), np.float32)
    return torch.from_numpy(np.stack([nothing if embedding is None else embedding for embedding in embeddings]))
