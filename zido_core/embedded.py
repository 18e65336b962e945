"""The weights that come with the package, each beside a card (JSON) with their hash and how they came about."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from safetensors.numpy import load
from torch import Tensor

from .errors import ModelMissing

FOLDER = Path(__file__).parent / "weights"


class Embedded(NamedTuple):
    """Weights and what is said of them."""

    tensors: Mapping[str, Tensor]
    """In single precision."""
    card: Mapping[str, Any]
    """The JSON object beside them."""
    sha256: str
    """Of the file, in hexadecimal digits."""

    def part(self, name: str) -> dict[str, Tensor]:
        """The tensors of one network, without its name in front."""
        return {key.removeprefix(f"{name}."): each for key, each in self.tensors.items() if key.startswith(f"{name}.")}


def embedded(name: str) -> Embedded:
    """Read ``weights/NAME.safetensors``; ModelMissing if it is not what its card says."""
    weights, told = FOLDER / f"{name}.safetensors", FOLDER / f"{name}.json"
    try:
        content, card = weights.read_bytes(), json.loads(told.read_text(encoding="utf-8"))
        expected = str(card["sha256"]).removeprefix("sha256:")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ModelMissing(
            f"the embedded weights are incomplete ({type(error).__name__}: {error}); install zido again"
        ) from error
    found = hashlib.sha256(content).hexdigest()
    if found != expected:
        raise ModelMissing(
            f"{weights} is damaged: its sha256 is {found[:12]}..., its card says {expected[:12]}...; install zido again"
        )
    # By numpy: torch would wake all its threads for every one of hundreds of tensors.
    tensors = {name: torch.from_numpy(array.astype(np.float32)) for name, array in load(content).items()}
    return Embedded(tensors, card, found)
