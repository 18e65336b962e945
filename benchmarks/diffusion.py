"""Speed, memory and exactness of the models of latents, on networks with random weights.

    python benchmarks/diffusion.py [--runs 3] [--side 96] [--json FILE]       # on a CPU, tiny networks
    python benchmarks/diffusion.py --cuda [--json FILE]                       # on a GPU, full size

Every figure is a median with its least and largest value; rows that are compared are run in turn. Random weights say
nothing of quality.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "benchmarks")]

import random_models  # noqa: E402 - the two folders are known now
from core import beside_panorama, clock, machine, peak, report  # noqa: E402
from random_models import TINY_UNET, Scene  # noqa: E402
from reference_loop import guided_prediction  # noqa: E402

from zido_core.backbones.cfw import keep, wrap  # noqa: E402
from zido_core.backbones.regional import Regional  # noqa: E402
from zido_core.backbones.vae import decode_tiled, encode_tiled  # noqa: E402
from zido_core.device import thread_count  # noqa: E402
from zido_core.metrics.consistency import seam_ratio  # noqa: E402
from zido_core.nets.stablesr import EncoderConfig, build_cfw, build_encoder, build_unet  # noqa: E402
from zido_core.options import Options, resolve  # noqa: E402
from zido_core.prompts.base import Prompt  # noqa: E402
from zido_core.sampling.guidance import classifier_free  # noqa: E402
from zido_core.sampling.network import Network, Predictor  # noqa: E402
from zido_core.sampling.samplers import sampler_for  # noqa: E402
from zido_core.sampling.structure_prior import GlobalStructurePrior  # noqa: E402
from zido_core.sampling.windows import Windows  # noqa: E402
from zido_core.tiling.grid import Size, Tile, flush_grid  # noqa: E402

GUIDANCE, STEPS = 5.5, 50
VAE_MODES = ("off", "exact", "fast", "diffusers")
VAE_TILE = 512


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--side", type=int, default=96, help="latents of the square canvas")
    parser.add_argument("--vae-side", type=int, default=1024, help="pixels of the square image for the autoencoder")
    parser.add_argument("--parts", default="loop,panorama,vae,costs")
    parser.add_argument("--cuda", action="store_true", help="networks of full size on a GPU")
    parser.add_argument("--json", type=Path, help="also write all figures here")
    parser.add_argument("--one-vae", nargs=2, metavar=("MODE", "FILE"), help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.one_vae:
        one_vae(*chosen.one_vae, chosen.vae_side)
        return
    figures: dict[str, Any] = {"machine": machine(), "command": " ".join(sys.argv)}
    if chosen.cuda:
        from diffusion_cuda import on_a_gpu

        figures |= on_a_gpu()
    else:
        print(figures["machine"])
        parts: dict[str, Callable[[], dict[str, Any]]] = {
            "loop": lambda: beside_reference(chosen.side, chosen.runs),
            "panorama": lambda: beside_panorama(chosen.runs, (chosen.side, chosen.side)),
            "vae": lambda: autoencoder(chosen.vae_side, chosen.runs),
            "costs": lambda: costs(chosen.runs),
        }
        figures |= {name: parts[name]() for name in chosen.parts.split(",")}
    if chosen.json:
        chosen.json.write_text(json.dumps(figures, indent=1) + "\n")


def beside_reference(side: int, runs: int) -> dict[str, Any]:
    """A step of zido's loop and one of the published loop, in turn: SeeSR with a prompt for every tile."""
    scene = Scene.of(side, TINY_UNET["cross_attention_dim"])
    backbone, alike = random_models.seesr(), random_models.seesr(hint="tile")
    began = time.perf_counter()
    condition = scene.told(backbone)
    once = time.perf_counter() - began
    moment = torch.tensor(501)
    reference = guided_prediction(backbone, scene, scene.latents, moment, GUIDANCE)
    difference = float((ours(alike, scene, scene.told(alike), moment, 1) - reference).abs().max())
    rows: dict[str, Callable[[], Any]] = {
        "zido, tiles side by side": lambda: ours(backbone, scene, condition, moment, thread_count()),
        "zido, one tile at a time": lambda: ours(backbone, scene, condition, moment, 1),
        "port of the published loop": lambda: guided_prediction(backbone, scene, scene.latents, moment, GUIDANCE),
    }
    seconds: dict[str, list[float]] = {name: [] for name in rows}
    work: dict[str, list[float]] = {name: [] for name in rows}
    for _ in range(runs):
        for name, row in rows.items():
            shared, began = (0 if name.startswith("port") else once / STEPS), time.process_time()
            seconds[name].append(clock(row) + shared)
            work[name].append(time.process_time() - began + shared)
    print(f"{len(scene.grid)} tiles of 64 latents; with every crop's own hint the two differ by {difference:.1e}")
    figures: dict[str, Any] = {"tiles": len(scene.grid), "difference": difference, "hint": once}
    for name, values in seconds.items():
        figures[name] = report(name, [len(scene.grid) / each for each in values], "tiles/s")
    for what, measured in (("time", seconds), ("CPU time", work)):
        *zido, port = measured.items()
        for name, values in zido:
            gains = [theirs / mine for mine, theirs in zip(values, port[1], strict=True)]
            figures[f"{name}: gain in {what}"] = report(f"  {name}, gain in {what}", gains, "x")
    return figures


