"""Every figure of a result, by name: against the truth, against the input, and what it took."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray

from ..color import to_lab
from ..metrics.consistency import consistency
from ..metrics.correctness import correctness
from ..metrics.fidelity import ergas, luma, ms_ssim, psnr, sam, ssim
from ..metrics.grain import grain_ratio
from ..metrics.haarpsi import haarpsi
from ..metrics.perceptual import gmsd, spectrum_distance
from ..resample import resize
from ..tiling.grid import Size
from .cases import Case

Best = Literal["high", "low", "one", ""]
Topic = Literal["truth", "detail", "input", "stability", "cost"]

COARSE = 16
"""Side of the blocks whose mean colours are compared, output pixels."""


@dataclass(frozen=True, kw_only=True)
class Metric:
    """A figure, as tables show it."""

    name: str
    """Key in JSON and CSV."""
    label: str
    """Heading of its column."""
    best: Best = "low"
    """Whether larger or smaller is better, or as near to 1 as can be; empty: neither."""
    digits: int = 3
    """Decimals that are shown."""
    topic: Topic = "truth"
    """The table in which it stands."""
    meaning: str = ""
    """In words, for those who read the table."""

    @property
    def heading(self) -> str:
        """The label with an arrow to where it is better."""
        return self.label + {"high": " ↑", "low": " ↓", "one": " →1", "": ""}[self.best]

    def better(self, first: float, second: float) -> bool:
        """Whether ``first`` beats ``second``."""
        if self.best == "one":
            return abs(first - 1) < abs(second - 1)
        return first > second if self.best == "high" else first < second


_METRICS = (
    Metric(name="psnr", label="PSNR", best="high", digits=2, meaning="dB, all bands"),
    Metric(name="psnr_y", label="PSNR Y", best="high", digits=2, meaning="dB, Y of YCbCr (BT.601)"),
    Metric(name="ssim", label="SSIM", best="high", digits=4, meaning="structural similarity, mean over bands"),
    Metric(name="ssim_y", label="SSIM Y", best="high", digits=4, meaning="the same of Y"),
    Metric(name="ms_ssim", label="MS-SSIM", best="high", digits=4, meaning="multi-scale SSIM, mean over bands"),
    Metric(name="haarpsi", label="HaarPSI", best="high", digits=4, meaning="perceptual similarity without a network"),
    Metric(name="gmsd", label="GMSD", digits=4, meaning="gradient magnitude similarity deviation"),
    Metric(
        name="spectrum",
        label="Spectrum",
        digits=2,
        meaning="distance of the radial power spectra, dB: blur and grain both count",
    ),
    Metric(name="delta_e", label="ΔE", digits=2, meaning="mean colour difference of pixels (CIELAB, 1976)"),
    Metric(
        name="colour_shift",
        label="Colour shift",
        digits=2,
        meaning=f"the same of the means of {COARSE} x {COARSE} pixels",
    ),
    Metric(
        name="grain",
        label="Grain",
        best="one",
        digits=2,
        meaning="local standard deviation on flat places of the truth, over that of the truth there",
    ),
    Metric(name="sam", label="SAM °", digits=2, topic="detail", meaning="spectral angle to the truth, degrees"),
    Metric(name="ergas", label="ERGAS", digits=2, topic="detail", meaning="relative global error, percent"),
    Metric(
        name="improvement",
        label="Improvement",
        best="high",
        topic="detail",
        meaning="opensr-test (normalised difference): detail that the truth has, too",
    ),
    Metric(name="omission", label="Omission", topic="detail", meaning="detail of the truth that is not there"),
    Metric(name="hallucination", label="Hallucination", topic="detail", meaning="detail that the truth has not"),
    Metric(
        name="reflectance",
        label="Reflectance",
        digits=4,
        topic="input",
        meaning="mean absolute difference of block means and input, of 1",
    ),
    Metric(
        name="spectral_angle",
        label="Spectral °",
        digits=2,
        topic="input",
        meaning="angle between the spectra of block means and input, degrees",
    ),
    Metric(name="shift", label="Shift", digits=3, topic="input", meaning="displacement, input pixels"),
    Metric(
        name="seam_ratio",
        label="Seams",
        best="one",
        topic="input",
        meaning="steps across the borders of tiles over steps beside them; empty with one tile",
    ),
    Metric(
        name="g_std",
        label="G-STD",
        digits=4,
        topic="stability",
        meaning="CCSR: standard deviation of the PSNR over the seeds, dB",
    ),
    Metric(
        name="l_std",
        label="L-STD",
        digits=4,
        topic="stability",
        meaning="CCSR: mean standard deviation of a pixel over the seeds, of 1",
    ),
    Metric(name="seconds", label="Seconds", best="low", digits=2, topic="cost", meaning="per image, without loading"),
    Metric(
        name="megabytes",
        label="Memory MB",
        best="low",
        digits=0,
        topic="cost",
        meaning="peak of the process (on a GPU: of its tensors), everything loaded",
    ),
)

METRICS: Mapping[str, Metric] = {metric.name: metric for metric in _METRICS}
"""All figures that need no network, in the order of the tables."""


def scores_of(image: NDArray[np.float32], case: Case) -> dict[str, float]:
    """Everything that can be measured on a result (1 or 3, H, W); NaN where nothing can be said."""
    return against_truth(image, case) | against_input(image, case)


def against_truth(image: NDArray[np.float32], case: Case) -> dict[str, float]:
    """Likeness to the truth, where truth and input are known."""
    truth, valid = case.truth.image, case.known
    found = correctness(image, truth, case.image, valid)
    mask = None if valid.all() else valid
    shade, true_shade = luma(image), luma(truth)
    return {
        "psnr": psnr(image, truth, mask),
        "psnr_y": psnr(shade, true_shade, mask),
        "ssim": ssim(image, truth, mask),
        "ssim_y": ssim(shade, true_shade, mask),
        "ms_ssim": ms_ssim(image, truth, mask),
        "haarpsi": haarpsi(image, truth, mask),
        "gmsd": gmsd(image, truth, mask),
        "spectrum": spectrum_distance(image, truth, mask),
        "delta_e": delta_e(image, truth, valid),
        "colour_shift": colour_shift(image, truth, valid),
        "grain": grain_ratio(image, truth, mask),
        "sam": sam(image, truth, mask),
        "ergas": ergas(image, truth, mask, scale=case.scale),
        "improvement": found.improvement,
        "omission": found.omission,
        "hallucination": found.hallucination,
    }


def against_input(image: NDArray[np.float32], case: Case) -> dict[str, float]:
    """Consistency with what was known (opensr-test); needs no truth."""
    found = consistency(image, case.image, case.valid)
    return {"reflectance": found.reflectance, "spectral_angle": found.spectral, "shift": found.spatial}


def delta_e(image: NDArray[np.float32], truth: NDArray[np.float32], valid: NDArray[np.bool_]) -> float:
    """Mean distance of the colours in CIELAB (1976), images taken as sRGB."""
    first, second = (to_lab(torch.from_numpy(_three(each))).numpy() for each in (image, truth))
    distance = np.sqrt(np.square(first - second).sum(0))
    return float(distance[valid].mean(dtype=np.float64)) if valid.any() else float("nan")


def colour_shift(image: NDArray[np.float32], truth: NDArray[np.float32], valid: NDArray[np.bool_]) -> float:
    """The same of blocks that are valid throughout: a change of colour rather than of detail."""
    size = Size(*(max(1, side // COARSE) for side in valid.shape))
    whole = resize(valid[None].astype(np.float32), size, "area")[0] > 1 - 1e-4
    return delta_e(resize(image, size, "area"), resize(truth, size, "area"), whole)


def _three(image: NDArray[np.float32]) -> NDArray[np.float32]:
    """As red, green and blue; a copy, which torch may own."""
    return np.array(np.broadcast_to(image, (3, *image.shape[1:])))
