"""What is measured once over the whole input, so that all its blocks are treated alike."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .noisiness import noise_of
from .raster.radiometry import Stretch, detail_gains, fit_stretch
from .raster.source import Raster, Source
from .setup import Setup

SAMPLE_SIDE = 2048
"""Longest side of the thumbnail that is looked at, pixels."""

NOISY = 0.35
"""Level from which on an input is called noisy: noise of 4.4 of 255."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Survey:
    """Facts about a dataset."""

    stretch: Stretch
    """Which numbers the model sees as black and white."""
    means: Mapping[int, float]
    """Mean of the measured pixels of every band but alpha: what wide gaps are filled with."""
    gains: NDArray[np.float64]
    """How strongly each extra band follows the luminance of the model's bands; 0 where it must not."""
    hard_alpha: bool
    """Whether the opacity has but two values, 0 and another: a mask, which must stay one."""
    noise: float | None
    """Level of the input's noise, 0 to 1; None where nobody needs to know."""

    @property
    def noisy(self) -> bool:
        """Whether its single pixels are hardly worth keeping."""
        return self.noise is not None and self.noise > NOISY

    def fill_of(self, bands: Sequence[int]) -> NDArray[np.float64]:
        """What wide gaps of these bands are filled with."""
        return np.array([self.means[band] for band in bands])


def survey(source: Source, setup: Setup) -> Survey:
    """Look at a thumbnail of the input."""
    sample, info, bands = source.thumbnail(SAMPLE_SIDE), source.info, setup.bands
    valid = sample.every_band_valid
    model, extra = ([info.colour_bands.index(band) for band in group] for group in (bands.model, bands.extra))
    stretch = fit_stretch(sample.array[model], valid[model], info.dtype, setup.options.stretch, kind=info.kind)
    gains = np.zeros(len(extra))
    if bands.policy == "detail":
        numbers = np.where(valid, sample.array, 0)  # differences of infinities are no numbers
        gains = detail_gains(numbers[extra], numbers[model], valid[model + extra])
    means = (_mean(plane, measured, stretch.lo) for plane, measured in zip(sample.array, valid, strict=True))
    return Survey(
        stretch=stretch,
        means=dict(zip(info.colour_bands, means, strict=True)),
        gains=gains,
        hard_alpha=_two_valued(sample),
        noise=noise_of(source, setup, stretch) if _keeps_noise(setup) else None,
    )


def _keeps_noise(setup: Setup) -> bool:
    """Whether the noise of pixels is kept where it need not be: numbers of more than 8 bits are measurements."""
    return setup.options.consistency == "on" and setup.info.dtype == "uint8"


def _mean(plane: NDArray[Any], measured: NDArray[np.bool_], fallback: float) -> float:
    return float(plane[measured].mean(dtype=np.float64)) if measured.any() else fallback


def _two_valued(sample: Raster) -> bool:
    return sample.alpha is not None and bool(np.isin(sample.alpha, (0, sample.alpha.max())).all())
