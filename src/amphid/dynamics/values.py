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


class Learned(nn.Parameter):
    """A value that is learned, and stays positive where only that makes sense; see `learned`."""


def learned(start: Value) -> Learned:
    """A value to learn, as in `LIF(tau=learned(20.0), v_threshold=learned(-50.0))`.

    start: a number, one for all cells, or a tensor, one for each. What only makes sense above zero,
    such as a time constant, is kept as its logarithm, a parameter `log_tau`: no step of an
    optimizer can carry it to zero or below, and the same step changes 2 ms and 200 ms by the same
    share. All else is kept as it is, as an `nn.Parameter` would be.
    """
    value = torch.as_tensor(start)
    value = value if value.is_floating_point() else value.to(torch.get_default_dtype())
    return Learned(value.detach().clone())


class Equation(nn.Module):
    """A module whose values are given once, in its constructor, and stand in its repr.

    A value may have any shape that broadcasts to [*B, N].
    """

    _values: tuple[str, ...] = ()

    def hold(self, **values: Value) -> None:
        """Keep values under their names: float as it is, tensor as buffer, parameter as such."""
        for name, value in values.items():
            if isinstance(value, nn.Parameter):
                plain = nn.Parameter(value.detach()) if isinstance(value, Learned) else value
                self.register_parameter(name, plain)
            elif isinstance(value, Tensor):
                self.register_buffer(name, value)
            elif is_number(value):
                setattr(self, name, float(value))
            else:
                raise TypeError(
                    f"{type(self).__name__}: {name} must be a finite number, a tensor or an "
                    f"nn.Parameter, got {value!r}."
                )
            self._values += (name,)

    def hold_positive(self, **values: Value) -> None:
        """Keep values that only make sense above zero; a `learned` one by its logarithm."""
        for name, value in values.items():
            by_logarithm = isinstance(value, Learned)
            if not by_logarithm:
                self.hold(**{name: value})
            held = torch.as_tensor(value).detach()
            lowest = float(held.min()) if held.numel() else 1.0
            if not lowest > 0:
                raise ValueError(f"{type(self).__name__}: {name} must be positive, got {lowest:g}.")
            if by_logarithm:
                self.register_parameter(f"log_{name}", nn.Parameter(held.log()))
                self._values += (name,)

    def __getattr__(self, name: str) -> Tensor | nn.Module:
        parameters = self.__dict__.get("_parameters", {})
        if (logarithm := parameters.get(f"log_{name}")) is not None:
            return logarithm.exp()
        return super().__getattr__(name)

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
            kept[name] = values[name] if name in values else self._kept(name)
        if unknown := set(values) - set(kept):
            raise TypeError(f"{type(self).__name__} has no argument {min(unknown)!r}.")
        return type(self)(**kept)

    def _kept(self, name: str) -> Any:
        """A value in the form that the constructor takes."""
        value = getattr(self, name)
        return learned(value) if f"log_{name}" in self._parameters else value

    def values(self) -> Iterator[tuple[str, Any]]:
        """What it was given, by name."""
        return ((name, getattr(self, name)) for name in self._values)

    def extra_repr(self) -> str:
        """The values by name; a tensor shows its shape, a learned one says so."""
        return ", ".join(f"{name}={self._shown(name)}" for name in self._values)

    def _shown(self, name: str) -> str:
        by_logarithm = f"log_{name}" in self._parameters
        value = getattr(self, name)
        return _shown(nn.Parameter(value.detach()) if by_logarithm else value)


def is_number(value: object) -> bool:
    """Whether it is a finite number."""
    return isinstance(value, Real) and not isinstance(value, bool) and math.isfinite(value)


def check_dt(dt: object) -> None:
    """Raise ValueError for what is no width of a step in ms."""
    if isinstance(dt, Tensor) or torch.compiler.is_compiling():
        return
    if not (is_number(dt) and dt > 0):  # type: ignore[operator]
        raise ValueError(f"dt must be a positive number of ms, got {dt!r}.")


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
