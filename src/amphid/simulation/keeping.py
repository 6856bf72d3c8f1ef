"""What the torch engine keeps of a run."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from amphid.simulation.network import NetworkState
from amphid.simulation.recording import Recording, Spikes

if TYPE_CHECKING:
    from amphid.simulation.simulate import Task


class Keeper:
    """Collects what is recorded: samples as they are, spikes without a gradient as events."""

    def __init__(self, task: Task, *, dense: bool, graph: bool) -> None:
        self.task, self.dense, self.done = task, dense, 0
        # what is written in place can carry no gradient, and no transform can see through it
        self.in_place = not graph and torch._C._functorch.peek_interpreter_stack() is None
        self.rows: dict[str, Tensor] = {}
        self.samples: dict[str, list[Tensor]] = {name: [] for name in task.record}
        self.events: list[Tensor] = []
        self.shape: tuple[int, ...] = ()

    def keep(self, kept: dict[str, list[Tensor]], steps: int) -> None:
        """Take over what a segment kept."""
        for name, values in kept.items():
            dense = self.dense or any(value.requires_grad for value in values)
            if name == "spike" and not dense:
                self._keep_events(values)
            elif self.in_place:
                self._fill(name, values)
            else:
                self.samples[name] += values
        self.done += steps
        if self.task.progress:
            self.task.progress(self.done, self.task.steps)

    def recording(self, state: NetworkState, note: str) -> Recording:
        """The recording of all that was kept."""
        kept = self.done // self.task.every
        fields = {
            name: rows[: self.done if name == "spike" else kept] for name, rows in self.rows.items()
        }
        fields |= {name: torch.stack(values) for name, values in self.samples.items() if values}
        weight = fields.pop("weight", None)
        return Recording(
            cells=self.task.network.connectome.cells,
            dt=self.task.dt,
            every=self.task.every,
            fields=fields,
            events=self._all_events(),
            notes=(note,),
            state=state,
            weight=weight,
            edges=None if weight is None else self.task.moving,
            kept={name: cells.cpu() for name, cells in self.task.kept.items()},
        )

    def _fill(self, name: str, values: list[Tensor]) -> None:
        """Write samples where they stay."""
        every = 1 if name == "spike" else self.task.every
        if values and name not in self.rows:
            self.rows[name] = values[0].new_empty(self.task.steps // every, *values[0].shape)
        for row, value in enumerate(values, start=self.done // every):
            self.rows[name][row] = value

    def _keep_events(self, values: list[Tensor]) -> None:
        if values:
            events = torch.stack(values).nonzero().T.cpu()  # whatever the device of the network
            events[0] += self.done
            self.events.append(events)
            self.shape = tuple(values[0].shape)

    def _all_events(self) -> Spikes | None:
        if not self.events:
            return None
        return Spikes(torch.cat(self.events, 1), (self.done, *self.shape), self.task.dt)
