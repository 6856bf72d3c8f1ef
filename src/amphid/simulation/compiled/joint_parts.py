"""The parts of a joint step, traced: gates and the linear system, its solution, what cells give."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from amphid.dynamics import GapJunction, MembraneNeuron, Mixed, Synapse
from amphid.simulation.compiled.joint import SOLVE
from amphid.simulation.compiled.parts import Part, State, part
from amphid.simulation.network import Network
from amphid.simulation.stepping import linear


def joint_cells(
    network: Network, neuron: State, groups: dict[str, State], like: Tensor, dt: float
) -> list[Part]:
    """All cells under what arrives: gates, all voltages together, what cells give out."""
    if isinstance(network.neuron, Mixed):
        return _mixed_joint(network, network.neuron, neuron, groups, like, dt)
    cell: MembraneNeuron[Any] = network.neuron  # type: ignore[assignment]
    synapses, around, names = _chemical(network, groups, like)

    def before(state: Any, groups: Any, arriving: Any, external: Tensor) -> Any:
        after, open_, flowing = _flows(synapses, groups, arriving, state.v, dt)
        return after, *_system(cell, state, open_, flowing + external, dt)

    given = [neuron, *around, State(like.clone(), "EXTERNAL")]
    results = [names, neuron.names, "DIAGONAL", "RIGHT"]
    solving = _solving(network, neuron.name_of(neuron.tree.v))
    return [
        part("before", before, given, results, "n", lanes=True),
        solving,
        _emission("after", cell, neuron, "", like, dt, "n"),
    ]


def _system(
    cell: MembraneNeuron[Any], state: Any, open_: Any, flowing: Tensor, dt: float
) -> tuple[Any, Tensor, Tensor]:
    """The state with its gates moved, and the diagonal and right side of the system."""
    moved = cell.gates(state, dt)
    membrane = cell.membrane(moved)
    inertia = membrane.capacitance / dt
    diagonal = torch.zeros_like(flowing) + (membrane.conductance + open_ + inertia)
    return moved, diagonal, membrane.drive + flowing + inertia * state.v


def _flows(
    synapses: list[Synapse[Any]], groups: Any, arriving: Any, v: Tensor, dt: float
) -> tuple[Any, Any, Any]:
    """Groups of synapses after the step, their conductance, and their current at v = 0."""
    after: list[Any] = []
    total: Any = 0.0
    flowing: Any = 0.0
    for synapse, group, came in zip(synapses, groups, arriving, strict=True):
        group, g, current = linear(synapse, group, came, v, dt)
        after.append(group)
        total, flowing = total + g, flowing + current
    return after, total, flowing


def _chemical(
    network: Network, groups: dict[str, State], like: Tensor
) -> tuple[list[Synapse[Any]], list[State], list[Any]]:
    """The chemical synapses; their states and what arrives, given to a loop; names of the states.

    Gap junctions have no state, and their currents are solved for.
    """
    chosen = [(k, synapse) for k, synapse in network.groups() if k != "electrical"]
    states = [groups[key] for key, _ in chosen]
    arriving = [State(like.clone(), f"ARRIVING_{key}") for key, _ in chosen]
    trees = [state.tree for state in states], [state.tree for state in arriving]
    names = [state.names for state in states], [state.names for state in arriving]
    around = [State(*pair) for pair in zip(trees, names, strict=True)]
    return [synapse for _, synapse in chosen], around, names[0]


def _solving(network: Network, v: str) -> Part:
    if any(isinstance(synapse, GapJunction) for _, synapse in network.groups()):
        return Part("", SOLVE.format(v=v), {})
    text = "@inner\ndef divide(n, d, b, v):\n    apart()\n    for i in range(n * LANES):\n"
    return Part(text + "        v[i] = b[i] / d[i]\n", "divide(n, DIAGONAL, RIGHT, SOLVED)", {})


def _emission(
    name: str, cell: MembraneNeuron[Any], state: State, mark: str, like: Tensor, dt: float, n: str
) -> Part:
    """What cells give out at the voltages solved for."""
    given = [state, State(like.clone(), f"SOLVED{mark}")]
    results = [state.names, f"GIVEN{mark}"]
    return part(name, lambda s, v: cell.emit(s, v, dt), given, results, n, lanes=True)


def _mixed_joint(
    network: Network, mixed: Mixed, neuron: State, groups: dict[str, State], like: Tensor, dt: float
) -> list[Part]:
    """The same, each part of a mixture with its own membrane."""
    synapses, around, names = _chemical(network, groups, like)

    def currents(v: Tensor, groups: Any, arriving: Any, external: Tensor) -> Any:
        after, total, flowing = _flows(synapses, groups, arriving, v, dt)
        return after, torch.zeros_like(v) + total, flowing + external

    given = [State(neuron.tree.v, neuron.names.v), *around, State(like.clone(), "EXTERNAL")]
    first = part("synapses", currents, given, [names, "OPEN", "CURRENT"], "n", lanes=True)
    before, after = [], []
    pieces = zip(mixed._parts(), mixed._cells(), neuron.tree.parts, neuron.names.parts, strict=True)
    for number, (kind, own, tree, held) in enumerate(pieces):
        cell: MembraneNeuron[Any] = kind  # type: ignore[assignment]
        piece, mark, small = State(tree, held), f"_{number}", like[..., : len(own)]

        def system(s: Any, g: Tensor, i: Tensor, cell: MembraneNeuron[Any] = cell) -> Any:
            return _system(cell, s, g, i, dt)

        given = [
            piece,
            State(small.clone(), f"OPEN{mark}"),
            State(small.clone(), f"CURRENT{mark}"),
        ]
        results = [held, f"DIAGONAL{mark}", f"RIGHT{mark}"]
        loop = part(f"before{mark}", system, given, results, f"n{mark}", lanes=True)
        call = _around_part(mark, loop.call, ["OPEN", "CURRENT"], ["DIAGONAL", "RIGHT"])
        before.append(Part(loop.text, call, loop.constants))
        loop = _emission(f"after{mark}", cell, piece, mark, small, dt, f"n{mark}")
        call = _around_part(mark, loop.call, ["SOLVED"], ["GIVEN"])
        call += f"\nscatter(CELLS{mark}, {piece.name_of(tree.v)}, {neuron.names.v})"
        after.append(Part(loop.text, call, loop.constants))
    return [first, *before, _solving(network, neuron.names.v), *after]


def _around_part(mark: str, call: str, read: list[str], written: list[str]) -> str:
    """A call for some cells, between what takes their entries out and puts them back."""
    lines = [f"n{mark} = len(CELLS{mark})"]
    lines += [f"gather(CELLS{mark}, {name}, {name}{mark})" for name in read]
    lines.append(call)
    lines += [f"scatter(CELLS{mark}, {name}{mark}, {name})" for name in written]
    return "\n".join(lines)
