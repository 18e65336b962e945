"""C-Upscale: no weights of its own, but three priors for models of text to image, each on what it was trained for.

What the paper's copy lost is our reading: the sampler (DDIM, as its predecessor DemoFusion), no negative prompt, a mean
of tiles without weights. Steps, strength, guidance, size and overlap of regions are the paper's (section 5.1).
"""

from __future__ import annotations

from dataclasses import replace

from ..model_files import TEXT, TEXT_2, TOKENIZER_FILES, VAE, files_of, t5_files
from .stable_diffusion import SD15, SD21, SDXL

TRANSFORMER = "transformer/diffusion_pytorch_model.safetensors"
COMMON = {"transformer/config.json": 0, "vae/config.json": 0, "scheduler/scheduler_config.json": 0}

PIXART_FILES = {**COMMON, TRANSFORMER: 2_446_000_000, VAE: 335_000_000, **t5_files("", 9_990_000_000, 9_060_000_000)}
SD3_FILES = {
    **COMMON,
    TRANSFORMER: 4_170_000_000,
    VAE: 168_000_000,
    TEXT: 247_000_000,
    TEXT_2: 1_390_000_000,
    **{f"{folder}/config.json": 0 for folder in ("text_encoder", "text_encoder_2")},
    **{f"{folder}/{name}": 0 for folder in ("tokenizer", "tokenizer_2") for name in TOKENIZER_FILES},
    **t5_files("_3", 4_990_000_000, 4_530_000_000),
    "tokenizer_3/tokenizer.json": 0,
}
"""File -> bytes, roughly."""

C_UPSCALE = replace(
    SDXL,
    name="c-upscale",
    title="C-Upscale on Stable Diffusion XL: inventive, held to the input by global and regional priors",
    paper="Creatively upscaling images with global-regional priors",
    citation="Qian, Cai, Pan, Yao, Mei (IJCV 2025), arXiv:2505.16976",
    tile_overlap=512,
    tile_weights="uniform",
    steps=50,
    guidance_scale=7.5,
    strength=0.45,
    sampler="ddim",
    prompts="local",
    tagger="caption",
    negative_prompt="",
    prompt_suffix="",
    priors=("gsp", "rap", "rsp"),
    own_priors="gsp,rap,rsp",
    size_conditioning="crop",
    color_fix_photo="none",
    memory="a GPU with about 16 GB (estimated)",
    presets={
        "fast": {"steps": 25, "sampler": "dpm++"},
        "preview": {"steps": 12, "sampler": "dpm++", "priors": "gsp"},
    },
)

C_UPSCALE_SD15 = replace(
    C_UPSCALE,
    name="c-upscale-sd15",
    title="C-Upscale on Stable Diffusion 1.5",
    licence=SD15.licence,
    tile_size=SD15.tile_size,
    tile_overlap=SD15.tile_size // 2,
    size_conditioning="tile",
    weight_bytes=SD15.weight_bytes,
    memory="a GPU with about 8 GB (estimated)",
    base=SD15.base,
    files=SD15.files,
)

C_UPSCALE_SD21 = replace(
    C_UPSCALE_SD15,
    name="c-upscale-sd21",
    title="C-Upscale on Stable Diffusion 2.1",
    licence=SD21.licence,
    tile_size=SD21.tile_size,
    tile_overlap=SD21.tile_size // 2,
    weight_bytes=SD21.weight_bytes,
    base=SD21.base,
    files=SD21.files,
)

C_UPSCALE_PIXART = replace(
    C_UPSCALE,
    name="c-upscale-pixart",
    title="C-Upscale on PixArt-alpha, a transformer",
    steps=20,
    guidance_scale=4.5,
    sampler="dpm++",
    size_conditioning="tile",
    weight_bytes=11_000 * 2**20,
    memory="a GPU with about 16 GB (estimated)",
    base="PixArt-XL-2-1024-MS",
    files=files_of("PixArt-XL-2-1024-MS", PIXART_FILES),
    presets={"preview": {"steps": 10, "priors": "gsp"}},
)

C_UPSCALE_SD3 = replace(
    C_UPSCALE_PIXART,
    name="c-upscale-sd3",
    title="C-Upscale on Stable Diffusion 3, a transformer that attends jointly: without the regional attention prior",
    licence="Stability AI Community License (commercial use only after registration, up to a limit of revenue)",
    commercial=False,
    steps=28,
    guidance_scale=7.5,
    sampler="euler",
    priors=("gsp", "rsp"),
    own_priors="gsp,rsp",
    weight_bytes=15_000 * 2**20,
    memory="a GPU with about 20 GB (estimated)",
    base="stable-diffusion-3-medium",
    files=files_of("stable-diffusion-3-medium", SD3_FILES),
)
