"""The loop: one result whatever the batch, fused as defined, guided, steered, checked, cancelled."""

from __future__ import annotations

import gc

import diffusers
import numpy as np
import pytest
import torch
from torch import nn

from zido_core.backbones.base import ScheduleSpec
from zido_core.errors import Cancelled, NotFinite, OutOfMemory
from zido_core.sampling import network
from zido_core.sampling.denoise import PromptPlan, denoise
from zido_core.sampling.guidance import Guidance, classifier_free
from zido_core.sampling.schedule import Schedule
from zido_core.sampling.windows import windows_for
from zido_core.tiling.fusion import crop
from zido_core.tiling.grid import Size, Tile, even_grid
from zido_core.tiling.noise import START, position_noise

CANVAS = Size(40, 52)
GRID = even_grid(CANVAS, 16, 8)
KINDS = ["multidiffusion", "mixture", "spot", "spot-hybrid"]
PLAN = PromptPlan(positive=tuple(i % 5 for i in range(len(GRID))), negative=(5,) * len(GRID))


def schedule(steps=4, eta=0.0):
    spec = ScheduleSpec(prediction_type="v_prediction", zero_terminal_snr=True, timestep_spacing="trailing")
    return Schedule.from_spec(spec, steps=steps, eta=eta)


def noise(step, seed=1):
    return torch.from_numpy(position_noise(seed, step, 4, Tile.whole(CANVAS)))


def conv_predictor():
    """A small network whose result depends on crop, time, place and prompt."""
    torch.manual_seed(0)
    layers = [nn.Conv2d(5, 32, 3, padding=1), nn.SiLU(), nn.Conv2d(32, 32, 3, padding=1, groups=32)]
    net = nn.Sequential(*layers, nn.GroupNorm(4, 32), nn.GELU(), nn.Conv2d(32, 4, 3, padding=1)).eval()
    condition = torch.randn(1, *CANVAS)

    def predict(latents, timestep, tiles, prompt_ids):
        seen = torch.stack([crop(condition, tile) for tile in tiles])
        shift = torch.tensor(prompt_ids).view(-1, 1, 1, 1) * 0.1 + timestep / 1000
        return net(torch.cat([latents + shift, seen], 1))

    return predict


def unet_predictor():
    torch.manual_seed(0)
    unet = diffusers.UNet2DConditionModel(
        sample_size=16, in_channels=4, out_channels=4, block_out_channels=(16, 32), layers_per_block=1,
        down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
        cross_attention_dim=16, attention_head_dim=4, norm_num_groups=8,
    ).eval()  # fmt: skip
    bank = torch.randn(6, 7, 16)
    return lambda latents, timestep, tiles, ids: unet(latents, timestep, bank[list(ids)]).sample


def sample(predict, *, kind="multidiffusion", batch=1, scale=3.0, plan=PLAN, eta=0.0, steps=4, **arguments):
    windows = windows_for(kind, GRID, steps=steps, seed=9)
    return denoise(
        noise(START), predict=predict, scheduler=schedule(steps, eta), windows=windows, prompts=plan,
        guidance_scale=scale, tile_batch=batch, noise=noise, **arguments,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("make", "kind"), [*((conv_predictor, kind) for kind in KINDS), (unet_predictor, "multidiffusion")]
)
def test_bytes_do_not_depend_on_the_batch(kind, make):
    results = [sample(make(), kind=kind, batch=batch, steps=2) for batch in (1, 2, 8)]
    assert torch.isfinite(results[0]).all()
    for other in results[1:]:
        assert other.numpy().tobytes() == results[0].numpy().tobytes()


@pytest.mark.parametrize("kind", ["multidiffusion", "mixture", "spot"])
@pytest.mark.parametrize("eta", [0.0, 1.0])
def test_equals_algorithm_1_written_naively(kind, eta):
    predict, sampler = conv_predictor(), schedule(3, eta)
    windows = windows_for(kind, GRID, steps=3, seed=9)
    latents = noise(START)
    for step in range(3):
        total, count = [torch.zeros(4, *CANVAS).double() for _ in range(2)], torch.zeros(CANVAS).double()
        for tile, place in windows.at(step):
            rows = (torch.arange(tile.height) + tile.row) % CANVAS.height
            cols = (torch.arange(tile.width) + tile.col) % CANVAS.width
            weight = torch.from_numpy(windows.weights)
            for branch, ids in enumerate((PLAN.positive, PLAN.negative)):
                with torch.no_grad():
                    seen = latents[:, rows[:, None], cols]
                    out = predict(seen[None], sampler.timesteps[step], [tile], [ids[place]])[0]
                total[branch][:, rows[:, None], cols] += weight * out
            count[rows[:, None], cols] += weight
        positive, negative = (branch / count for branch in total)
        latents = sampler.step((negative + 3 * (positive - negative)).float(), step, latents, noise)
    assert torch.allclose(sample(predict, kind=kind, eta=eta, steps=3), latents, atol=1e-4)


