"""Where cells are drawn."""

import numpy as np
import pytest

from amphid.interfaces.placement import GROUPS, place
from amphid.wiring import Cells
from amphid.wiring.celegans import celegans

WORM = celegans().cells
TURNS = [np.eye(3)[:, list(order)] for order in ([0, 1, 2], [1, 2, 0], [2, 0, 1])]
TURNS += [np.diag(signs).astype(float) for signs in ([-1, -1, 1], [1, -1, -1], [-1, 1, -1])]


def index(name):
    return list(WORM.name).index(name)


def turned(cells, turn):
    columns = {"kind": cells.kind, "cell_class": cells.cell_class}
    return Cells(cells.name, position=cells.position @ turn + [11.0, -7.0, 500.0], **columns)


def test_distances_between_known_cells_are_kept():
    generator = np.random.default_rng(5)
    position = generator.normal(size=(23, 3)) * [3.0, 50.0, 7.0]
    placed = place(Cells([f"c{i}" for i in range(23)], position=position)).point
    apart = np.linalg.norm(position[:, None] - position, axis=-1)
    np.testing.assert_allclose(np.linalg.norm(placed[:, None] - placed, axis=-1), apart)
    assert (np.ptp(placed, axis=0)[:-1] >= np.ptp(placed, axis=0)[1:]).all()


@pytest.mark.parametrize("turn", TURNS, ids=range(6))
def test_a_worm_is_never_mirrored_and_has_its_head_left_and_its_dorsal_side_up(turn):
    placement = place(turned(WORM, turn))
    head, tail = placement.point[index("AVAL")], placement.point[index("PLMR")]
    assert head[0] < 0 < tail[0]
    assert placement.point[index("VD5")][1] < placement.point[index("ALML")][1]
    assert placement.point[index("ALML")][2] > placement.point[index("ALMR")][2]
    assert "the animal's left, head to the left, dorsal side up" in placement.note
    (first, *at_head), (last, *at_tail) = placement.marks
    assert (first, last) == ("head", "tail")
    assert at_head[0] < placement.point[placement.known, 0].min()
    assert at_tail[0] > placement.point[placement.known, 0].max()


def test_muscles_stand_in_rows_above_and_below_and_the_note_says_so():
    placement = place(WORM)
    assert placement.known.sum() == 302
    assert "95 cells without a known position stand in rows" in placement.note
    rows = {name: placement.point[WORM.cell_class == name] for name in ("MDL", "MDR", "MVL", "MVR")}
    assert (np.diff(rows["MDL"][:, 0]) > 0).all()  # from head to tail
    assert (rows["MDL"][:23, 1] > rows["MVL"][:, 1]).all()
    assert rows["MDL"][:, 2].min() > rows["MDR"][:, 2].max()  # left ones nearer


@pytest.mark.parametrize("classes", [0, 1, 3, GROUPS + 1])
def test_cells_without_positions_never_overlap_and_the_note_says_so(classes):
    names = [f"c{i}" for i in range(101)]
    label = [f"k{i % classes}" for i in range(101)] if classes else ""
    placement = place(Cells(names, cell_class=label))
    apart = np.linalg.norm(placement.point[:, None] - placement.point, axis=-1)
    assert (apart + np.eye(101) * 9).min() > 0.8
    assert not placement.known.any()
    assert "Positions are not known" in placement.note
    assert len(placement.marks) == (classes if 1 < classes <= GROUPS else 0)


@pytest.mark.parametrize("position", [[[1.0, 2.0, 3.0]], [[1.0, 2.0, 3.0], [np.nan] * 3]], ids=len)
def test_one_known_cell_is_enough(position):
    cells = Cells([f"c{i}" for i in range(len(position))], position=position)
    placement = place(cells)
    assert np.isfinite(placement.point).all()
    assert "1 cell without" in placement.note or len(cells) == 1


def test_no_cells_are_no_trouble():
    assert place(Cells([])).point.shape == (0, 3)
