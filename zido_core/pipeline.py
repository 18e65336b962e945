"""The whole data flow, and the public functions: ``upscale``, ``plan``, ``tag``, ``Upscaler``.

::

    source -> stretch -> image -> tiles -> prompts -> render -> colour -> radiometry -> output

Only this module knows the order. It works block by block; an image that is no larger than a block is exactly the
paper's method.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from . import device as devices
from . import pace
from .backbones import load_backbone
from .backbones.base import Backbone
from .blocks import Block
from .catalog import describe
from .finish import BlockEnds, Finished
from .job import CancelToken, Eta, Event, EventSink, Plan, Progress, Stage
from .manifest import Manifest, tile_borders
from .options import Options
from .prompting import prompts_of
from .prompts.base import Prompt
from .raster.memory import as_given, source_of
from .raster.reader import open_source
from .raster.source import Source
from .raster.writer import open_output
from .render import render
from .setup import Setup, prepare

ImageLike = NDArray[Any] | Image.Image
"""An image in memory: an array (height, width[, channels]) or a Pillow image."""


@dataclass(frozen=True, kw_only=True)
class UpscaleResult:
    """What came out."""

    image: ImageLike | None
    """The image, of the input's kind; None where a file was written."""
    path: Path | None
    """The file, None for images in memory."""
    manifest: Mapping[str, Any] = field(repr=False)
    """How it was made: options, model, stretch, versions, timings, consistency with the input, warnings."""


def upscale(
    src: str | os.PathLike[str] | ImageLike,
    dst: str | os.PathLike[str] | None = None,
    *,
    options: Options | None = None,
    on_event: EventSink | None = None,
    cancel: CancelToken | None = None,
    **named: Any,
) -> UpscaleResult:
    """Upscale a file, an array or a Pillow image.

    A file gives a file (``dst``, default ``<stem>_x4.<ext>`` beside the input), an image in memory gives an image,
    unless ``dst`` names a file. Options are an ``Options`` object or named: ``upscale("a.tif", scale=2, seed=7)``.
    Raises a ``ZidoError``; whatever happens, the output is complete or absent.
    """
    options = _options(options, named)
    return Upscaler.load(options.model, device=options.device, precision=options.precision).upscale(
        src, dst, options=options, on_event=on_event, cancel=cancel
    )


def plan(
    src: str | os.PathLike[str] | ImageLike,
    dst: str | os.PathLike[str] | None = None,
    options: Options | None = None,
    **named: Any,
) -> Plan:
    """What ``upscale`` with the same arguments would take; reads no more than the head of the input."""
    options = _options(options, named)
    with _open(src, options) as source:
        return prepare(source, dst, options, to_file=_is_path(src) or dst is not None).plan


def tag(
    src: str | os.PathLike[str] | ImageLike, options: Options | None = None, **named: Any
) -> list[Prompt]:
    """The prompt of every tile, row by row, as ``upscale`` would use them; writes them if ``save_prompts`` is given."""
    options = _options(options, named)
    with _open(src, options) as source:
        setup = prepare(source, None, options, to_file=False)
        return prompts_of(source, setup, setup.stretch_of(source))


class Upscaler:
    """A model that stays loaded for several images."""

    def __init__(self, backbone: Backbone[Any]) -> None:
        self.backbone = backbone

    @classmethod
    def load(cls, model: str = "mini", *, device: str = "auto", precision: str = "auto") -> Self:
        """Load a model of the catalogue onto a device."""
        descriptor = describe(model)
        chosen = devices.choose_device(device)
        options = Options(precision=precision)  # type: ignore[arg-type]  # checked there
        kind = devices.choose_precision(options.precision, chosen, descriptor.precisions)
        return cls(load_backbone(descriptor, chosen, devices.torch_dtype(kind)))

    def upscale(
        self,
        src: str | os.PathLike[str] | ImageLike,
        dst: str | os.PathLike[str] | None = None,
        *,
        options: Options | None = None,
        on_event: EventSink | None = None,
        cancel: CancelToken | None = None,
        **named: Any,
    ) -> UpscaleResult:
        """As the function ``upscale``, with this model."""
        options = replace(_options(options, named), model=self.backbone.descriptor.name)
        to_file = _is_path(src) or dst is not None
        with _open(src, options) as source:
            setup = prepare(source, dst, options, to_file=to_file)
            run = _Run(self.backbone, source, setup, on_event or _ignore, cancel or CancelToken())
            image, path = None, None
            if setup.output is None:
                image = as_given(run.into_memory(), src)  # type: ignore[arg-type]  # paths have an output
            else:
                run.into_file()
                path = setup.output.path
            if setup.options.manifest is not None:
                run.manifest.write(Path(setup.options.manifest))
            return UpscaleResult(image=image, path=path, manifest=run.manifest.record())


