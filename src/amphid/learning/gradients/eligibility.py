"""Eligibility: how what a cell gives out depends on a parameter, carried forward in time."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from amphid.dynamics import Neuron
from amphid.learning.gradients.objective import within


class Slopes(NamedTuple):
    """Derivatives of one step of cells that do not see one another.

    First axis: the S variables of the state after the step, then the output.
    """

    state: Tensor  # by the state before [S + 1, S, R, N]
    current: Tensor  # by the current [S + 1, R, N]
    values: dict[str, Tensor]  # by values of the cells [S + 1, R, N]


def variables(neuron: Neuron[Any], like: Tensor) -> tuple[list[Tensor], Any]:
    """The variables of a cell's state at rest, and the tree that they make.

    Raises TypeError where one is no real number.
    """
    leaves, tree = pytree.tree_flatten(neuron.init(like))
    if not all(isinstance(held, Tensor) and held.is_floating_point() for held in leaves):
        raise TypeError(
            f"eligibility needs a state of real numbers, but {type(neuron).__name__} also keeps "
            "something else, such as a place in a sequence of random numbers."
        )
    return leaves, tree


class Stepper:
    """Steps cells and tells the derivatives of each step.

    neuron: any; in its step no cell may see another. values: those of its parameters that are
    learned, by name; each must have a shape that broadcasts to [R, N]. dt: ms.
    """

    def __init__(self, neuron: Neuron[Any], values: Mapping[str, Tensor], dt: float) -> None:
        self.neuron, self.values, self.dt = neuron, values, dt

    def start(self, like: Tensor) -> list[Tensor]:
        """The variables [R, N] of cells at rest that are shaped as `like`; remembers the tree."""
        leaves, self.tree = variables(self.neuron, like)
        return [held.detach().expand(like.shape) for held in leaves]

    def step(self, state: list[Tensor], current: Tensor) -> tuple[list[Tensor], Tensor, Slopes]:
        """State and output after a step, and the slopes of that step."""
        with torch.enable_grad():
            before = [held.detach().requires_grad_() for held in state]
            into = current.detach().requires_grad_()
            spread = {
                name: value.detach().expand(current.shape).clone().requires_grad_()
                for name, value in self.values.items()
            }
            after, given = self._stepped(before, into, spread)
            sources = [*before, into, *spread.values()]
            rows = [_row(result, sources) for result in (*after, given)]
        table = torch.stack([torch.stack(row) for row in rows])  # [S + 1, S + 1 + values, R, N]
        size = len(before)
        values = {name: table[:, size + 1 + k] for k, name in enumerate(spread)}
        slopes = Slopes(table[:, :size], table[:, size], values)
        return [held.detach() for held in after], given.detach(), slopes

    def present(self, state: list[Tensor], current: Tensor) -> tuple[list[Tensor], Tensor]:
        """State after a step, and the derivative of the output by the current of that step."""
        with torch.enable_grad():
            into = current.detach().requires_grad_()
            after, given = self._stepped(state, into, {})
            (slope,) = _row(given, [into])
        return [held.detach() for held in after], slope

    def _stepped(
        self, state: list[Tensor], current: Tensor, values: Mapping[str, Tensor]
    ) -> tuple[list[Tensor], Tensor]:
        held = pytree.tree_unflatten(state, self.tree)
        after, given = within(self.neuron, values, self.neuron.step, held, current, self.dt)
        return [x.expand(current.shape) for x in pytree.tree_leaves(after)], given


def _row(result: Tensor, sources: list[Tensor]) -> tuple[Tensor, ...]:
    """The derivative of each entry by the entry of each source at the same place."""
    if not result.requires_grad:
        return tuple(torch.zeros_like(source) for source in sources)
    return torch.autograd.grad(
        result, sources, torch.ones_like(result), retain_graph=True, allow_unused=True,
        materialize_grads=True,
    )  # fmt: skip


class Carried(Protocol):
    """What is carried forward in time of one kind of parameter, and the gradient gathered by it."""

    gradient: Tensor | None  # [N, M]

    def step(self, slopes: Slopes, by: Tensor, signal: Tensor) -> None:
        """Go one step: slopes by the parameter [S + 1, R, N, M], L [R, N]."""


class Trace:
    r"""The eligibility of one kind of parameter, and the gradient gathered by it.

    .. math:: \epsilon^t = \frac{\partial h^t}{\partial h^{t-1}} \epsilon^{t-1}
              + \frac{\partial h^t}{\partial \theta}, \qquad
              \nabla_\theta = \sum_t L^t \Bigl(\frac{\partial z^t}{\partial h^{t-1}} \epsilon^{t-1}
              + \frac{\partial z^t}{\partial \theta}\Bigr)
    """

    def __init__(self) -> None:
        self.carried: Tensor | None = None  # [S, R, N, M]
        self.gradient: Tensor | None = None  # [N, M]

    def step(self, slopes: Slopes, by: Tensor, signal: Tensor) -> None:
        """Go one step: slopes by the parameter [S + 1, R, N, M], L [R, N]."""
        if self.carried is not None:
            by = by + torch.einsum("osrn,srnm->ornm", slopes.state, self.carried)
        self.carried = by[:-1]
        more = self.gathered(signal, by[-1])
        self.gradient = more if self.gradient is None else self.gradient + more

    def gathered(self, signal: Tensor, given: Tensor) -> Tensor:
        """What a step adds to the gradient [N, M]."""
        return torch.einsum("rn,rnm->nm", signal, given)
