"""What steps were traced to is remembered between runs, and never serves others than these."""

from __future__ import annotations

import copy
import gc
import weakref
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import amphid as am
from amphid.dynamics import LIF, Ablated, Arctan, Exponential, Refractory
from amphid.simulation.compiled import traced
from amphid.simulation.compiled.connected import connected
from amphid.simulation.compiled.flat import flat_task
from amphid.simulation.compiled.program import Program
from amphid.simulation.compiled.remembered import LATEST, Unseen, remembered, seen
from amphid.simulation.compiled.tiles import Tiles
from amphid.simulation.simulate import Task
from engine_cases import Cases

DT = 0.5
CASES = Cases(cells=31, edges=61, steps=2, dt=DT)


def task_of(net: am.Network, dt: float = DT, **given: Any) -> Task:
    current = torch.zeros(CASES.steps, len(net.connectome), dtype=net.weight.dtype)
    return flat_task(Task(net, current, None, dt, ("v",), 1, None, None, **given))


def made(net: am.Network, dt: float = DT) -> tuple[str, dict[str, Any]]:
    """The source of the loop of a network, and the values that it reads; nothing is compiled."""
    task = task_of(net, dt)
    with torch.no_grad():
        program = Program(task, connected(task.network, dt), skip=False)
    return program._source, {name: program.arrays[name].rows for name in program.constants}


