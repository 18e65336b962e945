"""The regional attention prior: equal to the paper's own way, rows of attention stay so, networks come back stock."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from diffusers import PixArtTransformer2DModel, SD3Transformer2DModel, UNet2DConditionModel
from diffusers.models.attention_processor import AttnProcessor, AttnProcessor2_0

from tests.tiny_models import randomised
from zido_core.backbones.regional_attention import (
    ALONE,
    MEAN,
    UNTOUCHED,
    Attended,
    Listening,
    halved,
    interpolated,
    listeners,
)
from zido_core.tiling.grid import Size, Tile

CANVAS, VIEW = Size(48, 64), Size(12, 16)
TILE = Tile(8, 24, 16, 16)


def unet(**config):
    made = UNet2DConditionModel(
        sample_size=16,
        layers_per_block=1,
        block_out_channels=(8, 16),
        down_block_types=("CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D"),
        norm_num_groups=4,
        attention_head_dim=2,
        cross_attention_dim=12,
        **config,
    )
    return randomised(made).eval()


def pixart():
    made = PixArtTransformer2DModel(
        num_attention_heads=2, attention_head_dim=4, num_layers=2, sample_size=16, cross_attention_dim=8,
        caption_channels=12, norm_num_groups=4,
    )  # fmt: skip
    return randomised(made).eval()


def ask(network, latents, words):
    told = {"encoder_hidden_states": words.expand(len(latents), -1, -1), "timestep": torch.tensor([500])}
    if isinstance(network, PixArtTransformer2DModel):
        told |= {"added_cond_kwargs": {"resolution": None, "aspect_ratio": None}}
        told["timestep"] = told["timestep"].expand(len(latents))
    with torch.no_grad():
        return network(latents, return_dict=False, **told)[0]


@pytest.fixture(params=[unet, pixart], ids=["unet", "pixart"])
def network(request):
    with torch.random.fork_rng():
        torch.manual_seed(3)
        return request.param()


def random(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def looked(network, view=VIEW, canvas=CANVAS, seed=1):
    with Listening(network) as listening, listening.recording() as layers:
        ask(network, random(1, 4, *view, seed=seed), random(1, 7, 12, seed=2))
    return Attended(view=view, canvas=canvas, layers=layers)


@pytest.mark.parametrize("size", [Size(16, 16), Size(8, 8), Size(5, 3)])
@pytest.mark.parametrize("tile", [TILE, Tile(0, 0, *CANVAS), Tile(40, 60, 16, 16)])
def test_rows_of_attention_still_sum_to_one(tile, size):
    """The last tile goes around both borders, as SpotDiffusion's windows do."""
    attention = random(*VIEW, 77).softmax(-1)
    rows = interpolated(attention, tile, size, CANVAS)
    assert rows.shape == (*size, 77)
    assert float(rows.min()) >= 0
    torch.testing.assert_close(rows.sum(-1), torch.ones(size))


def test_it_is_bilinear_interpolation_and_a_crop():
    maps = random(*VIEW, 5)
    large = torch.nn.functional.interpolate(
        maps.permute(2, 0, 1)[None], size=CANVAS, mode="bilinear", align_corners=False
    )[0].permute(1, 2, 0)
    torch.testing.assert_close(interpolated(maps, TILE, TILE.size, CANVAS), large[TILE.slices])


def test_in_half_precision_what_is_equal_everywhere_stays_so():
    maps = torch.full((*VIEW, 3), 0.7, dtype=torch.bfloat16)
    assert bool((interpolated(maps, TILE, Size(16, 16), CANVAS) == maps[0, 0]).all())


def test_a_view_of_the_same_size_is_taken_as_it_is():
    maps = random(*CANVAS, 3)
    assert torch.equal(interpolated(maps, TILE, TILE.size, CANVAS), maps[TILE.slices])


@pytest.mark.parametrize(
    ("size", "places", "expected"),
    [(Size(64, 64), 1024, Size(32, 32)), (Size(9, 5), 15, Size(5, 3)), (Size(9, 5), 45, Size(9, 5))],
)
def test_sizes_at_depths(size, places, expected):
    assert halved(size, places) == expected


def test_a_size_that_no_halving_gives_is_told():
    with pytest.raises(ValueError, match="100 places are no 9x5 latents"):
        halved(Size(9, 5), 100)


