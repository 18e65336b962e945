"""The options of who does the work: processes of this machine, or a cluster."""

from __future__ import annotations

from dataclasses import dataclass

from .option_spec import option


# An option stays a paragraph:
# fmt: off
@dataclass(frozen=True, kw_only=True)
class Workforce:
    """What a user says of it. The result is the same whoever does the work."""

    workers: int = option(
        1, group="system", minimum=1, maximum=256, result=False,
        help="processes that share the blocks of a large image: the cores, or one per GPU",
        effect="each has a block in memory",
    )
    """Processes on this machine, this one included."""

    dask: str | None = option(
        None, group="system", advanced=True, result=False, metavar="ADDRESS",
        pattern=r"(tcp|tls|ucx|ws|wss|inproc)://.+", expected="the scheduler's address, such as tcp://host:8786",
        help="have the blocks computed by a dask cluster, on a disk that all its machines share",
    )
    """Address of the scheduler; None: no cluster."""
