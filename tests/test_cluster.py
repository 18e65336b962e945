"""Blocks as tasks of a dask cluster: what is lost is computed again, what fails is named, and nobody waits in vain."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from distributed import LocalCluster

from zido_core.catalog import describe
from zido_core.errors import Cancelled, ConfigurationError, DeviceUnavailable, NotFinite, ZidoError
from zido_core.options import Options, resolve
from zido_core.sharing import cluster
from zido_core.sharing.labour import Labour
from zido_core.sharing.process import Failed, Lost, Taken, Unable
from zido_core.work.folder import WorkFolder

pytestmark = [
    pytest.mark.filterwarnings("ignore"),  # dask and tornado warn of each other, and of sockets that they close late
]


@pytest.fixture(scope="module")
def scheduler() -> Iterator[str]:
    """Two workers, in threads of this process, so that what is patched here is patched there."""
    with LocalCluster(n_workers=2, threads_per_worker=2, processes=False, dashboard_address=None) as local:
        yield local.scheduler_address


@pytest.fixture
def acts(monkeypatch: pytest.MonkeyPatch) -> dict[int, list[Callable[[], None]]]:
    """What happens to a block at each try, before it is done; tests fill it."""
    happens: dict[int, list[Callable[[], None]]] = {}

    class Scripted:
        alive = 0

        def __init__(self, folder: Path, threads: int) -> None:
            self._folder = WorkFolder(folder)
            assert threads == 2

        def __enter__(self) -> Scripted:
            Scripted.alive += 1
            assert Scripted.alive <= 2  # one a worker
            return self

        def __exit__(self, *raised: object) -> None:
            Scripted.alive -= 1

        def compute(self, index: int, check: Callable[[], None]) -> None:
            check()
            if happens.get(index):
                happens[index].pop(0)()
            path = self._folder.block(index)
            path.parent.mkdir(exist_ok=True)
            with path.open("a") as file:
                file.write("done ")

    monkeypatch.setattr(cluster, "BlockProcess", Scripted)
    return happens


def labour(folder: Path, address: str, blocks: int, look: Callable[[], None] = lambda: None) -> Labour:
    options = resolve(Options(dask=address, device="cpu"), describe("mini"), "raster")
    return Labour(
        folder=WorkFolder(folder),
        options=options,
        work=dict.fromkeys(range(blocks), 5),
        compute=lambda index: None,
        others=lambda told: None,
        look=look,
        warn=lambda message: None,
    )


def raising(error: Exception) -> Callable[[], None]:
    def happen() -> None:
        raise error

    return happen


def test_every_block_is_computed_once(scheduler: str, acts: Any, tmp_path: Path) -> None:
    labour(tmp_path, scheduler, 20).share()
    found = {path.name: path.read_text() for path in (tmp_path / "blocks").iterdir()}
    assert found == {f"{index:06d}.block": "done " for index in range(20)}


@pytest.mark.parametrize("error", [Lost("it ended with SIGKILL"), Failed("NotFinite", "NaN"), Taken()])
def test_what_is_lost_or_failed_is_computed_again(scheduler: str, acts: Any, tmp_path: Path, error: Exception) -> None:
    acts[3] = [raising(error), raising(error)]
    labour(tmp_path, scheduler, 6).share()
    assert len(list((tmp_path / "blocks").iterdir())) == 6
    failed = [entry for entry in WorkFolder(tmp_path).journal.entries() if entry["event"] == "failed"]
    assert len(failed) == (2 if isinstance(error, Failed) else 0)


@pytest.mark.parametrize(
    ("error", "kind", "said"),
    [
        (Failed("NotFinite", "tile 2 is not finite"), NotFinite, "block 3 failed 3 times: tile 2 is not finite"),
        (Failed("ConfigurationError", "versions differ"), ConfigurationError, "^versions differ"),
        (Unable("weights differ"), ConfigurationError, "cannot help: weights differ"),
        (ValueError("a bug"), ZidoError, "block 3 failed 3 times: a bug"),
    ],
)
def test_a_block_that_cannot_be_done_is_named(
    scheduler: str, acts: Any, tmp_path: Path, error: Exception, kind: type[Exception], said: str
) -> None:
    acts[3] = [raising(error)] * 20
    with pytest.raises(kind, match=said):
        labour(tmp_path, scheduler, 4).share()


def test_cancelling_takes_the_tasks_back(scheduler: str, acts: Any, tmp_path: Path) -> None:
    """Whoever computes a block notices that it is not wanted any more."""
    begun = time.monotonic()
    release = threading.Event()
    for index in range(9):
        acts[index] = [lambda: release.wait(10)]

    def look() -> None:
        if time.monotonic() - begun > 1:
            raise Cancelled("stopped")

    with pytest.raises(Cancelled):
        labour(tmp_path, scheduler, 9, look).share()
    release.set()
    time.sleep(0.5)
    assert len(list(tmp_path.glob("blocks/*.block"))) <= 4


def test_a_scheduler_that_is_not_there_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster, "PATIENCE", "1s")
    with pytest.raises(DeviceUnavailable, match=r"no dask scheduler answers at tcp://127.0.0.1:9"):
        labour(tmp_path, "tcp://127.0.0.1:9", 1).share()


def test_a_cluster_without_workers_is_named(tmp_path: Path) -> None:
    nobody = LocalCluster(n_workers=0, processes=False, dashboard_address=None)
    with nobody as local, pytest.raises(DeviceUnavailable, match="has no workers"):
        labour(tmp_path, local.scheduler_address, 1).share()


def test_a_scheduler_that_goes_is_named(acts: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster, "PATIENCE", "2s")
    local = LocalCluster(n_workers=1, threads_per_worker=2, processes=False, dashboard_address=None)
    acts[0] = [lambda: time.sleep(2)]
    threading.Timer(0.7, local.close).start()
    with pytest.raises(DeviceUnavailable, match="is gone; all finished blocks are kept"):
        labour(tmp_path, local.scheduler_address, 3).share()