def ours(backbone: Any, scene: Scene, condition: Any, moment: torch.Tensor, workers: int) -> torch.Tensor:
    """The fused and guided noise of a step by zido's loop."""
    count = len(scene.grid)
    branches = (tuple(range(count)), tuple(range(count, 2 * count)))
    windows = Windows(grid=scene.grid, weighting="uniform")
    workers = min(workers, count)
    with torch.no_grad(), Network(predict=lambda *asked: backbone.predict(condition, *asked), workers=workers) as net:
        return classifier_free(net.fused(scene.latents, moment, windows, 0, branches, lambda _: None), GUIDANCE)


def autoencoder(side: int, runs: int) -> dict[str, Any]:
    """Decoding, each mode in a process of its own: time, peak memory, likeness to the untiled, seams."""
    figures: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        found: dict[str, list[dict[str, float]]] = {mode: [] for mode in VAE_MODES}
        for _ in range(runs):
            for mode in VAE_MODES:
                command = [sys.executable, __file__, "--vae-side", str(side), "--one-vae", mode, f"{folder}/{mode}.npy"]
                found[mode].append(json.loads(subprocess.run(command, check=True, capture_output=True).stdout))
        whole = np.load(f"{folder}/off.npy")
        for mode, values in found.items():
            image = np.load(f"{folder}/{mode}.npy")
            error = float(np.sqrt(np.mean((image - whole) ** 2)))
            borders = range(VAE_TILE * 3 // 4 if mode == "diffusers" else VAE_TILE, side, VAE_TILE)
            likeness = 20 * np.log10(np.ptp(whole) / error) if error else np.inf
            figures[mode] = {
                "seconds": report(f"decode {side}, {mode}", [each["seconds"] for each in values], "s"),
                "memory": report("  memory beyond the weights", [each["megabytes"] for each in values], "MB"),
                "psnr": likeness,
                "seam_ratio": seam_ratio(image, borders, borders, reference=whole),
            }
            print(f"  PSNR to untiled {likeness:.1f} dB, seam ratio {figures[mode]['seam_ratio']:.4f}")
    return figures


def one_vae(mode: str, path: str, side: int) -> None:
    """Decode once, and say what it took."""
    vae = random_models.vae()
    latents = torch.randn(4, side // 8, side // 8, generator=torch.Generator().manual_seed(0))
    decode_tiled(vae, latents[:, :16, :16], mode="off")
    before = peak_memory(anew=True)
    began = time.perf_counter()
    if mode == "diffusers":
        vae.enable_tiling()
        with torch.no_grad():
            image = vae.decode(latents[None]).sample[0]
    else:
        image = decode_tiled(vae, latents, mode=mode, tile_size=VAE_TILE)  # type: ignore[arg-type]  # one of VAE_MODES
    seconds = time.perf_counter() - began
    np.save(path, image.numpy())
    print(json.dumps({"seconds": seconds, "megabytes": peak_memory() - before}))


def peak_memory(*, anew: bool = False) -> float:
    """Megabytes that this process had at most; ``anew``: from now on, where the system can count anew (Linux)."""
    status = Path("/proc/self/status")
    if not status.exists():
        return peak(resource.getrusage(resource.RUSAGE_SELF))
    if anew:
        Path("/proc/self/clear_refs").write_text("5")
    (line,) = (line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) / 1024


def costs(runs: int) -> dict[str, Any]:
    """What methods cost besides the network that they stand on; a new method is a new row of ``EXTRAS``.

    In CPU time, which other programs disturb less.
    """
    figures = {}
    for name, make in EXTRAS.items():
        plain, extra = make()
        plain(), extra()
        pairs = [(effort(plain), effort(extra)) for _ in range(runs)]
        figures[name] = report(name, [100 * (b / a - 1) for a, b in pairs], "% more")
    plain, prior = structure_prior()
    plain(), prior()
    shares = [100 * effort(prior) / effort(plain) for _ in range(runs)]
    figures[STRUCTURE] = report(STRUCTURE, shares, "% more")
    return figures


def effort(work: Callable[[], Any]) -> float:
    """Seconds of CPU time."""
    began = time.process_time()
    work()
    return time.process_time() - began


Pair = tuple[Callable[[], Any], Callable[[], Any]]

STRUCTURE = "C-Upscale: structure prior, a step of four tiles"


@torch.inference_mode()
def modulation() -> Pair:
    """StableSR: the UNet modulated by what a time-aware encoder sees, beside the same UNet alone; one tile."""
    from diffusers import UNet2DConditionModel

    torch.manual_seed(4)
    config = TINY_UNET | {"in_channels": 4, "out_channels": 4}
    plain: Any = UNet2DConditionModel(**config).eval()
    modulated = build_unet(config, structure_channels=32, device="cpu").eval()
    encoder = build_encoder(EncoderConfig(channels=32, out_channels=32), "cpu").eval()
    latents, words, times = torch.randn(1, 4, 64, 64), torch.randn(1, 77, 64), torch.tensor([501])
    return (
        lambda: _quietly(lambda: plain(latents, times, words)),
        lambda: _quietly(lambda: modulated(latents, times, words, encoder(latents, times))),
    )


def feature_wrapping() -> Pair:
    """StableSR: decoding with what the encoder sees of the input wrapped in, beside decoding alone."""
    config = random_models.TINY_VAE | {"block_out_channels": (32, 32, 32, 32)}
    vae, cfw = random_models.vae(config), build_cfw(config["block_out_channels"], 2, "cpu").eval()
    latents, image = torch.randn(4, 48, 48), torch.rand(3, 384, 384) * 2 - 1

    def wrapped() -> Any:
        seen: dict[int, torch.Tensor] = {}
        encode_tiled(vae, image, tap=keep(cfw, seen))
        return decode_tiled(vae, latents, tap=wrap(cfw, seen, weight=0.5))

    return lambda: decode_tiled(vae, latents), wrapped


def structure_prior() -> Pair:
    """C-Upscale: a step on a canvas of four tiles, and alone what its global structure prior adds to it.

    Alone, since it is less than two equal steps differ by.
    """
    scene, backbone = Scene.of(96, TINY_UNET["cross_attention_dim"]), random_models.seesr()
    condition, moment = scene.told(backbone), torch.tensor(501)
    sampler = sampler_for("ddim", backbone.schedule, STEPS)
    prior = GlobalStructurePrior(sampler, scene.latents.clone(), weight=1.0)

    def step() -> torch.Tensor:
        return ours(backbone, scene, condition, moment, thread_count())

    prediction = torch.randn_like(scene.latents)
    return step, lambda: prior.on_latents(prior.on_prediction(prediction, scene.latents, 10), 10)


def attention_prior() -> Pair:
    """C-Upscale: a guided step on a canvas of four tiles with its regional attention prior, beside one without."""
    backbone = random_models.stable_diffusion()
    prompts = [Prompt(text=f"{number}", whole="all") for number in range(4)] + [Prompt()]
    asked = Options(model="c-upscale-sd21", priors="rap", prompt="all", tile_size=512, tile_overlap=256)
    options, grid = resolve(asked, backbone.descriptor, "photo"), flush_grid(Size(96, 96), 64, 32)
    condition = backbone.condition(torch.rand(3, 192, 192), Tile.whole(grid.canvas), prompts, lambda _: None, options)
    regional = Regional(backbone, condition, prompts, options)
    windows, branches = Windows(grid=grid, weighting="uniform"), (tuple(range(4)), (4,) * 4)
    latents, view, moment = torch.randn(4, 96, 96), torch.randn(4, *regional.view), torch.tensor(501)

    def step(predict: Predictor) -> torch.Tensor:
        with torch.no_grad(), Network(predict=predict, workers=thread_count()) as net:
            return classifier_free(net.fused(latents, moment, windows, 0, branches, lambda _: None), GUIDANCE)

    def reminded() -> torch.Tensor:
        with regional.listening:
            regional.look(view, moment)
            return step(regional.predict)

    return lambda: step(lambda *crops: backbone.predict(condition, *crops)), reminded


def _quietly(work: Callable[[], Any]) -> Any:
    with torch.inference_mode():
        return work()


EXTRAS: Mapping[str, Callable[[], Pair]] = {
    "StableSR: modulation, a tile": modulation,
    "StableSR: feature wrapping, decoding": feature_wrapping,
    "C-Upscale: attention prior, a step of four tiles": attention_prior,
}
"""Name of a row -> what is run without and with the method; the structure prior is measured alone."""


if __name__ == "__main__":
    main()
