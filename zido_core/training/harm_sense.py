"""How the network that sees what harmed an image is taught (see ``nets.harm_sense``)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - the name everybody uses

from ..nets.harm_sense import HarmSense
from .data import Images, Mixture, Pair, to_planes
from .degrade import (
    DEGRADATIONS,
    Harm,
    blur,
    compression_alone,
    degrade_and_tell,
    gaussian_kernel,
    harm_of,
    noise_alone,
    quantise,
    reduce,
)
from .objective import held_pairs, place_of

Pixels = NDArray[np.float32]

SHARES: Mapping[str, float] = MappingProxyType(
    {
        **{"sharp": 0.14, "coarse": 0.06, "clean": 0.14, "sensor": 0.12, "light": 0.14, "medium": 0.12, "heavy": 0.10},
        **{"compressed": 0.08, "noisy": 0.06, "blurred": 0.04},
    }
)
"""What is shown how often. Sharp are crops as they are, coarse those of which every fourth pixel is left."""

MIXTURE = Mixture(size=72, shares=tuple(float(kind == "clean") for kind in DEGRADATIONS))
"""Sharp frames; what harms them is drawn here."""

WAYS = 2
"""In which every frame is harmed, so that its texture is seen with noise and without."""

SIDE = 64
"""Pixels of what the network is shown, cut at any phase of JPEG's blocks."""

CHECKED = 24
"""Held-out frames, each harmed in every way."""

UNKNOWN = float("nan")
"""Level of a blur that nobody made: frames as they are may be soft."""


def harmed(truth: Pixels, kind: str, rng: np.random.Generator) -> tuple[Pixels, Harm]:
    """An image (h, w, 3), a fourth of the truth (H, W, 3) in size, harmed in a way of ``SHARES``; 8-bit levels."""
    height, width = truth.shape[0] // 4, truth.shape[1] // 4
    if kind == "sharp":
        return quantise(truth[:height, :width]), Harm(blurred=UNKNOWN)
    if kind == "coarse":
        return quantise(truth[::4, ::4]), Harm(blurred=UNKNOWN)
    if kind == "compressed":
        return compression_alone(quantise(reduce(truth, 4)), rng)
    if kind == "noisy":
        return noise_alone(reduce(truth, 4), rng)
    if kind == "blurred":
        sigma = rng.uniform(0.3, 2)
        return quantise(blur(reduce(truth, 4), gaussian_kernel(sigma))), harm_of(sigma=sigma)
    (degradation,) = (each for each in DEGRADATIONS if each == kind)
    return degrade_and_tell(truth, degradation, rng)


def shown(pair: Pair, kind: str, rng: np.random.Generator) -> tuple[Pixels, Harm]:
    """(3, side, side) of a harmed truth, and how it was harmed."""
    image, harm = harmed(np.ascontiguousarray(pair.truth.transpose(1, 2, 0)), kind, rng)
    row, col = rng.integers(0, [extent - SIDE + 1 for extent in image.shape[:2]])
    return to_planes(image[row : row + SIDE, col : col + SIDE]), harm


class HarmObjective:
    """Cross-entropy of the levels that are known."""

    def network(self) -> HarmSense:
        return HarmSense()

    def loss(self, network: nn.Module, pairs: Sequence[Pair], generator: torch.Generator) -> Tensor:
        rng = np.random.default_rng(int(torch.randint(2**31, (), generator=generator)))
        kinds = rng.choice(list(SHARES), WAYS * len(pairs), p=list(SHARES.values()))
        found, harms = zip(
            *(shown(pair, kind, rng) for pair, kind in zip([*pairs] * WAYS, kinds, strict=True)), strict=True
        )
        place = place_of(network)
        levels = torch.tensor(harms, dtype=torch.float32, device=place)
        known = ~levels.isnan()
        said = network(torch.from_numpy(np.stack(found)).to(place))
        return F.binary_cross_entropy_with_logits(said[known], levels[known])

    def watch(self, network: nn.Module, held: Images, mixture: Mixture, seed: int) -> dict[str, float]:
        """Mean error of the levels of held-out frames, for every way of harming them."""
        pairs = next(held_pairs(held, mixture, seed, CHECKED))  # the clean ones
        missed = {}
        for kind in SHARES:
            rng = np.random.default_rng([seed, 13])
            found, harms = zip(*(shown(pair, kind, rng) for pair in pairs), strict=True)
            with torch.no_grad():
                said = network(torch.from_numpy(np.stack(found)).to(place_of(network))).sigmoid().cpu().numpy()
            for name, error in zip(Harm._fields, np.abs(said - np.array(harms)).mean(0), strict=True):
                if not np.isnan(error):
                    missed[f"{name}_{kind}"] = round(float(error), 3)
        return missed
