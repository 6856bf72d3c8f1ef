"""Many variants of a network side by side: cells that are killed, values that are changed.

What differs from trial to trial is kept as small as it can be: cells that are alive [B, N], gap
junctions that are there [B, K] and values [B, 1]. The weights of chemical connections stay those of
the network, so that thousands of lesions of a large one fit into memory.
"""

from __future__ import annotations

import difflib
import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar, cast

import numpy as np
import torch
from torch import Tensor, nn

from amphid.dynamics import Ablated, GapJunction, Mixed, Neuron, Synapse
from amphid.dynamics.values import Equation, Value, is_number

if TYPE_CHECKING:
    from amphid.simulation.network import Network

Lesion = str | int | Sequence[str | int]
Values = Sequence[float] | Tensor

M = TypeVar("M", bound=nn.Module)


def lesioned(network: Network, lesions: Sequence[Lesion], *, control: bool) -> Network:
    """See `Network.lesioned`."""
    _check_single(network, "lesioned")
    if not lesions:
        raise ValueError("name at least one cell, class or pattern to kill.")
    names = ["intact"] if control else []
    dead = [np.zeros(0, dtype=np.int64)] if control else []
    for lesion in lesions:
        words = (lesion,) if isinstance(lesion, str | int | np.integer) else tuple(lesion)
        dead.append(network.connectome.select(*words))
        cells = network.connectome.cells.name
        names.append(", ".join(w if isinstance(w, str) else str(cells[w]) for w in words))
    made = _twin(network)
    made.trials = _labels(names)
    alive = network.weight.new_ones(len(dead), len(network.connectome)).detach()
    for row, killed in zip(alive, dead, strict=True):
        row[torch.from_numpy(killed)] = 0.0
    made.neuron = _ablated(made.neuron, alive)
    if len(edges := network.edges.get("electrical", ())):
        wires = network.connectome.connections
        ends = (torch.from_numpy(end[edges].astype(np.int64)) for end in (wires.pre, wires.post))
        pre, post = (alive[:, end.to(alive.device)] for end in ends)
        made.register_buffer("coupling", pre * post, persistent=False)
    return made


def scanned(
    network: Network, values: Mapping[str, Values], *, paired: bool, control: bool
) -> Network:
    """See `Network.scanned`."""
    _check_single(network, "scanned")
    columns = {name: _column(network, name, given) for name, given in values.items()}
    if not columns:
        raise ValueError("name at least one value to scan, such as {'tau': [10.0, 20.0]}.")
    lengths = [len(column) for column in columns.values()]
    if paired and len(set(lengths)) > 1:
        raise ValueError(
            "paired values must be equally many: got "
            + ", ".join(f"{len(column)} of {name!r}" for name, column in columns.items())
            + ". Leave out paired=True for every combination."
        )
    places = list(
        zip(*map(range, lengths), strict=True) if paired
        else itertools.product(*map(range, lengths))
    )  # fmt: skip
    names = [_described(columns, place) for place in places]
    made = _twin(network)
    made.trials = _labels(["unchanged", *names] if control else names)
    for number, (name, column) in enumerate(columns.items()):
        chosen = column[torch.tensor([place[number] for place in places])]
        if control:
            own = torch.as_tensor(value_of(network, name)).to(chosen).detach().reshape(1, -1)
            wide = max(own.shape[-1], chosen.shape[-1])
            chosen = torch.cat((own.expand(1, wide), chosen.expand(-1, wide)))
        _put(made, name, chosen)
    return made


def values(network: Network) -> dict[str, Value]:
    """See `Network.values`."""
    found: dict[str, Value] = {}
    if isinstance(network.neuron, Mixed):
        for key, part in zip(network.neuron.keys, network.neuron.parts, strict=True):
            found |= {f"{key}.{name}": value for name, value in _numbers(part)}
    else:
        found |= dict(_numbers(network.neuron))
    for group, synapse in network.groups():
        found |= {f"{group}.{name}": value for name, value in _numbers(synapse)}
    return found


def value_of(network: Network, name: str) -> Value:
    """A value by its name. Raises KeyError with near names for one that is not there."""
    known = values(network)
    if name not in known:
        close = difflib.get_close_matches(name, known, n=3)
        there = f"It has {', '.join(known)}."
        hint = f"Did you mean {' or '.join(map(repr, close))}?" if close else there
        raise KeyError(f"No value {name!r} in this network. {hint}")
    return known[name]


def portion(network: Network, first: int, stop: int) -> Network:
    """Some of the trials of a network, from `first` up to `stop`."""
    made, trials = _twin(network), len(network.trials)
    made.trials = network.trials[first:stop]
    for module in made.modules():
        for name, held in module._buffers.items():
            if held is not None and held.dim() > 1 and held.shape[-2] == trials:
                module._buffers[name] = held[..., first:stop, :]
    return made


