"""Laws of the connectome as a graph, each against a computation of another kind."""

import csv
import itertools
import os
from pathlib import Path

import networkx
import numpy as np
import pytest
import torch

from amphid.wiring import KINDS, Cells, Connections, Connectome, builders
from amphid.wiring.graph import (
    components,
    degrees,
    graph,
    hubs,
    motifs,
    path_lengths,
    reciprocity,
    rich_club,
    shortest_path,
)


def some_wiring(cells=13, connections=31, seed=8) -> Connectome:
    """Both kinds, with parallel connections and some of a cell to itself."""
    draw = np.random.default_rng(seed)
    return Connectome(
        Cells(
            [f"n{number}" for number in range(cells)],
            kind=["sensory"] * 2 + ["motor"] * (cells - 2),
            position=np.where(np.arange(cells)[:, None] < 3, np.nan, draw.normal(size=(cells, 3))),
        ),
        Connections(
            draw.integers(cells, size=connections),
            draw.integers(cells, size=connections),
            kind=draw.choice(KINDS, connections),
            synapses=draw.integers(1, 20, connections),
            sign=draw.integers(-1, 2, connections),
            delay=np.where(draw.random(connections) < 0.5, np.nan, 1.5),
        ),
        name="some wiring",
    )


@pytest.fixture(scope="module")
def worm() -> Connectome:
    """Chemical weights of a browser simulation of C. elegans, muscles included."""
    table = Path(os.environ.get("AMPHID_DATA", "none")) / "worm_web_sim" / "weights.csv"
    if not table.exists():
        pytest.skip("needs AMPHID_DATA with worm_web_sim/weights.csv")
    with table.open(newline="") as lines:
        rows = list(csv.DictReader(lines))
    names = sorted({row["pre"] for row in rows} | {row["post"] for row in rows})
    place = {name: number for number, name in enumerate(names)}
    wires = Connections(
        [place[row["pre"]] for row in rows],
        [place[row["post"]] for row in rows],
        synapses=[abs(float(row["weight"])) for row in rows],
    )
    return Connectome(Cells(names), wires)


def adjacency(connectome: Connectome, kind=None) -> np.ndarray:
    both = [connectome.matrix(each) > 0 for each in ((kind,) if kind else KINDS)]
    return np.logical_or.reduce(both)


def hops_by_matrix_powers(connectome: Connectome, kind=None) -> np.ndarray:
    """[N, N]: the first power of the matrix in which an entry is not zero."""
    step = adjacency(connectome, kind).astype(np.float32)
    reached = np.eye(len(step), dtype=bool)
    hops = np.where(reached, 0.0, np.inf)
    for count in range(1, len(step) + 1):
        further = (reached @ step > 0) & ~(hops < np.inf)
        if not further.any():
            break
        hops[further] = count
        reached = reached | further
    return hops


# --- networkx


@pytest.mark.parametrize("kind", KINDS)
def test_the_graph_has_the_matrix_of_the_connectome(kind):
    wired = some_wiring()
    made = networkx.to_numpy_array(graph(wired, kind), nodelist=wired.cells.name, weight="synapses")
    np.testing.assert_array_equal(made, wired.matrix(kind))


def test_the_graph_of_both_kinds_is_that_of_one_and_the_other():
    wired = some_wiring()
    whole, *parts = [set(graph(wired, kind).edges(keys=True)) for kind in (None, *KINDS)]
    assert whole == parts[0] | parts[1]
    assert not parts[0] & parts[1]
    assert len(whole) > len(wired.connections)


def test_nodes_and_edges_know_what_the_connectome_knows():
    wired = some_wiring()
    made = graph(wired)
    assert made.name == "some wiring"
    assert list(made) == wired.cells.name.tolist()
    assert [made.nodes[name]["kind"] for name in made] == wired.cells.kind.tolist()
    assert "position" not in made.nodes["n2"]
    assert made.nodes["n3"]["position"] == tuple(wired.cells.position[3])
    wires = wired.connections
    for pre, post, number, known in made.edges(keys=True, data=True):
        there = {wired.index(pre), wired.index(post)}
        assert there == {wires.pre[number], wires.post[number]}
        assert known["kind"] == KINDS[wires.kind[number]]
        assert (known["synapses"], known["sign"]) == (wires.synapses[number], wires.sign[number])
        assert known.get("delay") == (None if np.isnan(wires.delay[number]) else 1.5)
        assert made.has_edge(post, pre, number) or known["kind"] == "chemical"


