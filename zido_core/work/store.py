"""Where the model's images of blocks wait until all are there: in memory, or in the work folder.

An image is that of a block's extent, (3, height, width) float32 at the model's scale. Wherever it waits, it does so in
the same form, so that the result is the same, too.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from ..tiling.grid import Tile
from .array_file import ArrayFile, DamagedFile, load_array, save_array
from .folder import WorkFolder
from .image_form import FLOAT, form_of, packed, unpacked
from .records import told_if_full

OPEN_FILES = 8
"""Files that stay open for the next window."""


class Kept(NamedTuple):
    """The state of a running block before a step."""

    step: int
    """The step to go on with."""
    images: NDArray[np.float32]
    """(n * channels, height, width): the latents, and behind them what the sampler remembers of earlier steps."""
    numbers: Mapping[str, Any]
    """What else is to be remembered; JSON-like."""


class BlockStore(Protocol):
    """Images of blocks by their index."""

    def put(self, index: int, image: NDArray[np.float32], seconds: float) -> None:
        """Keep a finished block; ``seconds``: how long it took."""
        ...

    def read(self, index: int, window: Tile) -> NDArray[np.float32]:
        """A part of a block, in its own pixels."""
        ...

    def slot(self, index: int) -> StateSlot | None:
        """Where the state of a block is kept while it is computed; None: nowhere."""
        ...


class MemoryStore:
    """For images in memory, and for those of one block."""

    def __init__(self, form: np.dtype = FLOAT, slot: Callable[[int], StateSlot | None] = lambda index: None) -> None:
        """``form``: see `image_form`."""
        self._images: dict[int, NDArray[Any]] = {}
        self._form, self._slot = form, slot

    def put(self, index: int, image: NDArray[np.float32], seconds: float) -> None:
        self._images[index] = packed(image, form_of(image, self._form))

    def read(self, index: int, window: Tile) -> NDArray[np.float32]:
        return unpacked(self._images[index][:, *window.slices])

    def slot(self, index: int) -> StateSlot | None:
        return self._slot(index)


class FolderStore:
    """In files, each complete and checked whenever it is read. Any number of processes may put blocks."""

    def __init__(self, folder: WorkFolder, form: np.dtype = FLOAT) -> None:
        """``form``: see `image_form`."""
        self._folder, self._form = folder, form
        self._files: OrderedDict[int, ArrayFile] = OrderedDict()

    def put(self, index: int, image: NDArray[np.float32], seconds: float) -> None:
        path, form = self._folder.block(index), form_of(image, self._form)
        with told_if_full(self._folder.path, image.size * form.itemsize):
            checksum = save_array(path, image, pack=partial(packed, form=form), block=index)
            self._folder.journal.add(event="block", block=index, crc=checksum, seconds=round(seconds, 3))
        for state in (self._folder.latents(index), self._folder.views(index)):
            state.unlink(missing_ok=True)

    def read(self, index: int, window: Tile) -> NDArray[np.float32]:
        return unpacked(self._file(index).read(window))

    def slot(self, index: int) -> StateSlot | None:
        return StateSlot(self._folder.latents(index))

    def holds(self, index: int) -> bool:
        """Whether the block is complete; a damaged file goes, so that the block is computed again."""
        path = self._folder.block(index)
        try:
            with ArrayFile(path) as file:
                file.check()
        except FileNotFoundError:
            return False
        except DamagedFile:
            self._folder.journal.add(event="damaged", block=index)
            path.unlink()
            return False
        return True

    def close(self) -> None:
        """Close all files."""
        while self._files:
            self._files.popitem()[1].close()

    def _file(self, index: int) -> ArrayFile:
        if index not in self._files:
            self._files[index] = ArrayFile(self._folder.block(index))
            if len(self._files) > OPEN_FILES:
                self._files.popitem(last=False)[1].close()
        self._files.move_to_end(index)
        return self._files[index]


class StateSlot:
    """A file with the state of one running block."""

    def __init__(self, path: Path, prepare: Callable[[], None] = lambda: None) -> None:
        """``prepare`` is called before anything is written."""
        self._path, self._prepare = path, prepare

    def load(self) -> Kept | None:
        """See ``keeping.Slot``."""
        found = load_array(self._path)
        return None if found is None else Kept(int(found[1]["step"]), found[0], found[1]["numbers"])

    def save(self, kept: Kept) -> None:
        """See ``keeping.Slot``."""
        self._prepare()
        save_array(self._path, kept.images, step=kept.step, numbers=kept.numbers)

    def beside(self, kind: str) -> StateSlot:
        """See ``keeping.BlockSlot``."""
        return StateSlot(self._path.with_suffix(f".{kind}"), self._prepare)
