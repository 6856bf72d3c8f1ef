"""What an estimator of a gradient is."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Protocol

import torch
from torch import Tensor

from amphid.learning.gradients.objective import Loss, Objective, Params


class Estimator(Protocol):
    """Finds out in which direction a loss grows.

    `loss` is a pure function of parameters by name, that gives a scalar, or one entry per owner.
    The value is its mean as a scalar that carries no gradient; the gradients are those of that
    mean, under the same names, each of the shape and type of its parameter. Parameters are not
    changed, and neither are their `.grad`.

    An estimator that remembers something from call to call keeps it in `state_dict()` and takes it
    back in `load_state_dict(state)`; `fit` then resumes it too. What draws numbers keeps its
    `torch.Generator` as an attribute.
    """

    def __call__(self, loss: Loss, params: Params) -> tuple[Tensor, Params]:
        """The value of a loss and its gradients, as far as this estimator can tell."""


def over_parts(
    loss: Loss, params: Params, one: Callable[[Any], tuple[Tensor, Iterable[Tensor]]]
) -> tuple[Tensor, Params]:
    """Value and gradients of a loss as the means of those of its parts, one after another.

    one: the value of a part, and its gradients in the order of the parameters.
    """
    first, *others = getattr(loss, "parts", (loss,))
    value, gradients = one(first)
    total, found = value.detach(), list(gradients)
    for part in others:
        value, gradients = one(part)
        total = total + value.detach()
        found = [a + b for a, b in zip(found, gradients, strict=True)]
    if others:
        total, found = total / (1 + len(others)), [g / (1 + len(others)) for g in found]
    return total, dict(zip(params, found, strict=True))


def check_objective(loss: object, estimator: str) -> Objective:
    """The objective, or a TypeError for a loss whose model cannot be looked into."""
    if not isinstance(loss, Objective):
        raise TypeError(
            f"{estimator} looks into the model, so it needs an Objective(model, inputs, targets, "
            f"loss), as fit makes it; got {type(loss).__name__}."
        )
    if loss.start is not None:
        raise ValueError(
            f"{estimator} starts each sequence from rest, so it cannot go on in stretches: fit "
            "without `stretches`, or take one that only asks for the loss, such as Backprop()."
        )
    return loss


def leaf(value: Tensor) -> Tensor:
    """A tensor for which a gradient can be asked: itself where it is one."""
    if value.is_leaf and value.requires_grad:
        return value
    return value.detach().requires_grad_()


def gradients_of(value: Tensor, leaves: Iterable[Tensor]) -> tuple[Tensor, ...]:
    """The gradient of a scalar with respect to each leaf; zero for what it does not depend on."""
    if not value.requires_grad:
        raise ValueError(
            "the loss does not depend on any trained parameter in a way that torch can "
            "differentiate: it carries no gradient. Check that the optimizer's parameters are "
            "used by the model, or take an estimator that needs no gradient."
        )
    return torch.autograd.grad(value, list(leaves), allow_unused=True, materialize_grads=True)
