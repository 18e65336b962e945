"""Train the embedded model: first the coarse network, then the refiner on what the coarse one leaves; before both
what sees the harm that they are told of.

    python -m zido_core.training.train coarse --data FOLDER --out RUN
    python -m zido_core.training.train refiner --data FOLDER --out RUN
    python -m zido_core.training.train harm --data FOLDER --out RUN

All resume from ``RUN`` when it holds a checkpoint. A run is reproducible: step ``i`` draws its batch from
(seed, stage, i), so a resumed run sees what an uninterrupted one would have seen. ``--start`` begins a run with the
weights of another, which is how a model is trained further. Several processes, on cores or GPUs, train one network
(``together``) when they are started as one run:

    torchrun --nproc-per-node 2 -m -- zido_core.training.train coarse --data FOLDER --out RUN --batch 4
"""

from __future__ import annotations

import argparse
import json
import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset

from ..content_hash import sha256_of
from . import harm_sense
from .data import Images, Mixture, Pair, draw_pair
from .objective import CoarseObjective, Objective, RefinerObjective, averaged
from .optimiser import Optimiser, optimizers_of
from .together import Member, average_gradients, join, member

Stage = Literal["coarse", "refiner", "learner", "adapter", "harm"]
"""The first two are the embedded model's, the next two DeeDSR's (see ``deedsr``)."""

EMBEDDED: tuple[Stage, ...] = ("coarse", "refiner", "harm")
"""What is in the package."""

MIXTURE = Mixture(single=0.35)
"""What both networks of the embedded model are shown."""

HELD_EVERY = 20
"""One image of so many is held out to watch the training."""

DROPS = (120 / 630, 240 / 630)
"""Shares of a run after which the rate ``tenths`` falls (DeeDSR, section 4.1)."""


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """Everything that decides the weights, besides the images."""

    stage: Stage
    """Which network is trained."""
    steps: int = 8000
    """Length of the cosine schedule."""
    batch: int = 8
    """Crops per step, of every process."""
    processes: int = 1
    """How many train together."""
    learning_rate: float = 2e-3
    """Peak of the schedule."""
    warmup: int = 200
    """Steps of linear rise."""
    weight_decay: float = 1e-4
    """AdamW's and Muon's."""
    clip: float = 1.0
    """Largest norm of the gradient."""
    ema: float = 0.999
    """Decay of the averaged weights, which are the ones that count."""
    optimiser: Optimiser = "adamw"
    """What makes a step of a gradient (see ``optimiser``)."""
    decay: Literal["cosine", "tenths", "none"] = "cosine"
    """How the rate falls after the rise: to 1 % in a cosine, to a tenth twice, or not at all."""
    half: bool = True
    """Networks compute in bfloat16; on a CPU that is no good to convolutions whose maps are one pixel."""
    seed: int = 0
    """Root of every draw."""
    start: str | None = None
    """Hash of the checkpoint whose averaged weights the run began with; None: it began with random ones."""


@dataclass
class Progress:
    """What a checkpoint holds."""

    step: int
    network: nn.Module
    average: nn.Module
    optimizers: tuple[torch.optim.Optimizer, ...]

    def save(self, path: Path, recipe: Recipe) -> None:
        """Write beside, then rename: a killed run leaves the previous checkpoint."""
        state = {"step": self.step, "recipe": asdict(recipe)}
        state |= {name: getattr(self, name).state_dict() for name in ("network", "average")}
        state["optimizers"] = [optimizer.state_dict() for optimizer in self.optimizers]
        torch.save(state, path.with_suffix(".part"))
        path.with_suffix(".part").replace(path)

    def load(self, path: Path) -> None:
        """Continue from a checkpoint of the same architecture."""
        state = torch.load(path, weights_only=True, map_location="cpu")
        self.step = state["step"]
        for name in ("network", "average"):
            getattr(self, name).load_state_dict(state[name])
        for optimizer, known in zip(self.optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(known)


def batch_of(images: Images, mixture: Mixture, recipe: Recipe, step: int) -> list[Pair]:
    """The pairs of one step: a function of the seed, the stage and the step."""
    rng = np.random.default_rng([recipe.seed, get_args(Stage).index(recipe.stage), step])
    return [draw_pair(images, mixture, rng) for _ in range(recipe.batch)]


def rate_at(step: int, recipe: Recipe) -> float:
    """Linear warm-up, then as ``decay`` says."""
    if step < recipe.warmup:
        return recipe.learning_rate * (step + 1) / recipe.warmup
    share = min(1.0, (step - recipe.warmup) / max(1, recipe.steps - recipe.warmup))
    if recipe.decay != "cosine":
        return recipe.learning_rate * 0.1 ** (sum(share >= drop for drop in DROPS) * (recipe.decay == "tenths"))
    return recipe.learning_rate * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * share)))