# --- degrees, hubs, reciprocity


@pytest.mark.parametrize("kind", KINDS)
def test_degrees_are_the_sums_over_rows_and_columns(kind):
    wired = some_wiring()
    single = wired.with_connections(synapses=1.0)
    found = degrees(wired, kind)
    np.testing.assert_array_equal(found.ins, single.matrix(kind).sum(0))
    np.testing.assert_array_equal(found.outs, single.matrix(kind).sum(1))
    np.testing.assert_array_equal(found.in_synapses, wired.matrix(kind).sum(0))
    np.testing.assert_array_equal(found.out_synapses, wired.matrix(kind).sum(1))


def test_degrees_of_both_kinds_are_those_of_one_and_the_other():
    wired = some_wiring()
    for both, one, other in zip(*(degrees(wired, kind) for kind in (None, *KINDS)), strict=True):
        np.testing.assert_array_equal(both, one + other)


def test_every_connection_leaves_once_and_arrives_once():
    net = builders.random(101, probability=0.1, generator=torch.Generator().manual_seed(2))
    found = degrees(net)
    assert found.ins.sum() == found.outs.sum() == len(net.connections)
    assert not degrees(net, "electrical").ins.any()


def test_hubs_have_the_most_connections_and_come_in_order():
    wired = some_wiring()
    wires = wired.connections
    total = {
        name: int((wires.pre == cell).sum() + (wires.post == cell).sum())
        - int((wires.electrical & (wires.pre == cell) & (wires.post == cell)).sum())
        for cell, name in enumerate(wired.cells.name)
    }
    assert list(hubs(wired, 13).items()) == sorted(total.items(), key=lambda item: -item[1])
    assert list(hubs(wired, 3)) == list(hubs(wired, 13))[:3]
    assert hubs(wired, 0) == {}


@pytest.mark.parametrize("kind", [*KINDS, None])
def test_reciprocity_is_the_share_of_pairs_connected_back(kind):
    there = adjacency(some_wiring(), kind) & ~np.eye(13, dtype=bool)
    assert reciprocity(some_wiring(), kind) == (there & there.T).sum() / there.sum()


def test_reciprocity_of_no_connections_is_not_a_number():
    assert np.isnan(reciprocity(Connectome(Cells(["a"]), Connections([0], [0]))))


# --- paths and parts


@pytest.mark.parametrize("kind", [*KINDS, None])
def test_path_lengths_are_the_powers_of_the_matrix_that_reach(kind):
    wired = some_wiring()
    expected = hops_by_matrix_powers(wired, kind)
    for cell in range(13):
        np.testing.assert_array_equal(path_lengths(wired, cell, kind=kind), expected[cell])
    assert np.isinf(expected).any()


def test_path_lengths_from_many_are_those_from_the_nearest():
    wired = some_wiring()
    from_each = [path_lengths(wired, name) for name in ("n5", "n0", "n1")]
    np.testing.assert_array_equal(path_lengths(wired, "n5", "sensory"), np.min(from_each, axis=0))


@pytest.mark.parametrize("kind", [*KINDS, None])
def test_a_shortest_path_follows_connections_and_has_the_shortest_length(kind):
    wired = some_wiring()
    step, hops = adjacency(wired, kind), hops_by_matrix_powers(wired, kind)
    for source, target in itertools.product(range(13), repeat=2):
        if np.isfinite(hops[source, target]):
            path = shortest_path(wired, f"n{source}", f"n{target}", kind)
            cells = wired.select(*path)
            assert (path[0], path[-1]) == (f"n{source}", f"n{target}")
            assert len(path) == hops[source, target] + 1
            assert step[cells[:-1], cells[1:]].all()


def test_no_path_is_a_sentence():
    chain = Connectome(Cells(["a", "b", "c"]), Connections([0, 1], [1, 2], kind=[0, 1]))
    assert shortest_path(chain, "a", "c") == ["a", "b", "c"]
    assert shortest_path(chain, "c", "b") == ["c", "b"]
    with pytest.raises(ValueError, match=r"No path of chemical or electrical .* from 'c' to 'a'"):
        shortest_path(chain, "c", "a")
    with pytest.raises(ValueError, match="No path of chemical connections leads from 'a' to 'c'"):
        shortest_path(chain, "a", "c", "chemical")


