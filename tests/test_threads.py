"""Things done side by side: in order, few at a time, and stopped at once."""

from __future__ import annotations

import threading
import time

import pytest
import torch

from zido_core.errors import Cancelled
from zido_core.threads import HEED, Threads, side_by_side


@pytest.mark.parametrize("workers", [1, 2, 5])
def test_results_come_in_order(workers: int) -> None:
    with side_by_side(workers) as threads:
        assert list(threads.map(pow, range(50), [2] * 50)) == [number**2 for number in range(50)]


def test_each_thread_has_its_share_of_torchs_threads() -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(4)
    try:
        with side_by_side(2) as threads:
            assert list(threads.map(lambda _: torch.get_num_threads(), range(4))) == [2] * 4
        assert torch.get_num_threads() == 4
    finally:
        torch.set_num_threads(before)


def test_few_results_wait_for_whoever_takes_them() -> None:
    begun: list[int] = []
    with side_by_side(2) as threads:
        results = threads.map(begun.append, range(100))
        next(results)
        time.sleep(0.05)
        assert len(begun) <= 5


def test_an_error_of_the_work_is_raised() -> None:
    with side_by_side(2) as threads, pytest.raises(ZeroDivisionError):
        list(threads.map(lambda number: 1 // number, [1, 0, 1]))


def test_whoever_wants_it_to_stop_need_not_wait_for_a_result() -> None:
    begun, go_on = threading.Semaphore(0), threading.Event()
    ended: list[str] = []

    def work(_: int) -> None:
        begun.release()
        while not go_on.wait(HEED / 10):
            try:
                threads.check()
            except BaseException:
                ended.append("where it checks")
                raise

    def heed() -> None:
        begun.acquire()
        raise Cancelled

    with pytest.raises(Cancelled), side_by_side(2) as threads:
        list(threads.map(work, range(100), heed=heed))
    assert set(ended) == {"where it checks"}
    assert len(ended) <= 2


def test_nobody_is_asked_to_stop_where_there_are_no_threads() -> None:
    threads = Threads()
    threads.check()
    assert list(threads.map(str, [1, 2])) == ["1", "2"]
