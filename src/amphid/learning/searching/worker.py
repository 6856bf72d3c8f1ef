"""One process at work on a search that others may share.

Which trials count is read off the storage alone, so a worker may die at any instant:

- A trial is *void* when it failed as `lost` (its process died, or its objective raised) or as
  `surplus` (another worker was first). Void trials do not count.
- A trial is somebody's only if fewer than `trials` trials that are not void have a lower number,
  and none of these has its ticket. Otherwise its worker makes it surplus. Numbers are given by the
  storage one after the other, so of two workers that want the last place one has it.
- What must still be tried follows from that: the points of a grid, and lost trials by their
  settings, of which none that is not void has the ticket. Any worker puts these in the queue.
"""

from __future__ import annotations

import json
import math
import time
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from amphid.learning.searching.findings import Found, Tried
from amphid.learning.searching.leases import WORKER, Lease
from amphid.learning.searching.optuna_found import optuna
from amphid.learning.searching.samplers import Grid, for_optuna
from amphid.learning.searching.space import Space
from amphid.learning.searching.trial import Pruned, Trial, number

VOID = "amphid:void"  # why a trial does not count: died, raised, interrupted or surplus
TICKET = "amphid:ticket"  # what a trial was queued for
AGAIN = "again "  # start of the ticket of a repetition
SPACE = "amphid:space"
POLL = 0.2  # seconds between looks at a search that others finish
UNCLAIMED = 60.0  # seconds after which a trial that no worker has signed is nobody's

_State = optuna.trial.TrialState


