"""Weights that move during a run: what a rule must offer, and which connections it governs.

A weight that moves during a run is state; a weight that moves between runs is a parameter.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple, Protocol, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils import _pytree as pytree

from amphid.dynamics.values import Value, decay, mean_decay
from amphid.simulation.network import Network, NetworkState
from amphid.simulation.wires import Wires
from amphid.wiring import Connectome

Mask = NDArray[np.bool_] | NDArray[np.int64] | Tensor | Sequence[int]
Selection = str | Mask | Callable[[Connectome], Mask] | None
"""Connections: a group of synapses by name, a mask [E] or indices [K], or what gives one of those
for a connectome; None stands for all chemical connections."""


class Plasticity(Protocol):
    """A rule by which spikes at the two ends of a connection change its weight.

    It is event-driven: what it remembers are traces of the cells, and a weight changes only in
    steps in which one of its ends fires. A spike happens at the body of a cell: delays carry its
    effect, not its time. In a step, first all cells step, then `change` is applied to the
    connections of the cells that fired, then the traces step. A spike is delivered with the weight
    that its connection has after the step in which it was fired, however long it travels.

    Weights are those of `Network.weight`: magnitudes where signs hold (dale=True). A rule may also
    have a `factor`, a `Factor` that comes between its changes and the weights.
    """

    @property
    def connections(self) -> Selection:
        """Which connections it governs."""

    @property
    def bounds(self) -> tuple[float, float]:
        """The least and the greatest weight; a weight that would leave them stops there."""

    def init(self, like: Tensor) -> Any:
        """Traces of cells shaped as `like` [*B, N] that never fired: a NamedTuple of tensors."""

    def step(self, state: Any, spike: Tensor, dt: float) -> Any:
        """The traces after a step of dt ms in which cells fired `spike` [*B, N] in {0, 1}."""

    def change(
        self, weight: Tensor, pre: Any, post: Any, pre_spike: Tensor, post_spike: Tensor
    ) -> Tensor:
        """Weights [*B, K] after a step; the same where neither end fired.

        pre, post: traces at the two ends, as they stood before the spikes of this step.
        pre_spike, post_spike: whether the ends fired in it, in {0, 1}.
        """


@dataclass(frozen=True, eq=False)
class Factor:
    r"""A third factor, such as reward, that turns what a rule would have changed into change.

    .. math:: \tau \dot c = -c + \tau \sum_k \Delta_k \, \delta(t - t_k), \qquad \dot w = M(t) \, c

    Changes mark their connection with an eligibility c, and the weight follows while it lasts.
    Both are exact in dt; a weight is held within its bounds whenever one of its ends fires, and at
    the end of a run.

    signal: M [T, *B] per ms, one for each step of the run. tau: of the eligibility, ms.
    """

    signal: Tensor
    tau: Value

    def area(self, dt: float) -> Value:
        """What an eligibility of 1 comes to, summed over a step of dt ms."""
        return mean_decay(dt, self.tau) * dt


class Tagged(NamedTuple):
    """What a rule with a factor remembers."""

    traces: Any
    eligibility: Tensor  # of the connections that it governs [*B, K]
    done: int = 0  # steps of the run


@dataclass(frozen=True, eq=False)
class Governed:
    """A rule and the connections [K] of a network that it governs.

    edges: indices, ascending. pre, post: cells. low, high: the bounds of the weights. whole:
    whether these are all connections of the network.
    """

    rule: Plasticity
    edges: NDArray[np.int64]
    pre: Tensor
    post: Tensor
    low: float
    high: float
    whole: bool

    @property
    def factor(self) -> Factor | None:
        """What comes between the changes of the rule and the weights, if anything does."""
        factor: Factor | None = getattr(self.rule, "factor", None)
        return factor

    def init(self, like: Tensor) -> Any:
        """What the rule remembers at the start, for cells shaped as `like` [*B, N]."""
        traces = self.rule.init(torch.zeros_like(like))
        if self.factor is None:
            return traces
        return Tagged(traces, like.new_zeros(*like.shape[:-1], len(self.edges)))

    def moved(self, weight: Tensor, state: Any, spike: Tensor, dt: float) -> tuple[Tensor, Any]:
        """All weights [*B, E], and what the rule remembers, after a step with spikes [*B, N]."""
        traces = state.traces if isinstance(state, Tagged) else state
        own = self.of(weight)
        pre = pytree.tree_map(lambda trace: trace[..., self.pre], traces)
        post = pytree.tree_map(lambda trace: trace[..., self.post], traces)
        fired = spike[..., self.pre], spike[..., self.post]
        after = self.rule.step(traces, spike, dt)
        if self.factor is None:
            return self._put(weight, self._changed(own, pre, post, *fired)), after
        own, eligibility = self._followed(own, state, dt)
        touched = fired[0] + fired[1] > 0
        own = torch.where(touched, own.clamp(self.low, self.high), own)
        change = self._changed(own, pre, post, *fired) - own
        eligibility = eligibility + torch.where(touched, change, 0.0)
        return self._put(weight, own), Tagged(after, eligibility, state.done + 1)

    def of(self, weight: Tensor) -> Tensor:
        """The weights [*B, K] that it governs, of all [*B, E]."""
        return weight if self.whole else weight[..., self._place]

    def bounded(self, weight: Tensor) -> Tensor:
        """All weights [*B, E], the governed ones held within the bounds."""
        return self._put(weight, self.of(weight).clamp(self.low, self.high))

    def _changed(self, own: Tensor, *ends: Any) -> Tensor:
        return self.rule.change(own, *ends).clamp(self.low, self.high)

    def _followed(self, own: Tensor, state: Tagged, dt: float) -> tuple[Tensor, Tensor]:
        """Weights and eligibilities after a step in which nothing fired."""
        assert self.factor is not None
        now = torch.as_tensor(state.done, device=own.device).reshape(1)
        push = self._signal.index_select(0, now)[0].to(own)[..., None] * self.factor.area(dt)
        return own + push * state.eligibility, state.eligibility * decay(dt, self.factor.tau)

    def _put(self, weight: Tensor, own: Tensor) -> Tensor:
        return own if self.whole else weight.index_copy(-1, self._place, own)

    @cached_property
    def _place(self) -> Tensor:
        """The edges [K], where the weights are."""
        return torch.from_numpy(self.edges).to(self.pre.device)

    @cached_property
    def _signal(self) -> Tensor:
        """The signal of the factor [T, *B], where the weights are."""
        assert self.factor is not None
        return self.factor.signal.to(self.pre.device)


def govern(rules: Iterable[Plasticity], network: Network, steps: int) -> tuple[Governed, ...]:
    """The rules with the connections they govern, checked for a run of that many steps.

    Raises TypeError for what is no rule, ValueError for a rule that does not fit the network or
    that is not event-driven.
    """
    if not isinstance(rules, tuple | list):
        raise TypeError(
            f"plasticity must be a tuple of rules such as (learning.STDP(...),), got {rules!r}."
        )
    governed = tuple(_governed(rule, network) for rule in rules)
    for number, one in enumerate(governed):
        _check_factor(one, steps, [*governed[:number], *governed[number + 1 :]])
    return governed


def moving(rules: Iterable[Governed]) -> NDArray[np.int64]:
    """Indices [K] of the connections that any of the rules governs, ascending."""
    edges = [rule.edges for rule in rules]
    return np.unique(np.concatenate([np.zeros(0, dtype=np.int64), *edges]))


def started(
    state: NetworkState,
    rules: Sequence[Governed],
    network: Network,
    wires: Mapping[str, Wires],
    like: Tensor,
) -> NetworkState:
    """The state with weights [*B, E], traces, and what is under way to the plastic groups.

    Raises ValueError where its traces are those of other rules.
    """
    if not rules:
        return state._replace(traces=())
    weight = network.weight.abs() if network.dale else network.weight
    weight = weight.expand(*like.shape[:-1], weight.shape[-1])
    fresh = tuple(rule.init(like) for rule in rules)
    traces = state.traces or fresh
    if [type(own) for own in traces] != [type(own) for own in fresh]:
        names = ", ".join(type(own).__name__ for own in traces)
        raise ValueError(
            f"state holds the traces of {len(traces)} other plasticity rules ({names}): give the "
            "same rules in the same order, or start afresh with state._replace(traces=())."
        )
    past = {
        key: wires[key].under_way(sent) if key in plastic_groups(rules, network) else sent
        for key, sent in state.past.items()
    }
    return state._replace(weight=weight, traces=traces, past=past)


def finished(state: NetworkState, rules: Sequence[Governed]) -> NetworkState:
    """The state at the end of a run, to go on from: weights that a factor moves within bounds."""
    weight, traces = state.weight, []
    for governed, own in zip(rules, state.traces, strict=False):
        if isinstance(own, Tagged) and weight is not None:
            weight = governed.bounded(weight)
        traces.append(own._replace(done=0) if isinstance(own, Tagged) else own)
    return state._replace(weight=weight, traces=tuple(traces)) if rules else state


def plastic_groups(rules: Sequence[Governed], network: Network) -> list[str]:
    """Groups of synapses in which some weight moves."""
    edges = moving(rules)
    return [group for group, own in network.edges.items() if np.isin(own, edges).any()]


class Learning:
    """Steps of a network that move its weights, for the torch engine; `stepper` does the rest."""

    def __init__(self, stepper: Any, rules: Sequence[Governed], dt: float) -> None:
        self.stepper, self.rules, self.dt = stepper, rules, dt
        self.network: Network = stepper.network
        self.fixed = {
            key: (stepper.wires[key], self.network.place_of(key))
            for key in plastic_groups(rules, self.network)
        }
        self.note = stepper.note + "; plastic"

    def __call__(self, state: NetworkState, external: Tensor) -> NetworkState:
        """The state after a step under an external current [*B, N] in pA."""
        for key, (wires, place) in self.fixed.items():
            weight = self.network.weights_of(key, state.weight, place)
            self.stepper.wires[key] = wires.at(weight)
        after: NetworkState = self.stepper(state, external)
        weight, traces, spike = cast("Tensor", after.weight), [], after.given
        for governed, own in zip(self.rules, after.traces, strict=True):
            weight, own = governed.moved(weight, own, spike, self.dt)
            traces.append(own)
        return after._replace(weight=weight, traces=tuple(traces))


def _governed(rule: Plasticity, network: Network) -> Governed:
    name = type(rule).__name__
    for method in ("init", "step", "change"):
        if isinstance(rule, type) or not callable(getattr(rule, method, None)):
            raise TypeError(
                f"plasticity must hold rules such as learning.STDP(...), got {rule!r}: a rule has "
                "init, step and change."
            )
    if network.neuron.output != "spike":
        raise ValueError(
            f"{name} is driven by spikes, but these cells give out {network.neuron.output!r}."
        )
    edges = _edges(rule, network)
    low, high = rule.bounds
    low = max(low, 0.0) if network.dale else low
    wires, device = network.connectome.connections, network.weight.device
    ends = (torch.from_numpy(end[edges].astype(np.int64)) for end in (wires.pre, wires.post))
    pre, post = (end.to(device) for end in ends)
    governed = Governed(rule, edges, pre, post, low, high, len(edges) == len(wires))
    weight = network.weight.detach()[..., torch.from_numpy(edges).to(device)]
    weight = weight.abs() if network.dale else weight
    _check_bounds(governed, weight)
    _check_rests(governed, weight)
    return governed


def _edges(rule: Plasticity, network: Network) -> NDArray[np.int64]:
    """Indices of the connections that a rule governs, ascending."""
    name, chosen, wires = type(rule).__name__, rule.connections, network.connectome.connections
    edges: NDArray[np.int64]
    if isinstance(chosen, str):
        if chosen not in network.edges:
            raise ValueError(
                f"{name}: connections={chosen!r} is no group of this network; its groups are: "
                f"{', '.join(network.edges) or 'none'}."
            )
        edges = network.edges[chosen].astype(np.int64)
    elif chosen is None:
        edges = np.flatnonzero(wires.chemical).astype(np.int64)
    else:
        given = chosen(network.connectome) if callable(chosen) else chosen
        edges = _indices(name, given, len(wires))
    if wires.electrical[edges].any():
        raise ValueError(
            f"{name}: connections holds gap junctions, which stay as they are: their ends give no "
            "spikes to each other. Leave them out, as connections=None does."
        )
    if not len(edges):
        raise ValueError(f"{name} governs no connection of this network: see its connections.")
    return edges


def _indices(name: str, given: Any, count: int) -> NDArray[np.int64]:
    """Indices out of a mask or of indices."""
    chosen = given.cpu().numpy() if isinstance(given, Tensor) else np.asarray(given)
    if chosen.dtype == bool and chosen.shape == (count,):
        return np.flatnonzero(chosen).astype(np.int64)
    whole = chosen.ndim == 1 and (np.issubdtype(chosen.dtype, np.integer) or not len(chosen))
    if not whole or (len(chosen) and not 0 <= chosen.min() <= chosen.max() < count):
        raise ValueError(
            f"{name}: connections must be a mask of {count} connections, indices of some, or the "
            f"name of a group; got {given!r}."
        )
    return np.unique(chosen).astype(np.int64)


def _check_factor(governed: Governed, steps: int, others: Sequence[Governed]) -> None:
    name, factor = type(governed.rule).__name__, governed.factor
    if factor is None:
        return
    if not isinstance(factor.signal, Tensor) or factor.signal.shape[:1] != (steps,):
        got = getattr(factor.signal, "shape", factor.signal)
        raise ValueError(
            f"{name}: the signal must be a tensor [T, *B] with one entry for each of the {steps} "
            f"steps of the run, got {list(got) if isinstance(got, torch.Size) else got!r}."
        )
    for other in others:
        if len(np.intersect1d(governed.edges, other.edges, assume_unique=True)):
            raise ValueError(
                f"{name} has a third factor, so no other rule may govern its connections; "
                f"{type(other.rule).__name__} does. Give them other connections."
            )


def _check_bounds(governed: Governed, weight: Tensor) -> None:
    name, low, high = type(governed.rule).__name__, governed.low, governed.high
    outside = int(((weight < low) | (weight > high)).sum())
    if outside or math.isnan(low) or not low <= high:
        raise ValueError(
            f"{name} keeps weights between {low:g} and {high:g}, but {outside:,} of the "
            f"{weight.numel():,} that it governs are not: they go from {float(weight.min()):g} to "
            f"{float(weight.max()):g}. Give it other bounds, or the network other weights."
        )


@torch.no_grad()
def _check_rests(governed: Governed, weight: Tensor) -> None:
    """A rule must leave a connection alone while neither end fires."""
    rule = governed.rule
    traces = rule.init(weight.new_zeros(int(governed.post.max()) + 1))
    draw = torch.Generator().manual_seed(len(governed.edges))

    def drawn(trace: Tensor) -> Tensor:
        return torch.rand(weight.shape, generator=draw, dtype=weight.dtype).to(weight)

    pre, post = pytree.tree_map(drawn, traces), pytree.tree_map(drawn, traces)
    rest = torch.zeros_like(weight)
    after = rule.change(weight, pre, post, rest, rest)
    if after.shape != weight.shape or not torch.equal(after, weight):
        raise ValueError(
            f"{type(rule).__name__}.change must leave a weight as it is while neither end fires, "
            "or its cost would grow with connections and not with spikes; it does not. Let every "
            "change be a product with pre_spike or post_spike."
        )
