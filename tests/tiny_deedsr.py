"""DeeDSR as its trainer writes it, with tiny networks of random weights under the official names."""

from __future__ import annotations

from pathlib import Path

import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from safetensors.torch import load_file, save_file

from tests.tiny_models import randomised, write_base, write_json, write_part
from tests.tiny_stablesr import BASE, MAPS, VAE, in_ldm, under
from tests.tiny_stablesr import ENCODER as TIME_AWARE
from tests.tiny_stablesr import UNET as WORDED
from zido_core.backbones.deedsr_files import is_own
from zido_core.nets.deedsr import build_adapter, build_unet
from zido_core.nets.ldm import unet_config, vae_config
from zido_core.nets.stablesr import EncoderConfig

ENCODER = TIME_AWARE | {"channel_mult": [1, 2]}
TOKENS = 64
UNET = WORDED | {"context_dim": TOKENS}
LEARNER = {"layers": [1, 1, 1, 1], "widths": [8, 8, 16, 16]}
CONFIG = {"unet_config": UNET, "encoder_config": ENCODER, "ddconfig": VAE, "learner_config": LEARNER}

CHECKPOINT = "deedsr.safetensors"


def write_deedsr(root: Path) -> Path:
    """A folder for ``--model-dir``: the whole checkpoint."""
    with torch.random.fork_rng():
        torch.manual_seed(13)
        write_json(root / "deedsr" / "config.json", CONFIG)
        save_file(checkpoint(), root / "deedsr" / CHECKPOINT)
    return root


def checkpoint() -> dict[str, torch.Tensor]:
    """All tensors, in the documented layout."""
    unet = randomised(build_unet(unet_config(UNET), structure_channels=MAPS, device="cpu"))
    adapter = randomised(
        build_adapter(
            EncoderConfig.from_ldm(ENCODER), learner=LEARNER["layers"], widths=tuple(LEARNER["widths"]), device="cpu"
        )
    )
    for name, value in adapter.named_buffers():
        if name.endswith("running_var"):
            value.fill_(1.0)
    return {
        **under("model.diffusion_model.", unet, unet.official_name),
        **under("Encoder_degrad.", adapter, adapter.official_name),
        **{f"first_stage_model.{name}": tensor for name, tensor in in_ldm(AutoencoderKL(**vae_config(VAE))).items()},
        "betas": torch.zeros(1000),
    }


def slim(root: Path) -> None:
    """Leave in the checkpoint what DeeDSR trains; the rest is the base's, in the folders of diffusers."""
    path = root / "deedsr" / CHECKPOINT
    whole, unet = load_file(path), build_unet(unet_config(UNET), structure_channels=MAPS)
    names = {unet.official_name(name): name for name in unet.state_dict() if not is_own(unet.official_name(name))}
    base = UNet2DConditionModel(**unet_config(WORDED))  # its cross-attention hears words
    plain = base.state_dict() | {
        name.removeprefix("unet.").replace(".conv2.conv.", ".conv2."): whole[f"model.diffusion_model.{official}"]
        for official, name in names.items()
    }
    write_base(root / BASE)
    write_part(root / BASE / "unet", unet_config(WORDED), plain)
    own = {name: value for name, value in whole.items() if name.removeprefix("model.diffusion_model.") not in names}
    save_file(own, path)
    write_json(root / "deedsr" / "config.json", {key: CONFIG[key] for key in CONFIG if key != "unet_config"})
