"""Who computes which block: a claim that the system takes back when its owner dies, however that happens."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from ..store_lock import StoreLock
from .folder import ELSEWHERE, WorkFolder


class _Taken(Exception):
    """Somebody else has it."""


@contextmanager
def claim(folder: WorkFolder, index: int) -> Iterator[bool]:
    """Whether the block is ours, while this context lasts; False at once if another process is computing it."""

    def refuse(owner: str) -> None:
        raise _Taken

    lock = StoreLock(folder.claim(index), on_wait=refuse, remedy=ELSEWHERE)
    with ExitStack() as held:
        try:
            held.enter_context(lock)
        except _Taken:
            yield False
            return
        yield True


def is_busy(folder: WorkFolder) -> bool:
    """Whether any process is computing a block here."""
    for path in (folder.path / "blocks").glob("*.claim"):
        with claim(folder, int(path.stem)) as ours:
            if not ours:
                return True
    return False
