"""Surrogates: one contract for all of them, and widths relative to the way to threshold."""

from __future__ import annotations

import dataclasses
import functools
import inspect
import math
import pickle

import pytest
import torch
from torch import Tensor
from torch.fx.experimental.proxy_tensor import make_fx

from amphid import dynamics
from amphid.dynamics import (
    ALIF,
    LIF,
    AdEx,
    Arctan,
    BinaryThreshold,
    Boxcar,
    ClearingLIF,
    Crossing,
    FastSigmoid,
    Gaussian,
    HodgkinHuxley,
    Izhikevich,
    MultiGaussian,
    Relative,
    Sigmoid,
    StraightThrough,
    ThresholdIntegrator,
    Triangle,
)
from amphid.dynamics.surrogate import Shape
from amphid.kernels import compile_step

SURROGATES = [
    FastSigmoid,
    Arctan,
    Triangle,
    Boxcar,
    Sigmoid,
    Gaussian,
    MultiGaussian,
    StraightThrough,
]
every = pytest.mark.parametrize("shape", SURROGATES, ids=lambda s: s.__name__)
LIFS = [LIF, ALIF, ClearingLIF, ThresholdIntegrator, Izhikevich, AdEx]


@pytest.fixture(autouse=True)
def float64():
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def slope(surrogate, distance: Tensor) -> Tensor:
    distance = distance.clone().requires_grad_()
    return torch.autograd.grad(surrogate(distance).sum(), distance)[0]


def test_the_list_holds_every_surrogate_there_is():
    assert set(SURROGATES) == set(Shape.__subclasses__())
    assert {s.__name__ for s in SURROGATES} | {"Relative"} <= set(dynamics.__all__)
    assert not [below for shape in SURROGATES for below in shape.__subclasses__()]


@every
def test_a_spike_is_one_above_threshold_and_nothing_at_it(shape):
    spikes = shape(1.7)(torch.tensor([-1e9, -0.1, 0.0, 1e-9, 3.0, 1e9]))
    assert spikes.tolist() == [0, 0, 0, 1, 1, 1]


@every
def test_the_slope_integrates_to_one_whatever_the_width(shape):
    for width in (0.3, 1.0, 7.0):
        # x = w tan(u) reaches the heavy tails: dx = w (1 + tan^2 u) du
        ends = torch.linspace(-math.pi / 2, math.pi / 2, 200_003)
        middle = (ends[1:] + ends[:-1]) / 2
        x = width * torch.tan(middle)
        area = (slope(shape(width), x) * width * (1 + torch.tan(middle) ** 2)).sum()
        area *= math.pi / 200_002
        if shape is StraightThrough:  # the one that has no integral: one within its width
            area = slope(shape(width), torch.linspace(0, width, 101)).mean() * width
        assert area.item() == pytest.approx(1.0, abs=1e-4)


@every
def test_the_slope_is_even_and_scales_with_the_width(shape):
    x = torch.linspace(-6.1, 6.1, 43)
    torch.testing.assert_close(slope(shape(2.0), x), slope(shape(2.0), -x))
    torch.testing.assert_close(slope(shape(2.0), 2 * x), slope(shape(1.0), x) / 2)


@every
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_no_distance_makes_the_slope_anything_but_a_number(shape, dtype):
    far = torch.tensor([0.0, 1e-30, 3.5, 88.0, 1e4, 1e30, torch.finfo(dtype).max], dtype=dtype)
    x = torch.cat((far, -far))
    for width in (1e-3, 1.0, 1e3):
        given = slope(shape(width), x)
        assert given.dtype == dtype
        assert given.isfinite().all()
        if shape is not StraightThrough:
            assert given[6] == given[13] == 0


@every
def test_it_is_elementwise_so_that_vmap_and_kernels_take_it(shape):
    x = torch.linspace(-3.0, 3.0, 35).reshape(5, 7)
    torch.testing.assert_close(torch.vmap(shape())(x), shape()(x))

    def adjoint(x: Tensor) -> Tensor:
        return torch.func.vjp(shape(), x)[1](torch.ones_like(x))[0]

    torch.testing.assert_close(make_fx(adjoint)(x)(x + 0.4), slope(shape(), x + 0.4))
    torch.testing.assert_close(compile_step(adjoint, x)(x + 0.4), slope(shape(), x + 0.4))


