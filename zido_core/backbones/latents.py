"""What all models of latents do with pixels: enlarge the input, encode, decode, embed it for a ControlNet."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ..catalog import VaeMode
from ..resample import resize
from ..tiling.grid import Size, partition
from .vae import decode_tiled, encode_tiled

ENCODING, DECODING = 2, 4
"""Work of the autoencoder, in looks of the denoiser at the whole canvas."""

HINT_STRIDE = 8
"""Pixels per latent of a ControlNet's hint."""

HINT_TILE = 128
"""Latents of the hint computed at once; bounds memory, never changes the result."""

HINT_REACH = 3
"""Latents that the hint's convolutions look beyond their own place."""


def enlarged(image: Tensor, size: Size, canvas: Size) -> Tensor:
    """An image (3, h, w) in [0, 1] at a larger size, bicubic, and mirrored to fill the canvas."""
    return mirrored(np.clip(resize(image.numpy(), size), 0, 1), canvas)


def mirrored(image: NDArray[np.float32], canvas: Size) -> Tensor:
    """The image, continued below and on the right by its mirror image."""
    beyond = [(0, wanted - side) for wanted, side in zip(canvas, image.shape[1:], strict=True)]
    return torch.from_numpy(np.pad(image, [(0, 0), *beyond], mode="symmetric"))


def latents_of(vae: Any, image: Tensor, mode: VaeMode, on_work: Callable[[float], None]) -> Tensor:
    """Mean latents (channels, H, W) of an image in [0, 1], scaled as the denoiser wants them."""
    moments = encode_tiled(vae, image * 2 - 1, mode=mode, on_tiles=lambda part: on_work(ENCODING * part))
    mean: Tensor = (moments[: vae.config.latent_channels] - shift_of(vae)) * vae.config.scaling_factor
    return mean


def image_of(vae: Any, latents: Tensor, mode: VaeMode, on_work: Callable[[float], None]) -> Tensor:
    """The image (3, H, W) of the denoiser's latents, about [0, 1], on the CPU."""
    latents = latents / vae.config.scaling_factor + shift_of(vae)
    image = decode_tiled(vae, latents, mode=mode, on_tiles=lambda part: on_work(DECODING * part))
    return image / 2 + 0.5


def shift_of(vae: Any) -> float:
    """Mean of the autoencoder's own latents, which the denoiser's are without (Stable Diffusion 3); else 0."""
    return float(vae.config.get("shift_factor") or 0.0)


@torch.inference_mode()
def hint_of(embedding: nn.Module, image: Tensor, device: torch.device, dtype: torch.dtype) -> Tensor:
    """A ControlNet's embedding (channels, H, W) of a whole image, in parts that see as far as the network does."""
    canvas = Size(image.shape[-2] // HINT_STRIDE, image.shape[-1] // HINT_STRIDE)
    hint: Tensor | None = None
    for part in partition(canvas, HINT_TILE):
        outer = part.pad(HINT_REACH, canvas)
        pixels = image[:, *outer.scaled(HINT_STRIDE).slices].to(device, dtype)
        inner = part.shifted(-outer.row, -outer.col)
        embedded = embedding(pixels[None])[0][:, *inner.slices]
        hint = embedded.new_empty((len(embedded), *canvas)) if hint is None else hint
        hint[:, *part.slices] = embedded
    assert hint is not None
    return hint