class Worker:
    """A search, as one process sees it and works on it."""

    attempts = 3
    catch: tuple[type[Exception], ...] = ()

    def __init__(
        self,
        storage: Any,
        lease: Lease,
        space: Space,
        sampler: Any,
        pruner: Any,
        *,
        name: str,
        maximize: bool,
        trials: int = 0,
    ) -> None:
        self.storage, self.lease, self.space, self.trials = storage, lease, space, trials
        self.name, self.maximize = name, maximize
        self.distributions = {key: held.distribution() for key, held in space.items()}
        self.grid = sampler.combinations(space) if isinstance(sampler, Grid) else []
        self.study = optuna.create_study(
            storage=storage,
            sampler=for_optuna(sampler, self._rank, self._sign),
            pruner=pruner or optuna.pruners.NopPruner(),
            study_name=name,
            direction="maximize" if maximize else "minimize",
            load_if_exists=True,
        )
        self._check_same()

    def run(
        self,
        objective: Callable[[Trial], Any],
        progress: Callable[[int, int | None], None] | None = None,
    ) -> None:
        """Work until as many trials as wanted are finished, by whomever."""
        told = -1
        while True:
            self._void_dead()
            self._queue()
            done, claimed = self._counts()
            if progress and done != told:
                progress(min(done, self.trials), self.trials)
                told = done
            if done >= self.trials:
                return
            trial = self._claim() if claimed < self.trials else None
            if trial is None:
                time.sleep(POLL)
            else:
                self._try(trial, objective)

    def found(self) -> Found:
        """All trials that are over and count."""
        lost = self._given_up()
        trials = [self._tried(held) for held in self._history() if _over(held) and not _void(held)]
        trials += [self._tried(held) for held in lost]
        ordered = tuple(sorted(trials, key=lambda tried: tried.number))
        return Found(self.name, self.space, self.maximize, ordered)

    def _history(self) -> list[Any]:
        trials: list[Any] = self.study.get_trials(deepcopy=False)
        return trials

    def _counts(self) -> tuple[int, int]:
        """How many trials are finished, and how many places are taken."""
        held = [trial for trial in self._history() if not _void(trial)]
        lost = len(self._given_up())
        running = sum(trial.state == _State.RUNNING for trial in held)
        done = sum(map(_over, held)) + lost
        return done, done + running

    def _claim(self) -> Any:
        """A trial of ours with its settings, or None where another worker was first."""
        trial = self.study.ask(fixed_distributions=self.distributions)
        history = self._history()
        before = [held for held in history[: trial.number] if not _void(held)]
        ticket = _ticket(history[trial.number])
        taken = ticket is not None and any(_ticket(held) == ticket for held in before)
        if taken or len(before) + len(self._given_up()) >= self.trials:
            self._make_void(trial._trial_id, "surplus")
            return None
        return trial

    def _try(self, trial: Any, objective: Callable[[Trial], Any]) -> None:
        self.lease.working(trial._trial_id)
        try:
            value = number(objective(self._shown(trial)), "the objective")
        except Pruned:
            self._tell(trial, state=_State.PRUNED)
        except self.catch as error:
            self._note(trial, "error", f"{type(error).__name__}: {error}")
            self._tell(trial, state=_State.FAIL)
        except BaseException as error:
            interrupted = isinstance(error, (KeyboardInterrupt, SystemExit))
            self._make_void(trial._trial_id, "interrupted" if interrupted else "raised")
            raise
        else:
            if math.isnan(value):
                self._note(trial, "error", "the objective gave nan")
                self._tell(trial, state=_State.FAIL)
            else:
                self._tell(trial, value)
        finally:
            self.lease.working(None)

    def _shown(self, trial: Any) -> Trial:
        """The trial as the objective sees it."""

        def report(value: float, step: int) -> bool:
            trial.report(value, step)
            return bool(trial.should_prune())

        def note(name: str, figure: Any) -> None:
            self._note(trial, name, figure)

        settings = {name: self.space[name].value(held) for name, held in trial.params.items()}
        ordered = {name: settings[name] for name in self.space}
        return Trial(trial.number, ordered, report=report, note=note)

    def _note(self, trial: Any, name: str, figure: Any) -> None:
        try:
            json.dumps(figure)
        except (TypeError, ValueError):
            raise TypeError(
                f"note({name}=...) keeps numbers, texts and lists of them, got {figure!r}."
            ) from None
        trial.set_user_attr(name, figure)

    def _tell(self, trial: Any, value: float | None = None, state: Any = None) -> None:
        """Finish a trial, unless others have taken us for dead and it is void by now."""
        try:
            self.study.tell(trial, value, state=state)
        except Exception:
            if not self.storage.get_trial(trial._trial_id).state.is_finished():
                raise

    def _sign(self, trial: Any) -> None:
        """Put our name on a trial that begins."""
        self.storage.set_trial_system_attr(trial._trial_id, WORKER, self.lease.worker)

    def _rank(self, trial: Any) -> int:
        """Its place among the trials that were not queued; a repetition has that of the first.

        Whatever happens to other trials, it never changes, and no two have the same.
        """
        ticket: str = trial.system_attrs.get(TICKET, "")
        first = int(ticket.removeprefix(AGAIN)) if ticket.startswith(AGAIN) else trial.number
        return sum(TICKET not in held.system_attrs for held in self._history()[:first])

    def _void_dead(self) -> None:
        """Take trials from processes that are gone."""
        for trial in self._history():
            if trial.state == _State.RUNNING and self._dead(trial):
                self._make_void(trial._trial_id, "died")

    def _dead(self, trial: Any) -> bool:
        if WORKER in trial.system_attrs:
            return self.lease.dead(trial)
        begun = trial.datetime_start.astimezone(UTC)
        return (datetime.now(UTC) - begun).total_seconds() > UNCLAIMED

    def _make_void(self, identity: int, reason: str) -> None:
        try:
            self.storage.set_trial_system_attr(identity, VOID, reason)
            self.storage.set_trial_state_values(identity, state=_State.FAIL)
        except optuna.exceptions.UpdateFinishedTrialError:
            pass  # another worker did the same, or it has finished after all

    def _queue(self) -> None:
        """Put in the queue what must be tried and is not there."""
        history = self._history()
        held = {_ticket(trial) for trial in history if not _void(trial)}
        given_up = {_ticket(trial) for trial in self._given_up()}
        points = {f"grid {place}": point for place, point in enumerate(self.grid)}
        for trial in history:
            if _lost(trial):
                points.setdefault(_ticket(trial) or "", dict(trial.params))
        for ticket, point in points.items():
            if ticket not in held and ticket not in given_up:
                self._enqueue(ticket, point)

    def _enqueue(self, ticket: str, point: dict[str, Any]) -> None:
        attributes = {"fixed_params": point, TICKET: ticket}
        waiting = optuna.trial.create_trial(state=_State.WAITING, system_attrs=attributes)
        self.study.add_trial(waiting)

    def _given_up(self) -> list[Any]:
        """The last try of each trial that was lost too often; they count as failed."""
        lost = [trial for trial in self._history() if _lost(trial)]
        tries = Counter(
            _ticket(trial) for trial in lost if trial.system_attrs[VOID] != "interrupted"
        )
        last = {_ticket(trial): trial for trial in lost}
        return [last[ticket] for ticket, count in tries.items() if count >= self.attempts]

    def _tried(self, held: Any) -> Tried:
        stored = {name: held.params[name] for name in self.space if name in held.params}
        states = {_State.COMPLETE: "complete", _State.PRUNED: "pruned"}
        length = held.datetime_complete - held.datetime_start
        return Tried(
            number=held.number,
            settings={name: self.space[name].value(kept) for name, kept in stored.items()},
            value=held.value,
            state=states.get(held.state, "failed"),
            reports=dict(held.intermediate_values),
            notes=dict(held.user_attrs),
            stored=stored,
            started=held.datetime_start,
            seconds=length.total_seconds(),
        )

    def _check_same(self) -> None:
        """Raise ValueError where the storage holds this search with other terms."""
        ours = {
            name: optuna.distributions.distribution_to_json(held)
            for name, held in self.distributions.items()
        }
        if (self.study.direction == optuna.study.StudyDirection.MAXIMIZE) != self.maximize:
            there = "minimized" if self.maximize else "maximized"
            raise ValueError(f"the search {self.name!r} in this storage is {there}.")
        theirs = self.study.user_attrs.get(SPACE)
        if theirs is None:
            self.study.set_user_attr(SPACE, ours)
        elif theirs != ours:
            names = sorted(name for name in {*ours, *theirs} if ours.get(name) != theirs.get(name))
            raise ValueError(
                f"the search {self.name!r} in this storage has another space: {', '.join(names)} "
                "differ. Give another storage or another name=."
            )


def _void(trial: Any) -> bool:
    return trial.state == _State.FAIL and VOID in trial.system_attrs


def _lost(trial: Any) -> bool:
    return _void(trial) and trial.system_attrs[VOID] != "surplus"


def _over(trial: Any) -> bool:
    return bool(trial.state.is_finished())


def _ticket(trial: Any) -> str | None:
    """What a trial was queued for; of a lost one, what its repetition is queued for."""
    ticket: str | None = trial.system_attrs.get(TICKET)
    return f"{AGAIN}{trial.number}" if ticket is None and _lost(trial) else ticket
