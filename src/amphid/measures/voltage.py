"""Measures of membrane potentials."""

from __future__ import annotations

import torch
from torch import Tensor

from amphid.measures.spiking import rate
from amphid.simulation import Recording


def response(run: Recording, before: float) -> Tensor:
    """Largest departure of each cell's voltage from what it was at `before` [*B, N] in mV.

    Signed: the value of largest magnitude among the samples after `before`.
    before: ms, such as the start of the stimulus. The last sample not after it is compared with;
        the first sample when none is that early.
    Raises ValueError when "v" was not recorded or nothing was sampled after `before`.
    """
    departure, _ = _departure(run, before)
    largest = departure.abs().argmax(0, keepdim=True)
    return departure.gather(0, largest)[0]


def response_time(run: Recording, before: float) -> Tensor:
    """How long after `before` each cell's `response` is reached [*B, N] in ms.

    Of equal departures the first counts. Raises ValueError as `response` does.
    """
    departure, time = _departure(run, before)
    return time.to(departure.device)[departure.abs().argmax(0)] - before


def active(run: Recording, before: float, *, threshold: float = 1.0) -> Tensor:
    """Share of the cells that fired, or moved by more than `threshold` mV after `before` [*B].

    Spikes count at any time, voltages as in `response`; either may be missing, not both. Of cells
    are counted those for which either was kept.
    Raises ValueError when neither was recorded or the threshold is negative.
    """
    if not threshold >= 0:
        raise ValueError(f"threshold must be in mV, not negative, got {threshold!r}.")
    found = {"spike": rate(run) > 0} if run.spikes is not None else {}
    if not found or "v" in run.fields:
        found["v"] = response(run, before).abs() > threshold
    return _either(run, found).double().mean(-1)


def _either(run: Recording, found: dict[str, Tensor]) -> Tensor:
    """What holds for any of the variables, of all cells for which one was kept."""
    first = next(iter(found.values()))
    yes = first.new_zeros(*first.shape[:-1], len(run.cells))
    known = yes.new_zeros(len(run.cells))
    for name, holds in found.items():
        cells = run.kept.get(name, torch.arange(len(run.cells))).to(yes.device)
        yes[..., cells] |= holds.to(yes.device)
        known[cells] = True
    return yes[..., known]


def synchrony(run: Recording) -> Tensor:
    r"""How far the voltages move as one [*B]: 1 all alike, about 1/sqrt(N) each on its own.

    .. math:: \chi^2 = \frac{\text{Var}_t \langle v_i \rangle_i}{\langle \text{Var}_t v_i \rangle_i}

    nan where no voltage moves. Raises ValueError when "v" was not recorded.
    Reference: Golomb & Rinzel 1994, Physica D 72:259-282.
    """
    v = _voltage(run)
    together = v.mean(-1).var(0, correction=0)
    alone = v.var(0, correction=0).mean(-1)
    return (together / alone).sqrt()


def _departure(run: Recording, before: float) -> tuple[Tensor, Tensor]:
    """Voltages minus that at `before` [S, *B, N] in mV and when they were sampled [S] in ms."""
    v, time = _voltage(run), run.time
    reference = max(int((time <= before + run.dt * 1e-6).sum()) - 1, 0)
    if reference + 1 >= len(time):
        raise ValueError(
            f"nothing was sampled after before={before:g} ms: the recording lasts "
            f"{run.duration:g} ms."
        )
    return v[reference + 1 :] - v[reference], time[reference + 1 :]


def _voltage(run: Recording) -> Tensor:
    if "v" not in run.fields:
        raise ValueError(f"this measure needs voltages, got {run!r}: simulate(..., record=('v',)).")
    return run.fields["v"]
