"""Networks of every cell and synapse, for tests that run them by one engine and by another."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

import amphid as am
from amphid import dynamics
from amphid.dynamics import (
    ALIF,
    LIF,
    NMDA,
    Ablated,
    AdEx,
    Alpha,
    AlphaConductance,
    BinaryThreshold,
    ClearingLIF,
    Conductance,
    Delta,
    DoubleExponential,
    DoubleExponentialConductance,
    EscapeRate,
    Exponential,
    ExponentialMemory,
    FitzHughNagumo,
    Fractional,
    GapJunction,
    Graded,
    GradedSynapse,
    HodgkinHuxley,
    Izhikevich,
    LeakyIntegrator,
    Mixed,
    MorrisLecar,
    Neuron,
    Refractory,
    ShortTerm,
    SigmoidRelease,
    Synapse,
    ThresholdIntegrator,
)
from amphid.wiring import Cells, Connections, Connectome


@dataclass(frozen=True)
class Cases:
    """Networks and currents of one size; dt in ms."""

    cells: int
    edges: int
    steps: int
    dt: float = 0.5
    junctions: float = 0.2

    def each(self, value: float) -> Tensor:
        """A value that differs from cell to cell."""
        return value * torch.linspace(0.9, 1.1, self.cells, dtype=torch.float64)

    def drawn(
        self, seed: int = 0, *, delays: bool = True, shortest: int = 0,
        junctions: float | None = None,
    ) -> Connectome:  # fmt: skip
        """A random connectome; connections of both kinds, delays of some steps, at most 5."""
        rng = np.random.default_rng(seed)
        share, edges = self.junctions if junctions is None else junctions, self.edges
        kind = (rng.random(edges) < share).astype(int)
        late = np.where(kind == 0, rng.integers(shortest, 6, edges) * self.dt, np.nan)
        return Connectome(
            Cells([f"n{i}" for i in range(self.cells)]),
            Connections(
                rng.integers(0, self.cells, edges),
                rng.integers(0, self.cells, edges),
                kind=kind,
                synapses=rng.integers(1, 7, edges),
                sign=np.where(kind == 0, rng.choice([-1, 1, 1], edges), 0),
                delay=late if delays else np.nan,
            ),
        )

    def network(
        self, neuron: Neuron[Any], synapse: Synapse[Any] | None = None,
        wired: Connectome | None = None, **given: Any,
    ) -> am.Network:  # fmt: skip
        """Cells with chemical synapses that suit them, and gap junctions."""
        if synapse is None and neuron.output == "release":
            synapse = GradedSynapse(conductance=0.01, reversal=0.0)
        if neuron.output == "v" and wired is None:
            wired = self.drawn(junctions=1.0)
        synapse = synapse or Exponential(tau=5.0, amplitude=20.0)
        groups: dict[str, Any] = {"chemical": synapse} if neuron.output != "v" else {}
        if isinstance(synapse, dynamics.ConductanceSynapse) or getattr(synapse, "solvable", False):
            groups = {"excitatory": synapse, "inhibitory": synapse}
        groups["electrical"] = GapJunction(conductance=0.02)
        wired = self.drawn() if wired is None else wired
        return am.Network(wired, neuron=neuron, synapse=groups, **given).double()

    def drive(self, mean: float, *batch: int, seed: int = 1) -> Tensor:
        """Noise about a mean that rises from cell to cell."""
        draw = torch.Generator().manual_seed(seed)
        shape = self.steps, *batch, self.cells
        noise = torch.randn(*shape, generator=draw, dtype=torch.float64)
        return mean * (1 + 0.5 * noise + torch.linspace(0, 0.7, self.cells, dtype=torch.float64))

    def uniform(self, mean: float, *batch: int) -> Tensor:
        """Currents between zero and twice the mean."""
        draw = torch.Generator().manual_seed(1)
        shape = self.steps, *batch, self.cells
        return 2 * mean * torch.rand(*shape, generator=draw, dtype=torch.float64)

    def neurons(self) -> dict[str, tuple[Any, float]]:
        """Every neuron, with the mean current that makes it fire or release, in pA."""
        each = self.each
        return {
            "LIF": (LIF, 150.0),
            "LIF per cell": (lambda: LIF(tau=each(20.0), resistance=learned(0.1)), 150.0),
            "ThresholdIntegrator": (ThresholdIntegrator, 90.0),
            "LeakyIntegrator": (LeakyIntegrator, 100.0),
            "ALIF": (ALIF, 180.0),
            "Izhikevich": (Izhikevich, 150.0),
            "AdEx": (AdEx, 900.0),
            "HodgkinHuxley": (HodgkinHuxley, 900.0),
            "HodgkinHuxley.cortical": (HodgkinHuxley.cortical, 150.0),
            "HodgkinHuxley releasing": (lambda: HodgkinHuxley(terminal=SigmoidRelease()), 900.0),
            "MorrisLecar": (MorrisLecar, 130.0),
            "FitzHughNagumo": (FitzHughNagumo, 60.0),
            "Graded": (Graded, 0.5),
            "BinaryThreshold": (lambda: BinaryThreshold(v_threshold=150.0), 130.0),
            "EscapeRate": (lambda: EscapeRate(generator=seeded(7)), 130.0),
            "ClearingLIF": (lambda: ClearingLIF(period=each(3.0)), 180.0),
            "Refractory": (lambda: Refractory(LIF(), period=4.0), 180.0),
            "Fractional": (
                lambda: Fractional(LIF(), order=0.7, memory=ExponentialMemory(0.01, 1000)), 180.0
            ),
            "Refractory per cell": (lambda: Refractory(AdEx(), period=each(4.0)), 900.0),
            "Ablated": (
                lambda: Ablated(Refractory(LIF()), alive=(each(1.0) > 0.95).double()), 180.0
            ),
            "Mixed": (
                lambda: Mixed({"n1*": Refractory(LIF()), "n2*": EscapeRate(generator=seeded(5)),
                               "*": ALIF()}),
                180.0,
            ),
            "Refractory around Mixed": (
                lambda: Refractory(
                    Mixed({"n1*": LIF(), "n2*": Refractory(ALIF(), period=6.0), "*": AdEx()}),
                    period=each(3.0),
                ),
                400.0,
            ),
            "Mixed of Mixed": (
                lambda: Mixed({
                    "n2*": Mixed({"A": LIF(tau=12.0), "B": Refractory(Mixed(
                        {"C": LIF(), "D": ALIF()},
                        where={"C": [0, 2, 4], "D": [1, 3]}), period=2.0)},
                        where={"A": [1, 3, 5, 7, 9, 10], "B": [0, 2, 4, 6, 8]}),
                    "*": Izhikevich(),
                }),
                250.0,
            ),
            "Mixed with release": (
                lambda: Mixed({"n1*": Graded(capacitance=200.0), "*": LIF()}), 180.0
            ),
        }  # fmt: skip

    def synapses(self) -> dict[str, Any]:
        """Every chemical synapse, strong enough to be seen."""
        each = self.each
        return {
            "Delta": lambda: Delta(charge=200.0),
            "Exponential": lambda: Exponential(tau=5.0, amplitude=30.0),
            "Exponential per cell": lambda: Exponential(tau=each(5.0), amplitude=learned(30.0)),
            "Alpha": lambda: Alpha(tau=3.0, amplitude=20.0),
            "DoubleExponential": lambda: DoubleExponential(rise=0.5, decay=4.0, amplitude=30.0),
            "Conductance": lambda: Conductance(tau=5.0, conductance=0.7, reversal=0.0),
            "AlphaConductance": lambda: AlphaConductance(tau=3.0, conductance=0.3, reversal=0.0),
            "DoubleExponentialConductance": lambda: DoubleExponentialConductance(
                rise=0.5, decay=4.0, conductance=0.3, reversal=0.0
            ),
            "NMDA": lambda: NMDA(conductance=0.5, decay=50.0),
            "ShortTerm": lambda: ShortTerm(
                Conductance(tau=5.0, conductance=1.5, reversal=0.0),
                use=each(0.4), facilitation=50.0, recovery=120.0,
            ),
            "ShortTerm of a current": lambda: ShortTerm(
                Exponential(tau=5.0, amplitude=60.0), use=0.4, recovery=learned(120.0)
            ),
        }  # fmt: skip


def learned(value: float) -> nn.Parameter:
    return nn.Parameter(torch.tensor(value, dtype=torch.float64))


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def spiking(wired: Connectome) -> am.Network:
    """Conductances of two kinds."""
    groups = {
        "excitatory": Conductance(tau=5.0, conductance=0.7, reversal=0.0),
        "inhibitory": Conductance(tau=9.0, conductance=0.9, reversal=-80.0),
    }
    return am.Network(wired, neuron=Refractory(LIF()), synapse=groups).double()


def depressing(wired: Connectome) -> am.Network:
    """Synapses that tire, and cells that differ."""
    groups = {
        "excitatory": ShortTerm(Exponential(tau=5.0, amplitude=90.0), use=0.4, recovery=120.0),
        "inhibitory": Exponential(tau=5.0, amplitude=-30.0),
    }
    tau = torch.linspace(18.0, 22.0, len(wired), dtype=torch.float64)
    return am.Network(wired, neuron=LIF(tau=tau), synapse=groups).double()


def mixed(wired: Connectome) -> am.Network:
    """Cells that release beside cells that spike, and gap junctions where there are any."""
    neuron = Mixed({"n1*": Graded(capacitance=200.0, v_threshold=-40.0), "*": LIF()})
    groups: dict[str, Any] = {"chemical": Exponential(tau=5.0, amplitude=30.0)}
    if wired.connections.electrical.any():
        groups["electrical"] = GapJunction(conductance=0.01)
    return am.Network(wired, neuron=neuron, synapse=groups).double()


def same(ours: am.Recording, theirs: am.Recording, bound: float = 1e-9) -> None:
    """The same spikes, fields to rounding (none where the bound is 0), a state to go on from."""
    if theirs.events is not None:
        assert len(theirs.events) > 50
        assert torch.equal(ours.spikes.index, theirs.spikes.index)
        assert ours.spikes.shape == theirs.spikes.shape
    assert ours.fields.keys() == theirs.fields.keys()
    for name, field in theirs.fields.items():
        torch.testing.assert_close(ours.fields[name], field, rtol=bound, atol=bound)
    torch.testing.assert_close(ours.state, theirs.state, rtol=bound, atol=bound)


@contextmanager
def hearing_interrupts() -> Iterator[None]:
    """Whoever started the tests may have told them to ignore interrupts."""
    usual = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, usual)