@pytest.mark.parametrize("strong", [False, True])
@pytest.mark.parametrize("kind", [*KINDS, None])
def test_parts_hang_together_and_share_the_cells_out(kind, strong):
    wired = some_wiring(connections=13)
    step = adjacency(wired, kind)
    undirected = Connectome(wired.cells, Connections(*np.nonzero(step | step.T)))
    reach = np.isfinite(
        hops_by_matrix_powers(wired if strong else undirected, kind if strong else None)
    )
    together = reach & reach.T
    expected = {tuple(np.flatnonzero(row)) for row in together}
    found = components(wired, kind, strong=strong)
    assert {tuple(part) for part in found} == expected
    assert sorted(np.concatenate(found)) == list(range(13))
    sizes = [len(part) for part in found]
    assert sizes == sorted(sizes, reverse=True)


def test_a_part_is_a_connectome_of_its_own():
    wired = some_wiring(connections=13)
    for part in components(wired):
        assert len(components(wired.subset(*part))) == 1


# --- motifs and the rich club


MOTIFS = {
    "003": "",
    "012": "ab",
    "102": "ab ba",
    "021D": "ba bc",
    "021U": "ab cb",
    "021C": "ab bc",
    "111D": "ab ba cb",
    "111U": "ab ba bc",
    "030T": "ab cb ac",
    "030C": "ba cb ac",
    "201": "ab ba bc cb",
    "120D": "ba bc ac ca",
    "120U": "ab cb ac ca",
    "120C": "ab bc ac ca",
    "210": "ab bc cb ac ca",
    "300": "ab ba bc cb ac ca",
}  # Davis & Leinhardt 1972, drawn as lists of connections between cells a, b and c


def matrix_of(edges: str) -> np.ndarray:
    there = np.zeros((3, 3), bool)
    for edge in edges.split():
        there["abc".index(edge[0]), "abc".index(edge[1])] = True
    return there


def ways(there: np.ndarray) -> frozenset:
    """What three cells look like in every order: the same for the same motif only."""
    return frozenset(
        there[np.ix_(order, order)].tobytes() for order in itertools.permutations(range(3))
    )


@pytest.mark.parametrize(("name", "edges"), MOTIFS.items(), ids=MOTIFS.keys())
def test_each_motif_is_called_by_its_name(name, edges):
    trio = Connectome(Cells(["a", "b", "c"]), Connections(*np.nonzero(matrix_of(edges))))
    assert {found for found, times in motifs(trio).items() if times} == {name}


@pytest.mark.parametrize("kind", [*KINDS, None])
def test_motifs_are_those_of_all_sets_of_three_one_by_one(kind):
    wired = some_wiring(connections=101)
    there = adjacency(wired, kind) & ~np.eye(13, dtype=bool)
    name_of = {ways(matrix_of(edges)): name for name, edges in MOTIFS.items()}
    expected = dict.fromkeys(MOTIFS, 0)
    for trio in itertools.combinations(range(13), 3):
        expected[name_of[ways(there[np.ix_(trio, trio)])]] += 1
    assert motifs(wired, kind) == expected


def test_the_rich_club_is_the_density_among_cells_with_more_partners():
    wired = some_wiring()
    there = adjacency(wired) & ~np.eye(13, dtype=bool)
    partners = there.sum(0) + there.sum(1)
    found = rich_club(wired)
    assert len(found) == partners.max()
    for limit, density in enumerate(found):
        club = np.flatnonzero(partners > limit)
        pairs = len(club) * (len(club) - 1)
        expected = there[np.ix_(club, club)].sum() / pairs if pairs else np.nan
        np.testing.assert_equal(density, expected)


def test_the_rich_club_of_gap_junctions_is_that_of_an_undirected_graph():
    wired = some_wiring(connections=61)
    plain = networkx.Graph(graph(wired, "electrical"))
    plain.remove_edges_from(list(networkx.selfloop_edges(plain)))
    expected = networkx.rich_club_coefficient(plain, normalized=False)
    found = rich_club(wired, "electrical")
    for limit, density in expected.items():
        assert found[2 * limit] == pytest.approx(density)


# --- nothing and nonsense


