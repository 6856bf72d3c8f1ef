"""Laws of the frozen value: what selecting, cutting, wiring up and comparing keep."""

import dataclasses

import numpy as np
import pytest

from amphid.wiring import KINDS, Cells, Connections, Connectome

WORM_LIKE = Cells(
    ["AVAL", "AVAR", "AVBL", "VA1", "VA10", "MDL1", "inter"],
    kind=["inter", "inter", "inter", "motor", "motor", "muscle", ""],
    cell_class=["AVA", "AVA", "AVB", "VA", "VA", "", "motor"],
    transmitter=["acetylcholine"] * 6 + ["GABA"],
    position=np.arange(21.0).reshape(7, 3),
)


def some_wiring(cells=11, connections=101, seed=5) -> Connectome:
    """A connectome with parallel connections, self-connections and both kinds."""
    draw = np.random.default_rng(seed)
    return Connectome(
        Cells(
            [f"n{number}" for number in range(cells)],
            kind=draw.choice(["sensory", "motor", ""], cells).tolist(),
            cell_class=draw.choice(["P", "Q", ""], cells).tolist(),
            transmitter=draw.choice(["GABA", "glutamate", ""], cells).tolist(),
            position=np.where(draw.random((cells, 1)) < 0.3, np.nan, draw.normal(size=(cells, 3))),
        ),
        Connections(
            draw.integers(cells, size=connections),
            draw.integers(cells, size=connections),
            kind=draw.choice(KINDS, connections),
            synapses=draw.integers(1, 20, connections),
            sign=draw.integers(-1, 2, connections),
            delay=np.where(draw.random(connections) < 0.5, np.nan, draw.random(connections)),
        ),
        name="some wiring",
        references=("nobody 1999",),
    )


def rows(connectome: Connectome) -> list[tuple]:
    """The connections by the names of their cells, in an order of their own."""
    names, wires = connectome.cells.name, connectome.connections
    return sorted(
        (*(sorted(ends) if wires.kind[row] else ends), *values)
        for row in range(len(wires))
        for ends in [(names[wires.pre[row]], names[wires.post[row]])]
        for values in [
            (
                int(wires.kind[row]),
                float(wires.synapses[row]),
                int(wires.sign[row]),
                str(wires.delay[row]),
            )
        ]
    )


# --- selecting


@pytest.mark.parametrize(
    ("asked", "names"),
    [
        (("AVAR",), ["AVAR"]),
        (("AVA",), ["AVAL", "AVAR"]),
        (("muscle",), ["MDL1"]),
        (("AV*L",), ["AVAL", "AVBL"]),
        (("VA?",), ["VA1"]),
        (("VA*",), ["VA1", "VA10"]),
        (("AV[AB]L",), ["AVAL", "AVBL"]),
        ((4, np.int32(0)), ["VA10", "AVAL"]),
        (("VA10", "AVA", "AVBL"), ["VA10", "AVAL", "AVAR", "AVBL"]),
        (("AVAR", "AVA", 1, "*"), ["AVAR", "AVAL", "AVBL", "VA1", "VA10", "MDL1", "inter"]),
        ((), []),
    ],
)
def test_select_finds_by_name_class_kind_and_pattern_in_the_order_asked_for(asked, names):
    found = Connectome(WORM_LIKE, Connections()).select(*asked)
    assert found.dtype == np.int64
    assert WORM_LIKE.name[found].tolist() == names


def test_a_name_wins_over_a_class_and_a_class_over_a_kind():
    worm = Connectome(WORM_LIKE, Connections())
    assert worm.select("inter").tolist() == [6]  # a name, though three cells are of that kind
    assert worm.select("motor").tolist() == [6]  # a class, though two cells are of that kind


def test_a_pattern_minds_upper_and_lower_case_on_every_platform():
    with pytest.raises(KeyError):
        Connectome(WORM_LIKE, Connections()).select("va*")