def _twin(module: M) -> M:
    """The same module in a shell of its own: what is put into one is not in the other."""
    made = module.__new__(type(module))
    made.__dict__ = dict(module.__dict__)
    made._parameters, made._buffers = dict(module._parameters), dict(module._buffers)
    made._modules = {name: part and _twin(part) for name, part in module._modules.items()}
    return made


def _check_single(network: Network, verb: str) -> None:
    if network.trials or network.weight.dim() > 1:
        raise ValueError(
            f"only a single network can be {verb}: this one has trials of its own already "
            f"({', '.join(network.trials[:3]) or f'weights {list(network.weight.shape)}'})."
        )


def _labels(names: Sequence[str]) -> tuple[str, ...]:
    twice = {name for name in names if names.count(name) > 1} if len({*names}) < len(names) else ()
    if twice:
        raise ValueError(f"every trial needs a name of its own, but {min(twice)!r} comes twice.")
    return tuple(names)


def _ablated(neuron: Neuron[Any], alive: Tensor) -> Neuron[Any]:
    """The cells, dead where `alive` [B, N] is zero; a mixture part by part."""
    if not isinstance(neuron, Mixed):
        return Ablated(neuron, alive=alive)
    cells = dict(zip(neuron.keys, neuron._cells(), strict=True))
    parts = {
        key: Ablated(part, alive=alive[:, cells[key]])
        for key, part in zip(neuron.keys, neuron._parts(), strict=True)
    }
    return Mixed(parts, where=cells).to(alive.dtype)


def _numbers(part: nn.Module) -> Iterator[tuple[str, Value]]:
    """Names and values of a cell or synapse, and of what it stands around."""
    if isinstance(part, Equation) and not isinstance(part, Ablated):
        for name, value in part.values():
            if is_number(value) or isinstance(value, Tensor):
                yield name, value
    for inside in ("neuron", "synapse"):
        if isinstance(held := getattr(part, inside, None), Equation):
            yield from _numbers(held)


def _column(network: Network, name: str, given: Values) -> Tensor:
    """What a value takes, one after the other: [V, 1], or [V, N] with one for each cell."""
    value_of(network, name)
    try:
        column = torch.as_tensor(given).to(network.weight).detach()
    except (TypeError, ValueError, RuntimeError):
        raise TypeError(f"values of {name!r} must be numbers, got {given!r}.") from None
    if column.dim() not in (1, 2) or not len(column) or not bool(column.isfinite().all()):
        raise ValueError(
            f"values of {name!r} must be finite numbers [V], or [V, N] with one for each cell; "
            f"got shape {list(column.shape)}."
        )
    return column.reshape(len(column), -1)


def _described(columns: Mapping[str, Tensor], place: Sequence[int]) -> str:
    """The name of a trial: 'tau=10, excitatory.tau=5'."""
    words = []
    for (name, column), number in zip(columns.items(), place, strict=True):
        row = column[number]
        words.append(f"{name}={float(row):.6g}" if len(row) == 1 else f"{name}[{number}]")
    return ", ".join(words)


def _put(network: Network, name: str, value: Tensor) -> None:
    """Set a value of a network, which must be a twin, to [B, 1] or [B, N]."""
    group, _, field = name.rpartition(".")
    if group in network.synapses:
        synapse = cast("Synapse[Any]", network.synapses[group])
        if isinstance(synapse, GapJunction):
            own = torch.as_tensor(synapse.conductance).detach().to(value)
            _check_coupling(name, value)
            network.register_buffer("coupling", value / own, persistent=False)
        else:
            network.synapses[group] = _with(synapse, field, value)
    elif isinstance(network.neuron, Mixed):
        mixed = network.neuron
        parts = dict(zip(mixed.keys, mixed._parts(), strict=True))
        parts[group] = _with(parts[group], field, value)
        cells = dict(zip(mixed.keys, mixed._cells(), strict=True))
        network.neuron = Mixed(parts, where=cells).to(value.dtype)
    else:
        network.neuron = _with(network.neuron, field, value)


def _check_coupling(name: str, value: Tensor) -> None:
    if value.shape[-1] != 1:
        raise ValueError(f"values of {name!r} must be [V]: a junction belongs to two cells.")
    if not bool((value >= 0).all()):
        raise ValueError(f"values of {name!r} must not be negative, got {float(value.min()):g}.")


def _with(part: Any, name: str, value: Tensor) -> Any:
    """A cell or synapse with another value, its own or of what it stands around."""
    if any(name == own for own, _ in part.values()):
        return part.changed(**{name: value})
    inside = "neuron" if isinstance(part, Neuron) else "synapse"
    return part.changed(**{inside: _with(getattr(part, inside), name, value)})
