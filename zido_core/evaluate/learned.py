"""Metrics that are networks: torchmetrics', and only those whose weights lie on this machine. Nothing is fetched."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from .scores import Metric

Image = NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class Learned:
    """A metric of torchmetrics and what it needs."""

    metric: Metric
    """How tables show it."""
    module: str
    """Of torchmetrics; empty if it has no such metric."""
    classname: str = ""
    """In that module."""
    packages: tuple[str, ...] = ()
    """Python packages that it imports."""
    weights: tuple[str, ...] = ()
    """Files in torch's folder of checkpoints."""
    files: tuple[str, ...] = ()
    """Other files that it would fetch."""
    repository: str = ""
    """On Hugging Face, whose tokenizer must be in the cache."""
    arguments: tuple[tuple[str, object], ...] = ()
    """Of the class."""
    pairs: bool = True
    """Whether it compares with the truth."""
    whole_set: bool = False
    """Whether it compares sets of images: one figure for all of them."""


LEARNED = (
    Learned(
        metric=Metric(name="lpips", label="LPIPS", digits=4, meaning="AlexNet, version 0.1"),
        module="image.lpip",
        classname="LearnedPerceptualImagePatchSimilarity",
        packages=("torchvision",),
        weights=("alexnet-owt-7be5be79.pth",),
        arguments=(("net_type", "alex"), ("normalize", True)),
    ),
    Learned(
        metric=Metric(name="fid", label="FID", digits=2, meaning="of the whole set; small sets are noisy"),
        module="image.fid",
        classname="FrechetInceptionDistance",
        packages=("torch_fidelity", "torchvision", "scipy"),
        weights=("weights-inception-2015-12-05-6726825d.pth",),
        arguments=(("normalize", True),),
        whole_set=True,
    ),
    Learned(
        metric=Metric(name="clipiqa", label="CLIPIQA", best="high", digits=4, meaning="CLIP RN50, without a truth"),
        module="multimodal.clip_iqa",
        classname="CLIPImageQualityAssessment",
        packages=("piq", "torchvision", "transformers"),
        files=("~/.cache/clip/RN50.pt",),
        repository="openai/clip-vit-base-patch16",
        pairs=False,
    ),
    Learned(metric=Metric(name="musiq", label="MUSIQ", best="high", digits=2), module="", pairs=False),
    Learned(metric=Metric(name="maniqa", label="MANIQA", best="high", digits=4), module="", pairs=False),
)


class Available(NamedTuple):
    """What can be measured here."""

    scorers: Mapping[str, Scorer]
    """By the metric's name."""
    skipped: Mapping[str, str]
    """Why the others cannot, by label."""


class Scorer:
    """One such metric, loaded."""

    def __init__(self, learned: Learned, make: Callable[[], Any], device: str) -> None:
        self.learned, self.device = learned, device
        self._make, self._single = make, make().to(device)
        self._sets: dict[object, Any] = {}

    def score(self, image: Image, truth: Image) -> float:
        """The figure of one image; NaN for metrics of whole sets, and for images that the network cannot take."""
        if self.learned.whole_set:
            return float("nan")
        images = [self._tensor(each) for each in ((image, truth) if self.learned.pairs else (image,))]
        try:
            with torch.no_grad():
                return float(self._single(*images))
        except (RuntimeError, ValueError):
            return float("nan")

    def collect(self, key: object, image: Image, truth: Image) -> None:
        """Add an image to the set ``key``, for metrics of whole sets."""
        if self.learned.whole_set:
            if key not in self._sets:
                self._sets[key] = self._make().to(self.device)
            with torch.no_grad():
                self._sets[key].update(self._tensor(truth), real=True)
                self._sets[key].update(self._tensor(image), real=False)

    def of_set(self, key: object) -> float:
        """The figure of the set."""
        return float(self._sets[key].compute()) if key in self._sets else float("nan")

    def _tensor(self, image: Image) -> torch.Tensor:
        colours = np.array(np.broadcast_to(image, (3, *image.shape[1:])))
        return torch.from_numpy(colours)[None].to(self.device)


def load_available(device: str = "cpu", wanted: Sequence[Learned] = LEARNED) -> Available:
    """Every metric whose packages and weights are here, and why not the others."""
    scorers: dict[str, Scorer] = {}
    skipped: dict[str, str] = {}
    for learned in wanted:
        why = _lacking(learned)
        if not why:
            try:
                with offline():
                    scorers[learned.metric.name] = Scorer(learned, _maker(learned), device)
            except Exception as error:  # anything may be wrong with foreign code and files; the rest still works
                why = f"torchmetrics cannot load it ({type(error).__name__}: {error})"
        if why:
            skipped[learned.metric.label] = " ".join(why.split())
    return Available(scorers, skipped)


def checkpoints() -> Path:
    """Where torch keeps weights that were downloaded once."""
    return Path(torch.hub.get_dir()) / "checkpoints"


@contextmanager
def offline() -> Iterator[None]:
    """Inside, Hugging Face's libraries use their cache and do not ask the network whether it is current."""
    from huggingface_hub import constants

    before = constants.HF_HUB_OFFLINE
    constants.HF_HUB_OFFLINE = True
    try:
        yield
    finally:
        constants.HF_HUB_OFFLINE = before


def _lacking(learned: Learned) -> str:
    """Why the metric cannot be used, or nothing."""
    if not learned.module:
        return "torchmetrics does not have it"
    missing = [name for name in ("torchmetrics", *learned.packages) if importlib.util.find_spec(name) is None]
    if missing:
        return f"package {missing[0]} is not installed"
    places = [*(checkpoints() / name for name in learned.weights), *(Path(n).expanduser() for n in learned.files)]
    absent = [path for path in places if not path.is_file()]
    if absent:
        return f"its weights are not here ({absent[0]})"
    if learned.repository and not _cached(learned.repository):
        return f"its tokenizer is not here ({learned.repository} in the cache of Hugging Face)"
    return ""


def _cached(repository: str) -> bool:
    from huggingface_hub import try_to_load_from_cache

    names = ("preprocessor_config.json", "tokenizer_config.json")
    return all(isinstance(try_to_load_from_cache(repository, name), str) for name in names)


def _maker(learned: Learned) -> Callable[[], Any]:
    module = importlib.import_module(f"torchmetrics.{learned.module}")
    kind = getattr(module, learned.classname)
    return lambda: kind(**dict(learned.arguments))