@pytest.mark.parametrize(
    ("typo", "hint"), [("AVL", "AVAL"), ("aval", "AVAL"), ("VA11", "VA1"), ("musle", "muscle")]
)
@pytest.mark.parametrize("method", [Connectome.select, Connectome.index])
def test_a_typo_is_answered_with_the_nearest_names(method, typo, hint):
    with pytest.raises(KeyError, match=f"{typo}.*among 7 cells.*Did you mean.*'{hint}'"):
        method(Connectome(WORM_LIKE, Connections()), typo)


def test_what_is_like_nothing_gets_no_hint():
    with pytest.raises(KeyError, match=r"'xyzzy' among 7 cells\.\"$"):
        Connectome(WORM_LIKE, Connections()).select("xyzzy")


@pytest.mark.parametrize("number", [7, -1, 10**12])
def test_a_number_that_no_cell_has_is_a_key_error(number):
    with pytest.raises(KeyError, match=f"No cell number {number}: .* 7 cells"):
        Connectome(WORM_LIKE, Connections()).select(number)


def test_index_is_the_place_of_the_name():
    wired = some_wiring()
    assert [wired.index(name) for name in wired.cells.name] == list(range(len(wired)))


# --- cutting


@pytest.mark.parametrize("lesion", [(), ("n3",), ("sensory",), ("P", 7), ("n1*",), ("*",)])
def test_subset_and_without_share_the_cells_out_and_lose_only_what_runs_between(lesion):
    whole = some_wiring()
    kept, gone = whole.without(*lesion), whole.subset(*lesion)
    assert not set(kept.cells.name) & set(gone.cells.name)
    assert set(kept.cells.name) | set(gone.cells.name) == set(whole.cells.name)
    within = set(gone.cells.name)
    apart = [row for row in rows(whole) if (row[0] in within) != (row[1] in within)]
    assert sorted(rows(kept) + rows(gone) + apart) == rows(whole)


def test_without_keeps_the_order_of_the_cells():
    names = some_wiring().without("n5", "n0").cells.name.tolist()
    assert names == [f"n{number}" for number in (1, 2, 3, 4, 6, 7, 8, 9, 10)]


def test_without_nothing_is_the_same():
    assert some_wiring().without() == some_wiring()


def test_a_subset_in_another_order_and_back_is_the_same():
    whole = some_wiring()
    mixed = whole.subset(*np.random.default_rng(3).permutation(len(whole)))
    assert mixed != whole
    assert mixed.subset(*whole.cells.name) == whole


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("signed", [False, True])
def test_a_subset_has_the_matrix_cut_out_of_the_whole(kind, signed):
    whole = some_wiring()
    chosen = [8, 2, 5, 0]
    cut = whole.matrix(kind, signed=signed)[np.ix_(chosen, chosen)]
    np.testing.assert_array_equal(whole.subset(*chosen).matrix(kind, signed=signed), cut)


def test_a_subset_takes_every_column_and_the_name_and_references_along():
    whole = some_wiring()
    part = whole.subset("n7", "n4")
    assert (part.name, part.references) == (whole.name, whole.references)
    for column in dataclasses.fields(Cells):
        expected = getattr(whole.cells, column.name)[[7, 4]]
        np.testing.assert_array_equal(getattr(part.cells, column.name), expected)


# --- the matrix


@pytest.mark.parametrize("signed", [False, True])
def test_the_chemical_matrix_adds_up_the_connections_one_by_one(signed):
    wired = some_wiring()
    expected = np.zeros((11, 11))
    wires = wired.connections
    for row in np.flatnonzero(wires.chemical):
        worth = wires.synapses[row] * (wires.sign[row] if signed else 1)
        expected[wires.pre[row], wires.post[row]] += worth
    np.testing.assert_array_equal(wired.matrix("chemical", signed=signed), expected)


