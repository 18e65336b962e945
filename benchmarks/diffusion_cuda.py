"""The loop on a GPU with networks of full size: seconds a step, share of what the GPU can do, memory."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from typing import Any

import random_models
import torch
from random_models import Scene
from reference_loop import guided_prediction
from torch.utils.flop_counter import FlopCounterMode

from zido_core.backbones.seesr import SeesrBackbone
from zido_core.sampling.batches import TileBatch
from zido_core.sampling.guidance import classifier_free
from zido_core.sampling.network import Network
from zido_core.sampling.windows import Windows

SIDES = (256, 512)
"""Latents of the canvas: 2048 and 4096 output pixels."""

WARM, TIMED = 3, 10
GUIDANCE = 5.5
MOMENT = torch.tensor(501)


def on_a_gpu() -> dict[str, Any]:
    """All rows; SystemExit with a line where there is no GPU."""
    if not torch.cuda.is_available():
        raise SystemExit("--cuda needs a GPU that torch can use, NVIDIA or AMD; there is none here")
    device = torch.device("cuda")
    peak = matmul_peak(device)
    figures: dict[str, Any] = {"gpu": torch.cuda.get_device_name(device), "torch": torch.__version__, "matmul": peak}
    print(f"{figures['gpu']}, torch {torch.__version__}: {peak / 1e12:.0f} TFLOP/s in a bf16 matmul")
    backbone = random_models.seesr(full=True, device="cuda", dtype=torch.bfloat16)
    for side in SIDES:
        scene = Scene.of(side, random_models.FULL_UNET["cross_attention_dim"])
        tile = tile_flops(backbone)
        looks = 2 * len(scene.grid)
        for name, step in rows(backbone, scene).items():
            row = timed(step)
            row |= {"tflops": looks * tile / row["seconds"] / 1e12, "share": looks * tile / row["seconds"] / peak}
            figures[f"{side * 8} {name}"] = row
            print(
                f"{side * 8:5} {name:40} {row['seconds']:8.3f} s/step ({row['least']:.3f} to {row['largest']:.3f}) "
                f"{row['tflops']:6.0f} TFLOP/s {100 * row['share']:5.1f} % {row['gigabytes']:6.1f} GB"
            )
        figures |= {f"{side * 8} {name}": row for name, row in panorama_rows(backbone, scene).items()}
    return figures


def rows(backbone: SeesrBackbone, scene: Scene) -> dict[str, Callable[[], Any]]:
    """A step by zido's loop, its batch found or given, and by the published one."""
    condition, latents = scene.told(backbone), scene.latents.to(backbone.device)
    sizes = {"zido, size of the batch found": TileBatch()}
    sizes |= {f"zido, batch {size}": TileBatch(size) for size in (2, 8, 16, 32)}

    def step(batch: TileBatch) -> Callable[[], Any]:
        count = len(scene.grid)
        branches = (tuple(range(count)), tuple(range(count, 2 * count)))
        windows = Windows(grid=scene.grid, weighting="uniform")

        @torch.no_grad()
        def once() -> torch.Tensor:
            with Network(predict=lambda *asked: backbone.predict(condition, *asked), batch=batch) as net:
                return classifier_free(net.fused(latents, MOMENT, windows, 0, branches, lambda _: None), GUIDANCE)

        return once

    return {name: step(batch) for name, batch in sizes.items()} | {
        "port of the published loop": lambda: guided_prediction(backbone, scene, latents, MOMENT, GUIDANCE)
    }


