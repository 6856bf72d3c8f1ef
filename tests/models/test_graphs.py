"""Graphs between recorded cells: never by what comes later, in any order of cells."""

import math

import pytest
import torch
from torch import Tensor

from amphid.models import graphs
from amphid.models.graphs import (
    Alike,
    Anatomical,
    Contacts,
    Edges,
    Given,
    Inferred,
    NoEdges,
    Pace,
    Shuffled,
    Together,
    Wired,
    messages,
)
from amphid.models.graphs.alike import correlation_so_far
from amphid.wiring import Cells, Connections, Connectome, celegans

FRAMES, HORIZON, POOL = 211, 3, (0, 3)
NAMES = ("AVAL", "RIML", None, "AVER", "ASHL", "VB2", None)
WIRING = Connectome(
    Cells(["AVAL", "AVER", "RIML", "ASHL", "VB2"]),
    Connections([2, 0, 3], [0, 1, 4], synapses=[5.0, 3.0, 2.0]),
)
ALIKE = Alike(rise=4, power=4.0, neighbors=3, early=61)
INFERRED = Inferred(pace=Pace(early=61))
EDGES: dict[str, Edges] = {
    "none": NoEdges(),
    "alike": ALIKE,
    "inferred": INFERRED,
    "anatomical": Given(Anatomical(WIRING)),
    "contacts": Given(Contacts(WIRING), spans=()),
    "wired": Wired(ALIKE, Contacts(WIRING)),
    "together": Together((INFERRED, Given(Anatomical(WIRING)))),
    "shuffled": Shuffled(ALIKE, lambda _: seeded(5)),
}
LISTENERS = pytest.mark.parametrize("pool", [None, POOL], ids=["cells", "pool"])


def seeded(seed: int = 3) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def normal(*shape: int, seed: int = 3) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=seeded(seed))


def brain(seed: int = 3) -> Tensor:
    """Command cells, RIML and an unnamed one rise together; the others are noise."""
    state = (normal(FRAMES, 1, seed=seed + 100).cumsum(0) % 12 > 9).double()
    signals = normal(FRAMES, 7, seed=seed)
    signals[:, :4] = 0.5 * signals[:, :4] + 2 * state
    return signals


def heard(rule: Edges, signals: Tensor, cells=NAMES, pool=None) -> Tensor:
    return messages(rule.graphs(signals, cells, HORIZON, pool), signals)


def weights(rule: Edges, signals: Tensor, pool=POOL) -> Tensor:
    """Of its first kind of message [S, N, R]."""
    return rule.graphs(signals, NAMES, HORIZON, pool)[0].weights


def test_every_rule_is_in_the_list():
    rules = {one for one in vars(graphs).values() if isinstance(one, type) and one is not Edges}
    assert {type(rule) for rule in EDGES.values()} == {r for r in rules if hasattr(r, "graphs")}


@LISTENERS
@pytest.mark.parametrize("rule", EDGES.values(), ids=EDGES)
def test_messages_depend_on_no_later_frame(rule, pool):
    seen, now = brain(), 131
    told = heard(rule, seen, pool=pool)
    other = torch.cat([seen[: now + 1], normal(FRAMES - now - 1, 7, seed=11)])
    again = heard(rule, other, pool=pool)
    assert told.shape[:2] == (FRAMES, 1 if pool and told.numel() else 7)
    torch.testing.assert_close(told[: now + 1], again[: now + 1])


@LISTENERS
@pytest.mark.parametrize("name", [name for name in EDGES if name != "shuffled"])
def test_the_order_of_cells_does_not_matter(name, pool):
    seen, order = brain(), [3, 0, 6, 1, 5, 2, 4]
    turned = None if pool is None else tuple(order.index(place) for place in pool)
    told = heard(EDGES[name], seen, pool=pool)
    again = heard(EDGES[name], seen[:, order], tuple(NAMES[k] for k in order), turned)
    expected = told[:, order] if pool is None or not told.numel() else told
    torch.testing.assert_close(again, expected)


@LISTENERS
@pytest.mark.parametrize("rule", EDGES.values(), ids=EDGES)
def test_nobody_tells_itself(rule, pool):
    for graph in rule.graphs(brain(), NAMES, HORIZON, pool):
        if pool is not None:
            assert not graph.weights[:, list(pool)].any()
        elif not isinstance(rule, Shuffled):
            assert not graph.weights.diagonal(dim1=1, dim2=2).any()


