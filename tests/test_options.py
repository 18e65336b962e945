"""Options: types, ranges, names, presets, and what a run is resolved to."""

from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path

import pytest

from zido_core.catalog import MINI
from zido_core.errors import InvalidOptions
from zido_core.option_spec import AUTOMATIC
from zido_core.options import OPTIONS, Options, ResolvedOptions, resolve


@pytest.mark.parametrize(
    ("name", "given", "kept"),
    [
        ("scale", 2, 2.0),
        ("scale", "2.5", 2.5),
        ("scale", "auto", None),
        ("tile_size", "512", 512),
        ("tile_size", 512.0, 512),
        ("tile_batch", "auto", None),
        ("tile_batch", "8", 8),
        ("bands", [4, 3, 2], (4, 3, 2)),
        ("bands", "4, 3, 2", (4, 3, 2)),
        ("bands", "1", (1,)),
        ("creation_options", "COMPRESS=ZSTD", ("COMPRESS=ZSTD",)),
        ("creation_options", ["A=1", "B=x=y"], ("A=1", "B=x=y")),
        ("nodata", "-9999", -9999.0),
        ("consistency", "auto", "auto"),
        ("cog", "true", True),
        ("manifest", Path("out.json"), "out.json"),
        ("stretch", "percentile:0.1,99.9", "percentile:0.1,99.9"),
        ("stretch", "range:-1e3,.5", "range:-1e3,.5"),
        ("device", "cuda:1", "cuda:1"),
    ],
)
def test_a_value_is_brought_into_its_type(name, given, kept):
    assert getattr(Options(**{name: given}), name) == kept
    assert type(getattr(Options(**{name: given}), name)) is type(kept)


@pytest.mark.parametrize(
    ("name", "given", "told"),
    [
        ("scale", 9, "a number from 1 to 8"),
        ("scale", math.nan, "a number from 1 to 8"),
        ("scale", True, "a number"),
        ("steps", 0, "from 1 to 1000"),
        ("steps", 2.5, "a whole number"),
        ("steps", "many", "a whole number"),
        ("fusion", "blend", "multidiffusion, mixture, spot, spot-hybrid"),
        ("preset", None, "quality, balanced, fast, preview"),
        ("bands", "4,3", "one or three"),
        ("bands", "0,1,2", "from 1 to"),
        ("bands", 4, "a whole number"),
        ("creation_options", "COMPRESS", "KEY=VALUE"),
        ("stretch", "percentile:2", "percentile:LO,HI"),
        ("device", "gpu", "auto, cpu, cuda, cuda:N or mps"),
        ("cog", "maybe", "true or false"),
        ("prompt", 3, "text"),
        ("dtype", "complex64", "uint8"),
        ("seed", -1, "from 0"),
    ],
)
def test_a_wrong_value_is_told_with_its_name_and_what_was_expected(name, given, told):
    with pytest.raises(InvalidOptions) as caught:
        Options.from_dict({name: given})
    message = str(caught.value)
    assert message.startswith(name)
    assert told in message
    assert "\n" not in message


@pytest.mark.parametrize(
    ("name", "near"), [("scal", "scale"), ("tile-size", "tile_size"), ("guidence_scale", "guidance_scale")]
)
def test_an_unknown_name_is_answered_with_the_nearest(name, near):
    with pytest.raises(InvalidOptions, match=f"no option '{name}'; did you mean '{near}'"):
        Options.from_dict({name: 1})


def test_an_unknown_name_like_none_points_to_the_help():
    with pytest.raises(InvalidOptions, match="zido --help"):
        Options.from_dict({"qqqqqq": 1})


def test_defaults_are_left_out_of_the_dict():
    assert Options().to_dict() == {}
    assert Options(scale=2, bands=[4, 3, 2]).to_dict() == {"scale": 2.0, "bands": [4, 3, 2]}


def test_the_dict_goes_through_json_and_back():
    options = Options(scale=3, bands=(1,), creation_options=("A=1",), cog=True, dtype="uint16", seed=7)
    assert Options.from_dict(json.loads(json.dumps(options.to_dict()))) == options


def test_nan_as_nodata_survives_strict_json():
    text = json.dumps(Options(nodata=math.nan).to_dict(), allow_nan=False)
    kept = Options.from_dict(json.loads(text)).nodata
    assert kept is not None
    assert math.isnan(kept)


def test_options_do_not_change():
    with pytest.raises(dataclasses.FrozenInstanceError):
        Options().scale = 2  # type: ignore[misc]


