"""One step of a network: explicit, or with all voltages solved together."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import torch
from torch import Tensor

from amphid.dynamics import (
    ConductanceSynapse,
    GapJunction,
    GradedSynapse,
    MembraneNeuron,
    Synapse,
)
from amphid.simulation.joint import JointSolver
from amphid.simulation.network import Network, NetworkState
from amphid.simulation.wires import Past, Wires

STIFF = 0.2  # dt times the fastest rate of the voltages; above, explicit steps lose accuracy


class Stepper(Protocol):
    """Takes a network from one step to the next."""

    note: str

    def __call__(self, state: NetworkState, external: Tensor) -> NetworkState:
        """The state after a step under an external current [*B, N] in pA."""


class Explicit:
    """Synaptic currents at the voltages of the step's start; each cell then steps by itself."""

    note = "explicit steps"

    def __init__(self, network: Network, wires: Mapping[str, Wires], dt: float) -> None:
        self.network, self.wires, self.dt = network, wires, dt

    def __call__(self, state: NetworkState, external: Tensor) -> NetworkState:
        """One step."""
        current, groups, past = external, {}, dict(state.past)
        for key, synapse in self.network.groups():
            group, past[key], arriving = arrive(synapse, key, state, self.wires[key], self.dt)
            groups[key], flowing = synapse.step(group, arriving, state.v, self.dt)
            current = current + flowing
        cells, given = self.network.neuron.step(state.neuron, current, self.dt)
        return state._replace(neuron=cells, given=given, synapses=groups, past=past)


class Joint:
    """Gates at the voltages of the step's start, exactly; then all voltages by one linear solve.

    Backward Euler in v: stable at any dt, first order, symmetric and positive definite.
    """

    note = "semi-implicit steps: all voltages in one linear solve"

    def __init__(self, network: Network, wires: Mapping[str, Wires], dt: float) -> None:
        self.network, self.wires, self.dt = network, wires, dt
        self.solver: JointSolver | None = None
        for key, junction in network.groups():
            if isinstance(junction, GapJunction):
                self.solver = JointSolver(wires[key], junction.conductance)

    def __call__(self, state: NetworkState, external: Tensor) -> NetworkState:
        """One step."""
        neuron: MembraneNeuron[Any] = self.network.neuron  # type: ignore[assignment]
        cells = neuron.gates(state.neuron, self.dt)
        membrane = neuron.membrane(cells)
        total, drive = membrane.conductance, membrane.drive + external
        groups, past = dict(state.synapses), dict(state.past)
        for key, synapse in self.network.groups():
            if isinstance(synapse, GapJunction):
                continue
            group, past[key], arriving = arrive(synapse, key, state, self.wires[key], self.dt)
            groups[key], g, flowing = linear(synapse, group, arriving, state.v, self.dt)
            total, drive = total + g, drive + flowing
        inertia = membrane.capacitance / self.dt
        diagonal, right = total + inertia, drive + inertia * state.v
        if self.solver is None:
            v = right / diagonal
        else:
            v = self.solver.solve(torch.zeros_like(right) + diagonal, right, state.v)
        cells, given = neuron.emit(cells, v, self.dt)
        return state._replace(neuron=cells, given=given, synapses=groups, past=past)


def arrive(
    synapse: Synapse[Any], key: str, state: NetworkState, wires: Wires, dt: float
) -> tuple[Any, Past, Tensor]:
    """State of a group, what its cells released of late, and what arrives [*B, N] now."""
    group, past = state.synapses[key], state.past[key]
    if key == "electrical":
        return group, past, wires.deliver_difference(state.v)
    group, released = synapse.release(group, state.given, dt)
    return group, *wires.carry(past, released)


def linear(
    synapse: Synapse[Any], group: Any, arriving: Tensor, v: Tensor, dt: float
) -> tuple[Any, Tensor | float, Tensor]:
    """State, conductance g and current at v = 0 of a group: its current is flowing - g v."""
    if isinstance(synapse, ConductanceSynapse) and synapse.solvable:
        group = synapse.advance(group, arriving, dt)
        g = synapse.conductance_of(group, v, dt)
        return group, g, g * synapse.reversal
    group, current = synapse.step(group, arriving, v, dt)
    return group, 0.0, current


def choose(
    network: Network, wires: Mapping[str, Wires], dt: float, *, implicit: bool | None = None
) -> Stepper:
    """The explicit step, unless the network's own conductances are too fast for it.

    implicit: the answer, where it is known. Raises ValueError for a joint step of cells without a
    linear membrane.
    """
    kind, note = way_to_step(network, wires, dt, implicit=implicit)
    stepper = kind(network, wires, dt)
    stepper.note = note
    return stepper


def way_to_step(
    network: Network, wires: Mapping[str, Wires], dt: float, *, implicit: bool | None = None
) -> tuple[type[Explicit | Joint], str]:
    """Which step `choose` takes, and its note."""
    neuron = network.neuron
    if implicit is not None:
        if implicit and not getattr(neuron, "solvable", False):
            raise ValueError(
                f"implicit=True needs cells with a linear membrane; {neuron!r} has none. Use "
                "implicit=False."
            )
        kind = Joint if implicit else Explicit
        return kind, kind.note
    if not (isinstance(neuron, MembraneNeuron) and neuron.solvable and _may_be_stiff(network)):
        return Explicit, Explicit.note
    rate = fastest_rate(network, neuron, wires, dt)
    if rate * dt <= STIFF:
        return Explicit, Explicit.note
    return Joint, f"{Joint.note} (a voltage can move in {1 / rate:.2g} ms, the step is {dt:g} ms)"


def _may_be_stiff(network: Network) -> bool:
    """Only what is known to stay bounded is judged: gap junctions, and graded release."""
    synapses = [synapse for _, synapse in network.groups()]
    return any(isinstance(synapse, GapJunction | GradedSynapse) for synapse in synapses)


@torch.no_grad()
def fastest_rate(
    network: Network, neuron: MembraneNeuron[Any], wires: Mapping[str, Wires], dt: float
) -> float:
    """Upper bound of the rates at which voltages move, per ms: total conductance over capacitance.

    The capacitance is that of a step of dt ms, on which it hangs in cells of fractional order.

    Gap junctions count twice (Gershgorin); chemical synapses count, fully open, where release is
    graded and so bounded by one.
    """
    state = neuron.init(network.weight.new_zeros(len(network.connectome)))
    membrane = neuron.membrane(neuron.gates(state, dt))
    ones = torch.ones_like(state.v)
    total = ones * membrane.conductance
    for key, synapse in network.groups():
        if isinstance(synapse, GapJunction):
            total = total + 2 * synapse.conductance * wires[key].degree()
        elif isinstance(synapse, GradedSynapse):
            total = total + synapse.conductance * wires[key].incoming()
    return float((total / membrane.capacitance).max())
