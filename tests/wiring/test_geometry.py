"""Laws of cells in space: who is near, how long paths are, and how long signals take."""

import math
import os
from pathlib import Path

import numpy as np
import pytest
import torch

from amphid.wiring import (
    celegans,
    conducted,
    convoluted_lengths,
    geometric,
    read_skeleton,
    straight_lengths,
)

CELLS = 101


def seeded(seed: int = 1) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def spots(axes: int = 2) -> torch.Tensor:
    return 100 * torch.rand(CELLS, axes, generator=seeded(), dtype=torch.float64)


def ends(connectome) -> set[tuple[int, int]]:
    wires = connectome.connections
    return set(zip(wires.pre.tolist(), wires.post.tolist(), strict=True))


@pytest.mark.parametrize("axes", [2, 3])
def test_within_a_radius_are_all_pairs_that_are_no_farther_apart(axes):
    distance = torch.cdist(spots(axes), spots(axes))
    near = ((distance <= 19.0) & ~torch.eye(CELLS, dtype=torch.bool)).nonzero().tolist()
    assert ends(geometric(spots(axes), radius=19.0)) == set(map(tuple, near))


@pytest.mark.parametrize("neighbors", [0, 1, 7, CELLS - 1])
def test_each_cell_projects_to_its_nearest_neighbors(neighbors):
    distance = torch.cdist(spots(), spots()).fill_diagonal_(math.inf)
    nearest = distance.topk(neighbors, largest=False).indices
    expected = {(pre, post) for pre, row in enumerate(nearest.tolist()) for post in row}
    made = geometric(spots(), neighbors=neighbors)
    assert ends(made) == expected
    assert len(made.connections) == CELLS * neighbors


def test_cells_in_one_place_do_not_project_to_themselves():
    made = geometric(torch.zeros(CELLS, 2), neighbors=7)
    wires = made.connections
    assert (np.bincount(wires.pre) == 7).all()
    assert (wires.pre != wires.post).all()


def test_shares_of_connections_inhibit_and_lead_far():
    near = geometric(spots(), neighbors=31)
    made = geometric(spots(), neighbors=31, inhibitory=0.3, far=0.2, generator=seeded())
    size = len(near.connections)
    inhibiting = int((made.connections.sign == -1).sum())
    moved = int((made.connections.post != near.connections.post).sum())
    for count, share in ((inhibiting, 0.3), (moved, 0.2 * (1 - 1 / (CELLS - 1)))):
        assert abs(count - share * size) < 5 * math.sqrt(size * share * (1 - share))
    assert (made.connections.pre != made.connections.post).all()
    assert made == geometric(spots(), neighbors=31, inhibitory=0.3, far=0.2, generator=seeded())


def test_paths_are_never_shorter_than_straight_ones_and_longer_by_their_excess_on_average():
    made = geometric(spots(3), neighbors=71)
    ratio = convoluted_lengths(made, excess=0.4, generator=seeded()) / straight_lengths(made)
    assert ratio.min() >= 1
    assert ratio.mean().item() == pytest.approx(1.4, abs=5 * 0.4 / math.sqrt(len(ratio)))


def test_delays_are_length_over_speed_and_what_synapses_take():
    made = geometric(spots(3), neighbors=3)
    straight = straight_lengths(made)
    wires = made.connections
    apart = torch.cdist(spots(3), spots(3))[wires.pre.tolist(), wires.post.tolist()]
    torch.testing.assert_close(straight, apart, rtol=1e-6, atol=0.0)
    speed = torch.linspace(1, 5, len(wires))
    delay = conducted(made, speed=speed, lengths=2 * straight, synaptic=0.5).connections.delay
    np.testing.assert_allclose(delay, 0.5 + 2 * straight / speed, rtol=1e-6)


def test_gap_junctions_have_no_delay():
    worm = celegans().without("muscle")
    wires = conducted(worm, speed=100.0, synaptic=0.5).connections
    np.testing.assert_array_equal(np.isnan(wires.delay), wires.electrical)
    assert wires.delay[wires.chemical].min() == 0.5  # of a cell onto itself