def test_the_electrical_matrix_is_symmetric_and_counts_a_cell_with_itself_once():
    wired = Connectome(
        Cells(list("abc")),
        Connections([2, 0, 1, 0], [0, 2, 1, 1], kind=[1, 1, 1, 0], synapses=[2, 3, 5, 7]),
    )
    expected = [[0, 0, 5], [0, 5, 0], [5, 0, 0]]
    np.testing.assert_array_equal(wired.matrix("electrical"), expected)


def test_an_electrical_connection_is_kept_once_with_the_lower_cell_first():
    wires = Connections([4, 1, 4], [1, 4, 1], kind=["electrical", "electrical", "chemical"])
    assert wires.pre.tolist() == [1, 1, 4]
    assert wires.post.tolist() == [4, 4, 1]
    assert Connections([4], [1], kind=1) == Connections([1], [4], kind=1)
    assert Connections([4], [1], kind=0) != Connections([1], [4], kind=0)


def test_chemical_and_electrical_share_the_connections_out():
    wires = some_wiring().connections
    assert (wires.chemical ^ wires.electrical).all()
    assert len(wires.take(wires.chemical)) + len(wires.take(wires.electrical)) == len(wires)


def test_take_by_mask_and_by_indices_agree():
    wires = some_wiring().connections
    mask = wires.synapses > 10
    assert wires.take(mask) == wires.take(np.flatnonzero(mask))
    assert wires.take(slice(None)) == wires


# --- single values, frozen values, equal values


def test_a_single_value_stands_for_all_and_takes_no_memory():
    wires = Connections(np.arange(101), np.arange(101), synapses=3, sign=-1, delay=1.5)
    for column in ("kind", "synapses", "sign", "delay"):
        assert getattr(wires, column).shape == (101,)
        assert getattr(wires, column).strides == (0,)
    assert Cells(["a", "b"]).position.strides == (0, 0)
    assert wires == Connections(
        range(101),
        range(101),
        kind=[0] * 101,
        synapses=[3] * 101,
        sign=[-1] * 101,
        delay=[1.5] * 101,
    )


def test_a_single_text_stands_for_all_cells():
    assert Cells(list("ab"), kind="motor") == Cells(["a", "b"], kind=["motor", "motor"])


@pytest.mark.parametrize("part", ["cells", "connections"])
def test_columns_cannot_be_written_and_attributes_cannot_be_assigned(part):
    value = getattr(some_wiring(), part)
    for field in dataclasses.fields(value):
        column = getattr(value, field.name)
        with pytest.raises(ValueError, match="read-only"):
            column[0] = column[0]
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(value, field.name, column)


def test_a_connectome_cannot_be_assigned_to():
    wired = some_wiring()
    for field in dataclasses.fields(wired):
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(wired, field.name, None)


def test_the_arrays_given_stay_writable_and_apart():
    pre, position = np.zeros(3, dtype=np.int32), np.zeros((1, 3))
    wires, cells = Connections(pre, [0, 0, 0]), Cells(["a"], position=position)
    pre[:], position[:] = 7, 7.0
    assert wires.pre.tolist() == [0, 0, 0]
    assert cells.position.tolist() == [[0.0, 0.0, 0.0]]


def test_equal_means_the_same_cells_and_connections_in_the_same_order_nan_included():
    wired = some_wiring()
    assert np.isnan(wired.cells.position).any()
    assert np.isnan(wired.connections.delay).any()
    assert wired == some_wiring()
    assert dataclasses.replace(wired, name="other", references=()) == wired
    assert wired != some_wiring(seed=6)
    assert wired != wired.subset(*range(10, -1, -1))
    assert wired != "some wiring"


@pytest.mark.parametrize(
    ("column", "other"),
    [("post", 1), ("kind", 1), ("synapses", 2.0), ("sign", 1), ("delay", 0.0)],
)
def test_connections_differ_when_any_column_does(column, other):
    plain = {"pre": [0], "post": [2]}
    assert Connections(**{**plain, column: [other]}) != Connections(**plain)


