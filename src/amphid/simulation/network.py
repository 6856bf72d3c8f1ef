"""A network: a connectome whose cells and connections have equations."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from amphid.dynamics import ConductanceSynapse, MembraneNeuron, Neuron, Synapse
from amphid.dynamics.values import Equation, Value
from amphid.kernels import common_shape, copy_by_copy, draws_alike, is_mapped
from amphid.simulation.rest import resting_voltage
from amphid.simulation.wires import Past, Wires, lags
from amphid.wiring import Connectome

if TYPE_CHECKING:
    from amphid.simulation.scans import Lesion, Values

GROUPS = ("chemical", "excitatory", "inhibitory", "electrical")


class NetworkState(NamedTuple):
    """Where a network is: everything that the next step depends on."""

    neuron: Any  # state of the cells
    given: Tensor  # what they gave out in the last step [*B, N]
    synapses: dict[str, Any]  # state of each group of synapses
    past: dict[str, Past]  # what they released in the last steps, latest first
    weight: Tensor | None = None  # of all connections [*B, E], where it is not the network's own
    traces: tuple[Any, ...] = ()  # what each plasticity rule remembers

    @property
    def v(self) -> Tensor:
        """Membrane potential [*B, N] in mV."""
        v: Tensor = self.neuron.v
        return v


class Network(nn.Module):
    """Cells with equations on the wiring of a connectome.

    connectome: N cells and E connections.
    neuron: what each cell does.
    synapse: what the connections do, by group: "chemical" (weights carry the sign), or "excitatory"
        and "inhibitory" (weights are magnitudes; the synapse's reversal or amplitude is the sign),
        and "electrical". A single synapse stands for all chemical connections. Every connection
        must fall in exactly one group.
    weight: [*B, E] one weight per connection; the synapse counts when None. An `nn.Parameter` is
        learned (so is the default), a tensor is fixed. Leading axes are draws run side by side.
    dale: True keeps the sign of each connection, whatever its weight becomes; False lets a weight
        carry its own sign.

    Raises ValueError when connections have no synapse, or no sign where one is needed.
    """

    weight: Tensor
    sign: Tensor
    coupling: Tensor | None
    trials: tuple[str, ...]
    """Names of the variants that run side by side, see `lesioned` and `scanned`; none of one."""

    def __init__(
        self,
        connectome: Connectome,
        *,
        neuron: Neuron[Any],
        synapse: Mapping[str, Synapse[Any]] | Synapse[Any] | None = None,
        weight: Tensor | None = None,
        dale: bool = True,
    ) -> None:
        super().__init__()
        one = isinstance(synapse, Synapse | type)
        given: Any = {"chemical": synapse} if one else synapse
        groups: dict[str, Synapse[Any]] = dict(given or {})
        _check_parts(neuron, groups)
        self.connectome, self.dale = connectome, dale
        self.neuron: Neuron[Any] = neuron.bound(connectome.select, len(connectome))
        _check_signals(self.neuron, groups)
        for part in (self.neuron, *groups.values()):
            _check_sizes(part, len(connectome))
        self.synapses = nn.ModuleDict(groups)
        self.edges: dict[str, NDArray[np.int32]] = _edges_by_group(connectome, groups)
        sign = torch.from_numpy(connectome.connections.sign.astype(np.int8))
        self.register_buffer("sign", sign, persistent=False)
        self.register_buffer("coupling", None, persistent=False)
        self.trials = ()
        self._hold_weight(weight)

    def __repr__(self) -> str:
        groups = ", ".join(f"{key}={synapse!r}" for key, synapse in self.synapses.items())
        return f"Network({self.connectome!r},\n  neuron={self.neuron!r},\n  synapse={{{groups}}})"

    def groups(self) -> Iterable[tuple[str, Synapse[Any]]]:
        """The synapses by group."""
        return cast("Iterable[tuple[str, Synapse[Any]]]", self.synapses.items())

    @property
    def batch(self) -> torch.Size:
        """The axes *B of the network itself: draws of its weights, or its trials."""
        trials = (len(self.trials),) if self.trials else ()
        return common_shape(self.weight.shape[:-1], trials)

    def lesioned(self, *lesions: Lesion, control: bool = True) -> Network:
        """Lesions side by side: one trial for each argument, in which those cells are dead.

        A lesion is a cell, class, kind or pattern, or a sequence of them that die together. The
        first trial is "intact" unless control is False; the others are named by what was killed,
        and `run.trial("AVAL")` finds them in a recording. A dead cell gives out nothing, takes no
        current, has no gap junctions and stands at the voltage it starts at: the others do what
        they would in a network without it. Weights are shared with this network, and all trials
        draw the same random numbers.

        Raises KeyError with near names for a cell that is not there, ValueError for a network that
        has trials already.
        """
        from amphid.simulation.scans import lesioned

        return lesioned(self, lesions, control=control)

    def scanned(
        self, values: Mapping[str, Values], *, paired: bool = False, control: bool = False
    ) -> Network:
        """Values of cells or synapses side by side: a trial for every combination.

        values: what each takes by its name in `values()`, such as {"tau": [10.0, 20.0],
            "excitatory.conductance": [0.5, 1.0]}; a tensor [V, N] gives each cell its own.
        paired: the first of each name makes the first trial, the second the second. control: the
            first trial has the values of this network and is called "unchanged".

        The others are named like "tau=10, excitatory.conductance=0.5". Weights are shared with this
        network, and all trials draw the same random numbers.
        Raises KeyError with near names for a value that is not there, ValueError for one that its
        cell or synapse does not take.
        """
        from amphid.simulation.scans import scanned

        return scanned(self, values, paired=paired, control=control)

    def values(self) -> dict[str, Value]:
        """The numbers that its cells and synapses are made of, by the names `scanned` takes.

        Those of cells by their own name ("tau"), those of synapses after their group
        ("excitatory.tau"), those of a part of `Mixed` after its key.
        """
        from amphid.simulation.scans import values

        return values(self)

    def weighted(self, weight: Tensor) -> Network:
        """The same network with other weights [*B, E]; cells and synapses are shared.

        Raises ValueError for weights that do not fit.
        """
        other = copy.copy(self)
        other._parameters = {k: p for k, p in self._parameters.items() if k != "weight"}
        other._buffers = {k: b for k, b in self._buffers.items() if k != "weight"}
        other._hold_weight(weight)
        return other

    def place_of(self, group: str) -> slice | Tensor:
        """Where the weights of a group stand among those of all connections."""
        own = self.edges[group]
        everything = len(own) == self.weight.shape[-1]  # then indexing would only copy
        return slice(None) if everything else torch.from_numpy(own).to(self.weight.device)

    def weights_of(
        self, group: str, weight: Tensor | None = None, place: slice | Tensor | None = None
    ) -> Tensor:
        """Weights [*B, K] of the connections of a group, with their sign where it carries one.

        weight: those of all connections [*B, E]; the network's own when None. place: where they
        stand among these, if that is known.
        """
        edges = self.place_of(group) if place is None else place
        weight = (self.weight if weight is None else weight)[..., edges]
        if group == "electrical" and self.coupling is not None:
            weight = weight * self.coupling  # what differs from trial to trial
        if not self.dale:
            return weight
        weight = weight.abs()  # an optimizer may have carried it below zero
        return weight * self.sign[edges] if group == "chemical" else weight

    def wires(self, dt: float, *, rows: bool = False) -> dict[str, Wires]:
        """The connections of each group, made ready for steps of dt ms.

        rows: gathered by the cell that they end at, which an accelerator reads with the fewest
            bytes; without gradients, and with sums in another order.
        """
        made = {g: replace(w, rows=rows) for g, w in self._connected(dt).items()}
        return {g: w if g == "electrical" else w.gathered() for g, w in made.items()}

    def init(self, like: Tensor, wires: Mapping[str, Wires]) -> NetworkState:
        """At rest, for cells shaped as `like` [*B, N].

        Cells whose threshold is their own rest start at the resting potential of the network.
        """
        return self._start(like, {key: own.longest for key, own in wires.items()}, wires)

    def _start(
        self, like: Tensor, longest: Mapping[str, int], wires: Mapping[str, Wires]
    ) -> NetworkState:
        """At rest; the wires are looked at only where they decide at which voltage that is."""
        if self.trials:  # one start for all: so they draw the same random numbers
            like, wide = like[..., :1, :], like.shape
        state = self.neuron.init(like)
        midpoint = self.neuron.midpoint()
        if isinstance(self.neuron, MembraneNeuron) and midpoint is not None:
            v = resting_voltage(self.neuron, midpoint, self.synapses, wires, state)
            state = self.neuron.settle(state, v)
        given = self.neuron.given(state)
        groups = {key: synapse.init(given) for key, synapse in self.groups()}
        past: dict[str, Past] = {key: (given,) * longest[key] for key in groups}
        parts = (state, given, groups, past)
        if self.trials:
            parts = pytree.tree_map(lambda leaf: leaf.expand(*wide[:-1], leaf.shape[-1]), parts)
        return NetworkState(*parts)

    def rest(self, dt: float = 1.0) -> NetworkState:
        """The state at rest of one copy of the network [*B, N]."""
        like = self.weight.new_zeros(*self.batch, len(self.connectome))
        if self.neuron.midpoint() is not None:
            return self.init(like, self._connected(dt))
        delay = self.connectome.connections.delay
        longest = {key: int(lags(delay, own, dt).max(initial=1)) for key, own in self.edges.items()}
        return self._start(like, longest, {})

    def forward(self, stimulus: Tensor, dt: float = 1.0) -> Tensor:
        """What the cells give out [T, *B, N], from rest, under a current [T, *B, N] in pA."""
        from amphid.simulation.sequence import run_coupled
        from amphid.simulation.simulate import simulate
        from amphid.simulation.torch_engine import Torch

        if is_mapped(stimulus) and draws_alike() and not torch.is_grad_enabled():
            mapped: Tensor = copy_by_copy(self, lambda x: self(x, dt=dt), stimulus)
            return mapped
        given = run_coupled(self, stimulus, dt)
        if given is not None:
            return given
        run = simulate(self, stimulus, dt=dt, engine=Torch(dense=True))
        return getattr(run, self.neuron.output)

    def run(
        self, stimulus: Tensor, state: NetworkState | None = None, dt: float = 1.0
    ) -> tuple[Tensor, NetworkState]:
        """What the cells give out [T, *B, N] under a current [T, *B, N] in pA, and the state after.

        state: where to start; at rest when None. dt: ms.
        """
        from amphid.simulation.simulate import simulate
        from amphid.simulation.torch_engine import Torch

        run = simulate(self, stimulus, dt=dt, state=state, engine=Torch(dense=True))
        return getattr(run, self.neuron.output), run.state

    def _connected(self, dt: float) -> dict[str, Wires]:
        return {
            group: Wires.of(self.connectome, edges, self.weights_of(group), dt)
            for group, edges in self.edges.items()
        }

    def _hold_weight(self, weight: Tensor | None) -> None:
        wires = self.connectome.connections
        if weight is None:
            counts = torch.tensor(wires.synapses, dtype=torch.get_default_dtype())
            if not self.dale:
                counts[torch.from_numpy(wires.sign < 0)] *= -1
            weight = nn.Parameter(counts)
        if not isinstance(weight, Tensor) or weight.shape[-1:] != (len(wires),):
            got = list(weight.shape) if isinstance(weight, Tensor) else repr(weight)
            raise ValueError(
                f"weight must be a tensor [*B, E] with one entry for each of {len(wires)} "
                f"connections, got {got}."
            )
        if self.dale and not torch.all(weight >= 0):
            raise ValueError(
                "weight must not be negative, nor nan, while dale=True: the connectome's signs "
                "hold. Give magnitudes, or dale=False and signed weights."
            )
        if isinstance(weight, nn.Parameter):
            self.weight = weight
        else:
            self.register_buffer("weight", weight)


def _check_parts(neuron: object, groups: Mapping[str, object]) -> None:
    if not isinstance(neuron, Neuron):
        raise TypeError(f"neuron must be a Neuron such as dynamics.LIF(), got {neuron!r}.")
    for key, synapse in groups.items():
        if key not in GROUPS:
            raise ValueError(f"synapse has no group {key!r}: the groups are {', '.join(GROUPS)}.")
        if not isinstance(synapse, Synapse):
            raise TypeError(f"synapse[{key!r}] must be a Synapse, got {synapse!r}.")
    if "chemical" in groups and {"excitatory", "inhibitory"} & set(groups):
        raise ValueError(
            "synapse gives both 'chemical' and 'excitatory' or 'inhibitory': a connection must "
            "fall in one group. Drop 'chemical', or the other two."
        )


def _check_sizes(part: Equation, cells: int) -> None:
    for name, value in part.values():
        if isinstance(value, Tensor) and value.dim() and value.shape[-1] not in (1, cells):
            raise ValueError(
                f"{type(part).__name__}: {name} must have one entry, or one for each of {cells} "
                f"cells; got shape {list(value.shape)}."
            )


def _check_signals(neuron: Neuron[Any], groups: Mapping[str, Synapse[Any]]) -> None:
    for key, synapse in groups.items():
        if key != "electrical" and neuron.output not in (synapse.takes, "output"):
            raise ValueError(
                f"synapse[{key!r}] takes the {synapse.takes} of a cell, but these cells give out "
                f"{neuron.output!r}: {type(synapse).__name__} does not fit {type(neuron).__name__}."
            )
        conductance = isinstance(synapse, ConductanceSynapse) and synapse.solvable
        if key == "chemical" and conductance:
            raise ValueError(
                f"synapse['chemical'] is {type(synapse).__name__}, a conductance, which cannot be "
                "negative: give one for 'excitatory' and one for 'inhibitory', with a reversal "
                "each."
            )


def _edges_by_group(
    connectome: Connectome, groups: Mapping[str, Any]
) -> dict[str, NDArray[np.int32]]:
    """Indices of the connections of each group; every connection must be in one."""
    wires = connectome.connections
    split = bool({"excitatory", "inhibitory"} & set(groups))
    unsigned = wires.chemical & (wires.sign == 0)
    masks = {
        "chemical": wires.chemical,
        "excitatory": wires.chemical & (wires.sign > 0),
        "inhibitory": wires.chemical & (wires.sign < 0),
        "electrical": wires.electrical,
    }
    if unsigned.any() and (split or "chemical" in groups):
        raise ValueError(
            f"{int(unsigned.sum()):,} chemical connections have no sign. Signs are a modelling "
            "choice: make it with connectome.signed(wiring.by_transmitter), wiring.by_receptor or "
            "wiring.all_positive."
        )
    needed = ("excitatory", "inhibitory") if split else ("chemical",)
    for key in (*needed, "electrical"):
        if key not in groups and masks[key].any():
            raise ValueError(
                f"{int(masks[key].sum()):,} {key} connections have no synapse: give "
                f"synapse={{..., {key!r}: ...}}."
            )
    if not np.isnan(wires.delay[wires.electrical]).all():
        raise ValueError("an electrical connection has no delay, but some here carry one.")
    return {key: np.flatnonzero(masks[key]).astype(np.int32) for key in groups}
