"""The torch engine's steps over tensors that stay in place: a device replays them by itself.

A CUDA device takes longer to be told what to do than to do it. So some steps in a row, a block, are
captured as one graph: they read currents from a tensor, state from tensors, and write state and
what is recorded back to tensors that never move. The host copies the currents of the next block,
starts the graph, and looks at what was recorded only once in a window of many blocks.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.utils import _pytree as pytree
from torch.utils._python_dispatch import TorchDispatchMode

from amphid.kernels import common_shape
from amphid.simulation.joint import JointSolver
from amphid.simulation.network import NetworkState
from amphid.simulation.simulate import Task, read_variable
from amphid.simulation.torch_engine import Kept, Loop, Plain

WINDOW = 1 << 25  # currents made, and spikes kept, between two looks of the host
LONGEST = 512  # steps in a window
MISSES = 3  # windows with a solve that did not converge; then the host looks at every one


def window(task: Task, like: Tensor, block: int) -> int:
    """How many steps lie between two looks of the host: whole blocks."""
    size = _block_size(task, block)
    return max(size, min(LONGEST, WINDOW // max(like.numel(), 1)) // size * size)


@torch.no_grad()
def replayed(plain: Plain, state: NetworkState, block: int) -> tuple[Loop, str]:
    """A loop that replays blocks of that many steps, or the plain one; and a note which."""
    external = plain.task.currents(0, 1)[0]
    shown = plain.stepper(state, external)  # its solver may wait for the device, once
    loop = Replay(plain, _widened(shown), external, block)
    with HostWork() as heard:
        loop.hold(plain.stepper(loop.load(state), external))
    if not heard.found:
        return loop, f", {'replayed ' if loop.pool else ''}in blocks of {loop.size}"
    loop.leave()
    told = ", ".join(sorted(heard.found))
    return plain, f", each by itself since the host has a part in them ({told})"


class HostWork(TorchDispatchMode):
    """Hears of operations that a graph cannot hold.

    found: names of those that tell the host a number, whose result has a shape that hangs on
        numbers, that copy between devices, or that draw random numbers.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.found: set[str] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        held = [x for x in pytree.tree_leaves((args, kwargs, result)) if isinstance(x, Tensor)]
        waits = not _HOST.isdisjoint(func.tags)
        if func is torch.ops.aten.index.Tensor:  # whose result has a known shape but for masks
            waits = any(x is not None and x.dtype in (torch.bool, torch.uint8) for x in args[1])
        # a number that is known beforehand is handed over with the operation
        apart = {x.device for x in held if x.dim() or func in _COPIES}
        if waits or len(apart) > 1:
            self.found.add(str(func))
        return result


_COPIES = (torch.ops.aten._to_copy.default, torch.ops.aten.copy_.default)
_HOST = {
    torch.Tag.data_dependent_output,
    torch.Tag.dynamic_output_shape,
    torch.Tag.nondeterministic_seeded,
}


