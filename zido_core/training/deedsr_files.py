"""A trained learner on disk: its weights under DeeDSR's names, its size and what it says of the levels beside them.

``learner.safetensors`` has ``Encoder_degrad.degrad_encoder.*``, as a whole DeeDSR has them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import save_file

from ..checkpoint import load_strictly, open_checkpoint
from ..nets.deedsr import DegradationLearner, build_learner

PREFIX = "Encoder_degrad.degrad_encoder."
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


def load_learner(path: Path, device: torch.device | str = "cpu") -> tuple[DegradationLearner, Mapping[str, object]]:
    """A learner that was saved so, and what stands beside it."""
    file = open_checkpoint(path, get=GET)
    card = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
    learner = build_learner(card["layers"], widths=tuple(card["widths"]))
    names = {name: name.removeprefix(PREFIX) for name in file.shapes if name.startswith(PREFIX)}
    load_strictly(learner, file.tensors(names.get), path=path, get=GET)
    return learner.to(device), card