@pytest.mark.parametrize(("plan", "scale"), [(PLAN, 1.0), (PromptPlan(positive=PLAN.positive), 3.0)])
def test_without_guidance_the_negative_prompt_is_not_asked(plan, scale):
    asked, predict = [], conv_predictor()

    def watched(latents, timestep, tiles, ids):
        asked.extend(ids)
        return predict(latents, timestep, tiles, ids)

    sample(watched, plan=plan, scale=scale, steps=1)
    assert asked == list(PLAN.positive)


def test_every_tile_hears_its_own_prompts():
    heard = {}

    def predict(latents, timestep, tiles, ids):
        for tile, prompt in zip(tiles, ids, strict=True):
            heard.setdefault(tile, []).append(prompt)
        return latents

    plan = PromptPlan(positive=tuple(range(len(GRID))), negative=tuple(range(100, 100 + len(GRID))))
    sample(predict, plan=plan, steps=1)
    assert heard == {tile: [i, 100 + i] for i, tile in enumerate(GRID)}


def test_plan_must_fit_the_grid():
    with pytest.raises(ValueError, match="2 tiles"):
        sample(conv_predictor(), plan=PromptPlan(positive=(0, 1)))


def test_a_canvas_of_one_tile_is_plain_diffusion():
    predict, sampler = conv_predictor(), schedule(4)
    start = noise(START)[:, :16, :16].contiguous()
    windows = windows_for("multidiffusion", even_grid(Size(16, 16), 16, 8), steps=4, seed=0)
    fused = denoise(start, predict=predict, scheduler=sampler, windows=windows, prompts=PromptPlan(positive=(2,)))
    latents, tile = start, Tile(0, 0, 16, 16)
    for step, t in enumerate(sampler.timesteps):
        with torch.no_grad():
            latents = sampler.step(predict(latents[None], t, [tile], [2])[0], step, latents)
    assert torch.equal(fused, latents)


def test_beside_the_latents_only_the_sum_of_tiles_is_held_while_the_network_works():
    windows = windows_for("multidiffusion", GRID, steps=3, seed=9)
    held, before = [], canvases()
    denoise(
        noise(START),
        predict=conv_predictor(),
        scheduler=schedule(3),
        windows=windows,
        prompts=PLAN,
        on_tiles=lambda count: held.append(canvases() - before),
    )
    assert set(held) == {2}


def canvases() -> int:
    """Tensors of the size of the latents that are in memory."""
    return sum(type(each) is torch.Tensor and each.shape == (4, *CANVAS) for each in gc.get_objects())


def test_starts_in_the_middle():
    predict, sampler = conv_predictor(), schedule(4)
    states = {}
    whole = sample(predict, on_step=lambda step, latents: states.update({step: latents.clone()}))
    windows = windows_for("multidiffusion", GRID, steps=4, seed=9)
    half = denoise(
        states[1],
        predict=predict,
        scheduler=sampler,
        windows=windows,
        prompts=PLAN,
        guidance_scale=3.0,
        start=2,
    )
    assert torch.equal(half, whole)
    assert torch.equal(states[3], whole)


def test_the_start_is_not_changed():
    start = noise(START)
    kept = start.clone()
    windows = windows_for("multidiffusion", GRID, steps=4, seed=9)
    denoise(
        start,
        predict=conv_predictor(),
        scheduler=schedule(),
        windows=windows,
        prompts=PLAN,
        guidance_scale=2.0,
    )
    assert torch.equal(start, kept)


def test_guidance_is_called_around_the_step():
    calls = []

    class Steering(Guidance):
        def before_step(self, latents, step):
            calls.append(("before", step))

        def on_prediction(self, prediction, latents, step):
            calls.append(("prediction", step))
            return torch.zeros_like(prediction)

        def on_latents(self, latents, step):
            calls.append(("latents", step))
            return torch.full_like(latents, 7.0)

    result = sample(conv_predictor(), guidance=[Guidance(), Steering()], steps=2)
    assert calls == [(name, step) for step in range(2) for name in ("before", "prediction", "latents")]
    assert (result == 7).all()


