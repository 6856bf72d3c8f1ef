"""Diffusion that is slowed down by a memory of all of its past."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import pad

from amphid.dynamics.fractional.exponentials import ExponentialMemory
from amphid.dynamics.fractional.memory import Memory, check_count
from amphid.dynamics.fractional.weights import check_order
from amphid.dynamics.values import is_number


class DiffusionState(NamedTuple):
    """Where a diffusion is."""

    u: Tensor  # concentration at each place [*B, X]
    past: Tensor  # what the derivative in time makes of past curvatures
    memory: Any  # what is kept of past curvatures


@dataclass(frozen=True)
class FractionalDiffusion:
    r"""Subdiffusion along a line whose two ends are kept empty.

    .. math:: \partial_t u = K \frac{\partial^{1-g}}{\partial t^{1-g}} \partial_x^2 u, \qquad
              u = E_g(-K k^2 t^g) \sin k x \text{ from } u = \sin k x

    Forward in time, centered in space, the derivative in time by the differences of Grünwald and
    Letnikov; of first order in dt and second in the spacing. At order 1 it is plain diffusion.

    order: g, above 0 and at most 1. constant: K in um^2 per ms^g. spacing: of the places, um; the
    ends stand one spacing beyond the first and the last. memory: what is kept of the past.
    Reference: scheme and its limit of stability, Yuste & Acedo 2005, doi 10.1137/030602666.
    """

    order: float
    constant: float
    spacing: float
    memory: Memory = ExponentialMemory()  # noqa: RUF009  frozen

    def __post_init__(self) -> None:
        check_order("FractionalDiffusion", self.order)
        for name in ("constant", "spacing"):
            value = getattr(self, name)
            if not (is_number(value) and value > 0):
                raise ValueError(f"FractionalDiffusion: {name} must be positive, got {value!r}.")
        if not isinstance(self.memory, Memory):
            raise TypeError(
                "FractionalDiffusion: memory must be one such as ExponentialMemory(), got "
                f"{self.memory!r}."
            )

    def init(self, u: Tensor) -> DiffusionState:
        """A concentration [*B, X] without a past."""
        memory = self.memory.init(u, 1 - self.order) if self.order < 1 else ()
        return DiffusionState(u, torch.zeros_like(u), memory)

    def step(self, state: DiffusionState, dt: float) -> DiffusionState:
        """The state dt ms later."""
        curvature, past, memory = _curvature(state.u), state.past, state.memory
        u = state.u + self._share(dt) * (curvature + past)
        if self.order < 1:
            memory, above = self.memory.step(memory, curvature, 1 - self.order)
            past = above - curvature
        return DiffusionState(u, past, memory)

    def run(self, u: Tensor, *, steps: int, dt: float) -> Tensor:
        """Concentrations [steps, *B, X] after each step of dt ms from u [*B, X].

        Raises ValueError for a dt so long that the scheme is not stable, and for what is no
        concentration.
        """
        _check_concentration(u)
        check_count("FractionalDiffusion", "steps", steps, 1)
        if not (is_number(dt) and dt > 0):
            raise ValueError(f"dt must be a positive number of ms, got {dt!r}.")
        self.check_stable(dt, u.shape[-1])
        state, after = self.init(u), []
        for _ in range(steps):
            state = self.step(state, dt)
            after.append(state.u)
        return torch.stack(after)

    def longest(self, places: int) -> float:
        """The longest stable dt in ms on so many places."""
        fastest = 4 * math.sin(math.pi / 2 * places / (places + 1)) ** 2
        share: float = 2.0**self.order / fastest * self.spacing**2 / self.constant
        return share ** (1 / self.order)

    def check_stable(self, dt: float, places: int) -> None:
        """Raise ValueError for a dt above the longest stable one."""
        if dt > (longest := self.longest(places)) * (1 + 1e-9):
            raise ValueError(
                f"dt must be at most {longest:.3g} ms for this spacing and constant, got {dt:g}: "
                "shorten it, or widen the spacing."
            )

    def _share(self, dt: float) -> float:
        return self.constant * dt**self.order / self.spacing**2


def _check_concentration(u: object) -> None:
    if not isinstance(u, Tensor) or not u.is_floating_point():
        raise TypeError(
            "u must be a tensor [*B, X] of numbers with a fraction, got "
            f"{u.dtype if isinstance(u, Tensor) else repr(u)}."
        )
    if not u.dim() or not u.shape[-1] or not bool(torch.isfinite(u).all()):
        raise ValueError(
            f"u must be finite at each of one or more places [*B, X], got shape {list(u.shape)}."
        )


def _curvature(u: Tensor) -> Tensor:
    """Second difference [*B, X], the ends being zero."""
    padded = pad(u, (1, 1))
    return padded[..., 2:] - 2 * u + padded[..., :-2]
