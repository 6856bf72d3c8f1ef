"""The threshold-integrator worm against a loop that visits cell after cell."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from amphid.models import ClassicWorm
from amphid.models.classic_worm import ClassicState, ClassicTables

NAMES = ("a", "b", "c", "d", "e", "L1", "R1")


def tables(weights) -> ClassicTables:
    return ClassicTables(
        cells=NAMES,
        weights=weights,
        left=frozenset({"L1"}),
        right=frozenset({"R1"}),
        read=frozenset({"L1", "R1"}),
        silent=("L", "R"),
    )


def visited_one_by_one(weights, this: dict, following: dict) -> tuple[dict, float, float]:
    """One tick as a program writes it that visits the cells in order."""
    following = dict(following)
    for name in NAMES:
        if name[0] not in "LR" and this[name] > 30:
            for (pre, post), weight in weights.items():
                if pre == name:
                    following[post] += weight
            following[name] = 0.0
    left, right = following["L1"], following["R1"]
    return {**following, "L1": 0.0, "R1": 0.0}, left, right


PAIRS = st.tuples(st.sampled_from(NAMES[:5]), st.sampled_from(NAMES))


@settings(max_examples=100, deadline=None)
@given(
    weights=st.dictionaries(PAIRS, st.integers(-40, 60).map(float), max_size=23),
    start=st.lists(st.integers(-50, 90).map(float), min_size=7, max_size=7),
)
def test_a_tick_equals_visiting_cell_after_cell(weights, start):
    worm = ClassicWorm(tables(weights))
    state, charge = ClassicState(torch.tensor(start)), dict(zip(NAMES, start, strict=True))
    for _ in range(3):
        state, tick = worm.tick(state, state)
        charge, left, right = visited_one_by_one(weights, charge, charge)
        assert state.charge.tolist() == list(charge.values())
        assert (tick.left.item(), tick.right.item()) == (left, right)


def test_a_batch_of_weights_equals_its_worms_one_by_one():
    generator = torch.Generator().manual_seed(0)
    weights = torch.randint(-40, 60, (3, 7, 7), generator=generator).float()
    charge = torch.randint(-50, 90, (2, 3, 7), generator=generator).float()
    together, _ = ClassicWorm(tables({}), weights).tick(ClassicState(charge), ClassicState(charge))
    for draw in range(3):
        alone = ClassicWorm(tables({}), weights[draw])
        for start in range(2):
            state = ClassicState(charge[start, draw])
            assert torch.equal(alone.tick(state, state)[0].charge, together.charge[start, draw])


def test_a_name_on_both_lists_counts_left():
    both = ClassicTables(NAMES, {}, frozenset({"L1"}), frozenset(), frozenset({"L1"}), ("L", "R"))
    worm = ClassicWorm(both)
    _, tick = worm.tick(*[ClassicState(torch.arange(7.0))] * 2)
    assert (tick.left.item(), tick.right.item()) == (5.0, 0.0)


def test_without_its_tables_it_says_where_to_get_them(monkeypatch, tmp_path):
    monkeypatch.setenv("AMPHID_DATA", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with pytest.raises(FileNotFoundError, match="amphid connectome fetch worm-web-sim"):
        ClassicTables.load()
