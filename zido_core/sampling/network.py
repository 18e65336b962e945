"""The network on a whole canvas: many crops, in batches or in threads, checked and fused."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from functools import partial
from types import TracebackType
from typing import NamedTuple, Protocol, Self

import torch
from torch import Tensor

from ..errors import NotFinite, OutOfMemory
from ..threads import Threads, side_by_side
from ..tiling.fusion import Fusion, crop
from ..tiling.grid import Tile
from .batches import TileBatch
from .windows import Window, Windows


class Predictor(Protocol):
    """The network, with everything that it is told but these four."""

    def __call__(
        self, latents: Tensor, timestep: Tensor, tiles: Sequence[Tile], prompt_ids: Sequence[int], /
    ) -> Tensor:
        """Prediction (n, channels, h, w) for `latents`, crops of the canvas at `tiles` (in latents).

        A tile may reach over the lower or right border: read conditions with `tiling.fusion.crop`. With several
        workers it is called from several threads at a time.
        """
        ...


class Look(NamedTuple):
    """One look of the network at the canvas."""

    window: Window
    """Where."""
    branch: int
    """Which branch of guidance."""
    prompt_id: int
    """What it is told."""


class Network:
    """Predicts and fuses, step after step; a context, for its threads.

    Accelerators take several crops in a call. A CPU takes one: that is no slower there, and the kernels' last bits
    depend on the size of a batch. Instead as many tiles as there are workers are computed side by side, which their
    bits do not depend on.
    """

    def __init__(
        self, *, predict: Predictor, retry: Predictor | None = None, batch: TileBatch | None = None, workers: int = 1
    ) -> None:
        """``retry`` is asked for crops whose prediction is not finite; ``workers`` are tiles at a time on a CPU."""
        self._predict, self._retry = predict, retry
        self._batch, self._workers = batch or TileBatch(1), workers
        self._threads = Threads()
        self._opened = ExitStack()

    def __enter__(self) -> Self:
        self._threads = self._opened.enter_context(side_by_side(self._workers))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._opened.close()

    def fused(
        self,
        canvas: Tensor,
        timestep: Tensor,
        windows: Windows,
        step: int,
        branches: Sequence[Sequence[int]],
        on_tiles: Callable[[int], None],
    ) -> list[Tensor]:
        """Per branch the weighted mean of all windows' predictions (channels, height, width).

        ``branches`` are prompts per tile of the grid; ``on_tiles`` hears how many windows more are done,
        of none while it waits for them.
        """
        fusions = [Fusion(canvas.shape, canvas.device) for _ in branches]
        weight = fusions[0].weights(windows.weights)
        looks = [
            [Look(window, branch, ids[window.place]) for branch, ids in enumerate(branches)]
            for window in windows.at(step)
        ]
        if one_by_one(canvas.device):
            parts = self._in_threads(canvas, timestep, looks, heed=partial(on_tiles, 0))
        else:
            parts = self._in_batches(canvas, timestep, looks)
        for part in parts:
            for look, prediction in part:
                fusions[look.branch].add(look.window.tile, prediction, weight)
            on_tiles(sum(look.branch == len(branches) - 1 for look, _ in part))
        return [fusion.mean() for fusion in fusions]

    def _in_threads(
        self, canvas: Tensor, timestep: Tensor, looks: Sequence[Sequence[Look]], heed: Callable[[], None]
    ) -> Iterator[Sequence[tuple[Look, Tensor]]]:
        """Window by window; the branches of one follow each other, for what they share."""

        def predicted(window: Sequence[Look]) -> tuple[list[Tensor], bool]:
            with torch.no_grad():  # known to the thread that set it, only
                found = [prediction for look in window for prediction in self._asked(canvas, timestep, [look])]
                return found, all(_all_finite(found))

        late = []
        results = self._threads.map(predicted, looks, heed=heed)
        for window, (predictions, finite) in zip(looks, results, strict=True):
            if finite:
                yield list(zip(window, predictions, strict=True))
            else:
                late.append((window, predictions))
        for window, predictions in late:  # when no thread is in the networks, whose type changes for it
            yield self._finite(canvas, timestep, window, predictions)

    def _in_batches(
        self, canvas: Tensor, timestep: Tensor, looks: Sequence[Sequence[Look]]
    ) -> Iterator[Sequence[tuple[Look, Tensor]]]:
        """All looks in a row, as many at a time as pay."""
        left = [look for window in looks for look in window]
        while left:
            count = self._batch.next_of(len(left))
            part, left = left[:count], left[count:]
            began = time.perf_counter()
            finite = self._finite(canvas, timestep, part, self._asked(canvas, timestep, part))
            self._batch.took(count, time.perf_counter() - began)
            yield finite

    def _asked(self, canvas: Tensor, timestep: Tensor, looks: Sequence[Look]) -> list[Tensor]:
        """Predictions as they come; half of them at a time where memory does not suffice for all."""
        tiles = [look.window.tile for look in looks]
        try:
            crops = torch.stack([crop(canvas, tile) for tile in tiles])
            return list(self._predict(crops, timestep, tiles, [look.prompt_id for look in looks]))
        except torch.OutOfMemoryError as error:
            if len(looks) == 1:
                raise OutOfMemory(
                    f"one tile of {tiles[0].height}x{tiles[0].width} latents does not fit into the memory of "
                    f"{canvas.device}; choose a smaller tile size, or another device"
                ) from error
        self._batch.too_large(len(looks))
        half = len(looks) // 2
        return self._asked(canvas, timestep, looks[:half]) + self._asked(canvas, timestep, looks[half:])

    def _finite(
        self, canvas: Tensor, timestep: Tensor, looks: Sequence[Look], predictions: Sequence[Tensor]
    ) -> Sequence[tuple[Look, Tensor]]:
        """The predictions, those that are not finite asked for again."""
        return [
            (look, prediction if finite else self._again(canvas, timestep, look))
            for look, prediction, finite in zip(looks, predictions, _all_finite(predictions), strict=True)
        ]

    def _again(self, canvas: Tensor, timestep: Tensor, look: Look) -> Tensor:
        tile = look.window.tile
        if self._retry is not None:
            prediction: Tensor = self._retry(crop(canvas, tile)[None], timestep, [tile], [look.prompt_id])[0]
            if all(_all_finite([prediction])):
                return prediction
        raise NotFinite(
            f"the network gives NaN or infinity for the tile at row {tile.row}, column {tile.col} (latents), "
            f"time {timestep.item():g}; expected finite numbers: try --precision fp32"
        )


def one_by_one(device: torch.device) -> bool:
    """Whether batches would cost that the bytes are one whatever the batch, and gain nothing."""
    return device.type == "cpu"


def _all_finite(predictions: Sequence[Tensor]) -> list[bool]:
    """Of each prediction; asks the device once, and so waits for it."""
    finite: list[bool] = torch.stack([torch.isfinite(prediction).all() for prediction in predictions]).tolist()
    return finite
