"""The steps of a network, traced: which loops over cells its time loop calls, on which arrays."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from torch import Tensor
from torch.utils import _pytree as pytree

from amphid.dynamics import Mixed
from amphid.kernels import Symbol, Traced, UnknownOperation, trace, with_values, write_loop
from amphid.simulation.network import Network


@dataclass(frozen=True, eq=False)
class Part:
    """A loop over cells and the arrays that it is called with.

    text: its source. call: the source of the call. constants: what the call reads besides the
    state, by name. steps: what the loop was written from, for those who write it anew.
    """

    text: str
    call: str
    constants: dict[str, Tensor]
    steps: Steps | None = None


@dataclass(frozen=True, eq=False)
class Steps:
    """A traced step with the names of the arrays that it reads and writes, in order."""

    traced: Traced
    read: list[str]
    write: list[str]

    def passes(self, names: Sequence[str]) -> bool:
        """Whether it hands on arrays of these names as they are, and all else is without them."""
        own = dict(zip(self.read, self.traced.inputs, strict=True))
        changed = [
            (to, result)
            for to, result in zip(self.write, self.traced.outputs, strict=True)
            if own.get(to) != result
        ]
        used = [result for _, result in changed]
        for operation in self.traced.operations:
            used += [*operation.operands, *operation.options.values()]
        return not any(own[name] in used or name in dict(changed) for name in names)

    def listed(self, name: str, constants: Sequence[str], *before: str) -> Part:
        """The loop over a list of cells, called with `before`: number, cells, what stood still."""
        into = {
            place: self.read.index(to) for place, to in enumerate(self.write) if to in self.read
        }
        loop = write_loop(self.traced, name, into=into, listed=True)
        own = (self.write[place] for place in loop.outputs)
        call = f"{name}({', '.join((*before, *self.read, *constants, *own))})"
        return Part(f"@inner\n{loop.text}\n", call, {})


@dataclass(frozen=True, eq=False)
class State:
    """A state of one trial, each tensor under the name of its array."""

    tree: Any
    names: Any  # the same tree, of names

    @staticmethod
    def of(tree: Any, prefix: str) -> State:
        """Name every tensor of a tree."""
        leaves, structure = pytree.tree_flatten(tree)
        names = [f"{prefix}{place}" for place in range(len(leaves))]
        return State(tree, pytree.tree_unflatten(names, structure))

    def named(self) -> dict[str, Tensor]:
        """Its tensors by name."""
        return dict(zip(pytree.tree_leaves(self.names), pytree.tree_leaves(self.tree), strict=True))

    def name_of(self, tensor: Tensor) -> str:
        """The name of a tensor that is one of its own."""
        for name, own in self.named().items():
            if own is tensor:
                return name
        raise UnknownOperation(
            "a state computes its membrane potential instead of keeping it, which the compiled "
            "engine cannot read. Run it by Torch()."
        )


def part(
    name: str,
    step: Callable[..., Any],
    given: Sequence[State],
    results: Sequence[Any],
    size: str,
    *,
    lanes: bool = False,
) -> Part:
    """The loop of a step from states to results, trees of names of the arrays to write.

    size: the name of the number of cells. lanes: whether trials stand side by side.
    """
    traced = _with_copies(with_values(trace(step, *(state.tree for state in given))))
    read = [leaf for state in given for leaf in pytree.tree_leaves(state.names)]
    write = pytree.tree_leaves(list(results))
    by_name = dict(zip(read, traced.inputs, strict=True))
    _check_results(name, traced, write, by_name)
    into = {place: read.index(to) for place, to in enumerate(write) if to in read}
    loop = write_loop(traced, name, into=into, lanes=lanes)
    size_of = next(leaf.shape[-1] for state in given for leaf in pytree.tree_leaves(state.tree))
    constants = {
        f"{name.upper()}_{symbol.name}": held if symbol.shared else _per_cell(held, size_of)
        for symbol, held in traced.constants
    }
    arrays = [*read, *constants, *(write[place] for place in loop.outputs)]
    text = loop.text.replace(":\n", ":\n    apart()\n", 1) if lanes else loop.text
    call = f"{name}({', '.join((size, *arrays))})"
    return Part(f"@inner\n{text}\n", call, constants, Steps(traced, read, write))


def _with_copies(traced: Traced) -> Traced:
    """The same, with values of its own: those of a network may be written to later."""
    return replace(traced, constants=tuple((own, held.clone()) for own, held in traced.constants))


def _per_cell(held: Tensor, cells: int) -> Tensor:
    return held.expand(*held.shape[:-1], cells)


def _check_results(
    name: str, traced: Traced, write: Sequence[str], by_name: Mapping[str, Symbol]
) -> None:
    if len(write) != len(traced.outputs):
        raise UnknownOperation(
            f"the {name} of this network gives {len(traced.outputs)} tensors where its state has "
            f"{len(write)}: a step must give a state like the one it was given."
        )
    for to, given in zip(write, traced.outputs, strict=True):
        if to in by_name and by_name[to].dtype != given.dtype:
            raise UnknownOperation(
                f"the {name} of this network turns a state in {by_name[to].dtype} into one in "
                f"{given.dtype}. Bring the network, its values and the state to one type, as "
                "network.double() does, or run it by Torch()."
            )


def passes_on(step: Callable[..., Any], state: State, output: Tensor) -> bool:
    """Whether a release lets go what the cells give out, as it is, and keeps its state."""
    traced = trace(step, state.tree, output)
    expected: list[Symbol] = [*traced.inputs]
    return list(traced.outputs) == expected


def cells(
    network: Network,
    neuron: State,
    groups: dict[str, State],
    like: Tensor,
    dt: float,
    *,
    lanes: bool = False,
) -> list[Part]:
    """All cells under what arrives: currents of the synapses, then the neurons' own step."""
    synapses = [synapse for _, synapse in network.groups()]
    states = list(groups.values())
    arriving = [State(like.clone(), f"ARRIVING_{group}") for group in groups]

    def currents(v: Tensor, groups: Any, arriving: Any, external: Tensor) -> tuple[Any, Tensor]:
        after, current = [], external
        for synapse, group, came in zip(synapses, groups, arriving, strict=True):
            group, flowing = synapse.step(group, came, v, dt)
            after.append(group)
            current = current + flowing
        return after, current

    trees = [state.tree for state in states], [state.tree for state in arriving]
    names = [state.names for state in states], [state.names for state in arriving]
    around = [State(*pair) for pair in zip(trees, names, strict=True)]
    external = State(like.clone(), "EXTERNAL")
    if isinstance(network.neuron, Mixed):
        v = State(neuron.tree.v, neuron.names.v)
        given = [v, *around, external]
        first = part("synapses", currents, given, [names[0], "CURRENT"], "n", lanes=lanes)
        return [first, *_mixed(network.neuron, neuron, like, dt, lanes=lanes)]

    def step(state: Any, groups: Any, arriving: Any, external: Tensor) -> tuple[Any, Any]:
        groups, current = currents(state.v, groups, arriving, external)
        return groups, network.neuron.step(state, current, dt)

    given = [neuron, *around, external]
    return [part("cells", step, given, [names[0], neuron.names, "GIVEN"], "n", lanes=lanes)]


def _mixed(neuron: Mixed, state: State, like: Tensor, dt: float, *, lanes: bool) -> list[Part]:
    """Each part of a mixture gathers the currents of its cells and puts back what they did."""
    made = []
    pieces = zip(neuron._parts(), neuron._cells(), state.tree.parts, state.names.parts, strict=True)
    for number, (kind, own, tree, names) in enumerate(pieces):
        piece = State(tree, names)
        current = State(like[..., : len(own)].clone(), f"CURRENT_{number}")
        results = [names, f"GIVEN_{number}"]
        loop = part(
            f"part_{number}",
            lambda s, i, kind=kind: kind.step(s, i, dt),
            [piece, current],
            results,
            f"n_{number}",
            lanes=lanes,
        )
        where, v = f"CELLS_{number}", piece.name_of(tree.v)
        call = (
            f"n_{number} = len({where})\n"
            f"gather({where}, CURRENT, CURRENT_{number})\n"
            f"{loop.call}\n"
            f"scatter({where}, GIVEN_{number}, GIVEN)\n"
            f"scatter({where}, {v}, {state.names.v})"
        )
        made.append(Part(loop.text, call, loop.constants))
    return made
