"""Tiled autoencoders against diffusers' own, whole."""

from __future__ import annotations

import math
import re

import pytest
import torch
from diffusers import AutoencoderKL
from torch import nn

from zido_core.backbones import feature_maps, lockstep
from zido_core.backbones import vae as vae_module
from zido_core.backbones.feature_maps import FeatureMap, Moments
from zido_core.backbones.vae import decode_tiled, encode_tiled
from zido_core.errors import Cancelled, InvalidOptions, NotFinite
from zido_core.tiling.grid import Size, Tile, partition

FLOAT_NOISE = 100
"""Decibels: what two orders of the same sums in float32 keep."""


def make_vae(widths=(8, 16, 16), *, groups=4, seed=0, **config) -> AutoencoderKL:
    """Random weights; the normalisations' own differ from channel to channel, as trained ones do."""
    torch.manual_seed(seed)
    vae = AutoencoderKL(
        block_out_channels=widths,
        norm_num_groups=groups,
        down_block_types=("DownEncoderBlock2D",) * len(widths),
        up_block_types=("UpDecoderBlock2D",) * len(widths),
        **config,
    )
    for module in vae.modules():
        if isinstance(module, nn.GroupNorm):
            nn.init.normal_(module.weight, 1, 0.3)
            nn.init.normal_(module.bias, 0, 0.5)
    return vae.eval().requires_grad_(False)


@pytest.fixture(scope="module")
def vae() -> AutoencoderKL:
    return make_vae()


def noise(*shape: int, seed: int = 1) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def whole_decode(vae, latents):
    return vae.decode(latents[None]).sample[0]


def whole_encode(vae, image):
    return vae.encode(image[None]).latent_dist.parameters[0]


def decibels(found: torch.Tensor, truth: torch.Tensor) -> float:
    assert found.shape == truth.shape
    error = float((found - truth).square().mean())
    return math.inf if error == 0 else 10 * math.log10(float(truth.max() - truth.min()) ** 2 / error)


@pytest.mark.parametrize(
    ("height", "width", "tile_size"),
    [(9, 15, 16), (24, 13, 32), (1, 20, 16), (7, 1, 12), (16, 16, 64), (11, 18, 20)],
)
def test_exact_decode_is_the_untiled_decode(vae, height, width, tile_size):
    latents = noise(4, height, width)
    assert decibels(decode_tiled(vae, latents, tile_size=tile_size), whole_decode(vae, latents)) > FLOAT_NOISE


@pytest.mark.parametrize(
    ("height", "width", "tile_size"),
    [(36, 60, 16), (97, 53, 32), (39, 42, 20), (7, 80, 16), (64, 64, 64), (33, 66, 23)],
)
def test_exact_encode_is_the_untiled_encode(vae, height, width, tile_size):
    image = noise(3, height, width).clamp(-1, 1)
    assert decibels(encode_tiled(vae, image, tile_size=tile_size), whole_encode(vae, image)) > FLOAT_NOISE


@pytest.mark.parametrize(
    "config",
    [
        {"widths": (8, 8, 16, 16), "layers_per_block": 2},
        {"widths": (16,)},
        {"mid_block_add_attention": False},
        {"use_quant_conv": False, "use_post_quant_conv": False},
        {"latent_channels": 16, "groups": 2},
    ],
    ids=str,
)
def test_exact_holds_for_every_shape_of_the_network(config):
    vae = make_vae(**config)
    latents, image = noise(vae.config.latent_channels, 10, 13), noise(3, 50, 67)
    assert decibels(decode_tiled(vae, latents, tile_size=24), whole_decode(vae, latents)) > FLOAT_NOISE
    assert decibels(encode_tiled(vae, image, tile_size=24), whole_encode(vae, image)) > FLOAT_NOISE


def test_the_mean_of_the_picture_may_be_far_from_zero_and_differ_from_tile_to_tile(vae):
    image = noise(3, 48, 64) * 0.1 + torch.linspace(-40, 90, 64)
    assert decibels(encode_tiled(vae, image, tile_size=16), whole_encode(vae, image)) > FLOAT_NOISE


