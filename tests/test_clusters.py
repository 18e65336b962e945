"""Figures of clusters against their definitions, and the two ways to lay points out in a plane."""

from __future__ import annotations

import numpy as np
import pytest

from zido_core.metrics.clusters import neighbour_accuracy, principal, silhouette, square_distances, tsne


def clouds(spread: float, count: int = 20) -> tuple[np.ndarray, list[str]]:
    """Three clouds in eight dimensions, whose middles are ten apart."""
    rng = np.random.default_rng(0)
    middles = np.eye(3, 8) * 10 / np.sqrt(2)
    points = np.concatenate([middle + rng.normal(0, spread, (count, 8)) for middle in middles])
    return points, [name for name in "abc" for _ in range(count)]


def test_distances_are_those_of_all_pairs():
    points, _ = clouds(1.0, count=4)
    naive = ((points[:, None] - points) ** 2).sum(-1)
    np.testing.assert_allclose(square_distances(points), naive, atol=1e-9)


def test_silhouette_is_its_definition():
    points = np.array([[0.0], [1.0], [5.0], [7.0]])
    expected = [(6 - 1) / 6, (5 - 1) / 5, (4.5 - 2) / 4.5, (6.5 - 2) / 6.5]
    assert silhouette(points, list("aabb")) == pytest.approx(np.mean(expected))


@pytest.mark.parametrize("labels", ["aaaa", "aaab"])
def test_silhouette_needs_clusters(labels):
    with pytest.raises(ValueError, match="expected two or more clusters"):
        silhouette(np.eye(4), list(labels))


def test_clear_clusters_are_told_and_mixed_ones_are_not():
    points, labels = clouds(0.5)
    assert neighbour_accuracy(points, labels) == 1
    assert silhouette(points, labels) > 0.7
    mixed, _ = clouds(50)
    assert neighbour_accuracy(mixed, labels) < 0.7
    assert abs(silhouette(mixed, labels)) < 0.1


def test_a_point_is_not_its_own_neighbour():
    assert neighbour_accuracy(np.array([[0.0], [0.1], [0.2]]), list("aba"), count=1) < 1


def test_principal_directions_hold_the_largest_spread():
    rng = np.random.default_rng(1)
    points = rng.normal(size=(50, 6)) * [1, 9, 1, 1, 4, 1]
    places = principal(points)
    values = np.linalg.eigvalsh(np.cov(points.T))[::-1]
    np.testing.assert_allclose(places.var(0, ddof=1), values[:2])
    np.testing.assert_array_equal(places, principal(points))


def test_tsne_keeps_clusters_apart_and_is_always_the_same():
    points, labels = clouds(1.0)
    places = tsne(points, perplexity=10, steps=150)
    assert places.shape == (60, 2)
    assert neighbour_accuracy(places, labels) == 1
    np.testing.assert_array_equal(places, tsne(points, perplexity=10, steps=150))