def panorama_rows(backbone: SeesrBackbone, scene: Scene) -> dict[str, Any]:
    """The panorama of diffusers on a UNet of Stable Diffusion 2, the same windows, and zido's loop on that UNet."""
    from diffusers import DDIMScheduler, StableDiffusionPanoramaPipeline, UNet2DConditionModel

    from zido_core.sampling.denoise import PromptPlan, denoise
    from zido_core.sampling.diffusers_sampler import DiffusersSampler

    device, height = backbone.device, scene.grid.canvas.height
    config = {name: value for name, value in random_models.FULL_UNET.items() if name != "use_image_cross_attention"}
    with device:
        unet: Any = UNet2DConditionModel(**config)
    torch.nn.Module.to(unet.eval(), torch.bfloat16, memory_format=torch.channels_last)
    vae = random_models.vae(device=str(device))  # the pipeline asks it where to work
    scheduler = DDIMScheduler(beta_schedule="scaled_linear", clip_sample=False, steps_offset=1)
    pipeline = StableDiffusionPanoramaPipeline(
        vae=vae, text_encoder=None, tokenizer=None, unet=unet, scheduler=scheduler, safety_checker=None,
        feature_extractor=None, requires_safety_checker=False,
    )  # fmt: skip
    pipeline.set_progress_bar_config(disable=True)
    pipeline.get_views = lambda *_, **__: [(tile.row, tile.bottom, tile.col, tile.right) for tile in scene.grid]
    bank = torch.cat([scene.words[:1], scene.unwanted]).to(device, torch.bfloat16)
    start = scene.latents.to(device, torch.bfloat16)

    def theirs(batch: int) -> Callable[[], Any]:
        return lambda: pipeline(
            prompt_embeds=bank[:1], negative_prompt_embeds=bank[1:], latents=start[None].clone(),
            height=height * 8, width=height * 8, num_inference_steps=1, guidance_scale=GUIDANCE,
            view_batch_size=batch, output_type="latent",
        )  # fmt: skip

    def predict(crops: torch.Tensor, time: torch.Tensor, tiles: Any, ids: Any) -> torch.Tensor:
        result: torch.Tensor = unet(crops.to(torch.bfloat16), time.to(device), bank[list(ids)]).sample
        return result.float()

    scheduler.set_timesteps(1)
    count, batch = len(scene.grid), TileBatch()

    def zido() -> Any:
        return denoise(
            start.float(),
            predict=predict,
            scheduler=DiffusersSampler(scheduler),
            windows=Windows(grid=scene.grid, weighting="uniform"),
            prompts=PromptPlan(positive=(0,) * count, negative=(1,) * count),
            guidance_scale=GUIDANCE,
            tile_batch=batch,
        )

    found = {"zido without ControlNet": timed(zido)}
    found |= {f"panorama, views in batches of {size}": timed(theirs(size)) for size in (1, 8, 16)}
    for name, row in found.items():
        print(f"{height * 8:5} {name:40} {row['seconds']:8.3f} s/step {row['gigabytes']:6.1f} GB")
    return found


def timed(step: Callable[[], Any]) -> dict[str, float]:
    """Seconds of a step after some that do not count, and the most memory meanwhile."""
    for _ in range(WARM):
        step()
    torch.cuda.synchronize()
    torch.cuda.reset_peak_memory_stats()
    seconds = []
    for _ in range(TIMED):
        began, ended = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        began.record()
        step()
        ended.record()
        torch.cuda.synchronize()
        seconds.append(began.elapsed_time(ended) / 1000)
    return {
        "seconds": statistics.median(seconds),
        "least": min(seconds),
        "largest": max(seconds),
        "gigabytes": torch.cuda.max_memory_allocated() / 1e9,
    }


def matmul_peak(device: torch.device, side: int = 8192, repeats: int = 20) -> float:
    """Operations a second of a large bf16 product of random numbers: what nothing here can exceed."""
    a, b = (torch.randn(side, side, device=device, dtype=torch.bfloat16) for _ in range(2))

    def products() -> None:
        for _ in range(repeats):
            torch.mm(a, b)

    return repeats * 2 * side**3 / timed(products)["least"]


def tile_flops(backbone: SeesrBackbone) -> float:
    """Operations of a look at one tile of 64 latents, counted while it is done."""
    scene = Scene.of(64, random_models.FULL_UNET["cross_attention_dim"])
    condition, crops = scene.told(backbone), scene.latents[None].to(backbone.device)
    with FlopCounterMode(display=False) as counter:
        backbone.predict(condition, crops, MOMENT, list(scene.grid), [0])
    return float(counter.get_total_flops())
