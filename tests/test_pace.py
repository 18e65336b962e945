"""How long work takes: the pace of earlier runs, and the estimate of what is left."""

from __future__ import annotations

from pathlib import Path

import pytest

from zido_core import pace


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("ZIDO_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_nothing_is_expected_before_the_first_run(folder: Path) -> None:
    assert pace.expected("mini cpu denoising", 100) is None
    assert not folder.exists()


def test_time_grows_with_the_work_and_kinds_are_apart() -> None:
    pace.remember("mini cpu denoising", 1000, 20.0)
    pace.remember("mini cpu enlarging", 1000, 5.0)
    assert pace.expected("mini cpu denoising", 500) == 10.0
    assert pace.expected("mini cpu enlarging", 500) == 2.5
    pace.remember("mini cpu denoising", 1000, 40.0)
    assert pace.expected("mini cpu denoising", 500) == 20.0


def test_short_runs_tell_nothing() -> None:
    pace.remember("mini cpu denoising", 4, pace.LEAST / 2)
    pace.remember("mini cpu denoising", 0, 60.0)
    assert pace.expected("mini cpu denoising", 100) is None


@pytest.mark.parametrize("content", ["", "[]", "{", '{"mini": "fast"}', "null", "1"])
def test_a_damaged_memory_is_forgotten(folder: Path, content: str) -> None:
    folder.mkdir()
    (folder / "pace.json").write_text(content)
    assert pace.expected("mini", 100) is None
    pace.remember("mini", 10, 20.0)
    assert pace.expected("mini", 100) == 200.0


def test_a_place_that_cannot_be_written_is_no_failure(folder: Path) -> None:
    folder.write_text("a file")
    pace.remember("mini", 10, 20.0)
    assert pace.expected("mini", 100) is None


def test_the_cache_is_where_the_system_wants_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ZIDO_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", "/somewhere")
    assert pace.cache_folder() == Path("/somewhere/zido")
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert pace.cache_folder() == Path.home() / ".cache" / "zido"


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_the_estimate_is_exact_at_an_even_pace():
    clock, estimates = Clock(), []
    eta = pace.Eta(clock)
    for done in range(5):
        estimates.append(eta.update(done, 10))
        clock.now += 2.0
    assert estimates == [None, 18.0, 16.0, 14.0, 12.0]


def test_the_estimate_follows_a_change_of_pace():
    clock = Clock()
    eta = pace.Eta(clock)
    for done in range(50):
        eta.update(done, 100)
        clock.now += 1.0 if done < 25 else 4.0
    assert eta.update(50, 100) == pytest.approx(200.0, rel=0.15)


def test_the_estimate_stays_while_nothing_moves_and_ends_at_nothing():
    clock = Clock()
    eta = pace.Eta(clock)
    eta.update(0, 4)
    clock.now += 1.0
    assert eta.update(2, 4) == 1.0
    clock.now += 50.0
    assert eta.update(2, 4) == 1.0
    assert eta.update(4, 4) == 0.0