class _Run:
    """One image on its way through the model."""

    def __init__(
        self, backbone: Backbone[Any], source: Source, setup: Setup, on_event: EventSink, cancel: CancelToken
    ) -> None:
        self.backbone, self.source, self.setup = backbone, source, setup
        self.emit, self.cancel = on_event, cancel
        self.manifest = Manifest(setup, backbone)
        self.done, self.eta = 0, Eta()
        self.emit(setup.plan)

    def into_file(self) -> None:
        """Write every block; the file gets its name when all are there and verified."""
        assert self.setup.output is not None
        with open_output(self.setup.output) as writer:
            for block, piece in self.pieces():
                with self.manifest.timed("writing"):
                    target = self.setup.target_of(block.core)
                    writer.write(piece.array, target, alpha=piece.alpha, valid=piece.valid)
            self.stage("verifying")
            writer.provenance.update(self.manifest.tags())
        self.manifest.warnings += writer.warnings

    def into_memory(self) -> NDArray[Any]:
        """All bands (bands, H, W), alpha where it was."""
        bands = self.setup.bands
        planes = np.empty((len(bands.written), *self.setup.size), self.setup.dtype)
        colours = [bands.position(band) for band in bands.written if band != bands.alpha]
        for block, piece in self.pieces():
            rows, cols = self.setup.target_of(block.core).slices
            planes[colours, rows, cols] = piece.array
            if piece.alpha is not None and bands.alpha is not None:
                planes[bands.position(bands.alpha), rows, cols] = piece.alpha
        return planes

    def pieces(self) -> Iterator[tuple[Block, Finished]]:
        """The output, block by block."""
        setup, timed = self.setup, self.manifest.timed
        self.stage("reading")
        with timed("reading"):
            stretch = self.manifest.stretch = setup.stretch_of(self.source)
        self.stage("tagging")
        with timed("tagging"):
            prompts = prompts_of(self.source, setup, stretch, self.cancel)
        self.manifest.note_prompts(prompts)
        self.stage("denoising" if setup.options.fidelity < 1 else "enlarging")
        for block in setup.blocks:
            with timed("reading"):
                ends = BlockEnds(self.source, setup, block, stretch)
                image = ends.image
            with timed("network"):
                told = [prompts[index] for index in block.tile_ids]
                sr = render(self.backbone, image, block, told, setup.options, self.advance)
            with timed("finishing"):
                piece = ends.finish(sr)
                del sr
                self.manifest.observe(piece, tile_borders(setup, block))
            yield block, piece
        pace.remember(setup.options.model, str(self.backbone.device), setup.work, self.manifest.seconds["network"])

    def advance(self, work: int) -> None:
        """So much more work is done; stops the run if somebody asked for it."""
        self.cancel.check()
        self.done = min(self.done + work, self.setup.work)
        eta = self.eta.update(self.done, self.setup.work)
        self.emit(Progress(done=self.done, total=self.setup.work, eta=eta))

    def stage(self, name: str) -> None:
        """A part of the work begins."""
        self.cancel.check()
        self.emit(Stage(name=name))


@contextmanager
def _open(src: str | os.PathLike[str] | ImageLike, options: Options) -> Iterator[Source]:
    """The input as a source, whatever it is."""
    if not _is_path(src):
        yield source_of(src)  # type: ignore[arg-type]  # paths are excluded
        return
    allowed = {"allow_remote": options.allow_remote and not options.offline, "allow_vrt": options.allow_vrt}
    with open_source(src, max_pixels=options.max_pixels, **allowed) as source:  # type: ignore[arg-type]
        yield source


def _is_path(src: object) -> bool:
    return isinstance(src, (str, os.PathLike))


def _options(options: Options | None, named: Mapping[str, Any]) -> Options:
    """The options object, with the named ones on top."""
    if not named:
        return options or Options()
    given = Options.from_dict(named).to_dict() if options is None else options.to_dict() | dict(named)
    return Options.from_dict(given)


def _ignore(event: Event) -> None:
    """For callers that do not listen."""
