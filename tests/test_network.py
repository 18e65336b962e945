"""Many crops of a canvas: side by side on a CPU, in batches whose size is found on accelerators."""

from __future__ import annotations

import threading
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from zido_core.errors import Cancelled
from zido_core.sampling import batches, network
from zido_core.sampling.batches import MOST, TileBatch, tile_batch, workers
from zido_core.sampling.network import Network
from zido_core.sampling.windows import windows_for
from zido_core.tiling.fusion import crop
from zido_core.tiling.grid import Size, even_grid

CANVAS = Size(40, 52)
GRID = even_grid(CANVAS, 16, 8)
WINDOWS = windows_for("multidiffusion", GRID, steps=1, seed=0)
BRANCHES = (tuple(range(len(GRID))), (len(GRID),) * len(GRID))
LATENTS = torch.randn(4, *CANVAS, generator=torch.Generator().manual_seed(0))
TIME = torch.tensor(500)


@pytest.fixture(scope="module")
def predict():
    """A small network whose result depends on crop and prompt."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        net = nn.Sequential(nn.Conv2d(4, 32, 3, padding=1), nn.GroupNorm(4, 32), nn.GELU(), nn.Conv2d(32, 4, 3)).eval()
    return lambda latents, timestep, tiles, ids: nn.functional.pad(
        net(latents + torch.tensor(ids).view(-1, 1, 1, 1) / 100), (1, 1, 1, 1)
    )


def fused(predict, on_tiles=lambda count: None, **how):
    with Network(predict=predict, **how) as whole:
        return whole.fused(LATENTS, TIME, WINDOWS, 0, BRANCHES, on_tiles)


class TestThreads:
    @pytest.mark.parametrize("count", [2, 5])
    def test_bytes_do_not_depend_on_how_many_work(self, predict, count):
        for ours, alone in zip(fused(predict, workers=count), fused(predict), strict=True):
            assert torch.equal(ours, alone)

    def test_tiles_are_computed_at_the_same_time(self, predict):
        both, met = threading.Barrier(2, timeout=20), []

        def meeting(latents, timestep, tiles, ids):
            if ids in ([0], [1]):
                met.append(both.wait())
            return predict(latents, timestep, tiles, ids)

        fused(meeting, workers=2)
        assert sorted(met) == [0, 1]

    def test_no_graph_is_kept_in_threads(self, predict):
        seen = []

        def watched(*asked):
            seen.append(torch.is_grad_enabled())
            return predict(*asked)

        with torch.no_grad():
            fused(watched, workers=2)
        assert not any(seen)

    def test_torch_has_its_threads_back(self, predict):
        before, inside = torch.get_num_threads(), set()

        def watched(*asked):
            inside.add(torch.get_num_threads())
            return predict(*asked)

        try:
            torch.set_num_threads(4)
            fused(watched, workers=2)
            afterwards = []
            threading.Thread(target=lambda: afterwards.append(torch.get_num_threads())).run()
            assert (inside, torch.get_num_threads(), afterwards) == ({2}, 4, [4])
        finally:
            torch.set_num_threads(before)

    def test_cancelling_stops_at_once(self, predict):
        asked, names = [], {thread.name for thread in threading.enumerate()}

        def watched(*told):
            asked.append(told)
            return predict(*told)

        def cancel(count):
            raise Cancelled("stopped")

        with pytest.raises(Cancelled):
            fused(watched, cancel, workers=2)
        assert len(asked) < 2 * len(GRID)
        assert {thread.name for thread in threading.enumerate()} <= names

    def test_an_error_in_a_thread_is_the_errors_of_the_run(self, predict):
        def broken(latents, timestep, tiles, ids):
            if ids == [3]:
                raise ValueError("tile 3")
            return predict(latents, timestep, tiles, ids)

        with pytest.raises(ValueError, match="tile 3"):
            fused(broken, workers=3)

    def test_the_network_is_changed_for_a_retry_only_when_nobody_uses_it(self, predict):
        inside, together = threading.Semaphore(0), []

        def broken(latents, timestep, tiles, ids):
            inside.release()
            out = predict(latents, timestep, tiles, ids)
            inside.acquire()
            return out * torch.nan if ids == [0] else out

        def retry(*asked):
            together.append(inside.acquire(blocking=False))
            return predict(*asked)

        for ours, alone in zip(fused(broken, retry=retry, workers=3), fused(predict), strict=True):
            torch.testing.assert_close(ours, alone, rtol=0, atol=1e-6)
        assert together == [False]

    def test_progress_counts_every_window_once(self, predict):
        for count in (1, 3):
            told = []
            fused(predict, told.append, workers=count)
            assert sum(told) == len(GRID)

    @pytest.mark.parametrize(
        ("device", "parallel", "threads", "free", "expected"),
        [
            ("cpu", True, 4, 2**40, 4),
            ("cpu", True, 10**4, 2**40, len(GRID)),
            ("cpu", True, 4, 3 * 16 * 16 * 1000 * 2, 3),
            ("cpu", True, 4, 0, 1),
            ("cpu", False, 4, 2**40, 1),
            ("cuda", True, 4, 2**40, 1),
        ],
    )
    def test_how_many_work(self, monkeypatch, device, parallel, threads, free, expected):
        monkeypatch.setattr(batches, "thread_count", lambda: threads)
        monkeypatch.setattr(batches, "free_ram", lambda: free)
        descriptor = SimpleNamespace(bytes_per_latent=1000)
        backbone = SimpleNamespace(device=torch.device(device), parallel=parallel, descriptor=descriptor)
        assert workers(backbone, GRID) == expected


def searched(seconds, rounds=40):
    """The size that the search finds where so many tiles take so many seconds."""
    batch = TileBatch()
    for _ in range(rounds):
        batch.took(batch.size, seconds(batch.size))
    return batch.size, batch.found


class TestSearch:
    @pytest.mark.parametrize(
        ("seconds", "expected"),
        [
            (lambda count: count, 1),
            (lambda count: max(count, 4), 4),
            (lambda count: count**1.3 + 20, 16),
            (lambda count: 1.0, MOST),
        ],
    )
    def test_grows_while_a_tile_gets_cheaper(self, seconds, expected):
        assert searched(seconds) == (expected, True)

    def test_the_first_call_of_a_size_may_be_slow(self):
        seen = set()

        def seconds(count):
            slow = count not in seen
            seen.add(count)
            return 100 if slow else max(count, 8)

        assert searched(seconds) == (8, True)

    def test_memory_ends_it(self):
        batch = TileBatch()
        for seconds in (1.0, 1.0, 1.0, 1.0):
            batch.took(batch.size, seconds)
        batch.too_large(4)
        batch.took(2, 0.1)
        assert (batch.size, batch.found) == (2, True)

    def test_the_user_is_not_corrected(self):
        batch = TileBatch(5)
        batch.took(5, 1.0)
        assert (batch.size, batch.found) == (5, True)

    @pytest.mark.parametrize(("size", "left", "expected"), [(16, 40, 14), (16, 16, 16), (16, 17, 9), (16, 3, 3)])
    def test_calls_of_a_known_size_are_balanced(self, size, left, expected):
        assert TileBatch(size).next_of(left) == expected

    def test_what_was_found_is_kept_for_the_model_and_the_size(self):
        class Model:
            pass

        model, other = Model(), Model()
        first = tile_batch(None, model, Size(64, 64))
        first.too_large(8)
        assert tile_batch(None, model, Size(64, 64)) is first
        assert tile_batch(None, model, Size(96, 96)).size == tile_batch(None, other, Size(64, 64)).size == 1
        assert tile_batch(7, model, Size(64, 64)).size == 7

    def test_it_watches_the_calls_that_are_made_anyway(self, predict, monkeypatch):
        monkeypatch.setattr(network, "one_by_one", lambda device: False)
        now, sizes = [0.0], []
        monkeypatch.setattr(network.time, "perf_counter", lambda: now[0])

        def slow(latents, timestep, tiles, ids):
            sizes.append(len(tiles))
            now[0] += max(len(tiles), 4)
            return predict(latents, timestep, tiles, ids)

        batch = TileBatch()
        for ours, alone in zip(fused(slow, batch=batch), fused(predict), strict=True):
            torch.testing.assert_close(ours, alone, rtol=0, atol=1e-5)
        assert sizes[:8] == [1, 1, 2, 2, 4, 4, 8, 8]
        assert (batch.size, batch.found) == (4, True)
        assert sum(sizes) == 2 * len(GRID)


def test_a_crop_may_reach_over_the_border(predict):
    """The helper that networks read their conditions with."""
    tile = GRID.tiles[-1].shifted(4, 4)
    assert crop(LATENTS, tile).shape == (4, 16, 16)
