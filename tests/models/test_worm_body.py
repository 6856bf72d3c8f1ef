"""The body in its medium: balance of forces, symmetry, order of convergence, and a crawl."""

import numpy as np
import pytest
import torch

from amphid.models import Mechanics, StretchCircuit, Worm, WormBody
from amphid.wiring import celegans

S = 48
NONE = np.zeros(S)


def activated(first, last, strength=0.4):
    active = np.zeros(S)
    active[first:last] = strength
    return active


def moved(body, dorsal, ventral, duration, dt):
    for _ in range(round(duration / dt)):
        body.step(dorsal, ventral, dt)
    return body.q


def test_a_straight_body_without_muscles_stays():
    body = WormBody()
    before = body.q.copy()
    np.testing.assert_allclose(moved(body, NONE, NONE, 20.0, 2.0), before, atol=1e-9)


def test_the_side_that_contracts_is_the_inner_one():
    body = WormBody()
    moved(body, activated(0, S), NONE, 100.0, 2.0)
    dorsal, ventral = body.ends()
    length = [np.hypot(*np.diff(side, axis=0).T).sum() for side in (dorsal, ventral)]
    assert length[0] < 0.995 * length[1]
    assert body.q[0, 1] > body.q[S // 2, 1]  # the back is up, and nose and tail rise


def test_both_sides_mirror_each_other():
    one = moved(WormBody(), activated(3, 17), NONE, 60.0, 2.0)
    other = moved(WormBody(), NONE, activated(3, 17), 60.0, 2.0)
    np.testing.assert_allclose(other[:, 0], one[:, 0], atol=1e-9)
    np.testing.assert_allclose(other[:, 1], -one[:, 1], atol=1e-9)


def test_where_it_lies_and_looks_changes_nothing_of_the_motion():
    one = WormBody()
    other = WormBody()
    other.q = other.straight(130.0, -70.0, heading=1.1)
    moved(one, activated(3, 17), activated(29, 41), 60.0, 2.0)
    moved(other, activated(3, 17), activated(29, 41), 60.0, 2.0)
    turn = np.exp(1j * (1.1 - np.pi))
    expected = turn * (one.q[:, 0] + 1j * one.q[:, 1]) + 130.0 - 70.0j
    np.testing.assert_allclose(other.q[:, 0] + 1j * other.q[:, 1], expected, atol=1e-8)


def test_with_equal_drags_the_middle_of_all_rods_stays_where_it_is():
    """Inner forces add up to nothing, and the drag of every rod is the same."""
    body = WormBody(Mechanics(drag_along=50_000.0, drag_across=50_000.0))
    q = moved(body, activated(3, 17), activated(29, 41), 100.0, 2.0)
    np.testing.assert_allclose(q[:, :2].mean(0), 0.0, atol=1e-9)
    assert np.ptp(q[:, 1]) > 5.0


def test_steps_converge_at_first_order():
    def bent(dt):
        return moved(WormBody(), activated(3, 17), activated(29, 41), 20.0, dt)

    exact = bent(0.0625)
    steps = np.array([0.5, 1.0, 2.0])
    error = [np.abs(bent(dt) - exact)[:, :2].max() for dt in steps]
    order = np.polyfit(np.log(steps), np.log(error), 1)[0]
    assert 0.8 < order < 1.4


def test_the_wall_holds_the_body_in_the_dish():
    body = WormBody(dish=400.0)
    q = moved(body, NONE, NONE, 400.0, 4.0)
    assert body.depths().max() < 30.0
    assert np.hypot(*q[:, :2].T).max() < 430.0


def test_the_published_circuit_makes_it_crawl_forward():
    """Boyle, Berri & Cohen 2012: undulation at about half a Hz on agar, head first."""
    body = WormBody()
    circuit = StretchCircuit(body)
    active, head, path = np.zeros((2, S)), [], []
    for _ in range(1600):
        active += (circuit.step() - active) * (1 - np.exp(-4 / 100.0))
        body.step(*np.maximum(active, 0.0), 4.0)
        head.append(circuit.on[0, 0])
        path.append(body.q[:, :2].mean(0))
    cycles = (np.diff(head[500:]) > 0).sum()
    assert cycles / 4.4 == pytest.approx(0.45, abs=0.2)  # Hz
    speed = -(path[-1] - path[500])[0] / 4400.0  # the nose looks to negative x
    assert 0.1 < speed < 0.4  # um per ms


@pytest.fixture
def worm():
    return Worm(celegans())


def test_touch_is_felt_by_the_cells_of_its_region(worm):
    names = list(celegans().cells.name)

    def felt(place):
        worm.begin(torch.zeros(397))
        worm.poke(place, 8.0)
        return {names[i] for i in worm.felt().nonzero()[:, 0]}

    assert felt(0.3) == {"ALML", "ALMR", "AVM"}
    assert felt(0.8) == {"PLML", "PLMR"}
    assert {"ASHL", "FLPR"} <= felt(0.01)
    worm.step(torch.zeros(397), 4.0)
    assert worm.felt().any()
    worm.step(torch.zeros(397), 4.0)
    assert not worm.felt().any()


def test_food_is_felt_at_the_nose(worm):
    asi = list(celegans().cells.name).index("ASIL")
    worm.feed(-500.0, 0.0)  # at the nose
    assert worm.felt()[asi] == pytest.approx(worm.senses.food, rel=1e-3)
    worm.feed(-500.0, worm.senses.spread)
    assert worm.felt()[asi] == pytest.approx(worm.senses.food * np.exp(-0.5), rel=1e-3)


def test_muscles_are_moved_by_their_own_cells_alone(worm):
    names = list(map(str, celegans().cells.name))
    worm.begin(torch.zeros(len(names)))
    level = torch.full((len(names),), torch.nan)
    for place, name in enumerate(names):
        if name[:2] in ("MD", "MV"):
            level[place] = 0.01 if name in ("MDL05", "MVR24") else 0.0
    found = worm.muscles(level)
    assert np.isfinite(found).all()
    each = S // 24
    alone = found[1, 23 * each]  # MVL24 does not exist
    assert 0 < alone < 1
    assert found[0, 4 * each] == pytest.approx(alone / 2)
    assert np.count_nonzero(found) == 2 * each


def test_muscles_bend_it_by_how_far_they_are_above_rest(worm):
    names = celegans().cells.name
    rest = torch.linspace(-30.0, -5.0, 397)
    worm.begin(rest)
    assert not worm.muscles(rest - 3.0).any()
    raised = rest.clone()
    raised[[i for i, name in enumerate(names) if name.startswith(("MDL05", "MDR05"))]] += 1.0
    active = worm.muscles(raised)
    assert active[0, 8:10] == pytest.approx(1.0, abs=1e-5)
    assert active.sum() == pytest.approx(2.0, abs=1e-5)
    raised[[i for i, name in enumerate(names) if name.startswith("MD")]] += 1.0
    for _ in range(50):
        worm.step(raised, 2.0)
    assert worm.body.q[0, 1] > worm.body.q[24, 1] + 1.0


def test_a_network_without_these_cells_has_no_body():
    with pytest.raises(KeyError):
        Worm(celegans().without("PLML"))
