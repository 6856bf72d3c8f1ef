"""Surrogates as wide as the membrane moves."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from amphid.dynamics import Relative, Surrogate
from amphid.dynamics.surrogate import Shape
from amphid.models.evaluating import evaluating


def scale_surrogates(
    model: nn.Module, inputs: Any, *, share: float = 0.5, dt: float | None = None
) -> dict[str, float]:
    """Make every surrogate of a model a share of its membrane's spread wide; their widths in mV.

    The spread is the standard deviation of the distance to threshold over time, batch and cells,
    before resets, on those inputs. A surrogate much narrower gives most cells no gradient, one much
    wider gives all the same. Widths are set once; call it again when the weights have changed.

    inputs: what the model is called with. share: of the spread. dt: ms, handed to the model where
    it is given. Widths are by the name of the module that has the surrogate; a membrane that does
    not move leaves its own as it is.
    Raises ValueError for a share that is not positive, TypeError for a surrogate without a width.
    """
    if not 0 < share < math.inf:
        raise ValueError(f"share must be a positive number, got {share!r}.")
    found = dict(surrogates_of(model))
    watched = {name: _Watched(own) for name, (_, own) in found.items()}
    try:
        for name, (module, _) in found.items():
            module.surrogate = watched[name]
        with evaluating(model), torch.no_grad(), _EveryStep():  # type: ignore[no-untyped-call]
            model(inputs, **({} if dt is None else {"dt": dt}))
    finally:
        for module, own in found.values():
            module.surrogate = own
    widths = {name: share * one.spread for name, one in watched.items() if one.spread > 0}
    for name, width in widths.items():
        module, own = found[name]
        module.surrogate = of_width(name, own, width)
    return widths


class _EveryStep(TorchDispatchMode):
    """Something that looks on, so that every step is taken in torch."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return func(*args, **(kwargs or {}))


@dataclass(eq=False)
class _Watched:
    """A surrogate that keeps the spread of what it is given."""

    inside: Surrogate
    count: int = 0
    total: float = 0.0
    squares: float = 0.0

    def __call__(self, distance: Tensor) -> Tensor:
        seen = distance.detach().double()
        self.count += seen.numel()
        self.total += float(seen.sum())
        self.squares += float(seen.square().sum())
        return self.inside(distance)

    @property
    def spread(self) -> float:
        """Standard deviation, 0 where nothing was seen."""
        if not self.count:
            return 0.0
        return math.sqrt(max(self.squares / self.count - (self.total / self.count) ** 2, 0.0))


def surrogates_of(model: nn.Module) -> Iterator[tuple[str, tuple[Any, Surrogate]]]:
    """Modules that have a surrogate, by name, each with its surrogate."""
    for name, module in model.named_modules():
        own = vars(module).get("surrogate")
        if own is not None:
            yield name, (module, own)


def of_width(name: str, surrogate: Surrogate, width: float) -> Surrogate:
    """The same surrogate with a width in mV; TypeError, naming its module, where it has none."""
    if isinstance(surrogate, Relative):
        return surrogate.shape(width)
    if isinstance(surrogate, Shape):
        return replace(surrogate, width=width)
    raise TypeError(
        f"the surrogate of {name or 'the model'}, {surrogate!r}, has no width that could be set: "
        "use one of amphid.dynamics, such as FastSigmoid."
    )
