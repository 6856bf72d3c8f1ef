"""What every synapse keeps to, whatever it does."""

import inspect
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap
from torch.fx.experimental.proxy_tensor import make_fx
from torch.utils._pytree import tree_flatten, tree_map

from amphid import dynamics
from amphid.dynamics import (
    NMDA,
    Alpha,
    AlphaConductance,
    Conductance,
    ConductanceSynapse,
    Delta,
    DoubleExponential,
    DoubleExponentialConductance,
    Exponential,
    GapJunction,
    GradedSynapse,
    ShortTerm,
    Synapse,
)
from amphid.dynamics.values import Value

STEPS, CELLS, DT = 5, 3, 0.7

ATEN = torch.ops.aten
ELEMENTWISE = {ATEN.add, ATEN.sub, ATEN.rsub, ATEN.mul, ATEN.div, ATEN.reciprocal, ATEN.neg}
ELEMENTWISE |= {ATEN.exp, ATEN.expm1, ATEN.pow}


def one(value: Value) -> Value:
    """The first entry of a value per cell."""
    return value[:1] if isinstance(value, Tensor) and value.dim() else value


# how to build each from numbers; `of` makes a value of a number
SYNAPSES: dict[str, Callable] = {
    "Delta": lambda of: Delta(charge=of(11.0)),
    "Exponential": lambda of: Exponential(tau=of(5.0), amplitude=of(30.0)),
    "Alpha": lambda of: Alpha(tau=of(3.0), amplitude=of(-20.0)),
    "DoubleExponential": lambda of: DoubleExponential(
        rise=of(0.5), decay=of(4.0), amplitude=of(13.0)
    ),
    "Conductance": lambda of: Conductance(tau=of(5.0), conductance=of(0.7), reversal=of(-70.0)),
    "AlphaConductance": lambda of: AlphaConductance(
        tau=of(3.0), conductance=of(0.3), reversal=of(0.0)
    ),
    "DoubleExponentialConductance": lambda of: DoubleExponentialConductance(
        rise=of(0.5), decay=of(4.0), conductance=of(0.3), reversal=of(0.0)
    ),
    "NMDA": lambda of: NMDA(
        rise=of(2.0), decay=of(70.0), conductance=of(0.9), reversal=of(1.0), magnesium=of(1.3)
    ),
    "GradedSynapse": lambda of: GradedSynapse(conductance=of(0.1), reversal=of(-48.0)),
    "GapJunction": lambda of: GapJunction(conductance=one(of(0.2))),
    "ShortTerm": lambda of: ShortTerm(
        Conductance(tau=of(5.0), conductance=of(0.7), reversal=of(-70.0)),
        use=of(0.4),
        facilitation=of(50.0),
        recovery=of(120.0),
    ),
    "ShortTerm of a current": lambda of: ShortTerm(
        Exponential(tau=of(5.0), amplitude=of(30.0)), use=of(0.4), recovery=of(120.0)
    ),
}

VALUES = {
    "float": lambda value: value,
    "tensor": lambda value: torch.full((CELLS,), value, dtype=torch.float64),
    "parameter": lambda value: nn.Parameter(torch.tensor(value, dtype=torch.float64)),
}

every_synapse = pytest.mark.parametrize("make", SYNAPSES.values(), ids=SYNAPSES.keys())
every_value = pytest.mark.parametrize("of", VALUES.values(), ids=VALUES.keys())
MODELS = [make(VALUES["float"]) for make in SYNAPSES.values()]
CONDUCTANCES = [m for m in MODELS if isinstance(m, ConductanceSynapse)]


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(2)


def inputs(*shape: int, dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor, Tensor]:
    """Spikes given out, weighted arrivals and voltages [STEPS, *shape]."""
    draw = generator()
    output = (torch.rand(STEPS, *shape, generator=draw) < 0.5).to(dtype)
    arriving = torch.rand(STEPS, *shape, generator=draw, dtype=dtype)
    v = -80 + 60 * torch.rand(STEPS, *shape, generator=draw, dtype=dtype)
    return output, arriving, v


