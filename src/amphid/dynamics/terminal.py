"""Axon terminals: what the voltage of a cell without a reset turns into at its end.

A terminal is handed to the cell, as in `HodgkinHuxley(terminal=SigmoidRelease())`, and names what
the cell gives out.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor

from amphid.dynamics.neuron import MembraneNeuron, S
from amphid.dynamics.surrogate import FastSigmoid, Surrogate, surrogate_of
from amphid.dynamics.values import Equation, Value


class Terminal(Equation, ABC):
    """What a cell gives out, by its voltage. Abstract: concrete ones are final."""

    output: str
    """The name of what it gives out: "spike" or "release"."""

    @abstractmethod
    def forward(self, before: Tensor, v: Tensor) -> Tensor:
        """Output [*B, N] of cells whose voltage went from `before` to v [*B, N] in mV in a step."""


class Crossing(Terminal):
    """A spike in the step in which the voltage rises above a threshold.

    threshold: mV. surrogate: the gradient of a spike; none flows while the voltage stays above.
    """

    output = "spike"
    threshold: Value

    def __init__(
        self,
        *,
        threshold: Value = 0.0,
        surrogate: Surrogate = FastSigmoid(),  # noqa: B008  frozen
    ) -> None:
        super().__init__()
        self.hold(threshold=threshold)
        self.surrogate = surrogate_of(self, surrogate)
        self._values += ("surrogate",)

    def forward(self, before: Tensor, v: Tensor) -> Tensor:
        """Spikes [*B, N] in {0, 1}."""
        below = (before <= self.threshold).to(v.dtype)
        return self.surrogate(v - self.threshold) * below


class SigmoidRelease(Terminal):
    r"""Release in proportion to a sigmoid of the voltage, at any time.

    .. math:: s = \sigma((v - v_\text{half}) / w)

    v_half: voltage of half release, mV. width: w in mV. The defaults are those that go with
    `HodgkinHuxley.cortical`.
    """

    output = "release"
    v_half: Value
    width: Value

    def __init__(self, *, v_half: Value = -3.0, width: Value = 8.0) -> None:
        super().__init__()
        self.hold(v_half=v_half)
        self.hold_positive(width=width)

    def forward(self, before: Tensor, v: Tensor) -> Tensor:
        """Release [*B, N] in [0, 1]."""
        return torch.sigmoid((v - self.v_half) / self.width)


class TerminalNeuron(MembraneNeuron[S]):
    """A cell without a reset, whose voltage reaches others through a terminal. Abstract."""

    terminal: Terminal

    def ends_in(self, terminal: Terminal) -> None:
        """Take the terminal, and the name of what it gives out."""
        if not isinstance(terminal, Terminal):
            raise TypeError(
                f"{type(self).__name__}: terminal must be one such as Crossing(threshold=0.0) or "
                f"SigmoidRelease(), got {terminal!r}."
            )
        self.terminal, self.output = terminal, terminal.output

    def emit(self, state: S, v: Tensor, dt: float) -> tuple[S, Tensor]:
        """What the terminal makes of the voltage; no reset."""
        return self.at(state, v), self.terminal(state.v, v)

    def read(self, state: S, field: str) -> Tensor:
        """One variable of the state [*B, N], or the release."""
        if field == "release" and self.output == "release":
            release: Tensor = self.terminal(state.v, state.v)
            return release
        return super().read(state, field)
