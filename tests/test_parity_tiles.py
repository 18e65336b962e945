"""Grids, weights, fusion and steps against the papers' own code (ZIDO_PARITY_DIR)."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file
from safetensors.torch import load_file as load_tensors

from zido_core.sampling.denoise import PromptPlan, denoise
from zido_core.sampling.guidance import Guidance
from zido_core.sampling.schedule import Schedule, alphas_cumprod
from zido_core.sampling.windows import Windows
from zido_core.tiling.grid import Size, Tile, flush_grid
from zido_core.tiling.weights import tile_weights


@pytest.fixture
def parity(parity_dir):
    def load(name):
        path = parity_dir / name
        if not path.exists():
            pytest.skip(f"no {name} in {parity_dir}")
        return json.loads(path.read_text()) if path.suffix == ".json" else path

    return load


def test_grids_of_seesr_and_zido(parity):
    for row in parity("tile_grid.json")["rows"]:
        canvas = Size(*row["canvas_latent_hw"])
        grid = flush_grid(canvas, row["tile_arg"], row["overlap_arg"])
        assert grid.tile == Size(*reversed(row["tile_wh"])), row
        assert len(grid) == row["n_tiles"], row
        assert list(grid.cols) == row["x_offsets"], row
        assert list(grid.rows) == row["y_offsets"], row
        if row["flat_xy"] is not None:
            assert {(tile.col, tile.row) for tile in grid} == {tuple(xy) for xy in row["flat_xy"]}, row


def test_views_of_multidiffusion(parity):
    """Where they cover the canvas they are our tiles; else ours are these and those at the border."""
    for case in parity("multidiffusion_views.json")["cases"]:
        window, stride = case["window"], case["stride"]
        canvas = Size(case["height"] // 8, case["width"] // 8)
        views = [Tile(top, left, bottom - top, right - left) for top, bottom, left, right in case["views"]]
        grid = flush_grid(canvas, window, window - stride)
        if min(canvas) < window:
            continue
        covered = all((side - window) % stride == 0 for side in canvas)
        if covered:
            assert list(grid) == views, case
        elif len(grid) > 1:
            assert set(views) <= set(grid), case


def test_weights(parity):
    for name, weights in load_file(parity("tile_weights.safetensors")).items():
        ours = tile_weights("gaussian", Size(*weights.shape))
        assert np.allclose(ours, weights, rtol=1e-12, atol=0), name


@pytest.mark.parametrize("name", ["seesr_untiled", "seesr_global", "zido_local"])
def test_fusion_guidance_and_steps_of_the_loops(parity, name):
    """Told the recorded predictions of the network, the loop goes where the official one goes."""
    described = parity("seesr_pipe.json")
    run = next((r for r in described["runs"] if r["name"] == name), None)
    if run is None:
        pytest.skip(f"no run {name} in these parity files")
    given = load_tensors(parity(run["file"]))
    canvas = Size(*run["canvas_latent_hw"])
    tile = run["tile"] or max(canvas)
    grid = flush_grid(canvas, tile, run["overlap"] or 0)
    weighting = "gaussian" if "aussian" in run["mode"] else "uniform"
    recorded = {}
    for index in range(len(grid)):
        across, down = divmod(index, len(grid.rows))
        recorded[grid.rows[down], grid.cols[across]] = given["out.tile_eps_step0"][index]

    class Compared(Guidance):
        """Compares the first fused prediction, and says what the official loop predicts."""

        def on_prediction(self, prediction, latents, step):
            if step == 0:
                assert torch.allclose(prediction, given["out.eps_guided"][0], atol=1e-4)
            return given["out.eps_guided"][step]

        def on_latents(self, latents, step):
            assert torch.allclose(latents, given["out.latents"][step], atol=1e-4)
            return latents

    def predict(latents, timestep, tiles, ids):
        return torch.stack([recorded[tile.row, tile.col][branch] for tile, branch in zip(tiles, ids, strict=True)])

    scheduler = described["scheduler"]
    betas = (scheduler["beta_start"], scheduler["beta_end"], scheduler["beta_schedule"])
    sampler = Schedule(
        alphas_cumprod=torch.from_numpy(alphas_cumprod(*betas)),
        timesteps=torch.tensor(run["timesteps"]),
        prediction_type=scheduler["prediction_type"],
        eta=1.0,
    )
    latents = denoise(
        given["out.start_latents"][0],
        predict=predict,
        scheduler=sampler,
        windows=Windows(grid=grid, weighting=weighting),
        prompts=PromptPlan(positive=(1,) * len(grid), negative=(0,) * len(grid)),
        guidance_scale=run["guidance_scale"],
        noise=lambda step: given["in.step_noise"][step],
        guidance=[Compared()],
    )
    assert torch.allclose(latents, given["out.final_latents"][0], atol=1e-4)
