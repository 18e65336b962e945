"""ZIDO and SeeSR: one set of weights, with a prompt for every tile or for the whole image."""

from __future__ import annotations

from dataclasses import replace

from ..model_files import SEESR_FILES, base_files
from .descriptor import ModelDescriptor

ZIDO = ModelDescriptor(
    name="zido",
    title="ZIDO: SeeSR with a prompt for every tile, the paper's method",
    paper="ZIDO, Algorithm 1: local degradation-aware prompts, MultiDiffusion",
    citation="Moser, Frolov, Nauen, Raue, Dengel: Zoomed In, Diffused Out (2024), arXiv:2411.12072",
    licence="Apache-2.0, on CreativeML-OpenRAIL++-M (Stable Diffusion 2)",
    commercial=True,
    native_scale=4,
    tile_size=512,
    tile_overlap=256,
    tile_multiple=64,
    latent_stride=8,
    least_side=512,
    tile_weights="uniform",
    fusion="multidiffusion",
    steps=50,
    guidance_scale=5.5,
    start="lr",
    sampler="ddpm",
    fidelity=0.0,
    prompts="local",
    negative_prompt="dotted, noise, blur, lowres, smooth",
    prompt_suffix="clean, high-resolution, 8k",
    tagger="dape",
    color_fix_raster="wavelet",
    color_fix_photo="adain",
    precisions={"cpu": "fp32", "cuda": "bf16", "mps": "fp16"},
    bytes_per_pixel=26_000,
    weight_bytes=5 * 2**30,
    memory="a GPU with about 8 GB (estimated)",
    base="stable-diffusion-2-base",
    files=(*SEESR_FILES, *base_files("stable-diffusion-2-base", unet=False)),
    presets={
        "fast": {"steps": 20},
        "preview": {"steps": 10, "guidance_scale": 1.0},
    },
)

SEESR = replace(
    ZIDO,
    name="seesr",
    title="SeeSR: one prompt for the whole image",
    paper="SeeSR: semantics-aware real-world super-resolution with a degradation-aware prompt extractor",
    citation="Wu, Yang, Sun, Zhang, Li, Zhang: SeeSR (CVPR 2024), arXiv:2311.16518",
    tile_size=768,
    tile_overlap=32,
    tile_weights="gaussian",
    prompts="global",
)

SEESR_TURBO = replace(
    SEESR,
    name="seesr-turbo",
    title="SeeSR on SD-Turbo: two steps",
    licence="Apache-2.0, on Stability AI Non-Commercial Research Community (SD-Turbo)",
    commercial=False,
    tile_overlap=256,
    steps=2,
    guidance_scale=1.0,
    base="sd-turbo",
    files=(*SEESR_FILES, *base_files("sd-turbo", unet=True)),
    presets={},
)
