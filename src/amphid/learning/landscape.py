"""The landscape of a loss along a line and over a plane, seen from where training stands."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from amphid.learning.gradients.objective import Loss, Params
from amphid.learning.gradients.population import losses_of

AT_ONCE = 2**24  # entries of parameters that are held for the points of one chunk


@dataclass(frozen=True, eq=False)
class LossLine:
    """A loss along a line.

    at: places [S] along the direction, 0 where the parameters are. losses: [S], means over owners.
    slope: of the straight line through the losses, per unit of the direction.
    """

    at: Tensor
    losses: Tensor

    @property
    def slope(self) -> float:
        """The trend, by least squares."""
        away = self.at - self.at.mean()
        return float((away * self.losses).sum() / away.square().sum())

    @property
    def jumps(self) -> float:
        """Share of the variation from point to point that goes back and forth, 0 to 1.

        0 where the loss only rises or only falls; near 1 where it jumps up and down.
        """
        steps = self.losses.diff()
        whole = float(steps.abs().sum())
        return 1 - abs(float(steps.sum())) / whole if whole else 0.0


@dataclass(frozen=True, eq=False)
class LossPlane:
    """A loss over a plane: losses [S, R] at places `across` [S] and `up` [R], means over owners."""

    across: Tensor
    up: Tensor
    losses: Tensor


def loss_line(
    loss: Loss, params: Mapping[str, Tensor], direction: Mapping[str, Tensor], *,
    reach: float = 1.0, points: int = 41,
) -> LossLine:  # fmt: skip
    """The loss at `points` places from -reach to reach along a direction.

    loss: a pure function of parameters by name, such as an `Objective`. direction: [*shape] by
    name; parameters that it lacks stay. Nothing is changed.
    Raises ValueError for what is no direction of these parameters.
    """
    _check(params, direction, reach, points)
    at = torch.linspace(-reach, reach, points, dtype=torch.float64)
    return LossLine(at, _asked(loss, params, [(at, direction)]))


def loss_plane(
    loss: Loss, params: Mapping[str, Tensor],
    directions: tuple[Mapping[str, Tensor], Mapping[str, Tensor]], *,
    reach: float = 1.0, points: int = 21,
) -> LossPlane:  # fmt: skip
    """The loss at points x points places of the plane that two directions span."""
    for direction in directions:
        _check(params, direction, reach, points)
    at = torch.linspace(-reach, reach, points, dtype=torch.float64)
    across, up = at.repeat_interleave(points), at.repeat(points)
    pairs = list(zip((across, up), directions, strict=True))
    return LossPlane(at, at, _asked(loss, params, pairs).view(points, points))


def random_direction(params: Mapping[str, Tensor], *, generator: torch.Generator) -> Params:
    """A normal direction in which each row of each parameter is as long as the parameter's own.

    Rows are what goes into one cell, filters of a convolution; a parameter with one axis is taken
    whole. Networks of different scale then compare, as 1 is as far as the parameters are long.
    Reference: Li et al. 2018, doi 10.48550/arXiv.1712.09913 (filter normalization).
    """
    return {name: _as_long(held, _drawn(held, generator)) for name, held in params.items()}


def _drawn(like: Tensor, generator: torch.Generator) -> Tensor:
    return torch.randn(like.shape, generator=generator, dtype=like.dtype, device=like.device)


def _as_long(held: Tensor, drawn: Tensor) -> Tensor:
    rows, noise = (one.detach().flatten(1) if one.dim() > 1 else one[None] for one in (held, drawn))
    long = rows.detach().norm(dim=1, keepdim=True) / noise.norm(dim=1, keepdim=True)
    return (noise * long).view_as(held)


def _asked(
    loss: Loss, params: Mapping[str, Tensor], moves: list[tuple[Tensor, Mapping[str, Tensor]]]
) -> Tensor:
    """Losses [S] with parameters moved along each direction by as much as it says [S]."""
    size, entries = len(moves[0][0]), sum(held.numel() for held in params.values())
    step = max(1, AT_ONCE // entries)
    chunks = (
        _moved(params, [(at[low : low + step], way) for at, way in moves])
        for low in range(0, size, step)
    )
    found = [losses_of(loss, chunk) for chunk in chunks]
    return torch.cat([own.flatten(1).mean(1) if own.dim() > 1 else own for own in found])


def _moved(
    params: Mapping[str, Tensor], moves: Iterable[tuple[Tensor, Mapping[str, Tensor]]]
) -> dict[str, Tensor]:
    moved = {name: held.detach()[None] for name, held in params.items()}
    for at, direction in moves:
        for name, held in params.items():
            way = direction.get(name, torch.zeros_like(held)).detach()
            moved[name] = moved[name] + at.to(held).view(-1, *(1,) * held.dim()) * way
    return moved


def _check(
    params: Mapping[str, Tensor], direction: Mapping[str, Tensor], reach: float, points: int
) -> None:
    if not isinstance(direction, Mapping):
        raise TypeError(f"direction must be tensors by name of a parameter, got {direction!r}.")
    for name, way in direction.items():
        if name not in params or way.shape != params[name].shape:
            shapes = {name: list(held.shape) for name, held in params.items()}
            raise ValueError(
                f"direction must go with the parameters {shapes}, got {name!r} of shape "
                f"{list(way.shape)}."
            )
    if not any(way.any() for way in direction.values()):
        raise ValueError("direction must not be zero everywhere.")
    if not reach > 0 or points < 3:
        raise ValueError(
            f"reach must be above zero and points at least 3, got {reach!r} and {points!r}."
        )
