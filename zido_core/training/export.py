"""Turn a finished training run into what is in the package: ``weights/mini.safetensors``, and its card.

    python -m zido_core.training.export RUN --data FOLDER --out zido_core/weights
    python -m zido_core.training.export RUN --data FOLDER --out zido_core/weights --name harm

A model that was trained further (``--start``) is given the card of the one before, too: ``--before mini.json``.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch
from safetensors.torch import save

from ..prompts.vocabulary import VOCABULARY
from .degrade import DEGRADATIONS
from .harm_sense import SHARES
from .train import MIXTURE

STAGES: Mapping[str, tuple[str, ...]] = MappingProxyType({"mini": ("coarse", "refiner"), "harm": ("harm",)})
"""The networks in each file."""

SHOWN: Mapping[str, Mapping[str, Any]] = MappingProxyType(
    {
        "mini": {
            "vocabulary": list(VOCABULARY),
            "mixture": dict(zip(DEGRADATIONS, MIXTURE.shares, strict=True)),
            "single": MIXTURE.single,
        },
        "harm": {"mixture": dict(SHARES)},
    }
)
"""What the networks were shown, and the words they know."""

HISTORY = ("sha256", "recipes", "mixture", "single", "curves", "before")
"""What a card tells of the model that the training went on from."""


def export(
    run: Path, data: Path, out: Path, before: Mapping[str, Any] | None = None, name: str = "mini"
) -> Mapping[str, Any]:
    """Write the averaged weights in half precision, and the card that says how they came about.

    ``before``: the card of the model that the run began with.
    """
    tensors: dict[str, torch.Tensor] = {}
    recipes, curves = {}, {}
    for stage in STAGES[name]:
        state = torch.load(run / f"{stage}.pt", weights_only=True, map_location="cpu")
        tensors |= {f"{stage}.{key}": value.half().contiguous() for key, value in state["average"].items()}
        recipes[stage] = state["recipe"] | {"steps_done": state["step"]}
        curves[stage] = curve_of(run / f"{stage}.jsonl")
    content = save(tensors)
    card: dict[str, Any] = {
        "sha256": f"sha256:{hashlib.sha256(content).hexdigest()}",
        "licence": "MIT",
        **SHOWN[name],
        "recipes": recipes,
        "curves": curves,
        "images": images_of(data),
    }
    if before is not None:
        card["before"] = {key: before[key] for key in HISTORY if key in before}
    out.mkdir(parents=True, exist_ok=True)
    (out / f"{name}.safetensors").write_bytes(content)
    (out / f"{name}.json").write_text(json.dumps(card, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return card


def curve_of(log: Path) -> list[dict[str, float]]:
    """The figures on held-out images, by step; of a resumed run the last word on a step counts."""
    records = [json.loads(line) for line in log.read_text().splitlines()]
    watched = {record["step"]: record for record in records if len(record) > 4}
    drop = {"seconds", "rate"}
    return [{name: value for name, value in watched[step].items() if name not in drop} for step in sorted(watched)]


def images_of(data: Path) -> list[dict[str, str]]:
    """Source, licence and hash of every training image, from the folder's ``manifest.csv``."""
    with (data / "manifest.csv").open(newline="", encoding="utf-8") as file:
        wanted = ("file", "source_repo", "licence", "attribution")
        rows = csv.DictReader(file)
        return [{name: row[name] for name in wanted} | {"sha256": f"sha256:{row['sha256']}"} for row in rows]


def main() -> None:
    """Command line of the export."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="folder of the training run")
    parser.add_argument("--data", type=Path, required=True, help="folder of the training images")
    parser.add_argument("--out", type=Path, required=True, help="folder to write to")
    parser.add_argument("--before", type=Path, metavar="CARD", help="card of the model that was trained further")
    parser.add_argument("--name", choices=STAGES, default="mini", help="which file it becomes")
    chosen = parser.parse_args()
    before = None if chosen.before is None else json.loads(chosen.before.read_text(encoding="utf-8"))
    card = export(chosen.run, chosen.data, chosen.out, before, chosen.name)
    print(f"{chosen.out / chosen.name}.safetensors: {card['sha256']}")


if __name__ == "__main__":
    main()
