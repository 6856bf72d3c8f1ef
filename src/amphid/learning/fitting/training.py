"""The state of a fit, and the one loop over epochs and batches."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sized
from dataclasses import asdict, dataclass, replace
from itertools import chain, islice
from typing import Any

from torch import Tensor
from torch.utils import _pytree as pytree

from amphid.learning.fitting.checkpoints import Folder
from amphid.learning.fitting.diagnosis import diagnosis, finite
from amphid.learning.fitting.draws import Draws, States
from amphid.learning.fitting.guard import Watch
from amphid.learning.fitting.history import History, Progress
from amphid.learning.fitting.plan import Batch, Plan
from amphid.learning.fitting.stopping import patient, watched
from amphid.learning.fitting.stretches import Passing, filled
from amphid.learning.gradients.objective import Mean, Objective
from amphid.simulation.distributed.ranks import LostRank

Told = Callable[[int, int], None]


@dataclass
class Position:
    """Where a fit stands: always between two updates."""

    epoch: int = 0
    batch: int = 0  # batches of this epoch that were used
    update: int = 0
    stretch: int = 0  # stretches of the present batches that were used
    total: float = 0.0  # sum of the losses of this epoch
    losses: int = 0  # how many they are
    seconds: float = 0.0  # spent in this epoch


@dataclass
class Best:
    """What early stopping remembers."""

    value: float | None = None
    epoch: int | None = None
    since: int = 0  # epochs without anything better
    model: dict[str, Tensor] | None = None


class Training:
    """A fit under way."""

    def __init__(self, plan: Plan, draws: Draws, folder: Folder | None, watch: Watch) -> None:
        self.plan, self.draws, self.folder, self.watch = plan, draws, folder, watch
        self.told: Told | None = None
        self.params = plan.params()
        self.device = plan.device
        self.at, self.best = Position(), Best()
        self.rows: list[dict[str, float]] = []
        self.why: str | None = None
        self.loss = float("nan")  # of the last update
        self.begun: States | None = None  # draws at the start of this epoch
        self.mark = draws.now()  # draws at the position
        self.whole = True  # whether what is here is the state at the position
        self.kept: Position | None = None
        self.passing: Passing | None = None  # batches between two of their stretches
        self.leaves: list[list[Any]] | None = None  # of their states, in a checkpoint
        self.pressed: Callable[[], bool] = lambda: False

    def doing(self) -> str:
        """What it does at present."""
        at = f"epoch {min(self.at.epoch + 1, self.plan.epochs)} of {self.plan.epochs}"
        return f"training, {at}, loss {self.loss:.4g}"

    def go(self, told: Told | None) -> History:
        """Train to the end, or until something stops it."""
        self.told = told
        if not self.plan.model.training:
            self.plan.model.train()
        self._stop_early()
        with patient() as self.pressed:
            try:
                while self.why is None and self.at.epoch < self.plan.epochs:
                    self._epoch()
            except KeyboardInterrupt:
                self.why = "interrupted"
            except LostRank as lost:
                self._keep(for_all=True)
                raise LostRank(f"{lost}{self._way_back()}") from None
            return self._ended()

    def _way_back(self) -> str:
        """How a fit goes on that lost another process."""
        if self.folder is None:
            return " A fit that has a folder can be resumed."
        return (
            f" The fit stands at update {self.at.update}, in a checkpoint in {self.folder.path}: "
            "start all processes again with resume=True."
        )

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go back to a checkpoint. Raises ValueError for one of another fit."""
        own = self.plan.described()
        for name, value in own.items():
            if (before := state["plan"].get(name)) != value:
                raise ValueError(
                    f"the checkpoint is of another fit: its {name} is {before}, here it is {value}."
                )
        self.plan.model.load_state_dict(state["model"])
        for name, part in self.plan.stateful().items():
            part.load_state_dict(state[name])
        self.at, self.best = Position(**state["at"]), Best(**state["best"])
        self.rows = list(state["rows"])
        if "guard" in state:
            self.watch.load_state_dict(state["guard"])
        self.begun, self.mark, self.leaves = state["begun"], state["now"], state.get("states")
        self.draws.used = state["drawn"]
        self.draws.put(self.mark)

    def _epoch(self) -> None:
        clock = time.perf_counter() - self.at.seconds
        source = self._source()
        while group := list(islice(source, self.plan.accumulate)):
            for parts in self._parts(group):
                self._update(parts, len(group))
                self.at.seconds = time.perf_counter() - clock
                self._after_update()
                if self.why is not None:
                    return
        if not self.at.batch:
            raise ValueError(
                f"batches gave nothing in epoch {self.at.epoch}: there is nothing to learn from."
            )
        self._end_epoch(clock)

    def _source(self) -> Iterator[Batch]:
        """The batches of this epoch from where it stands; draws as they were then."""
        if self.begun is None or not self.at.batch:
            self.begun = self.draws.now()
            return self.plan.walk(self.at.epoch)
        self.draws.put(self.begun)
        source = self.plan.walk(self.at.epoch)
        for _ in range(self.at.batch):
            next(source, None)
        present = list(islice(source, self.plan.accumulate)) if self.at.stretch else []
        self.draws.put(self.mark)
        return chain(present, source)

    def _parts(self, group: list[Batch]) -> Iterator[tuple[Objective, ...]]:
        """The losses of a group of batches, update after update."""
        whole = tuple(self.plan.objective(batch, self.device) for batch in group)
        if (stretches := self.plan.stretches) is None:
            yield whole
            return
        cut = [stretches.cut(one) for one in whole]
        self.passing = Passing(cut, self.at.stretch, self._states(cut))
        while self.passing.place < len(self.passing):
            yield self.passing.parts()

    def _states(self, cut: list[list[Objective]]) -> list[Any]:
        """Where the present stretches start: those of a checkpoint, or rest."""
        if not self.at.stretch or self.leaves is None:
            return [None] * len(cut)
        held = zip(cut, self.leaves, strict=True)
        states = [filled(stretches[0], leaves) for stretches, leaves in held]
        self.draws.put(self.mark)
        return states

    def _update(self, parts: tuple[Objective, ...], batches: int) -> None:
        loss = parts[0] if len(parts) == 1 else Mean(parts)
        before = self.watch.before(self.at.update)
        value, gradients = self._estimated(loss)
        self.whole = False
        if self.passing is not None:
            self.passing.passed(parts)
        for name, held in self.params.items():
            held.grad = gradients[name]
        self.plan.optimizer.step()
        self.plan.optimizer.zero_grad()
        self.plan.scheduled(None)
        self.loss = float(value)
        self._move(batches)
        self.at.total += self.loss * len(parts)
        self.at.losses += len(parts)
        self.mark, self.whole = self.draws.now(), True
        if before:
            self.watch.check(before, loss, gradients, self.at.update - 1)

    def _move(self, batches: int) -> None:
        """Go to the next update."""
        self.at.update += 1
        if self.passing is not None and self.passing.place < len(self.passing):
            self.at.stretch = self.passing.place
        else:
            self.at.batch, self.at.stretch = self.at.batch + batches, 0

    def _estimated(self, loss: Objective | Mean) -> tuple[Tensor, dict[str, Tensor]]:
        """Value and gradients of a loss. Raises FloatingPointError where they are not finite."""
        before = self._versions()
        try:
            value, gradients = self.plan.estimator(loss, self.params)
        except KeyboardInterrupt:
            self.whole = self._versions() == before
            raise
        if set(gradients) != set(self.params):
            raise ValueError(
                "estimator must give a gradient for each parameter: "
                f"{', '.join(sorted(set(gradients) ^ set(self.params)))} do not match."
            )
        for name, held in self.params.items():
            if gradients[name].shape != held.shape:
                raise ValueError(
                    f"estimator must give gradients of the shape of the parameters, but that of "
                    f"{name!r} is {list(gradients[name].shape)}, and the parameter "
                    f"{list(held.shape)}."
                )
        if not finite(value, gradients):
            self.draws.put(self.mark)
            where = diagnosis(loss.parts, value, self.params, gradients)
            raise FloatingPointError(
                f"the loss is {float(value):g} in epoch {self.at.epoch}, update {self.at.update}: "
                f"{where}. The parameters are those before this update."
            )
        return value, gradients

    def _versions(self) -> list[int]:
        return [held._version for held in self.plan.model.buffers()]

    def _after_update(self) -> None:
        every = self.plan.checkpoint_every
        if self.told:
            self.told(self.at.update, self._updates())
        self._call_back(row=None, best=False)
        if every and self.at.update % every == 0:
            self._keep()

    def _updates(self) -> int:
        """About how many updates there will be."""
        batches = self.plan.batches
        each = len(batches) if isinstance(batches, Sized) else self.at.batch
        groups = self.plan.epochs * -(-each // self.plan.accumulate)
        return max(groups * (len(self.passing) if self.passing else 1), self.at.update)

    def _end_epoch(self, clock: float) -> None:
        row: dict[str, float] = {"epoch": self.at.epoch, "update": self.at.update}
        row |= {"loss": self.at.total / self.at.losses, **self.plan.validated(self.device)}
        row["learning_rate"] = float(self.plan.optimizer.param_groups[0]["lr"])
        row["seconds"] = time.perf_counter() - clock
        self.whole = False
        self.plan.scheduled(row)
        better = self._judge(row)
        self.rows.append(row)
        self.at = Position(epoch=self.at.epoch + 1, update=self.at.update)
        self.mark, self.whole = self.draws.now(), True
        if self.folder:
            self.folder.tell(row)
        self._stop_early()
        self._call_back(row, best=better)
        self._keep()

    def _judge(self, row: Mapping[str, float]) -> bool:
        """Whether the epoch is the best so far; remembers it if so."""
        stopping = self.plan.early_stopping
        if stopping is None:
            return False
        value = watched(row, stopping.watch)
        if not stopping.improves(value, self.best.value):
            self.best.since += 1
            return False
        held = {name: x.detach().clone() for name, x in self.plan.model.state_dict().items()}
        self.best = Best(value, self.at.epoch, 0, held)
        return True

    def _stop_early(self) -> None:
        stopping = self.plan.early_stopping
        if stopping and self.best.since >= stopping.patience:
            self.why = "early stopping"

    def _call_back(self, row: Mapping[str, float] | None, *, best: bool) -> None:
        epoch = self.at.epoch if row is None else self.at.epoch - 1
        plan = self.plan
        now = Progress(plan.model, plan.optimizer, epoch, self.at.update, self.loss, row, best)
        for callback in plan.callbacks:
            answer = callback(now)
            if answer is True or answer == "stop":
                self.why = self.why or "callback"
        if self.pressed():
            self.why = self.why or "interrupted"
        self.mark = self.draws.now()

    def _keep(self, *, for_all: bool = False) -> None:
        """Write a checkpoint of the position, unless that is done already, or by another process.

        for_all: whoever else writes one, since it may be gone.
        """
        if self.folder is None or not self.whole or self.kept == self.at:
            return
        if not (self.folder.writes or for_all):
            return
        state = {name: part.state_dict() for name, part in self.plan.stateful().items()}
        state |= {"at": asdict(self.at), "best": vars(self.best), "rows": self.rows}
        state |= {"begun": self.begun, "now": self.mark, "drawn": self.draws.drawn()}
        state |= {"guard": self.watch.state_dict()}
        if self.at.stretch and self.passing is not None:
            state["states"] = [pytree.tree_leaves(held) for held in self.passing.states]
        state |= {"plan": self.plan.described(), "model": dict(self.plan.model.state_dict())}
        self.folder.keep(self.at.epoch, self.at.update, state)
        self.kept = replace(self.at)

    def _ended(self) -> History:
        self._keep()
        model = self.plan.model
        if self.best.model is not None:
            model.load_state_dict(self.best.model)
        if self.folder:
            self.folder.weights(model.state_dict())
        return History(
            rows=tuple(self.rows),
            updates=self.at.update,
            why=self.why or "done",
            best=self.best.epoch,
            folder=self.folder.path if self.folder else None,
        )
