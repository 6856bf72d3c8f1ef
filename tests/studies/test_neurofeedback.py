"""Activity in a manifold, what perturbs its decoder, and who learns it from reward."""

from __future__ import annotations

from functools import cache

import pytest
import torch

from amphid.studies import neurofeedback
from amphid.studies.closed_loop import directions
from amphid.studies.manifold import CELLS, FACTORS, PROGRESS, difficulty, reach
from amphid.studies.neurofeedback import (
    Blocks,
    Case,
    case,
    holds,
    joined,
    outcomes,
    ratio_of,
    subjects,
    told,
)
from amphid.studies.reward_learner import (
    Learning,
    Trial,
    attempt,
    bounded,
    explored,
    learned,
    order,
)


def seeded(seed: int = 3) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@cache
def drawn() -> Case:
    return case(7)


def test_the_unperturbed_decoder_sends_every_aim_its_own_way():
    one = drawn()
    target = directions(8, 1.0).T
    moved = one.decoder.steady(one.decoder.readout(), one.circuit.aim @ target)
    cosine = (moved * target).sum(0) / moved.norm(dim=0)
    assert cosine.min() > 0.95


def test_steady_velocity_is_where_the_bins_lead():
    one = drawn()
    readout, change = one.inside, 0.01 * torch.randn(CELLS, 3, generator=seeded())
    velocity = torch.zeros(2, 3)
    for _ in range(300):
        velocity = readout.keep @ velocity + readout.gain @ (
            45.0 * change / readout.spread[:, None]
        )
    torch.testing.assert_close(one.decoder.steady(readout, change), velocity)


def test_both_perturbations_are_as_hard_and_only_one_is_within_reach():
    one = drawn()
    hard = difficulty(one.circuit, one.decoder, [one.decoder.readout(), one.inside, one.outside])
    assert hard.progress[0] == pytest.approx(1.0)
    assert ((hard.progress[1:] >= PROGRESS[0]) & (hard.progress[1:] <= PROGRESS[1])).all()
    assert float(hard.progress[1:].diff().abs()) < 0.02
    assert float(hard.speed[1:].diff().abs()) < 0.05
    ways = one.circuit.population.slope
    inside, outside = (reach(one.decoder, r, ways, 0.1) for r in (one.inside, one.outside))
    assert inside > 2 * outside
    everything = torch.eye(CELLS)
    inside, outside = (reach(one.decoder, r, everything, 0.1) for r in (one.inside, one.outside))
    assert outside > 0.6 * inside


def test_permutations_keep_what_is_permuted():
    one = drawn()
    cells = torch.randperm(CELLS, generator=seeded())
    changed = one.decoder.readout(outside=cells)
    plain = one.decoder.readout()
    torch.testing.assert_close(changed.gain, plain.gain[:, cells])
    factors = torch.arange(FACTORS).flip(0)
    twice = one.decoder.readout(inside=factors)
    torch.testing.assert_close(twice.gain, one.decoder.steer.flip(1) @ one.decoder.find)


def test_what_is_explored_stays_within_the_ways_and_has_length_one():
    ways = torch.randn(5, CELLS, FACTORS, generator=seeded())
    tried = explored(ways, seeded())
    torch.testing.assert_close(tried.norm(dim=(1, 2)), torch.ones(5))
    basis = torch.linalg.qr(ways).Q
    torch.testing.assert_close(basis @ (basis.mT @ tried), tried)


def test_modulations_never_get_stronger_than_they_were():
    aim = torch.randn(3, CELLS, 2, generator=seeded())
    strength = aim.norm(dim=(1, 2), keepdim=True)
    torch.testing.assert_close(bounded(3 * aim, strength), aim)
    torch.testing.assert_close(bounded(0.5 * aim, strength), 0.5 * aim)


def test_targets_come_in_turns():
    drawn_targets = order(19, seeded())
    assert len(drawn_targets) == 19
    assert sorted(drawn_targets[:8]) == sorted(drawn_targets[8:16]) == list(range(8))


def test_subjects_side_by_side_are_apart():
    """What the second subject does changes nothing for the first, given the same draws."""
    one = drawn()
    pair = subjects([one, one], [one.decoder.readout(), one.inside], free=False)
    other = subjects([one, one], [one.decoder.readout(), one.outside], free=False)
    first, second = attempt(pair, 3, seeded()), attempt(other, 3, seeded())
    assert first.time[0] == second.time[0]
    assert first.speed[1] != second.speed[1]


def test_reward_alone_teaches_subjects_the_inside_perturbation():
    one = drawn()
    group = subjects([one] * 7, [one.inside] * 7, free=False)
    _, went = learned(group, Learning(trials=72), torch.full((7,), 0.06), seeded())
    early, late = (torch.stack([t.speed for t in some]).mean() for some in (went[:24], went[-24:]))
    assert late > early + 0.003


def test_every_kind_of_subject_meets_either_perturbation(monkeypatch):
    monkeypatch.setattr(neurofeedback, "BLOCK", 3)
    one = drawn()
    found = outcomes([one, one], Learning(trials=2), seeded())
    assert set(found) == {"inside", "outside", "free, inside", "free, outside"}
    for blocks in found.values():
        assert blocks.before.speed.shape == blocks.after.time.shape == (2,)


def test_learning_leaves_the_manifold_only_if_it_may():
    one = drawn()
    both = joined([subjects([one], [one.outside], free=free) for free in (False, True)])
    after, went = learned(both, Learning(trials=19), torch.full((2,), 0.06), seeded())
    assert len(went) == 19
    basis = torch.linalg.qr(one.circuit.population.slope).Q
    beyond = (after.aim - basis @ (basis.T @ after.aim)).norm(dim=(1, 2))
    assert beyond[0] < 1e-6
    assert beyond[1] > 1e-4


def made(before: list[float], after: list[float]) -> Blocks:
    zero = torch.zeros(len(before))
    rows = (torch.ones(len(before)), torch.tensor(before), torch.tensor(after))
    return Blocks(*(Trial(speed, 1 - speed, zero) for speed in rows))


def test_the_amount_is_the_share_of_the_way_back():
    assert made([0.2, 0.5], [0.6, 1.0]).amount() == pytest.approx([0.5, 1.0])
    assert made([0.2], [0.6]).amount("time") == pytest.approx([0.5])


def test_the_claim_needs_surely_more_than_twice():
    much, some = made([0.0] * 4, [0.9, 1.0, 1.1, 1.0]), made([0.0] * 4, [0.2, 0.3, 0.2, 0.3])
    assert holds(told(much, some, 0))
    assert not holds(told(some, some, 0))
    assert not holds(told(much, made([0.0] * 4, [0.5, 0.45, 0.55, 0.5]), 0))


def test_a_ratio_and_its_interval():
    ratio, low, high = ratio_of([0.9, 1.0, 1.1, 1.0], [0.5, 0.5, 0.5, 0.5], 0)
    assert ratio == 2.0
    assert low < 2.0 < high
    assert ratio_of([1.0, 1.0], [-0.5, 0.1], 0)[0] is None
