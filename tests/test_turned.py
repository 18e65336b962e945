"""The eight views: what is turned is turned back, and their mean has no preferred direction."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tests.plain_backbone import PlainBackbone
from zido_core.backbones.base import Told
from zido_core.backbones.turned import TURNS, Turned
from zido_core.catalog import describe
from zido_core.errors import InvalidOptions
from zido_core.options import Options, resolve
from zido_core.tiling.grid import Size, Tile

CANVAS = Size(6, 9)


def numbers(*shape):
    return torch.arange(float(np.prod(shape))).reshape(shape)


def test_there_are_eight_views_and_the_first_is_upright():
    views = {tuple(turn.of(numbers(1, 3, 3)).flatten().tolist()) for turn in TURNS}
    assert len(views) == 8
    assert torch.equal(TURNS[0].of(numbers(1, 3, 4)), numbers(1, 3, 4))


@pytest.mark.parametrize("turn", TURNS)
def test_back_undoes_of(turn):
    assert torch.equal(turn.back(turn.of(numbers(2, 6, 9))), numbers(2, 6, 9))


@pytest.mark.parametrize("turn", TURNS)
@pytest.mark.parametrize("tile", [Tile(0, 0, 2, 2), Tile(1, 4, 3, 5), Tile(4, 7, 2, 2), Tile.whole(CANVAS)])
def test_a_tile_of_the_turned_canvas_is_the_turned_tile(turn, tile):
    canvas = numbers(1, *CANVAS)
    turned = turn.of_tile(tile, CANVAS)
    assert torch.equal(turn.of(canvas)[:, *turned.slices], turn.of(canvas[:, *tile.slices]))


class Leaning(PlainBackbone):
    """Sees where its view lies: brighter to the right, and predicts its condition."""

    def condition(self, image, place, prompts, advance, options, told=()):
        assert image.shape[1:] == place.size
        return image + torch.linspace(0, 1, image.shape[2])

    def predict(self, condition, latents, timestep, tiles, prompt_ids):
        return torch.stack([latents[at] + condition[:1, *tile.slices] for at, tile in enumerate(tiles)])


@pytest.mark.parametrize("turn", TURNS)
def test_predictions_are_those_of_the_turned_view(turn):
    image, tile = numbers(3, 5, 8), Tile(1, 2, 4, 4)
    model = Turned(Leaning(), turn)
    condition = model.condition(image, Tile.whole(CANVAS), (), lambda work: None, None)
    latents = numbers(1, 1, 4, 4)
    got = model.predict(condition, latents, torch.tensor(0), [tile], [0])
    filled = torch.from_numpy(np.pad(image.numpy(), [(0, 0), (0, 1), (0, 1)], mode="edge"))
    seen = turn.back(turn.of(filled) + torch.linspace(0, 1, turn.of(filled).shape[2]))
    assert torch.allclose(got, latents + seen[:1, *tile.slices])
    assert model.encode(condition).shape == (1, *CANVAS)


class Listening(PlainBackbone):
    """Keeps who hears what."""

    def condition(self, image, place, prompts, advance, options, told=()):
        return told


@pytest.mark.parametrize("turn", TURNS)
def test_what_tiles_hear_turns_with_them(turn):
    tiles = [Tile(0, 0, 3, 5), Tile(2, 3, 3, 5)]
    told = list(map(Told, tiles, (1, 0)))
    condition = Turned(Listening(), turn).condition(numbers(3, 5, 8), Tile.whole(CANVAS), (), print, None, told)
    assert condition.own == [Told(turn.of_tile(tile, CANVAS), prompt) for tile, prompt in told]


@pytest.mark.parametrize("turn", TURNS)
def test_the_image_comes_back_upright_without_what_filled_the_canvas(turn):
    image = torch.rand(3, 5, 8, generator=torch.Generator().manual_seed(0))
    model = Turned(PlainBackbone(), turn)
    condition = model.condition(image, Tile.whole(CANVAS), (), lambda work: None, None)
    got = model.decode(condition, None, fidelity=1)
    assert np.array_equal(got, image.repeat_interleave(4, 1).repeat_interleave(4, 2).numpy())


@pytest.mark.parametrize("turn", TURNS[1:6:2])
def test_the_mean_has_no_preferred_direction(upscaler, turn):
    """Whatever is left to chance aside: the result of a turned image is the turned result."""
    pixels = np.random.default_rng(0).integers(40, 200, (24, 40, 3), dtype=np.uint8)
    turned = turn.of(torch.from_numpy(pixels.transpose(2, 0, 1))).numpy().transpose(1, 2, 0)
    how = {"fidelity": 1, "consistency": "off"}
    upright, other = (upscaler.upscale(np.ascontiguousarray(each), tta=True, **how).image for each in (pixels, turned))
    back = turn.back(torch.from_numpy(other.transpose(2, 0, 1))).numpy().transpose(1, 2, 0)
    alone = upscaler.upscale(np.ascontiguousarray(turned), **how).image
    alone = turn.back(torch.from_numpy(alone.transpose(2, 0, 1))).numpy().transpose(1, 2, 0)
    assert np.abs(back.astype(int) - upright).max() <= 1  # of 255: sums in another order
    assert np.abs(alone.astype(int) - upright).max() > 1


def test_sampling_goes_through_all_views(upscaler):
    pixels = np.random.default_rng(0).integers(40, 200, (24, 40, 3), dtype=np.uint8)
    one, mean = (upscaler.upscale(pixels, steps=2, fidelity=0, tta=tta) for tta in (False, True))
    assert mean.image.shape == one.image.shape
    assert not np.array_equal(mean.image, one.image)
    assert mean.manifest["options"]["tta"] is True


def test_not_with_a_prior_that_looks_into_the_network():
    with pytest.raises(InvalidOptions, match="tta"):
        resolve(Options(model="c-upscale", tta=True), describe("c-upscale"), "photo")
