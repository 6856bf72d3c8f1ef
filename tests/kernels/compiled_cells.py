"""Every neuron, as tests of its machine code ask for it."""

from __future__ import annotations

import inspect
from typing import Any

import torch
from torch import Tensor, nn

from amphid.dynamics import (
    ALIF,
    LIF,
    Ablated,
    AdEx,
    Arctan,
    BinaryThreshold,
    ClearingLIF,
    EscapeRate,
    ExponentialMemory,
    FitzHughNagumo,
    Fractional,
    Graded,
    HodgkinHuxley,
    Izhikevich,
    LeakyIntegrator,
    MorrisLecar,
    Neuron,
    Refractory,
    SigmoidRelease,
    ThresholdIntegrator,
    Triangle,
)

CELLS = 13


def each(value: float) -> Tensor:
    """A value per cell, around that one."""
    return value * torch.linspace(0.9, 1.1, CELLS, dtype=torch.float64)


def learned(value: float) -> nn.Parameter:
    return nn.Parameter(torch.tensor(value, dtype=torch.float64))


# each with the current that makes it fire, in pA
NEURONS: dict[str, tuple[Neuron[Any], float]] = {
    "LIF": (LIF(), 400.0),
    "LIF per cell": (LIF(tau=each(20.0), v_threshold=each(-50.0)), 400.0),
    "LIF learned": (LIF(tau=learned(20.0), resistance=learned(0.1), surrogate=Arctan()), 400.0),
    "ThresholdIntegrator": (ThresholdIntegrator(), 400.0),
    "LeakyIntegrator": (LeakyIntegrator(tau=each(20.0)), 400.0),
    "ClearingLIF": (ClearingLIF(period=3.0), 400.0),
    "ALIF": (ALIF(surrogate=Triangle(2.0), reset_gradient=True), 400.0),
    "ALIF per cell": (ALIF(tau_adaptation=each(50.0), jump=learned(2.0)), 400.0),
    "Izhikevich": (Izhikevich(), 900.0),
    "AdEx": (AdEx(tau_w=each(144.0), sharpness=learned(2.0)), 3000.0),
    "HodgkinHuxley": (HodgkinHuxley(), 2000.0),
    "HodgkinHuxley.cortical": (HodgkinHuxley.cortical(g_leak=each(30.0)), 300.0),
    "HodgkinHuxley releasing": (HodgkinHuxley(terminal=SigmoidRelease()), 2000.0),
    "MorrisLecar": (MorrisLecar(), 250.0),
    "FitzHughNagumo": (FitzHughNagumo(), 400.0),
    "Graded": (Graded(), 2.0),
    "Graded per cell": (Graded(v_threshold=each(-30.0)), 2.0),
    "BinaryThreshold": (BinaryThreshold(), 1.0),
    "EscapeRate": (EscapeRate(generator=torch.Generator().manual_seed(7)), 400.0),
    "Refractory": (Refractory(AdEx(), period=2.0), 3000.0),
    "Ablated": (Ablated(LIF(), alive=(each(1.0) > 0.95).double()), 900.0),
    "Fractional": (Fractional(LIF(), order=0.7, memory=ExponentialMemory(0.01, 1000)), 400.0),
    "Refractory per cell": (Refractory(Izhikevich(), period=each(2.0)), 900.0),
}


def noise(*shape: int, seed: int = 1) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def concrete(kind: type) -> set[type]:
    below = {leaf for child in kind.__subclasses__() for leaf in concrete(child) | {child}}
    own = {leaf for leaf in below if leaf.__module__.startswith("amphid.dynamics")}
    return {leaf for leaf in own if not inspect.isabstract(leaf)}
