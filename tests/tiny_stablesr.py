"""StableSR as users have it, with tiny networks of random weights under the official names."""

from __future__ import annotations

from pathlib import Path

import torch
from diffusers import AutoencoderKL
from safetensors.torch import save_file

from tests.tiny_models import TEXT_WIDTH, randomised, write_base, write_json, write_part
from zido_core.nets.ldm import unet_config, vae_config, vae_names
from zido_core.nets.modulated import is_modulation
from zido_core.nets.stablesr import EncoderConfig, build_cfw, build_encoder, build_unet

BASE = "stable-diffusion-2-1-base"
MAPS = 32
UNET = {
    "image_size": 64,
    "in_channels": 4,
    "out_channels": 4,
    "model_channels": 32,
    "channel_mult": [1, 1],
    "attention_resolutions": [2],
    "num_res_blocks": 1,
    "num_head_channels": 16,
    "use_linear_in_transformer": True,
    "context_dim": TEXT_WIDTH,
}
ENCODER = {
    "in_channels": 4,
    "model_channels": 32,
    "out_channels": MAPS,
    "channel_mult": [1, 1],
    "attention_resolutions": [2],
    "num_res_blocks": 1,
    "num_heads": 4,
}
VAE = {"in_channels": 3, "out_ch": 3, "z_channels": 4, "ch": 32, "ch_mult": [1, 1, 1, 1], "num_res_blocks": 1}
CONFIG = {"unet_config": UNET, "encoder_config": ENCODER, "ddconfig": VAE, "num_fuse_block": 1}

CHECKPOINT, CFW = "stablesr_000117.safetensors", "vqgan_cfw_00011.safetensors"


def write_stablesr(root: Path) -> Path:
    """A folder for ``--model-dir``: the checkpoint, the autoencoder with feature wrapping, the base's words."""
    with torch.random.fork_rng():
        torch.manual_seed(11)
        write_base(root / BASE)
        write_json(root / "stablesr" / "config.json", CONFIG)
        save_file(checkpoint(), root / "stablesr" / CHECKPOINT)
        save_file(autoencoder() | {"loss.logvar": torch.zeros(1)}, root / "stablesr" / CFW)
    return root


def checkpoint() -> dict[str, torch.Tensor]:
    """All tensors of a checkpoint but those of the words."""
    unet = randomised(build_unet(unet_config(UNET), structure_channels=MAPS, device="cpu"))
    encoder = randomised(build_encoder(EncoderConfig.from_ldm(ENCODER), "cpu"))
    plain = AutoencoderKL(**vae_config(VAE))
    return {
        **under("model.diffusion_model.", unet, unet.official_name),
        **under("structcond_stage_model.", encoder, encoder.official_name),
        **{f"first_stage_model.{name}": tensor for name, tensor in in_ldm(plain).items()},
        "cond_stage_model.model.logit_scale": torch.zeros(()),
        "betas": torch.zeros(1000),
    }


def autoencoder() -> dict[str, torch.Tensor]:
    """All tensors of an autoencoder with feature wrapping."""
    config = vae_config(VAE)
    cfw = build_cfw(config["block_out_channels"], CONFIG["num_fuse_block"], "cpu")
    return in_ldm(AutoencoderKL(**config)) | under("", cfw, cfw.official_name)


def slim(folder: Path) -> None:
    """Make of the checkpoint in a folder what the web-ui has: StableSR's own tensors, over a UNet of diffusers."""
    from safetensors.torch import load_file

    path = folder / "stablesr" / CHECKPOINT
    whole, unet = load_file(path), build_unet(unet_config(UNET), structure_channels=MAPS)
    plain = {
        name.removeprefix("unet.").replace(".conv2.conv.", ".conv2."): whole[
            f"model.diffusion_model.{unet.official_name(name)}"
        ]
        for name in unet.state_dict()
        if not is_modulation(unet.official_name(name))
    }
    write_part(folder / BASE / "unet", unet_config(UNET), plain)
    own = {name: tensor for name, tensor in whole.items() if is_modulation(name) or "structcond" in name}
    save_file(own, path)
    write_json(folder / "stablesr" / "config.json", {key: CONFIG[key] for key in CONFIG if key != "unet_config"})


def under(prefix, network, official):
    return {prefix + official(name): tensor.contiguous() for name, tensor in network.state_dict().items()}


def in_ldm(vae: AutoencoderKL) -> dict[str, torch.Tensor]:
    """The tensors of an autoencoder of diffusers in latent diffusion's layout: its attention is convolutions."""
    state = under("", vae, vae_names(len(vae.config.block_out_channels)))
    return {
        name: tensor[:, :, None, None].contiguous() if ".attn_1." in name and tensor.dim() == 2 else tensor
        for name, tensor in state.items()
    }
