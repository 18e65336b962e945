"""Golden tensors (ZIDO_PARITY_DIR): what the official code computes, described by a JSON file each."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import torch
from safetensors.torch import load_file

PARITY = Path(os.environ.get("ZIDO_PARITY_DIR") or Path(__file__).parents[2] / "shared" / "parity" / "visible")


def described(pattern: str, *keys: str) -> dict[str, dict]:
    """The descriptions that match a pattern and have these keys, by name."""
    files = {path.stem: json.loads(path.read_text()) for path in sorted(PARITY.glob(f"{pattern}.json"))}
    return {name: content for name, content in files.items() if all(key in content for key in keys)}


def tensors(name: str, case: int | None = None) -> dict[str, torch.Tensor]:
    """Inputs and outputs, those of one case without their prefix."""
    stored = load_file(PARITY / f"{name}.io.safetensors")
    start = "" if case is None else f"case{case}."
    return {key.removeprefix(start): value for key, value in stored.items() if key.startswith(start)}


def weights(description: dict, prefix: str = "") -> dict[str, torch.Tensor]:
    """The weights that a description names first, in float32, those with a prefix without it."""
    stored = load_file(PARITY / weights_file(description))
    return {name.removeprefix(prefix): value.float() for name, value in stored.items() if name.startswith(prefix)}


def weights_file(description: dict) -> str:
    return re.match(r"[\w.]+\.safetensors", description["weights"])[0]


def tolerance(description: dict) -> float:
    """The bound that a description states first."""
    stated = description.get("suggested_tolerance") or description["tolerance"]
    return float(re.search(r"\d(\.\d+)?e-\d+", stated)[0])


def close(found: torch.Tensor, expected: torch.Tensor, bound: float, what: str = "") -> None:
    """Raise unless all numbers agree within an absolute bound."""
    torch.testing.assert_close(found, expected, rtol=0, atol=bound, msg=lambda text: f"{what}: {text}")
