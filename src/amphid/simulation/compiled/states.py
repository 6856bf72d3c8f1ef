"""The state of a network in the arrays of a program, or of the programs of its parts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from amphid.dynamics import Mixed
from amphid.simulation.compiled.share import Array, Share
from amphid.simulation.network import NetworkState
from amphid.simulation.wires import Past, UnderWay

if TYPE_CHECKING:
    from amphid.simulation.compiled.program import Program


def held(program: Program, done: int) -> dict[str, Array]:
    """The arrays of the state after that many steps [trials, K] by name, those of its cells.

    What was released, or is under way, goes by group and age.
    """
    names = [*pytree.tree_leaves((program.neuron.names, _group_names(program))), "GIVEN"]
    found = {name: program.arrays[name].rows for name in names}
    for group, own in program.rows.items():
        queued = group in program.queued
        rows = program.arrays[f"{'RING' if queued else 'PAST'}_{group}"].rows
        for age in range(own.longest):
            at = (done + age if queued else done - 1 - age) % own.longest
            found[f"PAST_{group}_{age}"] = rows[:, at]
    return found


def state_of(program: Program, held: Mapping[str, Array]) -> NetworkState:
    """The state that such arrays are."""
    first = program.first

    def shaped(name: str) -> Tensor:
        values = torch.from_numpy(held[name].copy())
        return values.reshape(*program.batch, values.shape[-1])

    past: dict[str, Past] = dict(first.past)
    for group, rows in program.rows.items():
        sent = tuple(shaped(f"PAST_{group}_{age}") for age in range(rows.longest))
        past[group] = UnderWay(sent) if group in program.queued else sent
    neuron = pytree.tree_map(shaped, program.neuron.names)
    groups = pytree.tree_map(shaped, _group_names(program))
    given = shaped("GIVEN")
    if isinstance(program.network.neuron, Mixed):
        neuron = neuron._replace(output=given)
    return NetworkState(neuron, given, groups, past, first.weight, first.traces)


def filled(program: Program, names: Any) -> Any:
    """The tensors of all trials, by the names of their arrays."""

    def shaped(name: str) -> Tensor:
        values = program.arrays[name].rows
        return torch.from_numpy(values.copy()).reshape(*program.batch, *values.shape[1:])

    return pytree.tree_map(shaped, names)


def places_of(program: Program, name: str, share: Share) -> slice | Array:
    """Where the entries of a share stand in the array of that name for all cells."""
    number = program.kind_of.get(name)
    if number is None:
        return slice(share.low, share.high)
    return share.among(_kinds(program)[number].numpy())


def cells_of(program: Program, name: str) -> int:
    """How many cells of the network an array of that name is for."""
    number = program.kind_of.get(name)
    return program.size if number is None else len(_kinds(program)[number])


def kinds_by_name(program: Program) -> dict[str, int]:
    """Which kind of a mixture an array of the state belongs to."""
    kinds = program.neuron.names.parts if isinstance(program.network.neuron, Mixed) else ()
    leaves = [pytree.tree_leaves(names) for names in kinds]
    return {name: number for number, own in enumerate(leaves) for name in own}


def _kinds(program: Program) -> list[Tensor]:
    neuron = program.network.neuron
    return neuron._cells() if isinstance(neuron, Mixed) else []


def _group_names(program: Program) -> dict[str, Any]:
    return {group: state.names for group, state in program.groups.items()}
