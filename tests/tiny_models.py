"""Model folders as users have them, with tiny networks of random weights under the official names."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from diffusers import AutoencoderKL
from safetensors.torch import save_file
from transformers import CLIPTextConfig, CLIPTextModel

from zido_core.nets.ram import Ram, RamConfig
from zido_core.nets.seesr import build_controlnet, build_unet, official_name

TEXT_WIDTH = 16
WORDS = ("airport", "beach", "field", "river", "roof")

UNET = {
    "sample_size": 64,
    "block_out_channels": [8, 8, 16, 16],
    "layers_per_block": 1,
    "cross_attention_dim": TEXT_WIDTH,
    "attention_head_dim": [1, 1, 2, 2],
    "norm_num_groups": 4,
    "use_linear_projection": True,
    "use_image_cross_attention": True,
}
CONTROLNET = UNET | {"conditioning_embedding_out_channels": [4, 4, 4, 8], "conditioning_channels": 3}
VAE = {
    "block_out_channels": [4, 4, 4, 8],
    "down_block_types": ["DownEncoderBlock2D"] * 4,
    "up_block_types": ["UpDecoderBlock2D"] * 4,
    "latent_channels": 4,
    "layers_per_block": 1,
    "norm_num_groups": 2,
    "scaling_factor": 0.18215,
}
SCHEDULER = {
    "_class_name": "PNDMScheduler",
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "steps_offset": 1,
}
RAM = RamConfig(
    tags=len(WORDS),
    image_size=64,
    window=4,
    width=8,
    depths=(2, 2),
    heads=(1, 2),
    mlp_ratio=2.0,
    head_width=12,
    head_inner=24,
    head_heads=2,
)


def write_seesr(root: Path, base: str = "stable-diffusion-2-base") -> Path:
    """A folder for ``--model-dir``: SeeSR's networks, the base, the tagger."""
    with torch.random.fork_rng():
        torch.manual_seed(7)
        write_part(root / "seesr" / "unet", UNET, official(build_unet(UNET, "cpu")))
        controlnet = randomised(build_controlnet(CONTROLNET, "cpu"))
        write_part(root / "seesr" / "controlnet", CONTROLNET, official(controlnet))
        write_base(root / base)
        write_dape(root)
    return root


def write_base(folder: Path) -> None:
    """Stable Diffusion without its UNet; the autoencoder's attention is named as in 2022, as in the real file."""
    vae = AutoencoderKL(**VAE).state_dict()
    old = {".to_q.": ".query.", ".to_k.": ".key.", ".to_v.": ".value.", ".to_out.0.": ".proj_attn."}
    for new_name, old_name in old.items():
        vae = {name.replace(new_name, old_name): tensor for name, tensor in vae.items()}
    write_part(folder / "vae", VAE, vae)
    config = CLIPTextConfig(
        vocab_size=260,
        hidden_size=TEXT_WIDTH,
        intermediate_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=77,
        bos_token_id=258,
        eos_token_id=259,
    )
    CLIPTextModel(config).save_pretrained(folder / "text_encoder")
    write_tokenizer(folder / "tokenizer")
    write_json(folder / "scheduler" / "scheduler_config.json", SCHEDULER)


def write_tokenizer(folder: Path) -> None:
    """One token per letter, one per letter that ends a word; "!" fills up, as in Stable Diffusion 2."""
    letters = [chr(code) for code in range(33, 127)]
    vocabulary = [*letters, *(f"{letter}</w>" for letter in letters)]
    vocabulary += [f"unused{index}" for index in range(258 - len(vocabulary))]
    vocabulary += ["<|startoftext|>", "<|endoftext|>"]
    write_json(folder / "vocab.json", {token: index for index, token in enumerate(vocabulary)})
    (folder / "merges.txt").write_text("#version: 0.2\n")
    ends = {"bos_token": "<|startoftext|>", "eos_token": "<|endoftext|>", "unk_token": "<|endoftext|>"}
    common = {"tokenizer_class": "CLIPTokenizer", "model_max_length": 77}
    write_json(folder / "tokenizer_config.json", common | ends | {"pad_token": "<|endoftext|>"})
    write_json(folder / "special_tokens_map.json", ends | {"pad_token": "!"})


def write_dape(folder: Path) -> None:
    """The tagger: RAM, DAPE's LoRA, words and thresholds."""
    weights = randomised(Ram(RAM)).state_dict()
    rank, lora = 8, {}
    for name, weight in weights.items():
        layer, _, kind = name.rpartition(".")
        if kind == "weight" and layer.endswith("qkv"):
            lora[f"{layer}.lora_A"] = torch.randn(2 * rank, weight.shape[1])
            lora[f"{layer}.lora_B"] = torch.randn(2 * weight.shape[1], rank)
        if kind == "weight" and layer.endswith((".self.query", ".self.key")):
            lora[f"{layer}.lora_A"] = torch.randn(rank, weight.shape[1])
            lora[f"{layer}.lora_B"] = torch.randn(weight.shape[0], rank)
    save_file(weights, folder / "ram_swin_large_14m.safetensors")
    save_file(lora, folder / "DAPE.safetensors")
    (folder / "ram_tag_list.txt").write_text("\n".join(WORDS) + "\n")
    (folder / "ram_tag_list_threshold.txt").write_text("0.5\n" * len(WORDS))
    write_json(folder / "config.json", {"image_size": RAM.image_size, "head": {"heads": RAM.head_heads}})


def official(network: torch.nn.Module) -> dict[str, torch.Tensor]:
    """The weights under the names of SeeSR's files."""
    return {official_name(name): tensor for name, tensor in network.state_dict().items()}


def randomised(network: torch.nn.Module) -> torch.nn.Module:
    """The network with no weight left at the zero that its training begins with."""
    for parameter in network.parameters():
        if not parameter.any():
            torch.nn.init.normal_(parameter, std=0.2)
    return network


def write_part(folder: Path, config: dict, tensors: dict[str, torch.Tensor]) -> None:
    write_json(folder / "config.json", config)
    contiguous = {name: tensor.contiguous() for name, tensor in tensors.items()}
    save_file(contiguous, folder / "diffusion_pytorch_model.safetensors")


def write_json(path: Path, content: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))
