"""Search: propose settings, try them, keep what came of it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from amphid.learning.searching.findings import Found
from amphid.learning.searching.samplers import TPE, Grid, Sampler
from amphid.learning.searching.space import Space, check_space
from amphid.learning.searching.trial import Trial

if TYPE_CHECKING:
    from optuna.pruners import BasePruner
    from optuna.samplers import BaseSampler
    from optuna.storages import BaseStorage

Objective = Callable[[Trial], Any]
Progress = Callable[[int, int | None], None]


def search(
    objective: Objective,
    space: Space,
    *,
    trials: int | None = None,
    sampler: Sampler | BaseSampler = TPE(),  # noqa: B008  frozen
    pruner: BasePruner | None = None,
    storage: str | Path | BaseStorage | None = None,
    name: str = "search",
    maximize: bool = False,
    catch: tuple[type[Exception], ...] = (),
    attempts: int = 3,
    patience: float = 60.0,
    progress: Progress | None = None,
) -> Found:
    """Try settings of a space until so many trials are finished, and return what was found.

    objective: maps a `Trial`, a mapping of settings, to one number, the smaller the better. Where
        it calls `trial.report(value)` now and then, a poor trial can be stopped early.
    space: a dictionary of `Uniform`, `LogUniform`, `Integers` and `Choice`.
    trials: how many are to be finished: complete, pruned or failed. Needed except for a `Grid`,
        which is done when every point is.
    sampler: `Grid()`, `Random()`, `TPE()`, `GP()`, or one of Optuna's, which then keeps its own
        seed. pruner: one of Optuna's, such as `optuna.pruners.MedianPruner()`; none when None.
    storage: where trials are kept: a file, any database as a URL ("sqlite:///search.db"), or a
        storage of Optuna; memory when None. Calls with the same storage and `name` work on the same
        search, one after the other (it is resumed) or at the same time, in any number of processes
        and on any machines that see it; `trials` counts what all of them have finished together,
        and each returns once that many are.
    maximize: whether larger is better.
    catch: exceptions of the objective that make a trial fail; others end the search and leave
        their trial to be repeated.
    attempts: how often a trial is taken up whose process died or raised, before it counts as
        failed. patience: seconds without a sign of life until a process counts as dead where the
        storage is no file; with a file it is known at once.
    progress: hears how many trials are finished, and of how many.

    A trial whose objective gives nan has failed. What is tried depends on the seed of the sampler
    and on what was found alone: in one process a search gives the same bit for bit, interrupted and
    resumed or not.

    Needs the extra `search`. Raises ValueError for a storage that holds the same search with
    another space or direction, or that is damaged.
    """
    check_space(space)
    _check_trials(trials, sampler, attempts)
    if not callable(objective):
        raise TypeError(f"objective must be a function of a trial, got {objective!r}.")
    if trials is None and isinstance(sampler, Grid):
        trials = sampler.size(space)
    assert trials is not None
    if isinstance(sampler, Grid):
        trials = min(trials, sampler.size(space))
    from amphid.learning.searching.optuna_found import quiet
    from amphid.learning.searching.storages import opened
    from amphid.learning.searching.worker import Worker

    with quiet():
        place, lease = opened(storage, patience)
        with lease:
            worker = Worker(
                place, lease, space, sampler, pruner, name=name, maximize=maximize, trials=trials
            )
            worker.attempts, worker.catch = attempts, catch
            worker.run(objective, progress)
            return worker.found()


def found(
    storage: str | Path | BaseStorage,
    space: Space,
    *,
    name: str = "search",
    maximize: bool = False,
) -> Found:
    """What a search has found so far, while others may be working on it.

    storage, space, name, maximize: as given to `search`. Raises FileNotFoundError or ValueError
    when there is no such search, and ValueError for another space.
    """
    check_space(space)
    named = isinstance(storage, Path) or (isinstance(storage, str) and "://" not in storage)
    if named and not Path(str(storage)).exists():
        raise FileNotFoundError(f"there is no search in {storage}.")
    from amphid.learning.searching.optuna_found import quiet
    from amphid.learning.searching.storages import opened
    from amphid.learning.searching.worker import Worker

    with quiet():
        place, lease = opened(storage, 60.0)
        return Worker(place, lease, space, TPE(), None, name=name, maximize=maximize).found()


def _check_trials(trials: object, sampler: object, attempts: object) -> None:
    if trials is None and not isinstance(sampler, Grid):
        raise TypeError("search needs trials=: how many trials are to be finished.")
    for what, count in (("trials", trials), ("attempts", attempts)):
        if count is not None and (
            not isinstance(count, int) or isinstance(count, bool) or count < 1
        ):
            raise ValueError(f"{what} must be a whole number, 1 or more, got {count!r}.")