def made_anew(net: am.Network, dt: float = DT) -> tuple[str, dict[str, Any]]:
    """The same, with nothing remembered."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(traced, "remembered", lambda owner, read, make: make())
        return made(net, dt)


def up_to_date(net: am.Network, dt: float = DT) -> bool:
    (text, values), (again, others) = made(net, dt), made_anew(net, dt)
    assert values.keys() == others.keys()
    return text == again and all(
        own.dtype == others[name].dtype and own.tobytes() == others[name].tobytes()
        for name, own in values.items()
    )


def changes(net: am.Network) -> Iterator[str]:
    """Every number that cells and synapses are made of, changed in place, one after the other."""
    for module in (part for part in net.modules() if part is not net):
        for name, value in list(vars(module).items()):
            if type(value) is float:
                setattr(module, name, value * 0.875 + 0.001)
                yield name
        for name, held in (*module._parameters.items(), *module._buffers.items()):
            if held is not None and held.is_floating_point():
                held.data.mul_(0.875).add_(0.001)
                yield name


def network(name: str) -> am.Network:
    """The network of a cell or a synapse by its name."""
    cells, synapses = CASES.neurons(), CASES.synapses()
    neuron = cells[name][0]() if name in cells else LIF()
    return CASES.network(neuron, synapses[name]() if name in synapses else None)


@pytest.mark.parametrize("name", [*CASES.neurons(), *CASES.synapses()])
def test_no_value_is_served_stale(name: str) -> None:
    net = network(name)
    made(net)
    known = [seen(part) for part in (net.neuron, net.synapses)]
    for told in changes(net):
        now = [seen(part) for part in (net.neuron, net.synapses)]
        assert now != known, told  # then it is traced again
        known = now
    assert up_to_date(net)


@pytest.mark.parametrize("name", [*CASES.neurons(), *CASES.synapses()])
def test_what_has_not_changed_is_not_traced_again(name: str, monkeypatch: Any) -> None:
    net = network(name)
    first = made(net)
    monkeypatch.setattr(Program, "_traced", lambda self: pytest.fail("traced again"))
    again = made(net)
    assert first[0] == again[0]
    assert all(np.array_equal(first[1][key], again[1][key]) for key in first[1])


def single(net: am.Network) -> am.Network:
    return copy.copy(net).float()


def killed(net: am.Network) -> am.Network:
    return net.lesioned("n3", control=False)


def others_killed(net: am.Network) -> am.Network:
    return net.lesioned(["n5", "n7"], control=False)


def side_by_side(net: am.Network) -> am.Network:
    return net.scanned({"tau": [10.0, 20.0, 30.0]})


def of_other_cells(net: am.Network) -> am.Network:
    net.neuron = LIF(tau=12.0, v_threshold=-45.0)
    return net


def negative_zero(net: am.Network) -> am.Network:
    net.neuron.v_rest = -0.0  # type: ignore[assignment]
    return net


def of_other_synapses(net: am.Network) -> am.Network:
    net.synapses["chemical"] = Exponential(tau=2.0, amplitude=9.0)
    return net


@pytest.mark.parametrize(
    "change",
    [single, killed, others_killed, side_by_side, of_other_cells, negative_zero, of_other_synapses],
)
def test_a_network_that_was_changed_is_traced_as_one_that_never_ran(change: Any) -> None:
    net = CASES.network(LIF(v_rest=0.0, v_threshold=10.0))
    made(net)
    again = change(net)
    assert up_to_date(again)
    assert up_to_date(net)


def test_steps_of_another_length_are_traced_for_themselves() -> None:
    net = CASES.network(Refractory(LIF()))
    assert all(up_to_date(net, dt) for dt in (DT, DT / 2, DT))


@pytest.mark.parametrize("joint", [False, True])
def test_trials_side_by_side_and_joint_steps_are_told_apart(joint: bool) -> None:
    net = CASES.network(am.dynamics.Graded())
    made(net)
    texts = []
    for own in (net, copy.deepcopy(net)):
        tiles = Tiles(task_of(own), connected(own, DT), joint=joint, how="")
        texts.append([loop.text for loop in tiles.parts])
    assert texts[0] == texts[1]


LEAK = 20.0


class Leaking(LIF):
    """A cell as a user may write it, which reads what nobody sees."""

    def step(self, state: Any, current: Any, dt: float) -> Any:
        v = state.v + (current - LEAK * state.v) * dt
        return state._replace(v=v), (v > 1e9).to(v.dtype)


def test_cells_of_others_are_traced_every_time(monkeypatch: Any) -> None:
    net = CASES.network(Leaking())
    before = made(net)
    monkeypatch.setitem(globals(), "LEAK", 7.0)
    after = made(net)
    assert any(not np.array_equal(before[1][name], after[1][name]) for name in before[1])


def test_a_step_put_into_one_cell_is_traced_every_time() -> None:
    net = CASES.network(LIF())
    made(net)
    usual = net.neuron.step
    net.neuron.step = lambda state, current, dt: usual(state, 3.0 * current, dt)  # type: ignore
    assert made(net)[0] != made(CASES.network(LIF()))[0]


def test_what_is_remembered_stays_what_it_was_when_a_tensor_is_written_to_later() -> None:
    tau = nn.Parameter(CASES.each(20.0))
    net = CASES.network(LIF(tau=tau))
    before, values = tau.detach().clone(), made(net)[1]
    kept = {name: own.copy() for name, own in values.items()}
    tau.data, old = before.clone(), tau.data
    old.zero_()
    assert all(np.array_equal(own, kept[name]) for name, own in made(net)[1].items())


def test_only_a_few_are_remembered_and_they_go_with_their_connectome() -> None:
    class Owner:
        pass

    owner, asked = Owner(), []
    for number in (*range(LATEST + 2), LATEST + 1, 2, 0):
        remembered(owner, number, lambda number=number: asked.append(number) or Owner())  # type: ignore
    assert asked == [*range(LATEST + 2), 0]
    gone = weakref.ref(remembered(owner, 0, Owner))
    del owner
    gc.collect()
    assert gone() is None


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (0.0, -0.0),
        (1, 1.0),
        (1, True),
        ((1,), [1]),
        (torch.zeros(3), torch.zeros(3, 1)),
        (torch.zeros(2), torch.zeros(1, dtype=torch.float64)),
        (torch.tensor(0.0), torch.tensor(-0.0)),
        (Arctan(2.0), Arctan(3.0)),
        (LIF(), LIF(reset_gradient=True)),
        (Ablated(LIF(), alive=torch.ones(2)), Refractory(LIF())),
        ({"a": 1}, {"b": 1}),
    ],
)
def test_what_differs_is_told_apart(one: Any, other: Any) -> None:
    assert seen(one) == seen(copy.deepcopy(one))
    assert seen(one) != seen(other)


def test_what_cannot_be_seen_into_is_not_remembered() -> None:
    with pytest.raises(Unseen):
        seen(lambda: 0)
    assert [remembered(LIF(), print, lambda n=n: n) for n in (1, 2)] == [1, 2]  # type: ignore[misc]