@pytest.mark.parametrize("column", ["name", "kind", "cell_class", "transmitter", "position"])
def test_cells_differ_when_any_column_does(column):
    plain = {"name": ["a"]}
    other = [[0.0, np.nan, np.nan]] if column == "position" else ["b"]
    assert Cells(**{**plain, column: other}) != Cells(**plain)


@pytest.mark.parametrize("value", [some_wiring(), some_wiring().cells, some_wiring().connections])
def test_values_that_hold_arrays_are_not_hashable(value):
    with pytest.raises(TypeError, match="unhashable"):
        hash(value)


def test_the_repr_counts_cells_by_kind_and_connections_by_kind():
    worm = Connectome(WORM_LIKE, Connections([0, 1, 2], [1, 2, 3], kind=[0, 1, 1]), name="worm")
    assert repr(worm) == (
        "Connectome('worm': 7 cells (1 cell, 3 inter, 2 motor, 1 muscle), "
        "1 chemical and 2 electrical connections)"
    )


def test_lengths_count_cells_and_connections():
    wired = some_wiring(cells=13, connections=17)
    assert (len(wired), len(wired.cells), len(wired.connections)) == (13, 13, 17)


def test_no_cells_and_no_connections_are_a_connectome():
    nothing = Connectome(Cells([]), Connections())
    assert (len(nothing), nothing.matrix().shape) == (0, (0, 0))
    assert nothing.without() == nothing


# --- the same with something else


def test_with_connections_replaces_those_columns_only():
    old = some_wiring()
    new = old.with_connections(delay=2.5, sign=np.ones(101))
    assert set(new.connections.delay) == {2.5}
    assert set(new.connections.sign) == {1}
    for column in ("pre", "post", "kind", "synapses"):
        np.testing.assert_array_equal(
            getattr(new.connections, column), getattr(old.connections, column)
        )
    assert (new.cells, new.name, new.references) == (old.cells, old.name, old.references)
    assert old == some_wiring()


def test_signed_takes_the_sign_from_the_rule():
    def gaba_inhibits(connectome):
        inhibits = connectome.cells.transmitter == "GABA"
        return np.where(inhibits[connectome.connections.pre], -1, 1)

    wired = some_wiring().signed(gaba_inhibits)
    by_cell = wired.cells.transmitter[wired.connections.pre] == "GABA"
    np.testing.assert_array_equal(wired.connections.sign == -1, by_cell)
    assert set(wired.connections.sign) == {-1, 1}


def test_annotated_fills_in_what_is_unknown_and_nothing_else():
    plain = Connectome(
        Cells(
            ["b", "a", "z"],
            kind=["", "mine", ""],
            transmitter=["GABA", "", ""],
            position=[[np.nan] * 3, [1, 2, 3], [np.nan] * 3],
        ),
        Connections([0], [2]),
    )
    atlas = Connectome(
        Cells(
            list("abc"),
            kind=["ka", "kb", "kc"],
            cell_class=["A", "B", "C"],
            transmitter=["ta", "tb", "tc"],
            position=np.arange(9).reshape(3, 3),
        ),
        Connections(),
    )
    expected = Cells(
        ["b", "a", "z"],
        kind=["kb", "mine", ""],
        cell_class=["B", "A", ""],
        transmitter=["GABA", "ta", ""],
        position=[[3, 4, 5], [1, 2, 3], [np.nan] * 3],
    )
    assert plain.annotated(atlas).cells == expected
    assert plain.annotated(atlas).connections == plain.connections
    assert plain.annotated(plain) == plain


def test_annotation_does_not_depend_on_the_order_of_the_atlas():
    bare = Connectome(Cells(some_wiring().cells.name), Connections())
    atlas = some_wiring()
    shuffled = atlas.subset(*np.random.default_rng(2).permutation(11))
    assert bare.annotated(atlas) == bare.annotated(shuffled)


def test_replacing_a_column_leaves_single_values_single():
    wired = Connectome(Cells(["a", "b"]), Connections([0, 1], [1, 0])).with_connections(delay=1.0)
    assert wired.connections.synapses.strides == (0,)
