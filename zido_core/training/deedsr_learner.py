"""DeeDSR's first stage (section 3.2): a network learns what harmed an image, told nothing but which patches share it.

Two patches of one degraded image are alike, those of other images are not: InfoNCE (eq. 6) against a queue of earlier
patches, which a slowly following copy of the network has described (He et al. 2020, arXiv:1911.05722).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - the name everybody uses

from ..metrics.clusters import neighbour_accuracy, silhouette
from ..nets.deedsr import LEARNER_LAYERS, LEARNER_WIDTHS, DegradationLearner
from .data import Images, Mixture, Pair, draw_pair, to_planes
from .degrade import DEGRADATIONS, LEVELS, degrade_and_tell
from .objective import stack
from .train import Recipe, Stage

WATCHED = 24
"""Held-out crops of every level."""

BLOCK = 8
"""Pixels of JPEG's blocks. Crops begin with a block, as files do: learners see where blocks lie, and one that was shown
them at other places takes light for heavy."""

Positives = Literal["image", "degradation"]

Descriptions = NDArray[np.float32]
"""(images, length), each of unit length."""


@dataclass(frozen=True, kw_only=True)
class LearnerShape:
    """The size of a learner and of its training; the defaults are the paper's, on the released network."""

    layers: tuple[int, ...] = LEARNER_LAYERS
    """Blocks of each level."""
    widths: tuple[int, ...] = LEARNER_WIDTHS
    """Channels of each level; the last is the length of a description."""
    patch: int = 64
    """Side of a patch, input pixels."""
    queue: int = 16384
    """Negatives (N of eq. 6)."""
    temperature: float = 0.07
    """tau of eq. 6."""
    positives: Positives = "image"
    """What two patches that are alike share: an image, as in the paper, or only the parameters of its degradation.

    Of few images the learner learns what they show, for that tells them apart, too: then take the latter."""
    shuffled: bool = False
    """Whether patches are turned, mirrored and coloured at random: of few images, too."""
    momentum: float = 0.999
    """Share that the network of the keys keeps of itself in every step (arXiv:1911.05722)."""


class Contrast(nn.Module):
    """The learner, the copy that follows it, and what the copy said of earlier patches."""

    queue: Tensor
    place: Tensor

    def __init__(self, shape: LearnerShape) -> None:
        super().__init__()
        self.learner = DegradationLearner(shape.layers, shape.widths)
        self.follower = DegradationLearner(shape.layers, shape.widths)
        self.follower.load_state_dict(self.learner.state_dict())
        self.follower.requires_grad_(False)
        self.register_buffer("queue", unit(torch.randn(shape.queue, shape.widths[-1])))
        self.register_buffer("place", torch.zeros((), dtype=torch.long))

    @torch.no_grad()
    def follow(self, momentum: float) -> None:
        """The copy goes a small step towards the learner, its running statistics too."""
        theirs = self.learner.state_dict()
        for name, ours in self.follower.state_dict().items():
            if ours.is_floating_point():
                ours.lerp_(theirs[name], 1 - momentum)

    @torch.no_grad()
    def keys(self, patches: Tensor) -> Tensor:
        """Unit descriptions (n, length) by the copy.

        By its running statistics: those of a batch would tell which queries and keys belong together, and of the few
        parts that one machine can shuffle them into they would be noise.
        """
        self.follower.eval()
        return unit(self.follower(patches)[1].float())

    @torch.no_grad()
    def remember(self, keys: Tensor) -> None:
        """The oldest of the queue make room."""
        places = (self.place + torch.arange(len(keys), device=keys.device)) % len(self.queue)
        self.queue[places] = keys
        self.place.copy_((places[-1] + 1) % len(self.queue))


class ContrastObjective:
    """The training of a learner."""

    def __init__(self, shape: LearnerShape) -> None:
        self.shape = shape

    def network(self) -> Contrast:
        return Contrast(self.shape)

    def loss(self, network: nn.Module, pairs: Sequence[Pair], generator: torch.Generator) -> Tensor:
        assert isinstance(network, Contrast)
        first, second = (patches.to(network.queue.device) for patches in self.alike(pairs, generator))
        network.follow(self.shape.momentum)
        keys = network.keys(second)
        queries = unit(network.learner(first)[1].float())
        # A clone: remembering writes into what the gradient needs.
        loss = info_nce(queries, keys, network.queue.clone(), self.shape.temperature)
        network.remember(keys)
        return loss

    def alike(self, pairs: Sequence[Pair], generator: torch.Generator) -> Iterator[Tensor]:
        """Two batches of patches (n, 3, side, side); those in the same place are alike."""
        images = stack(pairs)[0]
        both = (images, images) if self.shape.positives == "image" else images.chunk(2)
        for some in both:
            patches = patches_of(some, self.shape.patch, generator)
            yield shuffled(patches, generator) if self.shape.shuffled else patches

    def watch(self, network: nn.Module, held: Images, mixture: Mixture, seed: int) -> dict[str, float]:
        """How well the levels of degradation are told apart on images that the training does not see."""
        assert isinstance(network, Contrast)
        return watched(network.learner, held, mixture, self.shape.patch, seed)


