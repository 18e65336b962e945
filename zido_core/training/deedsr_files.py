"""What DeeDSR's training leaves on disk, under DeeDSR's names.

``learner.safetensors`` has ``Encoder_degrad.degrad_encoder.*``, as a whole DeeDSR has them; its size and what it says
of the levels stand beside it. ``deedsr/`` is what ``backbones.deedsr_files`` reads: all that was trained, over a base.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import save_file

from ..backbones.deedsr_files import DEEDSR, ENCODER, is_own
from ..backbones.folder import read_json
from ..backbones.ldm_files import UNET
from ..checkpoint import load_strictly, open_checkpoint
from ..nets.deedsr import DegradationLearner, build_learner
from ..nets.stablesr import EncoderConfig
from .deedsr_adapter import Restoration

PREFIX = f"{ENCODER}degrad_encoder."
"""How the names of a learner's tensors begin."""

GET = "train one: python -m zido_core.training.deedsr learner"


def save_learner(
    learner: DegradationLearner,
    out: Path,
    *,
    layers: Sequence[int],
    described: NDArray[np.float32],
    levels: Sequence[str],
) -> Path:
    """Write the weights, and the mean description of every level."""
    tensors = {PREFIX + name: value.detach().cpu().contiguous() for name, value in learner.state_dict().items()}
    path = out / "learner.safetensors"
    save_file(tensors, path)
    kinds = np.asarray(levels)
    means = {level: described[kinds == level].mean(0).round(5).tolist() for level in dict.fromkeys(levels)}
    card = {"layers": list(layers), "widths": list(learner.widths), "levels": means}
    path.with_suffix(".json").write_text(json.dumps(card) + "\n", encoding="utf-8")
    return path


@dataclass(frozen=True, kw_only=True)
class Card:
    """What stands beside a learner."""

    layers: tuple[int, ...]
    """Blocks of each level."""
    widths: tuple[int, ...]
    """Channels of each level."""
    levels: Mapping[str, Sequence[float]]
    """Mean description of every level of degradation."""


def load_learner(path: Path, device: torch.device | str = "cpu") -> tuple[DegradationLearner, Card]:
    """A learner that was saved so, and what stands beside it."""
    file = open_checkpoint(path, get=GET)
    read = read_json(path.with_suffix(".json"), get=GET)
    card = Card(layers=tuple(read["layers"]), widths=tuple(read["widths"]), levels=read["levels"])
    learner = build_learner(card.layers, widths=card.widths)
    names = {name: name.removeprefix(PREFIX) for name in file.shapes if name.startswith(PREFIX)}
    load_strictly(learner, file.tensors(names.get), path=path, get=GET)
    return learner.to(device), card


def save_deedsr(network: Restoration, out: Path, *, layers: Sequence[int], shape: EncoderConfig) -> Path:
    """Write adapter, learner, and what is DeeDSR's of the UNet, as a model folder."""
    unet, adapter = network.unet, network.adapter
    assert adapter.learner is not None
    own = {UNET + unet.official_name(name): value for name, value in unet.state_dict().items()}
    tensors = {name: value for name, value in own.items() if is_own(name)}
    tensors |= {ENCODER + adapter.official_name(name): value for name, value in adapter.state_dict().items()}
    folder = out / DEEDSR
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "deedsr.safetensors"
    save_file({name: value.detach().cpu().contiguous() for name, value in tensors.items()}, path)
    config = {
        "encoder_config": shape.to_ldm(),
        "learner_config": {"layers": list(layers), "widths": list(adapter.learner.widths)},
        "input_range": [-1, 1],
    }
    (folder / "config.json").write_text(json.dumps(config) + "\n", encoding="utf-8")
    return path
