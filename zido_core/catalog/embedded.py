"""The model that comes with zido."""

from __future__ import annotations

from ..model_files import ModelFile
from .descriptor import ModelDescriptor

MINI = ModelDescriptor(
    name="mini",
    title="Embedded small model: works offline, also without a GPU",
    paper="ZIDO, section 6: a regression model first, local diffusion on what it leaves",
    citation="Moser, Frolov, Nauen, Raue, Dengel: Zoomed In, Diffused Out (2024), arXiv:2411.12072",
    licence="MIT",
    commercial=True,
    native_scale=4,
    tile_size=576,
    tile_overlap=64,
    tile_multiple=32,
    latent_stride=4,
    tile_weights="cosine",
    fusion="multidiffusion",
    steps=4,
    guidance_scale=1.0,
    fidelity=0.25,
    prompts="local",
    negative_prompt="",
    tagger="scene",
    color_fix_raster="none",
    color_fix_photo="wavelet",
    precisions={"cpu": "bf16", "cuda": "bf16", "mps": "fp32"},
    bytes_per_pixel=1000,
    bytes_per_latent=6000,
    picture_work=1,
    memory="about 1.5 GB, CPU or GPU",
    files=tuple(
        ModelFile(path=f"weights/{name}.safetensors", card=f"weights/{name}.json", embedded=True)
        for name in ("mini", "harm")
    ),
    presets={
        "quality": {"steps": 8},
        "fast": {"steps": 2},
        "preview": {"fidelity": 1.0},
    },
)