def run(synapse: Synapse, output: Tensor, arriving: Tensor, v: Tensor, dt: float = DT):
    """Released and currents [STEPS, *B, N], and the state at the end."""
    state, released, currents = synapse.init(output[0]), [], []
    for given, came, voltage in zip(output, arriving, v, strict=True):
        state, gone = synapse.release(state, given, dt)
        state, current = synapse.step(state, came, voltage, dt)
        released.append(gone)
        currents.append(current)
    return torch.stack(released), torch.stack(currents), state


def concrete(kind: type) -> set[type]:
    """Every class of the package below `kind` that can be made."""
    below = {leaf for child in kind.__subclasses__() for leaf in concrete(child) | {child}}
    return {
        leaf
        for leaf in below
        if leaf.__module__.startswith("amphid.dynamics") and not inspect.isabstract(leaf)
    }


def test_every_synapse_stands_in_this_contract_and_in_the_room():
    assert {type(model) for model in MODELS} == concrete(Synapse)
    assert {kind.__name__ for kind in concrete(Synapse)} <= set(dynamics.__all__)


def test_concrete_synapses_are_final():
    assert not any(kind.__subclasses__() for kind in concrete(Synapse))


@every_synapse
@pytest.mark.parametrize("shape", [(3,), (5, 3), (2, 5, 3)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_shape_and_type_are_those_of_the_cells(make, shape, dtype):
    synapse = make(VALUES["float"])
    released, currents, state = run(synapse, *inputs(*shape, dtype=dtype))
    for tensor in (released[0], currents[0], *tree_flatten(state)[0]):
        assert tensor.shape == shape
        assert tensor.dtype == dtype
        assert tensor.isfinite().all()


@every_synapse
@every_value
def test_values_of_every_kind_give_the_same_currents(make, of):
    expected = run(make(VALUES["float"]), *inputs(2, CELLS))[1]
    torch.testing.assert_close(run(make(of), *inputs(2, CELLS))[1], expected)


@every_synapse
def test_rest_is_a_fixed_point_when_nothing_arrives(make):
    synapse = make(VALUES["float"])
    silence = torch.zeros(STEPS, CELLS, dtype=torch.float64)
    released, currents, state = run(synapse, silence, silence, inputs(CELLS)[2])
    assert not released.any()
    assert not currents.any()
    assert tree_flatten(state)[0] == [] or all(
        torch.equal(now, start)
        for now, start in zip(
            tree_flatten(state)[0], tree_flatten(synapse.init(silence[0]))[0], strict=True
        )
    )


@every_synapse
def test_currents_are_linear_in_what_arrives(make):
    synapse = make(VALUES["float"])
    output, first, v = inputs(CELLS)
    second = first.flip(0) ** 2
    both = run(synapse, output, 3 * first - second, v)[1]
    apart = 3 * run(synapse, output, first, v)[1] - run(synapse, output, second, v)[1]
    torch.testing.assert_close(both, apart)
    assert both.abs().max() > 0.1


@every_synapse
def test_cells_do_not_mix(make):
    synapse = make(VALUES["float"])
    together = run(synapse, *inputs(5, CELLS))
    alone = run(synapse, *(x[:, 3, 1:2] for x in inputs(5, CELLS)))
    torch.testing.assert_close(together[0][:, 3, 1:2], alone[0])
    torch.testing.assert_close(together[1][:, 3, 1:2], alone[1])


@every_synapse
def test_a_state_can_be_carried_on(make):
    synapse = make(VALUES["float"])
    output, arriving, v = inputs(CELLS)
    whole = run(synapse, output, arriving, v)[1]
    state = run(synapse, output[:2], arriving[:2], v[:2])[2]
    for k in range(2, STEPS):
        state, _ = synapse.release(state, output[k], DT)
        state, current = synapse.step(state, arriving[k], v[k], DT)
        torch.testing.assert_close(current, whole[k], rtol=0, atol=0)


@pytest.mark.parametrize("synapse", CONDUCTANCES, ids=repr)
def test_a_conductance_says_whether_it_can_be_solved_and_then_it_agrees_with_step(synapse):
    output, arriving, v = (x[0] for x in inputs(CELLS))
    state, _ = synapse.release(synapse.init(v), output, DT)
    assert synapse.solvable is hasattr(synapse, "reversal")
    if not synapse.solvable:
        with pytest.raises(TypeError, match=r"opens no conductance\. Ask `solvable` first"):
            synapse.advance(state, arriving, DT)
        return
    state_after, current = synapse.step(state, arriving, v, DT)
    advanced = synapse.advance(state, arriving, DT)
    g = synapse.conductance_of(advanced, v, DT)
    assert (g > 0).all()
    torch.testing.assert_close(g * (synapse.reversal - v), current)
    assert torch.equal(
        torch.stack(tree_flatten(advanced)[0]), torch.stack(tree_flatten(state_after)[0])
    )


def test_short_term_plasticity_can_be_solved_exactly_when_the_synapse_inside_can():
    assert [m.solvable for m in MODELS if isinstance(m, ShortTerm)] == [True, False]


@every_synapse
@pytest.mark.parametrize("of", [VALUES["float"], VALUES["tensor"]], ids=["float", "tensor"])
def test_both_halves_are_flat_graphs_of_elementwise_tensor_operations(make, of):
    synapse = make(of)
    output, arriving, v = (x[0] for x in inputs(2, CELLS))

    def halves(state, output, arriving, v):
        state, released = synapse.release(state, output, DT)
        return released, *synapse.step(state, arriving, v, DT)

    state = synapse.init(v)
    graph = make_fx(halves)(state, output, arriving, v)
    operations = {node.target for node in graph.graph.nodes if node.op == "call_function"}
    assert all(isinstance(target, torch._ops.OpOverload) for target in operations)
    assert {target.overloadpacket for target in operations} <= ELEMENTWISE
    again, expected = graph(state, output, arriving, v), halves(state, output, arriving, v)
    for one, other in zip(tree_flatten(again)[0], tree_flatten(expected)[0], strict=True):
        torch.testing.assert_close(one, other)


@every_synapse
def test_vmap_is_a_loop(make):
    synapse = make(VALUES["float"])
    batch = [x.transpose(0, 1) for x in inputs(5, CELLS)]
    mapped = vmap(lambda *x: run(synapse, *x))(*batch)
    looped = [run(synapse, *(x[member] for x in batch)) for member in range(5)]
    stacked = tree_map(lambda *leaves: torch.stack(leaves), *looped)
    for one, other in zip(tree_flatten(mapped)[0], tree_flatten(stacked)[0], strict=True):
        torch.testing.assert_close(one, other)


@every_synapse
def test_a_population_of_parameters_is_a_loop_over_it(make):
    synapse = make(VALUES["parameter"])
    spread = 0.5 + 0.5 * torch.rand(5, generator=generator(), dtype=torch.float64)
    population = {name: p.detach() * spread for name, p in synapse.named_parameters()}
    data = inputs(CELLS)

    def currents(parameters):
        return functional_call(_Run(synapse), parameters, data)

    named = {f"synapse.{name}": p for name, p in population.items()}
    mapped = vmap(currents)(named)
    for member in range(5):
        alone = currents({name: p[member] for name, p in named.items()})
        torch.testing.assert_close(mapped[member], alone)


class _Run(nn.Module):
    def __init__(self, synapse: Synapse) -> None:
        super().__init__()
        self.synapse = synapse

    def forward(self, output: Tensor, arriving: Tensor, v: Tensor) -> Tensor:
        return run(self.synapse, output, arriving, v)[1]


@every_synapse
def test_gradients_are_those_of_finite_differences(make):
    synapse = make(VALUES["parameter"])
    names = [name for name, _ in synapse.named_parameters()]
    output, arriving, v = inputs(CELLS)

    def outcome(output, arriving, v, *values):
        parameters = {f"synapse.{n}": value for n, value in zip(names, values, strict=True)}
        currents = functional_call(_Run(synapse), parameters, (output, arriving, v))
        released = functional_call(_Released(synapse), parameters, (output,))
        return currents, released

    start = [x.clone().requires_grad_() for x in (output, arriving, v)]
    values = [p.detach().clone().requires_grad_() for p in synapse.parameters()]
    assert torch.autograd.gradcheck(outcome, (*start, *values), fast_mode=True)


class _Released(_Run):
    def forward(self, output: Tensor) -> Tensor:
        state, released = self.synapse.init(output[0]), []
        for given in output:
            state, gone = self.synapse.release(state, given, DT)
            released.append(gone)
        return torch.stack(released)


@every_synapse
def test_every_parameter_has_a_gradient(make):
    synapse = make(VALUES["parameter"])
    state, total = synapse.init(torch.zeros(CELLS, dtype=torch.float64)), 0.0
    for output, v in zip(inputs(CELLS)[0], inputs(CELLS)[2], strict=True):
        state, released = synapse.release(state, output, DT)
        state, current = synapse.step(state, released, v, DT)
        total = total + current.square().sum()
    total.backward()
    assert all(p.grad is not None and p.grad.abs() > 0 for p in synapse.parameters())


@every_synapse
def test_state_is_no_part_of_the_module(make):
    synapse = make(VALUES["parameter"])
    before = {name: p.clone() for name, p in synapse.state_dict().items()}
    run(synapse, *inputs(CELLS))
    assert set(before) == {name for name, _ in synapse.named_parameters()}
    assert all(torch.equal(before[name], p) for name, p in synapse.state_dict().items())


@every_synapse
def test_a_time_constant_far_shorter_than_the_step_is_no_trouble(make):
    synapse = make(VALUES["float"])
    released, currents, state = run(synapse, *inputs(CELLS, dtype=torch.float32), dt=1e5)
    assert all(x.isfinite().all() for x in (released, currents, *tree_flatten(state)[0]))


@pytest.mark.parametrize(
    ("synapse", "shown"),
    [
        (Delta(charge=11.0), "Delta(charge=11)"),
        (Exponential(tau=5.0, amplitude=-30.0), "Exponential(tau=5, amplitude=-30)"),
        (
            Alpha(tau=torch.ones(7), amplitude=nn.Parameter(torch.tensor(2.0))),
            "Alpha(tau=tensor[7], amplitude=2 (learned))",
        ),
        (
            DoubleExponential(rise=0.5, decay=4.0, amplitude=1.0),
            "DoubleExponential(rise=0.5, decay=4, amplitude=1)",
        ),
        (
            Conductance(tau=5.0, conductance=0.7, reversal=-70.0),
            "Conductance(tau=5, conductance=0.7, reversal=-70)",
        ),
        (
            AlphaConductance(tau=5.0, conductance=0.7, reversal=0.0),
            "AlphaConductance(tau=5, conductance=0.7, reversal=0)",
        ),
        (
            DoubleExponentialConductance(rise=1.0, decay=5.0, conductance=0.7, reversal=0.0),
            "DoubleExponentialConductance(rise=1, decay=5, conductance=0.7, reversal=0)",
        ),
        (
            NMDA(conductance=0.1),
            "NMDA(rise=2, decay=100, conductance=0.1, reversal=0, magnesium=1)",
        ),
        (
            ShortTerm(Exponential(tau=5.0, amplitude=30.0), use=0.5, recovery=800.0),
            "ShortTerm(\n  use=0.5, facilitation=None, recovery=800\n"
            "  (synapse): Exponential(tau=5, amplitude=30)\n)",
        ),
    ],
    ids=lambda x: type(x).__name__,
)
def test_repr_tells_every_value(synapse, shown):
    assert repr(synapse) == shown
