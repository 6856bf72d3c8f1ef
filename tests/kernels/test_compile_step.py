"""Machine code does what the step does, for every neuron and synapse and for those of a user."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any, NamedTuple

import pytest
import torch
from compiled_cells import CELLS, NEURONS, concrete, each, learned, noise
from torch import Tensor
from torch.utils import _pytree as pytree

from amphid.dynamics import (
    ALIF,
    LIF,
    NMDA,
    AdEx,
    Alpha,
    AlphaConductance,
    Conductance,
    Delta,
    DoubleExponential,
    DoubleExponentialConductance,
    Exponential,
    GapJunction,
    GradedSynapse,
    Mixed,
    Neuron,
    ShortTerm,
    Synapse,
)
from amphid.kernels import UnknownOperation, compile_step, trace

STEPS, DT = 7, 0.3

pytest.importorskip("llvmlite", reason="llvmlite is not installed")


SYNAPSES: dict[str, Synapse[Any]] = {
    "Delta": Delta(charge=11.0),
    "Exponential": Exponential(tau=5.0, amplitude=30.0),
    "Exponential per cell": Exponential(tau=each(5.0), amplitude=learned(30.0)),
    "Alpha": Alpha(tau=3.0, amplitude=-20.0),
    "DoubleExponential": DoubleExponential(rise=each(0.5), decay=4.0, amplitude=13.0),
    "Conductance": Conductance(tau=5.0, conductance=0.7, reversal=each(-70.0)),
    "AlphaConductance": AlphaConductance(tau=learned(3.0), conductance=0.3, reversal=0.0),
    "DoubleExponentialConductance": DoubleExponentialConductance(
        rise=0.5, decay=4.0, conductance=0.3, reversal=0.0
    ),
    "NMDA": NMDA(conductance=0.9, magnesium=learned(1.3)),
    "GradedSynapse": GradedSynapse(conductance=0.1, reversal=-48.0),
    "GapJunction": GapJunction(conductance=0.2),
    "ShortTerm": ShortTerm(
        Conductance(tau=5.0, conductance=0.7, reversal=-70.0),
        use=each(0.4),
        facilitation=50.0,
        recovery=learned(120.0),
    ),
    "ShortTerm of a current": ShortTerm(Exponential(tau=5.0, amplitude=30.0), use=0.4),
}

every_neuron = pytest.mark.parametrize(("neuron", "drive"), NEURONS.values(), ids=NEURONS.keys())
every_synapse = pytest.mark.parametrize("synapse", SYNAPSES.values(), ids=SYNAPSES.keys())
precisions = pytest.mark.parametrize(
    ("dtype", "bound"), [(torch.float64, 1e-12), (torch.float32, 1e-5)], ids=["double", "single"]
)


def nudged(dtype: torch.dtype, by: float, *tree: Any) -> Any:
    """A tree in double precision, and a little off where it comes from single precision."""
    factor = 1 + by * (dtype is torch.float32)
    return pytree.tree_map(lambda x: x.double() * factor if x.is_floating_point() else x, tree)


def leaves(*trees: Any) -> Any:
    """The same leaf of each tree."""
    return zip(*(pytree.tree_leaves(tree) for tree in trees), strict=True)


def closely(bound: float) -> dict[str, float]:
    return {"rtol": bound, "atol": bound}


def test_the_lists_hold_all_there_are_but_mixtures_which_engines_take_apart() -> None:
    assert {type(neuron) for neuron, _ in NEURONS.values()} == concrete(Neuron) - {Mixed}
    assert {type(synapse) for synapse in SYNAPSES.values()} == concrete(Synapse)


@every_neuron
@precisions
def test_a_compiled_neuron_steps_as_torch_does(
    neuron: Neuron[Any], drive: float, dtype: torch.dtype, bound: float
) -> None:
    neuron = neuron.to(dtype)
    state = neuron.init(torch.zeros(CELLS, dtype=dtype))
    kernel = compile_step(lambda s, i: neuron.step(s, i, DT), state, state.v)
    fired = 0.0
    with torch.no_grad():
        for current in (drive * (1 + noise(40 * STEPS, CELLS))).to(dtype).unbind():
            expected = neuron.to(dtype).step(state, current, DT)
            # an upstroke magnifies what single precision rounds away, in torch as well
            near = [nudged(dtype, by, state, current) for by in (0.0, 3e-7)]
            steps = [neuron.double().step(*given, DT) for given in near]
            compared = leaves(kernel(state, current), expected, *steps)
            for ours, theirs, here, there in compared:
                allowed = bound * (1 + theirs.abs().max()) + 8 * (there - here).abs()
                assert bool(((ours - theirs).abs() <= allowed).all())
            state, fired = expected[0], fired + float(expected[1].sum())
    assert fired != 0


@every_synapse
@precisions
def test_a_compiled_synapse_releases_and_steps_as_torch_does(
    synapse: Synapse[Any], dtype: torch.dtype, bound: float
) -> None:
    synapse = synapse.to(dtype)
    like = torch.zeros(CELLS, dtype=dtype)
    state = synapse.init(like)

    def both(state: Any, output: Tensor, factor: Tensor, v: Tensor) -> Any:
        state, released = synapse.release(state, output, DT)
        return released, *synapse.step(state, released * factor, v, DT)

    kernel = compile_step(both, state, like, like, like)
    with torch.no_grad():
        for draw in noise(10 * STEPS, CELLS).to(dtype).unbind():
            given = state, (draw > 0.5).to(dtype), 1 + draw, -60 + 20 * draw
            expected = both(*given)
            torch.testing.assert_close(kernel(*given), expected, **closely(bound))
            state = expected[1]


def test_keys_of_random_numbers_have_the_same_bits() -> None:
    neuron, _ = NEURONS["EscapeRate"]
    state = neuron.init(torch.zeros(3, 101, dtype=torch.float64))
    kernel = compile_step(lambda s, i: neuron.step(s, i, DT), state, state.v)
    (compiled, spikes), (expected, fired) = (
        make(state, 350 + 0 * state.v) for make in (kernel, lambda s, i: neuron.step(s, i, DT))
    )
    assert torch.equal(compiled.key, expected.key)
    assert torch.equal(spikes, fired)


@pytest.mark.parametrize("shape", [(CELLS,), (5, CELLS), (2, 5, CELLS)])
def test_batches_and_values_per_cell_go_together(shape: tuple[int, ...]) -> None:
    neuron = ALIF(tau=each(20.0), v_reset=noise(5, 1), jump=1.5).double()
    state = neuron.init(torch.zeros(*shape[:-2], 5, CELLS, dtype=torch.float64))
    kernel = compile_step(lambda s, i: neuron.step(s, i, DT), state, state.v)
    current = 4000 * noise(*shape)
    torch.testing.assert_close(kernel(state, current), neuron.step(state, current, DT))


class ThetaState(NamedTuple):
    v: Tensor


class Theta(Neuron[ThetaState]):
    """A neuron that somebody writes in ten lines."""

    def init(self, like: Tensor) -> ThetaState:
        return ThetaState(torch.zeros_like(like))

    def step(self, state: ThetaState, current: Tensor, dt: float) -> tuple[ThetaState, Tensor]:
        rate = 1 - torch.cos(state.v) + (1 + torch.cos(state.v)) * current
        v = state.v + dt * torch.tanh(rate)
        spike = (v > torch.pi).to(v)
        return ThetaState(torch.where(v > torch.pi, v - 2 * torch.pi, v)), spike


def test_a_neuron_of_a_user_compiles() -> None:
    neuron = Theta()
    state = neuron.init(torch.zeros(CELLS, dtype=torch.float64))
    kernel = compile_step(lambda s, i: neuron.step(s, i, DT), state, state.v)
    for current in noise(STEPS * 10, CELLS).unbind():
        expected = neuron.step(state, current, DT)
        torch.testing.assert_close(kernel(state, current), expected, **closely(1e-12))
        state = expected[0]


FUNCTIONS = {
    "exp": torch.exp, "expm1": torch.expm1, "sigmoid": torch.sigmoid, "tanh": torch.tanh,
    "cosh": torch.cosh, "sinh": torch.sinh, "log1p": lambda x: torch.log1p(x.abs()),
    "sqrt": lambda x: x.abs().sqrt(), "round": torch.round, "sign": torch.sign,
    "floor": torch.floor, "relu": torch.relu, "power": lambda x: x.abs() ** 1.7,
    "powers": lambda x: x**2 + x**3 - x**4 + 1 / (1 + x**2), "erf": torch.erf,
    "least": lambda x: torch.minimum(x, torch.maximum(-x, x * x)),
    "clamp": lambda x: x.clamp(-0.3, 0.4) + x.clamp(min=0.1) - x.clamp(max=-0.2),
    "logic": lambda x: ((x > 0) & (x < 1) | ~(x != 0.5) ^ (x >= 2)).to(x) * x,
    "scaled": lambda x: torch.add(x, x * x, alpha=3) - torch.rsub(x, x.exp(), alpha=2),
    "lerp": lambda x: torch.lerp(x, x * x, x) + torch.addcmul(x, x, x, value=0.5),
    "integers": lambda x: ((x * 100).long() * 3 >> 1).to(x) / 7,
}  # fmt: skip


@precisions
def test_elementary_functions_are_exact(dtype: torch.dtype, bound: float) -> None:
    scales = torch.tensor([1e-9, 1e-3, 0.3, 1.0, 10.0, 30.0], dtype=dtype)[:, None]
    x = (scales * noise(6, 101).to(dtype)).flatten()
    kernel = compile_step(lambda x: [function(x) for function in FUNCTIONS.values()], x)
    for name, compiled in zip(FUNCTIONS, kernel(x), strict=True):
        expected = FUNCTIONS[name](x)
        near = {"rtol": bound, "atol": 0 if dtype.itemsize > 4 else 1e-6}
        torch.testing.assert_close(compiled, expected, msg=lambda m, n=name: f"{n}: {m}", **near)


@precisions
def test_what_is_no_number_stays_none_and_infinity_is_met(dtype: torch.dtype, bound: float) -> None:
    x = torch.tensor([torch.nan, torch.inf, -torch.inf, 1000.0, -1000.0, 0.0], dtype=dtype)
    functions = [torch.exp, torch.expm1, torch.sigmoid, torch.tanh, torch.relu, torch.sign]
    kernel = compile_step(lambda x: [function(x) for function in functions], x)
    for function, compiled in zip(functions, kernel(x), strict=True):
        torch.testing.assert_close(compiled, function(x), rtol=bound, atol=0, equal_nan=True)


def test_the_adjoint_of_a_step_compiles_from_the_same_tape() -> None:
    neuron = AdEx()
    state = neuron.init(torch.zeros(CELLS, dtype=torch.float64))

    def adjoint(v: Tensor, w: Tensor, current: Tensor, of_v: Tensor, of_spike: Tensor) -> Any:
        def step(v: Tensor, w: Tensor, current: Tensor) -> Any:
            after, spike = neuron.step(type(state)(v, w), current, DT)
            return after.v, after.w, spike

        pull = torch.func.vjp(step, v, w, current)[1]
        return pull((of_v, torch.zeros_like(w), of_spike))

    given = (-50 + 60 * noise(CELLS), *(noise(CELLS, seed=seed) for seed in (2, 3, 4, 5)))
    kernel = compile_step(adjoint, *given)
    torch.testing.assert_close(kernel(*given), adjoint(*given), rtol=1e-10, atol=1e-12)
    assert all(float(gradient.abs().max()) > 0 for gradient in kernel(*given))


@pytest.mark.parametrize(
    ("step", "named"),
    [
        (lambda x: x.cumsum(-1), "aten.cumsum"),
        (lambda x: x - x.mean(), "aten.mean"),
        (lambda x: x.index_select(0, torch.tensor([1, 0])), "aten.index_select"),
        (lambda x: x[:1] + x, "aten.slice"),
        (lambda x: x.clone().add_(1), "aten.add_"),
        (lambda x: x + torch.rand_like(x), "random"),
        (lambda x: x + torch.rand(CELLS), "random"),
        (lambda x: x if float(x[0]) > 0 else -x, "aten.select"),
        (lambda x: torch.special.bessel_j0(x), "bessel_j0"),
        (lambda x: torch.div(x, 3, rounding_mode="floor"), "aten.div"),
    ],
)
def test_an_operation_that_cannot_be_compiled_is_named(step: Any, named: str) -> None:
    with pytest.raises(UnknownOperation, match=named):
        compile_step(step, noise(CELLS))


def test_a_step_that_decides_by_a_value_says_so() -> None:
    with pytest.raises(UnknownOperation, match="decides by the value"):
        trace(lambda x, gain: x * 2 if gain > 0 else x, noise(CELLS), torch.ones(()))


def test_tensors_of_another_type_are_refused() -> None:
    kernel = compile_step(torch.exp, noise(CELLS))
    with pytest.raises(ValueError, match="types it was made for"):
        kernel(noise(CELLS).float())


def test_other_values_in_tensors_are_the_same_code_and_other_floats_are_not() -> None:
    def source(tau: Any) -> str:
        neuron = LIF(tau=tau)
        state = neuron.init(torch.zeros(CELLS))
        return compile_step(lambda s, i: neuron.step(s, i, DT), state, state.v).source

    assert source(learned(20.0)) == source(learned(30.0))
    assert source(each(20.0)) == source(each(30.0)) != source(learned(30.0))
    assert source(20.0) != source(30.0)


ANOTHER_PROCESS = """
import sys
import torch
from amphid.kernels import cache_folder, compile_step
x = torch.linspace(-1, 1, 11, dtype=torch.float64)
kernel = compile_step(lambda x: torch.exp(x) * 3 + x, x)
torch.testing.assert_close(kernel(x), torch.exp(x) * 3 + x)
print(*(path.stat().st_mtime_ns for path in cache_folder().glob("object_*.o")))
assert "numba" not in sys.modules
"""


def test_a_second_process_reads_what_the_first_compiled(tmp_path: Any) -> None:
    told = os.environ | {"AMPHID_CACHE": str(tmp_path)}
    run = [sys.executable, "-W", "error", "-c", ANOTHER_PROCESS]
    first, second = (
        subprocess.run(run, capture_output=True, text=True, check=True, env=told).stdout.split()
        for _ in range(2)
    )
    assert first == second
    assert len(first) == 1
    assert not list((tmp_path / "amphid" / "kernels").glob("*.part"))


def test_a_folder_that_cannot_be_written_is_no_obstacle(tmp_path: Any) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("not a folder")
    told = os.environ | {"AMPHID_CACHE": str(blocked)}
    run = [sys.executable, "-c", ANOTHER_PROCESS]
    assert subprocess.run(run, capture_output=True, text=True, check=True, env=told).stdout
