"""The column of early sensory cortex of Potjans and Diesmann: four layers, eight populations."""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from amphid.dynamics import LIF, Exponential, Refractory
from amphid.models.cortex import CorticalModel
from amphid.simulation import Network
from amphid.wiring import Cells, Connections, Connectome

Numbers = NDArray[np.float64]

POPULATIONS = ("L23E", "L23I", "L4E", "L4I", "L5E", "L5I", "L6E", "L6I")
SIZES = np.array([20683, 5834, 21915, 5479, 4850, 1065, 14395, 2948])
EXTERNAL = np.array([1600, 1500, 2100, 1900, 2000, 1900, 2900, 2100])
"""Connections onto a cell from outside, each with 8 spikes per s."""
PROBABILITIES = np.array(
    [
        [0.1009, 0.1689, 0.0437, 0.0818, 0.0323, 0.0, 0.0076, 0.0],
        [0.1346, 0.1371, 0.0316, 0.0515, 0.0755, 0.0, 0.0042, 0.0],
        [0.0077, 0.0059, 0.0497, 0.1350, 0.0067, 0.0003, 0.0453, 0.0],
        [0.0691, 0.0029, 0.0794, 0.1597, 0.0033, 0.0, 0.1057, 0.0],
        [0.1004, 0.0622, 0.0505, 0.0057, 0.0831, 0.3726, 0.0204, 0.0],
        [0.0548, 0.0269, 0.0257, 0.0022, 0.0600, 0.3158, 0.0086, 0.0],
        [0.0156, 0.0066, 0.0211, 0.0166, 0.0572, 0.0197, 0.0396, 0.2252],
        [0.0364, 0.0010, 0.0034, 0.0005, 0.0277, 0.0080, 0.0658, 0.1443],
    ]
)
"""That two cells are connected: row the target, column the source."""
FULL_RATES = np.array([0.971, 2.868, 4.746, 5.396, 8.142, 9.078, 0.991, 7.523])
"""Rates of the populations at full size in Hz, as the microcircuit example of NEST gives them."""
START = np.array([-68.28, -63.16, -63.33, -63.45, -63.11, -61.66, -66.72, -61.43])
START_SPREAD = np.array([5.36, 4.57, 4.74, 4.94, 4.94, 4.55, 5.46, 4.48])

TAU, TAU_SYNAPSE, CAPACITANCE = 10.0, 0.5, 250.0  # ms, ms, pF
V_REST = -65.0
INHIBITION = 4.0  # strength of an inhibitory synapse over that of an excitatory one
OUTSIDE = 0.008  # spikes per ms of a connection from outside


def microcircuit(
    *, scale: float = 0.1, constant: Numbers | None = None, generator: torch.Generator
) -> CorticalModel:
    r"""The microcircuit of Potjans and Diesmann 2014, at full size or smaller.

    .. math:: 10 \, \text{ms} \; \dot v = -65 - v + R I, \qquad 0.5 \, \text{ms} \; \dot I = -I

    Threshold -50 mV, reset -65 mV, refractory for 2 ms, 250 pF. An excitatory spike raises v by at
    most 0.15 mV (0.3 mV from L4E to L23E), an inhibitory one lowers it four times as much, weights
    vary by 10 %; delays are 1.5 ms from excitatory, 0.75 ms from inhibitory cells, give or take
    half of it, at least 0.1 ms. Pairs are drawn with repetition, as many as the published
    probabilities give.

    scale: of the number of cells and, too, of the connections onto each. Weights then grow by
    1 / sqrt(scale), which keeps the variance of the input, and a constant current, drawn from the
    rates at full size, makes up for the mean: van Albada et al. 2015,
    doi 10.1371/journal.pcbi.1004490. Correlations grow all the same.

    constant: [8] pA into the cells of each population, instead of what makes up for the mean.

    Spikes from outside are given as charges within a step, not as currents of 0.5 ms.
    Sizes, probabilities, rates at full size and voltages to start from are those of the example
    Potjans_2014 of NEST (github.com/nest/nest-simulator).
    Reference: Potjans & Diesmann 2014, doi 10.1093/cercor/bhs358.
    Raises ValueError for a scale that is not above 0 and at most 1.
    """
    if not 0 < scale <= 1:
        raise ValueError(f"scale must be above 0 and at most 1, got {scale!r}.")
    sizes = np.maximum(1, np.rint(SIZES * scale).astype(np.int64))
    owner = torch.from_numpy(np.repeat(np.arange(8), sizes))
    wired, weight = _wired(sizes, scale, generator)
    resistance = TAU / CAPACITANCE
    given = torch.from_numpy(compensation(scale) if constant is None else constant)
    cell = LIF(
        tau=TAU,
        resistance=resistance,
        v_rest=(V_REST + resistance * given)[owner].to(torch.get_default_dtype()),
        v_threshold=-50.0,
        v_reset=V_REST,
    )
    network = Network(
        wired,
        neuron=Refractory(cell, period=2.0),
        synapse=Exponential(tau=TAU_SYNAPSE, amplitude=1.0),
        weight=weight,
    )
    mean, spread = (torch.from_numpy(values)[owner] for values in (START, START_SPREAD))
    drawn = torch.randn(len(owner), dtype=torch.float64, generator=generator)
    charge = _excitatory_weight() / math.sqrt(scale) * TAU_SYNAPSE
    return CorticalModel(
        network,
        v=mean + spread * drawn,
        rate=torch.from_numpy(EXTERNAL * scale * OUTSIDE)[owner],
        charge=torch.full((len(owner),), charge),
    )


