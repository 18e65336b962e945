"""The work folder of one run: begun when needed, continued if asked for and the same, locked, removed when done."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from types import TracebackType
from typing import Any, Self

from .errors import BadInput, ConfigurationError, InvalidOptions, OutputNotWritable
from .fingerprint import difference
from .job import CancelToken
from .options import ResolvedOptions
from .store_lock import StoreLock
from .work.claims import is_busy
from .work.folder import ELSEWHERE, Description, WorkFolder


class Undertaking:
    """A context manager; leaving it with an error keeps what is done, if anything, leaving it without removes it."""

    def __init__(
        self, folder: WorkFolder, description: Description, options: ResolvedOptions, cancel: CancelToken
    ) -> None:
        self.folder, self.description = folder, description
        self.continued = False
        """Whether there is work of an earlier run."""
        self._options, self._cancel = options, cancel
        self._held = ExitStack()
        self._lock: StoreLock | None = None

    def __enter__(self) -> Self:
        with self._held:
            if self.folder.path.is_dir():
                self._take()
                self._look()
            self._held = self._held.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        over = self._leaves_nothing(kind) or (kind is None and not self._options.keep_work)
        if over or kind is None:
            self._cancel.work = None
        with self._held:
            if self._lock is None:
                return
            if over:
                self.folder.remove()
            elif self.folder.exists:
                with suppress(OSError):  # a full disk must not hide what happened
                    self.folder.journal.add(event="done" if kind is None else kind.__name__)
        if over and os.name == "nt":  # which does not remove a lock that is held
            self.folder.remove()

    def _leaves_nothing(self, kind: type[BaseException] | None) -> bool:
        """Whether an error leaves nothing to go on with: no part of a block, nor facts of an input that can be read."""
        if kind is None or self._lock is None or self.folder.has_blocks:
            return False
        return issubclass(kind, BadInput) or not self.folder.has_facts

    def begin(self) -> None:
        """Make the folder, if it is not there yet."""
        if self._lock is None:
            self.folder.make()
            self._take()
        if not self.continued:
            self.folder.describe(self.description)
            self._go_on()

    def tidy(self) -> None:
        """Remove what a run left that was killed when its output was in place, and its work not yet removed."""
        if not self.folder.path.is_dir() or self._options.keep_work:
            return
        with suppress(OutputNotWritable, ConfigurationError), self.folder.lock():  # unless it is somebody else's
            half_gone = not self.folder.exists  # the description is what goes first
            if half_gone or not difference(self.folder.description().fingerprint, self.description.fingerprint):
                self.folder.remove()

    @contextmanager
    def joining(self, on_wait: Callable[[str], None]) -> Iterator[None]:
        """Begin or join work that several runs share; the lock is held for this context only, and waited for."""
        self.folder.make()

        def wait(owner: str) -> None:
            on_wait(f"{owner} is working in {self.folder.path}; waiting for it")

        with StoreLock(self.folder.path / "lock", check=self._cancel.check, on_wait=wait, remedy=ELSEWHERE):
            if self.folder.exists:
                self._compare()
            else:
                self.folder.describe(self.description)
            self._go_on()
            yield

    def _take(self) -> None:
        self._lock = self._held.enter_context(self.folder.lock())

    def _look(self) -> None:
        """Continue what is there, or make room, or say why neither can be."""
        if not self.folder.exists:
            return
        if self._options.resume:
            self._compare()
            self.folder.journal.add(event="continued")
            self._go_on()
        elif self._options.overwrite:
            if is_busy(self.folder):
                raise OutputNotWritable(f"other processes compute blocks in {self.folder.path}; stop them first")
            self.folder.clear()
        else:
            raise OutputNotWritable(
                f"there is unfinished work in {self.folder.path}; continue it with --resume, or start anew with "
                "--overwrite"
            )

    def _go_on(self) -> None:
        """From now on nothing that is done is lost."""
        self.continued = True
        self._cancel.work = str(self.folder.path)

    def _compare(self) -> None:
        begun: dict[str, Any] = self.folder.description().fingerprint
        differs = difference(begun, self.description.fingerprint)
        if differs is not None:
            raise InvalidOptions(
                f"{self.folder.path} cannot be continued: {differs}; make it the same again, or start anew with "
                "--overwrite and without --resume"
            )
