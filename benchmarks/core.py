"""Speed and memory of the embedded model, and of the sampling loop beside diffusers' own.

    python benchmarks/core.py [--runs 5] [--sizes 256,512,1024] [--json FILE]

Every figure is a median with its least and largest value. The first part times whole processes from outside
(``python -m zido_core``); the second runs zido's loop and diffusers' StableDiffusionPanoramaPipeline in turn on one
tiny random UNet with the same windows, and prints their ratio pair by pair. Random weights say nothing of quality.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

ROOT = Path(__file__).resolve().parents[1]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--sizes", default="256,512,1024", help="sides of the square inputs, pixels")
    parser.add_argument("--presets", default="balanced,preview")
    parser.add_argument("--json", type=Path, help="also write all figures here")
    chosen = parser.parse_args()
    figures: dict[str, Any] = {"machine": machine()}
    print(figures["machine"])
    figures["help"] = report("zido --help", [process(["--help"])["seconds"] for _ in range(chosen.runs)], "s")
    for preset in chosen.presets.split(","):
        for side in map(int, chosen.sizes.split(",")):
            figures[f"{preset} {side}"] = whole_process(side, preset, chosen.runs)
    figures["panorama"] = beside_panorama(chosen.runs)
    if chosen.json:
        chosen.json.write_text(json.dumps(figures, indent=1) + "\n")


def machine() -> str:
    import torch

    lines = Path("/proc/cpuinfo").read_text().splitlines()
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    cpu = models[0] if models else platform.processor()
    load = ", ".join(f"{value:.1f}" for value in os.getloadavg())
    cores = len(os.sched_getaffinity(0))
    return f"{cpu}, {cores} cores, torch {torch.__version__}, Python {platform.python_version()}, load {load}"


def whole_process(side: int, preset: str, runs: int) -> dict[str, Any]:
    """Time, memory and the network's share of upscaling a square photograph by four, start-up included."""
    with tempfile.TemporaryDirectory() as folder:
        source, manifest = Path(folder) / "in.png", Path(folder) / "manifest.json"
        photograph(side).save(source)
        arguments = [str(source), "-o", f"{folder}/out.tif", "--overwrite", "--quiet", "--preset", preset]
        results = []
        for _ in range(runs + 1):
            result = process([*arguments, "--manifest", str(manifest)])
            parts = json.loads(manifest.read_text())["seconds"]
            result["share"] = 100 * parts["network"] / sum(parts.values())
            results.append(result)
    results = results[1:]  # the first one warms the file cache
    title = f"{preset}, {side} -> {4 * side}"
    seconds = [result["seconds"] for result in results]
    return {
        "seconds": report(f"{title}, whole process", seconds, "s"),
        "rate": report(f"{title}, output", [16 * side * side / 1e6 / each for each in seconds], "Mpx/s"),
        "memory": report(f"{title}, peak memory", [result["megabytes"] for result in results], "MB"),
        "share": report(f"{title}, inside the network", [result["share"] for result in results], "%"),
    }


def photograph(side: int) -> Image.Image:
    """The bundled photograph, repeated in mirror image to the wanted size."""
    pixels = np.asarray(Image.open(ROOT / "examples" / "barn.png").convert("RGB"))
    height, width = pixels.shape[:2]
    grown = np.pad(pixels, ((0, max(0, side - height)), (0, max(0, side - width)), (0, 0)), mode="symmetric")
    return Image.fromarray(grown[:side, :side])


def process(arguments: Sequence[str]) -> dict[str, float]:
    """Run zido; wall seconds and peak memory of that one process."""
    began = time.perf_counter()
    child = subprocess.Popen(
        [sys.executable, "-m", "zido_core", *arguments], cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )
    assert child.stderr is not None
    said = child.stderr.read().decode()
    _, status, usage = os.wait4(child.pid, 0)
    seconds = time.perf_counter() - began
    if os.waitstatus_to_exitcode(status):
        raise SystemExit(f"zido {' '.join(arguments)} failed: {said}")
    return {"seconds": seconds, "megabytes": peak(usage)}


def peak(usage: resource.struct_rusage) -> float:
    return usage.ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)


