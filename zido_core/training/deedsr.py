"""Train DeeDSR: first the degradation learner, then adapter and modulations around it; and look at what was learnt.

    python -m zido_core.training.deedsr learner --data FOLDER --out RUN
    python -m zido_core.training.deedsr adapter --data FOLDER --out RUN --learner RUN/learner.safetensors --base MODELS
    python -m zido_core.training.deedsr plot --data FOLDER --learner RUN/learner.safetensors --out clusters.png

All resume from ``RUN`` when it holds a checkpoint; see ``train``. Every twentieth image is held out, and the plot is
drawn of those. The learner's defaults are small, the adapter's those of the paper; docs/methods.md has both.
``adapter`` leaves ``RUN/deedsr``, which together with the base's folder is what ``--model deedsr --model-dir`` takes.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import get_args

from ..catalog import DEEDSR
from ..nets.deedsr import ADAPTER
from .data import Images, Mixture, Pair
from .deedsr_adapter import AdapterObjective, Restoration, base_folder
from .deedsr_files import load_learner, save_deedsr, save_learner
from .deedsr_learner import (
    BLOCK,
    Contrast,
    ContrastObjective,
    LearnerShape,
    Positives,
    crops_of_levels,
    describe,
    draw_alike,
    levels_of,
)
from .deedsr_plot import draw_clusters, report
from .deedsr_told import SHARES as LEVEL_SHARES
from .deedsr_told import Told, ToldObjective
from .objective import Objective
from .train import HELD_EVERY, Draw, Recipe, batch_of, start, tell, train

SHARES = (0.2,) * 5
"""Of the degradations: all alike."""

PROTOTYPES = 40
"""Crops of every level whose mean a learner's file names."""


def run(
    objective: Objective, images: Images, mixture: Mixture, recipe: Recipe, chosen: argparse.Namespace, draw: Draw
) -> None:
    """Train, print and log."""
    chosen.out.mkdir(parents=True, exist_ok=True)
    records = train(objective, images, mixture, recipe, chosen.out, chosen.device, draw)
    tell(records, chosen.out / f"{recipe.stage}.jsonl")


