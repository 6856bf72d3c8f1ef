"""Where a loss is asked in one call of an estimator: parameters moved along directions."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from amphid.learning.gradients.credit import Credit
from amphid.learning.gradients.factored import Factored
from amphid.learning.gradients.objective import Loss, Params
from amphid.learning.gradients.population import Members, losses_of
from amphid.learning.gradients.weak.designs import Design, Directions, Factors

MEMORY = 2**26  # bytes of perturbed parameters that are held at once


@dataclass(eq=False)
class Sampling:
    """Directions around parameters, and the losses along them, in chunks of bounded memory.

    params: [*shape] each, where it starts. moving: names of those that are perturbed. radius: how
    far a direction of unit variance goes, in units of each parameter.
    """

    params: Params
    moving: Sequence[str]
    units: Mapping[str, float]
    radius: float
    design: Design
    key: int
    count: int
    _held: tuple[int, Directions] | None = field(default=None, repr=False, init=False)

    def __post_init__(self) -> None:
        self.shapes = {name: self.params[name].shape for name in self.moving}
        self.size = sum(shape.numel() for shape in self.shapes.values())

    def chunks(self, sides: int = 1) -> Iterator[tuple[int, int, Directions]]:
        """First and last place of each chunk, and its directions."""
        bytes_each = sides * sum(self._bytes(name) for name in self.moving)
        step = max(1, min(self.count, MEMORY // max(bytes_each, 1)))
        for first in range(0, self.count, step):
            stop = min(first + step, self.count)
            yield first, stop, self.directions(first, stop)

    def directions(self, first: int, stop: int) -> Directions:
        """Directions first to stop, in the type of the parameters; the last are remembered."""
        if self._held is not None and self._held[0] == first:
            held = self._held[1]
            if len(next(iter(held.values()))) == stop - first:
                return held
        drawn = self.design(self.key, first, stop, self.shapes)
        found = {name: each.to(self.params[name]) for name, each in drawn.items()}
        self._held = (first, found)
        return found

    def losses(self, loss: Loss, signs: Sequence[float], reach: Tensor | None = None) -> Tensor:
        """Losses [len(signs), K, *owners] at plus and minus, or whatever the signs, directions."""
        found = []
        for first, stop, directions in self.chunks(len(signs)):
            own = torch.ones(stop - first) if reach is None else reach[first:stop]
            steps = torch.cat([sign * own for sign in signs])
            values = losses_of(loss, self.members(directions, steps, len(signs)))
            found.append(values.unflatten(0, (len(signs), stop - first)))
        return torch.cat(found, dim=1)

    def members(self, directions: Directions, steps: Tensor, sides: int) -> Members:
        """Parameters moved by steps [sides K] times the directions, one after another."""
        size = len(steps)
        return {
            name: self._moved(name, directions[name], steps, sides)
            if name in directions
            else held.expand(size, *held.shape)
            for name, held in self.params.items()
        }

    def norms(self) -> Tensor:
        """Euclidean norm of each direction [K] over all entries."""
        squares = [
            sum(_square(each, self.shapes[name]) for name, each in directions.items())
            for _, _, directions in self.chunks()
        ]
        return torch.cat([torch.as_tensor(own) for own in squares]).sqrt()

    def combined(self, weights: Tensor, credit: Credit) -> Params:
        """Mean over directions of weights [K, *owners] times directions, per unit of parameters.

        An entry with credit sees the weight of its own owner, any other the mean of all owners.
        """
        mean = weights.flatten(1).mean(1) if weights.dim() > 1 else weights
        total: Params = {}
        for first, stop, directions in self.chunks():
            for name, each in directions.items():
                axis = credit.get(name)
                own = (mean if axis is None else weights)[first:stop]
                found = weighted(own, each, self.shapes[name], axis)
                total[name] = total[name] + found if name in total else found
        for name in self.moving:
            total[name] /= self.count * self.radius * self.units[name]
        return {
            name: total[name] if name in total else torch.zeros_like(held)
            for name, held in self.params.items()
        }

    def _bytes(self, name: str) -> int:
        held = self.params[name]
        return 4 * held.element_size() * held.numel()

    def _moved(
        self, name: str, direction: Tensor | Factors, steps: Tensor, sides: int
    ) -> Tensor | Factored:
        base = self.params[name]
        far = steps.to(base) * (self.radius * self.units[name])
        if isinstance(direction, Factors):
            left = direction.left.repeat(sides, 1, 1) * far[:, None, None]
            return Factored(base, left, direction.right.repeat(sides, 1, 1))
        along = direction.expand(sides, *direction.shape)
        far = far.view(sides, -1, *(1,) * base.dim())
        return torch.addcmul(base, far, along).flatten(0, 1)


def units_of(
    params: Mapping[str, Tensor], names: Sequence[str], *, absolute: bool
) -> dict[str, float]:
    """The root mean square of each parameter, or 1 for each where absolute.

    A parameter that is zero everywhere takes that of all others together, and 1 if all are zero.
    """
    if absolute:
        return dict.fromkeys(names, 1.0)
    norms = torch.stack([torch.linalg.vector_norm(params[name]).double() for name in names])
    sizes = {name: params[name].numel() for name in names}
    squares = {n: norm**2 / sizes[n] for n, norm in zip(names, norms.tolist(), strict=True)}
    sizes = {name: size for name, size in sizes.items() if squares[name] > 0}
    whole = sum(squares[name] * size for name, size in sizes.items()) / max(sum(sizes.values()), 1)
    return {name: math.sqrt(square or whole or 1.0) for name, square in squares.items()}


def weighted(
    weights: Tensor, direction: Tensor | Factors, shape: torch.Size, axis: int | None
) -> Tensor:
    """The sum over directions of weights times them, of the shape of a parameter.

    weights: [K], or [K, *owners] where the entries along an axis see an owner each.
    """
    if axis is None:
        own = weights.to(direction.left if isinstance(direction, Factors) else direction)
        if isinstance(direction, Factors):
            left = (direction.left * own[:, None, None]).transpose(0, 1)
            return (left.flatten(1) @ direction.right.transpose(0, 1).flatten(1).T).view(shape)
        return (own @ direction.reshape(len(direction), -1)).view(shape)
    whole = direction.dense(shape) if isinstance(direction, Factors) else direction
    return (per_owner(weights.to(whole), whole.shape, axis) * whole).sum(0)


def per_owner(weights: Tensor, shape: torch.Size, axis: int) -> Tensor:
    """Weights [K, *owners] so shaped that they multiply directions [K, *shape] along an axis.

    Divided by the number of owners, of whose mean a gradient is. Raises ValueError unless there is
    one for each entry along the axis.
    """
    if weights.dim() < 2 or weights.shape[-1] != shape[axis + 1]:
        raise ValueError(
            f"credit along axis {axis} of a parameter of shape {list(shape[1:])} needs a loss with "
            f"as many owners last, got owners {list(weights.shape[1:])}."
        )
    own = weights.flatten(1, -2).mean(1) if weights.dim() > 2 else weights
    others = len(shape) - axis - 2
    return own.view(len(own), *(1,) * axis, -1, *(1,) * others) / own.shape[1]


def _square(direction: Tensor | Factors, shape: torch.Size) -> Tensor:
    whole = direction.dense(shape) if isinstance(direction, Factors) else direction
    return whole.reshape(len(whole), -1).square().sum(1)
