"""What all rules of plasticity share: which connections they govern, bounds, traces of spikes."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, Generic, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from amphid.dynamics.values import Equation, Value, decay, is_number
from amphid.simulation.plasticity import Selection
from amphid.wiring import Connectome

S = TypeVar("S")


class Rule(Equation, ABC, Generic[S]):
    """A rule of plasticity; see `simulation.Plasticity` for what its parts must do. Abstract.

    Values of the traces (time constants) may be given per cell [N]; values of the change (sizes)
    one for all, or one for each governed connection [K]. An `nn.Parameter` is learned.
    """

    connections: Selection
    bounds: tuple[float, float]

    def govern(self, connections: Selection, low: float, high: float) -> None:
        """Keep which connections the rule governs, and between which weights it holds them.

        Raises ValueError where the bounds leave no room.
        """
        for bound in (low, high):
            if not is_number(bound) and bound not in (math.inf, -math.inf):
                raise TypeError(f"{type(self).__name__}: a bound must be a number, got {bound!r}.")
        if not low < high:
            raise ValueError(
                f"{type(self).__name__}: the greatest weight must be above {low:g}, got {high:g}."
            )
        self.connections, self.bounds = connections, (float(low), float(high))

    @abstractmethod
    def init(self, like: Tensor) -> S:
        """Traces of cells shaped as `like` [*B, N] that never fired."""

    @abstractmethod
    def step(self, state: S, spike: Tensor, dt: float) -> S:
        """The traces after a step of dt ms in which cells fired `spike` [*B, N] in {0, 1}."""

    @abstractmethod
    def change(
        self, weight: Tensor, pre: S, post: S, pre_spike: Tensor, post_spike: Tensor
    ) -> Tensor:
        """Weights [*B, K] after a step, by the traces that stood before its spikes."""


def all_spikes(trace: Tensor, spike: Tensor, tau: Value, dt: float) -> Tensor:
    """A trace [*B, N] that every spike raises by one and that decays with tau, a step later.

    k steps after a lone spike it is exp(-k dt / tau).
    """
    return (trace + spike) * decay(dt, tau)


def nearest_spike(trace: Tensor, spike: Tensor, tau: Value, dt: float) -> Tensor:
    """A trace [*B, N] that remembers the last spike only, a step later."""
    return (trace + spike * (1 - trace)) * decay(dt, tau)


def between(pre: str, post: str) -> Callable[[Connectome], NDArray[np.bool_]]:
    """Chemical connections from cells to cells, each by name, class, kind or pattern.

    For `connections=` of a rule: between("input*", "*").
    """

    def mask(connectome: Connectome) -> NDArray[np.bool_]:
        wires = connectome.connections
        chosen = np.isin(wires.pre, connectome.select(pre))
        chosen &= np.isin(wires.post, connectome.select(post))
        return np.asarray(chosen & wires.chemical)

    return mask


def power(base: Tensor, exponent: Value) -> Tensor | float:
    """base ** exponent of a base from zero on; one where the exponent is zero.

    Its slope at a base of zero, which may be infinite, counts as zero.
    """
    if not isinstance(exponent, Tensor) and exponent in (0, 1):
        return base if exponent else 1.0
    above = base > 0
    return torch.where(above, torch.pow(torch.where(above, base, 1.0), exponent), 0.0)


def check_exponent(rule: Rule[Any], exponent: Value) -> None:
    """Raise ValueError for a dependence on the weight that would grow towards a bound."""
    if float(torch.as_tensor(exponent).detach().min()) < 0:
        raise ValueError(f"{type(rule).__name__}: exponent must not be negative, got {exponent!r}.")