def strengths() -> Numbers:
    """Mean weights [8, 8] at full size in pA with their sign, row the target, column the source."""
    kind = np.array([1.0, -INHIBITION] * 4)
    weights = _excitatory_weight() * np.tile(kind, (8, 1))
    weights[0, 2] *= 2
    return weights


def connections_onto() -> Numbers:
    """Connections onto a cell at full size [8, 8], row the target, column the source.

    Drawn with repetition, so that two cells are connected at least once with the probability given.
    """
    pairs = np.outer(SIZES, SIZES).astype(np.float64)
    return np.log1p(-PROBABILITIES) / np.log1p(-1 / pairs) / SIZES[:, None]


def compensation(scale: float) -> Numbers:
    """Constant current [8] in pA that makes up for the mean input lost by scaling."""
    inside = (strengths() * connections_onto()) @ (FULL_RATES / 1000.0)
    outside = _excitatory_weight() * EXTERNAL * OUTSIDE
    lost: Numbers = TAU_SYNAPSE * (1 - math.sqrt(scale)) * (inside + outside)
    return lost


def _excitatory_weight(peak: float = 0.15) -> float:
    """Height in pA of a current that raises the voltage by that many mV at most."""
    fast, slow = TAU_SYNAPSE, TAU
    when = math.log(slow / fast) * slow * fast / (slow - fast)
    course = fast / (fast - slow) * (math.exp(-when / fast) - math.exp(-when / slow))
    return peak / (slow / CAPACITANCE * course)


def _wired(
    sizes: NDArray[np.int64], scale: float, generator: torch.Generator
) -> tuple[Connectome, Tensor]:
    """The connections, and their weights [E] in pA without sign."""
    first = np.concatenate([[0], np.cumsum(sizes)])
    pre: list[Tensor] = []
    post: list[Tensor] = []
    weight: list[Tensor] = []
    delay: list[Tensor] = []
    counts = np.rint(connections_onto() * scale * sizes[:, None]).astype(np.int64)
    means = np.abs(strengths()) / math.sqrt(scale)
    for target, source in zip(*np.nonzero(counts), strict=True):
        count = int(counts[target, source])
        for ends, population in ((pre, source), (post, target)):
            drawn = torch.randint(int(sizes[population]), (count,), generator=generator)
            ends.append((drawn + int(first[population])).to(torch.int32))
        one = 1 + 0.1 * torch.randn(count, generator=generator)
        weight.append((means[target, source] * one).clamp(min=0.0))
        mean = 1.5 if source % 2 == 0 else 0.75
        late = mean + 0.5 * mean * torch.randn(count, generator=generator)
        delay.append(late.clamp(min=0.1))
    cells = Cells(
        [f"{name}{k}" for name, size in zip(POPULATIONS, sizes, strict=True) for k in range(size)],
        kind=np.repeat(np.array(["excitatory", "inhibitory"] * 4, dtype=object), sizes),
        cell_class=np.repeat(np.array(POPULATIONS, dtype=object), sizes),
    )
    before = torch.cat(pre).numpy()
    sign = np.where(cells.kind == "inhibitory", -1, 1).astype(np.int8)[before]
    wires = Connections(before, torch.cat(post).numpy(), sign=sign, delay=torch.cat(delay).numpy())
    return Connectome(cells, wires, name="microcircuit"), torch.cat(weight)
