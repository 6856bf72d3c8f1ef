"""A whole sequence in machine code: what it may be asked besides a forward and a backward pass."""

from __future__ import annotations

import gc
import weakref
from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor, nn

from amphid.dynamics import LIF, FastSigmoid, Neuron, step_by_step
from amphid.dynamics.sequence import run_plainly

T, B, N = 31, 5, 3


class DriftState(NamedTuple):
    v: Tensor
    slow: Tensor


class Drift(Neuron[DriftState]):
    """A cell as a user writes one: two variables, a learned time constant, a spike."""

    def __init__(self, tau: Tensor | float, gain: float = 0.3) -> None:
        super().__init__()
        self.tau, self.gain, self.spike = tau, gain, FastSigmoid(width=0.5)

    def init(self, like: Tensor) -> DriftState:
        return DriftState(torch.zeros_like(like), torch.zeros_like(like))

    def step(self, state: DriftState, current: Tensor, dt: float) -> tuple[DriftState, Tensor]:
        v = state.v + dt * (torch.tanh(current) - state.v + self.gain * state.slow) / self.tau
        spike = self.spike(v - 0.4)
        slow = state.slow * torch.exp(torch.as_tensor(-dt / self.tau)) + spike
        return DriftState(v * (1 - spike), slow), spike


