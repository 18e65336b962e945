"""The whole data flow, and the public functions: ``upscale``, ``plan``, ``tag``, ``Upscaler``.

::

    source -> stretch -> image -> tiles -> prompts -> render -> colour -> radiometry -> output

Only this module knows the order. It works block by block; an image that is no larger than a block is exactly the
paper's method.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
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
from .catalog import Precision, describe
from .errors import InvalidOptions
from .finish import BlockEnds, Finished
from .job import CancelToken, Eta, Event, EventSink, Plan, Progress, Stage, Warning  # noqa: A004 - the event
from .manifest import Manifest
from .options import Options
from .prompting import prompts_of
from .prompts.base import Prompt
from .prompts.regions import save_prompts
from .raster.memory import as_given, source_of
from .raster.missing import WithNodata
from .raster.reader import open_source
from .raster.source import Source
from .raster.writer import open_output
from .render import render, work_of
from .setup import Setup, prepare
from .survey import survey

PathLike = str | os.PathLike[str]

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
    src: PathLike | ImageLike,
    dst: PathLike | None = None,
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
    return _upscale(src, dst, _options(options, named), _backbone_for, on_event, cancel)


def plan(
    src: PathLike | ImageLike,
    dst: PathLike | None = None,
    options: Options | None = None,
    **named: Any,
) -> Plan:
    """What ``upscale`` with the same arguments would take; reads no more than the head of the input."""
    options = _options(options, named)
    with _open(src, options) as source:
        return prepare(source, dst, options, to_file=_is_path(src) or dst is not None).plan


def tag(src: PathLike | ImageLike, options: Options | None = None, **named: Any) -> list[Prompt]:
    """The prompt of every tile, row by row, as ``upscale`` would use them; writes them if ``save_prompts`` is given."""
    options = _options(options, named)
    with _open(src, options) as source:
        setup = prepare(source, None, options, to_file=False)
        prompts = prompts_of(source, setup, survey(source, setup))
        _save(setup, prompts)
        return prompts


class Upscaler:
    """A model that stays loaded for several images."""

    def __init__(
        self, backbone: Backbone[Any], *, device: str, precision: Precision, model_dir: str | None = None
    ) -> None:
        self.backbone = backbone
        self._fixed: dict[str, Any] = {
            "model": backbone.descriptor.name,
            "device": device,
            "precision": precision,
            "model_dir": model_dir,
        }

    @classmethod
    def load(
        cls,
        model: str = "mini",
        *,
        device: str = "auto",
        precision: Precision = "auto",
        model_dir: str | None = None,
    ) -> Self:
        """Load a model of the catalogue onto a device."""
        options, descriptor = Options(model=model, device=device, precision=precision), describe(model)
        chosen = devices.choose_device(options.device)
        kind = devices.choose_precision(options.precision, chosen, descriptor.precisions)
        backbone = load_backbone(descriptor, chosen, devices.torch_dtype(kind), model_dir)
        return cls(backbone, device=chosen, precision=kind, model_dir=model_dir)

    def upscale(
        self,
        src: PathLike | ImageLike,
        dst: PathLike | None = None,
        *,
        options: Options | None = None,
        on_event: EventSink | None = None,
        cancel: CancelToken | None = None,
        **named: Any,
    ) -> UpscaleResult:
        """As the function ``upscale``, with this model on its device."""
        chosen = replace(_options(options, named), **self._fixed)
        return _upscale(src, dst, chosen, lambda _: self.backbone, on_event, cancel)


class KeptModel:
    """Upscales whatever comes, and keeps the model loaded for the next image that needs the same one."""

    def __init__(self) -> None:
        self._loaded: tuple[tuple[object, ...], Backbone[Any]] | None = None

    def upscale(
        self,
        src: PathLike | ImageLike,
        dst: PathLike | None = None,
        *,
        options: Options | None = None,
        on_event: EventSink | None = None,
        cancel: CancelToken | None = None,
    ) -> UpscaleResult:
        """As the function ``upscale``."""
        return _upscale(src, dst, options or Options(), self._backbone_for, on_event, cancel)

    def _backbone_for(self, setup: Setup) -> Backbone[Any]:
        options = setup.options
        wanted = (options.model, options.device, options.precision, options.model_dir)
        if self._loaded is None or self._loaded[0] != wanted:
            self._loaded = None  # two may not fit into memory
            self._loaded = wanted, _backbone_for(setup)
        return self._loaded[1]


def _backbone_for(setup: Setup) -> Backbone[Any]:
    options = setup.options
    precision = devices.torch_dtype(options.precision)
    return load_backbone(setup.descriptor, options.device, precision, options.model_dir)


def _upscale(
    src: PathLike | ImageLike,
    dst: PathLike | None,
    options: Options,
    load: Callable[[Setup], Backbone[Any]],
    on_event: EventSink | None,
    cancel: CancelToken | None,
) -> UpscaleResult:
    """Decide everything, then load the model, then work: what cannot be done is said at once."""
    if options.dry_run:
        raise InvalidOptions("dry_run asks for a plan, not for an image: call plan() instead")
    with _open(src, options) as source:
        setup = prepare(source, dst, options, to_file=_is_path(src) or dst is not None)
        emit = on_event or _ignore
        emit(setup.plan)
        run = _Run(load(setup), source, setup, emit, cancel or CancelToken())
        image, path = None, None
        if setup.output is not None:
            run.into_file()
            path = setup.output.path
        elif not isinstance(src, (str, os.PathLike)):
            image = as_given(run.into_memory(), src)
        run.note()
        return UpscaleResult(image=image, path=path, manifest=run.manifest.record())


class _Run:
    """One image on its way through the model."""

    def __init__(
        self, backbone: Backbone[Any], source: Source, setup: Setup, emit: EventSink, cancel: CancelToken
    ) -> None:
        self.backbone, self.source, self.setup = backbone, source, setup
        self.emit, self.cancel = emit, cancel
        self.manifest = Manifest(setup, backbone)
        self.prompts: Sequence[Prompt] = ()
        self.done, self.eta = 0, Eta()

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
        for message in writer.warnings:
            self.warn(message)

    def into_memory(self) -> NDArray[Any]:
        """All bands (bands, H, W), alpha where it was."""
        bands = self.setup.bands
        planes = np.empty((len(bands.written), *self.setup.size), self.setup.dtype)
        colours = [bands.position(band) for band in self.setup.colours]
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
            facts = survey(self.source, setup)
        self.stage("tagging")
        with timed("tagging"):
            self.prompts = prompts_of(self.source, setup, facts, self.cancel)
        self.manifest.stretch = facts.stretch
        self.manifest.note_prompts(self.prompts)
        self.stage(setup.stages[2])
        for block in setup.blocks:
            with timed("reading"):
                ends = BlockEnds(self.source, setup, block, facts)
            with timed("network"):
                sr = self.rendered(block, ends)
            with timed("finishing"):
                piece = ends.finish(sr)
                del sr
                self.manifest.observe(piece, block)
            yield block, piece
        if not self.manifest.measured:
            self.warn("the input has no valid pixel; neither has the output")

    def rendered(self, block: Block, ends: BlockEnds) -> NDArray[np.float32]:
        """The model's image of a block's region."""
        if ends.empty:
            self.advance(work_of(block, self.setup.options))
            return ends.enlarged()
        prompts = [self.prompts[index] for index in block.tile_ids]
        return render(self.backbone, ends.image, block, prompts, self.setup.options, self.advance)

    def note(self) -> None:
        """What is written beside the result, and remembered of the run."""
        _save(self.setup, self.prompts)
        if self.setup.options.manifest is not None:
            self.manifest.write(Path(self.setup.options.manifest))
        pace.remember(self.setup.kind_of_work, self.setup.work, sum(self.manifest.seconds.values()))

    def advance(self, work: int) -> None:
        """So much more work is done; stops the run if somebody asked for it."""
        self.cancel.check()
        if not work:  # the first of two looks at a tile
            return
        self.done += work
        eta = self.eta.update(self.done, self.setup.work)
        self.emit(Progress(done=self.done, total=self.setup.work, eta=eta))

    def stage(self, name: str) -> None:
        """A part of the work begins."""
        self.cancel.check()
        stages = self.setup.stages
        self.emit(Stage(name=name, index=stages.index(name) + 1, count=len(stages)))

    def warn(self, message: str) -> None:
        """Something that the user should know, and that was not known before."""
        self.manifest.warnings.append(message)
        self.emit(Warning(message=message))


def _save(setup: Setup, prompts: Sequence[Prompt]) -> None:
    path = setup.options.save_prompts
    if path is not None:
        tiles = setup.canvas.input_tiles
        save_prompts(path, setup.info.geobox, tiles, prompts, overwrite=setup.options.overwrite)


@contextmanager
def _open(src: PathLike | ImageLike, options: Options) -> Iterator[Source]:
    """The input as a source, whatever it is, in which the user's nodata is missing."""
    opened: Source
    if isinstance(src, (str, os.PathLike)):
        opened = open_source(
            src,
            allow_remote=options.allow_remote and not options.offline,
            allow_vrt=options.allow_vrt,
            max_pixels=options.max_pixels,
        )
    else:
        opened = source_of(src)
    with opened:
        yield opened if options.nodata is None else WithNodata(opened, options.nodata)


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
