"""StableSR on its three bases."""

from __future__ import annotations

from dataclasses import replace

from ..model_files import stablesr_files
from .seesr import ZIDO

STABLESR = replace(
    ZIDO,
    name="stablesr",
    title="StableSR: a time-aware encoder modulates Stable Diffusion; feature wrapping trades detail for fidelity",
    paper="Exploiting diffusion prior for real-world image super-resolution",
    citation="Wang, Yue, Zhou, Chan, Loy (IJCV 2024), arXiv:2305.07015",
    licence="S-Lab License 1.0 (non-commercial), on CreativeML-OpenRAIL++-M (Stable Diffusion 2.1)",
    commercial=False,
    tile_weights="gaussian",
    steps=200,
    guidance_scale=1.0,
    fidelity=0.5,
    certain_at_one=False,
    prompts="none",
    negative_prompt="3d, cartoon, anime, sketches, (worst quality:2), (low quality:2)",
    prompt_suffix="",
    tagger="none",
    bytes_per_pixel=32_000,
    weight_bytes=3 * 2**30,
    memory="a GPU with about 6 GB (estimated)",
    base="stable-diffusion-2-1-base",
    files=stablesr_files("stablesr", "stablesr_000117", "stable-diffusion-2-1-base"),
    presets={"fast": {"steps": 20, "sampler": "ddim"}, "preview": {"steps": 10, "sampler": "ddim", "fidelity": 0.0}},
)

STABLESR_768V = replace(
    STABLESR,
    name="stablesr-768v",
    title="StableSR on Stable Diffusion 2.1 for 768 pixels",
    tile_size=768,
    tile_overlap=384,
    least_side=768,
    fidelity=0.0,
    base="stable-diffusion-2-1",
    files=stablesr_files("stablesr-768v", "stablesr_768v_000139", "stable-diffusion-2-1"),
)

STABLESR_TURBO = replace(
    STABLESR,
    name="stablesr-turbo",
    title="StableSR on SD-Turbo: four steps",
    licence="S-Lab License 1.0 (non-commercial), on Stability AI Non-Commercial Research Community (SD-Turbo)",
    steps=4,
    base="sd-turbo",
    files=stablesr_files("stablesr-turbo", "stablesr_turbo", "sd-turbo"),
    presets={},
)
