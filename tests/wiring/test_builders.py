"""Laws of the connectomes that are made by a rule."""

import math

import networkx
import numpy as np
import pytest
import torch

from amphid.wiring import Connectome, builders, sampling
from amphid.wiring.graph import degrees, path_lengths


def seeded(seed=1) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def ends(connectome: Connectome) -> list[tuple[int, int]]:
    wires = connectome.connections
    return list(zip(wires.pre.tolist(), wires.post.tolist(), strict=True))


def assert_within_five_sigma(count, trials, probability):
    sigma = math.sqrt(trials * probability * (1 - probability))
    assert abs(count - trials * probability) <= 5 * sigma


def assert_equally_likely(counts, trials, probability):
    """Chi-square of independent binomial counts within five of its own standard deviations."""
    variance = trials * probability * (1 - probability)
    chi = ((counts - trials * probability) ** 2).sum() / variance
    assert abs(chi - counts.size) <= 5 * math.sqrt(2 * counts.size)


# --- layers


@pytest.mark.parametrize(("first", "second", "third"), [(3, 5, 2), (4, 6, 2)])
def test_full_layers_connect_every_cell_to_the_whole_next_layer_and_to_nothing_else(
    first, second, third
):
    net = builders.layered(first, second, third)
    expected = np.zeros((len(net), len(net)))
    expected[:first, first:-third] = expected[first:-third, -third:] = 1
    np.testing.assert_array_equal(net.matrix(), expected)


def test_layers_are_found_by_class_kind_and_pattern():
    net = builders.layered(3, 5, 7, 2)
    assert net.cells.name[net.select("L1")].tolist() == [f"L1.{number}" for number in range(5)]
    np.testing.assert_array_equal(net.select("L1.*"), net.select("L1"))
    np.testing.assert_array_equal(net.select("hidden"), net.select("L1", "L2"))
    np.testing.assert_array_equal(net.select("input", "output"), net.select("L0", "L3"))
    deep = builders.layered(*[2] * 13)
    assert len(deep.select("L1.*")) == len(deep.select("L1")) == 2


def test_sparse_layers_are_a_part_of_the_full_ones_of_the_expected_size():
    full, sparse = (
        builders.layered(53, 101, 31),
        builders.layered(53, 101, 31, probability=0.3, generator=seeded()),
    )
    assert set(ends(sparse)) < set(ends(full))
    assert len(set(ends(sparse))) == len(sparse.connections)
    assert_within_five_sigma(len(sparse.connections), len(full.connections), 0.3)


# --- random networks


@pytest.mark.parametrize("probability", [0.0005, 0.03, 0.5, 0.97])
@pytest.mark.parametrize("self_connections", [False, True])
def test_a_random_network_has_the_expected_number_of_connections(probability, self_connections):
    size, draws = 211, seeded(7)
    pairs = size * size if self_connections else size * (size - 1)
    count = sum(
        len(
            builders.random(
                size,
                probability=probability,
                self_connections=self_connections,
                generator=draws,
            ).connections
        )
        for _ in range(5)
    )
    assert_within_five_sigma(count, 5 * pairs, probability)


@pytest.mark.parametrize("self_connections", [False, True])
def test_every_ordered_pair_is_equally_likely(self_connections):
    draws, times = seeded(), 700
    counts = sum(
        builders.random(
            7, probability=0.3, self_connections=self_connections, generator=draws
        ).matrix()
        for _ in range(times)
    )
    wanted = np.ones((7, 7), bool) if self_connections else ~np.eye(7, dtype=bool)
    assert_equally_likely(counts[wanted], times, 0.3)
    assert not counts[~wanted].any()


def test_no_pair_is_connected_twice_and_none_to_itself():
    net = builders.random(101, probability=0.6, generator=seeded())
    assert net.matrix().max() == 1
    assert not net.matrix().diagonal().any()


@pytest.mark.parametrize("self_connections", [False, True])
def test_probability_one_connects_all_and_zero_none(self_connections):
    options = {"self_connections": self_connections, "generator": seeded()}
    all_of_them = np.ones((11, 11)) - (0 if self_connections else np.eye(11))
    np.testing.assert_array_equal(
        builders.random(11, probability=1, **options).matrix(), all_of_them
    )
    assert len(builders.random(11, probability=0, **options).connections) == 0
    assert len(builders.random(11, probability=5e-324, **options).connections) == 0


