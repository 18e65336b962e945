"""All methods on all images: the scores, their means, and how they came about."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..device import choose_device
from ..errors import ZidoError
from ..metrics.fidelity import psnr
from ..metrics.stability import Spread, global_deviation, local_deviation
from .cases import Case, cases, truths
from .learned import Available, load_available
from .meter import measured
from .methods import Enlarged, Loaded, Method, MethodSpec, Model
from .mixed import mixed_cases
from .protocols import Protocol
from .scores import METRICS, Metric, scores_of
from .tags import TagCounts, count_tags


@dataclass(frozen=True, kw_only=True)
class Score:
    """The figures of one result."""

    image: str
    """Name of the image."""
    degradation: str
    """How the input was made."""
    method: str
    """Label of the method."""
    size: tuple[int, int]
    """Height and width of the result."""
    values: Mapping[str, float]
    """By the names of the metrics; NaN where nothing can be said."""


@dataclass(frozen=True, kw_only=True)
class Failure:
    """Something that could not be measured."""

    image: str
    """Name of the image."""
    method: str
    """Label of the method; empty if no method could run."""
    error: ZidoError
    """Why."""

    @property
    def message(self) -> str:
        """Which image, by which method, and why."""
        text = str(self.error)
        if self.method:
            return f"{self.image} by {self.method}: {text}"
        return text if text.startswith(self.image) else f"{self.image}: {text}"


class Result(NamedTuple):
    """A result with its score, for those who want to see it."""

    score: Score
    """Its figures."""
    image: NDArray[np.float32]
    """(1 or 3, H, W) in [0, 1]."""
    case: Case
    """The input and the truth."""


@dataclass(kw_only=True)
class Evaluation:
    """Filled while it runs."""

    methods: Sequence[MethodSpec]
    """What is compared; the first is what the others are measured against."""
    protocol: Protocol
    """How."""
    device: str = "auto"
    """Where models and learned metrics run."""
    runs: int = 1
    """Results of every model with as many seeds, for G-STD and L-STD; all other figures are those of the first."""
    tags: bool = False
    """Whether the tags of every input are counted, with the options of the first model."""
    scores: list[Score] = field(default_factory=list)
    """Image by image, degradation by degradation, method by method."""
    failures: list[Failure] = field(default_factory=list)
    """What could not be measured."""
    tag_counts: list[TagCounts] = field(default_factory=list)
    """One per input."""
    weights: dict[str, str] = field(default_factory=dict)
    """sha256 of the weights of every model."""
    _learned: Available = field(default_factory=lambda: Available({}, {}), init=False)

    def run(
        self, inputs: Sequence[str], *, lr_folder: Path | None = None, limit: int | None = None
    ) -> Iterator[Result]:
        """Measure everything, one result after the other. Images that cannot be used become failures."""
        found = truths(inputs, limit)
        chosen = choose_device(self.device)
        loaded = Loaded(scale=self.protocol.scale, seed=self.protocol.seed, device=chosen)
        methods = {spec.label: loaded.method(spec) for spec in self.methods}
        self.weights, self._learned = loaded.weights, load_available(chosen)
        for case in self._cases(found, lr_folder):
            try:
                self._count_tags(case, loaded)
                yield from self._results(case, methods, chosen)
            except ZidoError as error:
                self._failed(case.truth.name, error)

    def _cases(self, found: Sequence[tuple[str, Path]], lr_folder: Path | None) -> Iterator[Case]:
        """All inputs, one after the other."""
        if self.protocol.mixed:
            yield from mixed_cases(found, self.protocol, self._failed)
            return
        for name, path in found:
            try:
                yield from cases(name, path, self.protocol, lr_folder)
            except ZidoError as error:
                self._failed(name, error)

    def _failed(self, name: str, error: ZidoError) -> None:
        """Note an image that cannot be used."""
        self.failures.append(Failure(image=name, method="", error=error))

    @property
    def metrics(self) -> dict[str, Metric]:
        """Every figure that was measured, by name: those of networks after PSNR and SSIM, as papers have them."""
        networks = {name: scorer.learned.metric for name, scorer in self._learned.scorers.items()}
        first = {name: METRICS[name] for name in ("psnr", "psnr_y", "ssim", "ssim_y")}
        return {**first, **networks, **METRICS}

    @property
    def skipped(self) -> Mapping[str, str]:
        """Metrics that could not be measured here, by label, and why."""
        return self._learned.skipped

    @property
    def degradations(self) -> list[str]:
        """Those that occur, in their order."""
        return list(dict.fromkeys(score.degradation for score in self.scores))

    def of(self, degradation: str, method: str) -> list[Score]:
        """The scores of one method."""
        return [s for s in self.scores if (s.degradation, s.method) == (degradation, method)]

    def means(self, degradation: str, method: str) -> dict[str, float]:
        """Means over the images for which there is a figure; metrics of whole sets as they are."""
        scores = self.of(degradation, method)
        means = {name: _mean([score.values[name] for score in scores]) for name in self.metrics}
        sets = {name: scorer for name, scorer in self._learned.scorers.items() if scorer.learned.whole_set}
        return means | {name: scorer.of_set((degradation, method)) for name, scorer in sets.items()}

    def gain(self, degradation: str, method: str, metric: str) -> float:
        """Mean difference to the first method over the images that both did."""
        return _mean([ours - first for ours, first in self._pairs(degradation, method, metric)])

    def wins(self, degradation: str, method: str, metric: str) -> tuple[int, int]:
        """On how many images the method beats the first one, and of how many."""
        pairs = self._pairs(degradation, method, metric)
        better = self.metrics[metric].better
        return sum(better(ours, first) for ours, first in pairs), len(pairs)

    def record(self) -> dict[str, Any]:
        """JSON-like values: everything but where and when it ran."""
        return {
            "protocol": self.protocol.record(),
            "methods": [
                {"label": spec.label, "name": spec.name, "options": dict(spec.options)} for spec in self.methods
            ],
            "weights_sha256": dict(self.weights),
            "metrics": {
                name: {"label": metric.label, "best": metric.best, "meaning": metric.meaning}
                for name, metric in self.metrics.items()
            },
            "skipped": dict(self.skipped),
            "means": [
                {
                    "degradation": degradation,
                    "method": spec.label,
                    "images": len(self.of(degradation, spec.label)),
                    **_finite(self.means(degradation, spec.label)),
                }
                for degradation in self.degradations
                for spec in self.methods
            ],
            "images": [
                {
                    "image": score.image,
                    "degradation": score.degradation,
                    "method": score.method,
                    "size": list(score.size),
                    **_finite(score.values),
                }
                for score in self.scores
            ],
            "tags": [counts.record() for counts in self.tag_counts],
            "failures": [
                {"image": failure.image, "method": failure.method, "message": str(failure.error)}
                for failure in self.failures
            ],
        }

    def _results(self, case: Case, methods: Mapping[str, Method], device: str) -> Iterator[Result]:
        for label, method in methods.items():
            try:
                with measured(device) as cost:
                    enlarged = method.enlarge(case)
            except ZidoError as error:
                self.failures.append(Failure(image=case.truth.name, method=label, error=error))
                continue
            values = scores_of(enlarged.image, case)
            seams = enlarged.manifest.get("consistency", {}).get("seam_ratio")
            values["seam_ratio"] = math.nan if seams is None else seams
            values |= {"seconds": cost.seconds, "megabytes": cost.megabytes}
            values |= self._stability(method, case, enlarged)
            for name, scorer in self._learned.scorers.items():
                values[name] = scorer.score(enlarged.image, case.truth.image)
                scorer.collect((case.degradation, label), enlarged.image, case.truth.image)
            height, width = enlarged.image.shape[1:]
            score = Score(
                image=case.truth.name,
                degradation=case.degradation,
                method=label,
                size=(height, width),
                values=values,
            )
            self.scores.append(score)
            yield Result(score, enlarged.image, case)

    def _stability(self, method: Method, case: Case, first: Enlarged) -> dict[str, float]:
        """What other seeds change."""
        runs = self.runs if isinstance(method, Model) else 1
        spread, figures = Spread(), []
        for run in range(runs):
            image = method.enlarge(case, run).image if run else first.image
            spread.add(image)
            figures.append(psnr(image, case.truth.image, None if case.known.all() else case.known))
        return {"g_std": global_deviation(figures), "l_std": local_deviation(spread, case.known)}

    def _count_tags(self, case: Case, loaded: Loaded) -> None:
        first = next((spec for spec in self.methods if spec.is_model), None)
        if self.tags and first is not None:
            self.tag_counts.append(count_tags(case, loaded.options(first)))

    def _pairs(self, degradation: str, method: str, metric: str) -> list[tuple[float, float]]:
        first = {s.image: s.values[metric] for s in self.of(degradation, self.methods[0].label)}
        ours = {s.image: s.values[metric] for s in self.of(degradation, method)}
        pairs = [(value, first[image]) for image, value in ours.items() if image in first]
        return [pair for pair in pairs if all(map(math.isfinite, pair))]


def _mean(values: Sequence[float]) -> float:
    known = [value for value in values if not math.isnan(value)]
    return sum(known) / len(known) if known else math.nan


def _finite(values: Mapping[str, float]) -> dict[str, float | str | None]:
    """As JSON can hold them: NaN as null, infinity as text."""
    return {
        name: None if math.isnan(value) else str(value) if math.isinf(value) else round(value, 6)
        for name, value in values.items()
    }
