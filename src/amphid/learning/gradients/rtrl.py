"""The gradient, carried forward in time in full."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from amphid.learning.gradients.estimator import check_objective, gradients_of, leaf, over_parts
from amphid.learning.gradients.objective import Ear, Loss, Objective, Params
from amphid.learning.gradients.sections import Sections, sections
from amphid.learning.gradients.walking import check_runs


@dataclass(frozen=True)
class RTRL:
    r"""Real-time recurrent learning: the exact gradient, carried forward in time.

    .. math:: \frac{dh^t}{d\theta} = \frac{\partial h^t}{\partial h^{t-1}}
              \frac{dh^{t-1}}{d\theta} + \frac{\partial h^t}{\partial \theta}, \qquad
              \frac{dE}{d\theta} = \sum_t \frac{\partial E}{\partial y^t} \frac{dy^t}{d\theta}

    for any model with `run(x, state, dt) -> (y, state)` whose outputs are [T, *B, K], readouts
    behind them included. What it keeps does not grow with time, but it is a number for each entry
    of the state, of all examples, and each parameter: for small networks, and as a reference for
    rules that approximate it.
    Reference: Williams & Zipser 1989, doi 10.1162/neco.1989.1.2.270.
    """

    def __call__(self, loss: Loss, params: Params) -> tuple[Tensor, Params]:
        """The mean of the loss and its gradients."""
        leaves = {name: leaf(value) for name, value in params.items()}

        def one(part: Any) -> tuple[Tensor, Iterable[Tensor]]:
            objective = check_objective(part, "RTRL")
            _check_before(check_runs(objective), params)
            if any(penalty.watches for penalty in objective.penalties):
                raise ValueError("RTRL does not see hidden cells: leave out penalties of activity.")
            return _gradients(objective, leaves)

        return over_parts(loss, params, one)


def _check_before(parts: Sections, params: Params) -> None:
    names = [] if parts.before is None else [name for name, _ in parts.before.named_parameters()]
    if lost := [name for name in names if name in params]:
        raise ValueError(
            f"RTRL cannot train {', '.join(lost)}, which come before an encoder: leave them out of "
            "the optimizer."
        )


def _gradients(objective: Objective, params: Params) -> tuple[Tensor, list[Tensor]]:
    before, through, after = sections(objective.model)

    def step(held: Params, x: Tensor, state: Any) -> tuple[Any, Any]:
        return objective.within(held, lambda: through.run(x[None], state, **objective.timing))

    def whole(part: nn.Module | None, x: Any) -> Any:
        if part is None:
            return x
        return objective.within(params, lambda: part(x, **objective.timing))

    with torch.no_grad():
        sequence = whole(before, objective.inputs)
        outputs = whole(through, sequence)
    with torch.enable_grad():
        seen = outputs.detach().requires_grad_()
        value = objective.judged(whole(after, seen), params, Ear(1.0)).mean()
        *direct, signals = gradients_of(value, [*params.values(), seen])
    flat = _Flat(params)
    summed = flat.vector(direct) + _carried(step, sequence, signals, flat)
    return value, flat.split(summed)


def _carried(
    step: Callable[..., tuple[Any, Any]], sequence: Tensor, signals: Tensor, flat: _Flat
) -> Tensor:
    """The sum over time of signals times derivatives of the outputs [P]."""
    theta, summed = flat.own, torch.zeros_like(flat.own)
    jacobian = partial(torch.func.jacrev, argnums=(0, 1), has_aux=True)
    state: Any = None
    carried: Tensor | None = None  # dh / d theta [D, P]
    for x, signal in zip(sequence.unbind(0), signals.unbind(0), strict=True):
        tree, reached = _Tree(state), []

        def stepped(theta: Tensor, h: Tensor) -> Any:
            y, after = step(flat.named(theta), x, tree.built(h))  # noqa: B023  called at once
            reached.append(end := _Tree(after))  # noqa: B023
            return (end.vector, y.flatten()), end.tensors

        slopes, tensors = jacobian(stepped)(theta, tree.vector)
        (by_theta, by_state), (given_theta, given_state) = slopes
        if carried is not None:
            given_theta = given_theta + given_state @ carried
            by_theta = by_theta + by_state @ carried
        carried, state = by_theta, reached[0].filled(tensors)
        summed += signal.flatten() @ given_theta
    return summed


class _Flat:
    """Parameters as one vector [P], and back."""

    def __init__(self, params: Params) -> None:
        self.params = params
        self.own = self.vector(params.values()).detach()

    def vector(self, values: Iterable[Tensor]) -> Tensor:
        return torch.cat([value.flatten() for value in values])

    def split(self, vector: Tensor) -> list[Tensor]:
        sizes = [held.numel() for held in self.params.values()]
        parts = zip(vector.split(sizes), self.params.values(), strict=True)
        return [part.view(held.shape) for part, held in parts]

    def named(self, vector: Tensor) -> Params:
        return dict(zip(self.params, self.split(vector), strict=True))


class _Tree:
    """The floating-point tensors of a state as one vector [D], and back."""

    def __init__(self, state: Any) -> None:
        self.leaves, self.spec = pytree.tree_flatten(state)
        self.moving = [held for held in self.leaves if _moves(held)]
        flat = [held.flatten() for held in self.moving]
        self.vector = torch.cat(flat) if flat else torch.zeros(0)

    @property
    def tensors(self) -> list[Tensor]:
        return [held for held in self.leaves if isinstance(held, Tensor)]

    def filled(self, tensors: Iterable[Tensor]) -> Any:
        """The same tree with other tensors."""
        given = iter(tensors)
        leaves = [next(given) if isinstance(x, Tensor) else x for x in self.leaves]
        return pytree.tree_unflatten(leaves, self.spec)

    def built(self, vector: Tensor) -> Any:
        parts = iter(vector.split([held.numel() for held in self.moving]))
        moved = [next(parts).view(x.shape) if _moves(x) else x for x in self.tensors]
        return self.filled(moved)


def _moves(held: object) -> bool:
    return isinstance(held, Tensor) and held.is_floating_point()
