"""Directions are pure functions of a key and a number, of unit variance, and see all entries."""

from __future__ import annotations

import pytest
import torch

from amphid.learning import Gaussian, LowRank, Rademacher
from amphid.learning.gradients.weak.designs import Factors
from amphid.learning.gradients.weak.sampling import Sampling

DESIGNS = [Gaussian(), Rademacher(), LowRank(), LowRank(3)]
SHAPES = {
    "w": torch.Size([5, 7]),
    "b": torch.Size([3]),
    "s": torch.Size([]),
    "c": torch.Size([2, 3, 5]),
}


def flat(design: object, key: int, first: int, stop: int) -> torch.Tensor:
    """Directions [K, P]."""
    found = design(key, first, stop, SHAPES)
    assert list(found) == list(SHAPES)
    rows = [x.dense(SHAPES[n]) if isinstance(x, Factors) else x for n, x in found.items()]
    for name, row in zip(SHAPES, rows, strict=True):
        assert row.shape == (stop - first, *SHAPES[name])
    return torch.cat([row.reshape(len(row), -1) for row in rows], 1)


@pytest.mark.parametrize("design", DESIGNS, ids=repr)
def test_a_direction_does_not_depend_on_which_others_are_asked_for(design: object) -> None:
    whole = flat(design, 11, 0, 97)
    for first, stop in ((0, 1), (0, 13), (41, 42), (64, 97), (96, 97)):
        assert torch.equal(flat(design, 11, first, stop), whole[first:stop])


@pytest.mark.parametrize("design", DESIGNS, ids=repr)
def test_directions_of_other_keys_are_others(design: object) -> None:
    assert not torch.equal(flat(design, 11, 0, 5), flat(design, 12, 0, 5))


@pytest.mark.parametrize("design", DESIGNS, ids=repr)
def test_entries_are_uncorrelated_and_of_unit_variance(design: object) -> None:
    """So that the mean of (direction times what a slope gives along it) is the slope."""
    rows = torch.cat([flat(design, key, 0, 128) for key in range(40)]).double()
    covariance = rows.T @ rows / len(rows)
    size = len(covariance)
    # fourth moments of products of normals: 9 for rank one
    assert (covariance - torch.eye(size)).abs().max() < 6 * 3 / len(rows) ** 0.5
    assert rows.mean().abs() < 5 / rows.numel() ** 0.5


def sampling(count: int = 23) -> Sampling:
    g = torch.Generator().manual_seed(1)
    params = {name: torch.randn(shape, generator=g).double() for name, shape in SHAPES.items()}
    return Sampling(params, list(params), dict.fromkeys(params, 0.5), 0.1, LowRank(2), 7, count)


def test_memory_is_bounded_by_chunks_that_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def loss(p: dict[str, torch.Tensor]) -> torch.Tensor:
        return p["w"].square().sum() + p["c"].sum() * p["b"].sum() * p["s"]

    whole, weights = sampling(), torch.linspace(-1, 1, 23).double()
    losses, combined = whole.losses(loss, (1.0, -1.0)), whole.combined(weights, {})
    monkeypatch.setattr("amphid.learning.gradients.weak.sampling.MEMORY", 20_000)
    parts = sampling()
    assert 3 < len(list(parts.chunks(2))) < 23
    torch.testing.assert_close(parts.losses(loss, (1.0, -1.0)), losses)
    torch.testing.assert_close(parts.combined(weights, {}), combined)


def test_low_rank_is_refused_where_there_is_none() -> None:
    with pytest.raises(ValueError, match="rank must be at least 1"):
        LowRank(0)
