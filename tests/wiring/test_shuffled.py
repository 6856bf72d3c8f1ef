"""Laws of the null model that keeps how many connections each cell has."""

import math

import numpy as np
import pytest
import torch

from amphid.wiring import Cells, Connections, Connectome, builders
from amphid.wiring.graph import degrees, reciprocity


def seeded(seed=1) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def mixed(seed=4) -> Connectome:
    """Chemical and electrical connections, some of a cell to itself, some parallel."""
    draw = np.random.default_rng(seed)
    ring = np.arange(53)
    return Connectome(
        Cells([f"n{number}" for number in range(53)]),
        Connections(
            [*ring, *ring, 5, 5, *draw.integers(53, size=101)],
            [*np.roll(ring, 1), *np.roll(ring, -1), 5, 6, *draw.integers(53, size=101)],
            kind=[0] * 108 + [1] * 101,
            synapses=draw.integers(1, 20, 209),
            sign=draw.integers(-1, 2, 209),
            delay=draw.random(209),
        ),
    )


@pytest.mark.parametrize("kind", ["chemical", "electrical"])
def test_shuffling_keeps_how_many_connections_each_cell_has(kind):
    before = mixed()
    after = builders.shuffled(before, generator=seeded())
    for one, other in zip(degrees(before, kind)[:2], degrees(after, kind)[:2], strict=True):
        np.testing.assert_array_equal(one, other)
    to_itself = np.diag(before.matrix(kind))
    np.testing.assert_array_equal(np.diag(after.matrix(kind)), to_itself)


def test_shuffling_keeps_synapses_sign_and_delay_with_the_presynaptic_cell():
    before, after = (
        net.connections.take(net.connections.chemical)
        for net in (mixed(), builders.shuffled(mixed(), generator=seeded()))
    )
    for column in ("pre", "synapses", "sign", "delay"):
        np.testing.assert_array_equal(getattr(before, column), getattr(after, column))
    assert (before.post != after.post).mean() > 0.8


@pytest.mark.parametrize("kind", ["chemical", "electrical"])
def test_shuffling_repeats_no_connection_that_was_not_repeated_before(kind):
    def repeated(net):
        wires = net.connections.take(net.connections.kind == (kind == "electrical"))
        pairs = np.unique(np.stack([wires.pre, wires.post]), axis=1)
        return len(wires) - pairs.shape[1]

    assert repeated(builders.shuffled(mixed(), generator=seeded())) <= repeated(mixed())


@pytest.mark.parametrize("kind", ["chemical", "electrical"])
def test_shuffling_leaves_repeated_connections_where_they_are(kind):
    before, after = (
        net.with_connections(synapses=1.0).matrix(kind)
        for net in (mixed(), builders.shuffled(mixed(), generator=seeded()))
    )
    assert (before > 1).any()
    np.testing.assert_array_equal(after[before > 1], before[before > 1])


def test_shuffling_takes_the_order_out_of_a_lattice():
    lattice = builders.small_world(211, neighbors=10)
    loose = builders.shuffled(lattice, generator=seeded())
    assert reciprocity(lattice) == 1
    assert reciprocity(loose) == pytest.approx(10 / 210, abs=5 * math.sqrt(0.05 / 2110))


def test_all_wirings_with_the_same_degrees_are_equally_likely():
    """One connection out of and into each of four cells: nine ways, derangements of four."""
    ring = Connectome(Cells(list("abcd")), Connections([0, 1, 2, 3], [1, 2, 3, 0]))
    draws, times = seeded(), 180
    found: dict[tuple, int] = {}
    for _ in range(times):
        post = tuple(builders.shuffled(ring, swaps=23, generator=draws).connections.post.tolist())
        found[post] = found.get(post, 0) + 1
    assert len(found) == 9
    chi = sum((count - times / 9) ** 2 for count in found.values()) / (times / 9)
    assert chi <= 8 + 5 * math.sqrt(2 * 8)


def test_no_swaps_is_the_same_and_what_cannot_be_swapped_stays():
    assert builders.shuffled(mixed(), swaps=0, generator=seeded()) == mixed()
    full = builders.random(7, probability=1.0, generator=seeded())
    assert builders.shuffled(full, generator=seeded()) == full
    nothing = Connectome(Cells([]), Connections())
    assert builders.shuffled(nothing, generator=seeded()) == nothing
