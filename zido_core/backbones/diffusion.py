"""Stable Diffusion as it comes: its x4 upscaler, and image to image with its generations 1.5, 2.1 and XL.

The upscaler (Rombach et al. 2022, section 4.4) sees the input's own pixels beside the latents, under as much noise as
it is told. The others begin with the enlarged input under noise; a tile ControlNet, if there is one, holds them to it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

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
from ..tiling.noise import CONDITION, position_noise
from .diffusion_files import DiffusionParts, load_parts
from .latents import enlarged, hint_of, image_of, latents_of, mirrored
from .text import Encoded


@dataclass(frozen=True, kw_only=True)
class DiffusionCondition:
    """A region as the networks are told of it. H and W are the canvas's, in latents."""

    size: Size
    """Input pixels of the region."""
    image: Tensor
    """(3, H, W) times the stride, in [0, 1], on the CPU: the enlarged input, mirrored where the canvas is larger."""
    texts: Encoded
    """Of the different texts."""
    text_ids: Tensor
    """(prompts of the bank): the text of each."""
    seen: Tensor | None
    """(3, H, W) in [-1, 1]: the input under noise, for the upscaler."""
    noise_level: Tensor
    """How much noise that is, as a training time."""
    hint: Tensor | None
    """(channels, H, W): the ControlNet's embedding of the enlarged input."""
    scale: float
    """Weight of the ControlNet."""
    vae: VaeMode
    """How the autoencoder is run."""
    check: Callable[[], None]
    """Raises Cancelled when the run was cancelled."""


class DiffusionBackbone:
    """A Stable Diffusion, loaded."""

    def __init__(
        self, descriptor: ModelDescriptor, parts: DiffusionParts, device: torch.device, precision: torch.dtype
    ) -> None:
        self.descriptor, self.parts = descriptor, parts
        self.device, self.precision = device, precision
        self.schedule, self.weights_hash = parts.schedule, parts.weights_hash
        self.latent_channels: int = parts.vae.config.latent_channels

    @classmethod
    def load(
        cls, descriptor: ModelDescriptor, device: torch.device, precision: torch.dtype, folder: Path | None
    ) -> DiffusionBackbone:
        """Load everything from a model folder."""
        return cls(descriptor, load_parts(descriptor, folder, device, precision), device, precision)

    def condition(
        self,
        image: Tensor,
        place: Tile,
        prompts: Sequence[Prompt],
        advance: Callable[[int], None],
        options: ResolvedOptions,
    ) -> DiffusionCondition:
        """Enlarge the image, encode every different text once, embed the hint, add noise to what the network sees."""
        said = [content_of(prompt) for prompt in prompts]
        texts = list(dict.fromkeys(said))
        size, stride = Size(*image.shape[-2:]), self.descriptor.latent_stride
        large = enlarged(image, size.scaled(self.descriptor.native_scale), place.size.scaled(stride))
        hint, embedding = None, self.parts.hint_embedding
        if embedding is not None:
            hint = hint_of(embedding, large, self.device, self.precision)
        condition = DiffusionCondition(
            size=size,
            image=large,
            texts=self.parts.text.encoded(texts),
            text_ids=torch.tensor([texts.index(text) for text in said]),
            seen=self._seen(image, place, options) if self.parts.sees_input else None,
            noise_level=torch.tensor([options.noise_level], device=self.device),
            hint=hint,
            scale=options.controlnet_conditioning_scale,
            vae=options.vae,
            check=lambda: advance(0),
        )
        advance(place.height * place.width)
        return condition

    def _seen(self, image: Tensor, place: Tile, options: ResolvedOptions) -> Tensor:
        """The input in its own resolution under the noise of ``noise_level``, which belongs to places."""
        pixels = mirrored(image.numpy(), place.size) * 2 - 1
        noise = torch.from_numpy(position_noise(options.seed, CONDITION, len(pixels), place))
        level = torch.tensor([options.noise_level])
        noisy: Tensor = self.parts.low_res_scheduler.add_noise(pixels[None], noise[None], level)
        return noisy[0].to(self.device, self.precision)

    def encode(self, condition: DiffusionCondition) -> Tensor:
        """The latents of the enlarged input: their mean."""
        return latents_of(self.parts.vae, condition.image, condition.vae, condition.check).to(self.device)

    @torch.inference_mode()
    def predict(
        self,
        condition: DiffusionCondition,
        latents: Tensor,
        timestep: Tensor,
        tiles: Sequence[Tile],
        prompt_ids: Sequence[int],
    ) -> Tensor:
        """What the network was trained to predict, in every tile, told by its own words."""
        crops, time = latents.to(self.precision), timestep.to(self.device)
        told = self._told(condition, crops, prompt_ids)
        controlnet = self.parts.controlnet
        if controlnet is not None and condition.hint is not None:
            hints = torch.stack([crop(condition.hint, tile) for tile in tiles])
            down, middle = controlnet(crops, time, controlnet_cond=hints, conditioning_scale=condition.scale, **told)
            told |= {"down_block_additional_residuals": down, "mid_block_additional_residual": middle}
        if condition.seen is not None:
            seen = torch.stack([crop(condition.seen, tile) for tile in tiles])
            crops = torch.cat([crops, seen], 1)
            told["class_labels"] = condition.noise_level.expand(len(crops))
        (prediction,) = self.parts.unet(crops, time, **told)
        predicted: Tensor = prediction.float()
        return predicted

    def _told(self, condition: DiffusionCondition, crops: Tensor, prompt_ids: Sequence[int]) -> dict[str, Any]:
        """The words of the tiles; for XL also their gist and their size, as if each were a picture of its own."""
        ids = condition.text_ids[list(prompt_ids)]
        told: dict[str, Any] = {"encoder_hidden_states": condition.texts.tokens[ids], "return_dict": False}
        if self.parts.is_xl:
            assert condition.texts.pooled is not None
            height, width = (side * self.descriptor.latent_stride for side in crops.shape[-2:])
            # Original size, place of the crop, target size. A tile that were told where it is cut out would be
            # painted as XL was shown such cuts: with half of its subject missing.
            sizes = torch.tensor([[height, width, 0, 0, height, width]], device=self.device, dtype=self.precision)
            told["added_cond_kwargs"] = {
                "text_embeds": condition.texts.pooled[ids],
                "time_ids": sizes.expand(len(crops), -1),
            }
        return told

    def decode(self, condition: DiffusionCondition, latents: Tensor | None, *, fidelity: float) -> NDArray[np.float32]:
        """The autoencoder's image, blended with the bicubic enlargement by ``fidelity``."""
        height, width = condition.size.scaled(self.descriptor.native_scale)
        certain = condition.image[:, :height, :width]
        if latents is None:
            return certain.numpy()
        made = image_of(self.parts.vae, latents, condition.vae, condition.check)[:, :height, :width]
        return torch.lerp(made, certain, fidelity).numpy()
