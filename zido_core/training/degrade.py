"""How training and evaluation make a low-resolution image from a sharp one.

``clean`` is the antialiased bicubic reduction of ZIDO's protocol. ``light``, ``medium`` and ``heavy`` are the levels of
DeeDSR's Table 6: blur, noise and JPEG before the reduction, noise and JPEG after it (the second-order scheme of
Real-ESRGAN without its resizing). ``sensor`` is a satellite's chain: modulation-transfer blur, noise of each band,
quantisation.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import Literal, NamedTuple, get_args

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Degradation = Literal["clean", "light", "medium", "heavy", "sensor"]
DEGRADATIONS: tuple[Degradation, ...] = get_args(Degradation)

Array = NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class Level:
    """One column of DeeDSR's Table 6: the ranges from which an image's parameters are drawn."""

    blur_sigma: tuple[float, float]
    """Width of the blur before the reduction, in output pixels."""
    generalised_beta: tuple[float, float]
    """Shape of the generalised Gaussian kernel; 1 is Gaussian."""
    plateau_beta: tuple[float, float]
    """Shape of the plateau kernel."""
    first_noise: tuple[float, float]
    """Standard deviation before the reduction, of 255."""
    first_quality: tuple[int, int]
    """JPEG quality before the reduction."""
    second_noise: tuple[float, float]
    """Standard deviation after the reduction, of 255."""
    second_quality: tuple[int, int]
    """JPEG quality after the reduction."""


LEVELS: dict[Degradation, Level] = {
    "light": Level(
        blur_sigma=(0.2, 0.6),
        generalised_beta=(0.5, 1.0),
        plateau_beta=(1.0, 1.2),
        first_noise=(1, 5),
        first_quality=(81, 95),
        second_noise=(1, 4),
        second_quality=(86, 100),
    ),
    "medium": Level(
        blur_sigma=(0.6, 1.1),
        generalised_beta=(1.0, 1.5),
        plateau_beta=(1.2, 1.4),
        first_noise=(5, 10),
        first_quality=(70, 81),
        second_noise=(4, 8),
        second_quality=(73, 86),
    ),
    "heavy": Level(
        blur_sigma=(1.1, 1.5),
        generalised_beta=(1.5, 2.0),
        plateau_beta=(1.4, 1.5),
        first_noise=(10, 15),
        first_quality=(60, 70),
        second_noise=(8, 12),
        second_quality=(60, 73),
    ),
}


class Harm(NamedTuple):
    """How strongly an image was harmed, each from 0 to 1: the levels of the scene tagger's words."""

    blurred: float = 0.0
    noisy: float = 0.0
    compressed: float = 0.0


def harm_of(*, sigma: float = 0.0, noise: float = 0.0, quality: float = 100.0) -> Harm:
    """Levels of a Gaussian blur of so many pixels, of noise of so much of 255, and of JPEG.

    A blur of 2 pixels and noise of 25.5 are as much as has words; weak noise is told from none more finely.
    """
    return Harm(float(min(sigma / 2, 1)), float(min(noise / 25.5, 1) ** 0.6), 1 - quality / 100)


def degrade(image: Array, degradation: Degradation, rng: np.random.Generator, *, scale: int = 4) -> Array:
    """Reduce ``image`` (h, w, 3) in [0, 1] to (h // scale, w // scale, 3), degraded; values are 8-bit levels."""
    return degrade_and_tell(image, degradation, rng, scale=scale)[0]


def degrade_and_tell(
    image: Array, degradation: Degradation, rng: np.random.Generator, *, scale: int = 4
) -> tuple[Array, Harm]:
    """The same, and what was done, in units of the reduced image."""
    if degradation == "clean":
        return quantise(reduce(image, scale)), Harm()
    if degradation == "sensor":
        return sensor(image, rng, scale)
    level = LEVELS[degradation]
    sigma = rng.uniform(*level.blur_sigma)
    image = blur(image, draw_kernel(level, sigma, rng))
    first = rng.uniform(*level.first_noise)
    image = compress(add_noise(image, first, rng), int(rng.integers(*level.first_quality)))
    second = rng.uniform(*level.second_noise)
    image = add_noise(reduce(image, scale), second, rng)
    quality = int(rng.integers(*level.second_quality))
    noise = float(np.hypot(second, first / scale))
    return compress(image, quality), harm_of(sigma=sigma / scale, noise=noise, quality=quality)


def noise_alone(image: Array, rng: np.random.Generator) -> tuple[Array, Harm]:
    """Noise of up to a tenth of the range and no compression; what was done."""
    noise = float(np.exp(rng.uniform(0, np.log(26))))
    return quantise(add_noise(image, noise, rng)), harm_of(noise=noise)


