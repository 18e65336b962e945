"""Sharp crops from a folder of images, and batches of (input, truth) pairs made from them."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from .degrade import DEGRADATIONS, Degradation, Harm, compression_alone, degrade_and_tell, noise_alone

SUFFIXES = frozenset({".webp", ".png", ".jpg", ".jpeg", ".tif", ".tiff"})


class Pair(NamedTuple):
    """One training example."""

    image: NDArray[np.float32]
    """(3, h, w) in [0, 1]: what the network is given."""
    truth: NDArray[np.float32]
    """(3, 4h, 4w) in [0, 1]: what it should have been."""
    degradation: Degradation
    """How the one was made from the other."""
    harm: Harm
    """How strongly."""


@dataclass(frozen=True, kw_only=True)
class Mixture:
    """What the crops of a training run look like."""

    size: int = 64
    """Side of the input crops in pixels; the truth is four times as large."""
    shares: tuple[float, ...] = (0.4, 0.17, 0.15, 0.14, 0.14)
    """Share of each of ``DEGRADATIONS``, in their order; sums to 1."""
    reduction: tuple[float, float] = (1.0, 4.0)
    """Frames are reduced by a random factor of this range first: large ones are soft, and aerial ones show centimetres
    where rasters show metres."""
    flat: float = 3.0
    """Crops whose standard deviation is below this (of 255) are mostly skipped."""
    keep_flat: float = 0.25
    """Share of the flat crops that is kept all the same: the network must learn to leave them alone."""
    single: float = 0.0
    """Share of the clean inputs that are harmed in one way alone, noise or compression: the levels have both."""
    margin: int = 4
    """Input pixels cut off around a crop after the degradation, whose edges are not the image's."""


@dataclass(frozen=True)
class Images:
    """All images of a folder in memory; every image is drawn equally often, whatever its size."""

    frames: tuple[NDArray[np.uint8], ...]
    """(h, w, 3) each."""
    names: tuple[str, ...] = field(repr=False)
    """Path of each below the folder."""

    @classmethod
    def read(cls, folder: Path) -> Images:
        """Read every image below ``folder``, in the order of their names."""
        paths = sorted(p for p in folder.rglob("*") if p.suffix.lower() in SUFFIXES)
        if not paths:
            raise FileNotFoundError(f"no images below {folder}: expected {', '.join(sorted(SUFFIXES))}")
        frames = tuple(np.asarray(Image.open(p).convert("RGB")) for p in paths)
        return cls(frames, tuple(p.relative_to(folder).as_posix() for p in paths))

    def split(self, every: int) -> tuple[Images, Images]:
        """All but every n-th image, and every n-th image (held out to watch the training)."""
        kept = [i for i in range(len(self.frames)) if i % every != every // 2]
        held = [i for i in range(len(self.frames)) if i % every == every // 2]
        return self.select(kept), self.select(held)

    def select(self, indexes: list[int]) -> Images:
        """The images of these indexes."""
        return Images(
            tuple(self.frames[i] for i in indexes),
            tuple(self.names[i] for i in indexes),
        )


def draw_pair(images: Images, mixture: Mixture, rng: np.random.Generator) -> Pair:
    """Draw one pair: image, place, reduction, orientation and degradation at random."""
    side = 4 * (mixture.size + 2 * mixture.margin)
    crop = draw_crop(images, side, mixture, rng)
    crop = np.rot90(crop, int(rng.integers(4)))
    if rng.random() < 0.5:
        crop = crop[:, ::-1]
    truth = vary_colour(np.ascontiguousarray(crop, dtype=np.float32) / np.float32(255), rng)
    degradation = DEGRADATIONS[rng.choice(len(DEGRADATIONS), p=mixture.shares)]
    image, harm = degrade_and_tell(truth, degradation, rng)
    # Where nothing is harmed alone nothing is drawn for it, so that older recipes see what they saw.
    if degradation == "clean" and mixture.single > 0 and rng.random() < mixture.single:
        image, harm = (noise_alone if rng.random() < 0.5 else compression_alone)(image, rng)
    inner, outer = mixture.margin, 4 * mixture.margin
    image, truth = image[inner:-inner, inner:-inner], truth[outer:-outer, outer:-outer]
    return Pair(to_planes(image), to_planes(truth), degradation, harm)


def draw_crop(images: Images, side: int, mixture: Mixture, rng: np.random.Generator) -> NDArray[np.uint8]:
    """A square of output pixels (side, side, 3) that is not flat, or one of the few flat ones that are kept."""
    while True:
        index = rng.integers(len(images.frames))
        frame = images.frames[index]
        least, most = mixture.reduction
        most = max(least, min(most, min(frame.shape[:2]) / side))
        factor = float(np.exp(rng.uniform(np.log(least), np.log(most))))
        extent = min(round(side * factor), *frame.shape[:2])
        row = rng.integers(frame.shape[0] - extent + 1)
        col = rng.integers(frame.shape[1] - extent + 1)
        crop = frame[row : row + extent, col : col + extent]
        if extent != side:
            crop = np.asarray(Image.fromarray(crop).resize((side, side), Image.Resampling.BICUBIC))
        if crop[::2, ::2].std() > mixture.flat or rng.random() < mixture.keep_flat:
            return crop


def vary_colour(image: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.float32]:
    """Now and then grey, swapped bands, or another contrast: rasters are not photographs."""
    chance = rng.random()
    if chance < 0.06:
        image = np.repeat(image.mean(axis=2, keepdims=True), 3, axis=2)
    elif chance < 0.16:
        image = image[..., rng.permutation(3)]
    if rng.random() < 0.3:
        gain = rng.uniform(0.6, 1.4)
        image = np.clip((image - 0.5) * gain + 0.5 + rng.uniform(-0.1, 0.1), 0, 1)
    return np.ascontiguousarray(image, dtype=np.float32)


def to_planes(image: NDArray[np.float32]) -> NDArray[np.float32]:
    """(h, w, 3) -> (3, h, w), contiguous."""
    return np.ascontiguousarray(image.transpose(2, 0, 1))