def test_a_single_cell_has_no_other_to_project_to():
    assert len(builders.random(1, probability=1.0, generator=seeded()).connections) == 0
    assert len(builders.fixed_indegree(1, indegree=0, generator=seeded()).connections) == 0
    assert len(builders.small_world(1, neighbors=0).connections) == 0


@pytest.mark.parametrize("probability", [0.4, 1.0])
def test_drawing_in_many_pieces_keeps_the_laws(probability, monkeypatch):
    monkeypatch.setattr(sampling, "_PIECE", 3)
    net = builders.random(61, probability=probability, generator=seeded())
    assert len(set(ends(net))) == len(net.connections)
    assert ends(net) == sorted(ends(net))
    assert_within_five_sigma(len(net.connections), 61 * 60, probability)
    fixed = builders.fixed_indegree(31, indegree=19, generator=seeded())
    assert set(degrees(fixed).ins) == {19}
    assert set(degrees(builders.small_world(31, neighbors=8)).ins) == {8}


def test_inhibitory_cells_inhibit_and_the_others_excite():
    net = builders.random(101, probability=0.1, inhibitory=0.23, generator=seeded())
    assert (len(net.select("inhibitory")), len(net.select("excitatory"))) == (23, 78)
    np.testing.assert_array_equal(net.select("E*"), net.select("E"))
    np.testing.assert_array_equal(net.select("I*"), np.arange(78, 101))
    expected = np.where(np.isin(net.connections.pre, net.select("I")), -1, 1)
    np.testing.assert_array_equal(net.connections.sign, expected)


def test_a_large_sparse_network_needs_no_table_of_all_pairs():
    """100,003 squared pairs would not fit: the time and memory are those of the connections."""
    net = builders.random(100_003, probability=3e-6, generator=seeded())
    assert_within_five_sigma(len(net.connections), 100_003 * 100_002, 3e-6)


# --- a fixed number of inputs


@pytest.mark.parametrize(("cells", "indegree"), [(53, 0), (53, 7), (53, 31), (53, 41), (53, 5)])
def test_every_cell_hears_exactly_so_many_others_of_each_kind(cells, indegree):
    net = builders.fixed_indegree(cells, indegree=indegree, inhibitory=0.21, generator=seeded())
    matrix = net.matrix()
    assert set(matrix.sum(0)) == {indegree}
    assert set(matrix[net.select("I")].sum(0)) == {round(indegree * 0.21)}
    assert matrix.max(initial=0) <= 1
    assert not matrix.diagonal().any()
    assert (net.matrix(signed=True).sum(0) == indegree - 2 * round(indegree * 0.21)).all()


@pytest.mark.parametrize("indegree", [2, 4])  # few of many, and most of those there are
def test_all_others_of_a_population_are_equally_likely_to_be_heard(indegree):
    draws, times = seeded(3), 600
    counts = sum(
        builders.fixed_indegree(7, indegree=indegree, inhibitory=0.0, generator=draws).matrix()
        for _ in range(times)
    )
    off_diagonal = counts[~np.eye(7, dtype=bool)]
    variance = times * indegree / 6 * (1 - indegree / 6)
    chi = ((off_diagonal - times * indegree / 6) ** 2).sum() / variance
    freedom = 7 * 6  # each column sums to its in-degree: 5 free counts of 6/5 times the variance
    assert abs(chi - freedom) <= 5 * math.sqrt(2 * freedom * 6 / 5)


def test_all_others_can_be_heard_at_most():
    net = builders.fixed_indegree(5, indegree=4, inhibitory=0.0, generator=seeded())
    np.testing.assert_array_equal(net.matrix(), 1 - np.eye(5))
    with pytest.raises(ValueError, match=r"indegree must leave .* 5 asks for 5 .* of 5"):
        builders.fixed_indegree(5, indegree=5, inhibitory=0.0, generator=seeded())


# --- small worlds


