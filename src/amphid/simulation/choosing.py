"""Which engine runs a task when nobody insists, and why."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass, replace

import torch

from amphid.kernels import UnknownOperation, common_shape
from amphid.simulation.network import Network
from amphid.simulation.recording import Recording
from amphid.simulation.simulate import Task, asks_for_gradient
from amphid.simulation.torch_engine import Torch

COMPILING = 2.5  # seconds it takes to compile a network for the first time
STEP, CELL, EDGE = 4e-4, 5e-8, 1e-8  # seconds of the torch engine for each in a step, roughly
JOINT = 1e-3  # and for a step where gap junctions tie the voltages together


@dataclass(frozen=True)
class Chosen:
    """The compiled engine where it can run the task and is worth compiling for, else torch.

    Torch runs what asks for a gradient, what is not on the processor, what takes it no longer than
    compiling would, and what cannot be compiled; the notes say which.
    """

    def run(self, task: Task) -> Recording:
        """The recording of a task."""
        reason = why_torch(task)
        if not reason:
            from amphid.simulation.compiled import Compiled

            try:
                return Compiled().run(task)
            except UnknownOperation as error:
                reason = f"not compiled: {error}"
        run = Torch().run(task)
        return replace(run, notes=(*run.notes, reason))


def why_torch(task: Task) -> str:
    """Why a task is left to the torch engine, or "" where the compiled one may run it."""
    if torch.is_grad_enabled() and asks_for_gradient(task):
        return (
            "differentiable, since weights or values ask for gradients: under torch.no_grad() it "
            "takes less time and memory"
        )
    if torch._C._functorch.peek_interpreter_stack() is not None:
        return "inside a transform of torch.func, which sees through torch alone"
    if task.network.weight.device.type != "cpu":
        return f"not compiled: the network is on {task.network.weight.device}"
    if importlib.util.find_spec("numba") is None:
        return "not compiled: numba is missing (pip install numba)"
    if torch_seconds(task) < COMPILING:
        return "too short to be worth compiling"
    return ""


def torch_seconds(task: Task) -> float:
    """How long the torch engine takes, roughly: better than a factor of three on most networks."""
    trials = common_shape(task.batch, task.network.batch).numel()
    return task.steps * step_seconds(task.network, trials)


def step_seconds(network: Network, trials: int = 1) -> float:
    """How long a step of so many trials takes the torch engine, as roughly."""
    edges = len(network.connectome.connections)
    step = JOINT if "electrical" in network.synapses else STEP
    return step + trials * (len(network.connectome) * CELL + edges * EDGE)
