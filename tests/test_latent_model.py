"""What all models of latents share, on a tiny model of each family."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tests import tiny_diffusion
from tests.tiny_models import write_seesr
from tests.tiny_stablesr import write_stablesr
from zido_core.backbones import latent_model, load_backbone
from zido_core.backbones.compiling import compile_repeated
from zido_core.backbones.placing import Placing
from zido_core.catalog import describe
from zido_core.errors import DeviceUnavailable, NotFinite
from zido_core.options import Options, resolve
from zido_core.prompts.base import Prompt
from zido_core.sampling.denoise import PromptPlan, denoise
from zido_core.sampling.samplers import sampler_for
from zido_core.sampling.windows import windows_for
from zido_core.tiling.grid import Size, Tile, even_grid

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")

WRITERS = {
    "zido": write_seesr,
    "stablesr": write_stablesr,
    "sd21": tiny_diffusion.write_controlled,
    "sdxl": tiny_diffusion.write_xl,
}
"""Model -> what its folder holds; the one of 2.1 has a ControlNet."""

CANVAS, TILE = Size(16, 24), Tile(0, 8, 16, 16)
TIME = torch.tensor(501)


@pytest.fixture(scope="session", params=WRITERS)
def model(request, tmp_path_factory):
    """A model's name and its folder."""
    folder = tmp_path_factory.mktemp(request.param)
    with torch.random.fork_rng():
        WRITERS[request.param](folder)
    return request.param, folder


def load(model, precision=torch.float32, **how):
    name, folder = model
    return load_backbone(describe(name), "cpu", precision, str(folder), **how)


def random(*shape, seed=0):
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed))


def condition_of(backbone, advance=lambda work: None):
    name, factor = backbone.descriptor.name, backbone.descriptor.latent_stride // backbone.descriptor.native_scale
    options = resolve(Options(model=name), describe(name), "raster")
    prompts = (Prompt(text="roof"), Prompt(text=""))
    return backbone.condition(random(3, *CANVAS.scaled(factor)), Tile.whole(CANVAS), prompts, advance, options)


def overflowing(backbone):
    """The first convolution gives what no half-precision number holds; the normalisation after it takes that back."""
    with torch.no_grad():
        unet = backbone.parts.unet
        weight = getattr(unet, "unet", unet).conv_in.weight
        weight.copy_(weight.float() * (6e4 / weight.float().abs().max()))
    return backbone


class TestPrecision:
    def test_float32_is_given_back_as_it_came(self, model):
        backbone = load(model, torch.float16)
        before = {name: tensor.clone() for name, tensor in backbone.parts.unet.state_dict().items()}
        predicted = backbone.predict_precisely(condition_of(backbone), random(1, 4, 16, 16), TIME, [TILE], [0])
        assert predicted.dtype == torch.float32
        after = backbone.parts.unet.state_dict()
        assert all(torch.equal(after[name], before[name]) for name in before)

    def test_a_tile_that_half_precision_cannot_hold_is_computed_in_float32(self, model):
        half, full = overflowing(load(model, torch.float16)), overflowing(load(model))
        latents = random(1, 4, 16, 16)
        assert not torch.isfinite(half.predict(condition_of(half), latents, TIME, [TILE], [0])).all()
        result, expected = (sampled(backbone) for backbone in (half, full))
        assert torch.isfinite(result).all()
        assert (result - expected).std() < 0.1 * expected.std()

    def test_what_float32_does_not_save_is_an_error(self, model):
        backbone = load(model, torch.bfloat16)
        with torch.no_grad():
            next(backbone.parts.unet.parameters()).fill_(torch.nan)
        with pytest.raises(NotFinite, match="row 0, column 0"):
            sampled(backbone)


def sampled(backbone):
    """Two steps over three tiles."""
    condition = condition_of(backbone)
    return denoise(
        random(4, *CANVAS, seed=3) * 2 - 1,
        predict=lambda *crops: backbone.predict(condition, *crops),
        retry=lambda *crops: backbone.predict_precisely(condition, *crops),
        scheduler=sampler_for("ddim", backbone.schedule, 2),
        windows=windows_for("multidiffusion", even_grid(CANVAS, 16, 8), steps=2, seed=0),
        prompts=PromptPlan(positive=(0,) * 2),
    )


def test_networks_that_wait_are_not_missed(model):
    """With ``offload`` everything is computed as without; on a CPU nothing moves."""
    plain, moving = load(model), load(model, offload=True)
    assert torch.equal(*(sampled(backbone) for backbone in (plain, moving)))
    images = [backbone.decode(condition_of(backbone), random(4, *CANVAS), fidelity=0.5) for backbone in (plain, moving)]
    np.testing.assert_array_equal(*images)


@pytest.mark.parametrize("model", ["sd21"], indirect=True)
class TestCompiling:
    def test_repeated_blocks_are_compiled_and_give_the_same(self, model):
        """By the backend that compiles nothing: which blocks, which shapes, not how well."""
        plain, compiled = load(model), load(model)
        count = compile_repeated(compiled.parts.denoisers, torch.device("cpu"), backend="eager")
        assert count > 4
        torch.testing.assert_close(*(sampled(backbone) for backbone in (compiled, plain)), rtol=0, atol=1e-5)

    def test_where_nothing_can_be_compiled_it_is_said(self, model, monkeypatch):
        def broken(*arguments, **options):
            raise RuntimeError("no compiler found\n  at length")

        monkeypatch.setattr(torch, "compile", broken)
        with pytest.raises(DeviceUnavailable, match=r"for cpu here \(RuntimeError: no compiler found\).*Leave out"):
            load(model, compiled=True)

    def test_it_is_asked_for_by_the_option(self, model, monkeypatch):
        asked = []
        monkeypatch.setattr(latent_model, "compile_repeated", lambda networks, device: asked.append(len(networks)))
        assert not load(model, compiled=True).parallel
        assert load(model).parallel
        assert len(asked) == 1


def test_only_networks_at_work_are_on_the_device():
    """The device is one that holds no numbers; what has been there once is recognised by that."""
    text, unet, vae = (torch.nn.Linear(2, 2) for _ in range(3))
    placing = Placing(torch.device("meta"), offload=False)
    for network in (text, unet, vae):
        placing.ready(network)
    assert {network.weight.device.type for network in (text, unet, vae)} == {"meta"}

    moved = []

    class Recorded(torch.nn.Linear):
        def to(self, *where, **how):
            moved.append((self.out_features, str(where[0])))
            return self

    text, unet, hint, vae = (Recorded(1, number) for number in (1, 2, 3, 4))
    placing = Placing(torch.device("cuda"), offload=True)
    for networks in ((text,), (unet, hint), (unet, hint), (vae,)):
        placing.ready(*networks)
    assert moved == [
        (1, "cuda"),
        (1, "cpu"), (2, "cuda"), (3, "cuda"),
        (2, "cpu"), (3, "cpu"), (4, "cuda"),
    ]  # fmt: skip