Draw = Callable[[Images, Mixture, Recipe, int], list[Pair]]
"""What a step sees: a function of seed, stage and step."""


@dataclass(frozen=True)
class Steps(Dataset[list[Pair]]):
    """What every step of a run sees, by its number: a data set as torch's loader takes it."""

    draw: Draw
    images: Images
    mixture: Mixture
    recipe: Recipe
    member: Member = field(default_factory=member)
    """Whose steps: the process that draws them is not a member itself."""

    def __getitem__(self, step: int) -> list[Pair]:
        """The pairs of a step; processes that train together see different ones."""
        return self.draw(self.images, self.mixture, self.recipe, self.member.own(step))

    def since(self, step: int) -> Iterable[list[Pair]]:
        """From this step on; drawn in a process of its own while the step before is computed."""
        coming = range(step, self.recipe.steps)
        # A thread would hold the interpreter whenever the network wants it.
        return DataLoader(self, batch_size=None, sampler=coming, num_workers=1, collate_fn=as_drawn)


def as_drawn(pairs: Any) -> Any:
    """Arrays stay arrays."""
    return pairs


def train(
    objective: Objective,
    images: Images,
    mixture: Mixture,
    recipe: Recipe,
    out: Path,
    device: torch.device | str = "cpu",
    draw: Draw = batch_of,
    weights: Mapping[str, torch.Tensor] | None = None,
) -> Iterator[dict[str, Any]]:
    """Train until ``recipe.steps``; yield a log record every 50 steps and save every 200.

    ``weights``: what a fresh run begins with, instead of random ones.
    """
    training, held = images.split(HELD_EVERY)
    progress = start(objective, recipe, device, weights)
    checkpoint = out / f"{recipe.stage}.pt"
    if checkpoint.exists():
        progress.load(checkpoint)
    generator = torch.Generator()
    losses: list[float] = []
    began, us = time.monotonic(), member()
    for pairs in Steps(draw, training, mixture, recipe).since(progress.step):
        step = progress.step
        generator.manual_seed(us.own(recipe.seed * 1_000_003 + step))
        loss = train_step(progress, objective, pairs, generator, recipe)
        if not us.writes:
            continue
        losses.append(loss)
        if progress.step % 50 == 0:
            record = {"step": progress.step, "loss": float(np.mean(losses)), "rate": rate_at(step, recipe)}
            if progress.step % 500 == 0:
                record |= objective.watch(progress.average, held, mixture, recipe.seed)
            yield record | {"seconds": round(time.monotonic() - began, 1)}
            losses.clear()
        if progress.step % 200 == 0 or progress.step == recipe.steps:
            progress.save(checkpoint, recipe)


def start(
    objective: Objective,
    recipe: Recipe,
    device: torch.device | str = "cpu",
    weights: Mapping[str, torch.Tensor] | None = None,
) -> Progress:
    """Network, its average and its optimiser; what an objective has frozen is left out.

    What ``weights`` lack begins as in a new network; kernels that are larger there begin with zeros around.
    """
    torch.manual_seed(recipe.seed)
    network, average = objective.network(), objective.network()
    if weights is not None:
        fresh = network.state_dict()
        known = {name: widened(value, fresh.get(name, value)) for name, value in weights.items()}
        network.load_state_dict(fresh | known)
    average.load_state_dict(network.state_dict())
    average.requires_grad_(False)
    network, average = network.to(device), average.to(device)
    return Progress(
        step=0,
        network=network,
        average=average,
        optimizers=optimizers_of(network, recipe.optimiser, recipe.weight_decay),
    )