def test_a_connectome_without_cells_has_no_hubs_parts_or_motifs():
    nothing = Connectome(Cells([]), Connections())
    assert hubs(nothing) == {}
    assert components(nothing) == []
    assert not any(motifs(nothing).values())
    assert rich_club(nothing).tolist() == []
    assert [column.tolist() for column in degrees(nothing)] == [[]] * 4
    assert len(graph(nothing)) == 0


@pytest.mark.parametrize(
    "ask",
    [graph, degrees, components, reciprocity, motifs, rich_club],
    ids=lambda ask: ask.__name__,
)
@pytest.mark.parametrize("nonsense", ["glial", 0, []])
def test_an_unknown_kind_is_refused(ask, nonsense):
    with pytest.raises(ValueError, match="kind must be one of chemical, electrical, or None"):
        ask(some_wiring(), nonsense)


def test_unknown_cells_are_refused_with_a_hint():
    with pytest.raises(KeyError, match=r"'N1'.*Did you mean 'n1'"):
        shortest_path(some_wiring(), "N1", "n2")
    with pytest.raises(KeyError, match=r"'N2'.*Did you mean 'n2'"):
        shortest_path(some_wiring(), "n1", "N2")
    with pytest.raises(KeyError, match=r"'sensor'.*Did you mean 'sensory'"):
        path_lengths(some_wiring(), "sensor")
    with pytest.raises(ValueError, match="path_lengths needs at least one source"):
        path_lengths(some_wiring())
    with pytest.raises(ValueError, match="kind must be one of"):
        path_lengths(some_wiring(), "n1", kind="glial")
    with pytest.raises(ValueError, match="kind must be one of"):
        shortest_path(some_wiring(), "n1", "n2", "glial")


@pytest.mark.parametrize("count", [-1, 2.5, "all", None])
def test_a_count_of_hubs_is_a_whole_number(count):
    with pytest.raises(ValueError, match="count must be a whole number and not negative"):
        hubs(some_wiring(), count)


# --- the worm


def test_the_command_interneurons_are_hubs_of_the_worm(worm):
    """Towlson et al. 2013, doi 10.1523/JNEUROSCI.3784-12.2013: AVA, AVB, AVD, AVE, PVC and DVA."""
    published = {f"{name}{side}" for name in ("AVA", "AVB", "AVD", "AVE", "PVC") for side in "LR"}
    assert set(hubs(worm, 4)) <= published
    assert len(set(hubs(worm, 13)) & {*published, "DVA"}) >= 9


def test_the_motifs_of_the_worm_agree_with_traces_of_its_matrix(worm):
    there = (worm.matrix() > 0) & ~np.eye(len(worm), dtype=bool)
    mutual, one_way = (there & there.T).astype(float), (there & ~there.T).astype(float)
    missing = 1.0 - np.eye(len(worm)) - mutual - one_way - one_way.T
    found = motifs(worm)
    assert sum(found.values()) == len(worm) * (len(worm) - 1) * (len(worm) - 2) // 6
    assert found["300"] == round(np.trace(mutual @ mutual @ mutual) / 6)
    assert found["030C"] == round(np.trace(one_way @ one_way @ one_way) / 3)
    assert found["030T"] == round(((one_way @ one_way) * one_way).sum())
    assert found["201"] == round(((mutual @ mutual) * missing).sum() / 2)
    assert found["021C"] == round(((one_way @ one_way) * missing).sum())
    assert found["003"] == round(np.trace(missing @ missing @ missing) / 6)


def test_paths_through_the_worm_agree_with_powers_of_its_matrix(worm):
    expected = hops_by_matrix_powers(worm)
    for name in ("PLML", "AVAL", "MDL07"):
        np.testing.assert_array_equal(path_lengths(worm, name), expected[worm.index(name)])
    touch = worm.select("PLML", "PLMR", "ALML")
    np.testing.assert_array_equal(
        path_lengths(worm, "PLML", "PLMR", "ALML"), expected[touch].min(0)
    )
    assert (
        len(shortest_path(worm, "PLML", "AVAL"))
        == expected[worm.index("PLML"), worm.index("AVAL")] + 1
    )


def test_the_worm_is_a_club_and_more_mutual_than_its_degrees_imply(worm):
    loose = builders.shuffled(worm, generator=torch.Generator().manual_seed(3))
    assert reciprocity(worm) > 2 * reciprocity(loose)
    assert rich_club(worm)[50] > 1.1 * rich_club(loose)[50]
    assert motifs(worm)["300"] > 5 * motifs(loose)["300"]
