"""Pipelines of diffusers with tiny networks of random weights, saved as users have them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from diffusers import (
    AutoencoderKL,
    ControlNetModel,
    DDIMScheduler,
    DDPMScheduler,
    StableDiffusionControlNetImg2ImgPipeline,
    StableDiffusionImg2ImgPipeline,
    StableDiffusionUpscalePipeline,
    StableDiffusionXLImg2ImgPipeline,
    UNet2DConditionModel,
)
from safetensors.torch import save_file
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer

from tests.tiny_models import randomised, write_tokenizer
from zido_core.backbones import single_file
from zido_core.backbones.text import bare_name

WIDTH = 16
CROSS = ("CrossAttnDownBlock2D", "CrossAttnUpBlock2D")
UNET = {
    "sample_size": 16,
    "layers_per_block": 1,
    "attention_head_dim": 2,
    "norm_num_groups": 4,
    "cross_attention_dim": WIDTH,
}
BLOCKS = {
    "block_out_channels": (8, 8, 16),
    "down_block_types": ("DownBlock2D", CROSS[0], CROSS[0]),
    "up_block_types": (CROSS[1], CROSS[1], "UpBlock2D"),
}
SAFELESS = {"safety_checker": None, "feature_extractor": None}


def write_x4(folder: Path) -> StableDiffusionUpscalePipeline:
    """The upscaler: the input's pixels beside the latents, a noise level."""
    torch.manual_seed(1)
    scheduler = {"beta_start": 0.0001, "beta_end": 0.02}
    pipeline = StableDiffusionUpscalePipeline(
        unet=unet(in_channels=7, num_class_embeds=1000),
        vae=vae(levels=3, scaling_factor=0.08333),
        low_res_scheduler=DDPMScheduler(beta_schedule="scaled_linear", **scheduler),
        scheduler=ddim(prediction_type="v_prediction", **scheduler),
        **texts(folder),
        **SAFELESS,
    )
    return saved(pipeline, folder)


def write_sd(folder: Path) -> StableDiffusionImg2ImgPipeline:
    """Stable Diffusion 1.5 or 2.1."""
    torch.manual_seed(2)
    pipeline = StableDiffusionImg2ImgPipeline(
        unet=unet(), vae=vae(), scheduler=ddim(), requires_safety_checker=False, **texts(folder), **SAFELESS
    )
    return saved(pipeline, folder)


def write_controlled(folder: Path) -> StableDiffusionControlNetImg2ImgPipeline:
    """Stable Diffusion under a ControlNet."""
    plain = write_sd(folder)
    torch.manual_seed(3)
    own = {name: value for name, value in UNET.items() if name != "sample_size"}
    blocks = {name: value for name, value in BLOCKS.items() if name != "up_block_types"}
    controlnet = randomised(ControlNetModel(**own, **blocks, conditioning_embedding_out_channels=(4, 4, 4, 8)))
    pipeline = StableDiffusionControlNetImg2ImgPipeline(
        **plain.components | {"image_encoder": None}, controlnet=controlnet, requires_safety_checker=False
    )
    return saved(pipeline, folder)


def write_xl(folder: Path) -> StableDiffusionXLImg2ImgPipeline:
    """Stable Diffusion XL: two text encoders, the gist of a text, sizes."""
    torch.manual_seed(4)
    pipeline = StableDiffusionXLImg2ImgPipeline(
        unet=unet(
            cross_attention_dim=2 * WIDTH,
            addition_embed_type="text_time",
            addition_time_embed_dim=4,
            projection_class_embeddings_input_dim=8 + 6 * 4,
            transformer_layers_per_block=(1, 1, 2),
        ),
        vae=vae(scaling_factor=0.13025),
        scheduler=ddim(),
        **texts(folder),
        **{f"{name}_2": part for name, part in texts(folder, projected=True).items()},
        add_watermarker=False,
    )
    return saved(pipeline, folder)


def write_single_file(pipeline: Any, folder: Path, *, open_clip: str) -> dict[str, torch.Tensor]:
    """All networks of a pipeline in one file, configurations and tokenizers beside it; returns what is in the file.

    ``open_clip`` is the text encoder that is OpenCLIP's, or nothing.
    """
    texts = [name for name in ("text_encoder", "text_encoder_2") if getattr(pipeline, name, None) is not None]
    tensors: dict[str, torch.Tensor] = {}
    for part in ("unet", "vae", *texts):
        network = getattr(pipeline, part)
        prefix = single_file.PREFIXES[part][len(texts) - 1 if part == "text_encoder" else 0]
        for name, places in single_file._places(
            part, network.config.to_dict() if part in texts else network.config
        ).items():
            place = places[1 if part == open_clip else 0]
            state = {bare_name(each): tensor for each, tensor in network.state_dict().items()}
            put(tensors, prefix + place.name, place.third, state[name])
    tensors["model_ema.decay"] = torch.zeros(())
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, folder / "everything.safetensors")
    for part in (*texts, "unet", "vae", "tokenizer", "tokenizer_2"):
        if getattr(pipeline, part, None) is not None:
            getattr(pipeline, part).save_pretrained(folder / part)
            for weights in (folder / part).glob("*.safetensors"):
                weights.unlink()
    return tensors


def put(tensors: dict[str, torch.Tensor], name: str, third: int | None, tensor: torch.Tensor) -> None:
    """As latent diffusion and OpenCLIP keep it: attention by 1x1 convolutions; query, key and value in one."""
    if third is not None:
        whole = tensors.setdefault(name, torch.empty(3 * len(tensor), *tensor.shape[1:]))
        whole[third * len(tensor) : (third + 1) * len(tensor)] = tensor
    elif ".attn_1." in name and tensor.dim() == 2:
        tensors[name] = tensor[:, :, None, None]
    else:
        tensors[name] = tensor.T if name.endswith("text_projection") else tensor


def unet(**config: Any) -> UNet2DConditionModel:
    return randomised(UNet2DConditionModel(**UNET | BLOCKS | config))


def vae(levels: int = 4, **config: Any) -> AutoencoderKL:
    return AutoencoderKL(
        block_out_channels=(4, 4, 8, 8)[:levels],
        down_block_types=("DownEncoderBlock2D",) * levels,
        up_block_types=("UpDecoderBlock2D",) * levels,
        norm_num_groups=2,
        **config,
    )


def ddim(**config: Any) -> DDIMScheduler:
    """As Stable Diffusion is sampled, and without noise after the last step."""
    common = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}
    return DDIMScheduler(**common | {"clip_sample": False, "steps_offset": 1} | config)


def texts(folder: Path, *, projected: bool = False) -> dict[str, Any]:
    config = CLIPTextConfig(
        vocab_size=260,
        hidden_size=WIDTH,
        intermediate_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=77,
        projection_dim=8,
        bos_token_id=258,
        eos_token_id=259,
    )
    write_tokenizer(folder / "tokenizer")
    kind = CLIPTextModelWithProjection if projected else CLIPTextModel
    return {"text_encoder": kind(config), "tokenizer": CLIPTokenizer.from_pretrained(folder / "tokenizer")}


def saved(pipeline: Any, folder: Path) -> Any:
    """In its folder; so that nothing of the random initialisation escapes a test, it is also what is returned."""
    pipeline.save_pretrained(folder)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline
