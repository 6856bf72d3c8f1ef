"""The torch engine: its loop over the steps, and what a gradient keeps of them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from amphid.kernels import common_shape
from amphid.simulation.keeping import Keeper
from amphid.simulation.network import NetworkState
from amphid.simulation.plasticity import Learning, finished
from amphid.simulation.recording import Recording
from amphid.simulation.simulate import Task, asks_for_gradient, first_state, read_variable
from amphid.simulation.stepping import Stepper, choose

LONG = 256  # steps; longer differentiable runs are checkpointed unless told otherwise
ROOM = 1 << 20  # currents made at once, where no gradient is asked for
BLOCK = 16  # steps that a device is given at once: then launching them takes no time beside them


@dataclass(frozen=True)
class Torch:
    """The torch engine: `step` as it is written; differentiable, batched, on any device.

    checkpoint: steps between the states that are kept for a gradient; what lies between is computed
        again on the way back. None keeps the square root of all steps when there are many; 0 keeps
        every step.
    implicit: True solves all voltages together, False never does; None lets the network's own
        conductances decide.
    dense: keep spikes as an array [T, *B, N] also where no gradient is asked for, which is what
        `torch.func` transforms need.
    replay: steps that a CUDA device is given at once, as a graph that it replays without the host,
        where no gradient is asked for; 0 gives it every operation by itself. None takes some on a
        CUDA device. Elsewhere a number runs the same steps over the same buffers, not captured.
    """

    checkpoint: int | None = None
    implicit: bool | None = None
    dense: bool = False
    replay: int | None = None

    def __post_init__(self) -> None:
        if self.replay is not None and not (isinstance(self.replay, int) and self.replay >= 0):
            raise ValueError(f"replay must be a number of steps, 0 or more, got {self.replay!r}.")

    def run(self, task: Task) -> Recording:
        """The recording of a task."""
        network, dt = task.network, task.dt
        graph = torch.is_grad_enabled() and asks_for_gradient(task)
        block = self._block(task, graph=graph)
        wires = network.wires(dt, rows=block > 0 and network.weight.device.type != "cpu")
        stepper = choose(network, wires, dt, implicit=self.implicit)
        batch = common_shape(task.batch, network.batch)
        like = task.stimulus.new_zeros(*batch, len(network.connectome))
        state = first_state(task, like, wires)
        if task.plasticity:
            stepper = Learning(stepper, task.plasticity, dt)
        keeper = Keeper(task, dense=self.dense, graph=graph)
        plain = Plain(stepper, task)
        loop: Loop = plain
        segment, note = self._segment(task, like, graph=graph), ""
        if block:
            from amphid.simulation.replay import replayed, window

            loop, note = replayed(plain, state, block)
            segment = window(task, like, block)
        note = f"torch engine, {stepper.note}{note}"
        try:
            while keeper.done < task.steps:
                first, last = keeper.done, min(keeper.done + segment, task.steps)
                if graph and segment < task.steps:
                    state, kept = checkpoint(loop, state, first, last, use_reentrant=False)
                else:
                    state, kept = loop(state, first, last)
                keeper.keep(kept, last - first)
        except KeyboardInterrupt:
            note += f"; interrupted after {keeper.done} of {task.steps} steps"
        return keeper.recording(finished(state, task.plasticity), note)

    def _block(self, task: Task, *, graph: bool) -> int:
        """How many steps are given to the device at once; 0 where the loop is a plain one."""
        if graph or torch._C._functorch.peek_interpreter_stack() is not None:
            return 0
        if self.replay is None:
            return BLOCK if task.network.weight.device.type == "cuda" else 0
        return self.replay

    def _segment(self, task: Task, like: Tensor, *, graph: bool) -> int:
        """How many steps have their currents made at once."""
        if not graph:
            return max(1, min(64, ROOM // max(like.numel(), 1)))
        if self.checkpoint is None:
            return task.steps if task.steps <= LONG else math.isqrt(task.steps)
        return self.checkpoint or task.steps


Kept = dict[str, list[Tensor]]


class Loop(Protocol):
    """Some steps in a row: from a state to a state and what is kept."""

    def __call__(self, state: NetworkState, first: int, last: int) -> tuple[NetworkState, Kept]:
        """The steps first <= t < last."""


class Plain:
    """Steps one after the other, as they are written."""

    def __init__(self, stepper: Stepper, task: Task) -> None:
        self.stepper, self.task = stepper, task

    def __call__(self, state: NetworkState, first: int, last: int) -> tuple[NetworkState, Kept]:
        """The steps first <= t < last."""
        task = self.task
        kept: Kept = {name: [] for name in task.record}
        for step, external in enumerate(task.currents(first, last).unbind(0), start=first + 1):
            state = self.stepper(state, external)
            for name, values in kept.items():
                if name == "spike" or step % task.every == 0:
                    values.append(task.kept_of(name, read_variable(task, state, name)))
        return state, kept
