"""Meters of inbreeding give what is known."""

from __future__ import annotations

import math
import warnings

import pytest
import torch

from amphid.learning import (
    Aging,
    Cloning,
    InbreedingWarning,
    InbreedingWatch,
    Islands,
    Population,
    Recombination,
    Scheme,
)
from amphid.learning.evolution.lineage import effective_parents, founded

S, P = 23, 5


def seeded(seed: int = 1) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def sphere(x: torch.Tensor) -> torch.Tensor:
    return x.square().sum(-1)


def population(scheme: Scheme, start: torch.Tensor | None = None) -> Population:
    start = torch.full((P,), 2.0, dtype=torch.float64) if start is None else start
    return Population(scheme, start, generator=seeded(), watch=None)


def relatives(scheme: Scheme, generations: int, count: int = P) -> list:
    """Meters of a population under no selection at all: every loss is drawn anew."""
    own, draw, found = population(scheme, torch.zeros(count, dtype=torch.float64)), seeded(5), []
    for _ in range(generations):
        own.ask()
        own.tell(torch.randn(scheme.samples, generator=draw, dtype=torch.float64))
        found.append(own.inbreeding)
    return found


def mean(values: list[float]) -> float:
    return sum(values) / len(values)


def test_a_clone_has_one_parent_one_generation_back() -> None:
    for found in relatives(Cloning(S, elitist=False), 11):
        assert (found.parents, found.ancestor) == (1.0, 1.0)


def test_parents_drawn_at_random_have_the_effective_number_of_their_draws() -> None:
    """Mean of sum p^2 over draws of S mothers among k: 1/k + (1 - 1/k)/S."""
    found = relatives(Recombination(S, parents=7, mates=1), 601)
    expected = 1 / 7 + (1 - 1 / 7) / S
    assert mean([1 / one.parents for one in found[1:]]) == pytest.approx(expected, rel=0.02)


@pytest.mark.parametrize("parents", [1, 2, 7])
def test_genes_of_k_parents_alike_meet_k_generations_back(parents: int) -> None:
    """Two genes meet in a generation with probability 1/k, so after k of them on average."""
    descent = torch.full((S, parents), 1 / parents, dtype=torch.float64)
    lineage = founded(parents)
    for _ in range(401):
        lineage.passed(descent, torch.arange(parents))
    assert effective_parents(descent) == pytest.approx(parents)
    assert lineage.ancestor(descent) == pytest.approx(parents)


def test_the_ancestor_of_all_is_that_of_the_two_most_apart() -> None:
    """Followed back by hand, from who was whose parent."""
    own, draw, trees = population(Recombination(11, parents=3, mates=1)), seeded(3), []
    for _ in range(23):
        own.ask()
        parent_of = own._brood.descent.argmax(1)
        losses = torch.rand(11, generator=draw, dtype=torch.float64)
        own.tell(losses)
        trees.append((parent_of, losses.argsort(stable=True)[:3]))
        assert own.inbreeding.ancestor == _generations_back(trees)


def _generations_back(trees: list) -> int:
    alive, back = set(range(11)), 0
    for number in reversed(range(len(trees))):
        places = {int(trees[number][0][child]) for child in alive}
        back += 1
        if len(places) == 1 or not number:
            return back
        alive = {int(trees[number - 1][1][place]) for place in places}
    return back


def test_islands_between_which_nobody_travels_meet_at_the_start_only() -> None:
    apart = Islands((Cloning(5), Cloning(7)), every=1000)
    assert [one.ancestor for one in relatives(apart, 13)] == list(range(1, 14))
    near = Islands((Cloning(5, elitist=False), Cloning(7, elitist=False)), every=1)
    assert max(one.ancestor for one in relatives(near, 53)[5:]) < 40


def test_distance_between_clones_is_that_of_two_normal_draws() -> None:
    """Mean distance of two points with variance s^2 along P axes: 2 s Gamma((P+1)/2)/Gamma(P/2)."""
    found = relatives(Cloning(199, 0.1, elitist=False), 29)
    expected = 2 * 0.1 * math.gamma((P + 1) / 2) / math.gamma(P / 2)
    assert mean([one.distance for one in found]) == pytest.approx(expected, rel=0.01)


def test_the_winners_curse_of_pure_noise_is_the_largest_of_normal_draws() -> None:
    """Expected largest of 23 standard normal draws: 1.929; all of the lead is luck."""
    own, draw, curses, lucks = population(Recombination(S, parents=7)), seeded(7), [], []
    for generation in range(400):
        own.ask()
        own.tell(torch.randn(S, generator=draw, dtype=torch.float64))
        own.retell(torch.randn((), generator=draw, dtype=torch.float64))
        if generation % 20 == 19:
            curses.append(own.inbreeding.curse)
            lucks.append(own.inbreeding.luck)
    assert mean(curses) == pytest.approx(1.929, rel=0.08)
    assert mean(lucks) == pytest.approx(1.0, rel=0.08)


def test_there_is_no_luck_without_noise() -> None:
    own = population(Cloning(S))
    for _ in range(5):
        own.tell(sphere(own.ask()))
        own.retell(sphere(own.winner))
    assert own.inbreeding.curse == pytest.approx(0.0, abs=1e-12)
    assert "0% of the best is luck" in str(own.inbreeding)


def warned(scheme: Scheme, noise: float) -> list[str]:
    draw = seeded(3)
    own = Population(scheme, torch.ones(P), generator=seeded(), watch=InbreedingWatch())
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for _ in range(31):
            x = own.ask()
            own.tell(sphere(x) + noise * torch.randn(len(x), generator=draw))
            own.retell(sphere(own.winner) + noise * torch.randn((), generator=draw))
    assert all(one.category is InbreedingWarning for one in caught)
    return [str(one.message).split(":")[0] for one in caught]


def test_cloning_raises_a_warning_and_so_does_luck_once_each() -> None:
    assert warned(Cloning(S), 0.0) == ["inbreeding"]
    assert sorted(warned(Cloning(S), 3.0)) == ["inbreeding", "winner's curse"]
    assert warned(Aging(S), 0.0) == []
    assert warned(Recombination(S, parents=7), 0.0) == []