class Doubled(torch.autograd.Function):
    """Machine code knows a product, but not the function that the gradient asks for."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return 2 * x

    @staticmethod
    def backward(ctx: Any, given: Tensor) -> Tensor:
        return given * torch.special.i0(ctx.saved_tensors[0])


def drawn(*shape: int) -> Tensor:
    generator = torch.Generator().manual_seed(sum(shape))
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


def both(neuron: Neuron[Any], current: Tensor, dt: float = 0.5) -> None:
    """Machine code and the plain loop agree."""
    plain = run_plainly(neuron, current, neuron.init(current[0]), dt)[0]
    assert plain.abs().sum() > 0
    torch.testing.assert_close(neuron(current, dt=dt), plain, rtol=1e-10, atol=1e-10)


def test_a_cell_of_ones_own_is_the_plain_loop() -> None:
    neuron = Drift(nn.Parameter(torch.tensor([2.0, 3.0, 5.0], dtype=torch.float64)))
    current = (3 * drawn(T, B, N)).requires_grad_()
    fast = torch.autograd.grad((neuron(current) * drawn(T, B, N)).sum(), [current, neuron.tau])
    plain, _ = run_plainly(neuron, current, neuron.init(current[0]), 1.0)
    expected = torch.autograd.grad((plain * drawn(T, B, N)).sum(), [current, neuron.tau])
    for got, wanted in zip(fast, expected, strict=True):
        torch.testing.assert_close(got, wanted, rtol=1e-10, atol=1e-10)


def test_a_number_that_changes_is_seen() -> None:
    neuron, current = Drift(2.0), 3 * drawn(T, B, N)
    both(neuron, current)
    neuron.gain = 0.7
    both(neuron, current)
    neuron.tau = torch.tensor(1.5, dtype=torch.float64)
    both(neuron, current)
    neuron.tau.mul_(0.5)
    both(neuron, current)
    both(neuron, current, dt=0.25)


def test_a_neuron_that_nobody_holds_is_freed_with_its_machine_code() -> None:
    neuron = Drift(2.0)
    neuron((3 * drawn(T, B, N)).requires_grad_()).sum().backward()
    there = weakref.ref(neuron)
    del neuron
    gc.collect()
    assert there() is None


def test_what_cannot_be_machine_code_is_run_step_by_step() -> None:
    class Neighbors(Drift):
        def step(self, state: DriftState, current: Tensor, dt: float) -> tuple[DriftState, Tensor]:
            return super().step(state, current + state.v.roll(1, -1), dt)

    current = (3 * drawn(T, B, N)).requires_grad_()
    given = Neighbors(2.0)(current)
    assert "_Sequence" not in type(given.grad_fn).__name__
    assert torch.autograd.grad(given.sum(), current)[0].abs().sum() > 0


@pytest.mark.parametrize("asked", ["value", "gradient"])
def test_a_function_without_machine_code_is_run_step_by_step_and_told(
    asked: str, caplog: pytest.LogCaptureFixture
) -> None:
    class Odd(Drift):
        def step(self, state: DriftState, current: Tensor, dt: float) -> tuple[DriftState, Tensor]:
            odd: Any = torch.special.i0 if asked == "value" else Doubled.apply
            return super().step(state, odd(current), dt)

    current = drawn(T, B, N).requires_grad_()
    both(Odd(2.0), current.detach() if asked == "gradient" else current)
    neuron = Odd(2.0)
    assert torch.autograd.grad(neuron(current).sum(), current)[0].abs().sum() > 0
    assert "Odd is run step by step" in caplog.text


def test_a_state_may_be_laid_out_in_any_way_and_stays_as_it_was() -> None:
    cell, current = LIF(tau=7.0), 400 * drawn(T, B, N)
    turned = cell.init(current[0])._replace(v=drawn(N, B).t() - 60.0)
    before = turned.v.clone()
    after = cell.run(current, turned)[1].v
    torch.testing.assert_close(after, run_plainly(cell, current, turned, 1.0)[1].v)
    assert torch.equal(turned.v, before)


def test_a_gradient_is_differentiated_again_step_by_step() -> None:
    current = (2 * drawn(7, 2, N)).requires_grad_()
    cell = Drift(nn.Parameter(torch.tensor(2.0, dtype=torch.float64)))

    def final(current: Tensor, tau: Tensor) -> Tensor:
        return torch.func.functional_call(cell, {"tau": tau}, (current, 0.5))

    def voltage(current: Tensor) -> Tensor:
        return cell.run(current, dt=0.5)[1].v

    with pytest.raises(RuntimeError, match="step_by_step"):
        torch.autograd.grad(voltage(current).sum(), current, create_graph=True)
    with step_by_step():
        given = voltage(current)
    (slope,) = torch.autograd.grad(given.sum(), current, create_graph=True)
    (curvature,) = torch.autograd.grad((slope**2).sum(), current)
    plain = run_plainly(cell, current, cell.init(current[0]), 0.5)[1].v
    (expected,) = torch.autograd.grad(plain.sum(), current, create_graph=True)
    torch.testing.assert_close(slope, expected, rtol=1e-10, atol=1e-12)
    (wanted,) = torch.autograd.grad((expected**2).sum(), current)
    torch.testing.assert_close(curvature, wanted, rtol=1e-10, atol=1e-12)
    assert wanted.abs().sum() > 0
    assert final(current, cell.tau).shape == current.shape


@pytest.mark.parametrize("view", ["sum", "last", "slices"])
def test_any_part_of_what_comes_out_may_be_used(view: str) -> None:
    neuron = LIF(tau=7.0, surrogate=FastSigmoid(width=5.0))
    current = (400 * drawn(T, B, N)).requires_grad_()

    def loss(outputs: Tensor, end: Any) -> Tensor:
        parts = {"sum": outputs.sum(), "last": end.v.sum(), "slices": outputs[3::5, :, 1].sum()}
        return parts[view]

    fast = torch.autograd.grad(loss(*neuron.run(current)), current)
    plain = run_plainly(neuron, current, neuron.init(current[0]), 1.0)
    torch.testing.assert_close(fast, torch.autograd.grad(loss(*plain), current))


def test_a_current_may_be_laid_out_in_any_way_and_stays_as_it_was() -> None:
    neuron, current = LIF(tau=7.0), 400 * drawn(B, N, T)
    turned = current.permute(2, 0, 1)
    before = current.clone()
    torch.testing.assert_close(neuron(turned), neuron(turned.contiguous()))
    assert torch.equal(current, before)


def test_a_voltage_that_exceeds_the_threshold_is_kept_by_a_reset_that_subtracts() -> None:
    """Every spike takes one threshold off, so an input without leak is counted exactly."""
    cell = LIF(tau=1e9, resistance=1e9, v_rest=0.0, v_threshold=1.0, v_reset=None)
    current = torch.full((1000, 1), 0.3, dtype=torch.float64)
    assert abs(float(cell(current).sum()) - 0.3 * 1000) <= 1
