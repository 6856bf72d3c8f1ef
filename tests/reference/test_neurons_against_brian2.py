"""Neurons against the same equations in Brian2, in ms, mV, pA, pF, nS and GOhm throughout."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch

from amphid.dynamics import (
    ALIF,
    LIF,
    AdEx,
    BinaryThreshold,
    EscapeRate,
    FitzHughNagumo,
    Graded,
    HodgkinHuxley,
    Izhikevich,
    LeakyIntegrator,
    MorrisLecar,
    Neuron,
    Refractory,
    ThresholdIntegrator,
)

with warnings.catch_warnings():
    # Brian2 2.9 uses names that newer pyparsing renamed.
    warnings.filterwarnings("ignore", ".*deprecated.* use ", DeprecationWarning)
    brian2 = pytest.importorskip(
        "brian2", reason="Brian2 is not installed here", exc_type=ImportError
    )

pytestmark = [
    pytest.mark.reference,
    pytest.mark.filterwarnings("ignore:.*deprecated.* use :DeprecationWarning"),
]


class Case(NamedTuple):
    """A cell of ours and its equations for Brian2, with everything that the two share."""

    ours: Neuron[Any]
    equations: str
    current: tuple[float, ...]  # pA, one cell each
    threshold: str = ""
    reset: str = ""
    exact: bool = False  # every spike in the same step, all variables equal to rounding
    method: str = "rk4"
    refractory: float | str = 0.0  # ms, or how Brian2 tells that a spike is still the same
    duration: float = 50.0  # ms
    dt: float = 0.05  # ms
    start: Mapping[str, float] = MappingProxyType({})  # where Brian2 starts, if not as we do


LEAK = "dv/dt = (-65 - v + 0.1*I) / (20*ms) : 1"
HELD = f"{LEAK} (unless refractory)"

SQUID = """
dv/dt = (-120*m**3*h*(v - 50) - 36*n**4*(v + 77) - 0.3*(v + 54.387) + I)/ms : 1
dm/dt = (1/exprel(-(v + 40)/10)*(1 - m) - 4*exp(-(v + 65)/18)*m)/ms : 1
dh/dt = (0.07*exp(-(v + 65)/20)*(1 - h) - h/(1 + exp(-(v + 35)/10)))/ms : 1
dn/dt = (0.1/exprel(-(v + 55)/10)*(1 - n) - 0.125*exp(-(v + 65)/80)*n)/ms : 1
"""
CORTEX = """
dv/dt = (-40*m**3*h*(v - 55) - 35*n**4*(v + 77) - 0.3*(v + 65) + I)/ms : 1
dm/dt = (0.182*9/exprel(-(v + 35)/9)*(1 - m) - 0.124*9/exprel((v + 35)/9)*m)/ms : 1
dh/dt = (0.25*exp(-(v + 90)/12)*(1 - h) - 0.25*exp((v + 34)/12)*h)/ms : 1
dn/dt = (0.02*9/exprel(-(v - 25)/9)*(1 - n) - 0.002*9/exprel((v - 25)/9)*n)/ms : 1
"""

CASES = {
    "LIF": Case(LIF(), LEAK, (149.0, 200.0, 431.0), "v > -50", "v = -65", True, "exact"),
    "ThresholdIntegrator": Case(
        ThresholdIntegrator(capacitance=200.0, v_threshold=15.0),
        "dv/dt = I/200/ms : 1",
        (-100.0, 170.0, 977.0),
        "v > 15",
        "v = 0",
        True,
        "euler",
    ),
    "LeakyIntegrator": Case(
        LeakyIntegrator(tau=13.0, resistance=0.2, v_rest=-3.0),
        "dv/dt = (-3 - v + 0.2*I)/(13*ms) : 1",
        (-170.0, 110.0),
        exact=True,
        method="exact",
    ),
    "ALIF": Case(
        ALIF(tau_adaptation=70.0, jump=3.0),
        f"{LEAK}\ndthreshold/dt = (-50 - threshold)/(70*ms) : 1",
        (200.0, 431.0, 977.0),
        "v > threshold",
        "v = -65; threshold += 3",
        True,
        "exact",
    ),
    "Refractory": Case(
        Refractory(LIF(), period=2.0),
        HELD,
        (200.0, 431.0, 977.0),
        "v > -50",
        "v = -65",
        True,
        "exact",
        2.0,
    ),
    "Refractory adapting": Case(
        Refractory(ALIF(tau_adaptation=70.0, jump=3.0), period=3.0),
        f"{HELD}\ndthreshold/dt = (-50 - threshold)/(70*ms) : 1",
        (200.0, 431.0, 977.0),
        "v > threshold",
        "v = -65; threshold += 3",
        True,
        "exact",
        3.0,
    ),
    "Izhikevich": Case(
        Izhikevich(),
        """
        dv/dt = (0.7*(v + 60)*(v + 40) - u + I)/100/ms : 1
        du/dt = 0.03*(-2*(v + 60) - u)/ms : 1
        """,
        (40.0, 100.0, 300.0),
        "v > 35",
        "v = -50; u += 100",
        duration=200.0,
    ),
    "Izhikevich bursting": Case(
        Izhikevich.intrinsically_bursting(),
        """
        dv/dt = (1.2*(v + 75)*(v + 45) - u + I)/150/ms : 1
        du/dt = 0.01*(5*(v + 75) - u)/ms : 1
        """,
        (300.0, 600.0),
        "v > 50",
        "v = -56; u += 130",
        duration=200.0,
    ),
    "Izhikevich of 2003": Case(
        Izhikevich.of_2003(a=0.02, b=0.2, c=-65.0, d=8.0),
        """
        dv/dt = (0.04*v**2 + 5*v + 140 - u + I)/ms : 1
        du/dt = 0.02*(0.2*v - u)/ms : 1
        """,
        (3.0, 6.0, 14.0),
        "v > 30",
        "v = -65; u += 8",
        duration=150.0,
        start={"u": -14.0},
    ),
    "AdEx": Case(
        AdEx(),
        """
        dv/dt = (-30*(v + 70.6) + 60*exp(clip((v + 50.4)/2, -100, 20)) - w + I)/281/ms : 1
        dw/dt = (4*(v + 70.6) - w)/144/ms : 1
        """,
        (500.0, 800.0, 1500.0),
        "v > 20",
        "v = -70.6; w += 80.5",
        method="euler",
        duration=60.0,
        dt=0.02,
    ),
    "HodgkinHuxley": Case(
        HodgkinHuxley.squid(capacitance=1.0),
        SQUID,
        (2.0, 7.0, 12.0, 40.0),
        "v > 0",
        refractory="v > 0",
        duration=30.0,
        dt=0.025,
    ),
    "HodgkinHuxley cortical": Case(
        HodgkinHuxley.cortical(capacitance=1.0),
        CORTEX,
        (0.2, 1.0, 2.0, 5.0),
        "v > 0",
        refractory="v > 0",
        duration=70.0,
    ),
    "MorrisLecar": Case(
        MorrisLecar(),
        """
        dv/dt = (-2*(v + 60) - 4.4*0.5*(1 + tanh((v + 1.2)/18))*(v - 120)
                 - 8*n*(v + 84) + I)/20/ms : 1
        dn/dt = 0.04*cosh((v - 2)/60)*(0.5*(1 + tanh((v - 2)/30)) - n)/ms : 1
        """,
        (60.0, 100.0, 150.0),
        "v > 0",
        refractory="v > 0",
        duration=150.0,
    ),
    "FitzHughNagumo": Case(
        FitzHughNagumo(),
        """
        dv/dt = 25*(x - x**3/3 - recovery + I/100)/ms : 1
        drecovery/dt = 0.08*(x + 0.7 - 0.8*recovery)/ms : 1
        x = (v + 35)/25 : 1
        """,
        (20.0, 50.0, 100.0),
        "v > -35",
        refractory="v > -35",
        duration=60.0,
    ),
    "Graded": Case(
        Graded(capacitance=1.5, v_threshold=-25.0),
        """
        dv/dt = (-0.01*(v + 35) + I)/1.5/ms : 1
        drelease/dt = (0.001/(1 + exp(-0.125*(v + 25)))*(1 - release) - 0.005*release)/ms : 1
        """,
        (-0.3, 0.2, 1.0),
        duration=150.0,
    ),
}


@pytest.fixture(autouse=True)
def numpy_only() -> Iterator[None]:
    """Brian2 without a compiler, from a clean start; our cells in float64."""
    brian2.prefs.codegen.target = "numpy"
    brian2.start_scope()
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def theirs(case: Case, start: dict[str, Any]) -> tuple[dict[str, Any], list[Any]]:
    """Variables [T, N] at the start of each step, and the steps in which each cell fired."""
    held = case.refractory if isinstance(case.refractory, str) else case.refractory * brian2.ms
    cells = brian2.NeuronGroup(
        len(case.current),
        f"{case.equations}\nI : 1",
        method=case.method,
        dt=case.dt * brian2.ms,
        namespace={},
        threshold=case.threshold or None,
        reset=case.reset or None,
        refractory=held,
    )
    cells.I = np.array(case.current)
    for name, value in {**start, **case.start}.items():
        setattr(cells, name, value)
    watched = brian2.StateMonitor(cells, list(start), record=True, clock=cells.clock)
    spikes = brian2.SpikeMonitor(cells) if case.threshold else None
    network = brian2.Network(cells, watched, *[spikes] * (spikes is not None))
    network.run(case.duration * brian2.ms)
    traces = {name: getattr(watched, name).T for name in start}
    if spikes is None:
        return traces, [[] for _ in case.current]
    steps = np.rint(np.asarray(spikes.t / brian2.ms) / case.dt).astype(int)
    return traces, [steps[np.asarray(spikes.i) == cell].tolist() for cell in range(cells.N)]


@torch.no_grad()
def ours(case: Case, names: list[str]) -> tuple[dict[str, Any], list[Any]]:
    """The same of our cell."""
    current = torch.tensor(case.current)
    state, spikes = case.ours.init(current), []
    traces: dict[str, list[Any]] = {name: [] for name in names}
    for _ in range(round(case.duration / case.dt)):
        for name, values in traces.items():
            values.append(case.ours.read(state, name).numpy())
        state, output = case.ours.step(state, current, case.dt)
        spikes.append(output)
    fired = torch.stack(spikes) == 1.0
    steps = [column.nonzero().flatten().tolist() for column in fired.unbind(1)]
    return {name: np.stack(values) for name, values in traces.items()}, steps


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_a_cell_does_what_brian2_makes_of_its_equations(case: Case) -> None:
    """Mean |dV| before the first spike below 0.05 mV, and as many spikes, give or take one.

    Where both are exact, the same spikes in the same steps and the same values throughout.
    """
    state = case.ours.init(torch.tensor(case.current))
    names = re.findall(r"d(\w+)/dt", case.equations)
    start = {name: case.ours.read(state, name).numpy() for name in names}
    expected, their_spikes = theirs(case, start)
    got, our_spikes = ours(case, names)
    if case.exact:
        assert our_spikes == their_spikes
        for name in names:
            np.testing.assert_allclose(got[name], expected[name], rtol=0, atol=1e-9)
    for cell, (mine, his) in enumerate(zip(our_spikes, their_spikes, strict=True)):
        until = min([*mine[:1], *his[:1], len(got["v"])])
        assert np.abs(got["v"] - expected["v"])[:until, cell].mean() < 0.05
        assert abs(len(mine) - len(his)) <= 1
    assert bool(case.threshold) == (sum(map(len, our_spikes)) > 2)


def test_a_graded_cell_releases_as_brian2_makes_it() -> None:
    case = CASES["Graded"]
    names = ["v", "release"]
    state = case.ours.init(torch.tensor(case.current))
    expected, _ = theirs(case, {name: case.ours.read(state, name).numpy() for name in names})
    got, _ = ours(case, names)
    assert np.ptp(got["release"], axis=0).max() > 0.05
    assert np.abs(got["release"] - expected["release"]).max() < 1e-4


def test_a_binary_cell_does_what_brian2_makes_of_it() -> None:
    """Under an input that changes in every step, the same steps."""
    current = np.random.default_rng(3).normal(0.5, 1.0, (97, 5))
    drive = brian2.TimedArray(current, dt=0.1 * brian2.ms)
    cells = brian2.NeuronGroup(
        5, "v = 2*drive(t, i) : 1", threshold="v > 0.7", reset="", dt=0.1 * brian2.ms
    )
    spikes = brian2.SpikeMonitor(cells)
    brian2.Network(cells, spikes).run(9.7 * brian2.ms, namespace={"drive": drive})
    steps = np.rint(np.asarray(spikes.t / brian2.ms) / 0.1).astype(int)
    expected = np.zeros((97, 5))
    expected[steps, np.asarray(spikes.i)] = 1.0
    got = BinaryThreshold(resistance=2.0, v_threshold=0.7)(torch.tensor(current), dt=0.1)
    np.testing.assert_array_equal(got.numpy(), expected)


def test_an_escape_rate_fires_as_often_as_in_brian2() -> None:
    """Counts of 997 cells in 100 ms differ by less than four standard errors."""
    brian2.seed(5)
    cells = brian2.NeuronGroup(
        997,
        f"{LEAK}\nI : 1",
        threshold="rand() < 1 - exp(-0.1*exp((v + 50)/2)*0.1)",
        reset="v = -65",
        method="exact",
        dt=0.1 * brian2.ms,
    )
    cells.v, cells.I = -65.0, 160.0
    spikes = brian2.SpikeMonitor(cells)
    brian2.Network(cells, spikes).run(100 * brian2.ms, namespace={})
    theirs = np.bincount(np.asarray(spikes.i), minlength=997)
    ours = EscapeRate(generator=torch.Generator().manual_seed(5))
    with torch.no_grad():
        got = ours(torch.full((1000, 997), 160.0), dt=0.1).sum(0).numpy()
    error = np.hypot(theirs.std(), got.std()) / np.sqrt(997)
    assert theirs.mean() > 1.0
    assert abs(theirs.mean() - got.mean()) < 4 * error
