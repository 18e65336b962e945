"""The whole data flow, and the public functions: ``upscale``, ``plan``, ``tag``, ``Upscaler``.

::

    source -> stretch -> image -> tiles -> prompts -> render -> colour -> radiometry -> output

`upscaling.Upscaling` does it in this order: all blocks, then all pieces of the output. An image that is no larger than
a block is exactly the paper's method.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Self

from numpy.typing import NDArray
from PIL import Image

from . import device as devices
from .backbones import load_backbone
from .backbones.base import Backbone
from .catalog import Offload, Precision, describe
from .errors import InvalidOptions
from .job import CancelToken, Event, EventSink, Plan
from .options import Options
from .previews import Previews
from .prompting import prompts_of
from .prompts.base import Prompt, check_tagger
from .raster.memory import as_given, source_of
from .raster.missing import WithNodata
from .raster.reader import open_source
from .raster.source import Source
from .report.run import keep_report
from .setup import Setup, prepare
from .sharing.shard import Shard
from .survey import survey
from .tiling.grid import Tile
from .uncertainty import keep_uncertainty
from .upscaling import Upscaling, keep_prompts

PathLike = str | os.PathLike[str]

ImageLike = NDArray[Any] | Image.Image
"""An image in memory: an array (height, width[, channels]) or a Pillow image."""

LOADING = ("model", "device", "precision", "model_dir", "offload", "compile")
"""Options by which a model is loaded; others may change from image to image."""


@dataclass(frozen=True, kw_only=True)
class UpscaleResult:
    """What came out."""

    image: ImageLike | None
    """The image, of the input's kind; None where a file was written."""
    path: Path | None
    """The file, None for images in memory."""
    manifest: Mapping[str, Any] = field(repr=False)
    """How it was made: options, model, stretch, versions, timings, consistency with the input, warnings."""
    skipped: bool = False
    """True if the file was complete before, and ``resume`` was asked for: nothing was done."""


def upscale(
    src: PathLike | ImageLike,
    dst: PathLike | None = None,
    *,
    options: Options | None = None,
    on_event: EventSink | None = None,
    cancel: CancelToken | None = None,
    previews: PathLike | None = None,
    **named: Any,
) -> UpscaleResult:
    """Upscale a file, an array or a Pillow image.

    A file gives a file (``dst``, default ``<stem>_x4.<ext>`` beside the input), an image in memory gives an image,
    unless ``dst`` names a file. Options are an ``Options`` object or named: ``upscale("a.tif", scale=2, seed=7)``.
    ``previews`` is a folder for small pictures of what is done so far, of which events tell.
    Raises a ``ZidoError``; whatever happens, the output is complete or absent.
    """
    return _upscale(src, dst, _options(options, named), backbone_for, on_event, cancel, previews)


def compute_shard(
    src: PathLike,
    dst: PathLike | None = None,
    *,
    shard: Shard,
    options: Options | None = None,
    on_event: EventSink | None = None,
    cancel: CancelToken | None = None,
) -> UpscaleResult:
    """Compute a part of the blocks of a file into the work folder, for `assemble`; the path is that of the folder."""
    return _upscale(src, dst, options or Options(), backbone_for, on_event, cancel, shard=shard)


def assemble(
    src: PathLike,
    dst: PathLike | None = None,
    *,
    options: Options | None = None,
    on_event: EventSink | None = None,
    cancel: CancelToken | None = None,
) -> UpscaleResult:
    """As ``upscale``, of a file whose blocks are all there; those that are missing are named, and not computed."""
    return _upscale(src, dst, options or Options(), backbone_for, on_event, cancel, only_kept=True)


def plan(
    src: PathLike | ImageLike,
    dst: PathLike | None = None,
    options: Options | None = None,
    **named: Any,
) -> Plan:
    """What ``upscale`` with the same arguments would take; reads no more than the head of the input."""
    options = _options(options, named)
    with open_input(src, options) as source:
        return prepare(source, dst, options, to_file=_is_path(src) or dst is not None).plan


def tag(src: PathLike | ImageLike, options: Options | None = None, **named: Any) -> list[Prompt]:
    """The prompt of every tile, row by row, as ``upscale`` would use them; writes them if ``save_prompts`` is given."""
    options = _options(options, named)
    with open_input(src, options) as source:
        setup = prepare(source, None, options, to_file=False)
        prompts = prompts_of(source, setup, survey(source, setup))
        keep_prompts(setup, prompts)
        return prompts