@LISTENERS
@pytest.mark.parametrize("name", ["alike", "contacts", "wired"])
def test_shares_sum_to_one_or_none_is_there(name, pool):
    sums = weights(EDGES[name], brain(), pool).sum(1)
    assert (weights(EDGES[name], brain(), pool) >= 0).all()
    torch.testing.assert_close(sums, (sums > 0).to(sums))
    assert sums.any()


def test_a_pool_of_one_cell_hears_what_the_cell_does():
    seen = brain()
    for name in ("alike", "inferred", "anatomical", "wired", "together"):
        alone = heard(EDGES[name], seen, pool=(3,))
        torch.testing.assert_close(alone[:, 0], heard(EDGES[name], seen)[:, 3])


def test_a_message_is_weights_times_signals_late_and_slow():
    seen = brain()
    told = heard(Given(lambda cells: torch.ones(1, 7, 7)), seen)
    torch.testing.assert_close(told[..., 0], seen.mean(1, keepdim=True).expand(-1, 7))
    now, slow = told[:, 0].unbind(-1)
    torch.testing.assert_close(slow[1:], slow[:-1] + (now[1:] - slow[:-1]) / 4)


def test_the_correlation_so_far_is_that_of_the_frames_so_far():
    signals, seed = normal(37, 5), normal(37, seed=7)
    found = correlation_so_far(signals, seed, 11)
    for frame in (10, 23, 36):
        both = torch.cat((signals[: frame + 1], seed[: frame + 1, None]), 1)
        torch.testing.assert_close(found[frame], torch.corrcoef(both.T)[:-1, -1])
    assert torch.equal(found[0], found[10])


def test_alike_are_those_that_rise_along_with_or_without_a_name():
    assert weights(ALIKE, brain())[-1, [1, 2]].sum() > 0.99


def test_contacts_go_both_ways_and_wired_edges_go_along_them():
    assert weights(EDGES["contacts"], brain())[0, :, 0].tolist() == [0, 1, 0, 0, 0, 0, 0]
    assert weights(EDGES["wired"], brain())[-1, :, 0].tolist() == [0, 1, 0, 0, 0, 0, 0]


def test_anatomical_edges_are_those_of_the_table():
    chemical, electrical = Anatomical(celegans())(("AVAL", None, "VA8", "AVAR"))
    assert chemical[0, 2] == math.sqrt(7.0)
    assert chemical[2, 0] == 0
    assert electrical[0, 3] == electrical[3, 0]
    assert not chemical[1].any()
    assert not electrical[:, 1].any()


def test_edges_that_are_kept_from_some_frame_on_do_not_learn_from_it():
    seen, now = brain(5), 150
    rule = Inferred(pace=Pace(early=61, until=now))
    changed = torch.cat([seen[:now], 2 * brain(6)[now:]])
    for one, other in zip(*(rule.graphs(x, NAMES, HORIZON) for x in (seen, changed)), strict=True):
        torch.testing.assert_close(one.weights, other.weights)
        assert one.weights[-1].any()


@LISTENERS
def test_shuffled_edges_are_the_same_weights_between_others(pool):
    one, other = (weights(rule, brain(), pool) for rule in (ALIKE, EDGES["shuffled"]))
    assert not torch.equal(one, other)
    axis = 1 if pool else 2
    torch.testing.assert_close(one.sort(axis).values, other.sort(axis).values)
    assert torch.equal(other, weights(EDGES["shuffled"], brain(), pool))


def test_cells_that_no_wiring_knows_hear_nobody():
    names = (None, "nobody", None, "AVER", "ASHL", "VB2", None)
    graph = Given(Contacts(WIRING)).graphs(brain(), names, pool=(1,))[0]
    assert not graph.reached(FRAMES).any()


@pytest.mark.parametrize(
    ("wrong", "error", "said"),
    [
        (lambda: Pace(every=0), ValueError, "every must be at least 1"),
        (lambda: Together(()), ValueError, "at least one rule"),
        (lambda: Together((Inferred,)), TypeError, "edges must be a rule"),
        (lambda: Shuffled(NoEdges(), 3), TypeError, "draws must be a function"),
        (lambda: Wired(None, Contacts(WIRING)), TypeError, "edges must be a rule"),
        (lambda: Alike(neighbors=0), ValueError, "neighbors must be at least 1"),
        (lambda: heard(Given(lambda cells: torch.ones(2, 3)), brain()), ValueError, "must give"),
    ],
)  # fmt: skip
def test_rules_that_cannot_be_are_refused_in_a_sentence(wrong, error, said):
    with pytest.raises(error, match=said):
        wrong()
