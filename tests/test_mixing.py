"""What one method brings serves the others: each mixture end to end on tiny networks."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from tests.tiny_deedsr import write_deedsr
from tests.tiny_models import write_seesr
from tests.tiny_stablesr import write_stablesr
from zido_core import catalog
from zido_core.catalog import MODELS
from zido_core.pipeline import Upscaler
from zido_core.sampling.noise_guidance import NoiseGuidance

SMALL = {"tile_size": 128, "tile_overlap": 64, "steps": 2}
WRITERS = {"stablesr": write_stablesr, "zido": write_seesr, "deedsr": write_deedsr}
LOCAL = {"prompts": "local", "tagger": "scene", "guidance_scale": 3.0}

MIXTURES = {
    "StableSR with ZIDO's local prompts": ("stablesr", LOCAL),
    "StableSR with local prompts, guided away from its negative prompt": (
        "stablesr",
        LOCAL | {"negative_prompt": "3d"},
    ),
    "StableSR with DeeDSR's noise guidance": ("stablesr", {"noise_guidance": 1}),
    "StableSR with local prompts and the structure prior": ("stablesr", LOCAL | {"priors": "gsp"}),
    "ZIDO with StableSR's aggregation": ("zido", {"fusion": "mixture"}),
    "ZIDO with StableSR's weights": ("zido", {"tile_weights": "gaussian"}),
    "ZIDO with StableSR's wavelet colours": ("zido", {"color_fix": "wavelet"}),
    "ZIDO with DeeDSR's noise guidance": ("zido", {"noise_guidance": 1}),
    "ZIDO with noise guidance and the structure prior": ("zido", {"noise_guidance": 1, "priors": "gsp"}),
    "DeeDSR with StableSR's pixel colours": ("deedsr", {"color_fix": "adain"}),
    "DeeDSR with C-Upscale's structure prior": ("deedsr", {"priors": "gsp"}),
    "DeeDSR by another solver, from the input": ("deedsr", {"sampler": "ddpm", "start": "lr", "noise_guidance": 0}),
    "the embedded model with DeeDSR's noise guidance": ("mini", {"noise_guidance": 1}),
}

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")


@pytest.fixture(scope="module")
def made(tmp_path_factory, example_photo):
    """What a mixture makes of a piece of a photograph; models are loaded once."""
    with Image.open(example_photo) as photo:
        pixels = np.asarray(photo.convert("RGB").crop((60, 60, 108, 92)))
    loaded: dict[str, Upscaler] = {}

    def make(model, **said):
        if model not in loaded:
            folder = None if model not in WRITERS else str(WRITERS[model](tmp_path_factory.mktemp(model)))
            with torch.random.fork_rng():
                torch.manual_seed(0)
                loaded[model] = Upscaler.load(model, device="cpu", model_dir=folder)
        return loaded[model].upscale(pixels, **SMALL, **said).image

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(catalog, "MODELS", {name: replace(each, least_side=0) for name, each in MODELS.items()})
        yield make


@pytest.mark.parametrize("mixture", MIXTURES)
def test_a_mixture_runs_and_counts(mixture, made):
    model, said = MIXTURES[mixture]
    mixed, plain = made(model, **said), made(model)
    assert mixed.shape == plain.shape == (128, 192, 3)
    assert not np.array_equal(mixed, plain)
    np.testing.assert_array_equal(mixed, made(model, **said))


def test_local_prompts_reach_stablesr(made):
    """Every tile hears its own words: one prompt for all is another image."""
    assert not np.array_equal(made("stablesr", **LOCAL), made("stablesr", **LOCAL | {"prompts": "global"}))


@pytest.mark.parametrize(("said", "steps"), [({}, {0}), ({"noise_guidance": 2}, {0, 1}), ({"noise_guidance": 0}, None)])
def test_noise_guidance_leads_in_the_first_steps(said, steps, made, monkeypatch):
    led, plain = [], NoiseGuidance.on_prediction

    def watched(self, prediction, latents, step):
        led.append(self.steps)
        return plain(self, prediction, latents, step)

    monkeypatch.setattr(NoiseGuidance, "on_prediction", watched)
    made("deedsr", **said)
    assert led == ([] if steps is None else [steps] * 2)


def test_noise_guidance_counts_from_the_step_that_sampling_starts_with(made, monkeypatch):
    led = []
    monkeypatch.setattr(
        NoiseGuidance, "on_prediction", lambda self, p, latents, step: led.append((step, self.steps)) or p
    )
    made("zido", noise_guidance=1, strength=0.5)
    assert led == [(1, {1})]