class Replay:
    """Steps in blocks, over tensors that stay in place.

    plain: the same steps as they are written. shown: a state with the shapes of one after a step.
    external: a current shaped as that of any step.
    """

    def __init__(self, plain: Plain, shown: NetworkState, external: Tensor, block: int) -> None:
        self.plain, self.task, self.like = plain, plain.task, external
        self.size = _block_size(self.task, block)
        leaves, self.spec = pytree.tree_flatten(shown)
        self.leaves = [_fixed(leaf, external) for leaf in leaves]
        self.blocks: dict[int, _Block] = {}
        self.pool = torch.cuda.graph_pool_handle() if external.device.type == "cuda" else None
        self.solver = _solver(plain.stepper)
        self.misses = 0
        if self.solver:
            self.solver.missed = torch.zeros((), dtype=torch.bool, device=external.device)

    @torch.no_grad()
    def __call__(self, state: NetworkState, first: int, last: int) -> tuple[NetworkState, Kept]:
        """The steps first <= t < last."""
        if self.misses >= MISSES:
            return self.plain(state, first, last)
        self.load(state)
        before = [leaf.clone() if isinstance(leaf, Tensor) else leaf for leaf in self.leaves]
        start = pytree.tree_unflatten(before, self.spec)
        try:
            kept = self._blocks(first, last)
            missed = self.solver is not None and bool(self.solver.missed)
        except BaseException:
            self.load(start)  # which is where whoever caught this goes on
            raise
        if missed and self.solver:
            return self._seen(self.solver, start, first, last)
        return self.state, kept

    @property
    def state(self) -> NetworkState:
        """The state, in the tensors that stay in place."""
        state: NetworkState = pytree.tree_unflatten(self.leaves, self.spec)
        return state

    def load(self, state: NetworkState) -> NetworkState:
        """The same state in the tensors that stay in place."""
        for leaf, given in zip(self.leaves, pytree.tree_leaves(state), strict=True):
            if isinstance(leaf, Tensor) and given is not leaf:
                leaf.copy_(given) if isinstance(given, Tensor) else leaf.fill_(given)
        return self.state

    def leave(self) -> None:
        """The host looks at solves again."""
        if self.solver:
            self.solver.missed = None

    def hold(self, state: NetworkState) -> None:
        """Write a state that was made of the present one to where that is."""
        places = {leaf.untyped_storage()._cdata for leaf in self.leaves if isinstance(leaf, Tensor)}
        moved = []
        for leaf, fresh in zip(self.leaves, pytree.tree_leaves(state), strict=True):
            if isinstance(leaf, Tensor) and fresh is not leaf:
                # what only changes its place must be read before it is written over
                stays = fresh.untyped_storage()._cdata in places
                moved.append((leaf, fresh.clone() if stays else fresh))
        for leaf, fresh in moved:
            leaf.copy_(fresh)

    def _blocks(self, first: int, last: int) -> Kept:
        task = self.task
        kept: Kept = {name: [] for name in task.record}
        current = task.currents(first, last)
        for start, stop in self._cuts(first, last):
            if stop - start not in self.blocks:
                self.blocks[stop - start] = _Block(self, stop - start)
            for name, rows in self.blocks[stop - start](current[start - first : stop - first]):
                kept[name] += rows
            if task.every > self.size and stop % task.every == 0:
                for name in kept.keys() - {"spike"}:
                    value = task.kept_of(name, read_variable(task, self.state, name))
                    kept[name].append(value.clone())
        return kept

    def _cuts(self, first: int, last: int) -> Iterator[tuple[int, int]]:
        """The blocks of a window; where samples are rare each ends with one."""
        every = self.task.every if self.task.every > self.size else last
        while first < last:
            stop = min(first + self.size, last, (first // every + 1) * every)
            yield first, stop
            first = stop

    def _seen(
        self, solver: JointSolver, start: NetworkState, first: int, last: int
    ) -> tuple[NetworkState, Kept]:
        """A window in which some solve did not converge, once more; its solver may have changed."""
        solver.missed = None
        state, kept = self.plain(start, first, last)
        self.misses += 1
        self.blocks.clear()
        if self.misses < MISSES:
            solver.missed = self.like.new_zeros((), dtype=torch.bool)
        return state, kept


class _Block:
    """A number of steps over the tensors of a replay, captured where the device is a CUDA one."""

    def __init__(self, replay: Replay, steps: int) -> None:
        self.replay, self.steps = replay, steps
        self.current = replay.like.new_zeros(steps, *replay.like.shape)
        self.kept: dict[str, Tensor] = {}
        self.graph: torch.cuda.CUDAGraph | None = None
        if replay.like.device.type == "cuda":
            with torch.cuda.device(replay.like.device):
                self.graph = self._captured()

    def __call__(self, current: Tensor) -> Iterator[tuple[str, list[Tensor]]]:
        """What is kept of the steps under currents [S, *B, N], by name."""
        self.current.copy_(current)
        if self.graph is None:
            self.replay.hold(self._steps())
        else:
            self.graph.replay()
        return ((name, list(rows.clone().unbind(0))) for name, rows in self.kept.items())

    def _captured(self) -> torch.cuda.CUDAGraph:
        side, graph = torch.cuda.Stream(), torch.cuda.CUDAGraph()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):  # libraries take what they need before the capture
            self._steps()
        torch.cuda.current_stream().wait_stream(side)
        try:
            with torch.cuda.graph(graph, pool=self.replay.pool):
                self.replay.hold(self._steps())
        except RuntimeError as error:
            raise RuntimeError(
                f"the steps of this network cannot be captured as a graph ({error}): "
                "engine=Torch(replay=0) takes them one by one."
            ) from error
        return graph

    def _steps(self) -> NetworkState:
        """The state after the steps; what is kept of them is written where it stays."""
        task, state = self.replay.task, self.replay.state
        rows = dict.fromkeys(task.record, 0)
        for step, external in enumerate(self.current.unbind(0), start=1):
            state = self.replay.plain.stepper(state, external)
            for name in task.record:
                if name == "spike" or step % task.every == 0:
                    value = task.kept_of(name, read_variable(task, state, name))
                    self._keep(name, rows[name], value)
                    rows[name] += 1
        return state

    def _keep(self, name: str, row: int, value: Tensor) -> None:
        if name not in self.kept:
            rows = self.steps // (1 if name == "spike" else self.replay.task.every)
            self.kept[name] = value.new_empty(rows, *value.shape)
        self.kept[name][row].copy_(value)


def _block_size(task: Task, block: int) -> int:
    """Steps in a block: whole intervals between samples, if these are short."""
    return block // task.every * task.every if task.every <= block else block


def _widened(state: NetworkState) -> NetworkState:
    """A state with the trials of any of its parts in each of them."""
    leaves, spec = pytree.tree_flatten(state)
    shapes = [leaf.shape[:-1] for leaf in leaves if isinstance(leaf, Tensor) and leaf.dim()]
    batch = common_shape(*shapes)
    widened: NetworkState = pytree.tree_unflatten(
        [
            leaf.expand(*batch, leaf.shape[-1]) if isinstance(leaf, Tensor) and leaf.dim() else leaf
            for leaf in leaves
        ],
        spec,
    )
    return widened


def _fixed(leaf: Any, like: Tensor) -> Any:
    """A tensor of its own for a part of a state; a number, such as that of a step, is one too."""
    if isinstance(leaf, int) and not isinstance(leaf, bool):
        return torch.tensor(leaf, device=like.device)
    if isinstance(leaf, Tensor):
        return torch.empty_like(leaf, memory_format=torch.contiguous_format)
    return leaf


def _solver(stepper: Any) -> JointSolver | None:
    """What solves the voltages, in a stepper or inside of one that moves weights."""
    solver: JointSolver | None = getattr(getattr(stepper, "stepper", stepper), "solver", None)
    return solver
