"""The loops that keep variables: of all cells, or of chosen ones, whose state is gathered first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from torch import Tensor
from torch.utils import _pytree as pytree

from amphid.dynamics import Mixed
from amphid.kernels import UnknownOperation
from amphid.simulation.compiled.parts import Part, State, part
from amphid.simulation.network import NetworkState
from amphid.simulation.simulate import read_variable

if TYPE_CHECKING:
    from amphid.simulation.compiled.program import Program


@dataclass(frozen=True, eq=False)
class Reading:
    """The loop that keeps some variables of the same cells.

    loop: with its call. cells: [K], all when None. number: which of them it is, in names of arrays.
    gathered: the arrays of chosen cells, by the array of all cells that they are taken from.
    """

    loop: Part
    cells: Tensor | None
    number: int
    gathered: dict[str, str]

    def call(self) -> list[str]:
        """Lines that fill the row `row` of what is kept."""
        if self.cells is None:
            return [self.loop.call]
        lines = [f"gather(KEPT_{self.number}, {a}, {b})" for a, b in self.gathered.items()]
        return [f"n_kept = len(KEPT_{self.number})", *lines, self.loop.call]

    def lay_out(self, program: Program) -> None:
        """The arrays of chosen cells."""
        if self.cells is None:
            return
        cells, share = self.cells.numpy(), program.share
        own = share.counted(cells[share.among(cells)])
        program._shared(f"KEPT_{self.number}", own.astype(np.uint32))
        for of, name in self.gathered.items():
            kind = program.arrays[of].rows.dtype
            program._each(name, np.zeros((program.trials, len(own)), dtype=kind))


def sampling(readings: Sequence[Reading] | None) -> list[str]:
    """Lines that keep a sample of all variables in the row `row`."""
    return [line for reading in readings or () for line in reading.call()]


def reading_text(readings: Sequence[Reading] | None) -> str:
    """The source of what these lines call."""
    return "\n".join(reading.loop.text for reading in readings or ())


def readings(program: Program) -> list[Reading] | None:
    """The loops that keep what a program samples, or None where one takes more than one cell."""
    neuron = program.neuron
    if isinstance(program.network.neuron, Mixed):
        if not all(name == "v" or "." in name for name in program.sampled):
            return None
        alone = (whole._replace(parts=(), output=whole.v) for whole in (neuron.tree, neuron.names))
        neuron = State(*alone)
    kept = program.task.kept
    sets = {None if name not in kept else tuple(kept[name].tolist()) for name in program.sampled}
    try:
        return [
            _reading(program, neuron, chosen, number) for number, chosen in enumerate(_sorted(sets))
        ]
    except UnknownOperation:
        return None


def _sorted(sets: set[tuple[int, ...] | None]) -> Sequence[tuple[int, ...] | None]:
    return sorted(sets, key=lambda chosen: chosen or ())


def _reading(
    program: Program, neuron: State, chosen: tuple[int, ...] | None, number: int
) -> Reading:
    task = program.task
    own = {
        place: name
        for place, name in enumerate(program.sampled)
        if chosen == (tuple(task.kept[name].tolist()) if name in task.kept else None)
    }

    def read(neuron: Any, *groups: Any) -> list[Tensor]:
        synapses = dict(zip(program.groups, groups, strict=True))
        state = NetworkState(neuron, program.like, synapses, {})
        return [read_variable(task, state, name) for name in own.values()]

    results = [f"SAMPLE_{place}[row]" for place in own]
    states = [neuron, *program.groups.values()]
    if chosen is None:
        return Reading(part("sample", read, states, results, "n"), None, number, {})
    leaves = [leaf for state in states for leaf in pytree.tree_leaves(state.names)]
    gathered = {leaf: f"OF_{number}_{leaf}" for leaf in leaves}
    few = [State(s.tree, pytree.tree_map(gathered.__getitem__, s.names)) for s in states]
    loop = part(f"sample_{number}", read, few, results, "n_kept")
    cells = next(task.kept[name] for name in own.values())
    return Reading(replace(loop, steps=None), cells, number, gathered)
