"""C-Upscale: no weights of its own, but three priors for models of text to image, each on what it was trained for.

What the paper's copy lost is our reading: the sampler (DDIM, as its predecessor DemoFusion), no negative prompt, a mean
of tiles without weights. Steps, strength, guidance, size and overlap of regions are the paper's (section 5.1).
"""

from __future__ import annotations

from dataclasses import replace

from .stable_diffusion import SD15, SD21, SDXL

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
    memory="a GPU with about 16 GB (not measured)",
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
    memory="a GPU with about 8 GB (not measured)",
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
