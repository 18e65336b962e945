"""The catalogue: what each model says about itself is complete and consistent."""

from __future__ import annotations

from typing import get_args

import pytest

from zido_core.catalog import DEFAULT_MODEL, MODELS, Preset, describe
from zido_core.errors import InvalidOptions
from zido_core.options import OPTIONS, Options, resolve

MODEL_CASES = pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)


@MODEL_CASES
def test_a_models_sizes_fit_together(model):
    assert model.tile_size % model.tile_multiple == 0
    assert model.tile_multiple % model.latent_stride == 0
    assert model.tile_overlap % model.latent_stride == 0
    assert model.tile_overlap < model.tile_size


@MODEL_CASES
@pytest.mark.parametrize("preset", get_args(Preset))
@pytest.mark.parametrize("kind", ["raster", "photo"])
def test_every_preset_resolves_for_every_kind_of_image(model, preset, kind):
    assert set(model.preset(preset)) <= set(OPTIONS)
    assert resolve(Options(model=model.name, preset=preset), model, kind).model == model.name


@MODEL_CASES
def test_a_model_names_its_paper_licence_and_files(model):
    assert all((model.title, model.paper, model.citation, model.licence, model.memory, model.files))
    assert {"cpu", "cuda", "mps"} <= set(model.precisions)


def test_the_default_model_needs_no_download():
    assert all(file.embedded for file in describe(DEFAULT_MODEL).files)


@pytest.mark.parametrize(("name", "told"), [("mimi", "did you mean 'mini'"), ("xyz", "known models: mini")])
def test_an_unknown_model_is_answered_with_a_known_one(name, told):
    with pytest.raises(InvalidOptions, match=told):
        describe(name)
