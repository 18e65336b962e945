"""How much results differ from seed to seed: G-STD and L-STD of CCSR (Sun et al. 2023), and every pixel's spread."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


class Spread:
    """Mean and standard deviation of every value over several results, without keeping them (Welford 1962)."""

    def __init__(self) -> None:
        self.count = 0
        self.mean: NDArray[np.float32] = np.zeros((), np.float32)
        self._squares: NDArray[np.float32] = np.zeros((), np.float32)

    def add(self, values: NDArray[np.float32]) -> None:
        """One more result, of the same shape as the others."""
        self.count += 1
        change = np.asarray(values - self.mean, np.float32)
        self.mean = self.mean + change / np.float32(self.count)
        self._squares = self._squares + change * (values - self.mean)

    @property
    def deviation(self) -> NDArray[np.float32]:
        """Standard deviation of the results at hand (divided by their number, as numpy does)."""
        return np.asarray(np.sqrt(self._squares / np.float32(max(1, self.count))))


def local_deviation(spread: Spread, valid: NDArray[np.bool_]) -> float:
    """L-STD: mean deviation of the pixels (bands, h, w) where ``valid`` (h, w); NaN of a single result."""
    if spread.count < 2 or not valid.any():
        return float("nan")
    return float(spread.deviation[:, valid].mean(dtype=np.float64))


def global_deviation(figures: list[float]) -> float:
    """G-STD: deviation of a figure such as the PSNR from result to result; NaN of a single one."""
    return float(np.std(figures)) if len(figures) > 1 else float("nan")