def watched(learner: nn.Module, held: Images, mixture: Mixture, side: int, seed: int) -> dict[str, float]:
    """How well a learner tells the levels apart in crops of so many pixels a side."""
    images, levels = crops_of_levels(held, mixture, side, WATCHED, seed)
    described = describe(learner, images)
    return {
        "neighbours": round(neighbour_accuracy(described, levels), 3),
        "silhouette": round(silhouette(described, levels), 3),
    }


def unit(described: Tensor) -> Tensor:
    """Of length one, unless nearly nothing: the direction of a vector that short would have boundless gradients."""
    return F.normalize(described, eps=1e-3)


def info_nce(queries: Tensor, keys: Tensor, negatives: Tensor, temperature: float) -> Tensor:
    """Eq. 6, with the positive in the denominator too, as in the papers that it follows; all of unit length."""
    alike = (queries * keys).sum(1, keepdim=True)
    logits = torch.cat([alike, queries @ negatives.T], dim=1) / temperature
    return F.cross_entropy(logits, torch.zeros(len(logits), dtype=torch.long, device=logits.device))


def draw_alike(images: Images, mixture: Mixture, recipe: Recipe, step: int) -> list[Pair]:
    """Twice as many pairs as the batch has: those of the second half are harmed as those of the first, one by one."""
    rng = np.random.default_rng([recipe.seed, get_args(Stage).index(recipe.stage), step])
    clean = replace(mixture, shares=tuple(float(kind == "clean") for kind in DEGRADATIONS))
    halves: tuple[list[Pair], list[Pair]] = [], []
    for _ in range(recipe.batch):
        kind, seed = DEGRADATIONS[rng.choice(len(DEGRADATIONS), p=mixture.shares)], int(rng.integers(2**31))
        for half in halves:
            truth = draw_pair(images, clean, rng).truth
            # The same seed draws the same blur, noise and compression, whatever the picture.
            pixels = np.ascontiguousarray(truth.transpose(1, 2, 0))
            low, harm = degrade_and_tell(pixels, kind, np.random.default_rng(seed))
            half.append(Pair(to_planes(low), truth, kind, harm))
    return halves[0] + halves[1]


def shuffled(patches: Tensor, generator: torch.Generator) -> Tensor:
    """Turned, mirrored, with other colours: what a patch shows tells less of it then, and what harmed it as much."""
    made = []
    for patch in patches:
        turns, mirror, negative = torch.randint(4, (3,), generator=generator).tolist()
        patch = torch.rot90(patch, turns, (1, 2))[torch.randperm(len(patch), generator=generator)]
        patch = patch.flip(2) if mirror % 2 else patch
        made.append(1 - patch if negative % 2 else patch)
    return torch.stack(made)


def patches_of(images: Tensor, side: int, generator: torch.Generator) -> Tensor:
    """A square of every image (n, 3, height, width), at a random place."""
    room = [extent - side + 1 for extent in images.shape[-2:]]
    if min(room) < 1:
        raise ValueError(f"images of {images.shape[-2]}x{images.shape[-1]} have no patch of {side} pixels")
    rows, cols = (torch.randint(each, (len(images),), generator=generator).tolist() for each in room)
    cut = [image[:, row : row + side, col : col + side] for image, row, col in zip(images, rows, cols, strict=True)]
    return torch.stack(cut)


def crops_of_levels(images: Images, mixture: Mixture, side: int, count: int, seed: int) -> tuple[Tensor, list[str]]:
    """``count`` crops (3, side, side) under each level of Table 6, and their levels; the same at every call."""
    crops, levels = [], list[str]()
    for index, level in enumerate(LEVELS):
        shares = tuple(float(each == level) for each in DEGRADATIONS)
        only = Mixture(size=side, shares=shares, reduction=mixture.reduction, keep_flat=0.0, margin=BLOCK)
        rng = np.random.default_rng([seed, 11, index])
        crops += [draw_pair(images, only, rng).image for _ in range(count)]
        levels += [level] * count
    return torch.from_numpy(np.stack(crops)), levels


@torch.no_grad()
def describe(learner: nn.Module, images: Tensor) -> Descriptions:
    """Unit descriptions (n, length) of images (n, 3, height, width), as the finished network gives them."""
    was = learner.training
    learner.eval()
    device = next(learner.parameters()).device
    described = unit(learner(images.to(device))[1].float()).cpu().numpy()
    learner.train(was)
    return np.asarray(described, np.float32)


def levels_of(described: Descriptions, means: Mapping[str, Sequence[float]]) -> list[str]:
    """The level whose mean description is nearest to each: the learner as a tagger of what harmed an image."""
    names = list(means)
    likeness = described @ np.asarray([means[name] for name in names], np.float32).T
    return [names[index] for index in likeness.argmax(1)]
