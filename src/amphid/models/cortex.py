"""Networks of cortex that others published: balanced, sparse, self-sustained."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from amphid.dynamics import LIF, Conductance, Delta, Exponential, Refractory
from amphid.simulation import (
    Compiled,
    Engine,
    Network,
    NetworkState,
    Recording,
    Stimulus,
    poisson,
    simulate,
)
from amphid.wiring import Connectome, fixed_indegree
from amphid.wiring import random as random_network

DT = 0.1  # ms


@dataclass(frozen=True, eq=False)
class CorticalModel:
    """A network, where its cells start, and the Poisson spikes that they get from outside.

    v: [N] mV. open: shares of open conductances [N] by group, in units of a synapse's jump.
    rate: [N] spikes per ms that come from outside, None for none. charge: [N] fC of each of them.
    """

    network: Network
    v: Tensor
    open: Mapping[str, Tensor] = field(default_factory=dict)
    rate: Tensor | None = None
    charge: Tensor | None = None

    def start(self, dt: float = DT) -> NetworkState:
        """The state to start from."""
        state = self.network.rest(dt)
        groups = dict(state.synapses)
        for key, share in self.open.items():
            groups[key] = groups[key]._replace(s=share.to(state.v))
        cells = self.network.neuron.at(state.neuron, self.v.to(state.v))
        return state._replace(neuron=cells, synapses=groups)

    def stimulus(self, duration: float, *, dt: float = DT, generator: torch.Generator) -> Stimulus:
        """What comes from outside for that many ms."""
        cells = len(self.network.connectome)
        if self.rate is None or self.charge is None:
            steps = round(duration / dt)
            return Stimulus(torch.zeros(steps, 0), torch.zeros(0, dtype=torch.int64), cells, dt)
        return poisson(
            self.network.connectome,
            *range(cells),
            rate=self.rate,
            amplitude=self.charge / dt,
            duration=duration,
            dt=dt,
            generator=generator,
        )

    @torch.no_grad()
    def run(
        self,
        duration: float,
        *,
        settle: float = 0.0,
        record: Sequence[str] = ("spike",),
        every: int = 1,
        dt: float = DT,
        engine: Engine | None = None,
        generator: torch.Generator,
    ) -> Recording:
        """The activity of `duration` ms, after `settle` ms that are not kept."""
        state, engine = self.start(dt), engine or Compiled()
        if settle:
            before = self.stimulus(settle, dt=dt, generator=generator)
            state = simulate(self.network, before, record=(), state=state, engine=engine).state
        after = self.stimulus(duration, dt=dt, generator=generator)
        return simulate(self.network, after, record=record, every=every, state=state, engine=engine)


def vogels_abbott(*, cells: int = 4000, generator: torch.Generator) -> CorticalModel:
    r"""The conductance-based network of Vogels and Abbott, as in Brette et al. 2007.

    .. math:: 20 \, \text{ms} \; \dot v = -60 - v + (g_e (0 - v) + g_i (-80 - v)) / 10 \, \text{nS}

    Threshold -50 mV, reset -60 mV, refractory for 5 ms; jumps of 6 nS (5 ms) and 67 nS (10 ms); a
    fifth of the cells inhibit; 80 connections onto each, on average. Nothing drives it. It starts
    as Brian's script of that benchmark's Hodgkin-Huxley cells does: at -65 mV, give or take 5, with
    excitatory synapses open by 40 nS, give or take 15, and inhibitory ones by 200 nS, give or take
    120, where that is above 0. From there it dies within 30 ms or keeps itself active, and which of
    both hangs on the start: 13 of 15 draws go on, 4 of 15 where voltages lie anywhere between reset
    and threshold.
    References: Vogels & Abbott 2005, doi 10.1523/JNEUROSCI.3508-05.2005; Brette et al. 2007,
    doi 10.1007/s10827-007-0038-6.
    """
    wired = random_network(cells, probability=80 / cells, generator=generator)
    cell = LIF(tau=20.0, resistance=0.1, v_rest=-60.0, v_threshold=-50.0, v_reset=-60.0)
    synapses = {
        "excitatory": Conductance(tau=5.0, conductance=6.0, reversal=0.0),
        "inhibitory": Conductance(tau=10.0, conductance=67.0, reversal=-80.0),
    }
    network = Network(
        wired, neuron=Refractory(cell, period=5.0), synapse=synapses, weight=_ones(wired)
    )

    def opened(mean: float, spread: float, jump: float) -> Tensor:
        drawn = mean + spread * torch.randn(cells, generator=generator)
        return (drawn / jump).clamp(min=0.0)

    return CorticalModel(
        network,
        v=-65.0 + 5.0 * torch.randn(cells, generator=generator),
        open={"excitatory": opened(40.0, 15.0, 6.0), "inhibitory": opened(200.0, 120.0, 67.0)},
    )


def vogels_abbott_currents(*, cells: int = 4000, generator: torch.Generator) -> CorticalModel:
    r"""The current-based network of Vogels and Abbott, as in Brette et al. 2007.

    .. math:: 20 \, \text{ms} \; \dot v = -49 - v + x_e + x_i

    Threshold -50 mV, reset -60 mV, refractory for 5 ms; x jumps by 1.62 mV (5 ms) and by -9 mV
    (10 ms); a fifth of the cells inhibit; 80 connections onto each, on average. Every cell would
    fire by itself, for it strives above its threshold.
    References: as for `vogels_abbott`.
    """
    wired = random_network(cells, probability=80 / cells, generator=generator)
    cell = LIF(tau=20.0, resistance=0.1, v_rest=-49.0, v_threshold=-50.0, v_reset=-60.0)
    synapses = {
        "excitatory": Exponential(tau=5.0, amplitude=16.2),  # pA; 0.1 GOhm turns it to mV
        "inhibitory": Exponential(tau=10.0, amplitude=-90.0),
    }
    network = Network(
        wired, neuron=Refractory(cell, period=5.0), synapse=synapses, weight=_ones(wired)
    )
    return CorticalModel(network, v=-60.0 + 10.0 * torch.rand(cells, generator=generator))


@dataclass(frozen=True)
class Regime:
    """A point in the plane of Brunel 2000.

    inhibition: g, the strength of an inhibitory synapse over that of an excitatory one.
    drive: rate of the input from outside over the rate that alone brings a cell to threshold.
    """

    inhibition: float
    drive: float


def brunel(
    wired: Connectome | None = None,
    *,
    regime: Regime,
    cells: int = 12_500,
    generator: torch.Generator,
) -> CorticalModel:
    r"""The sparse network of Brunel 2000.

    .. math:: 20 \, \text{ms} \; \dot v = -v + 20 \, \text{ms} \sum_k J_k \delta(t - t_k)

    Threshold 20 mV, reset 10 mV, refractory for 2 ms, delay 1.5 ms. Four fifths of the cells
    excite and four fifths of the connections onto a cell excite. J = 0.1 mV for 1,000 excitatory
    connections, and in proportion more where they are fewer, so that the mean input stays; its
    fluctuations then grow. Inhibitory ones have -g J. From outside come Poisson spikes of J at
    `drive` times the rate that brings the mean voltage to threshold. Published: 12,500 cells.

    wired: a `fixed_indegree` network to use again, else one of that many cells is drawn, with 1,250
        connections onto each where there are 5,000 cells or more, and else a quarter of them.
    Reference: Brunel 2000, doi 10.1023/A:1008925309027.
    """
    if wired is None:
        onto = min(1250, cells // 4)
        wired = fixed_indegree(cells, indegree=onto, generator=generator)
    cells = len(wired)
    jump = 0.1 * 1250 * cells / len(wired.connections)  # mV
    capacitance = 200.0  # pF; it cancels
    cell = LIF(tau=20.0, resistance=20.0 / capacitance, v_rest=0.0, v_threshold=20.0, v_reset=10.0)
    synapses = {
        "excitatory": Delta(charge=jump * capacitance),
        "inhibitory": Delta(charge=-regime.inhibition * jump * capacitance),
    }
    network = Network(
        wired.with_connections(delay=1.5),
        neuron=Refractory(cell, period=2.0),
        synapse=synapses,
        weight=_ones(wired),
    )
    threshold_rate = 20.0 / (jump * 20.0)  # spikes per ms of all inputs together
    return CorticalModel(
        network,
        v=20.0 * torch.rand(cells, generator=generator),
        rate=torch.full((cells,), regime.drive * threshold_rate, dtype=torch.float64),
        charge=torch.full((cells,), jump * capacitance),
    )


def _ones(wired: Connectome) -> Tensor:
    return torch.ones(len(wired.connections))