def test_attending_first_and_interpolating_then_is_the_papers_way(network):
    """Literally: scores of the view, interpolated along the image, cropped, times the values of the global prompt."""
    words, latents = random(1, 7, 12, seed=2), random(1, 4, *VIEW, seed=1)
    attended, scores = looked(network), {}

    class Scores(AttnProcessor):
        def __init__(self, name):
            super().__init__()
            self.name = name

        def __call__(self, attn, hidden_states, encoder_hidden_states=None, attention_mask=None):
            heads = [
                attn.head_to_batch_dim(project(told))
                for project, told in (
                    (attn.to_q, hidden_states), (attn.to_k, encoder_hidden_states), (attn.to_v, encoder_hidden_states)
                )
            ]  # fmt: skip
            scores[self.name] = attn.get_attention_scores(heads[0], heads[1]), heads[2], attn
            return super().__call__(attn, hidden_states, encoder_hidden_states, attention_mask)

    for name, layer in listeners(network).items():
        layer.set_processor(Scores(name))
    ask(network, latents, words)
    for name, (attention, values, attn) in scores.items():
        size = halved(VIEW, attention.shape[1])
        places = halved(TILE.size, 64 if attention.shape[1] < VIEW.height * VIEW.width else 256)
        maps = attention.unflatten(1, size).permute(1, 2, 0, 3).flatten(2)
        region = interpolated(maps, TILE, places, CANVAS).unflatten(2, (len(values), -1)).permute(2, 0, 1, 3)
        with torch.no_grad():
            expected = attn.to_out[0](attn.batch_to_head_dim(region.flatten(1, 2) @ values))[0]
        found = attended.of(name, TILE, places.height * places.width)
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)


def test_where_view_and_region_are_one_the_composer_changes_nothing(network):
    whole = Tile.whole(VIEW)
    latents, words = random(1, 4, *VIEW, seed=1), random(1, 7, 12, seed=2)
    attended, plain = looked(network, canvas=VIEW), ask(network, latents, words)
    for share in (MEAN, ALONE):
        with Listening(network) as listening, listening.composing(attended, [whole], [share]):
            assert torch.equal(ask(network, latents, words), plain)


def test_the_negative_branch_is_untouched_bit_for_bit(network):
    latents, words = random(2, 4, 16, 16), random(1, 7, 12, seed=5)
    plain = ask(network, latents, words)
    with Listening(network) as listening, listening.composing(looked(network), [TILE, TILE], [UNTOUCHED, MEAN]):
        found = ask(network, latents, words)
    assert torch.equal(found[0], plain[0])
    assert float((found[1] - plain[1]).abs().max()) > 1e-3


def test_the_prior_depends_on_the_place_of_the_region(network):
    latents, words, attended = random(1, 4, 16, 16), random(1, 7, 12, seed=5), looked(network)
    found = []
    for tile in (TILE, TILE._replace(col=0)):
        with Listening(network) as listening, listening.composing(attended, [tile], [ALONE]):
            found.append(ask(network, latents, words))
    assert float((found[0] - found[1]).abs().max()) > 1e-4


def test_threads_compose_each_for_itself(network):
    latents, words, attended = random(1, 4, 16, 16), random(1, 7, 12, seed=5), looked(network)
    tiles = [TILE, TILE._replace(col=0), TILE._replace(row=0), None]

    def one(tile):
        if tile is None:
            return ask(network, latents, words)
        with listening.composing(attended, [tile], [MEAN]):
            return ask(network, latents, words)

    with Listening(network) as listening:
        alone = [one(tile) for tile in tiles]
        with ThreadPoolExecutor(4) as pool:
            together = list(pool.map(one, tiles * 4))
    for found, expected in zip(together, alone * 4, strict=True):
        assert torch.equal(found, expected)


def test_composed_features_are_the_mean_of_both():
    layer = listeners(unet())["mid_block.attentions.0.transformer_blocks.0.attn2"]
    hidden, words = random(1, 16, 16), random(1, 7, 12)
    with torch.no_grad():
        own = layer(hidden, encoder_hidden_states=words)
    prior = random(16, 16, seed=4)
    attended = Attended(view=Size(4, 4), canvas=Size(4, 4), layers={"": prior})
    for share in (UNTOUCHED, MEAN, ALONE):
        with Listening(layer) as listening, listening.composing(attended, [Tile(0, 0, 4, 4)], [share]), torch.no_grad():
            found = layer(hidden, encoder_hidden_states=words)
        torch.testing.assert_close(found[0], (1 - share) * own[0] + share * prior)


def test_processors_are_ejected_also_after_an_error(network):
    stock = {name: layer.processor for name, layer in listeners(network).items()}
    assert stock
    assert all(isinstance(processor, AttnProcessor2_0) for processor in stock.values())
    with pytest.raises(ValueError, match="forward"), Listening(network):
        check_and_break(network, stock)
    assert {name: layer.processor for name, layer in listeners(network).items()} == stock


def check_and_break(network, stock):
    assert all(layer.processor is not stock[name] for name, layer in listeners(network).items())
    raise ValueError("in the middle of a forward pass")


def test_joint_attention_has_nothing_to_listen_to():
    joint = SD3Transformer2DModel(
        sample_size=16, num_layers=1, attention_head_dim=4, num_attention_heads=2, joint_attention_dim=8,
        caption_projection_dim=8, pooled_projection_dim=8, pos_embed_max_size=16,
    )  # fmt: skip
    assert listeners(joint) == {}
