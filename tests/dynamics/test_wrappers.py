"""Refractory periods around a neuron, and several neurons side by side."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from amphid.dynamics import (
    ALIF,
    LIF,
    AdEx,
    BinaryThreshold,
    EscapeRate,
    Graded,
    HodgkinHuxley,
    LeakyIntegrator,
    Mixed,
    Neuron,
    Refractory,
)
from amphid.dynamics.neuron import relaxed


@pytest.fixture(autouse=True)
def float64() -> Any:
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def noise(*shape: int, seed: int = 1) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def trajectory(neuron: Neuron[Any], current: Tensor, dt: float, *fields: str) -> list[Tensor]:
    """Output and variables [T, N] under currents [T, N]."""
    state, kept = neuron.init(current[0]), []
    for now in current:
        state, output = neuron.step(state, now, dt)
        kept.append((output, *(neuron.read(state, field) for field in fields)))
    return [torch.stack(values) for values in zip(*kept, strict=True)]


@pytest.mark.parametrize("period", [2.0, 0.7, 5.3])
def test_a_refractory_period_lengthens_each_interval_by_its_steps(period: float) -> None:
    """Silent and held for R - 1 steps, R = period / dt rounded: each interval grows by that."""
    dt, current = 0.5, torch.tensor([[200.0, 431.0, 977.0]]).expand(400, 3)
    plain, held = LIF()(current, dt=dt), Refractory(LIF(), period=period)(current, dt=dt)
    extra = max(round(period / dt) - 1, 0)
    for alone, wrapped in zip(plain.unbind(1), held.unbind(1), strict=True):
        interval = set(alone.nonzero().flatten().diff().tolist())
        assert set(wrapped.nonzero().flatten().diff().tolist()) == {n + extra for n in interval}
        assert wrapped.nonzero()[0] == alone.nonzero()[0]


def test_spikes_are_never_nearer_than_the_period() -> None:
    current = 30000.0 + 30000.0 * noise(499, 5)
    spikes = Refractory(LIF(), period=3.0)(current, dt=0.25)
    nearest = [int(column.nonzero().flatten().diff().min()) for column in spikes.unbind(1)]
    assert nearest == [12] * 5


def test_the_period_of_one_step_changes_nothing() -> None:
    current = 300.0 + 300.0 * noise(211, 3)
    torch.testing.assert_close(
        Refractory(AdEx(), period=0.5)(current, dt=0.5), AdEx()(current, dt=0.5)
    )


def test_each_cell_may_have_a_period_of_its_own() -> None:
    current = torch.full((101, 3), 5000.0)
    spikes = Refractory(LIF(), period=torch.tensor([1.0, 4.0, 7.0]))(current)
    assert [set(x.nonzero().flatten().diff().tolist()) for x in spikes.T] == [{1}, {4}, {7}]


def test_a_held_cell_stays_where_its_reset_left_it() -> None:
    cell = Refractory(LIF(v_reset=-70.0), period=4.0)
    spikes, v, held = trajectory(cell, torch.full((61, 1), 400.0), 1.0, "v", "held")
    after = int(spikes.nonzero()[0, 0])
    assert v[after : after + 4].flatten().tolist() == [-70.0] * 4
    assert held[after : after + 4].flatten().tolist() == [3.0, 2.0, 1.0, 0.0]
    assert v[after + 4] > -70.0


def test_adaptation_goes_on_while_a_cell_is_held() -> None:
    cell = Refractory(ALIF(jump=8.0, tau_adaptation=13.0), period=5.0)
    current = torch.zeros(6, 1)
    current[0] = 1e4
    _, threshold = trajectory(cell, current, 1.0, "threshold")
    expected = -50.0 + 8.0 * torch.exp(-torch.arange(6.0) / 13.0)
    torch.testing.assert_close(threshold.flatten(), expected)


def test_a_strong_current_does_not_adapt_a_held_cell_further() -> None:
    """By step and taken apart: one spike, one jump, however hard the cell is driven."""
    cell, current = Refractory(ALIF(jump=8.0, tau_adaptation=13.0), period=5.0), torch.tensor([1e5])
    expected = -50.0 + 8.0 * math.exp(-4.0 / 13.0)
    whole = apart = cell.init(current)
    for _ in range(5):
        whole, _ = cell.step(whole, current, 1.0)
        apart = cell.gates(apart, 1.0)
        v = relaxed(cell.membrane(apart), apart.v, current, 1.0)
        apart, _ = cell.emit(apart, v, 1.0)
    assert cell.read(whole, "threshold").item() == pytest.approx(expected)
    assert cell.read(apart, "threshold").item() == pytest.approx(expected)


def test_a_held_cell_draws_on_and_does_not_fire() -> None:
    generator = torch.Generator().manual_seed(3)
    inside = EscapeRate(generator=generator, v_rest=-45.0, v_reset=-45.0, rate=5.0)
    spikes = Refractory(inside, period=7.0)(torch.zeros(71, 3))
    assert [set(x.nonzero().flatten().diff().tolist()) for x in spikes.T] == [{7}] * 3


def test_a_cell_without_a_membrane_can_be_refractory() -> None:
    cell = Refractory(BinaryThreshold(), period=3.0)
    assert not cell.solvable
    assert cell(torch.ones(8, 1)).flatten().tolist() == [1, 0, 0, 1, 0, 0, 1, 0]
    with pytest.raises(TypeError, match="BinaryThreshold has no membrane"):
        cell.membrane(cell.init(torch.zeros(1)))


@pytest.mark.parametrize("inside", [LIF(), ALIF(jump=1.0)], ids=lambda x: type(x).__name__)
def test_taken_apart_a_refractory_cell_does_the_same(inside: Any) -> None:
    """Gates, membrane and emit, as a network uses them, against step."""
    cell, current = Refractory(inside, period=3.0), 300.0 + 200.0 * noise(211, 3)
    state, apart = cell.init(current[0]), []
    for now in current:
        state = cell.gates(state, 0.5)
        v = relaxed(cell.membrane(state), state.v, now, 0.5)
        state, spike = cell.emit(state, v, 0.5)
        apart.append(spike)
    assert torch.stack(apart).sum() > 10
    torch.testing.assert_close(torch.stack(apart), cell(current, dt=0.5))


def test_no_gradient_comes_out_of_a_held_step() -> None:
    current = torch.full((5, 1), 5000.0, requires_grad=True)
    spikes = Refractory(LIF(), period=3.0)(current)
    assert spikes.flatten().tolist() == [1, 0, 0, 1, 0]
    (gradient,) = torch.autograd.grad(spikes[2].sum(), current)
    assert not gradient.any()


@pytest.mark.parametrize(
    ("inside", "error", "sentence"),
    [
        (Graded(), ValueError, "must give out spikes, but Graded gives out 'release'"),
        (HodgkinHuxley(), ValueError, "HodgkinHuxley has no reset"),
        ("LIF", TypeError, "must be a Neuron such as LIF"),
    ],
)
def test_what_cannot_be_refractory_says_why(
    inside: Any, error: type[Exception], sentence: str
) -> None:
    with pytest.raises(error, match=sentence):
        Refractory(inside)


WHERE = {"a": [4, 0], "b": torch.tensor([1]), "c": np.array([3, 2])}


def three_kinds() -> dict[str, Neuron[Any]]:
    tau = nn.Parameter(torch.tensor([10.0, 30.0]))
    return {"a": LIF(tau=tau), "b": AdEx(), "c": Refractory(ALIF())}


def test_every_part_does_what_it_would_do_alone() -> None:
    parts, current = three_kinds(), 600.0 + 300.0 * noise(97, 7, 5)
    outputs, v = trajectory(Mixed(parts, where=WHERE), current, 0.5, "v")
    for key, cells in WHERE.items():
        alone, own = trajectory(parts[key], current[..., cells], 0.5, "v")
        torch.testing.assert_close(outputs[..., cells], alone)
        torch.testing.assert_close(v[..., cells], own)
    assert outputs.sum() > 50


def test_the_values_of_a_part_are_in_the_order_of_its_cells() -> None:
    cells = Mixed(
        {"a": LeakyIntegrator(v_rest=torch.tensor([1.0, 2.0, 3.0]))}, where={"a": [2, 0, 1]}
    )
    assert cells.init(torch.zeros(3)).v.tolist() == [2.0, 3.0, 1.0]


def test_values_of_all_parts_are_learned() -> None:
    cells = Mixed(three_kinds(), where=WHERE)
    assert [name for name, _ in cells.named_parameters()] == ["parts.0.tau"]
    cells((600.0 + 300.0 * noise(97, 5)), dt=0.5).sum().backward()
    assert (cells.parts[0].tau.grad.abs() > 0).all()


def test_a_variable_reads_as_zero_where_a_cell_has_none() -> None:
    cells = Mixed(three_kinds(), where=WHERE)
    state = cells.init(torch.zeros(5))
    assert cells.read(state, "threshold").tolist() == [0.0, 0.0, -50.0, -50.0, 0.0]
    assert cells.read(state, "v").tolist() == state.v.tolist()
    assert cells.read(state, "held").tolist() == [0.0] * 5
    with pytest.raises(KeyError, match=r"no variable 'm'.*LIF has.*AdEx has.*ALIF has"):
        cells.read(state, "m")


def test_what_is_given_out_has_a_name_only_where_all_give_the_same() -> None:
    spiking = Mixed({"a": LIF(), "b": AdEx()}, where={"a": [0], "b": [1]})
    both = Mixed({"a": LIF(), "b": Graded()}, where={"a": [0], "b": [1]})
    assert (spiking.output, both.output) == ("spike", "output")
    state = both.init(torch.zeros(2))
    assert both.given(state).tolist() == [0.0, pytest.approx(1 / 11)]
    state, output = both.step(state, torch.tensor([1e5, 1.0]), 1.0)
    assert output[0] == 1.0
    assert 0 < output[1] < 1
    assert torch.equal(both.read(state, "output"), output)


def test_only_graded_parts_ask_for_the_rest_of_the_network() -> None:
    assert Mixed({"a": LIF()}, where={"a": [0, 1]}).midpoint() is None
    both = Mixed({"a": LIF(), "b": Graded()}, where={"a": [0, 2], "b": [1]})
    assert both.midpoint().tolist() == [0.0, pytest.approx(1 / 11), 0.0]
    settled = both.settle(both.init(torch.zeros(3)), torch.tensor([-60.0, -20.0, -61.0]))
    assert settled.v.tolist() == [-60.0, -20.0, -61.0]
    assert both.read(settled, "threshold")[1] == -20.0


def test_a_mixture_is_solvable_where_every_part_is() -> None:
    cells = Mixed(three_kinds(), where=WHERE)
    assert cells.solvable
    membrane = cells.membrane(cells.init(torch.zeros(2, 5)))
    assert membrane.conductance.shape == (2, 5)
    assert membrane.conductance[0].tolist() == pytest.approx([10.0, 30.0, 10.0, 10.0, 10.0])
    assert membrane.capacitance[0].tolist() == pytest.approx([300.0, 281.0, 200.0, 200.0, 100.0])
    assert not Mixed({"a": BinaryThreshold()}, where={"a": [0]}).solvable


def test_taken_apart_a_mixture_does_the_same() -> None:
    parts: dict[str, Neuron[Any]] = {"a": LIF(), "b": Graded(), "c": Refractory(ALIF())}
    cells, current = Mixed(parts, where=WHERE), 300.0 + 200.0 * noise(211, 5)
    state, apart = cells.init(current[0]), []
    for now in current:
        state = cells.gates(state, 0.5)
        state, given = cells.emit(state, relaxed(cells.membrane(state), state.v, now, 0.5), 0.5)
        apart.append(given)
    torch.testing.assert_close(torch.stack(apart), cells(current, dt=0.5))


def selection(names: str) -> Any:
    """Finds cells by their first letter, as a connectome finds them by a pattern."""
    return lambda key: np.flatnonzero([name == key for name in names])


def test_a_mixture_is_bound_by_the_names_of_cells() -> None:
    cells = Mixed({"B": Graded(), "*": LIF(), "A": AdEx()}).bound(selection("ABCBCA"), 6)
    assert repr(cells).splitlines()[1].strip() == "'B': 2 cells, '*': 2 cells, 'A': 2 cells"
    assert cells.init(torch.zeros(6)).v.round().tolist() == [-71, -35, -65, -35, -65, -71]
    assert cells.bound(selection("ABCBCA"), 6) is cells


def test_the_star_may_take_nothing() -> None:
    cells = Mixed({"A": LIF(), "*": HodgkinHuxley()}).bound(selection("AAA"), 3)
    assert cells(torch.full((37, 3), 500.0)).sum() > 0


def test_a_refractory_mixture_is_bound_inside() -> None:
    wrapped = Refractory(Mixed({"A": LIF(), "B": ALIF()}), period=3.0)
    bound = wrapped.bound(selection("ABA"), 3)
    assert bound.period == 3.0
    assert bound(torch.full((37, 3), 500.0)).sum() > 0
    plain = Refractory(LIF())
    assert plain.bound(selection("ABA"), 3) is plain


def test_cells_left_over_or_claimed_twice_are_named() -> None:
    with pytest.raises(ValueError, match=r"no part for cells 1, 3 of 4.* key '\*'"):
        Mixed({"A": LIF()}).bound(selection("ABAB"), 4)
    with pytest.raises(ValueError, match="cell 2 stands in 'A' and in 'AA'"):
        Mixed({"A": LIF(), "AA": ALIF(), "*": AdEx()}).bound(
            {"A": np.array([0, 2]), "AA": np.array([2])}.__getitem__, 4
        )
    with pytest.raises(ValueError, match="where must name the cells 0 to 2, each once"):
        Mixed({"A": LIF()}, where={"A": [0, 1, 7]})
    with pytest.raises(ValueError, match="where must have the keys of the parts"):
        Mixed({"A": LIF()}, where={"B": [0]})
    with pytest.raises(ValueError, match="stands for 2 cells, but the network has 3"):
        Mixed({"A": LIF()}, where={"A": [0, 1]}).bound(selection("AAA"), 3)


def test_a_mixture_of_nonsense_is_a_sentence() -> None:
    with pytest.raises(TypeError, match="parts must be neurons by cells"):
        Mixed({})
    with pytest.raises(TypeError, match=r"parts\['A'\] must be a Neuron such as LIF\(\), got 3"):
        Mixed({"A": 3})  # type: ignore[dict-item]
    with pytest.raises(ValueError, match="does not know which cells are which"):
        Mixed({"A": LIF()})(torch.zeros(5, 3))
    with pytest.raises(ValueError, match=r"stands for 1 cells, but got a shape of \[3\]"):
        Mixed({"A": LIF()}, where={"A": [0]})(torch.zeros(5, 3))
    with pytest.raises(ValueError, match=r"tau of parts\['A'\] must be one value or one for each"):
        Mixed({"A": LIF(tau=torch.ones(3))}, where={"A": [0, 1]})


def test_a_mixture_moves_to_another_type_as_a_whole() -> None:
    cells = Mixed({"A": LIF(), "B": Graded()}, where={"A": [0], "B": [1]}).float()
    assert cells.midpoint().dtype == torch.float32
    assert not cells.state_dict()
    assert math.isfinite(float(cells(torch.zeros(3, 2, dtype=torch.float32)).sum()))
