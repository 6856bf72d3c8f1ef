"""One value out of a sequence. A membrane to read out is `dynamics.LeakyIntegrator`."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor

from amphid.models.layer import Readout, check_sequence, nothing


class SpikeCount(Readout):
    """The sum over time: how many spikes each cell fired."""

    def run(
        self, x: Tensor, state: Tensor | tuple[()] | None = None, dt: float = 1.0
    ) -> tuple[Tensor, Tensor]:
        """Counts [*B, N] of [T, *B, N], and the same again: the count so far."""
        check_sequence(self, x)
        count = x.sum(0) + state if isinstance(state, Tensor) else x.sum(0)
        return count, count


class MeanState(NamedTuple):
    """What a mean over time has gathered."""

    total: Tensor  # sum over the steps so far [*B, N]
    steps: Tensor  # how many they are


class TimeMean(Readout):
    """The mean over time."""

    def run(
        self, x: Tensor, state: MeanState | None = None, dt: float = 1.0
    ) -> tuple[Tensor, MeanState]:
        """Means [*B, N] of [T, *B, N]."""
        check_sequence(self, x)
        total, steps = x.sum(0), torch.full((), float(len(x)), dtype=x.dtype, device=x.device)
        if state is not None and not nothing(state):
            total, steps = total + state.total, steps + state.steps
        return total / steps, MeanState(total, steps)


class TimeMax(Readout):
    """The largest value over time."""

    def run(
        self, x: Tensor, state: Tensor | tuple[()] | None = None, dt: float = 1.0
    ) -> tuple[Tensor, Tensor]:
        """Maxima [*B, N] of [T, *B, N]."""
        check_sequence(self, x)
        # one index gets the gradient where several are largest, such as spikes
        highest = x.max(0).values
        if isinstance(state, Tensor):
            highest = torch.where(highest > state, highest, state)
        return highest, highest


class LastStep(Readout):
    """What the last step gave."""

    def run(self, x: Tensor, state: Any = None, dt: float = 1.0) -> tuple[Tensor, tuple[()]]:
        """The last of [T, *B, N]."""
        check_sequence(self, x)
        return x[-1], ()


class FirstSpikeState(NamedTuple):
    """What is known of first spikes."""

    silent: Tensor  # one where there was no spike yet [*B, N]
    time: Tensor  # ms that passed before the first one [*B, N]


class FirstSpikeTime(Readout):
    r"""When each cell fired first, in ms from the start: the end of that step, as in recordings.

    .. math:: t = dt \Big(1 + \sum_k \prod_{l \le k} (1 - s_l)\Big)

    A cell that never fires is put one step after the last. The sum is differentiated as it stands:
    more of a spike at a time before the first draws the first to there, less of the first one lets
    it move on to the second.
    """

    def run(
        self, x: Tensor, state: FirstSpikeState | None = None, dt: float = 1.0
    ) -> tuple[Tensor, FirstSpikeState]:
        """Times [*B, N] in ms of spikes [T, *B, N]."""
        check_sequence(self, x)
        x = x if x.is_floating_point() else x.to(torch.get_default_dtype())
        before = FirstSpikeState(torch.ones_like(x[0]), torch.zeros_like(x[0]))
        silent, time = before if state is None or nothing(state) else state
        for spike in x.unbind(0):
            silent = silent * (1 - spike)
            time = time + silent * dt
        return time + dt, FirstSpikeState(silent, time)
