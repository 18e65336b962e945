"""One image on its way through the model: all blocks are computed, then all pieces of the output are finished."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import pace
from .assembly import assembled
from .backbones.base import Backbone
from .blocks import Block
from .compute import compute_block
from .errors import InvalidOptions, OutputFailed, OutputNotWritable
from .facts import Facts, load_facts, save_facts
from .fingerprint import identity
from .finish import Finished
from .job import CancelToken, EventSink, Progress, Stage, Warning  # noqa: A004 - the event
from .manifest import Manifest
from .pieces import Piece
from .previews import Previews
from .prompting import prompts_of
from .prompts.base import Prompt
from .prompts.regions import save_prompts
from .raster.provenance import provenance_of
from .raster.source import Source
from .raster.writer import open_output
from .render import work_of
from .setup import Setup
from .sharing.labour import Labour
from .sharing.shard import Shard
from .survey import survey
from .undertaking import Undertaking
from .work.claims import claim
from .work.folder import Description, WorkFolder, work_folder
from .work.store import BlockStore, FolderStore, MemoryStore, StateSlot

NAMED = 20
"""Missing blocks that a message names."""

NOISY = "the input looks noisy, and every pixel's mean is kept, noise and all; --consistency local lets the noise go"
"""What is said of such an input."""


class Upscaling:
    """One run."""

    def __init__(
        self,
        backbone: Backbone[Any],
        source: Source,
        setup: Setup,
        emit: EventSink,
        cancel: CancelToken,
        watch: Previews | None = None,
    ) -> None:
        """``watch`` shows what is done so far."""
        self.watch = watch
        self.backbone, self.source, self.setup = backbone, source, setup
        self.emit, self.cancel = emit, cancel
        self.manifest = Manifest(setup, backbone)
        self.facts: Facts | None = None
        self.eta = pace.Eta()
        self.done = self.earlier = self.told = 0
        self.others: Callable[[], int] = no_others

    def into_file(self, address: str, *, only_kept: bool = False) -> bool:
        """Make the file, which gets its name when it is complete and verified; False if it was there before.

        ``address``: what the input is called, so that other processes find it; empty for images in memory.
        ``only_kept``: of blocks that are there; those that are missing are named.
        """
        output = self.setup.output
        assert output is not None
        if self.finished_before():
            self.undertaking(address).tidy()
            return False
        with self.undertaking(address) as work, ExitStack() as opened:
            store = self.store_for(work, opened)
            self.compute(store, work, only_kept=only_kept)
            writer = opened.enter_context(open_output(replace(output, overwrite=self.may_replace)))
            for piece, finished in self.finished(store):
                with self.manifest.timed("writing"):
                    target = self.setup.target_of(piece.core)
                    writer.write(finished.array, target, alpha=finished.alpha, valid=finished.valid)
            self.stage("verifying")
            writer.provenance.update(self.manifest.tags())
        for message in writer.warnings:
            self.warn(message)
        return True

    def into_folder(self, address: str, shard: Shard) -> Path:
        """Compute the blocks of a shard, beside other processes that compute theirs; returns the work folder."""
        output = self.setup.output
        assert output is not None
        if len(self.setup.blocks) == 1:
            raise InvalidOptions(f"{self.setup.info.name} is a single block, of which there are no shards")
        if self.finished_before():
            return output.path
        work = self.undertaking(address, writer=f"shard-{shard.index}-of-{shard.count}")
        with closing(FolderStore(work.folder, self.setup.form)) as store:
            with work.joining(self.mention):
                self.measure(store, work)
            self.stage(self.setup.stages[2])
            there = self.there(store)
            for block in self.setup.blocks:
                if not shard.has(block.index) or block.index in there:
                    continue
                with claim(work.folder, block.index) as ours:
                    if ours and not work.folder.block(block.index).exists():
                        self.compute_one(store, block)
        return work.folder.path

    def into_memory(self) -> NDArray[Any]:
        """All bands (bands, H, W), alpha where it was."""
        bands, store = self.setup.bands, MemoryStore(self.setup.form)
        self.compute(store)
        planes = np.empty((len(bands.written), *self.setup.size), self.setup.dtype)
        colours = [bands.position(band) for band in self.setup.colours]
        for piece, finished in self.finished(store):
            rows, cols = self.setup.target_of(piece.core).slices
            planes[colours, rows, cols] = finished.array
            if finished.alpha is not None and bands.alpha is not None:
                planes[bands.position(bands.alpha), rows, cols] = finished.alpha
        return planes

    @property
    def may_replace(self) -> bool:
        """Whether the user allowed to replace an existing output; ``resume`` alone does not."""
        return self.setup.options.overwrite

    def finished_before(self) -> bool:
        """Whether the very output of this job is there already, and work on it was to be resumed."""
        output = self.setup.output
        if output is None or not self.setup.options.resume or not output.path.exists():
            return False
        if provenance_of(output.path).get("FINGERPRINT") == identity(self.manifest.fingerprint):
            return True
        if self.may_replace:
            return False
        raise OutputNotWritable(
            f"{output.path} exists, and is not what this job makes (another input, other options or another model); "
            "give --overwrite to replace it, or another output"
        )

    def undertaking(self, address: str, writer: str = "") -> Undertaking:
        """The work folder beside the output; ``writer``: who keeps a journal of his own."""
        setup = self.setup
        assert setup.output is not None
        description = Description(
            input=os.path.abspath(address) if os.path.exists(address) else address,
            output=str(setup.output.path),
            options=setup.given(),
            blocks=len(setup.blocks),
            fingerprint=self.manifest.fingerprint,
        )
        folder = WorkFolder(work_folder(setup.output.path), writer)
        return Undertaking(folder, description, setup.options, self.cancel)

    def store_for(self, work: Undertaking, opened: ExitStack) -> BlockStore:
        """Several blocks wait on the disk; one does not, but a long one is kept there between its steps."""
        if len(self.setup.blocks) > 1:
            work.begin()
            store = FolderStore(work.folder, self.setup.form)
            opened.callback(store.close)
            return store

        def keep() -> None:
            work.begin()
            self.keep_facts(work)

        return MemoryStore(self.setup.form, lambda index: StateSlot(work.folder.latents(index), keep))

    def keep_facts(self, work: Undertaking) -> None:
        """In the work folder, unless they came from there."""
        if self.facts is not None and load_facts(work.folder) is None:
            save_facts(work.folder, self.facts)

    def compute(self, store: BlockStore, work: Undertaking | None = None, *, only_kept: bool = False) -> None:
        """All blocks that an earlier run has not computed."""
        self.measure(store, work)
        self.stage(self.setup.stages[2])
        there = self.there(store)
        left = [block for block in self.setup.blocks if block.index not in there]
        if left and only_kept:
            raise OutputFailed(missing_text([block.index for block in left], len(self.setup.blocks)))
        options = self.setup.options
        shared = options.workers > 1 or options.dask is not None
        if left and shared and work is not None and isinstance(store, FolderStore):
            self.share(work, store, left)
            return
        for block in left:
            self.compute_one(store, block)

    def measure(self, store: BlockStore, work: Undertaking | None) -> None:
        """What is known of the whole input, kept for other processes."""
        facts = self.facts = self.known(work)
        self.manifest.stretch = facts.survey.stretch
        self.manifest.note_prompts(facts.prompts)
        if facts.survey.noisy:
            self.warn(NOISY)
        if work is not None and isinstance(store, FolderStore):
            self.keep_facts(work)

    def compute_one(self, store: BlockStore, block: Block) -> None:
        """A block, in this process."""
        assert self.facts is not None
        began, before = time.monotonic(), self.done
        try:
            with self.manifest.timed("network"):
                image = compute_block(
                    self.backbone,
                    self.source,
                    self.setup,
                    self.facts,
                    block,
                    advance=self.advance,
                    slot=store.slot(block.index),
                    watch=self.watch,
                )
            with self.manifest.timed("keeping"):
                store.put(block.index, image, time.monotonic() - began)
        except BaseException:
            self.done = before
            raise
        if self.watch is not None and self.watch.due:
            self.watch.show(block, image)

    def share(self, work: Undertaking, store: FolderStore, left: Sequence[Block]) -> None:
        """Blocks, together with other processes or by a cluster."""
        options, blocks = self.setup.options, {block.index: block for block in left}
        labour = Labour(
            folder=work.folder,
            options=options,
            work={index: work_of(block, options) for index, block in blocks.items()},
            compute=lambda index: self.compute_one(store, blocks[index]),
            others=partial(setattr, self, "others"),
            look=self.tell,
            warn=self.mention,
        )
        labour.share()
        self.done, self.others = self.earlier + sum(labour.work.values()), no_others
        self.tell()

    def known(self, work: Undertaking | None) -> Facts:
        """The facts of the input: of an earlier run, or measured now."""
        self.stage("reading")
        kept = load_facts(work.folder) if work is not None and work.continued else None
        if kept is not None:
            self.stage("tagging")
            return kept
        with self.manifest.timed("reading"):
            found = survey(self.source, self.setup)
        self.stage("tagging")
        with self.manifest.timed("tagging"):
            return Facts(survey=found, prompts=prompts_of(self.source, self.setup, found, self.cancel))

    def there(self, store: BlockStore) -> set[int]:
        """The blocks that an earlier run has computed and that can be read."""
        if not isinstance(store, FolderStore):
            return set()
        found = set()
        for block in self.setup.blocks:
            self.cancel.check()
            if store.holds(block.index):
                found.add(block.index)
                self.earlier += work_of(block, self.setup.options)
        self.advance(self.earlier)
        return found

    def finished(self, store: BlockStore) -> Iterator[tuple[Piece, Finished]]:
        """The output, piece by piece."""
        assert self.facts is not None
        self.stage("finishing")
        pieces = assembled(self.source, self.setup, self.facts, store.read, check=self.cancel.check)
        floating, overflown = np.issubdtype(np.dtype(self.setup.dtype), np.floating), False
        while True:
            with self.manifest.timed("finishing"), np.errstate(over="ignore", invalid="ignore"):
                found = next(pieces, None)
                if found is None:
                    break
                piece, finished = found
                self.manifest.observe(finished, piece.core)
                overflown |= floating and bool(np.isnan(finished.made).any())
            yield piece, finished
            self.advance(piece.work)
        if overflown:
            self.warn("the input holds numbers too large to calculate with; near them the output has none (NaN)")
        if not self.manifest.measured:
            self.warn("the input has no valid pixel; neither has the output")

    def note(self) -> Mapping[str, Any]:
        """Write what belongs beside the result, remember the pace; returns how it was made."""
        if self.facts is not None:
            keep_prompts(self.setup, self.facts.prompts)
            if self.setup.options.manifest is not None:
                self.manifest.write(Path(self.setup.options.manifest))
            work = self.setup.work - self.earlier
            if self.setup.options.workers == 1 and self.setup.options.dask is None:
                pace.remember(self.setup.kind_of_work, work, sum(self.manifest.seconds.values()))
        return self.manifest.record()

    def advance(self, work: int) -> None:
        """So much more work is done; stops the run if somebody asked for it."""
        self.done += work
        self.tell()

    def tell(self) -> None:
        """Say how much is done, if that is news; stops the run if somebody asked for it."""
        self.cancel.check()
        done = self.done + self.others()
        if done <= self.told:  # the first of two looks at a tile, or a block that is computed again
            return
        self.told = done
        eta = self.eta.update(done, self.setup.work)
        self.emit(Progress(done=done, total=self.setup.work, eta=eta))

    def stage(self, name: str) -> None:
        """A part of the work begins."""
        self.cancel.check()
        stages = self.setup.stages
        self.emit(Stage(name=name, index=stages.index(name) + 1, count=len(stages)))

    def warn(self, message: str) -> None:
        """Something that the user should know, and that was not known before."""
        self.manifest.warnings.append(message)
        self.mention(message)

    def mention(self, message: str) -> None:
        """Something that went otherwise than usual in this run, and left no trace in its result."""
        self.emit(Warning(message=message))


def missing_text(missing: Sequence[int], count: int) -> str:
    """What is said where an output cannot be assembled yet."""
    named = ", ".join(map(str, missing[:NAMED])) + (", ..." if len(missing) > NAMED else "")
    return (
        f"{len(missing)} of {count} blocks are not there yet: {named}; run their shards again, or have them computed "
        "here with `zido resume`"
    )


def no_others() -> int:
    """What others have done where nobody helps."""
    return 0


def keep_prompts(setup: Setup, prompts: Sequence[Prompt]) -> None:
    """Write the prompts of all tiles, if the user asked for them."""
    path = setup.options.save_prompts
    if path is not None:
        replaced = setup.options.overwrite or setup.options.resume
        save_prompts(path, setup.info.geobox, setup.canvas.input_tiles, prompts, overwrite=replaced)
