"""The brain of the fly as leaky integrate-and-fire cells, every synapse alike."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from amphid.dynamics import ClearingLIF, Delta
from amphid.simulation import Network, Stimulus, poisson
from amphid.wiring import Cells, Connectome, heavy_tailed
from amphid.wiring.connectome import Which

RESISTANCE = 0.01  # GOhm; with 2000 pF it makes the 20 ms, and cancels from everything else
JUMP = 0.275  # mV by which one synapse raises R J
KICK = 250 * JUMP  # mV by which a spike of the drive raises v
PERIOD = 2.2  # ms
DRIVEN_PERIOD = 0.1  # ms; published as none, but the program loses what arrives within a step
DELAY = 1.8  # ms
DT = 0.1  # ms


def fly_brain(
    connectome: Connectome,
    *,
    driven: Sequence[Which] = (),
    silenced: Sequence[Which] = (),
    jump: float = JUMP,
) -> Network:
    r"""The wiring of a fly's brain with the cells of Shiu et al. 2024.

    .. math:: 20 \, \text{ms} \; \dot v = -52 - v + R J, \qquad 5 \, \text{ms} \; \dot J = -J,
              \qquad v > -45 \Rightarrow v \leftarrow -52, \ J \leftarrow 0

    A spike reaches its targets after 1.8 ms and raises R J by `jump` mV for each synapse, with the
    sign of its connection. For 2.2 ms after a spike a cell is refractory, and what arrives is lost.
    Nothing fires by itself.

    connectome: with signs. driven: cells that are refractory for one step of 0.1 ms only, those
        that `fly_drive` is for. silenced: cells whose spikes reach nobody.
    jump: mV; the published fit to the adult brain is 0.275.

    The weights, synapse counts, are fixed. All cells share their constants but for the period of
    driven ones. Reference: Shiu et al. 2024, doi 10.1038/s41586-024-07763-9.
    Raises ValueError for connections without a sign, KeyError for cells that are not there.
    """
    period: float | Tensor = PERIOD
    if len(driven):
        period = torch.full((len(connectome),), PERIOD)
        period[torch.from_numpy(connectome.select(*driven))] = DRIVEN_PERIOD
    cells = ClearingLIF(
        tau=20.0,
        tau_synapse=5.0,
        resistance=RESISTANCE,
        v_rest=-52.0,
        v_threshold=-45.0,
        v_reset=-52.0,
        period=period,
    )
    weight = torch.tensor(connectome.connections.synapses, dtype=torch.get_default_dtype())
    if len(silenced):
        mute = torch.zeros(len(connectome), dtype=torch.bool)
        mute[torch.from_numpy(connectome.select(*silenced))] = True
        weight[mute[torch.tensor(connectome.connections.pre, dtype=torch.int64)]] = 0.0
    return Network(
        connectome.with_connections(delay=DELAY),
        neuron=cells,
        synapse=Delta(charge=jump * cells.tau_synapse / RESISTANCE),
        weight=weight,
    )


def generated_fly(*, cells: int = 138_639, generator: torch.Generator) -> Connectome:
    """A made-up brain with the size and the degrees of the adult fly's, where that is missing.

    Cells have 108.86 connections of 3.4 synapses on average, both with heavy tails; 30 % inhibit.
    The 21 cells of class "driven" excite and have many, but not the most, connections out. There
    are no cell types and no modules: it says how much work such a brain is, not what flies do.
    Raises ValueError for fewer than 30 cells.
    """
    if cells < 30:
        raise ValueError(f"cells must be at least 30, so that 21 of them can excite; got {cells}.")
    made = heavy_tailed(cells, outdegree=108.86, generator=generator)
    exciting = np.flatnonzero(made.cells.kind == "excitatory")
    degree = np.bincount(made.connections.pre, minlength=cells)[exciting]
    first = min(200, len(exciting) - 21)
    classes = made.cells.cell_class.copy()
    classes[exciting[np.argsort(-degree, kind="stable")[first : first + 21]]] = "driven"
    named = Cells(made.cells.name, kind=made.cells.kind, cell_class=classes)
    return replace(made, cells=named, name="generated fly")


def fly_drive(
    network: Network,
    *cells: Which,
    rate: float = 0.15,
    duration: float = 1000.0,
    dt: float = DT,
    generator: torch.Generator,
) -> Stimulus:
    """Poisson spikes that each raise v by 68.75 mV within a step, and so make a cell fire.

    cells: driven ones of a `fly_brain`. rate: spikes per ms (0.15 is 150 Hz, as published).
    duration, dt: ms. A spike falls in a step with the probability rate * dt; one that comes a step
    after another is lost, as in the published program, which leaves rate / (1 + rate * dt).
    Raises ValueError for a rate at which there is more than one in a step.
    """
    if not 0 <= rate * dt < 1:
        raise ValueError(
            f"rate must be spikes per ms with less than one a step: got {rate:g} per ms at dt "
            f"{dt:g} ms. 150 Hz is 0.15."
        )
    chosen = network.connectome.select(*cells).tolist()
    probe = torch.zeros(len(network.connectome), dtype=torch.float64)
    rest = network.neuron.init(probe)
    lifted, _ = network.neuron.step(rest, probe + 1.0, dt)
    by_one_pA = float((lifted.v - rest.v)[0])
    return poisson(
        network.connectome,
        *chosen,
        rate=-math.log1p(-rate * dt) / dt,  # of steps with one spike or more
        amplitude=KICK / by_one_pA,
        duration=duration,
        dt=dt,
        generator=generator,
    )
