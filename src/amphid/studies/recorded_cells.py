"""A population whose cells are tuned as cells that were recorded."""

from __future__ import annotations

import torch
from torch import Tensor

from amphid.models import TunedPopulation
from amphid.tasks import Reaches, center_out

MM_PER_MS = 0.01  # cm/s
LEAD = 100.0  # ms by which cells lead the hand


def recorded_population(reaches: Reaches | None = None) -> TunedPopulation:
    """Cells tuned in 2-D to the velocity in mm/ms, as those of recorded reaches are.

    Fitted to the bins of each reach, from the cue to the end, with the velocity 100 ms later.
    Raises FileNotFoundError in a sentence where the recordings of `center_out` are missing.
    """
    reaches = center_out() if reaches is None else reaches
    lead = round(LEAD / reaches.bin)
    counts: list[Tensor] = []
    velocity: list[Tensor] = []
    for trial in reaches:
        last = min(trial.end, len(trial) - lead)
        counts.append(trial.spikes[trial.go : last])
        velocity.append(trial.velocity[trial.go + lead : last + lead] * MM_PER_MS)
    return TunedPopulation.fitted(torch.cat(counts), torch.cat(velocity), reaches.bin)