def compression_alone(image: Array, rng: np.random.Generator) -> tuple[Array, Harm]:
    """JPEG of any usual quality; what was done."""
    quality = int(rng.integers(20, 96))
    return compress(image, quality), harm_of(quality=quality)


def sensor(image: Array, rng: np.random.Generator, scale: int) -> tuple[Array, Harm]:
    """Modulation transfer of 0.1 to 0.3 at the coarse grid's Nyquist frequency, noise per band, quantisation.

    The transfer is that of a Gaussian (optics) times that of the square detector, 2 / pi.
    """
    optics = rng.uniform(0.1, 0.3) * np.pi / 2
    sigma = scale * np.sqrt(-2 * np.log(optics)) / np.pi
    height, width = image.shape[0] // scale, image.shape[1] // scale
    image = blur(image, gaussian_kernel(sigma))[: height * scale, : width * scale]
    image = image.reshape(height, scale, width, scale, -1).mean(axis=(1, 3))
    noise = rng.normal(size=image.shape)
    strength = rng.uniform(0.2, 2.5, size=3)
    harm = harm_of(sigma=sigma / scale, noise=float(strength.mean()))
    return quantise((image + noise * strength / 255).astype(np.float32)), harm


def reduce(image: Array, scale: int) -> Array:
    """Antialiased bicubic reduction (a = -0.5), band by band in float."""
    height, width = image.shape[0] // scale, image.shape[1] // scale
    box = (0, 0, width * scale, height * scale)
    bands = [
        Image.fromarray(np.ascontiguousarray(image[..., band])).resize(
            (width, height), Image.Resampling.BICUBIC, box=box
        )
        for band in range(image.shape[2])
    ]
    return np.stack([np.asarray(band) for band in bands], axis=-1)


def draw_kernel(level: Level, sigma: float, rng: np.random.Generator) -> Array:
    """Isotropic Gaussian, generalised Gaussian or plateau kernel of this width, as Real-ESRGAN mixes them."""
    radius = square_radius(sigma)
    kind = rng.choice(["gaussian", "generalised", "plateau"], p=[0.7, 0.15, 0.15])
    if kind == "gaussian":
        return gaussian_kernel(sigma)
    if kind == "generalised":
        kernel = np.exp(-0.5 * radius ** rng.uniform(*level.generalised_beta))
    else:
        kernel = 1 / (1 + radius ** rng.uniform(*level.plateau_beta))
    return normalised(kernel)


def gaussian_kernel(sigma: float) -> Array:
    """Normalised Gaussian, square, wide enough for three sigma."""
    return normalised(np.exp(-0.5 * square_radius(sigma)))


def normalised(kernel: NDArray[np.float64]) -> Array:
    """A kernel that keeps the mean."""
    return np.asarray(kernel / kernel.sum(), dtype=np.float32)


def square_radius(sigma: float) -> NDArray[np.float64]:
    """Squared distance from the centre in units of sigma."""
    reach = max(1, int(np.ceil(3 * sigma)))
    axis = np.arange(-reach, reach + 1, dtype=np.float64) / max(sigma, 1e-3)
    return np.add.outer(axis**2, axis**2)


def blur(image: Array, kernel: Array) -> Array:
    """Convolve every band with a symmetric kernel, edges repeated."""
    reach = kernel.shape[0] // 2
    padded = np.pad(image, ((reach, reach), (reach, reach), (0, 0)), mode="edge")
    height, width = image.shape[:2]
    out = np.zeros_like(image)
    for (row, col), weight in np.ndenumerate(kernel):
        if weight > 1e-5:
            out += weight * padded[row : row + height, col : col + width]
    return out


def add_noise(image: Array, sigma: float, rng: np.random.Generator) -> Array:
    """Gaussian noise of ``sigma`` / 255, in 40 % of the images the same in all bands (Real-ESRGAN's grey noise)."""
    bands = 1 if rng.random() < 0.4 else image.shape[2]
    noise = rng.standard_normal((*image.shape[:2], bands), dtype=np.float32)
    return np.asarray(np.clip(image + noise * np.float32(sigma / 255), 0, 1), dtype=np.float32)


def compress(image: Array, quality: int) -> Array:
    """Through JPEG and back."""
    stream = io.BytesIO()
    Image.fromarray(np.rint(image * 255).astype(np.uint8)).save(stream, "JPEG", quality=quality)
    return np.asarray(Image.open(stream), dtype=np.float32) / np.float32(255)


def quantise(image: Array) -> Array:
    """Round to 8-bit levels and clip to [0, 1]."""
    return np.asarray(np.rint(np.clip(image, 0, 1) * 255) / 255, dtype=np.float32)
