"""What whoever shares out the blocks of a running job is given."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from ..options import ResolvedOptions
from ..work.folder import WorkFolder
from .crew import Crew, helpers, part_of_the_cores
from .desk import Desk, Failure


@dataclass(frozen=True, kw_only=True)
class Labour:
    """The blocks that are to be computed."""

    folder: WorkFolder
    """Where they are kept; the job and its facts are there already."""
    options: ResolvedOptions
    """Who works."""
    work: Mapping[int, int]
    """The blocks, and how much work each is."""
    compute: Callable[[int], None]
    """Computes one in this process, and keeps it."""
    others: Callable[[Callable[[], int]], None]
    """Is given what tells how much work others have done so far."""
    look: Callable[[], None]
    """Shows progress, and may raise Cancelled; to be called all the time."""
    warn: Callable[[str], None]
    """Hears what the user should know."""

    def share(self) -> None:
        """Have all of them computed."""
        if self.options.dask is not None:
            from .cluster import compute_on

            compute_on(self.options.dask, self)
        else:
            self._with_helpers()

    def failed(self, failure: Failure) -> None:
        """Note what went wrong and was made good."""
        self.folder.journal.add(event="failed", block=failure.block, worker=failure.who, error=failure.message)
        what = "" if failure.block is None else f"block {failure.block} failed: "
        self.warn(f"{failure.who}: {what}{failure.message}")

    def _with_helpers(self) -> None:
        starts = helpers(self.folder, self.options.workers, self.options.device, len(self.work))
        desk = Desk(self.work)
        self.others(lambda: desk.done)
        workers = len(starts) + 1 if self.options.device == "cpu" else 1
        with part_of_the_cores(workers), Crew(self.folder, desk, starts) as crew:
            crew.work(self.compute, self.look, self.failed)