def beside_panorama(runs: int, latents: tuple[int, int] = (128, 128), steps: int = 1) -> dict[str, Any]:
    """One step of zido's loop and of diffusers' panorama, in turn; windows of 64 latents, stride 32, with guidance."""
    ours, theirs = panorama_pair(latents, steps)
    figures = {}
    for batch in (1, 8):
        difference = float((ours() - theirs(batch)).abs().max())
        pairs = [(clock(ours), clock(lambda: theirs(batch))) for _ in range(runs)]  # noqa: B023 - called at once
        title = f"panorama, views in batches of {batch}"
        figures[title] = {
            "difference": difference,
            "zido": report("zido's loop", [a / steps for a, _ in pairs], "s/step"),
            "panorama": report(title, [b / steps for _, b in pairs], "s/step"),
            "ratio": report("panorama / zido", [b / a for a, b in pairs], "x"),
        }
        print(f"  largest difference of the latents: {difference:.1e}")
    return figures


def panorama_pair(latents: tuple[int, int], steps: int) -> tuple[Callable[[], Any], Callable[[int], Any]]:
    import torch

    from zido_core.sampling.denoise import PromptPlan, denoise
    from zido_core.sampling.diffusers_sampler import DiffusersSampler
    from zido_core.sampling.windows import Windows
    from zido_core.tiling.grid import Size, flush_grid

    torch.manual_seed(0)
    pipeline = tiny_panorama()
    unet, scheduler = pipeline.unet, pipeline.scheduler
    grid = flush_grid(Size(*latents), 64, 32)
    pipeline.get_views = lambda *_, **__: [(t.row, t.bottom, t.col, t.right) for t in grid]
    start, bank = torch.randn(4, *latents), torch.randn(2, 77, 64)
    scheduler.set_timesteps(steps)

    def ours() -> Any:
        return denoise(
            start,
            predict=lambda crops, t, tiles, ids: unet(crops, t, bank[list(ids)]).sample,
            scheduler=DiffusersSampler(scheduler),
            windows=Windows(grid=grid, weighting="uniform"),
            prompts=PromptPlan(positive=(0,) * len(grid), negative=(1,) * len(grid)),
            guidance_scale=5.5,
            tile_batch=8,
            workers=torch.get_num_threads(),  # as a run on a CPU does
        )

    def theirs(batch: int) -> Any:
        return pipeline(
            prompt_embeds=bank[:1],
            negative_prompt_embeds=bank[1:],
            latents=start[None].clone(),
            height=latents[0] * 8,
            width=latents[1] * 8,
            num_inference_steps=steps,
            guidance_scale=5.5,
            view_batch_size=batch,
            output_type="latent",
        ).images[0]

    return ours, theirs


def tiny_panorama() -> Any:
    """A pipeline of diffusers around a random UNet; its autoencoder is never used."""
    from diffusers import AutoencoderKL, DDIMScheduler, StableDiffusionPanoramaPipeline, UNet2DConditionModel

    unet = UNet2DConditionModel(
        sample_size=64,
        block_out_channels=(32, 64, 128, 128),
        layers_per_block=2,
        cross_attention_dim=64,
        attention_head_dim=(2, 4, 8, 8),
        norm_num_groups=16,
    ).eval()
    vae = AutoencoderKL(
        block_out_channels=(4,) * 4,
        norm_num_groups=2,
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
    )
    pipeline = StableDiffusionPanoramaPipeline(
        vae=vae,
        text_encoder=None,
        tokenizer=None,
        unet=unet,
        scheduler=DDIMScheduler(beta_schedule="scaled_linear", clip_sample=False, steps_offset=1),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def clock(work: Callable[[], Any]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def report(title: str, values: Sequence[float], unit: str) -> dict[str, Any]:
    """Print a row; the figures as a dictionary."""
    row = {"median": statistics.median(values), "least": min(values), "largest": max(values), "unit": unit}
    print(f"{title:52} {row['median']:9.3f} {unit:7} ({row['least']:.3f} to {row['largest']:.3f})", flush=True)
    return row


if __name__ == "__main__":
    main()