class Upscaler:
    """A model that stays loaded for several images."""

    def __init__(self, backbone: Backbone[Any], options: Options) -> None:
        """``options``: those by which the model was loaded."""
        self.backbone = backbone
        self._fixed: dict[str, Any] = {name: getattr(options, name) for name in LOADING}

    @classmethod
    def load(
        cls,
        model: str = "mini",
        *,
        device: str = "auto",
        precision: Precision = "auto",
        model_dir: str | None = None,
        offload: Offload = "none",
        compile: bool = False,  # noqa: A002 - the option's name
    ) -> Self:
        """Load a model of the catalogue onto a device; what is named are the options of these names."""
        asked = Options(
            model=model, device=device, precision=precision, model_dir=model_dir, offload=offload, compile=compile
        )
        chosen = devices.choose_device(asked.device)
        kind = devices.choose_precision(asked.precision, chosen, describe(model).precisions)
        options = replace(asked, device=chosen, precision=kind)
        return cls(_loaded(options), options)

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
        previews: PathLike | None = None,
    ) -> UpscaleResult:
        """As the function ``upscale``."""
        return _upscale(src, dst, options or Options(), self.backbone_for, on_event, cancel, previews)

    def backbone_for(self, setup: Setup) -> Backbone[Any]:
        """The model of this run: the one that is loaded, if it is the same."""
        options = setup.options
        wanted = tuple(getattr(options, name) for name in LOADING)
        if self._loaded is None or self._loaded[0] != wanted:
            self._loaded = None  # two may not fit into memory
            self._loaded = wanted, backbone_for(setup)
        return self._loaded[1]


def backbone_for(setup: Setup) -> Backbone[Any]:
    """The model that a run needs, loaded."""
    return _loaded(setup.options)


def _loaded(options: Options) -> Backbone[Any]:
    """By options whose device and precision are concrete."""
    return load_backbone(
        describe(options.model),
        options.device,
        devices.torch_dtype(options.precision),
        options.model_dir,
        offload=options.offload == "model",
        compiled=options.compile,
    )


def _upscale(
    src: PathLike | ImageLike,
    dst: PathLike | None,
    options: Options,
    load: Callable[[Setup], Backbone[Any]],
    on_event: EventSink | None,
    cancel: CancelToken | None,
    previews: PathLike | None = None,
    *,
    shard: Shard | None = None,
    only_kept: bool = False,
) -> UpscaleResult:
    """Decide everything, then load the model, then work: what cannot be done is said at once."""
    if options.dry_run:
        raise InvalidOptions("dry_run asks for a plan, not for an image: call plan() instead")
    with open_input(src, options) as source:
        setup = prepare(source, dst, options, to_file=_is_path(src) or dst is not None)
        emit = on_event or _ignore
        emit(setup.plan)
        if setup.options.tags:
            check_tagger(setup.options)
        watch = None if previews is None else Previews(Path(previews), setup, emit)
        run = Upscaling(load(setup), source, setup, emit, cancel or CancelToken(), watch)
        if setup.output is None:
            assert not isinstance(src, (str, os.PathLike))
            image = as_given(run.into_memory(), src)
            return UpscaleResult(image=image, path=None, manifest=run.note())
        address = str(src) if isinstance(src, (str, os.PathLike)) else ""
        if shard is not None:
            return UpscaleResult(image=None, path=run.into_folder(address, shard), manifest=run.note())
        skipped = not run.into_file(address, only_kept=only_kept)
        made = UpscaleResult(image=None, path=setup.output.path, manifest=run.note(), skipped=skipped)
        if options.uncertainty is not None and not (skipped and os.path.exists(options.uncertainty)):

            def again(path: Path, chosen: Options, listen: EventSink) -> object:
                return _upscale(src, path, chosen, lambda _: run.backbone, listen, cancel)

            keep_uncertainty(setup, options, again, emit, run.cancel)
        if options.report is not None and run.facts is not None:
            boxes = [Tile(*box) for box in options.boxes]
            tiles, prompts = setup.canvas.input_tiles, run.facts.prompts
            keep_report(Path(options.report), source, setup.output.path, made.manifest, tiles, prompts, boxes)
        return made


@contextmanager
def open_input(src: PathLike | ImageLike, options: Options) -> Iterator[Source]:
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
