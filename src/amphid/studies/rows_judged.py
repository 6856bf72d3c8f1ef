"""How well rows of numbers tell classes apart, where nothing is trained: neighbors and clusters."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

AT_ONCE = 1000  # rows that look for their nearest
DIRECTIONS = 100  # that are left for clustering
ROUNDS = 100  # of moving centers, at most
CANDIDATES = 4  # for each center to start from


def nearest(rows: Tensor, known: Tensor, labels: Tensor) -> Tensor:
    """The label [B] of the known row [M, K] that each of rows [B, K] is nearest to."""
    half = (known**2).sum(1) / 2
    return torch.cat([labels[(half - some @ known.T).argmin(1)] for some in rows.split(AT_ONCE)])


def share_right(found: Tensor, labels: Tensor) -> float:
    """The share of labels that were found."""
    return float((found == labels).double().mean())


def draws(
    labels: Tensor, count: int, *, repeats: int, generator: torch.Generator
) -> Iterator[Tensor]:
    """`repeats` times, which examples are shown: `count` of each class, or all where it has less.

    Raises ValueError where count or repeats is not positive.
    """
    if count < 1 or repeats < 1:
        raise ValueError(f"count and repeats must be at least 1, got {count} and {repeats}.")
    for _ in range(repeats):
        order = torch.randperm(len(labels), generator=generator)
        own = [order[labels[order] == which][:count] for which in labels.unique()]
        yield torch.cat(own)


def by_few(
    rows: Tensor, labels: Tensor, known: Tensor, answers: Tensor, *, shown: list[Tensor]
) -> list[float]:
    """Share of rows whose nearest among each draw of the known ones has their label."""
    return [share_right(nearest(rows, known[which], answers[which]), labels) for which in shown]


def principal(rows: Tensor, *, generator: torch.Generator) -> Tensor:
    """Rows [B, K] along the directions in which they vary most: as many as there are, or 100.

    By the randomized range finder with three power iterations (Halko et al. 2011,
    doi 10.1137/090771806).
    """
    centered = rows - rows.mean(0)
    kept = min(DIRECTIONS, *rows.shape)
    drawn = torch.randn(rows.shape[1], min(kept + 20, *rows.shape), generator=generator)
    basis = torch.linalg.qr(centered.T @ (centered @ drawn.to(rows)))[0]
    for _ in range(3):
        basis = torch.linalg.qr(centered.T @ (centered @ basis))[0]
    told = centered @ basis
    _, vectors = torch.linalg.eigh(told.T @ told)
    return told @ vectors.flip(1)[:, :kept]


def clusters(rows: Tensor, count: int, *, starts: int, generator: torch.Generator) -> Tensor:
    """Cluster [B] of each row by k-means, the best of some starts.

    Centers start far from each other (greedy k-means++, Arthur and Vassilvitskii 2007); the best
    start leaves the least sum of squared distances.
    """
    found = [_moved(rows, _spread(rows, count, generator)) for _ in range(starts)]
    return min(found, key=lambda own: own[0])[1]


def matched(found: Tensor, labels: Tensor) -> float:
    """Share of right labels when each cluster [B] stands for one label, in the best of all ways."""
    from scipy.optimize import linear_sum_assignment

    names, numbers = labels.unique(return_inverse=True)
    table = np.zeros((int(found.max()) + 1, len(names)))
    np.add.at(table, (found.numpy(), numbers.numpy()), 1)
    pairs = linear_sum_assignment(table, maximize=True)
    return float(table[pairs].sum()) / len(labels)


def _spread(rows: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """Rows to start from [count, K], each the best of a few that are drawn by squared distance."""
    first = torch.randint(len(rows), (1,), generator=generator)
    centers, away = [rows[first[0]]], ((rows - rows[first]) ** 2).sum(1)
    for _ in range(count - 1):
        drawn = torch.multinomial(away + 1e-12, CANDIDATES, replacement=True, generator=generator)
        left = torch.minimum(away[:, None], torch.cdist(rows, rows[drawn]) ** 2)
        best = left.sum(0).argmin()
        centers.append(rows[drawn[best]])
        away = left[:, best]
    return torch.stack(centers)


def _moved(rows: Tensor, centers: Tensor) -> tuple[float, Tensor]:
    """The sum of squared distances, and the clusters, when centers no longer move."""
    own = torch.zeros(len(rows), dtype=torch.int64)
    size = (rows**2).sum()
    for _ in range(ROUNDS):
        near, now = ((centers**2).sum(1) - 2 * rows @ centers.T).min(1)
        if torch.equal(now, own):
            break
        own = now
        members = own.bincount(minlength=len(centers)).clamp(min=1)[:, None]
        sums = torch.zeros_like(centers).index_add_(0, own, rows)
        empty = own.bincount(minlength=len(centers))[:, None] == 0
        centers = torch.where(empty, centers, sums / members)
    return float(near.sum() + size), own