@every
def test_it_is_a_value_that_says_itself(shape):
    surrogate = shape(0.7)
    assert surrogate == shape(0.7) != shape(0.8)
    assert pickle.loads(pickle.dumps(surrogate)) == surrogate
    assert "width=0.7" in repr(surrogate)
    assert dataclasses.replace(surrogate, width=2.0) == shape(2.0)
    assert hash(surrogate) == hash(shape(0.7))
    for wrong in (0.0, -1.0, math.nan, math.inf, "1"):
        with pytest.raises(ValueError, match="positive number of mV"):
            shape(wrong)


def test_a_multigaussian_is_negative_far_away_unless_it_has_no_sides():
    x = torch.linspace(-9.0, 9.0, 19)
    assert slope(MultiGaussian(), x).min() < 0
    torch.testing.assert_close(slope(MultiGaussian(height=0.0), x), slope(Gaussian(), x))
    with pytest.raises(ValueError, match="height"):
        MultiGaussian(height=1.0)


@pytest.mark.parametrize("neuron", LIFS, ids=lambda n: n.__name__)
def test_every_neuron_that_is_reset_names_its_gradient(neuron):
    for gradient in (False, True):
        shown = repr(neuron(surrogate=Gaussian(0.37), reset_gradient=gradient))
        assert "surrogate=Gaussian(width=0.37)" in shown
        assert f"reset_gradient={gradient}" in shown


def test_every_other_neuron_that_spikes_names_its_surrogate():
    assert "Gaussian(width=0.37)" in repr(BinaryThreshold(surrogate=Gaussian(0.37)))
    assert "Gaussian(width=0.37)" in repr(
        HodgkinHuxley(terminal=Crossing(surrogate=Gaussian(0.37)))
    )
    taking = [n for n in vars(dynamics).values() if inspect.isclass(n)]
    taking = [n for n in taking if "surrogate" in inspect.signature(n).parameters]
    assert set(taking) == {*LIFS, BinaryThreshold, Crossing}


def test_a_relative_width_is_a_share_of_the_way_to_threshold():
    cell = LIF(v_rest=-70.0, v_threshold=-50.0, surrogate=Relative(FastSigmoid, 0.1))
    x = torch.linspace(-9.0, 9.0, 19)
    torch.testing.assert_close(slope(cell.surrogate, x), slope(FastSigmoid(2.0), x))
    assert "Relative(FastSigmoid, 0.1, width=2)" in repr(cell)


def test_a_cell_in_other_units_has_the_same_relative_gradient():
    """Voltages, and currents with them, ten times as large: the gradient by current is a tenth."""
    current = torch.linspace(0.0, 300.0, 23)[:, None]
    gradients = []
    for scale in (1.0, 10.0):
        cell = LIF(
            v_rest=0.0,
            v_reset=0.0,
            v_threshold=15.0 * scale,
            surrogate=Relative(functools.partial(Arctan), 0.2),
        )
        gradients.append(scale * slope(cell, current * scale))
    torch.testing.assert_close(*gradients)


def test_a_changed_cell_has_its_relative_width_anew():
    cell = LIF(surrogate=Relative(Triangle, 0.2)).changed(v_threshold=-40.0)
    assert cell.surrogate == Relative(Triangle, 0.2, way=25.0)


@pytest.mark.parametrize("neuron", [*LIFS, BinaryThreshold], ids=lambda n: n.__name__)
def test_every_neuron_with_a_threshold_takes_a_relative_width(neuron):
    assert neuron(surrogate=Relative(Arctan, 0.5)).surrogate.way > 0


def test_a_relative_width_without_a_way_is_refused():
    with pytest.raises(ValueError, match="give a width in mV"):
        Crossing(surrogate=Relative(Arctan, 0.5))
    with pytest.raises(ValueError, match="the way is 0 mV"):
        LIF(v_rest=-50.0, surrogate=Relative(Arctan, 0.5))
    with pytest.raises(ValueError, match="does not know how far"):
        Relative(Arctan, 0.5)(torch.ones(2))
    with pytest.raises(TypeError, match="must be one such as FastSigmoid"):
        LIF(surrogate=FastSigmoid)
