"""What every neuron promises, whatever its equations."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable
from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor, nn
from torch.fx.experimental.proxy_tensor import make_fx
from torch.utils import _pytree as pytree

from amphid import dynamics
from amphid.dynamics import (
    ALIF,
    LIF,
    Ablated,
    AdEx,
    BinaryThreshold,
    ClearingLIF,
    EscapeRate,
    ExponentialMemory,
    FastSigmoid,
    FitzHughNagumo,
    Fractional,
    Graded,
    HodgkinHuxley,
    Izhikevich,
    LeakyIntegrator,
    Mixed,
    MorrisLecar,
    Neuron,
    Refractory,
    SigmoidRelease,
    ThresholdIntegrator,
)
from amphid.dynamics.sequence import run_plainly

CELLS = 3


class Case(NamedTuple):
    """A neuron, how strongly to drive it, and what it can promise beyond the rest."""

    make: Callable[..., Neuron[Any]]
    drive: float = 400.0  # pA, makes it fire or release
    rests: bool = True


def escape_rate(**values: Any) -> EscapeRate:
    return EscapeRate(generator=torch.Generator().manual_seed(7), **values)


def refractory(**values: Any) -> Refractory:
    return Refractory(AdEx(), **values)


def ablated(**values: Any) -> Ablated:
    return Ablated(LIF(**values), alive=torch.tensor([1.0, 1.0, 1.0]))


def fractional(**values: Any) -> Fractional:
    memory = ExponentialMemory(error=1e-2, horizon=1000)
    return Fractional(LIF(**values), order=0.7, memory=memory)


def mixed(**values: Any) -> Mixed:
    parts = {"B": Graded(**values), "A*": Refractory(Izhikevich(), period=3.0), "*": LIF()}
    return Mixed(parts, where={"B": [1], "A*": [2], "*": [0]})


NEURONS = {
    "LIF": Case(LIF),
    "ThresholdIntegrator": Case(ThresholdIntegrator),
    "LeakyIntegrator": Case(LeakyIntegrator),
    "ALIF": Case(ALIF),
    "ClearingLIF": Case(ClearingLIF),
    "Izhikevich": Case(Izhikevich),
    "AdEx": Case(AdEx, drive=2000.0),
    "HodgkinHuxley": Case(HodgkinHuxley, drive=2000.0),
    "HodgkinHuxley.cortical": Case(HodgkinHuxley.cortical, drive=300.0),
    "HodgkinHuxley releasing": Case(
        lambda **v: HodgkinHuxley(terminal=SigmoidRelease(), **v), 2000.0
    ),
    "MorrisLecar": Case(MorrisLecar, drive=250.0),
    "FitzHughNagumo": Case(FitzHughNagumo),
    "Graded": Case(Graded, drive=2.0),
    "BinaryThreshold": Case(BinaryThreshold),
    "EscapeRate": Case(escape_rate, rests=False),
    "Fractional": Case(fractional),
    "Refractory": Case(refractory, drive=2000.0),
    "Ablated": Case(ablated),
    "Mixed": Case(mixed),
}
every_neuron = pytest.mark.parametrize("case", NEURONS.values(), ids=NEURONS.keys())
SHAPES = [(CELLS,), (5, CELLS), (2, 5, CELLS)]


@pytest.fixture(autouse=True)
def float64() -> Any:
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def noise(*shape: int, seed: int = 1) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def driving(case: Case, *shape: int, seed: int = 1) -> Tensor:
    """A current that starts weak and ends strong."""
    ramp = torch.linspace(0.2, 2.0, shape[0]).reshape(-1, *[1] * (len(shape) - 1))
    return case.drive * ramp * (1 + 0.2 * noise(*shape, seed=seed))


def concrete(kind: type) -> set[type]:
    found = set() if inspect.isabstract(kind) else {kind}
    return found.union(*(concrete(below) for below in kind.__subclasses__()))


def test_the_list_holds_every_neuron_there_is() -> None:
    there = {kind for kind in concrete(Neuron) if kind.__module__.startswith("amphid.dynamics")}
    assert {type(case.make()) for case in NEURONS.values()} == there
    assert {kind.__name__ for kind in there} <= set(dynamics.__all__)


def test_no_concrete_neuron_is_subclassed() -> None:
    below = [kind for case in NEURONS.values() for kind in type(case.make()).__subclasses__()]
    assert not [kind for kind in below if kind.__module__.startswith("amphid.")]


@every_neuron
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_state_and_output_have_the_shape_and_type_of_the_cells(
    case: Case, shape: tuple[int, ...], dtype: torch.dtype
) -> None:
    neuron = case.make()
    state = neuron.init(torch.zeros(shape, dtype=dtype))
    state, output = neuron.step(state, torch.full(shape, case.drive, dtype=dtype), 0.5)
    floats = [leaf for leaf in pytree.tree_leaves(state) if leaf.is_floating_point()]
    assert {leaf.dtype for leaf in (*floats, output)} == {dtype}
    assert state.v.shape == output.shape == shape
    assert {leaf.shape[:-1] for leaf in floats} == {shape[:-1]}
    assert neuron.given(state).shape == neuron.read(state, "v").shape == shape


@every_neuron
def test_copies_of_a_cell_in_a_batch_do_the_same(case: Case) -> None:
    neuron, current = case.make(), driving(case, 11, CELLS)
    start = neuron.init(current[0])
    alone = neuron.run(current, start, dt=0.5)[0]
    twice = pytree.tree_map(lambda x: torch.stack((x, x)), start)
    both = neuron.run(torch.stack((current, current), 1), twice, dt=0.5)[0]
    torch.testing.assert_close(both, torch.stack((alone, alone), 1))


@pytest.mark.parametrize(
    "case", [c for c in NEURONS.values() if c.rests], ids=[k for k, c in NEURONS.items() if c.rests]
)
def test_a_map_of_features_is_so_many_cells_side_by_side(case: Case) -> None:
    neuron, current = case.make(), driving(case, 13, 2, 5, 7, CELLS)
    flat = neuron(current.reshape(13, 2 * 5 * 7, CELLS), dt=0.5)
    torch.testing.assert_close(neuron(current, dt=0.5), flat.reshape(current.shape))


@pytest.mark.parametrize(
    "case", [c for c in NEURONS.values() if c.rests], ids=[k for k, c in NEURONS.items() if c.rests]
)
@torch.no_grad()
def test_rest_is_a_fixed_point(case: Case) -> None:
    neuron = case.make()
    start = neuron.init(torch.zeros(1, CELLS))
    given = neuron.given(start)
    outputs, end = neuron.run(torch.zeros(1000, 1, CELLS), start, dt=0.1)
    torch.testing.assert_close(
        pytree.tree_leaves(end), pytree.tree_leaves(start), rtol=0, atol=1e-9
    )
    torch.testing.assert_close(outputs, given.expand_as(outputs), rtol=0, atol=1e-9)


@every_neuron
@torch.no_grad()
def test_the_drive_makes_it_give_something_out(case: Case) -> None:
    neuron = case.make()
    current = driving(case, 211, CELLS)
    rest = neuron.given(neuron.init(current[0]))
    assert ((neuron(current, dt=0.5) - rest).abs().amax(0) > 1e-3).all()


@every_neuron
@pytest.mark.parametrize("dt", [0.1, 1.0])
def test_gradients_are_finite_and_reach_the_current(case: Case, dt: float) -> None:
    neuron = case.make()
    current = driving(case, 37, CELLS).requires_grad_()
    outputs, state = neuron.run(current, dt=dt)
    (outputs.square().sum() + state.v.sum()).backward()
    assert current.grad is not None
    assert current.grad.isfinite().all()
    assert (current.grad.abs().sum(0) > 0).all()


@every_neuron
@pytest.mark.parametrize("size", [1e3, 1e6])
def test_absurd_currents_leave_numbers_and_gradients_finite(case: Case, size: float) -> None:
    neuron = case.make().float()
    current = (size * noise(17, CELLS)).float().requires_grad_()
    outputs, state = neuron.run(current, dt=1.0)
    (outputs.sum() + state.v.sum()).backward()
    leaves = [leaf for leaf in pytree.tree_leaves(state) if leaf.is_floating_point()]
    assert all(leaf.isfinite().all() for leaf in (outputs, *leaves, current.grad))


@every_neuron
def test_a_step_is_one_graph_without_branches(case: Case) -> None:
    """Traced at one point, it is the same function at every other."""
    neuron = case.make()
    start = pytree.tree_map(torch.clone, neuron.init(torch.zeros(CELLS)))  # no two are one tensor
    _, spec = pytree.tree_flatten(start)

    def flat(current: Tensor, *leaves: Tensor) -> Any:
        state, output = neuron.step(pytree.tree_unflatten(list(leaves), spec), current, 0.5)
        return pytree.tree_leaves(state), output

    traced = make_fx(flat)(torch.zeros(CELLS), *pytree.tree_leaves(start))
    kinds = {node.op for node in traced.graph.nodes}
    assert kinds <= {"placeholder", "call_function", "get_attr", "output"}
    state = start
    for current in driving(case, 11, CELLS):
        leaves = pytree.tree_leaves(state)
        torch.testing.assert_close(traced(current, *leaves), flat(current, *leaves))
        state, _ = neuron.step(state, current, 0.5)


@every_neuron
def test_the_adjoint_of_a_step_is_one_graph_too(case: Case) -> None:
    neuron = case.make()
    start = pytree.tree_map(torch.clone, neuron.init(torch.zeros(CELLS)))
    leaves, spec = pytree.tree_flatten(start)

    def output(current: Tensor, v: Tensor, *others: Tensor) -> Tensor:
        state = neuron.at(pytree.tree_unflatten(list(others), spec), v)
        after, given = neuron.step(state, current, 0.5)
        return given + after.v

    def adjoint(current: Tensor, v: Tensor, *others: Tensor) -> Any:
        _, pull = torch.func.vjp(lambda c, x: output(c, x, *others), current, v)
        return pull(torch.ones(CELLS))

    v = start.v.clone()
    traced = make_fx(adjoint)(torch.zeros(CELLS), v, *leaves)
    for current in driving(case, 5, CELLS):
        high = v + 7.0 * noise(CELLS)
        torch.testing.assert_close(traced(current, high, *leaves), adjoint(current, high, *leaves))


@every_neuron
def test_vmap_is_a_loop(case: Case) -> None:
    neuron = case.make()
    currents = torch.stack([driving(case, 13, CELLS, seed=seed) for seed in range(5)])
    starts = [neuron.init(currents[0, 0]) for _ in currents]
    stacked = pytree.tree_map(lambda *leaves: torch.stack(leaves), *starts)
    looped = [neuron.run(*pair, dt=0.5) for pair in zip(currents, starts, strict=True)]
    outputs, ends = torch.func.vmap(lambda c, s: neuron.run(c, s, dt=0.5))(currents, stacked)
    torch.testing.assert_close(outputs, torch.stack([output for output, _ in looped]))
    torch.testing.assert_close(ends.v, torch.stack([end.v for _, end in looped]))


@every_neuron
def test_vmap_from_rest_takes_the_randomness_asked_for(case: Case) -> None:
    neuron = case.make()
    currents = driving(case, 7, CELLS).expand(5, 7, CELLS)
    outputs = torch.func.vmap(lambda c: neuron(c, dt=0.5), randomness="same")(currents)
    torch.testing.assert_close(outputs, outputs[:1].expand_as(outputs))


def values_of(neuron: Neuron[Any]) -> dict[str, float]:
    found = {name: getattr(neuron, name) for name in neuron._values}
    return {name: value for name, value in found.items() if isinstance(value, float)}


def takes_values(case: Case) -> bool:
    return bool(values_of(case.make()))


with_values = pytest.mark.parametrize(
    "case",
    [c for c in NEURONS.values() if takes_values(c)],
    ids=[k for k, c in NEURONS.items() if takes_values(c)],
)


@with_values
def test_a_value_may_be_a_float_a_tensor_or_a_parameter(case: Case) -> None:
    floats, current = values_of(case.make()), driving(case, 23, CELLS)
    expected, _ = case.make().run(current, dt=0.5)
    tensors = case.make(**{k: torch.full((CELLS,), v) for k, v in floats.items()})
    learned = case.make(**{k: nn.Parameter(torch.full((CELLS,), v)) for k, v in floats.items()})
    torch.testing.assert_close(tensors.run(current, dt=0.5)[0], expected)
    outputs, state = learned.run(current, dt=0.5)
    torch.testing.assert_close(outputs.detach(), expected)
    assert {name for name, _ in learned.named_parameters()} >= set(floats)
    assert not dict(tensors.named_parameters())
    total = outputs.sum() + state.v.sum()
    if type(learned) is not Refractory:  # a period in whole steps has no gradient
        total.backward()
        gradients = [value.grad for value in learned.parameters() if value.grad is not None]
        assert len(gradients) > 1
        assert all(gradient.isfinite().all() for gradient in gradients)


@with_values
def test_a_value_for_each_channel_of_a_map_has_ones_behind_it(case: Case) -> None:
    floats, current = values_of(case.make()), driving(case, 7, 2, 5, 3, CELLS)
    channels = {k: torch.full((5, 1, 1), v) for k, v in floats.items()}
    expected = case.make()(current, dt=0.5)
    torch.testing.assert_close(case.make(**channels)(current, dt=0.5), expected)


@with_values
def test_functional_call_puts_values_in_the_place_of_parameters(case: Case) -> None:
    floats, current = values_of(case.make()), driving(case, 23, CELLS)
    other = {k: torch.tensor(v * 1.05) for k, v in floats.items()}
    learned = case.make(**{k: nn.Parameter(torch.tensor(v)) for k, v in floats.items()})
    called = torch.func.functional_call(learned, other, (current,), {"dt": 0.5})
    torch.testing.assert_close(called, case.make(**other)(current, dt=0.5))


@with_values
def test_repr_shows_every_value(case: Case) -> None:
    neuron = case.make()
    shown = repr(neuron)
    assert all(f"{name}={value:g}" in shown for name, value in values_of(neuron).items())
    if hasattr(neuron, "surrogate"):
        assert "surrogate=FastSigmoid(width=1.0)" in shown
    if hasattr(neuron, "reset_gradient"):
        assert "reset_gradient=False" in shown


@every_neuron
def test_two_runs_in_a_row_are_one_run(case: Case) -> None:
    neuron, current = case.make(), driving(case, 19, CELLS)
    start = neuron.init(current[0])
    whole, end = neuron.run(current, start, dt=0.5)
    first, middle = neuron.run(current[:13], start, dt=0.5)
    second, late = neuron.run(current[13:], middle, dt=0.5)
    torch.testing.assert_close(torch.cat((first, second)), whole, rtol=0, atol=0)
    torch.testing.assert_close(pytree.tree_leaves(late), pytree.tree_leaves(end), rtol=0, atol=0)


@every_neuron
def test_a_copy_does_the_same_and_shares_nothing(case: Case) -> None:
    neuron, current = case.make(), driving(case, 19, CELLS)
    torch.testing.assert_close(copy.deepcopy(neuron)(current), neuron(current))


@every_neuron
def test_at_moves_the_voltage_and_nothing_else(case: Case) -> None:
    neuron = case.make()
    state = neuron.init(torch.zeros(CELLS))
    moved = neuron.at(state, state.v + 5.0)
    torch.testing.assert_close(moved.v, state.v + 5.0)
    back = neuron.at(moved, state.v)
    torch.testing.assert_close(pytree.tree_leaves(back), pytree.tree_leaves(state))


@every_neuron
def test_settled_where_it_rests_it_is_as_it_starts(case: Case) -> None:
    neuron = case.make()
    state = neuron.init(torch.zeros(CELLS))
    settled = neuron.settle(state, state.v)
    torch.testing.assert_close(pytree.tree_leaves(settled), pytree.tree_leaves(state))


@every_neuron
def test_a_missing_or_wrong_axis_is_a_sentence(case: Case) -> None:
    neuron = case.make()
    with pytest.raises(ValueError, match=r"current must be \[T, \*B, N\].* got shape \[3\]"):
        neuron(torch.zeros(CELLS))
    with pytest.raises(ValueError, match="at least one step"):
        neuron(torch.zeros(0, CELLS))
    with pytest.raises(ValueError, match=r"state is for cells of shape \[3\]"):
        neuron.run(torch.zeros(7, 5, CELLS), neuron.init(torch.zeros(CELLS)))
    with pytest.raises(TypeError, match=r"state must be one that init or run gave, .* got int"):
        neuron.run(torch.zeros(7, CELLS), 3)


@every_neuron
def test_an_unknown_variable_is_a_sentence_naming_the_known(case: Case) -> None:
    neuron = case.make()
    with pytest.raises(KeyError, match=r"has no variable 'colour'.* v"):
        neuron.read(neuron.init(torch.zeros(CELLS)), "colour")


@with_values
@pytest.mark.parametrize("nonsense", ["much", float("nan"), True, None])
def test_a_value_that_is_no_number_is_a_sentence_naming_it(case: Case, nonsense: object) -> None:
    may_be_none = {"v_reset"} if nonsense is None and case.make is LIF else set()
    for name in values_of(case.make()).keys() - may_be_none:
        with pytest.raises(TypeError, match=f"{name} must be a finite number.* got "):
            case.make(**{name: nonsense})


POSITIVE = [
    (LIF, ("tau", "resistance")),
    (ThresholdIntegrator, ("capacitance",)),
    (LeakyIntegrator, ("tau", "resistance")),
    (ALIF, ("tau", "resistance", "tau_adaptation")),
    (ClearingLIF, ("tau", "tau_synapse", "resistance")),
    (Izhikevich, ("capacitance", "k", "a")),
    (AdEx, ("capacitance", "g_leak", "sharpness", "tau_w")),
    (HodgkinHuxley, ("capacitance", "g_sodium", "g_potassium", "g_leak")),
    (MorrisLecar, ("capacitance", "g_leak", "g_calcium", "g_potassium", "v_2", "v_4", "phi")),
    (FitzHughNagumo, ("capacitance", "conductance", "v_scale", "b", "phi")),
    (BinaryThreshold, ("resistance",)),
    (escape_rate, ("tau", "resistance", "rate", "width")),
    (refractory, ("period",)),
    (SigmoidRelease, ("width",)),
]


@pytest.mark.parametrize(
    ("make", "names"), POSITIVE, ids=lambda given: getattr(given, "__name__", "")
)
@pytest.mark.parametrize("value", [0.0, -1.0, torch.tensor([1.0, 0.0, 1.0])])
def test_a_value_that_must_be_positive_says_so(
    make: Callable[..., nn.Module], names: tuple[str, ...], value: float | Tensor
) -> None:
    for name in names:
        with pytest.raises(ValueError, match=f"{name} must be positive"):
            make(**{name: value})


@pytest.mark.parametrize(
    "make", [LIF, ThresholdIntegrator, ALIF, ClearingLIF, Izhikevich, AdEx, BinaryThreshold]
)
def test_a_surrogate_that_is_none_says_so(make: Callable[..., nn.Module]) -> None:
    assert make(surrogate=FastSigmoid(2.0))
    with pytest.raises(TypeError, match="surrogate must be one such as FastSigmoid"):
        make(surrogate="fast")


def learned(case: Case) -> Neuron[Any]:
    """The neuron with every number of it a parameter, one for each cell or one for all."""
    names = values_of(case.make())
    sizes = ((CELLS,), ())
    pairs = (
        (name, torch.full(sizes[k % 2], value)) for k, (name, value) in enumerate(names.items())
    )
    return case.make(**{name: nn.Parameter(value) for name, value in pairs})


def weighed(neuron: Neuron[Any], run: Callable[..., Any], current: Tensor, start: Any) -> Any:
    """Outputs, last state and all gradients of a sum of both, each entry with its own weight."""
    leaves = [leaf.clone() for leaf in pytree.tree_leaves(start)]
    real = [leaf.requires_grad_() for leaf in leaves if leaf.is_floating_point()]
    state = pytree.tree_unflatten(leaves, pytree.tree_structure(start))
    outputs, end = run(neuron, current, state, 0.5)
    floats = [leaf for leaf in pytree.tree_leaves(end) if leaf.requires_grad]
    total = sum((x * noise(*x.shape, seed=k)).sum() for k, x in enumerate((outputs, *floats)))
    asked = [current, *real, *neuron.parameters()]
    found = torch.autograd.grad(total, asked, materialize_grads=True)
    return outputs, end, found


@pytest.mark.machine_code
@every_neuron
def test_a_sequence_in_machine_code_is_the_plain_loop(case: Case) -> None:
    neuron, current = learned(case), driving(case, 47, 5, CELLS).requires_grad_()
    start = case.make().init(current[0].detach())
    fast = weighed(neuron, lambda n, *run: n.follow(*run), current, start)
    plain = weighed(neuron, run_plainly, current, start)
    for got, expected in zip(pytree.tree_leaves(fast), pytree.tree_leaves(plain), strict=True):
        torch.testing.assert_close(got, expected, rtol=1e-10, atol=1e-10)


@pytest.mark.machine_code
@every_neuron
def test_every_cell_has_a_sequence_in_machine_code(case: Case) -> None:
    current = driving(case, 2, 5, CELLS).requires_grad_()
    given, _ = learned(case).run(current, dt=0.5)
    names, ahead = set(), [given.grad_fn]
    while ahead:
        node = ahead.pop()
        names.add(type(node).__name__)
        ahead += [after for after, _ in node.next_functions if after] if node else []
    assert "_SequenceBackward" in names
