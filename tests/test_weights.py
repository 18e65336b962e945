"""Tile weights: shape, sign, symmetry, partition of unity."""

from __future__ import annotations

import numpy as np
import pytest

from zido_core.tiling.grid import Size
from zido_core.tiling.weights import tile_weights

KINDS = ["uniform", "gaussian", "cosine"]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("size", [(1, 1), (64, 64), (64, 7), (5, 300), (1, 64)])
def test_positive_and_of_the_shape(kind, size):
    weights = tile_weights(kind, Size(*size))
    assert weights.shape == size
    assert weights.dtype == np.float64
    assert (weights > 0).all()
    # What fusion accumulates in float32 must not underflow there.
    assert (weights / weights.max()).min() > np.finfo(np.float32).tiny * 1e6


def test_gaussian_peaks_where_the_paper_puts_it():
    weights = tile_weights("gaussian", Size(64, 96))
    assert np.allclose(weights[:, 47], weights[:, 48])
    assert weights[32].sum() == weights.sum(1).max()
    assert weights[31].sum() < weights[32].sum()


def test_cosine_is_symmetric_and_sums_to_one_at_half_overlap():
    weights = tile_weights("cosine", Size(32, 48))
    assert np.allclose(weights, weights[::-1, ::-1])
    row = tile_weights("cosine", Size(1, 64))[0]
    assert np.allclose(row[32:] + row[:32], 1)


def test_uniform_is_one():
    assert (tile_weights("uniform", Size(3, 4)) == 1).all()
