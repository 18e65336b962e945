"""How the network that tells noise from texture is taught (see ``nets.noise_sense``)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - the name everybody uses

from ..nets.noise_sense import NoiseSense
from .data import Images, Mixture, Pair, to_planes
from .degrade import DEGRADATIONS, add_noise, compress, degrade, quantise, reduce
from .objective import held_pairs, place_of

Pixels = NDArray[np.float32]

SHARES: Mapping[str, float] = MappingProxyType(
    {
        **{"sharp": 0.16, "coarse": 0.08, "clean": 0.12, "sensor": 0.08, "compressed": 0.10, "light": 0.06},
        **{"medium": 0.16, "heavy": 0.16, "noisy": 0.08},
    }
)
"""What is shown how often. Sharp are crops as they are, coarse those of which every fourth pixel is left."""

NOISY = frozenset({"medium", "heavy", "noisy"})
"""Those that are to be told from the others."""

MIXTURE = Mixture(size=72, shares=tuple(float(kind == "clean") for kind in DEGRADATIONS))
"""Sharp frames; what harms them is drawn here."""

WAYS = 2
"""In which every frame is harmed, so that its texture is seen with noise and without."""

SIDE = 64
"""Pixels of what the network is shown, cut at any phase of JPEG's blocks."""

CHECKED = 24
"""Held-out frames, each harmed in every way."""


def harmed(truth: Pixels, kind: str, rng: np.random.Generator) -> Pixels:
    """An image (h, w, 3), a fourth of the truth (H, W, 3) in size, harmed in a way of ``SHARES``; 8-bit levels."""
    height, width = truth.shape[0] // 4, truth.shape[1] // 4
    if kind == "sharp":
        return quantise(truth[:height, :width])
    if kind == "coarse":
        return quantise(truth[::4, ::4])
    if kind == "compressed":
        return compress(quantise(reduce(truth, 4)), int(rng.integers(60, 96)))
    if kind == "noisy":
        return quantise(add_noise(reduce(truth, 4), rng.uniform(4, 14), rng))
    (degradation,) = (each for each in DEGRADATIONS if each == kind)
    return degrade(truth, degradation, rng)


def shown(pair: Pair, kind: str, rng: np.random.Generator) -> Pixels:
    """(3, side, side) of a harmed truth."""
    image = harmed(np.ascontiguousarray(pair.truth.transpose(1, 2, 0)), kind, rng)
    row, col = rng.integers(0, [extent - SIDE + 1 for extent in image.shape[:2]])
    return to_planes(image[row : row + SIDE, col : col + SIDE])


class NoiseObjective:
    """Logistic loss."""

    def network(self) -> NoiseSense:
        return NoiseSense()

    def loss(self, network: nn.Module, pairs: Sequence[Pair], generator: torch.Generator) -> Tensor:
        rng = np.random.default_rng(int(torch.randint(2**31, (), generator=generator)))
        kinds = rng.choice(list(SHARES), WAYS * len(pairs), p=list(SHARES.values()))
        images = np.stack([shown(pair, kind, rng) for pair, kind in zip([*pairs] * WAYS, kinds, strict=True)])
        place = place_of(network)
        noisy = torch.tensor([float(kind in NOISY) for kind in kinds], device=place)
        return F.binary_cross_entropy_with_logits(network(torch.from_numpy(images).to(place)), noisy)

    def watch(self, network: nn.Module, held: Images, mixture: Mixture, seed: int) -> dict[str, float]:
        """Share of held-out frames that are called noisy, for every way of harming them."""
        pairs = next(held_pairs(held, mixture, seed, CHECKED))  # the clean ones
        called = {}
        for kind in SHARES:
            rng = np.random.default_rng([seed, 13])
            images = torch.from_numpy(np.stack([shown(pair, kind, rng) for pair in pairs]))
            with torch.no_grad():
                called[kind] = round(float((network(images.to(place_of(network))) > 0).float().mean()), 3)
        return called
