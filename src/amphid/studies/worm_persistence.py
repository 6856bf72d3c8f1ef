"""The chemical graph of the worm as a geometric network: a map of what lasts in it."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from amphid.dynamics import ExponentialTrace, Receiver, Summing, Winner
from amphid.measures import Activity, Persistence, persistence
from amphid.simulation import GeometricNetwork, Onsets
from amphid.wiring import by_transmitter, celegans, conducted

SPEEDS = 10.0, 3000.0  # um/ms
PERIODS = 0.5, 50.0  # ms
SYNAPTIC = 0.5  # ms
DT, LONGEST = 0.25, 2000.0  # ms
TOUCHED = "PLML", "PLMR"
CELLS: dict[str, Callable[[float], Receiver]] = {
    "winner": Winner,
    "summing": lambda period: Summing(3.0, period, ExponentialTrace(5.0)),
}
LETTERS = {
    Activity.QUIESCENT: "q", Activity.SUSTAINED: "s", Activity.SATURATED: "S", None: "?"
}  # fmt: skip
ASSUMPTIONS = (
    "The worm: 302 neurons, their chemical connections, inhibitory where the sender's transmitter "
    "is GABA, one signal along each, as strong as its synapses are many. Paths are straight from "
    f"soma to soma, with {SYNAPTIC:g} ms at each synapse on top; conduction speed and refractory "
    f"period are not known and are swept. Ticks of {DT:g} ms; PLML and PLMR are struck once. "
    "Letters of a row, one for each speed from slow to fast: q quiescent, s sustained, S "
    "saturated, ? no cycle within 2 s.",
    "Cells of the worm: the winner rule; or sums of at least 3 synapses, forgotten with 5 ms.",
)


@dataclass(frozen=True, eq=False)
class PersistenceMap:
    """What lasts for each refractory period [P] in ms and speed of conduction [S] in um/ms.

    latency: [S] ms, the median. activity: P rows of S. pace: [P, S] rate as a share of the highest
    that refractoriness allows, mean over all cells, 1 where saturated and nan where undecided.
    transient: [P, S] ms.
    """

    speeds: Tensor
    periods: Tensor
    latency: Tensor
    activity: tuple[tuple[Activity | None, ...], ...]
    pace: Tensor
    transient: Tensor

    def told(self) -> dict[str, Any]:
        """Counts of the classes, and a row of letters for each refractory period."""
        flat = [one for row in self.activity for one in row]
        return {
            "counts": {str(kind): flat.count(kind) for kind in (*Activity, None)},
            "fastest_pace": round(float(self.pace.nan_to_num().max()), 4),
            "median_latency": [round(one, 3) for one in self.latency.tolist()],
            "by_refractory_period": {
                f"{period:.3g}": "".join(LETTERS[one] for one in row)
                for period, row in zip(self.periods.tolist(), self.activity, strict=True)
            },
        }


def worm_map(cell: Callable[[float], Receiver], points: int) -> PersistenceMap:
    """The worm at so many speeds and refractory periods, evenly spaced in their logarithms."""
    worm = celegans(signs=by_transmitter).without("muscle")
    touched = torch.from_numpy(worm.select(*TOUCHED).copy())
    stimulus = Onsets(touched, torch.zeros(len(touched), dtype=torch.float64))
    speeds, periods = spaced(*SPEEDS, points), spaced(*PERIODS, points)
    wired = [conducted(worm, speed=speed, synaptic=SYNAPTIC) for speed in speeds.tolist()]
    found = [
        [
            persistence(GeometricNetwork(wiring, cell(period)), stimulus, dt=DT, longest=LONGEST)
            for wiring in wired
        ]
        for period in periods.tolist()
    ]
    chemical = worm.connections.chemical
    return PersistenceMap(
        speeds,
        periods,
        latency=torch.tensor([np.median(one.connections.delay[chemical]) for one in wired]),
        activity=tuple(tuple(one.activity for one in row) for row in found),
        pace=torch.tensor(
            [
                [_pace(one, period) for one in row]
                for period, row in zip(periods.tolist(), found, strict=True)
            ]
        ),
        transient=torch.tensor([[one.transient for one in row] for row in found]),
    )


def _pace(one: Persistence, period: float) -> float:
    return float(one.rate.mean()) * max(round(period / DT), 1) * DT / 1000.0


def spaced(low: float, high: float, points: int) -> Tensor:
    """Numbers from low to high, evenly spaced in their logarithms."""
    return torch.logspace(math.log10(low), math.log10(high), points, dtype=torch.float64)
