"""What taggers saw of very many tiles, in a file: 300 kB a tile would fill the memory."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from types import TracebackType
from typing import Self

import numpy as np
from numpy.typing import NDArray

from .base import Prompt

IN_MEMORY = 256 * 2**20
"""Bytes of embeddings that are simply kept."""


class Spool:
    """Keeps the embeddings of prompts: the first ones in memory, the others in a temporary file, read as needed.

    The file has no name; it goes with the last prompt that looks into it. A context, while prompts are added.
    """

    def __init__(self) -> None:
        self._bytes = 0
        self._file = tempfile.TemporaryFile()  # noqa: SIM115 - closed by the context

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def kept(self, prompts: Sequence[Prompt]) -> list[Prompt]:
        """The same prompts; their embeddings may lie in the file."""
        kept = iter(self.keep([prompt.embedding for prompt in prompts if prompt.embedding is not None]))
        return [prompt if prompt.embedding is None else replace(prompt, embedding=next(kept)) for prompt in prompts]

    def keep(self, embeddings: Sequence[NDArray[np.float32]]) -> Sequence[NDArray[np.float32]]:
        """The same embeddings, all of one shape; perhaps in the file."""
        self._bytes += sum(embedding.nbytes for embedding in embeddings)
        if self._bytes <= IN_MEMORY or not embeddings:
            return embeddings
        offset = self._file.seek(0, os.SEEK_END)
        for embedding in embeddings:
            self._file.write(np.ascontiguousarray(embedding, np.float32).tobytes())
        self._file.flush()
        return list(np.memmap(self._file, np.float32, "r", offset, (len(embeddings), *embeddings[0].shape)))


def stacked(embeddings: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
    """All of them in one array, which is in a temporary file where memory would not hold them twice."""
    shape = (len(embeddings), *embeddings[0].shape)
    if sum(embedding.nbytes for embedding in embeddings) <= IN_MEMORY:
        return np.stack(embeddings)
    with tempfile.TemporaryFile() as file:
        whole = np.memmap(file, np.float32, "w+", 0, shape)
    for place, embedding in zip(whole, embeddings, strict=True):
        place[:] = embedding
    return whole
