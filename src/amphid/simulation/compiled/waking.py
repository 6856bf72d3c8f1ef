"""A network that is left alone where it rests, and stepped in parts where it does not."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from torch import Tensor

from amphid.simulation.compiled.edges import Array
from amphid.simulation.compiled.program import Program
from amphid.simulation.compiled.sleeping import FOREVER, Sleeping
from amphid.simulation.compiled.together import Events, Together, trials_of
from amphid.simulation.network import NetworkState
from amphid.simulation.simulate import Task

WORTH = 4096  # steps of all cells, at least, for which parts are laid out


def may_change_hands(task: Task) -> bool:
    """Whether the state and a current that stays are all there is to a task, and one trial."""
    only_spikes = set(task.record) <= {"spike"}
    return task.cells is None and not task.sources and only_spikes and trials_of(task) == 1


class Waking:
    """One program while cells sleep, the parts of the network while all of them are stepped.

    Which of them steps changes no bit, since parts do what the program does. The state is handed
    from one to the other.

    task: one that may change hands. program: that of the whole network, where its cells can be left
    alone. whole, parted: make the one and the other from a task with its state.
    """

    def __init__(
        self,
        task: Task,
        program: Program,
        *,
        whole: Callable[[Task], Program],
        parted: Callable[[Task], Together],
    ) -> None:
        self.task, self.program, self.whole, self.parted = task, program, whole, parted
        self.parts: Together | None = None
        self.trials, self.batch, self.in_order = 1, program.batch, False
        self.done = self.began = 0  # steps; those after which what steps now took over
        self.wait_until = 0  # the step at which the next try to leave cells alone is due

    @property
    def sleeping(self) -> Sleeping:
        """What leaves cells alone."""
        assert self.program.sleeping is not None
        return self.program.sleeping

    @property
    def stepping(self) -> Program | Together:
        """What has the state now."""
        return self.parts or self.program

    @property
    def note(self) -> str:
        """How the steps were taken."""
        return f"{self.program.note}, parts where all are stepped for long"

    def longest_piece(self, steps: int) -> int:
        """How many steps can be taken at once: all."""
        return steps

    def go_to(self, end: int) -> list[Events]:
        """Bring the network to a step; its spikes."""
        found: list[Events] = []
        while self.done < end:
            awake = self._awake_for()
            if self.parts and not awake:
                self._to_program()
            elif not self.parts and awake >= WORTH:
                self._to_parts()
            found += self._in_parts(min(end, self.done + awake)) if self.parts else self._whole(end)
        return found

    def hold(self, current: Array) -> None:
        """Change the current [N] in pA that stays, of a task that has one row of it."""
        self.task.stimulus[..., 0, :] = self.task.stimulus.new_tensor(current)
        self.program.hold(current)
        if self.parts:
            self.parts.hold(current)

    def voltage(self) -> Array:
        """Where all cells are now [1, N], mV."""
        return self.stepping.voltage()

    def sample(self, done: int) -> None:
        """Nothing but spikes is kept."""

    def fields(self) -> dict[str, Tensor]:
        """Nothing but spikes is kept."""
        return {}

    def weights(self) -> None:
        """Weights that moved: none do."""

    def state(self, done: int) -> NetworkState:
        """The state after that many steps, which are those taken."""
        return self.stepping.state(done - self.began)

    def close(self) -> None:
        """Let the threads go."""
        if self.parts:
            self.parts.close()

    def _awake_for(self) -> int:
        """In how many steps to come all cells are stepped in any case."""
        if not self.parts:
            return self.sleeping.awake_for(0)
        return FOREVER if self.sleeping.many_driven else max(self.wait_until - self.done, 0)

    def _to_parts(self) -> None:
        self.wait_until = self.began + self.sleeping.wait_until[0]
        self.parts = self.parted(self._task_from_here())
        self.began = self.done

    def _to_program(self) -> None:
        before, task = self.program, self._task_from_here()
        self.close()
        self.program, self.parts, self.began = self.whole(task), None, self.done
        self.sleeping.go_on_from(before.sleeping)  # type: ignore[arg-type]

    def _task_from_here(self) -> Task:
        return replace(self.task, state=self.state(self.done))

    def _in_parts(self, end: int) -> list[Events]:
        assert self.parts
        found = self.parts.go_to(end - self.began)
        self.sleeping.elsewhere += end - self.done
        self.done = end
        return [self._later(*events) for events in found]

    def _whole(self, end: int) -> list[Events]:
        self.program.step(0, end - self.done)
        self.done = self.began + int(self.program.counters[0][0])
        return [self._later(*self.program.spikes(0))]

    def _later(self, step: Array, trial: Array, cell: Array) -> Events:
        return step + self.began, trial, cell