@pytest.mark.parametrize("spec", OPTIONS.values(), ids=OPTIONS)
def test_every_option_describes_itself(spec):
    assert spec.help
    assert not spec.help.endswith(".")
    assert spec.kind in (bool, int, float, str)
    assert spec.kind is not int or spec.minimum is not None
    assert spec.convert(spec.default) == spec.default
    if spec.optional:
        assert spec.convert(AUTOMATIC) is None


@pytest.mark.parametrize(
    ("preset", "steps", "fidelity"),
    [
        ("quality", 8, MINI.fidelity),
        ("balanced", MINI.steps, MINI.fidelity),
        ("fast", 2, MINI.fidelity),
        ("preview", MINI.steps, 1.0),
    ],
)
def test_a_preset_sets_what_was_left_open(preset, steps, fidelity):
    resolved = resolve(Options(preset=preset), MINI, "photo")
    assert (resolved.steps, resolved.fidelity) == (steps, fidelity)


def test_what_the_user_says_beats_the_preset():
    assert resolve(Options(preset="quality", steps=3), MINI, "photo").steps == 3


@pytest.mark.parametrize(("kind", "color_fix", "consistency"), [("raster", "none", "on"), ("photo", "wavelet", "off")])
def test_rasters_and_photographs_differ_in_colour(kind, color_fix, consistency):
    resolved = resolve(Options(), MINI, kind)
    assert (resolved.color_fix, resolved.consistency) == (color_fix, consistency)


def test_consistency_can_be_forced():
    assert resolve(Options(consistency="off"), MINI, "raster").consistency == "off"
    assert resolve(Options(consistency="on"), MINI, "photo").consistency == "on"
    assert resolve(Options(consistency="local"), MINI, "raster").consistency == "local"


def test_resolving_leaves_nothing_open_but_what_the_input_or_machine_decides():
    resolved = resolve(Options(), MINI, "raster")
    open_still = {name for name in OPTIONS if getattr(resolved, name) is None}
    assert open_still == {
        "bands",
        "dask",
        "uncertainty",
        "samples",
        "report",
        "report_boxes",
        "block_size",
        "save_every",
        "dtype",
        "nodata",
        "tile_batch",
        "save_prompts",
        "timestep_spacing",
        "timesteps",
        "manifest",
        "model_dir",
        "tagger_dir",
    }


def test_resolving_twice_changes_nothing():
    once = resolve(Options(preset="fast", tile_size=256), MINI, "raster")
    assert resolve(once, MINI, "raster") == once


def test_the_record_holds_what_can_change_the_result_and_nothing_else():
    resolved = resolve(Options(bands=(3, 2, 1), overwrite=True, tile_batch=4), MINI, "raster")
    record = resolved.record()
    assert record["bands"] == [3, 2, 1]
    assert record["tile_size"] == MINI.tile_size
    assert not {"overwrite", "tile_batch", "dry_run", "debug", "device", "manifest"} & set(record)
    json.dumps(record, allow_nan=False)


TILES = dataclasses.replace(MINI, tile_size=512, tile_overlap=128)
"""A model with these tiles, whatever suits the embedded one best."""


@pytest.mark.parametrize(
    ("given", "overlap"),
    [
        ({}, 128),
        ({"tile_size": 256}, 64),
        ({"tile_size": 32}, 8),
        ({"tile_size": 96}, 24),
        ({"tile_overlap": 0}, 0),
        ({"fusion": "spot"}, 0),
        ({"fusion": "spot-hybrid"}, 128),
    ],
)
def test_the_overlap_follows_the_tile_size_and_the_fusion(given, overlap):
    assert resolve(Options(**given), TILES, "raster").tile_overlap == overlap


@pytest.mark.parametrize(
    ("given", "weights"),
    [
        ({}, "cosine"),
        ({"fusion": "mixture"}, "gaussian"),
        ({"fusion": "mixture", "tile_weights": "uniform"}, "uniform"),
    ],
)
def test_a_mixture_is_gaussian_unless_asked_otherwise(given, weights):
    assert resolve(Options(**given), MINI, "raster").tile_weights == weights


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"tile_size": 500}, "multiple of 32: try 512"),
        ({"tile_overlap": 512}, "must be smaller: try 256"),
        ({"tile_overlap": 130}, "multiple of 4: try 128"),
    ],
)
def test_tiles_that_the_model_cannot_do_are_refused_with_a_proposal(given, told):
    with pytest.raises(InvalidOptions, match=told):
        resolve(Options(**given), TILES, "raster")


def test_resolved_options_repeat_only_names_of_options():
    assert {field.name for field in dataclasses.fields(ResolvedOptions)} == set(OPTIONS)
