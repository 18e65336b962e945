"""Embeddings of many tiles: the same numbers from a file."""

from __future__ import annotations

from itertools import chain

import numpy as np
import pytest

from zido_core.prompts import spool
from zido_core.prompts.base import Prompt
from zido_core.prompts.spool import Spool, stacked

RNG = np.random.default_rng(0)


def tagged(count, every=1):
    """Prompts, of which every so-manieth has an embedding."""
    return [
        Prompt(text=str(index), embedding=None if index % every else RNG.random((5, 512)).astype(np.float32))
        for index in range(count)
    ]


@pytest.mark.parametrize("every", [1, 3])
def test_they_come_back_as_they_were(monkeypatch, every):
    monkeypatch.setattr(spool, "IN_MEMORY", 4 * 5 * 512 * 4)  # that of four tiles
    strips = [tagged(3, every) for _ in range(5)]
    with Spool() as keeper:
        kept = [keeper.kept(strip) for strip in strips]
    in_file = 0
    for before, after in zip(chain(*strips), chain(*kept), strict=True):
        assert before.text == after.text
        if before.embedding is None:
            assert after.embedding is None
        else:
            np.testing.assert_array_equal(after.embedding, before.embedding)
            assert after.embedding.dtype == np.float32
            in_file += isinstance(after.embedding, np.memmap)
    assert in_file > 0


def test_few_stay_in_memory():
    prompts = tagged(3)
    with Spool() as keeper:
        kept = keeper.kept(prompts)
    assert all(after.embedding is before.embedding for before, after in zip(prompts, kept, strict=True))


def test_where_taggers_see_nothing_there_is_nothing_to_keep():
    prompts = [Prompt(text="roof")] * 2
    with Spool() as keeper:
        assert keeper.kept(prompts) == prompts


@pytest.mark.parametrize("limit", [0, 2**30])
def test_they_are_stacked_in_memory_or_in_a_file(monkeypatch, limit):
    monkeypatch.setattr(spool, "IN_MEMORY", limit)
    embeddings = [prompt.embedding for prompt in tagged(5)]
    whole = stacked(embeddings)
    np.testing.assert_array_equal(whole, np.stack(embeddings))
    assert isinstance(whole, np.memmap) == (limit == 0)
