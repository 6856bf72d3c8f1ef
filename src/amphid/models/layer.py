"""What a layer over time is."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from amphid.dynamics.values import Equation

Stepping = Callable[[Any, Tensor], tuple[Any, Tensor]]
"""From a state, None at rest, and one step's input [*B, N] to the next state and the output."""


class Layer(Equation, ABC):
    """A layer that needs to know what time is. Abstract: concrete ones are final.

    It maps [T, *B, N] to [T, *B, K], from rest: nothing is kept between calls. `run` carries the
    state, a tree of tensors, () where there is none; `step` goes one step at a time.
    """

    @abstractmethod
    def run(self, x: Tensor, state: Any = None, dt: float = 1.0) -> tuple[Tensor, Any]:
        """Output [T, *B, K] of an input [T, *B, N], and the state after it; from rest when None."""

    def forward(self, x: Tensor, dt: float = 1.0) -> Tensor:
        """Output [T, *B, K] of an input [T, *B, N], from rest; dt in ms."""
        return self.run(x, None, dt)[0]

    def stepping(self, dt: float) -> Stepping:
        """One step at that dt in ms, with all that no step changes computed once."""

        def step(state: Any, x: Tensor) -> tuple[Any, Tensor]:
            y, state = self.run(x[None], state, dt)
            return state, y[0]

        return step

    def step(self, state: Any, x: Tensor, dt: float = 1.0) -> tuple[Any, Tensor]:
        """State and output [*B, K] after one step of dt ms with the input [*B, N]."""
        return self.stepping(dt)(state, x)


class Encoder(Layer):
    """A layer that makes a sequence [T, *B, K] of a still input [*B, N]. Abstract."""

    def stepping(self, dt: float) -> Stepping:
        """Refused: it gives out all steps at once."""
        raise TypeError(
            f"{type(self).__name__} makes a whole sequence of one input, so it has no single step: "
            "call it once, then step the layers after it."
        )


class Readout(Layer):
    """A layer that makes one value [*B, K] of a sequence [T, *B, N]. Abstract.

    With `run` it goes on where it stopped: after the second half it gives the value of the whole.
    """

    def stepping(self, dt: float) -> Stepping:
        """One step: the value of all steps so far."""

        def step(state: Any, x: Tensor) -> tuple[Any, Tensor]:
            y, state = self.run(x[None], state, dt)
            return state, y

        return step


def check_sequence(layer: object, x: Tensor) -> None:
    """Raise ValueError, naming the layer, for what is no sequence."""
    if not isinstance(x, Tensor) or x.dim() < 2 or not len(x):
        got = list(x.shape) if isinstance(x, Tensor) else type(x).__name__
        raise ValueError(
            f"{type(layer).__name__} takes a sequence [T, *B, N]: time first, features last, at "
            f"least one step; got {got}."
        )


def check_state(layer: object, held: Tensor, shape: torch.Size, what: str) -> None:
    """Raise ValueError, naming the layer, for a state of another shape."""
    if held.shape != shape:
        raise ValueError(
            f"{type(layer).__name__}: state holds {what} of shape {list(held.shape)}, but this "
            f"input needs {list(shape)}: start from a state of the same layer at the same dt."
        )


def nothing(state: Any) -> bool:
    """Whether a state is that at rest."""
    return state is None or (isinstance(state, tuple) and not len(state))
