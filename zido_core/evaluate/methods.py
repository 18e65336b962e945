"""What is compared: interpolation, and any model with any options, written ``mini:prompts=none,steps=8``."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from ..catalog import MODELS
from ..errors import InvalidOptions
from ..options import OPTIONS, Options
from ..raster.reader import open_source
from ..resample import Kernel, resize
from ..tiling.grid import Size
from .cases import Case

if TYPE_CHECKING:
    from ..pipeline import Upscaler

INTERPOLATIONS: Mapping[str, Kernel] = {"bicubic": "bicubic", "lanczos": "lanczos"}
"""Methods without a model."""

SETTABLE = frozenset(name for name, spec in OPTIONS.items() if spec.result) - {"model", "scale", "dtype"} | {
    "model_dir",
    "tagger_dir",
    "device",
    "tile_batch",
}
"""Options that a method may have; the others are the protocol's, or make no difference to the result."""


class Enlarged(NamedTuple):
    """What a method makes of an input."""

    image: NDArray[np.float32]
    """(1 or 3, H, W) in units of the truth's stretch, [0, 1]."""
    manifest: Mapping[str, Any]
    """What the pipeline tells of the run; empty for interpolation."""


@dataclass(frozen=True, kw_only=True)
class MethodSpec:
    """A method as it is written."""

    label: str
    """The text itself, which stands in tables."""
    name: str
    """Interpolation or model."""
    options: Mapping[str, str] = field(default_factory=dict)
    """Of the model, by name, as text."""

    @property
    def is_model(self) -> bool:
        return self.name in MODELS

    def to_options(self, **fixed: Any) -> Options:
        """The options of a model's run."""
        return Options.from_dict({**fixed, "model": self.name, **self.options})


def parse_methods(texts: Sequence[str]) -> list[MethodSpec]:
    """Methods from texts such as ``bicubic,mini:prompts=none,steps=8,mini``.

    Commas part methods as well as options: what has a ``=`` before any ``:``, or begins like a number, belongs to the
    method before it.
    """
    parts: list[str] = []
    for text in texts:
        first = len(parts)
        for part in filter(None, (piece.strip() for piece in text.split(","))):
            if len(parts) > first and re.match(r"[^:]*=|[-+.\d]", part):
                parts[-1] += f",{part}"
            else:
                parts.append(part)
    methods = [parse_method(part) for part in dict.fromkeys(parts)]
    if not methods:
        raise InvalidOptions(f"no method is given; name some of {_known()}, such as bicubic,mini")
    return methods


def parse_method(text: str) -> MethodSpec:
    """One method: ``NAME`` or ``NAME:OPTION=VALUE,OPTION=VALUE``."""
    name, _, rest = text.partition(":")
    if name not in INTERPOLATIONS and name not in MODELS:
        raise InvalidOptions(f"there is no method {name!r}; choose among {_known()}")
    options: dict[str, str] = {}
    for piece in rest.split(",") if rest else ():
        key, equals, value = piece.partition("=")
        if equals:
            options[key.strip().replace("-", "_")] = value.strip()
        elif options:
            options[next(reversed(options))] += f",{piece.strip()}"
        else:
            raise InvalidOptions(f"method {text!r}: expected OPTION=VALUE after the colon, got {piece!r}")
    if options and name in INTERPOLATIONS:
        raise InvalidOptions(f"method {text!r}: {name} has no options")
    for key in options:
        if key in OPTIONS and key not in SETTABLE:
            raise InvalidOptions(f"method {text!r}: {key} is not an option of a method; the evaluation sets it")
    spec = MethodSpec(label=text, name=name, options=options)
    if spec.is_model:
        spec.to_options()
    return spec


class Method(Protocol):
    """Something that enlarges."""

    def enlarge(self, case: Case, run: int = 0) -> Enlarged:
        """The result for one input; runs differ in their seed, where a method has one."""
        ...


class Interpolation:
    """Resampling, rounded as a file of the input's data type would be."""

    def __init__(self, kernel: Kernel) -> None:
        self.kernel = kernel

    def enlarge(self, case: Case, run: int = 0) -> Enlarged:
        stretch, dtype = case.truth.stretch, case.truth.dtype
        values = stretch.from_unit(resize(case.image, Size(*case.truth.valid.shape), self.kernel))
        return Enlarged(stretch.to_unit(np.rint(values) if np.dtype(dtype).kind in "iu" else values), {})


class Model:
    """A model of the catalogue, run through the pipeline as a user would."""

    def __init__(self, upscaler: Upscaler, options: Options) -> None:
        self.upscaler, self.options = upscaler, options

    def enlarge(self, case: Case, run: int = 0) -> Enlarged:
        options = replace(self.options, seed=self.options.seed + run)
        with TemporaryDirectory(prefix="zido-") as folder:
            given = case.given(Path(folder))
            if not isinstance(given, Path):
                result = self.upscaler.upscale(given, options=options)
                planes = np.atleast_3d(np.asarray(result.image)).transpose(2, 0, 1)
            else:
                target = Path(folder) / "result.tif"
                result = self.upscaler.upscale(given, target, options=options)
                with open_source(target) as source:
                    planes = source.read().array
        return Enlarged(case.truth.stretch.to_unit(planes), result.manifest)


class Loaded:
    """Methods ready to run; a model is loaded once for all methods that differ in options only."""

    def __init__(self, *, scale: int, seed: int, device: str = "auto") -> None:
        self._fixed = {"scale": float(scale), "seed": seed, "device": device}
        self._upscalers: dict[tuple[object, ...], Upscaler] = {}

    def method(self, spec: MethodSpec) -> Method:
        """The method that a specification names."""
        if not spec.is_model:
            return Interpolation(INTERPOLATIONS[spec.name])
        options = self.options(spec)
        from ..pipeline import LOADING, Upscaler

        wanted = {name: getattr(options, name) for name in LOADING}
        key = tuple(wanted.values())
        if key not in self._upscalers:
            self._upscalers[key] = Upscaler.load(**wanted)
        return Model(self._upscalers[key], options)

    def options(self, spec: MethodSpec) -> Options:
        """The options of a model's run."""
        return spec.to_options(**self._fixed)

    @property
    def weights(self) -> dict[str, str]:
        """sha256 of the weights of every model that was loaded."""
        return {str(key[0]): upscaler.backbone.weights_hash for key, upscaler in self._upscalers.items()}


def _known() -> str:
    return ", ".join((*INTERPOLATIONS, *MODELS))
