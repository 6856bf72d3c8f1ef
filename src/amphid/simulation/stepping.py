"""One step of a network: explicit, or with all voltages solved together."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import torch
from torch import Tensor

from amphid.dynamics import ConductanceSynapse, MembraneNeuron, Synapse
from amphid.simulation.joint import JointSolver
from amphid.simulation.network import Network, NetworkState
from amphid.simulation.wires import Wires

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
            wires, group = self.wires[key], state.synapses[key]
            if key == "electrical":
                arriving = wires.deliver_difference(state.v)
            else:
                group, past[key] = release(synapse, group, state, past[key], self.dt)
                arriving = wires.deliver(past[key])
            groups[key], flowing = synapse.step(group, arriving, state.v, self.dt)
            current = current + flowing
        cells, given = self.network.neuron.step(state.neuron, current, self.dt)
        return NetworkState(cells, given, groups, past)


class Joint:
    """Gates at the voltages of the step's start, exactly; then all voltages by one linear solve.

    Backward Euler in v: stable at any dt, first order, symmetric and positive definite.
    """

    def __init__(self, network: Network, wires: Mapping[str, Wires], dt: float) -> None:
        self.network, self.wires, self.dt = network, wires, dt
        self.note = "semi-implicit steps: all voltages in one linear solve"
        self.solver: JointSolver | None = None
        if "electrical" in network.synapses:
            junction = network.synapses["electrical"]
            self.solver = JointSolver(junction.conductance * wires["electrical"].laplacian())  # type: ignore[operator]

    def __call__(self, state: NetworkState, external: Tensor) -> NetworkState:
        """One step."""
        neuron: MembraneNeuron[Any] = self.network.neuron  # type: ignore[assignment]
        cells = neuron.gates(state.neuron, self.dt)
        membrane = neuron.membrane(cells)
        total, drive = membrane.conductance, membrane.drive + external
        groups, past = dict(state.synapses), dict(state.past)
        for key, synapse in self.network.groups():
            if key == "electrical":
                continue
            group, past[key] = release(synapse, state.synapses[key], state, past[key], self.dt)
            arriving = self.wires[key].deliver(past[key])
            groups[key], g, flowing = _linear(synapse, group, arriving, state.v, self.dt)
            total, drive = total + g, drive + flowing
        inertia = membrane.capacitance / self.dt
        diagonal, right = total + inertia, drive + inertia * state.v
        if self.solver is None:
            v = right / diagonal
        else:
            v = self.solver.solve(torch.zeros_like(right) + diagonal, right, state.v)
        cells, given = neuron.emit(cells, v, self.dt)
        return NetworkState(cells, given, groups, past)


def release(
    synapse: Synapse[Any], group: Any, state: NetworkState, past: tuple[Tensor, ...], dt: float
) -> tuple[Any, tuple[Tensor, ...]]:
    """The presynaptic half: what the cells let go now, put before what they let go in the past."""
    group, released = synapse.release(group, state.given, dt)
    return group, (released, *past[:-1])


def _linear(
    synapse: Synapse[Any], group: Any, arriving: Tensor, v: Tensor, dt: float
) -> tuple[Any, Tensor | float, Tensor]:
    """State, conductance g and current at v = 0 of a group: its current is flowing - g v."""
    if isinstance(synapse, ConductanceSynapse):
        group = synapse.advance(group, arriving, dt)
        g = synapse.conductance_of(group, v, dt)
        return group, g, g * synapse.reversal
    group, current = synapse.step(group, arriving, v, dt)
    return group, 0.0, current


def choose(network: Network, wires: Mapping[str, Wires], dt: float) -> Stepper:
    """The explicit step, unless the network's own conductances are too fast for it."""
    neuron = network.neuron
    if not (isinstance(neuron, MembraneNeuron) and neuron.solvable) or not _may_be_stiff(network):
        return Explicit(network, wires, dt)
    rate = fastest_rate(network, wires)
    if rate * dt <= STIFF:
        return Explicit(network, wires, dt)
    stepper = Joint(network, wires, dt)
    stepper.note += f" (a voltage can move in {1 / rate:.2g} ms, the step is {dt:g} ms)"
    return stepper


def _may_be_stiff(network: Network) -> bool:
    graded = network.neuron.output == "release"
    return "electrical" in network.synapses or (graded and bool(network.synapses))


@torch.no_grad()
def fastest_rate(network: Network, wires: Mapping[str, Wires]) -> float:
    """Upper bound of the rates at which voltages move, per ms: total conductance over capacitance.

    Gap junctions count twice (Gershgorin); chemical synapses count, fully open, where release is
    graded and so bounded by one.
    """
    neuron: MembraneNeuron[Any] = network.neuron  # type: ignore[assignment]
    state = neuron.init(network.weight.new_zeros(len(network.connectome)))
    membrane = neuron.membrane(state)
    ones = torch.ones_like(state.v)
    total = ones * membrane.conductance
    for key, synapse in network.groups():
        if key == "electrical":
            both = wires[key].laplacian().diagonal(dim1=-2, dim2=-1)
            total = total + 2 * synapse.conductance * both  # type: ignore[operator]
        elif neuron.output == "release" and isinstance(synapse, ConductanceSynapse):
            open_wide = wires[key].deliver((ones,) * wires[key].longest)
            group = synapse.advance(synapse.init(ones), open_wide, 1.0)
            total = total + synapse.conductance_of(group, state.v, 1.0)
    return float((total / membrane.capacitance).max())