def test_on_prediction_decides_the_step():
    """DeeDSR's noise guidance: x0 of the first step is given."""
    truth, sampler = noise(5), schedule(1)

    class Given(Guidance):
        def on_prediction(self, prediction, latents, step):
            return sampler.prediction_of(truth, step, latents)

    assert torch.allclose(sample(conv_predictor(), guidance=[Given()], steps=1), truth, atol=1e-6)


def test_progress_counts_every_window_once():
    done, steps = [], []
    sample(conv_predictor(), kind="spot-hybrid", on_tiles=done.append, on_step=lambda step, _: steps.append(step))
    windows = windows_for("spot-hybrid", GRID, steps=4, seed=9)
    assert sum(done) == sum(len(windows.at(step)) for step in range(4))
    assert steps == [0, 1, 2, 3]


def test_cancelling_ends_it():
    def cancel(done):
        raise Cancelled("stopped")

    with pytest.raises(Cancelled):
        sample(conv_predictor(), on_tiles=cancel)


def test_what_is_not_finite_is_asked_again_or_named():
    predict, bad = conv_predictor(), GRID.tiles[7]

    def broken(latents, timestep, tiles, ids):
        out = predict(latents, timestep, tiles, ids)
        for i, tile in enumerate(tiles):
            if tile == bad:
                out[i, 0, 3, 3] = float("nan")
        return out

    torch.testing.assert_close(sample(broken, retry=predict), sample(predict), rtol=0, atol=1e-5)
    for retry in (None, broken):
        with pytest.raises(NotFinite, match=f"row {bad.row}, column {bad.col}"):
            sample(broken, retry=retry)


@pytest.fixture
def batched(monkeypatch):
    """Batches as on a GPU."""
    monkeypatch.setattr(network, "one_by_one", lambda device: False)


def test_batches_shrink_until_they_fit(batched):
    predict, sizes = conv_predictor(), []

    def small(latents, timestep, tiles, ids):
        sizes.append(len(tiles))
        if len(tiles) > 3:
            raise torch.OutOfMemoryError("CUDA out of memory")
        ones = (slice(i, i + 1) for i in range(len(tiles)))
        return torch.cat([predict(latents[one], timestep, tiles[one], ids[one]) for one in ones])

    result = sample(small, batch=8, steps=2)
    assert max(sizes[: len(sizes) // 2]) > 3
    assert max(sizes[len(sizes) * 2 // 3 :]) <= 3
    assert torch.equal(result, sample(predict, batch=1, steps=2))


def test_a_tile_that_does_not_fit_is_an_error_for_people():
    def never(latents, timestep, tiles, ids):
        raise torch.OutOfMemoryError("CUDA out of memory")

    with pytest.raises(OutOfMemory, match="16x16 latents"):
        sample(never)


def test_batches_are_balanced(batched):
    predict, sizes = conv_predictor(), []

    def watched(latents, timestep, tiles, ids):
        sizes.append(len(tiles))
        return predict(latents, timestep, tiles, ids)

    sample(watched, batch=16, steps=1)
    assert sum(sizes) == 2 * len(GRID)
    assert max(sizes) - min(sizes) <= 1
    assert len(sizes) == -(-2 * len(GRID) // 16)


def test_classifier_free_guidance():
    positive, negative = torch.tensor([3.0]), torch.tensor([1.0])
    assert classifier_free([positive.clone(), negative], 5.5).item() == 12.0
    assert classifier_free([positive.clone()], 5.5).item() == 3.0


@pytest.mark.parametrize("canvas", [(1, 1), (3, 90), (17, 16), (16, 33), (101, 7)])
@pytest.mark.parametrize("kind", KINDS)
def test_any_size(canvas, kind):
    grid = even_grid(Size(*canvas), 16, 8)
    start = torch.from_numpy(position_noise(1, START, 4, Tile(0, 0, *canvas)))
    windows = windows_for(kind, grid, steps=2, seed=0)
    out = denoise(
        start, predict=lambda latents, *_: latents * 0.5, scheduler=schedule(2), windows=windows,
        prompts=PromptPlan(positive=(0,) * len(grid)),
    )  # fmt: skip
    assert out.shape == start.shape
    assert np.allclose(out, start * (out.flatten()[0] / start.flatten()[0]), atol=1e-5)
