"""Stable Diffusion as it comes: its upscaler, and its text-to-image models as image-to-image."""

from __future__ import annotations

from dataclasses import replace

from ..model_files import base_files
from .descriptor import ModelDescriptor

SD_X4 = ModelDescriptor(
    name="sd-x4",
    title="Stable Diffusion x4 upscaler: sees the input itself, takes its noise level",
    paper="High-resolution image synthesis with latent diffusion models, section 4.4",
    citation="Rombach, Blattmann, Lorenz, Esser, Ommer (CVPR 2022), arXiv:2112.10752",
    licence="CreativeML-OpenRAIL++-M",
    commercial=True,
    native_scale=4,
    tile_size=512,
    tile_overlap=128,
    tile_multiple=32,
    latent_stride=4,
    tile_weights="cosine",
    fusion="multidiffusion",
    steps=75,
    guidance_scale=9.0,
    noise_level=20,
    fidelity=0.0,
    prompts="local",
    negative_prompt="blurry, noise, lowres, jpeg artifacts",
    tagger="scene",
    color_fix_raster="wavelet",
    color_fix_photo="wavelet",
    precisions={"cpu": "fp32", "cuda": "bf16", "mps": "fp16"},
    bytes_per_pixel=26_000,
    weight_bytes=1_800 * 2**20,
    memory="a GPU with about 6 GB (estimated)",
    base="stable-diffusion-x4-upscaler",
    files=base_files("stable-diffusion-x4-upscaler", unet=True, low_res_scheduler=True),
    presets={"fast": {"steps": 25, "sampler": "dpm++"}, "preview": {"steps": 12, "sampler": "dpm++"}},
)

SD15 = replace(
    SD_X4,
    name="sd15",
    title="Stable Diffusion 1.5, image to image; holds on to the input by a tile ControlNet, if there is one",
    paper="High-resolution image synthesis with latent diffusion models; ControlNet: arXiv:2302.05543",
    licence="CreativeML-OpenRAIL-M",
    tile_multiple=64,
    latent_stride=8,
    steps=30,
    guidance_scale=6.0,
    start="lr",
    strength=0.3,
    noise_level=0,
    priors=("gsp", "rap", "rsp"),
    sampler="dpm++",
    prompt_suffix="highly detailed, sharp focus",
    weight_bytes=2_200 * 2**20,
    base="stable-diffusion-v1-5",
    files=base_files("stable-diffusion-v1-5", unet=True),
    presets={"fast": {"steps": 20}, "preview": {"steps": 20, "strength": 0.15}},
)

SD21 = replace(
    SD15,
    name="sd21",
    title="Stable Diffusion 2.1, image to image",
    licence="CreativeML-OpenRAIL++-M",
    tile_size=768,
    weight_bytes=2_600 * 2**20,
    memory="a GPU with about 8 GB (estimated)",
    base="stable-diffusion-2-1",
    files=base_files("stable-diffusion-2-1", unet=True),
)

SDXL = replace(
    SD15,
    name="sdxl",
    title="Stable Diffusion XL, image to image",
    paper="SDXL: improving latent diffusion models for high-resolution image synthesis",
    citation="Podell, English, Lacey, Blattmann, Dockhorn, Müller, Penna, Rombach (2023), arXiv:2307.01952",
    licence="CreativeML-OpenRAIL++-M",
    tile_size=1024,
    weight_bytes=7_000 * 2**20,
    memory="a GPU with about 12 GB (estimated)",
    base="stable-diffusion-xl-base-1.0",
    files=base_files("stable-diffusion-xl-base-1.0", unet=True, second_text=True),
)
