"""Cancelling a job, and the estimate of the time left."""

from __future__ import annotations

import pytest

from zido_core import errors
from zido_core.job import CancelToken, Eta


def test_the_token_cancels_for_good():
    token = CancelToken()
    token.check()
    assert not token.cancelled
    token.cancel()
    assert token.cancelled
    with pytest.raises(errors.Cancelled):
        token.check()


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_the_estimate_is_exact_at_an_even_pace():
    clock, estimates = Clock(), []
    eta = Eta(clock)
    for done in range(5):
        estimates.append(eta.update(done, 10))
        clock.now += 2.0
    assert estimates == [None, 18.0, 16.0, 14.0, 12.0]


def test_the_estimate_follows_a_change_of_pace():
    clock = Clock()
    eta = Eta(clock)
    for done in range(50):
        eta.update(done, 100)
        clock.now += 1.0 if done < 25 else 4.0
    assert eta.update(50, 100) == pytest.approx(200.0, rel=0.15)


def test_the_estimate_stays_while_nothing_moves_and_ends_at_nothing():
    clock = Clock()
    eta = Eta(clock)
    eta.update(0, 4)
    clock.now += 1.0
    assert eta.update(2, 4) == 1.0
    clock.now += 50.0
    assert eta.update(2, 4) == 1.0
    assert eta.update(4, 4) == 0.0
