"""What the catalogue says of the memory of large models, against their networks: parameters and maps are counted."""

from __future__ import annotations

import math

import pytest
import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from transformers import CLIPTextConfig, CLIPTextModel

from zido_core.backbones.vae_stages import decoder_stages, encoder_stages, peak_numbers
from zido_core.catalog import MODELS
from zido_core.nets import seesr, stablesr
from zido_core.nets.ram import Ram, RamConfig
from zido_core.nets.stable_diffusion import CONFIGS
from zido_core.tiling.grid import Size

HALF, SINGLE = 2, 4
"""Bytes of a number."""


def count(*networks):
    return sum(parameter.numel() for network in networks for parameter in network.parameters())


def base(name):
    """UNet, autoencoder, text encoders without weights."""
    config = CONFIGS[name]
    with torch.device("meta"):
        texts = [CLIPTextModel(CLIPTextConfig.from_dict(dict(config[key]))) for key in config if "text_encoder" in key]
        unet = UNet2DConditionModel.from_config(config["unet"])
        return unet, AutoencoderKL.from_config(config["vae"]), texts


@pytest.mark.parametrize("name", ["sd-x4", "sd15", "sd21", "sdxl"])
def test_weights_of_stable_diffusion(name):
    unet, vae, texts = base(name)
    expected = HALF * count(unet, *texts) + SINGLE * count(vae)
    assert MODELS[name].weight_bytes == pytest.approx(expected, rel=0.05)


def test_weights_of_seesr_and_its_tagger():
    _, vae, texts = base("sd21")
    with torch.device("meta"):
        tagger = Ram(RamConfig())
    networks = seesr.build_unet(), seesr.build_controlnet(), *texts
    expected = HALF * count(*networks) + SINGLE * count(vae, tagger)
    assert MODELS["zido"].weight_bytes == pytest.approx(expected, rel=0.06)


def test_weights_of_stablesr():
    _, vae, texts = base("sd21")
    networks = stablesr.build_unet(), stablesr.build_encoder(), *texts
    expected = HALF * count(*networks) + SINGLE * count(vae, stablesr.build_cfw())
    assert MODELS["stablesr"].weight_bytes == pytest.approx(expected, rel=0.05)


@pytest.mark.parametrize(("name", "config"), [("zido", "sd21"), ("sd-x4", "sd-x4"), ("sdxl", "sdxl")])
def test_working_memory_of_a_block_is_that_of_the_autoencoders_maps(name, config):
    """And the image: input, output, what the model sees of them."""
    model, (_, vae, _) = MODELS[name], base(config)
    latents = Size(128, 128)
    image = latents.scaled(model.latent_stride)
    numbers = max(peak_numbers(latents, decoder_stages(vae.decoder)), peak_numbers(image, encoder_stages(vae.encoder)))
    pixels = math.prod(image) / model.native_scale**2
    maps = SINGLE * numbers / pixels
    assert maps < model.bytes_per_pixel < 1.15 * maps


@pytest.mark.parametrize("name", ["sd21", "sdxl"])
def test_a_tile_takes_no_more_than_said(name):
    """The skip connections of the UNet and of a ControlNet, and three times the widest maps in work."""
    unet, _, _ = base(name)
    widths, layers = unet.config.block_out_channels, unet.config.layers_per_block
    skips = sum(width * (layers + 1) / 4**level for level, width in enumerate(widths))
    work = max((8 if level or "Cross" in kind else 3) * width / 4**level for level, (width, kind) in enumerate(
        zip(widths, unet.config.down_block_types, strict=True)
    ))  # fmt: skip
    assert SINGLE * (2 * skips + 3 * work) < MODELS[name].bytes_per_latent