def test_fast_is_near_and_off_is_the_network_itself(vae):
    latents, image = noise(4, 20, 28), noise(3, 80, 112).clamp(-1, 1)
    decoded, encoded = whole_decode(vae, latents), whole_encode(vae, image)
    assert decibels(decode_tiled(vae, latents, mode="fast", tile_size=48), decoded) > 25
    assert decibels(encode_tiled(vae, image, mode="fast", tile_size=48), encoded) > 25
    assert torch.equal(decode_tiled(vae, latents, mode="off"), decoded)
    assert torch.equal(encode_tiled(vae, image, mode="off"), encoded)


def test_fast_errs_by_its_moments_and_its_margin_only(vae, monkeypatch):
    """With true moments, and as much around a tile as the network sees, it is exact: tiles lie where they should."""
    monkeypatch.setattr(vae_module, "FAST_MARGIN", 12)
    estimated = vae_module._Job.estimated
    monkeypatch.setattr(
        vae_module._Job, "estimated", lambda job, source, stages, most: estimated(job, source, stages, 10**6)
    )
    latents, image = noise(4, 19, 23), noise(3, 77, 93)
    assert decibels(decode_tiled(vae, latents, mode="fast", tile_size=32), whole_decode(vae, latents)) > FLOAT_NOISE
    assert decibels(encode_tiled(vae, image, mode="fast", tile_size=32), whole_encode(vae, image)) > FLOAT_NOISE


@pytest.mark.parametrize("mode", ["exact", "fast", "off"])
def test_progress_is_told_in_parts_of_the_whole(vae, mode):
    parts: list[float] = []
    decode_tiled(vae, noise(4, 12, 17), mode=mode, tile_size=24, on_tiles=parts.append)
    assert sum(parts) == pytest.approx(1)
    parts.clear()
    encode_tiled(vae, noise(3, 50, 67), mode=mode, tile_size=24, on_tiles=parts.append)
    assert sum(parts) == pytest.approx(1)


def test_a_listener_may_cancel(vae):
    def cancel(part):
        raise Cancelled("stopped")

    with pytest.raises(Cancelled):
        decode_tiled(vae, noise(4, 12, 12), tile_size=24, on_tiles=cancel)


def test_the_device_never_holds_more_than_a_tile(vae):
    """What a convolution at full resolution reads is a tile with a margin of one pixel."""
    seen = []
    hook = (
        vae.decoder.up_blocks[-1]
        .resnets[-1]
        .conv2.register_forward_hook(lambda module, inputs, output: seen.append(inputs[0].shape[-2:]))
    )
    decode_tiled(vae, noise(4, 16, 24), tile_size=16)
    hook.remove()
    assert len(seen) == 4 * 6
    assert max(max(shape) for shape in seen) <= 16 + 2


def test_attention_asks_for_some_rows_at_a_time(vae, monkeypatch):
    latents = noise(4, 10, 14)
    asked = []
    attend = lockstep.scaled_dot_product_attention
    monkeypatch.setattr(lockstep, "QUERIES", 30)
    monkeypatch.setattr(
        lockstep, "scaled_dot_product_attention", lambda q, k, v: asked.append(q.shape[2]) or attend(q, k, v)
    )
    assert decibels(decode_tiled(vae, latents, tile_size=16), whole_decode(vae, latents)) > FLOAT_NOISE
    assert asked == [28] * 5


def test_maps_that_do_not_fit_into_memory_go_to_a_file(vae, monkeypatch):
    latents = noise(4, 12, 12)
    expected = decode_tiled(vae, latents, tile_size=24)
    mapped = []
    monkeypatch.setattr(feature_maps, "SHARE", 0)
    map_file = feature_maps._mapped
    monkeypatch.setattr(feature_maps, "_mapped", lambda *args: mapped.append(map_file(*args)) or mapped[-1])
    assert torch.equal(decode_tiled(vae, latents, tile_size=24), expected)
    assert mapped


def test_what_overflows_half_precision_is_computed_again():
    vae = make_vae((8, 8))
    for block in vae.decoder.up_blocks:  # its features pass 65504
        block.resnets[0].conv2.weight *= 2e5
    latents = noise(4, 9, 9)
    expected = whole_decode(vae, latents)
    vae.half()
    assert not whole_decode(vae, latents.half()).isfinite().all()
    for mode, least in (("exact", 40), ("fast", 20), ("off", 40)):
        assert decibels(decode_tiled(vae, latents, mode=mode, tile_size=8), expected) > least, mode


