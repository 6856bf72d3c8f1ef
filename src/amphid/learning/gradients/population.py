"""A loss at many sets of parameters at once: the members of a population."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from amphid.learning.fitting.draws import Draws
from amphid.learning.gradients.factored import Factored
from amphid.learning.gradients.objective import Loss, Objective

Members = Mapping[str, Tensor | Factored]
"""Parameters by name, [S, *shape] each: one entry for every member."""


def losses_of(loss: Loss, members: Members) -> Tensor:
    """The loss of each member [S, *owners], without a gradient.

    loss: a function of parameters by name; one with a method `population(members)`, as an
        `Objective` has, is asked once for all of them. Another may give a tensor, an array or a
        number.
    members: the parameters that differ, [S, *shape] each. An `Objective` takes those that are not
        given from its model.

    All members see the same random numbers. Of a loss with `parts`, such as `Mean`, it is the mean.
    """
    size = len(next(iter(members.values()), ()))
    if not size or any(len(held) != size for held in members.values()):
        sizes = {name: len(held) for name, held in members.items()}
        raise ValueError(
            f"members must hold one entry of each parameter for each member, got {sizes}."
        )
    with torch.no_grad():
        values = [_values(part, members, size) for part in getattr(loss, "parts", (loss,))]
    return values[0] if len(values) == 1 else _mean(values)


def dense(members: Members) -> dict[str, Tensor]:
    """The same members as plain tensors."""
    return {
        name: held.dense() if isinstance(held, Factored) else held for name, held in members.items()
    }


def _values(loss: Any, members: Members, size: int) -> Tensor:
    if (sharing := getattr(loss, "sharing", None)) is not None:
        shared: Tensor = sharing.losses(loss, members)
        return shared
    if not hasattr(loss, "population"):
        return _one_by_one(loss, members, size)
    if isinstance(loss, Objective):
        loss, members = _parted(loss, members)
    values: Tensor = loss.population(members)
    if values.shape[:1] != (size,):
        raise ValueError(
            f"population(members) must give one entry for each of {size} members first, got shape "
            f"{list(values.shape)}."
        )
    return values


def _one_by_one(loss: Loss, members: Members, size: int) -> Tensor:
    held, draws = dense(members), Draws((), (loss,))
    before, values = draws.now(), []
    for place in range(size):
        if place:
            draws.put(before)
        values.append(_number(loss({name: each[place] for name, each in held.items()})))
        draws.drawn()
    return torch.stack(values)


def _number(value: Any) -> Tensor:
    try:
        number = torch.as_tensor(value).detach()
    except (TypeError, ValueError, RuntimeError):
        raise TypeError(
            f"loss must give a number, or an array of one for each owner, got {value!r}."
        ) from None
    return number if number.is_floating_point() else number.to(torch.get_default_dtype())


def _parted(loss: Objective, members: Members) -> tuple[Objective, Members]:
    """The objective with what is the same for all members fixed, and what differs.

    Penalties look at matrices, so that factors are multiplied for them.
    """
    same = {
        name: held[0]
        for name, held in members.items()
        if isinstance(held, Tensor) and held.stride(0) == 0
    }
    if len(same) == len(members):
        same.popitem()
    differing = {name: held for name, held in members.items() if name not in same}
    fixed = replace(loss, fixed={**loss.fixed, **same})
    return fixed, dense(differing) if loss.penalties else differing


def _mean(values: list[Tensor]) -> Tensor:
    if len({value.shape for value in values}) > 1:
        shapes = ", ".join(str(list(value.shape[1:])) for value in values)
        raise ValueError(
            f"the parts of a batch must have the same owners, got losses of shapes {shapes}. "
            "Take batches of one size, or a loss that gives a scalar."
        )
    return torch.stack(values).mean(0)
