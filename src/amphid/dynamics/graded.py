"""Graded cells of small nervous systems, with the synapses and gap junctions between them."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from amphid.dynamics.neuron import Membrane, MembraneNeuron
from amphid.dynamics.synapse import ConductanceSynapse, Synapse
from amphid.dynamics.values import Value, filled


class GradedState(NamedTuple):
    """State of graded cells."""

    v: Tensor  # membrane potential, mV
    release: Tensor  # share of transmitter released, 0 to 1
    threshold: Tensor  # voltage of half activation of the release, mV


class Graded(MembraneNeuron[GradedState]):
    r"""Leaky cell that releases transmitter in proportion to its voltage; it never spikes.

    .. math:: C \dot v = -g_\text{leak} (v - E_\text{leak}) + I, \qquad
              \dot s = a_r (1 - s) \, \sigma(\beta (v - v_\text{th})) - a_d s

    The release s is what it gives out. Unless given, the threshold of a cell is its own resting
    potential: of the cell alone, or of the cell in its network, found by one linear solve with
    every release at a_r / (a_r + 2 a_d); so that rest is a fixed point.

    capacitance: pF. g_leak: nS. v_leak, v_threshold: mV. slope: beta per mV. rise, fall: a_r, a_d
    per ms.
    Reference: Wicks, Roehrig & Rankin 1996, doi 10.1523/JNEUROSCI.16-12-04017.1996; constants of
    Kunert, Shlizerman & Kutz 2014, doi 10.1103/PhysRevE.89.052805.
    """

    output = "release"
    capacitance: Value
    g_leak: Value
    v_leak: Value
    slope: Value
    rise: Value
    fall: Value
    v_threshold: Value | None

    def __init__(
        self,
        *,
        capacitance: Value = 1.0,
        g_leak: Value = 0.01,
        v_leak: Value = -35.0,
        slope: Value = 0.125,
        rise: Value = 0.001,
        fall: Value = 0.005,
        v_threshold: Value | None = None,
    ) -> None:
        super().__init__()
        self.hold_positive(capacitance=capacitance, g_leak=g_leak, slope=slope)
        self.hold_positive(rise=rise, fall=fall)
        self.hold(v_leak=v_leak)
        if v_threshold is None:
            self.v_threshold = None
        else:
            self.hold(v_threshold=v_threshold)

    def init(self, like: Tensor) -> GradedState:
        """At the leak's reversal, the release at its fixed point there."""
        v = filled(like, self.v_leak)
        threshold = v if self.v_threshold is None else filled(like, self.v_threshold)
        return GradedState(v, self._fixed_point(v - threshold), threshold)

    def midpoint(self) -> Value | None:
        """Release a_r / (a_r + 2 a_d) of a cell at its threshold."""
        return self.rise / (self.rise + 2 * self.fall) if self.v_threshold is None else None

    def settle(self, state: GradedState, v: Tensor) -> GradedState:
        """At v, which becomes the threshold unless one was given."""
        threshold = v if self.v_threshold is None else state.threshold
        return GradedState(v, self._fixed_point(v - threshold), threshold)

    def gates(self, state: GradedState, dt: float) -> GradedState:
        """The release after dt ms, exact at the present voltage."""
        distance = state.v - state.threshold
        rate = self.rise * torch.sigmoid(self.slope * distance) + self.fall
        goal = self._fixed_point(distance)
        return state._replace(release=goal + (state.release - goal) * torch.exp(-dt * rate))

    def membrane(self, state: GradedState) -> Membrane:
        """The leak."""
        return Membrane(self.capacitance, self.g_leak, self.g_leak * self.v_leak)

    def emit(self, state: GradedState, v: Tensor, dt: float) -> tuple[GradedState, Tensor]:
        """The release; no threshold, no reset."""
        return state._replace(v=v), state.release

    def _fixed_point(self, distance: Tensor) -> Tensor:
        opening = self.rise * torch.sigmoid(self.slope * distance)
        return opening / (opening + self.fall)


class GradedSynapseState(NamedTuple):
    """State of graded synapses."""

    g: Tensor  # conductance, nS


class GradedSynapse(ConductanceSynapse[GradedSynapseState]):
    r"""Conductance in proportion to the release that arrives: :math:`I = g \sum w s (E - v)`.

    conductance: g in nS per unit of weight. reversal: E in mV.
    Reference: Wicks, Roehrig & Rankin 1996, doi 10.1523/JNEUROSCI.16-12-04017.1996.
    """

    takes = "release"
    conductance: Value

    def __init__(self, *, conductance: Value, reversal: Value) -> None:
        super().__init__()
        self.hold_positive(conductance=conductance)
        self.hold(reversal=reversal)

    def init(self, like: Tensor) -> GradedSynapseState:
        """Closed."""
        return GradedSynapseState(g=torch.zeros_like(like))

    def advance(self, state: GradedSynapseState, arriving: Tensor, dt: float) -> GradedSynapseState:
        """It has no memory of its own: the release has."""
        return GradedSynapseState(g=self.conductance * arriving)

    def conductance_of(self, state: GradedSynapseState, v_post: Tensor, dt: float) -> Tensor:
        """The conductance."""
        return state.g


class GapJunctionState(NamedTuple):
    """A gap junction remembers nothing."""


class GapJunction(Synapse[GapJunctionState]):
    r"""Electrical synapse: :math:`I = g \sum w (v_\text{pre} - v_\text{post})`, both ways.

    conductance: g in nS per unit of weight.
    """

    conductance: Value

    def __init__(self, *, conductance: Value) -> None:
        super().__init__()
        if isinstance(conductance, Tensor) and conductance.numel() != 1:
            raise ValueError(
                "GapJunction: conductance must be one number for all, since a junction belongs to "
                f"two cells; got shape {list(conductance.shape)}. Give each its size as a weight."
            )
        self.hold_positive(conductance=conductance)

    def init(self, like: Tensor) -> GapJunctionState:
        """Nothing to start."""
        return GapJunctionState()

    def step(
        self, state: GapJunctionState, arriving: Tensor, v_post: Tensor, dt: float
    ) -> tuple[GapJunctionState, Tensor]:
        """Current [*B, N] in pA from the weighted voltage differences [*B, N] in mV."""
        return state, self.conductance * arriving


def graded_synapses(
    *,
    chemical: Value = 0.030,
    electrical: Value = 0.015,
    v_excitatory: Value = 0.0,
    v_inhibitory: Value = -48.0,
) -> dict[str, Synapse]:  # type: ignore[type-arg]
    """The three synapses of a graded network, to be given to `Network` as they are.

    chemical, electrical: nS per unit of weight. v_excitatory, v_inhibitory: reversals in mV.

    The published 0.1 nS is meant per synaptic contact; the shipped worm counts sections of electron
    micrographs, several per contact. The defaults keep the total conductance: 0.1 nS scaled by the
    ratio of the counts. That scaling is our assumption.
    Reference: Kunert, Shlizerman & Kutz 2014, doi 10.1103/PhysRevE.89.052805.
    """
    return {
        "excitatory": GradedSynapse(conductance=chemical, reversal=v_excitatory),
        "inhibitory": GradedSynapse(conductance=chemical, reversal=v_inhibitory),
        "electrical": GapJunction(conductance=electrical),
    }
