"""How well labelled points form clusters, and how they look in a plane: figures, PCA, t-SNE. Plain numpy."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Points = NDArray[np.floating]
"""(n, dimensions)."""

ENTROPY_STEPS = 40
"""Halvings of the interval in which a point's width lies."""

EARLY = 0.25
"""Share of the steps of t-SNE in which likeness counts twelvefold, so that clusters can still pass each other."""


def square_distances(points: Points) -> NDArray[np.float64]:
    """(n, n) squared distances of all points."""
    points = np.asarray(points, np.float64)
    squares = (points**2).sum(1)
    distances: NDArray[np.float64] = np.maximum(squares[:, None] + squares - 2 * points @ points.T, 0)
    np.fill_diagonal(distances, 0)
    return distances


def neighbour_accuracy(points: Points, labels: Sequence[str], count: int = 9) -> float:
    """Share of points whose label most of their nearest neighbours have, the points themselves left out."""
    kinds, numbers = np.unique(list(labels), return_inverse=True)
    count = min(count, len(numbers) - 1)
    distances = square_distances(points)
    np.fill_diagonal(distances, np.inf)
    nearest = np.argsort(distances, axis=1, kind="stable")[:, :count]
    votes = np.stack([(numbers[nearest] == kind).sum(1) for kind in range(len(kinds))], axis=1)
    return float((votes.argmax(1) == numbers).mean())


def silhouette(points: Points, labels: Sequence[str]) -> float:
    """Mean of (b - a) / max(a, b), a the mean distance to the own cluster, b to the nearest other (Rousseeuw 1987)."""
    kinds, numbers = np.unique(list(labels), return_inverse=True)
    distances = np.sqrt(square_distances(points))
    sums = np.stack([distances[:, numbers == kind].sum(1) for kind in range(len(kinds))], axis=1)
    sizes = np.bincount(numbers)
    if len(sizes) < 2 or sizes.min() < 2:
        raise ValueError(f"clusters of {sizes.tolist()} points; expected two or more clusters of two or more")
    rows = np.arange(len(numbers))
    own = sums[rows, numbers] / (sizes[numbers] - 1)
    means = sums / sizes
    means[rows, numbers] = np.inf
    other = means.min(1)
    return float(((other - own) / np.maximum(np.maximum(own, other), 1e-12)).mean())


def principal(points: Points, dimensions: int = 2) -> NDArray[np.float64]:
    """(n, dimensions) coordinates along the directions of the largest spread; signs are fixed."""
    centred = np.asarray(points, np.float64) - np.mean(points, axis=0, dtype=np.float64)
    _, _, axes = np.linalg.svd(centred, full_matrices=False)
    axes = axes[:dimensions]
    axes *= np.sign(axes[np.arange(len(axes)), np.abs(axes).argmax(1)])[:, None]
    return np.asarray(centred @ axes.T, np.float64)


def tsne(points: Points, *, perplexity: float = 30, steps: int = 500) -> NDArray[np.float64]:
    """(n, 2) coordinates that keep neighbours together (van der Maaten & Hinton 2008); begun from PCA."""
    count = len(points)
    likeness = _likeness(square_distances(points), min(perplexity, (count - 1) / 3))
    places = principal(points)
    places *= 1e-4 / max(places[:, 0].std(), 1e-12)
    velocity, gains, rate = np.zeros_like(places), np.ones_like(places), max(count / 12, 50)
    for step in range(steps):
        early = step < EARLY * steps
        near = 1 / (1 + square_distances(places))
        np.fill_diagonal(near, 0)
        pull = (likeness * (12 if early else 1) - near / near.sum()) * near
        gradient = 4 * (pull.sum(1)[:, None] * places - pull @ places)
        gains = np.maximum(np.where(gradient * velocity < 0, gains + 0.2, gains * 0.8), 0.01)
        velocity = (0.5 if early else 0.8) * velocity - rate * gains * gradient
        places += velocity
        places -= places.mean(0)
    return places


def _likeness(distances: NDArray[np.float64], perplexity: float) -> NDArray[np.float64]:
    """Joint probabilities of neighbours: every point sees about so many, however dense its surroundings."""
    count = len(distances)
    low, high = np.full(count, -40.0), np.full(count, 40.0)  # of the logarithm of the precision
    near = distances + np.diag(np.full(count, np.inf))
    near -= near.min(1)[:, None]
    for _ in range(ENTROPY_STEPS):
        middle = (low + high) / 2
        weights = np.exp(-near * np.exp(middle)[:, None])
        shares = weights / weights.sum(1)[:, None]
        entropy = -(shares * np.log(np.maximum(shares, 1e-300))).sum(1)
        wide = entropy > np.log(perplexity)
        low, high = np.where(wide, middle, low), np.where(wide, high, middle)
    return np.asarray(np.maximum((shares + shares.T) / (2 * count), 1e-12), np.float64)
