"""Blocks as tasks of an existing dask cluster, whose machines share the disk of the work folder.

Every worker of the cluster keeps one process of zido with the model loaded (`sharing.process`): dask's own threads stay
free for heartbeats however long a block takes, and a crash costs a block, not the worker.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import DeviceUnavailable, ModelMissing
from .desk import AT_ONCE, TRIES, Failure, error_of
from .process import BlockProcess, Failed, Lost, Taken, Unable

if TYPE_CHECKING:
    from .labour import Labour

PATIENCE = "30s"
"""How long a scheduler may take to answer."""

LOOK_EVERY = 0.2
"""Seconds between two looks around."""


class Unwanted(Exception):
    """Whoever asked for a block has gone or changed his mind."""


class Processes:
    """The process of one worker of the cluster, by work folder; started by the first block. A plugin of the worker."""

    def __init__(self, folder: str) -> None:
        self.folder = folder
        self.name = f"zido {folder}"
        self._process: BlockProcess | None = None
        self._one_at_a_time: threading.Lock | None = None
        self._threads = 1

    def setup(self, worker: Any) -> None:
        """Called by dask when the plugin arrives."""
        self._one_at_a_time = threading.Lock()
        self._threads = worker.state.nthreads

    def teardown(self, worker: Any) -> None:
        """Called by dask when the job is over or the worker leaves."""
        self._end()

    def compute(self, index: int, check: Callable[[], None]) -> None:
        """Compute a block and keep it; ``check`` may raise while it is computed."""
        assert self._one_at_a_time is not None
        with self._one_at_a_time:
            if self._process is None:
                process = BlockProcess(Path(self.folder), threads=self._threads)
                process.__enter__()
                self._process = process
            try:
                self._process.compute(index, check=check)
            except (Lost, Unwanted):
                self._end()
                raise

    def _end(self) -> None:
        if self._process is not None:
            self._process.__exit__(None, None, None)
            self._process = None


def compute_block(folder: str, index: int) -> tuple[str, str] | None:
    """The task: a block; what the worker's process says of a failure, or None."""
    from distributed import get_worker

    worker: Any = get_worker()
    key = worker.get_current_task()

    def check() -> None:
        task = worker.state.tasks.get(key)
        if task is None or task.state == "cancelled":
            raise Unwanted

    try:
        worker.plugins[f"zido {folder}"].compute(index, check)
    except Failed as error:
        return error.kind, str(error)
    except Unable as error:
        return "ConfigurationError", f"{worker.address} cannot help: {error}"
    except Taken:
        return "Taken", "another process computes it"
    return None


def compute_on(address: str, labour: Labour) -> None:
    """Have all blocks computed by the cluster."""
    with _quiet_client(), _client(address) as client:
        plugin = _as_plugin(str(labour.folder.path))
        client.register_plugin(plugin)
        try:
            _Tasks(client, labour).work()
        finally:
            with suppress(Exception):  # of a cluster that is gone
                client.unregister_worker_plugin(plugin.name)


class _Tasks:
    """Those of one job."""

    def __init__(self, client: Any, labour: Labour) -> None:
        self._client, self._labour = client, labour
        self._running: dict[Any, int] = {}
        self._tries: dict[int, int] = {}
        self._done = 0

    def work(self) -> None:
        """All blocks; what is not done is asked for again, but not too often."""
        self._labour.others(lambda: self._done)
        for index in self._labour.work:
            self._submit(index)
        try:
            while self._running:
                self._labour.look()
                self._check_scheduler()
                for future in [future for future in self._running if future.done()]:
                    self._took(future, self._running.pop(future))
                time.sleep(LOOK_EVERY)
        finally:
            with suppress(Exception):
                self._client.cancel(list(self._running))

    def _submit(self, index: int) -> None:
        attempt = self._tries[index] = self._tries.get(index, 0) + 1
        future = self._client.submit(
            compute_block,
            str(self._labour.folder.path),
            index,
            key=f"zido-block-{self._labour.folder.path.name}-{index}-{attempt}-{time.time_ns()}",
            resources={"GPU": 1} if self._labour.options.device.startswith("cuda") else {},
            retries=TRIES - 1,
            pure=False,
        )
        self._running[future] = index

    def _took(self, future: Any, index: int) -> None:
        if future.status == "finished":
            failure = future.result()
            if failure is None:
                self._done += self._labour.work[index]
                return
            kind, message = failure
        elif future.status == "cancelled":
            raise self._lost()
        else:
            kind, message = "ZidoError", str(future.exception())
        if kind == "Taken":
            self._tries[index] -= 1
        else:
            self._labour.failed(Failure(who="dask", block=index, message=message))
            if kind in AT_ONCE:
                raise error_of(kind, message)
            if self._tries[index] >= TRIES:
                raise error_of(
                    kind, f"block {index} failed {TRIES} times: {message}; all other finished blocks are kept"
                )
        self._submit(index)

    def _check_scheduler(self) -> None:
        if self._client.status not in ("running", "connecting", "newly-created"):
            raise self._lost()

    def _lost(self) -> DeviceUnavailable:
        return DeviceUnavailable(
            f"the dask scheduler at {self._labour.options.dask} is gone; all finished blocks are kept: go on when it "
            "is back, or on this machine alone by the same command with --resume and without --dask"
        )


@contextmanager
def _quiet_client() -> Iterator[None]:
    """What dask logs on stderr when a scheduler goes, the run says in its own words."""
    logger = logging.getLogger("distributed.client")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(level)


@contextmanager
def _client(address: str) -> Iterator[Any]:
    try:
        from distributed import Client
    except ModuleNotFoundError as error:
        raise ModelMissing(
            "the Python package distributed is not installed, which --dask needs; pip install 'zido[dask]'"
        ) from error
    try:
        connect: Any = Client  # which is not typed
        client = connect(address, timeout=PATIENCE, set_as_default=False)
    except (OSError, TimeoutError, ValueError) as error:
        raise DeviceUnavailable(f"no dask scheduler answers at {address}; is it running there?") from error
    with client:
        if not client.scheduler_info()["workers"]:
            raise DeviceUnavailable(f"the dask cluster at {address} has no workers; start some, then run again")
        yield client


def _as_plugin(folder: str) -> Any:
    """`Processes` as a class of dask's, which is imported no earlier than it is needed."""
    from distributed import WorkerPlugin

    class Plugin(Processes, WorkerPlugin):
        pass

    return Plugin(folder)
