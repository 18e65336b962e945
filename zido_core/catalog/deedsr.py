"""DeeDSR, for weights that somebody trains: its authors have published none."""

from __future__ import annotations

from dataclasses import replace

from ..model_files import ModelFile, base_files
from .stablesr import STABLESR

OWN = (ModelFile(path="deedsr/deedsr.safetensors", about=1_000_000_000), ModelFile(path="deedsr/config.json"))
"""What the training leaves: nobody offers it."""

BASE = tuple(
    file for file in base_files(STABLESR.base, unet=True) if file.path.split("/")[1] in ("unet", "vae", "scheduler")
)
"""What it stands on: everything but the words."""

DEEDSR = replace(
    STABLESR,
    name="deedsr",
    title="DeeDSR: told by images what harmed the input; bring weights of your own, none were published",
    paper="DeeDSR: towards real-world image super-resolution via degradation-aware stable diffusion",
    citation="Bi, Luo, Shen, Zhang, Yue, Yang (ECCV 2024), arXiv:2404.00661",
    licence="that of the weights that you bring, on CreativeML-OpenRAIL++-M (Stable Diffusion 2.1)",
    commercial=True,
    steps=50,
    sampler="ddim",
    start="noise",
    noise_guidance=1,
    hears_words=False,
    priors=("gsp",),
    fidelity=0.0,
    certain_at_one=True,
    negative_prompt="",
    color_fix_photo="none",
    bytes_per_pixel=26_000,
    files=(*OWN, *BASE),
    presets={"fast": {"steps": 20}, "preview": {"steps": 10}},
)
