"""Values to learn that stay positive, and membranes under autocast."""

import math

import pytest
import torch
from torch import nn

from amphid.dynamics import ALIF, LIF, HodgkinHuxley, LeakyIntegrator, learned


def test_what_must_be_positive_is_learned_by_its_logarithm_all_else_as_it_is():
    cell = LIF(tau=learned(20.0), v_threshold=learned(torch.full((3,), -50.0)))
    assert {name for name, _ in cell.named_parameters()} == {"log_tau", "v_threshold"}
    assert cell.log_tau.item() == pytest.approx(math.log(20.0))
    assert cell.tau.item() == pytest.approx(20.0)
    assert "tau=20 (learned)" in repr(cell)
    assert "v_threshold=learned[3]" in repr(cell)
    assert all(type(own) is nn.Parameter for own in cell.parameters())


def test_a_learned_cell_does_what_a_fixed_one_does():
    current = torch.linspace(0.0, 400.0, 37)[:, None].expand(37, 3)
    there, fixed = LIF(tau=learned(13.0)), LIF(tau=13.0)
    torch.testing.assert_close(there(current, dt=0.5), fixed(current, dt=0.5))


def test_no_step_of_an_optimizer_makes_a_time_constant_negative():
    cell = LeakyIntegrator(tau=learned(torch.tensor([2.0, 200.0])))
    optimizer = torch.optim.Adam(cell.parameters(), lr=0.5)
    current = torch.ones(11, 2)
    (-cell(current)).sum().backward()
    optimizer.step()
    assert (cell.tau > 0).all()
    # the first step of Adam is lr in each entry: the same share of 2 ms and of 200 ms
    torch.testing.assert_close(cell.tau / torch.tensor([2.0, 200.0]), torch.full((2,), 0.6065307))
    for _ in range(50):
        optimizer.step()
    assert (cell.tau > 0).all()


def test_its_gradient_is_that_of_the_logarithm():
    plain = LeakyIntegrator(tau=nn.Parameter(torch.tensor(7.0, dtype=torch.float64)))
    cell = LeakyIntegrator(tau=learned(torch.tensor(7.0, dtype=torch.float64)))
    current = torch.linspace(-1.0, 1.0, 29, dtype=torch.float64)[:, None]
    for one in (plain, cell):
        one(current).square().sum().backward()
    torch.testing.assert_close(cell.log_tau.grad, 7.0 * plain.tau.grad)


def test_functional_call_and_state_dict_know_the_logarithm():
    cell = ALIF(tau=learned(20.0), tau_adaptation=learned(200.0))
    values = {"log_tau": torch.tensor(5.0).log()}
    current = torch.full((17, 3), 300.0)
    called = torch.func.functional_call(cell, values, (current,))
    torch.testing.assert_close(called, ALIF(tau=5.0)(current))
    other = ALIF(tau=learned(1.0), tau_adaptation=learned(1.0))
    other.load_state_dict(cell.state_dict())
    torch.testing.assert_close(other(current), cell(current))


def test_a_changed_cell_still_learns_what_it_learned():
    cell = HodgkinHuxley(g_sodium=learned(11000.0)).changed(g_leak=31.0)
    assert [name for name, _ in cell.named_parameters()] == ["log_g_sodium"]
    assert cell.g_sodium.item() == pytest.approx(11000.0)


def test_a_start_that_is_not_positive_is_refused():
    with pytest.raises(ValueError, match="tau must be positive, got -1"):
        LIF(tau=learned(-1.0))


@pytest.mark.parametrize("neuron", [LIF, HodgkinHuxley], ids=lambda n: n.__name__)
def test_under_autocast_a_membrane_stays_in_full_precision(neuron):
    layer = nn.Sequential(nn.Linear(5, 3), neuron())
    x = torch.ones(7, 2, 5)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        current = layer[0](x)
        output, state = layer[1].run(current)
        assert layer(x).dtype == torch.float32
    assert current.dtype == torch.bfloat16
    assert output.dtype == state.v.dtype == torch.float32
    torch.testing.assert_close(output, layer[1](current.float()))
