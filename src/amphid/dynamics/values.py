"""Values of equations: a float is fixed, a tensor fixed per cell, an `nn.Parameter` learned."""

from __future__ import annotations

import inspect
import math
from collections.abc import Iterator
from numbers import Real
from typing import Any, Self

import torch
from torch import Tensor, nn

Value = float | Tensor


class Equation(nn.Module):
    """A module whose values are given once, in its constructor, and stand in its repr.

    A value may have any shape that broadcasts to [*B, N].
    """

    _values: tuple[str, ...] = ()

    def hold(self, **values: Value) -> None:
        """Keep values under their names: float as it is, tensor as buffer, parameter as such."""
        for name, value in values.items():
            if isinstance(value, nn.Parameter):
                self.register_parameter(name, value)
            elif isinstance(value, Tensor):
                self.register_buffer(name, value)
            elif is_number(value):
                setattr(self, name, float(value))
            else:
                raise TypeError(
                    f"{type(self).__name__}: {name} must be a finite number, a tensor or an "
                    f"nn.Parameter, got {value!r}."
                )
        self._values += tuple(values)

    def hold_positive(self, **values: Value) -> None:
        """Keep values that only make sense above zero."""
        self.hold(**values)
        for name, value in values.items():
            held = torch.as_tensor(value).detach()
            lowest = float(held.min()) if held.numel() else 1.0
            if not lowest > 0:
                raise ValueError(f"{type(self).__name__}: {name} must be positive, got {lowest:g}.")

    def changed(self, **values: Any) -> Self:
        """The same with some arguments of its constructor changed, checked as the constructor does.

        Raises TypeError for an argument that there is not, or that it did not keep.
        """
        kept = {}
        for name in inspect.signature(type(self)).parameters:
            if name not in values and not hasattr(self, name):
                raise TypeError(
                    f"{type(self).__name__} cannot be changed: it does not keep {name!r}, which "
                    "its constructor was given, under that name."
                )
            kept[name] = values[name] if name in values else getattr(self, name)
        if unknown := set(values) - set(kept):
            raise TypeError(f"{type(self).__name__} has no argument {min(unknown)!r}.")
        return type(self)(**kept)

    def values(self) -> Iterator[tuple[str, Any]]:
        """What it was given, by name."""
        return ((name, getattr(self, name)) for name in self._values)

    def extra_repr(self) -> str:
        """The values by name; a tensor shows its shape, a learned one says so."""
        return ", ".join(f"{name}={_shown(getattr(self, name))}" for name in self._values)


def is_number(value: object) -> bool:
    """Whether it is a finite number."""
    return isinstance(value, Real) and not isinstance(value, bool) and math.isfinite(value)


def filled(like: Tensor, value: Value) -> Tensor:
    """A tensor of the shape [*B, N] and type of `like` that holds the value."""
    return torch.zeros_like(like) + value


def decay(dt: float, tau: Value) -> Value:
    """What is left after dt of a quantity that decays with tau: exp(-dt / tau)."""
    return torch.exp(-dt / tau) if isinstance(tau, Tensor) else math.exp(-dt / tau)


def mean_decay(dt: float, tau: Value) -> Value:
    """Mean over one step dt of a quantity that starts at 1 and decays with tau."""
    if isinstance(tau, Tensor):
        return -torch.expm1(-dt / tau) * tau / dt
    return -math.expm1(-dt / tau) * tau / dt


def _shown(value: object) -> str:
    if isinstance(value, Tensor):
        kind = "learned" if isinstance(value, nn.Parameter) else "tensor"
        return f"{value.item():g} ({kind})" if value.numel() == 1 else f"{kind}{list(value.shape)}"
    return f"{value:g}" if isinstance(value, float) else repr(value)
