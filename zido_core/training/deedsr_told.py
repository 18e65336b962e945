"""DeeDSR's degradation learner, told the levels of Table 6 instead of finding them by contrast: for a CPU's minutes.

What contrast is for, degradations of a type close together and others apart (section 3.2), is asked for outright: each
level has a direction, and descriptions are drawn to that of their own. No longer unsupervised, and not the paper's.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - the name everybody uses

from ..nets.deedsr import DegradationLearner
from .data import Images, Mixture, Pair
from .deedsr_learner import LearnerShape, patches_of, unit, watched
from .degrade import DEGRADATIONS, LEVELS
from .objective import place_of, stack

SHARES = tuple((kind in LEVELS) / len(LEVELS) for kind in DEGRADATIONS)
"""Of the degradations: the levels alone."""


class Told(nn.Module):
    """The learner, and the direction of every degradation."""

    def __init__(self, shape: LearnerShape) -> None:
        super().__init__()
        self.learner = DegradationLearner(shape.layers, shape.widths)
        self.directions = nn.Parameter(torch.randn(len(DEGRADATIONS), shape.widths[-1]))
        with (
            torch.no_grad()
        ):  # brightness and colour tell nothing of a degradation, and are most of what there is to see
            self.learner.conv1.weight -= self.learner.conv1.weight.mean((2, 3), keepdim=True)


class ToldObjective:
    """The training of a learner that is told levels."""

    def __init__(self, shape: LearnerShape) -> None:
        self.shape = shape

    def network(self) -> Told:
        network = Told(self.shape)
        network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # of torch; thrice as fast
        return network

    def loss(self, network: nn.Module, pairs: Sequence[Pair], generator: torch.Generator) -> Tensor:
        assert isinstance(network, Told)
        place = place_of(network)
        patches = turned(patches_of(stack(pairs)[0], self.shape.patch, generator), generator).to(place)
        described = network.learner(patches.contiguous(memory_format=torch.channels_last))[1]
        likeness = unit(described.float()) @ unit(network.directions.float()).T
        kinds = torch.tensor([DEGRADATIONS.index(pair.degradation) for pair in pairs], device=place)
        return F.cross_entropy(likeness / self.shape.temperature, kinds)

    def watch(self, network: nn.Module, held: Images, mixture: Mixture, seed: int) -> dict[str, float]:
        """How well the levels of degradation are told apart on images that the training does not see."""
        assert isinstance(network, Told)
        return watched(network.learner, held, mixture, self.shape.patch, seed)


def turned(patches: Tensor, generator: torch.Generator) -> Tensor:
    """All of them turned, and perhaps mirrored: JPEG's blocks stay where they are."""
    turns, mirror = torch.randint(4, (2,), generator=generator).tolist()
    patches = torch.rot90(patches, turns, (2, 3))
    return patches.flip(3) if mirror % 2 else patches
