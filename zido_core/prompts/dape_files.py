"""RAM and DAPE as they lie in a folder, turned into a network: weights, LoRA, tag list, thresholds."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from ..checkpoint import Checkpoint, load_strictly, open_checkpoint
from ..errors import ConfigurationError, ModelMissing
from ..nets.ram import Ram, RamConfig

BASE = "ram_swin_large_14m"
"""Name of RAM's weights, without suffix."""

LORA = "DAPE"
"""Name of DAPE's LoRA weights, without suffix."""

TAG_LIST = "ram_tag_list.txt"
THRESHOLDS = "ram_tag_list_threshold.txt"
"""One tag, or one threshold, a line, in the order of the network's outputs; from RAM's repository (ram/data)."""

SETTINGS = "config.json"
"""Optional: what no weight tells, for networks of other sizes; see ``Settings``."""

GET = f"`zido models get dape` fetches all four files: {BASE}.safetensors, {LORA}.safetensors, {TAG_LIST}, {THRESHOLDS}"
"""What to do when a file is missing or wrong."""

UNUSED = ("tag_encoder.", "text_decoder.", "relative_position_index", "attn_mask")
"""Parts of names: RAM's caption half, and what is computed from the sizes."""

TIED = "tag_encoder."
"""This encoder shares weights with the decoder of tags, so its LoRA would change them, too."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What no weight tells. The defaults are the published network's."""

    image_size: int = RamConfig.image_size
    """Side of the network's input, pixels."""

    head_heads: int = RamConfig.head_heads
    """Attention heads of the decoder; ``heads`` of ``head`` in the file."""

    head_eps: float = RamConfig.head_eps
    """Epsilon of its LayerNorm; ``layer_norm_eps`` of ``head`` in the file."""

    alpha: float = 1.0
    """The LoRA weights are scaled by alpha / rank (DAPE: 1 / 8); ``alpha`` of ``lora`` in the file."""

    @classmethod
    def of(cls, folder: Path) -> Settings:
        """From the folder's ``config.json``, if there is one."""
        path = folder / SETTINGS
        if not path.is_file():
            return cls()
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            head, lora = content.get("head", {}), content.get("lora", {})
            return cls(
                image_size=int(content.get("image_size", cls.image_size)),
                head_heads=int(head.get("heads", cls.head_heads)),
                head_eps=float(head.get("layer_norm_eps", cls.head_eps)),
                alpha=float(lora.get("alpha", cls.alpha)),
            )
        except (OSError, ValueError, TypeError, AttributeError) as error:
            raise ConfigurationError(f"{path} is not understood: {error}; correct or remove it") from error

    def network(self, base: Checkpoint, shapes: Mapping[str, tuple[int, ...]]) -> RamConfig:
        """The network that weights of these shapes belong to."""
        try:
            config = RamConfig.of(
                shapes,
                image_size=self.image_size,
                head_heads=self.head_heads,
                head_eps=self.head_eps,
            )
        except KeyError as error:
            raise ModelMissing(f"{base.path} lacks the tensor {error}; {GET}") from error
        if config.misfit is not None:
            raise ConfigurationError(f"{base.path} and {SETTINGS} contradict each other: {config.misfit}")
        return config


def load_network(folder: Path, *, adapted: bool = True) -> Ram:
    """RAM with DAPE's weights merged into it, on the CPU in single precision; without them if not ``adapted``."""
    settings = Settings.of(folder)
    base = _open(folder, BASE, "weights of the tagger RAM")
    adapter = _open(folder, LORA, "DAPE's LoRA weights") if adapted else None
    shapes = {new: shape for name, shape in base.shapes.items() if (new := _network_name(name)) is not None}
    config = settings.network(base, shapes)
    tensors = base.tensors(_network_name)
    if adapter is not None:
        merge_lora(tensors, adapter, alpha=settings.alpha)
    with torch.device("meta"):
        network = Ram(config)
    load_strictly(network, tensors, path=base.path, get=GET)
    return network


