"""Neurons made of neurons: a refractory period around one, several kinds side by side."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from amphid.dynamics.neuron import Membrane, MembraneNeuron, Neuron
from amphid.dynamics.values import Equation, Value, filled
from amphid.kernels import common_shape

Cells = Sequence[int] | NDArray[np.int64] | Tensor
OTHERS = "*"


class RefractoryState(NamedTuple):
    """State of cells with a refractory period."""

    neuron: Any  # state of the cell inside
    held: Tensor  # steps for which the cell will still be held [*B, N]

    @property
    def v(self) -> Tensor:
        """Membrane potential [*B, N] in mV."""
        v: Tensor = self.neuron.v
        return v


class Refractory(MembraneNeuron[RefractoryState]):
    """A spiking cell that is held where its reset left it, and silent, for a while after a spike.

    A spike in step k holds the cell in the steps k + 1 to k + R - 1, R being period / dt rounded:
    two spikes are at least R steps apart. Held, it takes no current, and its voltage stays; all
    else, such as an adaptation, goes on. A network that solves the voltages together solves for
    held cells too, then puts them back.

    neuron: the cell, one that is reset. period: ms.
    """

    output = "spike"
    neuron: Neuron[Any]
    period: Value

    def __init__(self, neuron: Neuron[Any], *, period: Value = 2.0) -> None:
        super().__init__()
        _check_resets(neuron)
        self.neuron = neuron
        self.hold_positive(period=period)

    @property
    def solvable(self) -> bool:
        """Whether a network may solve the voltages of the cell inside."""
        return isinstance(self.neuron, MembraneNeuron) and self.neuron.solvable

    def bound(self, select: Callable[[str], NDArray[np.int64]], cells: int) -> Refractory:
        """The same around the cell inside, bound to that network."""
        inside = self.neuron.bound(select, cells)
        return self if inside is self.neuron else Refractory(inside, period=self.period)

    def init(self, like: Tensor) -> RefractoryState:
        """As the cell inside starts, not held."""
        return RefractoryState(self.neuron.init(like), torch.zeros_like(like))

    def step(
        self, state: RefractoryState, current: Tensor, dt: float
    ) -> tuple[RefractoryState, Tensor]:
        """One step of the cell inside, unless it is held."""
        current = torch.where(state.held > 0, 0.0, current)
        return self._held(state, *self.neuron.step(state.neuron, current, dt), dt)

    def at(self, state: RefractoryState, v: Tensor) -> RefractoryState:
        """The same state at another membrane potential."""
        return state._replace(neuron=self.neuron.at(state.neuron, v))

    def midpoint(self) -> Value | None:
        """That of the cell inside."""
        return self.neuron.midpoint()

    def settle(self, state: RefractoryState, v: Tensor) -> RefractoryState:
        """The cell inside settled at v, not held."""
        return RefractoryState(self.neuron.settle(state.neuron, v), torch.zeros_like(v))

    def read(self, state: RefractoryState, field: str) -> Tensor:
        """One variable of the cell inside, or "held": the steps for which it will be held."""
        return state.held if field == "held" else self.neuron.read(state.neuron, field)

    def gates(self, state: RefractoryState, dt: float) -> RefractoryState:
        """Those of the cell inside."""
        return state._replace(neuron=_solvable(self.neuron).gates(state.neuron, dt))

    def membrane(self, state: RefractoryState) -> Membrane:
        """That of the cell inside."""
        return _solvable(self.neuron).membrane(state.neuron)

    def emit(self, state: RefractoryState, v: Tensor, dt: float) -> tuple[RefractoryState, Tensor]:
        """The cell inside at v, or where it is held."""
        v = torch.where(state.held > 0, state.v, v)
        return self._held(state, *_solvable(self.neuron).emit(state.neuron, v, dt), dt)

    def _held(
        self, before: RefractoryState, after: Any, spike: Tensor, dt: float
    ) -> tuple[RefractoryState, Tensor]:
        """What became of the cell inside, put back where it was held."""
        held = before.held > 0
        spike = torch.where(held, 0.0, spike)
        inside = self.neuron.at(after, torch.where(held, before.v, after.v))
        fewer = (before.held - 1).clamp(min=0)
        count = torch.where(spike.detach() > 0, self._steps(dt), fewer)
        return RefractoryState(inside, count), spike

    def _steps(self, dt: float) -> Value:
        """For how many steps a spike holds the cell."""
        if isinstance(self.period, Tensor):
            return (torch.round(self.period.detach() / dt) - 1).clamp(min=0)
        return float(max(round(self.period / dt) - 1, 0))


class MixedState(NamedTuple):
    """State of cells of several kinds."""

    v: Tensor  # membrane potential, mV
    output: Tensor  # what each cell gave out in the last step
    parts: tuple[Any, ...]  # the state of each part, for its own cells only


class Mixed(MembraneNeuron[MixedState]):
    """Cells of several kinds side by side, as in `Mixed({"AVA": Graded(), "*": LIF()})`.

    parts: neurons by the cells that they stand for. A `Network` finds the cells by its connectome's
        names, classes, kinds and patterns, and binds them; "*" takes all cells that no other key
        takes. Every cell must be in exactly one part. Values of a part given per cell are in the
        order in which its key finds its cells; "*" is in the order of the connectome.
    where: the cells of each part as indices, for use without a network; of N in all, each of 0 to
        N - 1 once.

    Every part steps as it would alone. When all give out the same, so does the whole; otherwise
    `output` is "output": a spike where the cell spikes, a release where it releases, and a weight
    of the network scales either. A variable that only some parts have reads as zero elsewhere.

    Raises ValueError when a cell is in no part or in two, and KeyError when a key finds no cell.
    """

    place: Tensor | None
    _typical: Tensor  # its type is that of the network

    def __init__(
        self, parts: Mapping[str, Neuron[Any]], *, where: Mapping[str, Cells] | None = None
    ) -> None:
        super().__init__()
        _check_neurons(parts)
        self.keys = tuple(parts)
        self.parts = nn.ModuleList(parts.values())
        outputs = {part.output for part in parts.values()}
        self.output = outputs.pop() if len(outputs) == 1 else "output"
        self.register_buffer("place", None, persistent=False)
        self.register_buffer("_typical", torch.zeros(()), persistent=False)
        if where is not None:
            self._put(where)

    def extra_repr(self) -> str:
        """The cells of each part."""
        if self.place is None:
            return ", ".join(f"{key!r}" for key in self.keys) + ", not bound"
        sizes = zip(self.keys, self._cells(), strict=True)
        return ", ".join(f"{key!r}: {len(cells)} cells" for key, cells in sizes)

    @property
    def solvable(self) -> bool:
        """Whether a network may solve the voltages of all parts."""
        return all(isinstance(part, MembraneNeuron) and part.solvable for part in self._parts())

    def bound(self, select: Callable[[str], NDArray[np.int64]], cells: int) -> Mixed:
        """The same parts, put where `select` finds the cells of each key among that many."""
        if self.place is not None:
            if len(self.place) != cells:
                raise ValueError(
                    f"Mixed stands for {len(self.place)} cells, but the network has {cells}."
                )
            return self
        named = {key: np.asarray(select(key)) for key in self.keys if key != OTHERS}
        taken = np.concatenate([*named.values(), np.zeros(0, dtype=np.int64)])
        left = np.setdiff1d(np.arange(cells), taken)
        if OTHERS in self.keys:
            named[OTHERS] = left
        elif left.size:
            raise ValueError(
                f"Mixed has no part for {_listed(left)} of {cells}. Name them, or give the rest to "
                f"the key {OTHERS!r}."
            )
        parts = dict(zip(self.keys, self._parts(), strict=True))
        return Mixed(parts, where=named)

    def init(self, like: Tensor) -> MixedState:
        """Every part as it starts."""
        if self.place is None:
            raise ValueError(
                "Mixed does not know which cells are which: use it in a Network, or give "
                "where={key: indices}."
            )
        if like.shape[-1] != len(self.place):
            raise ValueError(
                f"Mixed stands for {len(self.place)} cells, but got a shape of {list(like.shape)}."
            )
        states = tuple(
            part.init(piece) for part, piece in zip(self._parts(), self._split(like), strict=True)
        )
        given = [part.given(own) for part, own in zip(self._parts(), states, strict=True)]
        return MixedState(self._joined_v(states), self._join(given), states)

    def step(self, state: MixedState, current: Tensor, dt: float) -> tuple[MixedState, Tensor]:
        """Every part its own step."""
        pieces = zip(self._parts(), state.parts, self._split(current), strict=True)
        return self._gathered([part.step(own, piece, dt) for part, own, piece in pieces])

    def follow(self, current: Tensor, state: MixedState, dt: float) -> tuple[Tensor, MixedState]:
        """Every part its own sequence."""
        pieces = zip(self._parts(), state.parts, self._split(current), strict=True)
        results = [part.follow(piece, own, dt) for part, own, piece in pieces]
        states = tuple(own for _, own in results)
        given = self._join([output for output, _ in results])
        return given, MixedState(self._joined_v(states), given[-1], states)

    def at(self, state: MixedState, v: Tensor) -> MixedState:
        """The same state at another membrane potential."""
        pieces = zip(self._parts(), state.parts, self._split(v), strict=True)
        return state._replace(v=v, parts=tuple(part.at(own, piece) for part, own, piece in pieces))

    def midpoint(self) -> Value | None:
        """Outputs at rest [N]: zero for parts that do not ask for the network's rest."""
        given = [part.midpoint() for part in self._parts()]
        if all(value is None for value in given):
            return None
        known = [0.0 if value is None else value for value in given]
        like = [self._typical.expand(len(cells)) for cells in self._cells()]
        return self._join([filled(*pair) for pair in zip(like, known, strict=True)])

    def settle(self, state: MixedState, v: Tensor) -> MixedState:
        """Every part settled at its v."""
        pieces = zip(self._parts(), state.parts, self._split(v), strict=True)
        states = tuple(part.settle(own, piece) for part, own, piece in pieces)
        given = [part.given(own) for part, own in zip(self._parts(), states, strict=True)]
        return MixedState(v, self._join(given), states)

    def read(self, state: MixedState, field: str) -> Tensor:
        """One variable [*B, N]; zero for cells that do not have it.

        Raises KeyError when no part has it.
        """
        if field in ("v", "output"):
            return state.v if field == "v" else state.output
        found, missing = [], []
        for part, own in zip(self._parts(), state.parts, strict=True):
            try:
                found.append(part.read(own, field))
            except KeyError as error:
                found.append(torch.zeros_like(own.v))
                missing.append(str(error.args[0]))
        if len(missing) == len(found):
            raise KeyError(f"Mixed has no variable {field!r}: {' '.join(missing)}")
        return self._join(found)

    def gates(self, state: MixedState, dt: float) -> MixedState:
        """Those of every part."""
        pieces = zip(self._parts(), state.parts, strict=True)
        return state._replace(parts=tuple(_solvable(part).gates(own, dt) for part, own in pieces))

    def membrane(self, state: MixedState) -> Membrane:
        """That of every part, for all cells [*B, N]."""
        pieces = zip(self._parts(), state.parts, strict=True)
        own = [(_solvable(part).membrane(inner), inner.v) for part, inner in pieces]
        return Membrane(
            self._join([filled(v, membrane.capacitance) for membrane, v in own]),
            self._join([filled(v, membrane.conductance) for membrane, v in own]),
            self._join([filled(v, membrane.drive) for membrane, v in own]),
        )

    def emit(self, state: MixedState, v: Tensor, dt: float) -> tuple[MixedState, Tensor]:
        """What every part gives out at its v."""
        pieces = zip(self._parts(), state.parts, self._split(v), strict=True)
        return self._gathered([_solvable(part).emit(own, piece, dt) for part, own, piece in pieces])

    def _put(self, where: Mapping[str, Cells]) -> None:
        """Keep which cells are which, once every cell is in exactly one part."""
        if set(where) != set(self.keys):
            raise ValueError(
                f"where must have the keys of the parts, {list(self.keys)}, got {list(where)}."
            )
        cells = [torch.as_tensor(where[key], dtype=torch.int64).reshape(-1) for key in self.keys]
        together = torch.cat(cells)
        size = len(together)
        counts = torch.bincount(together[(together >= 0) & (together < size)], minlength=size)
        if not bool((counts == 1).all()):
            raise ValueError(self._misplaced(cells, counts))
        self.place = torch.argsort(together)
        for number, (key, own) in enumerate(zip(self.keys, cells, strict=True)):
            self.register_buffer(f"_cells_{number}", own, persistent=False)
            _check_sizes(key, self.parts[number], len(own))

    def _misplaced(self, cells: list[Tensor], counts: Tensor) -> str:
        twice = torch.nonzero(counts > 1).flatten()
        if len(twice):
            first = int(twice[0])
            owners = [
                repr(key)
                for key, own in zip(self.keys, cells, strict=True)
                if first in own.tolist()
            ]
            return f"Mixed: {_listed(twice.numpy())} stands in {' and in '.join(owners)}, not once."
        return f"Mixed: where must name the cells 0 to {len(counts) - 1}, each once."

    def _cells(self) -> list[Tensor]:
        return [getattr(self, f"_cells_{number}") for number in range(len(self.keys))]

    def _parts(self) -> list[Neuron[Any]]:
        return [cast("Neuron[Any]", part) for part in self.parts]

    def _split(self, whole: Tensor) -> list[Tensor]:
        """The entries [*B, K] of each part out of [*B, N]."""
        return [whole.index_select(-1, cells) for cells in self._cells()]

    def _join(self, pieces: list[Tensor]) -> Tensor:
        """All entries [*B, N] from those [*B, K] of each part, which may lack axes *B."""
        if len({piece.shape[:-1] for piece in pieces}) > 1:
            lead = common_shape(*(piece.shape[:-1] for piece in pieces))
            pieces = [piece.expand(*lead, piece.shape[-1]) for piece in pieces]
        return torch.cat(pieces, dim=-1).index_select(-1, cast("Tensor", self.place))

    def _joined_v(self, states: Sequence[Any]) -> Tensor:
        return self._join([state.v for state in states])

    def _gathered(self, results: list[tuple[Any, Tensor]]) -> tuple[MixedState, Tensor]:
        states = tuple(state for state, _ in results)
        given = self._join([output for _, output in results])
        return MixedState(self._joined_v(states), given, states), given


