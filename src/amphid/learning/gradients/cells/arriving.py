"""What arrives at the cells of a model: heard together with what leads to it, or moved a little."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from amphid.dynamics import Neuron
from amphid.kernels import is_mapped, over_copies
from amphid.learning.watching import Call
from amphid.models import Recurrent
from amphid.models.folding import Leading, folded, has_time

Chosen = Callable[[nn.Module], bool]


def decides(module: nn.Module) -> bool:
    """Whether it is a neuron that gives out spikes or a release, or built around one."""
    neuron = module if isinstance(module, Neuron) else getattr(module, "neuron", None)
    return isinstance(neuron, Neuron) and neuron.output != "v"


def timing(call: Call, *args: Any, **kwargs: Any) -> tuple[Any, float]:
    """The state and dt in ms with which cells are called; None and 1 where none are given."""
    given = inspect.signature(call.go).bind(*args, **kwargs).arguments
    return given.get("state"), given.get("dt", 1.0)


class Entry(NamedTuple):
    """One call of cells: what arrived at them, and what they gave out."""

    call: Call
    fed: Tensor  # [T, *B, N] in pA, what they were called with
    arriving: Tensor  # the same, with what they sent themselves, and the graph from the cells below
    given: Tensor  # [T, *B, N], a leaf, at which the graph of what comes after starts
    args: tuple[Any, ...]  # with which they were called, besides what arrived
    kwargs: dict[str, Any]

    @property
    def name(self) -> str:
        """That of the cells in the model."""
        return self.call.name

    @property
    def cells(self) -> nn.Module:
        """The module."""
        return self.call.module

    @property
    def neuron(self) -> nn.Module:
        """The cells without what carries their output back."""
        return self.cells.neuron if isinstance(self.cells, Recurrent) else self.cells

    @property
    def timed(self) -> bool:
        """Whether the first axis is time."""
        return has_time(self.cells)

    @property
    def decides_alone(self) -> bool:
        """Whether they are neurons that spike, the same again for the same input."""
        held = [own for part in self.neuron.modules() for own in vars(part).values()]
        drawing = any(isinstance(own, torch.Generator) for own in held)
        spiking = isinstance(self.neuron, Neuron) and self.neuron.output == "spike"
        return spiking and not drawing

    def alone(self, x: Tensor) -> Tensor:
        """What the cells give out [T, *B, N] of this input, where none hears another."""
        call, args, kwargs = self.call, self.args, self.kwargs
        if isinstance(self.cells, Recurrent):
            (state, dt), neuron = timing(call, x, *args, **kwargs), self.cells.neuron
            call = Call(call.name, neuron, "run", neuron.run)
            args, kwargs = (None if state is None else state.neuron, dt), {}
        given: Tensor = call.output(call.go(x, *args, **kwargs))
        return given


class Heard:
    """Listens to a model that runs, and cuts its graph where cells are.

    The cells themselves run without one: nothing of them is differentiated. first: called before
    the first cells are.
    """

    def __init__(self, first: Callable[[], None]) -> None:
        self.first = first
        self.entries: list[Entry] = []

    def __call__(self, call: Call, x: Tensor, *args: Any, **kwargs: Any) -> Any:
        """Let the call be made, and keep what went in and came out."""
        if not self.entries:
            self.first()
        with torch.no_grad():
            result = call.go(x.detach(), *args, **kwargs)
        given = call.output(result).detach().requires_grad_()
        fed = x.detach()
        if isinstance(call.module, Recurrent):
            state, dt = timing(call, x, *args, **kwargs)
            x = x + own_current(call.module, given.detach(), state, dt)
        self.entries.append(Entry(call, fed, x, given, args, kwargs))
        return (given, *result[1:]) if call.method == "run" else given


def own_current(cells: Recurrent, given: Tensor, state: Any, dt: float) -> Tensor:
    """Current [T, *B, N] in pA that recurrent cells sent themselves, of what they gave out."""
    start = cells.init(given[0]) if state is None else state
    heard = torch.cat((start.given.to(given)[None], given[:-1]))
    projection: Any = cells.projection
    if has_time(projection):
        carried: Tensor = projection.run(heard, start.projection, dt=dt)[0]
        return carried
    return folded("projection", projection, heard, Leading())


class Moved:
    """Listens to a model that runs, and adds something to what arrives at its cells.

    offsets: for each call in turn, [T, *B, N], or [K, *B, N] for K blocks of `steps` time steps.
    """

    def __init__(self, offsets: Sequence[Tensor], steps: int | None) -> None:
        self.offsets, self.steps = iter(offsets), steps

    def __call__(self, call: Call, x: Tensor, *args: Any, **kwargs: Any) -> Any:
        """Make the call with more or less than arrived."""
        offset = next(self.offsets)
        if self.steps is not None and has_time(call.module):
            offset = offset.repeat_interleave(self.steps, 0)[: len(x)]
        x = x + offset
        if isinstance(call.module, Recurrent) and call.method == "forward" and is_mapped(x):
            return side_by_side(call.module, x, timing(call, x, *args, **kwargs)[1])
        return call.go(x, *args, **kwargs)


def side_by_side(cells: Recurrent, x: Tensor, dt: float) -> Tensor:
    """What recurrent cells give of [T, *B, N] from rest within vmap, all its copies at once.

    So that machine code runs them, which vmap would step through in torch.
    """
    leaves, structure = pytree.tree_flatten(cells.init(x[0]))

    def run(x: Tensor, *leaves: Tensor) -> list[Tensor]:
        held = [leaf.expand(len(x), *leaf.shape[1:]) for leaf in leaves]
        after = cells.run(x.movedim(0, 1), pytree.tree_unflatten(held, structure), dt)
        return [after[0].movedim(1, 0)]

    (given,) = over_copies(run, (x, *leaves))
    return given
