"""The loop against MultiDiffusion as diffusers has it: the same windows, network and scheduler."""

from __future__ import annotations

import pytest
import torch
from diffusers import AutoencoderKL, DDIMScheduler, UNet2DConditionModel
from diffusers.pipelines.deprecated.stable_diffusion_panorama.pipeline_stable_diffusion_panorama import (
    StableDiffusionPanoramaPipeline,
)

from zido_core.sampling.denoise import PromptPlan, denoise
from zido_core.sampling.diffusers_sampler import DiffusersSampler
from zido_core.sampling.schedule import Schedule, alphas_cumprod
from zido_core.sampling.windows import Windows
from zido_core.tiling.grid import Size, even_grid, flush_grid

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")

STEPS, SCALE = 4, 5.5


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    unet = UNet2DConditionModel(
        sample_size=16, in_channels=4, out_channels=4, block_out_channels=(16, 32), layers_per_block=1,
        down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
        cross_attention_dim=16, attention_head_dim=4, norm_num_groups=8,
    ).eval()  # fmt: skip
    # Its scale factor of 8 is all that the pipeline asks of the autoencoder.
    vae = AutoencoderKL(
        block_out_channels=(4,) * 4, norm_num_groups=2,
        down_block_types=("DownEncoderBlock2D",) * 4, up_block_types=("UpDecoderBlock2D",) * 4,
    )  # fmt: skip
    scheduler = DDIMScheduler(
        beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", clip_sample=False,
        set_alpha_to_one=True, steps_offset=1,
    )  # fmt: skip
    pipeline = StableDiffusionPanoramaPipeline(
        vae=vae, text_encoder=None, tokenizer=None, unet=unet, scheduler=scheduler, safety_checker=None,
        feature_extractor=None, requires_safety_checker=False,
    )  # fmt: skip
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


@pytest.mark.parametrize("own_ddim", [True, False])
@pytest.mark.parametrize(
    ("canvas", "make"),
    [((16, 16), flush_grid), ((24, 40), flush_grid), ((21, 37), even_grid), ((19, 50), even_grid)],
)
def test_equals_the_mean_of_stepped_views(network, canvas, make, own_ddim, monkeypatch):
    grid = make(Size(*canvas), 16, 8)
    views = [(t.row, t.bottom, t.col, t.right) for t in grid]
    monkeypatch.setattr(network, "get_views", lambda *_, **__: views)
    latents, bank = (
        torch.randn(1, 4, *canvas, generator=torch.Generator().manual_seed(1)),
        torch.randn(2, 7, 16),
    )
    theirs = network(
        prompt_embeds=bank[:1], negative_prompt_embeds=bank[1:], latents=latents.clone(),
        height=canvas[0] * 8, width=canvas[1] * 8, num_inference_steps=STEPS, guidance_scale=SCALE,
        view_batch_size=3, output_type="latent",
    ).images[0]  # fmt: skip
    ours = denoise(
        latents[0],
        predict=lambda crops, t, tiles, ids: network.unet(crops, t, bank[list(ids)]).sample,
        scheduler=_sampler(network.scheduler, own_ddim),
        windows=Windows(grid=grid, weighting="uniform"),
        prompts=PromptPlan(positive=(0,) * len(grid), negative=(1,) * len(grid)),
        guidance_scale=SCALE,
    )
    assert theirs.std() > 0.5
    assert torch.allclose(ours, theirs, rtol=0, atol=1e-4)


def _sampler(scheduler, own):
    if not own:
        return DiffusersSampler(scheduler)
    alphas = torch.from_numpy(alphas_cumprod(0.00085, 0.012, "scaled_linear"))
    return Schedule(alphas_cumprod=alphas, timesteps=scheduler.timesteps, prediction_type="epsilon")