@pytest.mark.parametrize(("cells", "neighbors"), [(11, 4), (11, 10), (12, 10), (7, 0), (3, 2)])
def test_zero_rewiring_is_exactly_the_ring_lattice(cells, neighbors):
    place = np.arange(cells)
    apart = np.abs(place[:, None] - place)
    around = np.minimum(apart, cells - apart)
    expected = (around > 0) & (around <= neighbors // 2)
    net = builders.small_world(cells, neighbors=neighbors)
    np.testing.assert_array_equal(net.matrix(), expected)
    assert net == builders.small_world(cells, neighbors=neighbors, generator=seeded())


@pytest.mark.parametrize("rewiring", [0.1, 0.7, 1.0])
@pytest.mark.parametrize(("cells", "neighbors"), [(53, 6), (53, 40), (53, 52)])
def test_rewiring_keeps_all_outdegrees_and_makes_no_double_or_self_connection(
    rewiring, cells, neighbors
):
    matrix = builders.small_world(
        cells, neighbors=neighbors, rewiring=rewiring, generator=seeded()
    ).matrix()
    assert set(matrix.sum(1)) == {neighbors}
    assert matrix.max() == 1
    assert not matrix.diagonal().any()


@pytest.mark.parametrize(("cells", "neighbors"), [(2003, 6), (401, 300)])
@pytest.mark.parametrize("rewiring", [0.05, 0.5])
def test_as_many_connections_leave_the_lattice_as_expected(cells, neighbors, rewiring):
    """Of m rewired ones of a cell, each finds one of the m free places of the lattice by chance."""
    net = builders.small_world(cells, neighbors=neighbors, rewiring=rewiring, generator=seeded())
    lattice = builders.small_world(cells, neighbors=neighbors).matrix()
    gone = (net.matrix() * (1 - lattice)).sum(1)
    chances = [
        math.comb(neighbors, m) * rewiring**m * (1 - rewiring) ** (neighbors - m)
        for m in range(neighbors + 1)
    ]
    expected = sum(
        chance * m * (1 - m / (cells - 1 - neighbors + m)) for m, chance in enumerate(chances)
    )
    assert abs(gone.mean() - expected) <= 5 * gone.std() / math.sqrt(cells)


@pytest.mark.parametrize("neighbors", [2, 6])  # few of many, and most of those there are
def test_full_rewiring_forgets_the_lattice(neighbors):
    draws, times = seeded(2), 100
    counts = sum(
        builders.small_world(9, neighbors=neighbors, rewiring=1.0, generator=draws).matrix()
        for _ in range(times)
    )
    by_distance = np.array(
        [sum(counts[cell, (cell + step) % 9] for cell in range(9)) for step in range(1, 9)]
    )
    assert_equally_likely(by_distance, 9 * times, neighbors / 8)


def test_a_few_rewired_connections_shorten_paths_long_before_clusters_dissolve():
    """Figure 2 of Watts & Strogatz 1998; a lattice clusters by 3 (k - 2) / 4 (k - 1)."""

    def clustering_and_path(rewiring):
        net = builders.small_world(499, neighbors=10, rewiring=rewiring, generator=seeded())
        graph = networkx.DiGraph(ends(net))
        hops = [path_lengths(net, cell).mean() for cell in range(0, 499, 17)]
        return networkx.average_clustering(graph), np.mean(hops)

    lattice, small, loose = (clustering_and_path(rewiring) for rewiring in (0.0, 0.02, 1.0))
    assert lattice[0] == pytest.approx(3 * 8 / (4 * 9))
    assert lattice[1] == pytest.approx(sum(math.ceil(step / 5) for step in range(1, 250)) * 2 / 499)
    assert small[0] > 0.85 * lattice[0]
    assert small[1] < 0.5 * lattice[1]
    assert loose[0] < 0.1 * lattice[0]


# --- wiring by distance


def cloud(cells, width=300.0):
    return np.random.default_rng(11).random((cells, 3)) * width


@pytest.mark.parametrize("probability", [1.0, 0.4])
def test_the_rate_of_connections_falls_with_distance_as_the_law_says(probability):
    place = cloud(601)
    net = builders.distance_dependent(
        place, scale=80.0, probability=probability, generator=seeded()
    )
    distance = np.linalg.norm(place[:, None] - place, axis=2)[~np.eye(601, dtype=bool)]
    there = net.matrix()[~np.eye(601, dtype=bool)]
    chance = probability * np.exp(-distance / 80.0)
    for low in range(0, 400, 25):
        bin_ = (distance >= low) & (distance < low + 25)
        sigma = math.sqrt((chance[bin_] * (1 - chance[bin_])).sum())
        assert abs(there[bin_].sum() - chance[bin_].sum()) <= 5 * sigma


def test_delays_are_distance_over_speed():
    place = cloud(101)
    net = builders.distance_dependent(place, scale=50.0, speed=250.0, generator=seeded())
    wires = net.connections
    distance = np.linalg.norm(place[wires.pre] - place[wires.post], axis=1)
    assert len(wires) > 100
    np.testing.assert_allclose(wires.delay, distance / 250.0, rtol=1e-6)


def test_speed_sets_delays_and_nothing_else():
    place = cloud(53)
    slow = builders.distance_dependent(place, scale=50.0, speed=1.0, generator=seeded())
    none = builders.distance_dependent(place, scale=50.0, generator=seeded())
    assert np.isnan(none.connections.delay).all()
    assert slow.with_connections(delay=np.nan) == none


def test_wiring_by_distance_does_not_depend_on_where_the_origin_is():
    place = np.round(cloud(53))
    here = builders.distance_dependent(place, scale=64.0, generator=seeded())
    there = builders.distance_dependent(
        place + np.array([1024, -512, 2048]), scale=64.0, generator=seeded()
    )
    assert here.connections == there.connections
    np.testing.assert_array_equal(here.cells.position, place)


def test_cells_in_one_place_are_always_connected_and_far_ones_never():
    place = [[0, 0, 0], [0, 0, 0], [1e9, 0, 0]]
    net = builders.distance_dependent(place, scale=1.0, speed=1.0, generator=seeded())
    assert ends(net) == [(0, 1), (1, 0)]
    assert net.connections.delay.tolist() == [0.0, 0.0]


def test_pieces_do_not_change_the_law_of_distance(monkeypatch):
    monkeypatch.setattr(sampling, "_PIECE", 17)
    place = cloud(31)
    net = builders.distance_dependent(place, scale=200.0, probability=0.7, generator=seeded())
    chance = 0.7 * np.exp(-np.linalg.norm(place[:, None] - place, axis=2) / 200.0)
    np.fill_diagonal(chance, 0.0)
    assert net.matrix().max() == 1
    assert not net.matrix().diagonal().any()
    sigma = math.sqrt((chance * (1 - chance)).sum())
    assert abs(len(net.connections) - chance.sum()) <= 5 * sigma


# --- heavy tails


def test_a_heavy_tailed_network_has_the_degrees_and_synapses_it_was_asked_for():
    """Log-normal times Poisson has the variance m + m^2 (e^{s^2} - 1)."""
    cells, mean, spread = 4999, 40.0, 0.7
    net = builders.heavy_tailed(
        cells, outdegree=mean, spread=spread, synapses=6.0, synapse_spread=0.5, generator=seeded()
    )
    wires, expected = net.connections, mean + mean**2 * (math.exp(spread**2) - 1)
    outs = np.bincount(wires.pre, minlength=cells)
    ins = np.bincount(wires.post, minlength=cells)
    assert outs.mean() == pytest.approx(mean, rel=0.01)
    for degree in (outs, ins):
        assert degree.var() == pytest.approx(expected, rel=0.2)
    assert abs(np.corrcoef(outs, ins)[0, 1]) < 0.05
    assert 6.0 < wires.synapses.mean() < 7.0  # rounded up
    assert wires.synapses.min() >= 1
    assert (np.diff(wires.pre) >= 0).all()


def test_cells_of_a_heavy_tailed_network_excite_or_inhibit_all_their_targets():
    net = builders.heavy_tailed(101, outdegree=7.0, inhibitory=0.3, generator=seeded())
    assert (net.cells.kind == "inhibitory").sum() == 30
    expected = np.where(net.cells.kind == "inhibitory", -1, 1)[net.connections.pre]
    np.testing.assert_array_equal(net.connections.sign, expected)
