"""Any block of a job, computed by any process that has the work folder and the input.

This is all that a worker on another core or machine needs; who assembles the output reads the same folder::

    with BlockJob(Path("out.tif.zido")) as job:
        for index in job.missing():
            job.compute(index)

A block is one file, complete or not there, with the same bytes whoever computes it; computing one twice does no harm.
"""

from __future__ import annotations

import os
import platform
import re
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from .backbones.base import Backbone
from .compute import compute_block
from .errors import ConfigurationError
from .facts import load_facts
from .fingerprint import difference, fingerprint
from .options import Options
from .pipeline import backbone_for, open_input
from .setup import Setup, prepare
from .work.folder import WorkFolder
from .work.store import FolderStore


class BlockJob:
    """A job, opened in this process with the model loaded; a context manager."""

    def __init__(
        self, folder: Path, *, load: Callable[[Setup], Backbone[Any]] = backbone_for, device: str | None = None
    ) -> None:
        """``load`` gives the model; ``device``: which of this machine, None for what the job says."""
        self.folder = WorkFolder(folder, writer=f"{re.sub('[^A-Za-z0-9]', '-', platform.node())}-{os.getpid()}")
        self._load, self._device = load, device
        self._opened = ExitStack()

    def __enter__(self) -> Self:
        told = self.folder.description()
        options = replace(Options.from_dict(told.options), manifest=None, save_prompts=None)
        if self._device is not None:
            options = replace(options, device=self._device)
        with self._opened:
            self._source = self._opened.enter_context(open_input(told.input, options))
            self.setup = prepare(self._source, None, options, to_file=False)
            self._backbone = self._load(self.setup)
            differs = difference(told.fingerprint, fingerprint(self.setup, self._backbone))
            if differs is not None:
                raise ConfigurationError(
                    f"this process would make something else of {self.folder.path.name}: {differs}"
                )
            facts = load_facts(self.folder)
            if facts is None:
                raise ConfigurationError(
                    f"{self.folder.path.name} has no facts of the input yet; whoever begins the job writes them first"
                )
            self._facts = facts
            self._store = FolderStore(self.folder, self.setup.form)
            self._opened.callback(self._store.close)
            self._opened = self._opened.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._opened.close()

    def missing(self) -> list[int]:
        """The blocks that are not there yet, or damaged."""
        return [index for index in range(len(self.setup.blocks)) if not self._store.holds(index)]

    def compute(self, index: int, advance: Callable[[int], None] = lambda work: None) -> None:
        """Compute a block and keep it; ``advance`` is told how much work is done, and may raise Cancelled."""
        began = time.monotonic()
        image = compute_block(
            self._backbone,
            self._source,
            self.setup,
            self._facts,
            self.setup.blocks[index],
            advance=advance,
            slot=self._store.slot(index),
        )
        self._store.put(index, image, time.monotonic() - began)
