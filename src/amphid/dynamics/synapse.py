"""What one synapse does in one step.

A synapse has two halves. The presynaptic half turns the output of a cell into what it releases; the
postsynaptic half turns what arrives, already weighted and summed over the connections of each cell,
into a current. Between them lie the weights and delays, which belong to the network.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Generic, TypeVar

from torch import Tensor

from amphid.dynamics.values import Equation, Value

S = TypeVar("S")


class Synapse(Equation, ABC, Generic[S]):
    """A synapse of all cells at once, state and current [*B, N]. Abstract: concrete ones are final.

    What arrives over a chemical connection is weight times release of the presynaptic cell; over an
    electrical one, weight times the voltage difference v_pre - v_post in mV.
    """

    takes: str = "spike"
    """What it must be given by the presynaptic cell: "spike", or "release"."""

    @abstractmethod
    def init(self, like: Tensor) -> S:
        """State at rest for cells shaped as `like` [*B, N]."""

    def release(self, state: S, output: Tensor, dt: float) -> tuple[S, Tensor]:
        """What cells let go [*B, N] that give out `output` [*B, N]; all of it, unless told."""
        return state, output

    @abstractmethod
    def step(self, state: S, arriving: Tensor, v_post: Tensor, dt: float) -> tuple[S, Tensor]:
        """State and current into the cells [*B, N] in pA, mean over the next dt ms."""


class ConductanceSynapse(Synapse[S]):
    """A synapse that opens a conductance g: its current is g (reversal - v_post). Abstract."""

    reversal: Value

    @property
    def solvable(self) -> bool:
        """Whether `advance` and `conductance_of` can be used; wrappers ask the synapse inside."""
        return True

    @abstractmethod
    def advance(self, state: S, arriving: Tensor, dt: float) -> S:
        """The state with what arrives added and dt ms gone by."""

    @abstractmethod
    def conductance_of(self, state: S, v_post: Tensor, dt: float) -> Tensor:
        """Mean conductance [*B, N] in nS over the dt ms that `advance` went through."""

    def step(self, state: S, arriving: Tensor, v_post: Tensor, dt: float) -> tuple[S, Tensor]:
        """Current g (reversal - v_post) [*B, N] in pA at the voltage of the step's start."""
        state = self.advance(state, arriving, dt)
        return state, self.conductance_of(state, v_post, dt) * (self.reversal - v_post)