def _solvable(neuron: Neuron[Any]) -> MembraneNeuron[Any]:
    if not isinstance(neuron, MembraneNeuron):
        raise TypeError(f"{type(neuron).__name__} has no membrane that a network could solve for.")
    return neuron


def _check_resets(neuron: object) -> None:
    if not isinstance(neuron, Neuron):
        raise TypeError(f"Refractory: neuron must be a Neuron such as LIF(), got {neuron!r}.")
    if neuron.output != "spike":
        raise ValueError(
            f"Refractory: neuron must give out spikes, but {type(neuron).__name__} gives out "
            f"{neuron.output!r}. Wrap the parts of a Mixed that spike."
        )
    if hasattr(neuron, "terminal"):
        raise ValueError(
            f"Refractory: {type(neuron).__name__} has no reset at which it could be held, and its "
            "own currents make it refractory."
        )


def _check_neurons(parts: Mapping[str, Neuron[Any]]) -> None:
    if not isinstance(parts, Mapping) or not parts:
        raise TypeError(
            f'Mixed: parts must be neurons by cells, such as {{"AVA": Graded(), "*": LIF()}}, got '
            f"{parts!r}."
        )
    for key, part in parts.items():
        if not isinstance(key, str):
            raise TypeError(f"Mixed: a key must be the name of cells, got {key!r}.")
        if not isinstance(part, Neuron):
            raise TypeError(f"Mixed: parts[{key!r}] must be a Neuron such as LIF(), got {part!r}.")


def _check_sizes(key: str, part: nn.Module, cells: int) -> None:
    """Values given per cell must be given for the cells of the part, not for all."""
    for module in part.modules():
        for name in module._values if isinstance(module, Equation) else ():
            value = getattr(module, name)
            if isinstance(value, Tensor) and value.dim() and value.shape[-1] not in (1, cells):
                raise ValueError(
                    f"Mixed: {name} of parts[{key!r}] must be one value or one for each of its "
                    f"{cells} cells, got shape {list(value.shape)}."
                )


def _listed(cells: NDArray[np.int64]) -> str:
    """A few cells by index."""
    more = f" and {len(cells) - 5} more" if len(cells) > 5 else ""
    shown = ", ".join(str(cell) for cell in cells[:5].tolist())
    return f"{'cell' if len(cells) == 1 else 'cells'} {shown}{more}"
