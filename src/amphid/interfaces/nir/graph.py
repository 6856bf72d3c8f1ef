"""A graph of layers, run over time: what NIR calls a graph."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from amphid.dynamics import Neuron

Edge = tuple[str, str]


class Graph(nn.Module):
    """Named layers and who feeds whom; what arrives at a layer over several edges is summed.

    nodes: layers by name, None where the input of the graph enters or its output leaves.
    edges: pairs of names. shapes: what each node gives out in a step, without time and batch.

    Where edges run in a circle, one of them hands on what was given out one step before (zeros at
    first): the one that leaves a layer with a state. All else acts within the step.
    Raises ValueError for a circle without any state, and for names that do not fit.
    """

    def __init__(
        self,
        nodes: Mapping[str, nn.Module | None],
        edges: Sequence[Edge],
        shapes: Mapping[str, tuple[int, ...]],
    ) -> None:
        super().__init__()
        self.names = tuple(nodes)
        self.layers = nn.ModuleList(nn.Identity() if m is None else m for m in nodes.values())
        self.edges, self.shapes = tuple(dict.fromkeys(edges)), dict(shapes)
        open_ends = [name for name, held in nodes.items() if held is None]
        self.inputs = tuple(name for name in open_ends if not self._into(name))
        self.outputs = tuple(name for name in open_ends if self._into(name))
        if len(self.inputs) != 1 or len(self.outputs) != 1:
            raise ValueError(
                f"a graph must have one input and one output that it leads to, this one has "
                f"{len(self.inputs)} and {len(self.outputs)}."
            )
        self.late = _late(self)
        self.order = _components(self)

    def extra_repr(self) -> str:
        """Names and edges."""
        return ", ".join(f"{pre} -> {post}" for pre, post in self.edges)

    def layer(self, name: str) -> nn.Module:
        """The layer of that name."""
        return self.layers[self.names.index(name)]

    def forward(self, x: Tensor, dt: float = 1.0) -> Tensor:
        """Output [T, *B, ...] of an input [T, *B, ...], from rest; dt in ms."""
        return self.run(x, dt=dt)[0]

    def run(
        self, x: Tensor, state: Mapping[str, Any] | None = None, dt: float = 1.0
    ) -> tuple[Tensor, dict[str, Any]]:
        """Output [T, *B, ...] and the state after it; from rest where the state is None.

        Raises ValueError for an input of another shape than the graph's.
        """
        shape = self.shapes[self.inputs[0]]
        if x.dim() < len(shape) + 1 or x.shape[x.dim() - len(shape) :] != shape:
            raise ValueError(
                f"x must be [T, *B, {', '.join(map(str, shape))}], got shape {list(x.shape)}."
            )
        batch = x.shape[1 : x.dim() - len(shape)]
        after: dict[str, Any] = dict(state or {})
        given: dict[str, Tensor] = {self.inputs[0]: x}
        for names in self.order:
            if len(names) == 1 and (names[0], names[0]) not in self.late:
                self._through(names[0], given, after, batch, dt)
            else:
                self._around(names, given, after, batch, dt)
        return given[self.outputs[0]], after

    def _through(
        self, name: str, given: dict[str, Tensor], after: dict[str, Any], batch: Any, dt: float
    ) -> None:
        """The whole sequence through one layer."""
        if name in self.inputs:
            return
        arriving = self._sum([given[pre] for pre in self._into(name)], name)
        given[name], after[name] = _applied(
            self.layer(name), arriving, after.get(name), len(batch), dt
        )

    def _around(
        self,
        names: tuple[str, ...],
        given: dict[str, Tensor],
        after: dict[str, Any],
        batch: Any,
        dt: float,
    ) -> None:
        """Step by step through layers that feed one another."""
        x = given[self.inputs[0]]
        for pre, post in self.late:
            if pre in names:
                nothing = x.new_zeros(*batch, *self.shapes[pre])
                after.setdefault(f"{pre} -> {post}", nothing)
        gathered: dict[str, list[Tensor]] = {name: [] for name in names}
        steps = {name: _stepped(self.layer(name), len(batch), dt) for name in names}
        for time in range(len(x)):
            now: dict[str, Tensor] = {}
            for name in names:
                heard = []
                for pre in self._into(name):
                    if (pre, name) in self.late:
                        heard.append(after[f"{pre} -> {name}"])
                    else:
                        heard.append(now[pre] if pre in names else given[pre][time])
                arriving = self._sum(heard, name)
                now[name], after[name] = steps[name](arriving, after.get(name))
                gathered[name].append(now[name])
            for pre, post in self.late:
                if pre in names:
                    after[f"{pre} -> {post}"] = now[pre]
        given |= {name: torch.stack(rows) for name, rows in gathered.items()}

    def _into(self, name: str) -> list[str]:
        return [pre for pre, post in self.edges if post == name]

    def _out_of(self, name: str) -> list[str]:
        return [post for pre, post in self.edges if pre == name]

    def _sum(self, arriving: list[Tensor], name: str) -> Tensor:
        if not arriving:
            raise ValueError(f"nothing leads to the node {name!r} of the graph.")
        return sum(arriving[1:], arriving[0])


def _applied(layer: nn.Module, x: Tensor, state: Any, batch: int, dt: float) -> tuple[Tensor, Any]:
    """A layer with its own `run` on the sequence, an ordinary module with time in the batch."""
    if hasattr(layer, "run"):
        y, after = layer.run(x, state, dt=dt)  # type: ignore[operator]
        return y, after
    y = layer(x.flatten(0, batch))
    return y.unflatten(0, x.shape[: batch + 1]), None


def _stepped(
    layer: nn.Module, batch: int, dt: float
) -> Callable[[Tensor, Any], tuple[Tensor, Any]]:
    """One step of a layer, from an input [*B, ...] and a state to an output and a state."""

    def step(x: Tensor, state: Any) -> tuple[Tensor, Any]:
        if isinstance(layer, Neuron):  # a kernel for sequences would not pay for one step
            after, y = layer.step(layer.init(x) if state is None else state, x, dt)
            return y, after
        rows, after = _applied(layer, x[None], state, batch, dt)
        return rows[0], after

    return step


def _late(graph: Graph) -> frozenset[Edge]:
    """Edges that hand on what was given out one step before, so that no circle is left."""
    late: set[Edge] = set()
    done: set[str] = set()

    def visit(name: str, path: tuple[str, ...]) -> None:
        for post in graph._out_of(name):
            if post in (*path, name):
                circle = (*path, name)[(*path, name).index(post) :]
                if not any(edge in late for edge in _edges_of(circle)):
                    late.add(_leaving_a_state(graph, circle))
            elif post not in done:
                visit(post, (*path, name))
        done.add(name)

    visit(graph.inputs[0], ())
    return frozenset(late)


def _edges_of(circle: tuple[str, ...]) -> list[Edge]:
    return list(zip(circle, (*circle[1:], circle[0]), strict=True))


def _leaving_a_state(graph: Graph, circle: tuple[str, ...]) -> Edge:
    """The last edge of a circle, seen from where the input enters, that leaves a layer with state.

    Raises ValueError where there is none.
    """
    for pre, post in reversed(_edges_of(circle)):
        if hasattr(graph.layer(pre), "run"):
            return pre, post
    raise ValueError(
        f"the nodes {', '.join(circle)} feed one another within a step: a circle needs a layer "
        "with a state, such as LIF."
    )


def _components(graph: Graph) -> list[tuple[str, ...]]:
    """Groups of nodes that feed one another, in the order in which they run, each in order too."""
    reach = {name: _reached(graph, name) for name in graph.names}
    order = _sorted(graph, {edge for edge in graph.edges if edge not in graph.late})
    groups: list[list[str]] = []
    for name in order:
        for group in groups:
            if name in reach[group[0]] and group[0] in reach[name]:
                group.append(name)
                break
        else:
            groups.append([name])
    home = {name: place for place, group in enumerate(groups) for name in group}
    between = {(home[a], home[b]) for a, b in graph.edges if home[a] != home[b]}
    return [tuple(groups[place]) for place in _topological(range(len(groups)), between)]


def _sorted(graph: Graph, edges: set[Edge]) -> list[str]:
    place = {name: number for number, name in enumerate(graph.names)}
    numbered = {(place[a], place[b]) for a, b in edges}
    return [graph.names[number] for number in _topological(range(len(place)), numbered)]


def _topological(nodes: Sequence[int], edges: set[tuple[int, int]]) -> list[int]:
    """The nodes, those that feed others first; ties in their own order."""
    left, waiting = dict.fromkeys(nodes), set(edges)
    order = []
    while left:
        blocked = {post for _, post in waiting}
        free = next((node for node in left if node not in blocked), None)
        if free is None:
            raise ValueError("part of the graph is a circle that its input does not reach.")
        del left[free]
        order.append(free)
        waiting = {(pre, post) for pre, post in waiting if pre != free}
    return order


def _reached(graph: Graph, start: str) -> set[str]:
    """The nodes that a node feeds, by any way."""
    found: set[str] = set()
    open_ = [start]
    while open_:
        for post in graph._out_of(open_.pop()):
            if post not in found:
                found.add(post)
                open_.append(post)
    return found
