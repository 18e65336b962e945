"""A step of the published loop, in our own words: what zido's loop is compared with.

Tile after tile, both halves of the guidance in a batch of two; words and embeddings are brought to the device for every
tile and step, and every tile's ControlNet embeds its own crop of the image. Predictions are averaged with equal
weights, then guided (the code of arXiv:2411.12072). The published code itself does not run on the libraries of today.
"""

from __future__ import annotations

import torch
from random_models import Scene
from torch import Tensor

from zido_core.backbones.seesr import SeesrBackbone
from zido_core.nets.seesr import IMAGE_TOKENS


@torch.inference_mode()
def guided_prediction(backbone: SeesrBackbone, scene: Scene, latents: Tensor, time: Tensor, scale: float) -> Tensor:
    """The fused and guided noise (4, H, W) of a step."""
    device, dtype, parts = backbone.device, backbone.precision, backbone.parts
    total = torch.zeros(2, *latents.shape, device=device)
    count = torch.zeros(latents.shape[1:], device=device)
    for index, tile in enumerate(scene.grid):
        words = torch.stack([scene.unwanted[0], scene.words[index]]).to(device, dtype)
        told = {
            "encoder_hidden_states": words,
            "cross_attention_kwargs": {IMAGE_TOKENS: scene.seen[index].expand(2, -1, -1).to(device, dtype)},
            "return_dict": False,
        }
        noisy = latents[:, *tile.slices].expand(2, -1, -1, -1).to(dtype)
        pixels = scene.image[:, *tile.scaled(8).slices].expand(2, -1, -1, -1).to(device, dtype)
        hint = parts.hint_embedding(pixels)
        down, middle = parts.controlnet(noisy, time.to(device), controlnet_cond=hint, conditioning_scale=1.0, **told)
        (noise,) = parts.unet(
            noisy,
            time.to(device),
            down_block_additional_residuals=down,
            mid_block_additional_residual=middle,
            **told,
        )
        total[:, :, *tile.slices] += noise.float()
        count[*tile.slices] += 1
    unwanted, wanted = total / count
    return unwanted + scale * (wanted - unwanted)