def test_geometry_says_what_is_wrong():
    with pytest.raises(ValueError, match="a radius or a number of neighbors, and not both"):
        geometric(spots())
    with pytest.raises(ValueError, match="neighbors must be below 101 cells"):
        geometric(spots(), neighbors=CELLS)
    with pytest.raises(ValueError, match=r"shape \[N, 2\] or \[N, 3\]"):
        geometric(torch.zeros(3, 5), radius=1.0)
    with pytest.raises(TypeError, match=r"generator must be a torch\.Generator"):
        geometric(spots(), radius=1.0, far=0.1)
    made = geometric(spots(), neighbors=3)
    with pytest.raises(ValueError, match="speed must be positive and finite"):
        conducted(made, speed=0.0)
    with pytest.raises(ValueError, match="one for each of 303 connections"):
        conducted(made, speed=1.0, lengths=torch.ones(7))


# --- skeletons

FORK = """# a stem of 10 that divides into arms of 5 and 12
5 1 0 0 0 3 -1
6 0 0 10 0 1 5
7 0 3 14 0 1 6
2 0 0 22 0 1 6
9 0 50 50 50 1 -1
"""


def written(folder: Path, text: str, name: str = "cell.swc") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def test_paths_run_along_the_branches_and_not_between_trees(tmp_path):
    sites = written(tmp_path, "node_id,type\n7,pre\n2,pre\n6,post\n", "sites.csv")
    cell = read_skeleton(written(tmp_path, FORK), unit=0.5, synapses=sites)
    assert cell.number.tolist() == [5, 6, 7, 2, 9]
    assert cell.soma == 0
    torch.testing.assert_close(
        cell.path_lengths(), torch.tensor([0, 5, 7.5, 11, math.nan]).double(), equal_nan=True
    )
    assert cell.path_lengths(2).tolist()[:4] == [7.5, 2.5, 0.0, 8.5]
    assert cell.cable == 13.5
    assert cell.branch_points.tolist() == [1]
    assert cell.tips.tolist() == [0, 2, 3]
    assert {kind: at.tolist() for kind, at in cell.synapses.items()} == {"pre": [2, 3], "post": [1]}


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("1 0 0 0 0 1\n", "line 1: a point of an SWC file is seven numbers"),
        ("1 0 0 0 x 1 -1\n", "line 1: a point of an SWC file is seven numbers"),
        ("# nothing\n", "has no points"),
        ("1 0 0 0 0 1 7\n", "point 7 is a parent but is not in the file"),
        ("1 0 0 0 0 1 -1\n1 0 0 0 0 1 1\n", "the same number for several points"),
        ("1 0 0 0 0 1 2\n2 0 0 0 0 1 1\n3 0 0 0 0 1 -1\n", "one is an ancestor of itself"),
    ],
)
def test_a_file_that_is_no_skeleton_is_refused(tmp_path, text, sentence):
    with pytest.raises(ValueError, match=sentence):
        read_skeleton(written(tmp_path, text))


FOLDER = Path(os.environ.get("AMPHID_DATA", "no data")) / "skeletons_swc"


@pytest.mark.skipif(not FOLDER.is_dir(), reason="AMPHID_DATA holds no skeletons_swc")
def test_a_real_neuron_has_its_synapses_within_its_cable():
    path = FOLDER / "1734350908.swc"
    cell = read_skeleton(path, unit=0.008, synapses=FOLDER / "1734350908_synapses.csv")
    assert len(cell) == 4847
    assert {kind: len(at) for kind, at in cell.synapses.items()} == {"pre": 725, "post": 2317}
    reached = cell.path_lengths()
    straight = np.linalg.norm(cell.position - cell.position[cell.soma], axis=1)
    assert (reached >= torch.from_numpy(straight) - 1e-9).all()
    assert reached.max() < cell.cable
