"""Rates of gates, where they are 0/0 as well, and the gates themselves."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from amphid.dynamics import ExponentialRate, Gate, HodgkinHuxley, LinearRate, SigmoidRate
from amphid.dynamics.rest import resting_voltage


@pytest.fixture(autouse=True)
def float64() -> Any:
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def slope(rate: Any, v: torch.Tensor) -> torch.Tensor:
    v = v.clone().requires_grad_()
    return torch.autograd.grad(rate(v).sum(), v)[0]


@pytest.mark.parametrize("scale", [9.0, -9.0, 0.3])
def test_a_linear_rate_has_its_limit_where_it_is_zero_over_zero(scale: float) -> None:
    """k (v - v0) / (1 - exp(-(v - v0) / s)) tends to k s, with slope k / 2."""
    rate = LinearRate(1.7, -35.0, scale)
    middle = torch.tensor([-35.0])
    assert rate(middle).item() == pytest.approx(1.7, rel=1e-14)
    assert slope(rate, middle).item() == pytest.approx(1.7 / scale / 2, rel=1e-12)


def test_a_linear_rate_is_smooth_around_its_limit() -> None:
    """In both types, value and slope follow the series to the rounding of the formula."""
    rate = LinearRate(1.0, 0.0, 1.0)
    x = torch.cat([sign * torch.logspace(-9, -1, 61) for sign in (-1.0, 1.0)])
    value = 1 + x / 2 + x**2 / 12 - x**4 / 720 + x**6 / 30240
    steep = 1 / 2 + x / 6 - x**3 / 180 + x**5 / 5040
    torch.testing.assert_close(rate(x), value, rtol=1e-11, atol=0)
    torch.testing.assert_close(slope(rate, x), steep, rtol=1e-9, atol=0)
    torch.testing.assert_close(rate(x.float()), value.float(), rtol=1e-6, atol=0)
    torch.testing.assert_close(slope(rate, x.float()), steep.float(), rtol=1e-3, atol=0)


def test_a_linear_rate_is_what_it_says_away_from_its_limit() -> None:
    v = torch.linspace(-90.0, 60.0, 31)
    expected = 0.182 * (v + 35.1) / (1 - torch.exp(-(v + 35.1) / 9.0))
    torch.testing.assert_close(LinearRate(0.182 * 9.0, -35.1, 9.0)(v), expected)


@pytest.mark.parametrize("kind", [ExponentialRate, LinearRate, SigmoidRate])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_no_voltage_breaks_a_rate(kind: Callable[..., Any], dtype: torch.dtype) -> None:
    v = torch.tensor([-1e30, -1e9, -1e4, 0.0, 1e4, 1e9, 1e30], dtype=dtype)
    for scale in (5.0, -5.0):
        rate = kind(0.3, -40.0, scale)
        gate = Gate(rate, kind(0.2, -40.0, -scale))
        assert rate(v).isfinite().all()
        assert slope(rate, v).isfinite().all()
        assert gate.limit(v).isfinite().all()
        assert (
            slope(lambda x, gate=gate: gate.after(0.5 * torch.ones_like(x), x, 0.1), v)
            .isfinite()
            .all()
        )


def test_a_gate_is_exact_at_any_dt() -> None:
    gate, v = HodgkinHuxley.cortical().n, torch.linspace(-100.0, 60.0, 17)
    x = torch.full((17,), 0.3)
    once = gate.after(x, v, 3.0)
    often = x
    for _ in range(30):
        often = gate.after(often, v, 0.1)
    torch.testing.assert_close(once, often)
    torch.testing.assert_close(gate.after(x, v, 1e6), gate.limit(v))


def test_a_gate_moves_at_the_rates_it_was_given() -> None:
    opening, closing = ExponentialRate(0.4, -50.0, 20.0), SigmoidRate(0.7, -30.0, -6.0)
    v, x = torch.linspace(-80.0, 20.0, 11), torch.linspace(0.0, 1.0, 11)
    speed = (Gate(opening, closing).after(x, v, 1e-6) - x) / 1e-6
    torch.testing.assert_close(speed, opening(v) * (1 - x) - closing(v) * x, rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize("kind", [ExponentialRate, LinearRate, SigmoidRate])
def test_a_rate_of_nonsense_is_a_sentence(kind: Callable[..., Any]) -> None:
    with pytest.raises(ValueError, match="rate must be positive, got 0"):
        kind(0.0, -40.0, 5.0)
    with pytest.raises(ValueError, match="scale must not be zero"):
        kind(1.0, -40.0, 0.0)
    with pytest.raises(TypeError, match="midpoint must be a finite number, got 'low'"):
        kind(1.0, "low", 5.0)


def test_the_lowest_of_several_rests_is_taken() -> None:
    """v (1 - v) (v - 3) is inward below 0, outward to 1, inward to 3."""
    rest = resting_voltage(
        lambda v: v * (1 - v) * (3 - v) * -1.0, torch.tensor(-2.0), torch.tensor(5.0)
    )
    assert rest.item() == pytest.approx(0.0, abs=1e-12)


def test_without_a_rest_it_starts_at_the_lower_end() -> None:
    rest = resting_voltage(lambda v: v**2 + 1, torch.tensor([-2.0, 1.0]), torch.tensor([5.0, 7.0]))
    assert rest.tolist() == [-2.0, 1.0]


def test_the_gradient_of_rest_is_that_of_the_implicit_function() -> None:
    """v + v^3 = p: dv/dp = 1 / (1 + 3 v^2)."""
    p = torch.tensor([-3.0, 0.0, 2.0, 9.0], requires_grad=True)
    ends = torch.full((4,), -10.0), torch.full((4,), 10.0)
    rest = resting_voltage(lambda v: p - v - v**3, *ends)
    torch.testing.assert_close(rest + rest**3, p)
    (gradient,) = torch.autograd.grad(rest.sum(), p)
    torch.testing.assert_close(gradient, 1 / (1 + 3 * rest.detach() ** 2), rtol=1e-7, atol=0)
