"""What the two networks are trained to do, and how a run is watched."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - the name everybody uses

from ..backbones.mini import MiniBackbone, harm_in, harm_words, prompt_levels
from ..nets.mini import SCALE, Coarse, CoarseOutput, Refiner, refiner_condition, unshuffle
from ..prompts import degradation
from ..prompts.scene import SceneTagger
from ..prompts.vocabulary import VOCABULARY
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


def harm_seen(image: Tensor) -> Tensor:
    """What the tagger says of the harm of whole crops (n, 3, h, w), in levels (n, 4) of the words for it."""
    return degradation.said(degradation.levels_of(image.cpu().float()))


class CoarseObjective:
    """Mean logarithm of each crop's squared error (NAFNet's loss: Chen et al. 2022, section 5), and the Laplace
    likelihood of what is left for the amplitude.

    The logarithm makes a crop count by the decibels that are gained in it, whatever its contrast. Of most crops the
    network is told the harm that the tagger sees; of some the harm that was done, so that it heeds what people say; of
    some nothing.
    """

    error_weight, amplitude_weight = 0.02, 0.01
    seen, done = 0.6, 0.25
    least = 1e-5
    """Squared error (50 dB) below which a crop is good enough."""

    def network(self) -> Coarse:
        return Coarse()

    def loss(self, network: nn.Module, pairs: Sequence[Pair], generator: torch.Generator) -> Tensor:
        image, truth = stack(pairs, place_of(network))
        out: CoarseOutput = network(image, self.told(pairs, image, generator).to(image.device))
        missed = detail_of(image, truth) - out.residual
        error = torch.log(missed.square().mean((1, 2, 3)) + self.least)
        # A Laplace variable of mean magnitude b has the standard deviation sqrt(2) b.
        scale = out.amplitude / 2**0.5 + 2e-4
        likelihood = missed.detach().abs().mean(1, keepdim=True) / scale + torch.log(scale)
        return self.error_weight * error.mean() + self.amplitude_weight * likelihood.mean()

    def told(self, pairs: Sequence[Pair], image: Tensor, generator: torch.Generator) -> Tensor:
        """What the network is told of the harm of each pair (see ``backbones.mini.harm_in``)."""
        chance = torch.rand(len(pairs), 1, generator=generator)
        done = degradation.said(torch.tensor([pair.harm for pair in pairs], dtype=torch.float32))
        words = torch.where(chance < self.seen, harm_seen(image), done)
        return harm_in(words) * (chance < self.seen + self.done)

    def watch(self, network: nn.Module, held: Images, mixture: Mixture, seed: int) -> dict[str, float]:
        """PSNR gain over bicubic, told of the harm that is seen and told nothing; how far amplitudes are from true."""
        figures = {}
        for kind, pairs in zip(DEGRADATIONS, held_pairs(held, mixture, seed, 24), strict=True):
            image, truth = stack(pairs, place_of(network))
            detail = detail_of(image, truth)
            with torch.no_grad():
                out: CoarseOutput = network(image, harm_in(harm_seen(image)).to(image.device))
                untold: CoarseOutput = network(image)
            figures[f"gain_{kind}"] = round(psnr(detail - out.residual) - psnr(detail), 3)
            figures[f"untold_{kind}"] = round(psnr(detail - untold.residual) - psnr(detail), 3)
            spread = ((detail - out.residual).square().mean(1, keepdim=True).sqrt() + 1e-3) / (out.amplitude + 1e-3)
            figures[f"spread_{kind}"] = round(float(spread.median()), 3)
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
        place = place_of(network)
        levels = self.levels_of(pairs)
        heard = torch.rand(len(levels), 1, generator=generator) >= self.no_prompt
        levels = levels * heard * (torch.rand(levels.shape, generator=generator) >= self.no_tag)
        target, condition, _ = self.prepare(pairs, levels)
        # Stratified times: one in each n-th of the schedule.
        spread = torch.rand(len(levels), generator=generator)
        times = ((torch.arange(len(levels)) + spread) / len(levels) * 1000).long().clamp(0, 999)
        noise = torch.randn(target.shape, generator=generator).to(place)
        signal = self.schedule.alphas_cumprod[times].sqrt().view(-1, 1, 1, 1).float().to(place)
        sigma = (1 - self.schedule.alphas_cumprod[times]).sqrt().view(-1, 1, 1, 1).float().to(place)
        predicted = network(signal * target + sigma * noise, times.to(place), condition, levels.to(place))
        return F.mse_loss(predicted, signal * noise - sigma * target)

    def prepare(self, pairs: Sequence[Pair], levels: Tensor) -> tuple[Tensor, Tensor, CoarseOutput]:
        """Normalised detail, condition maps, and the coarse output of pairs with these prompts."""
        image, truth = stack(pairs, place_of(self.coarse))
        with torch.no_grad():
            out: CoarseOutput = self.coarse(image, harm_in(harm_words(levels)).to(image.device))
            missed = detail_of(image, truth) - out.residual
            target = (missed / (out.amplitude + 5e-4)).clamp(-self.largest, self.largest)
            return target, refiner_condition(image, out), out

    def levels_of(self, pairs: Sequence[Pair]) -> Tensor:
        """(n, vocabulary): what the tagger says of whole crops."""
        whole = [Tile.whole(Size(*pairs[0].image.shape[1:]))]
        return prompt_levels([prompt for pair in pairs for prompt in self.tagger.tag(pair.image, whole)])

    def watch(self, network: nn.Module, held: Images, mixture: Mixture, seed: int) -> dict[str, float]:
        """After four steps: PSNR gain over bicubic at fidelity 0 and 0.5, sharpness and grain against the truth."""
        figures = {}
        for kind, pairs in zip(DEGRADATIONS, held_pairs(held, mixture, seed, 12), strict=True):
            levels, place = self.levels_of(pairs), place_of(network)
            target, condition, out = self.prepare(pairs, levels)
            detail = detail_of(*stack(pairs, place))
            latents = torch.randn(target.shape, generator=torch.Generator().manual_seed(seed)).to(place)
            levels = levels.to(place)
            with torch.no_grad():
                for index, time in enumerate(self.schedule.timesteps):
                    times = torch.full((len(pairs),), int(time), device=place)
                    prediction = network(latents, times, condition, levels)
                    latents = self.schedule.step(prediction, index, latents)
            sampled = latents * out.amplitude
            for fidelity in (0.0, 0.5):
                error = detail - out.residual - (1 - fidelity) * sampled
                figures[f"gain{fidelity:g}_{kind}"] = round(psnr(error) - psnr(detail), 3)
            figures[f"energy_{kind}"] = round(float(sampled.std() / (detail - out.residual).std()), 3)
        return figures
