"""What the two networks are trained to do, and how a run is watched."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - the name everybody uses

from ..backbones.mini import MiniBackbone
from ..nets.mini import SCALE, Coarse, CoarseOutput, Refiner, refiner_condition, unshuffle
from ..prompts.scene import SceneTagger
from ..prompts.vocabulary import VOCABULARY, encode
from ..sampling.schedule import Schedule
from ..tiling.grid import Size, Tile
from .data import Images, Mixture, Pair, draw_pair
from .degrade import DEGRADATIONS


class Objective(Protocol):
    """A network and its loss."""

    def network(self) -> nn.Module:
        """A fresh network."""
        ...

    def loss(self, network: nn.Module, pairs: Sequence[Pair], generator: torch.Generator) -> Tensor:
        """Scalar loss of one batch."""
        ...

    def watch(self, network: nn.Module, held: Images, mixture: Mixture, seed: int) -> dict[str, float]:
        """Figures on images that the training does not see."""
        ...


def stack(pairs: Sequence[Pair], device: torch.device | str = "cpu") -> tuple[Tensor, Tensor]:
    """Images (n, 3, h, w) and truths (n, 3, 4h, 4w), where the network computes."""
    images, truths = np.stack([pair.image for pair in pairs]), np.stack([pair.truth for pair in pairs])
    return torch.from_numpy(images).to(device), torch.from_numpy(truths).to(device)


def place_of(network: nn.Module) -> torch.device:
    """The device that a network computes on."""
    return next(network.parameters()).device


def enlarge(image: Tensor) -> Tensor:
    """Bicubic enlargement (a = -0.5) of (n, 3, h, w) by four."""
    size = (image.shape[-2] * SCALE, image.shape[-1] * SCALE)
    return F.interpolate(image.float(), size, mode="bicubic", antialias=True)


def detail_of(image: Tensor, truth: Tensor) -> Tensor:
    """What the bicubic enlargement lacks, unshuffled: (n, 48, h, w)."""
    return unshuffle(truth - enlarge(image))


def held_pairs(held: Images, mixture: Mixture, seed: int, count: int) -> Iterator[list[Pair]]:
    """``count`` pairs of every degradation, in the order of ``DEGRADATIONS``, the same at every call."""
    for index in range(len(DEGRADATIONS)):
        shares = tuple(float(i == index) for i in range(len(DEGRADATIONS)))
        only = Mixture(size=mixture.size, shares=shares, keep_flat=0.0)
        rng = np.random.default_rng([seed, 7, index])
        yield [draw_pair(held, only, rng) for _ in range(count)]


def psnr(error: Tensor) -> float:
    """Mean over the batch of each example's PSNR, in dB, of errors in [-1, 1]."""
    return float((-10 * torch.log10(error.float().square().mean((1, 2, 3)) + 1e-8)).mean())


def averaged(checkpoint: Path) -> Mapping[str, Tensor]:
    """The weights that count of another run: their running average."""
    weights: Mapping[str, Tensor] = torch.load(checkpoint, weights_only=True, map_location="cpu")["average"]
    return weights


class CoarseObjective:
    """Mean logarithm of each crop's squared error (NAFNet's loss: Chen et al. 2022, section 5), and the Laplace
    likelihood of what is left for the amplitude.

    The logarithm makes a crop count by the decibels that are gained in it, whatever its contrast.
    """

    error_weight, amplitude_weight = 0.02, 0.01
    least = 1e-5
    """Squared error (50 dB) below which a crop is good enough."""

    def network(self) -> Coarse:
        return Coarse()

    def loss(self, network: nn.Module, pairs: Sequence[Pair], generator: torch.Generator) -> Tensor:
        image, truth = stack(pairs, place_of(network))
        out: CoarseOutput = network(image)
        missed = detail_of(image, truth) - out.residual
        error = torch.log(missed.square().mean((1, 2, 3)) + self.least)
        # A Laplace variable of mean magnitude b has the standard deviation sqrt(2) b.
        scale = out.amplitude / 2**0.5 + 2e-4
        likelihood = missed.detach().abs().mean(1, keepdim=True) / scale + torch.log(scale)
        return self.error_weight * error.mean() + self.amplitude_weight * likelihood.mean()

    def watch(self, network: nn.Module, held: Images, mixture: Mixture, seed: int) -> dict[str, float]:
        figures = {}
        for degradation, pairs in zip(DEGRADATIONS, held_pairs(held, mixture, seed, 24), strict=True):
            image, truth = stack(pairs, place_of(network))
            detail = detail_of(image, truth)
            with torch.no_grad():
                out: CoarseOutput = network(image)
            figures[f"gain_{degradation}"] = round(psnr(detail - out.residual) - psnr(detail), 3)
            spread = ((detail - out.residual).square().mean(1, keepdim=True).sqrt() + 1e-3) / (out.amplitude + 1e-3)
            figures[f"spread_{degradation}"] = round(float(spread.median()), 3)
        return figures