def widened(kernels: torch.Tensor, fresh: torch.Tensor) -> torch.Tensor:
    """A convolution's kernels in the middle of zeros, as large as the new ones: they do what they did.

    Nothing is cut off what is larger: it does not fit, and loading says so.
    """
    if kernels.ndim < 4:
        return kernels
    margin = max(0, (fresh.shape[-1] - kernels.shape[-1]) // 2)
    return nn.functional.pad(kernels, (margin,) * 4)


def train_step(
    progress: Progress, objective: Objective, pairs: list[Pair], generator: torch.Generator, recipe: Recipe
) -> float:
    """One step, then the running average; returns the loss."""
    for optimizer in progress.optimizers:
        for group in optimizer.param_groups:
            group["lr"] = rate_at(progress.step, recipe)
    device = next(progress.network.parameters()).device
    with torch.autocast(device.type, torch.bfloat16, enabled=recipe.half):
        loss = objective.loss(progress.network, pairs, generator)
    progress.network.zero_grad(set_to_none=True)
    loss.backward()  # type: ignore[no-untyped-call]  # torch has no hints here
    average_gradients(progress.network)
    torch.nn.utils.clip_grad_norm_(progress.network.parameters(), recipe.clip)
    for optimizer in progress.optimizers:
        optimizer.step()
    decay = min(recipe.ema, (progress.step + 1) / (progress.step + 10))
    with torch.no_grad():
        for mean, value in zip(progress.average.parameters(), progress.network.parameters(), strict=True):
            mean.lerp_(value, 1 - decay)
        for kept, counted in zip(progress.average.buffers(), progress.network.buffers(), strict=True):
            kept.copy_(counted)
    progress.step += 1
    return float(loss.detach())


def tell(records: Iterable[dict[str, Any]], path: Path) -> None:
    """Print the records of a run as they come, and add them to its log."""
    with path.open("a") as log:
        for record in records:
            log.write(json.dumps(record) + "\n")
            log.flush()
            print(record, flush=True)


def main() -> None:
    """Command line of the training."""
    default = {part.name: part.default for part in fields(Recipe)}
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("stage", choices=EMBEDDED)
    parser.add_argument("--data", type=Path, required=True, help="folder of sharp images")
    parser.add_argument("--out", type=Path, required=True, help="folder of checkpoints and the log")
    parser.add_argument("--steps", type=int, default=default["steps"])
    parser.add_argument("--batch", type=int, default=default["batch"])
    parser.add_argument("--learning-rate", type=float, default=default["learning_rate"])
    parser.add_argument("--optimiser", choices=get_args(Optimiser), default=default["optimiser"])
    parser.add_argument("--seed", type=int, default=default["seed"])
    parser.add_argument("--start", type=Path, metavar="CHECKPOINT", help="another run's, to train it further")
    parser.add_argument("--device", default="cpu", help="cpu, cuda or cuda:N")
    chosen = parser.parse_args()
    chosen.device = join(chosen.device)
    chosen.out.mkdir(parents=True, exist_ok=True)
    recipe = Recipe(
        stage=chosen.stage,
        steps=chosen.steps,
        batch=chosen.batch,
        processes=member().world,
        learning_rate=chosen.learning_rate,
        optimiser=chosen.optimiser,
        half=chosen.stage != "harm",
        seed=chosen.seed,
        start=chosen.start and f"sha256:{sha256_of(chosen.start)}",
    )
    weights = None if chosen.start is None else averaged(chosen.start)
    mixture = MIXTURE
    objective: Objective = CoarseObjective()
    if recipe.stage == "refiner":
        objective = RefinerObjective(coarse=chosen.out / "coarse.pt", device=chosen.device)
    elif recipe.stage == "harm":
        objective, mixture = harm_sense.HarmObjective(), harm_sense.MIXTURE
    images = Images.read(chosen.data)
    tell(
        train(objective, images, mixture, recipe, chosen.out, chosen.device, weights=weights),
        chosen.out / f"{recipe.stage}.jsonl",
    )


if __name__ == "__main__":
    main()