def load_tags(folder: Path, network: Ram) -> tuple[tuple[str, ...], Tensor]:
    """The words of the network's outputs, and the probability above which each is said."""
    words = tuple(_lines(folder / TAG_LIST))
    try:
        thresholds = torch.tensor([float(line) for line in _lines(folder / THRESHOLDS)])
    except ValueError as error:
        raise ModelMissing(f"{folder / THRESHOLDS}: {error}; expected a number in every line; {GET}") from error
    for name, count in ((TAG_LIST, len(words)), (THRESHOLDS, len(thresholds))):
        if count != network.config.tags:
            expected = f"expected {network.config.tags}, as the weights know"
            raise ModelMissing(f"{folder / name} has {count} lines; {expected}; {GET}")
    return words, thresholds


def _lines(path: Path) -> list[str]:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError as error:
        raise ModelMissing(f"{path} is missing; {GET}") from error
    except (OSError, UnicodeDecodeError) as error:
        raise ModelMissing(f"{path} cannot be read: {error}; {GET}") from error
    return [line.strip() for line in lines if line.strip()]


def _open(folder: Path, stem: str, expected: str) -> Checkpoint:
    """The file of that name in the folder, if it is what it should be."""
    path = folder / f"{stem}.safetensors"
    if not folder.is_dir():
        raise ModelMissing(f"there is no folder {folder} for the tagger dape; {GET}")
    if not path.exists() and (folder / f"{stem}.pth").exists():
        raise ModelMissing(f"found {stem}.pth in {folder}; `zido models import {folder}` makes {path.name} of it")
    if not path.exists():
        raise ModelMissing(f"{path} is missing ({expected}); {GET}")
    checkpoint = open_checkpoint(path, get=GET)
    if checkpoint.kind != expected:
        raise ModelMissing(f"{path} holds {checkpoint.kind}; expected {expected}: were files swapped? {GET}")
    return checkpoint


def _network_name(name: str) -> str | None:
    """The network's name of an official tensor; None for what is not needed."""
    name = name.removeprefix("model.").replace("vision_multi.", "tagging_head.")
    return None if any(part in name for part in UNUSED) else name


def merge_lora(tensors: dict[str, Tensor], adapter: Checkpoint, *, alpha: float = 1.0) -> None:
    """Add alpha / rank * B @ A to the weights, as loralib's layers do when they are set to evaluation.

    Of attention in windows the projections to queries and values were trained, side by side in A and B; of the
    decoder those to queries and keys.
    """
    deltas = adapter.tensors()
    for name in [name for name in deltas if name.startswith(TIED) and name.endswith(".lora_B")]:
        if deltas[name].any():
            raise ModelMissing(
                f"{adapter.path}: {name} is not zero. It would change weights that the tagger shares with an "
                f"encoder that is left out, and DAPE as published does not; {GET}"
            )
    for name in [name for name in deltas if name.endswith(".lora_A") and _network_name(name)]:
        layer = name.removesuffix(".lora_A")
        down, up, weight = deltas[name], deltas.get(f"{layer}.lora_B"), tensors.get(f"{layer}.weight")
        if up is None or weight is None:
            lacking = f"{layer}.lora_B" if up is None else f"{layer}.weight of {BASE}"
            raise ModelMissing(f"{adapter.path} has {name}, but there is no {lacking}; {GET}")
        try:
            tensors[f"{layer}.weight"] = weight + _delta(down, up, weight.shape[0], alpha)
        except RuntimeError as error:
            raise ModelMissing(f"{adapter.path} does not fit {BASE}: {layer}: {error}; {GET}") from error


def _delta(down: Tensor, up: Tensor, rows: int, alpha: float) -> Tensor:
    """What LoRA adds to a weight of that many rows; two parts of three rows' worth if A holds two."""
    if down.shape[0] == up.shape[1]:
        return alpha / up.shape[1] * up @ down
    (query, value), (from_query, from_value) = up.chunk(2), down.chunk(2)
    scale = alpha / up.shape[1]
    untouched = torch.zeros(rows - len(up), down.shape[1])
    return torch.cat([scale * query @ from_query, untouched, scale * value @ from_value])