class RefinerObjective:
    """Velocity matching (Salimans & Ho 2022) on the detail that the coarse network misses, in units of its amplitude.

    The prompt of a crop is what the scene tagger says of it. Some crops lose their whole prompt and some tags are
    forgotten, so that the network also works without them (classifier-free guidance, Ho & Salimans 2021).
    """

    no_prompt, no_tag = 0.15, 0.1
    largest = 5.0
    """Detail beyond so many amplitudes is cut: a few outliers would rule the loss."""

    def __init__(self, *, coarse: Path, device: torch.device | str = "cpu") -> None:
        self.coarse = Coarse().to(device)
        self.coarse.load_state_dict(averaged(coarse))
        self.coarse.requires_grad_(False)
        self.tagger = SceneTagger()
        self.schedule = Schedule.from_spec(MiniBackbone.schedule, steps=4)

    def network(self) -> Refiner:
        return Refiner(vocabulary=len(VOCABULARY))

    def loss(self, network: nn.Module, pairs: Sequence[Pair], generator: torch.Generator) -> Tensor:
        image, target, condition, _ = self.prepare(pairs)
        place = place_of(network)
        levels = self.levels_of(image)
        heard = torch.rand(len(levels), 1, generator=generator) >= self.no_prompt
        levels = levels * heard * (torch.rand(levels.shape, generator=generator) >= self.no_tag)
        # Stratified times: one in each n-th of the schedule.
        spread = torch.rand(len(levels), generator=generator)
        times = ((torch.arange(len(levels)) + spread) / len(levels) * 1000).long().clamp(0, 999)
        noise = torch.randn(target.shape, generator=generator).to(place)
        signal = self.schedule.alphas_cumprod[times].sqrt().view(-1, 1, 1, 1).float().to(place)
        sigma = (1 - self.schedule.alphas_cumprod[times]).sqrt().view(-1, 1, 1, 1).float().to(place)
        predicted = network(signal * target + sigma * noise, times.to(place), condition, levels.to(place))
        return F.mse_loss(predicted, signal * noise - sigma * target)

    def prepare(self, pairs: Sequence[Pair]) -> tuple[Tensor, Tensor, Tensor, CoarseOutput]:
        """Images, normalised detail, condition maps, and the coarse output."""
        image, truth = stack(pairs, place_of(self.coarse))
        with torch.no_grad():
            out: CoarseOutput = self.coarse(image)
            missed = detail_of(image, truth) - out.residual
            target = (missed / (out.amplitude + 5e-4)).clamp(-self.largest, self.largest)
            return image, target, refiner_condition(image, out), out

    def levels_of(self, image: Tensor) -> Tensor:
        """(n, vocabulary): the tagger's levels of whole crops (n, 3, h, w)."""
        levels = torch.zeros(len(image), len(VOCABULARY))
        for row, crop in zip(levels, image.cpu().numpy(), strict=True):
            (prompt,) = self.tagger.tag(crop, [Tile.whole(Size(*crop.shape[-2:]))])
            for token, level in zip(*encode(prompt), strict=True):
                row[token] = level
        return levels

    def watch(self, network: nn.Module, held: Images, mixture: Mixture, seed: int) -> dict[str, float]:
        """After four steps: PSNR gain over bicubic at fidelity 0 and 0.5, sharpness and grain against the truth."""
        figures = {}
        for degradation, pairs in zip(DEGRADATIONS, held_pairs(held, mixture, seed, 12), strict=True):
            image, target, condition, out = self.prepare(pairs)
            place = place_of(network)
            detail = detail_of(image, stack(pairs, place)[1])
            latents = torch.randn(target.shape, generator=torch.Generator().manual_seed(seed)).to(place)
            levels = self.levels_of(image).to(place)
            with torch.no_grad():
                for index, time in enumerate(self.schedule.timesteps):
                    times = torch.full((len(image),), int(time), device=place)
                    prediction = network(latents, times, condition, levels)
                    latents = self.schedule.step(prediction, index, latents)
            sampled = latents * out.amplitude
            for fidelity in (0.0, 0.5):
                error = detail - out.residual - (1 - fidelity) * sampled
                figures[f"gain{fidelity:g}_{degradation}"] = round(psnr(error) - psnr(detail), 3)
            figures[f"energy_{degradation}"] = round(float(sampled.std() / (detail - out.residual).std()), 3)
        return figures