def train_learner(chosen: argparse.Namespace) -> None:
    """Stage 1."""
    shape = LearnerShape(
        layers=chosen.layers,
        widths=chosen.widths,
        patch=chosen.patch,
        queue=chosen.queue,
        momentum=chosen.momentum,
        positives=chosen.positives,
        shuffled=chosen.shuffled,
    )
    recipe = Recipe(
        stage="learner",
        steps=chosen.steps,
        batch=chosen.batch,
        learning_rate=chosen.learning_rate,
        warmup=0,
        weight_decay=1e-4,
        ema=0.0,  # the paper's network is that of the last step
        optimiser=chosen.optimiser,
        decay=chosen.decay,
        half=chosen.half,
        seed=chosen.seed,
    )
    images = Images.read(chosen.data)
    objective: Objective = ToldObjective(shape) if chosen.told else ContrastObjective(shape)
    mixture = Mixture(size=shape.patch * 5 // 4, shares=SHARES)
    if chosen.told:
        mixture = Mixture(size=shape.patch, shares=LEVEL_SHARES, margin=BLOCK)
    drawn = draw_alike if shape.positives == "degradation" and not chosen.told else batch_of
    run(objective, images, mixture, recipe, chosen, Pool(drawn, chosen.pool))
    progress = start(objective, recipe)
    progress.load(chosen.out / "learner.pt")
    network = progress.network
    assert isinstance(network, Contrast | Told)
    crops, levels = crops_of_levels(images.split(HELD_EVERY)[0], mixture, shape.patch, PROTOTYPES, chosen.seed)
    described = describe(network.learner, crops)
    path = save_learner(network.learner, chosen.out, layers=shape.layers, described=described, levels=levels)
    print(path)


def train_adapter(chosen: argparse.Namespace) -> None:
    """Stage 2."""
    shape = replace(
        ADAPTER, channels=chosen.channels, multipliers=chosen.multipliers, heads=chosen.heads, out_channels=chosen.maps
    )
    learner, card = load_learner(chosen.learner)
    models = base_folder(chosen.base)
    objective = AdapterObjective(models, DEEDSR.base, learner=learner, layers=card.layers, shape=shape)
    recipe = Recipe(
        stage="adapter",
        steps=chosen.steps,
        batch=chosen.batch,
        learning_rate=chosen.learning_rate,
        warmup=0,
        ema=0.0,
        optimiser="adam",
        decay="none",
        half=chosen.device != "cpu",
        seed=chosen.seed,
    )
    mixture = Mixture(size=chosen.size, shares=SHARES)
    run(objective, Images.read(chosen.data), mixture, recipe, chosen, batch_of)
    progress = start(objective, recipe)
    progress.load(chosen.out / "adapter.pt")
    assert isinstance(progress.network, Restoration)
    print(save_deedsr(progress.network, chosen.out, layers=card.layers, shape=shape))


def plot(chosen: argparse.Namespace) -> None:
    """The picture, and how well the levels are told apart."""
    learner, card = load_learner(chosen.learner)
    held = Images.read(chosen.data).split(HELD_EVERY)[1]
    images, levels = crops_of_levels(held, Mixture(), chosen.patch, chosen.count, chosen.seed)
    figures = draw_clusters(learner, images, levels, chosen.out)
    print(report(figures, len(levels)))
    told = levels_of(describe(learner, images), card.levels)
    right = sum(said == level for said, level in zip(told, levels, strict=True)) / len(levels)
    print(f"  the nearest mean of the training's own crops tells {right:.1%} right")


@dataclass(frozen=True)
class Pool:
    """So many batches, again and again: drawing them is most of the work on a CPU; 0: always new ones."""

    draw: Draw
    batches: int
    kept: dict[int, list[Pair]] = field(default_factory=dict, repr=False)

    def __call__(self, images: Images, mixture: Mixture, recipe: Recipe, step: int) -> list[Pair]:
        """The batch of a step."""
        if not self.batches:
            return self.draw(images, mixture, recipe, step)
        number = step % self.batches
        if number not in self.kept:
            # The learner never looks at truths, and they would fill the memory.
            drawn = self.draw(images, mixture, recipe, number)
            self.kept[number] = [pair._replace(truth=pair.truth[:, :1, :1].copy()) for pair in drawn]
        return self.kept[number]


def numbers(text: str) -> tuple[int, ...]:
    """``1,2,3`` as numbers."""
    return tuple(int(part) for part in text.split(","))


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parts = made.add_subparsers(required=True)
    learner = parts.add_parser("learner", help="stage 1")
    learner.set_defaults(call=train_learner)
    learner.add_argument("--layers", type=numbers, default=(1, 1, 1, 1), help="blocks of each level")
    learner.add_argument("--widths", type=numbers, default=(32, 64, 128, 128), help="channels of each level")
    learner.add_argument("--patch", type=int, default=32, help="side of a patch")
    learner.add_argument("--queue", type=int, default=512, help="negatives")
    learner.add_argument("--momentum", type=float, default=0.99, help="of the network that describes the negatives")
    learner.add_argument("--positives", choices=get_args(Positives), default="image", help="what patches alike share")
    learner.add_argument("--told", action="store_true", help="tell it the levels, instead of contrast")
    learner.add_argument("--shuffled", action="store_true", help="turn, mirror and colour patches at random")
    learner.add_argument("--pool", type=int, default=0, help="draw so many batches, and use them again; 0: always new")
    learner.add_argument("--steps", type=int, default=500)
    learner.add_argument("--batch", type=int, default=16)
    learner.add_argument("--learning-rate", type=float, default=0.03)
    learner.add_argument("--optimiser", choices=("sgd", "adamw"), default="sgd", help="sgd: as the paper's")
    learner.add_argument("--half", action="store_true", help="compute in bfloat16, faster where patches have 64 pixels")
    learner.add_argument("--decay", choices=("tenths", "cosine"), default="tenths", help="tenths: as the paper's")
    learner.add_argument("--device", default="cpu")
    adapter = parts.add_parser("adapter", help="stage 2")
    adapter.set_defaults(call=train_adapter)
    adapter.add_argument("--learner", type=Path, required=True, help="learner.safetensors of stage 1")
    adapter.add_argument("--base", type=Path, required=True, help=f"folder with {DEEDSR.base}")
    adapter.add_argument("--channels", type=int, default=ADAPTER.channels, help="of the adapter's first level")
    adapter.add_argument("--multipliers", type=numbers, default=ADAPTER.multipliers, help="channels of the levels")
    adapter.add_argument("--heads", type=int, default=ADAPTER.heads, help="of an attention")
    adapter.add_argument("--maps", type=int, default=ADAPTER.out_channels, help="channels of the maps")
    adapter.add_argument("--size", type=int, default=128, help="side of the inputs; truths have four times that")
    adapter.add_argument("--steps", type=int, default=65_840)
    adapter.add_argument("--batch", type=int, default=128)
    adapter.add_argument("--learning-rate", type=float, default=1e-5)
    adapter.add_argument("--device", default="cpu")
    drawn = parts.add_parser("plot", help="draw what a learner makes of light, medium and heavy degradation")
    drawn.set_defaults(call=plot)
    drawn.add_argument("--learner", type=Path, required=True, help="learner.safetensors of a run")
    drawn.add_argument("--count", type=int, default=150, help="crops of each level")
    drawn.add_argument("--patch", type=int, default=32, help="their side")
    for part in (learner, adapter, drawn):
        part.add_argument("--data", type=Path, required=True, help="folder of sharp images")
        part.add_argument("--out", type=Path, required=True, help="folder of a run, or the picture")
        part.add_argument("--seed", type=int, default=0)
    return made


def main() -> None:
    """Do what the command line says."""
    chosen = parser().parse_args()
    chosen.call(chosen)


if __name__ == "__main__":
    main()
