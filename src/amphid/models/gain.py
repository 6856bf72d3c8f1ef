"""From numbers around one to currents."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from amphid.dynamics.values import Equation, Value


class Gain(Equation):
    """Currents in pA of numbers around one: every input times the same gain.

    A cell needs a hundred pA or more to fire, while the weights of torch's layers, and the learning
    rates that people know, are made for numbers around one. `nn.Linear(700, 256), Gain(500.0),
    LIF()` keeps weights and rates at that; `learning.scale_weights` finds the gain.

    gain: pA per unit, above zero; learned by its logarithm where `learned`. It stands in the
    state_dict.
    """

    gain: Tensor

    def __init__(self, gain: Value = 100.0) -> None:
        super().__init__()
        value = gain if isinstance(gain, Tensor) else torch.tensor(float(gain))
        self.hold_positive(gain=value)

    def forward(self, x: Tensor) -> Tensor:
        """Currents [..., N] in pA of numbers [..., N]."""
        if not x.is_floating_point():
            return x * self.gain
        return x * self.gain.to(x.dtype)

    def multiply(self, factor: float) -> None:
        """Make the gain so many times as large."""
        logarithm = self._parameters.get("log_gain")
        with torch.no_grad():
            if isinstance(logarithm, nn.Parameter):
                logarithm.add_(math.log(factor))
            else:
                self.gain.mul_(factor)