def test_bfloat16_stays_near(vae):
    latents = noise(4, 12, 12)
    expected = whole_decode(vae, latents)
    half = make_vae().bfloat16()
    assert decibels(decode_tiled(half, latents, tile_size=24), expected) > 30


@pytest.mark.parametrize("mode", ["exact", "fast"])
def test_the_tile_that_is_not_finite_is_named(vae, mode):
    image = noise(3, 64, 96)
    image[:, 40, 70] = math.nan
    with pytest.raises(NotFinite) as error:
        encode_tiled(vae, image, mode=mode, tile_size=32)
    height, width, row, col = map(int, re.findall(r"\b\d+\b", str(error.value).replace("x", " "))[:4])
    assert row <= 40 < row + height <= 64
    assert col <= 70 < col + width <= 96


def test_a_network_that_is_not_finite_as_a_whole_is_told_so(vae):
    with pytest.raises(NotFinite, match="32x32 output pixels at row 0, column 0"):
        decode_tiled(vae, torch.full((4, 8, 8), math.nan), mode="off")


@pytest.mark.parametrize("mode", ["exact", "fast", "off"])
def test_taps_see_every_level_and_change_what_goes_on(vae, mode):
    """As a hook after the last residual block of every level does in the whole network (CFW of StableSR)."""
    latents = noise(4, 9, 13)
    levels = []

    def tap(stride, features, running):
        levels.append((stride, features.size))
        return running.convolve(features, doubling(features.channels))

    hooks = [
        block.resnets[-1].register_forward_hook(lambda module, inputs, output: doubling(output.shape[1])(output))
        for block in vae.decoder.up_blocks
    ]
    expected = whole_decode(vae, latents)
    for hook in hooks:
        hook.remove()
    found = decode_tiled(vae, latents, mode=mode, tile_size=16, tap=tap)
    assert levels == [(4, (9, 13)), (2, (18, 26)), (1, (36, 52))]
    assert decibels(found, expected) > FLOAT_NOISE


def doubling(channels: int) -> nn.Conv2d:
    conv = nn.Conv2d(channels, channels, 1, bias=False).requires_grad_(False)
    conv.weight.copy_(2 * torch.eye(channels)[:, :, None, None] + 0.1)
    return conv


def test_taps_of_the_encoder_get_features_to_keep(vae):
    image, kept = noise(3, 36, 52), {}

    def tap(stride, features, running):
        kept[stride] = features.tensor.clone()
        return features

    found = encode_tiled(vae, image, tile_size=16, tap=tap)
    assert {stride: tuple(value.shape) for stride, value in kept.items()} == {
        1: (8, 36, 52),
        2: (16, 18, 26),
        4: (16, 9, 13),
    }
    assert torch.equal(found, encode_tiled(vae, image, tile_size=16))


def test_other_layers_are_refused_by_name():
    vae = make_vae((8, 8))
    vae.decoder.mid_block.resnets[1] = nn.Identity()
    with pytest.raises(InvalidOptions, match=r"Identity.*--vae off"):
        decode_tiled(vae, noise(4, 8, 8), tile_size=8)


def test_moments_of_tiles_make_the_moments_of_the_map():
    values = noise(6, 23, 31) + torch.linspace(0, 500, 31)
    features = FeatureMap(torch.empty_like(values))
    for tile in partition(Size(23, 31), 7):
        part = values[:, *tile.slices]
        features.write(tile, part, Moments.of(part))
    norm = nn.GroupNorm(3, 6).requires_grad_(False)
    nn.init.normal_(norm.weight)
    scale, shift = features.affine(norm, torch.device("cpu"))
    expected = norm(values[None].double().float())[0]
    assert torch.allclose(features.tensor * scale + shift, expected, atol=1e-4)
    assert Moments.of(values[:, :1, :1]).count == 1
    assert torch.equal(features.read(Tile(1, 2, 3, 4), torch.device("cpu"))[0], values[:, 1:4, 2:6])
