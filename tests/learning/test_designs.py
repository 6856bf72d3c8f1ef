"""Directions are pure functions of a key and a number, of unit variance, and see all entries."""

from __future__ import annotations

import pytest
import torch

import amphid.learning as room
from amphid.learning import Gaussian, Hadamard, LowRank, Orthogonal, Rademacher, Sobol
from amphid.learning.gradients.weak.designs import Factors
from amphid.learning.gradients.weak.guided import Subspace
from amphid.learning.gradients.weak.sampling import Sampling

DESIGNS = [
    Gaussian(),
    Rademacher(),
    LowRank(),
    LowRank(3),
    Orthogonal(),
    Orthogonal(5),
    Hadamard(),
    Sobol(),
]
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


def test_the_list_of_designs_is_complete() -> None:
    known = {
        cls.__name__
        for cls in vars(room).values()
        if isinstance(cls, type)
        and list(getattr(cls.__call__, "__annotations__", {}))
        == ["key", "first", "stop", "shapes", "return"]
    }
    assert {type(design).__name__ for design in DESIGNS} == known


def test_a_subspace_holds_its_share_of_the_variance_wherever_it_is_asked() -> None:
    basis = torch.linalg.qr(torch.randn(69, 2, generator=torch.Generator().manual_seed(1)))[0].T
    design = Subspace(basis, 0.25)
    whole = flat(design, 11, 0, 3000)
    assert torch.equal(flat(design, 11, 41, 42), whole[41:42])
    assert float(whole.square().mean()) == pytest.approx(1, rel=0.05)
    inside = (whole @ basis.T).square().sum(1).mean()
    assert float(inside) == pytest.approx(0.25 * 2 + 0.75 * 69, rel=0.1)


def test_directions_of_a_block_are_at_right_angles() -> None:
    rows = flat(Orthogonal(7), 11, 0, 14).float()
    gram = rows @ rows.T / rows.shape[1]
    torch.testing.assert_close(gram[:7, :7], torch.eye(7), atol=1e-5, rtol=0)
    torch.testing.assert_close(gram[7:, 7:], torch.eye(7), atol=1e-5, rtol=0)
    assert gram[:7, 7:].abs().max() > 0.01


def test_a_whole_hadamard_matrix_parts_all_entries() -> None:
    rows = flat(Hadamard(), 11, 0, 128)
    torch.testing.assert_close(rows.T @ rows / 128, torch.eye(69))
    assert (rows.mean(0) == 0).all()


def test_more_entries_than_sobol_has_are_refused() -> None:
    with pytest.raises(ValueError, match="take Hadamard"):
        Sobol()(1, 0, 1, {"w": torch.Size([30_000])})
