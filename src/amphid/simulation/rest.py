"""Where a network of graded cells rests."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from amphid.dynamics import GapJunction, GradedSynapse, MembraneNeuron
from amphid.dynamics.values import Value
from amphid.simulation.joint import direct
from amphid.simulation.wires import Wires


def resting_voltage(
    neuron: MembraneNeuron[Any],
    midpoint: Value,
    synapses: nn.ModuleDict,
    wires: Mapping[str, Wires],
    state: Any,
) -> Tensor:
    r"""Voltages [*B, N] in mV at which no current flows while every cell releases its midpoint.

    One linear solve: :math:`(g_\text{leak} + \sum g_\text{syn} + L_\text{gap}) V = \sum g E`.
    Reference: Kunert, Shlizerman & Kutz 2014, doi 10.1103/PhysRevE.89.052805.
    """
    membrane = neuron.membrane(state)
    total = torch.zeros_like(state.v) + membrane.conductance
    drive = torch.zeros_like(state.v) + membrane.drive
    release = torch.zeros_like(state.v) + midpoint
    gap: Tensor | None = None
    for group, synapse in synapses.items():
        if isinstance(synapse, GapJunction):
            gap = synapse.conductance * wires[group].laplacian()
        elif isinstance(synapse, GradedSynapse):
            g = synapse.conductance * wires[group].deliver((release,) * wires[group].longest)
            total, drive = total + g, drive + g * synapse.reversal
    if gap is None:
        return drive / total
    return direct(total, gap, drive)
