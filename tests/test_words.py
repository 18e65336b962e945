"""Durations and amounts as people say them."""

from __future__ import annotations

import pytest

from zido_core import words


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.26, "0.3 s"), (12.4, "12 s"), (61, "1 min 1 s"), (3599.7, "1 h 0 min"), (7300, "2 h 1 min")],
)
def test_durations_are_told_in_units_that_fit(seconds, text):
    assert words.duration(seconds) == text


@pytest.mark.parametrize(
    ("count", "text"), [(12, "12 B"), (1500, "1.5 kB"), (310_000_000, "310 MB"), (10**13, "10.0 TB")]
)
def test_amounts_are_told_in_units_that_fit(count, text):
    assert words.amount(count) == text
