"""Runs of more trials than memory holds at once: some after the others, one recording of all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from amphid.simulation.recording import Recording, Spikes
from amphid.simulation.scans import portion
from amphid.simulation.simulate import Engine, Task
from amphid.simulation.wires import longest_delay

WORKING_MEMORY = 2 << 30  # bytes for the state of all trials of a portion
VARIABLES = 16  # numbers that a cell and its synapses keep, roughly
MATRICES = 4  # of gap junctions in a trial: the system, its factor and what is made on the way


def run_trials(task: Task, engine: Engine) -> Recording:
    """The recording of all trials of a network, run in portions that fit into memory."""
    trials, size = task.network.trials, _portion_size(task)
    if size >= len(trials) or task.plasticity:  # the weights of all trials are asked for
        return replace(engine.run(task), trials=trials)
    done: list[Recording] = []
    for first in range(0, len(trials), size):
        run = engine.run(_portion(task, first, min(first + size, len(trials))))
        interrupted = any("interrupted after" in note for note in run.notes)
        if run.steps >= task.steps - task.steps % task.every or not done:
            done.append(run)
        if interrupted:
            break
    return _joined(done, trials)


def _portion_size(task: Task) -> int:
    """How many trials are run at once."""
    network, width = task.network, task.network.weight.element_size()
    cells, longest = len(network.connectome), 1 + longest_delay(network.connectome) / task.dt
    numbers = cells * (VARIABLES + 2 * longest * len(network.synapses))
    if network.coupling is not None:
        numbers += MATRICES * cells**2
    others = max(task.batch.numel() // len(network.trials), 1)
    return max(int(WORKING_MEMORY / (width * numbers * others)), 1)


def _portion(task: Task, first: int, stop: int) -> Task:
    """The task for some of the trials."""
    count, trials = stop - first, len(task.network.trials)
    stimulus = task.stimulus
    if stimulus.dim() > 2 and stimulus.shape[-2] == trials:
        stimulus = stimulus[..., first:stop, :]

    def heard(done: int, steps: int) -> None:
        if task.progress:
            task.progress(first * steps + done * count, trials * steps)

    return replace(
        task,
        network=portion(task.network, first, stop),
        stimulus=stimulus,
        sources=tuple(source.portion(first, stop, trials) for source in task.sources),
        progress=task.progress and heard,
    )


def _joined(done: Sequence[Recording], trials: tuple[str, ...]) -> Recording:
    """One recording of the trials that were run; the state is not kept."""
    finished = sum(_trials_of(run) for run in done)
    note = f"{len(trials)} trials in portions of {_trials_of(done[0])}: no state is kept"
    if finished < len(trials):
        note += f"; interrupted after {finished} of {len(trials)} trials"
    first = done[0]
    return replace(
        first,
        fields={name: torch.cat([run.fields[name] for run in done], -2) for name in first.fields},
        events=_joined_spikes([run.events for run in done if run.events is not None]),
        notes=(*first.notes, note),
        state=None,
        trials=trials[:finished],
    )


def _joined_spikes(events: Sequence[Spikes]) -> Spikes | None:
    if not events:
        return None
    pieces, before = [], 0
    for spikes in events:
        index = spikes.index.clone()
        index[-2] += before
        pieces.append(index)
        before += spikes.shape[-2]
    index = torch.cat(pieces, 1)
    first = events[0]
    shape = (*first.shape[:-2], before, first.shape[-1])
    return Spikes(index[:, _by_step(index)], shape, first.dt)


def _by_step(index: Tensor) -> Tensor:
    return torch.from_numpy(np.lexsort(index.flip(0).numpy()))


def _trials_of(run: Recording) -> int:
    if run.events is not None:
        return run.events.shape[-2]
    return next(iter(run.fields.values())).shape[-2]
