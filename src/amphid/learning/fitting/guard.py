"""Whether the updates of a fit go the way they should: a flipped sign is found within few steps."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import astuple, dataclass, field, replace
from typing import Any

import torch
from torch import distributed

from amphid.learning.fitting.draws import Draws, States
from amphid.learning.fitting.plan import Plan
from amphid.learning.fitting.signs import check_loss, check_penalty, check_steps
from amphid.learning.fitting.tally import Tally
from amphid.learning.gradients.objective import Criterion, Mean, Objective, Params, Penalty

LOSS, UPDATES = "the loss", "the updates"
LONGEST = 2**20  # updates between two checks
NEVER = 2**62  # where all is decided
ROUNDING = 1e3  # in units of the last place, of all that is added up
UP = "fit lowers its loss: what should go up is learning.Reward(criterion)."
OFF = "guard=None fits without this check."


@dataclass(frozen=True)
class DirectionGuard:
    r"""Stops a fit in which a sign is flipped, by a sentence, within the first steps.

    The update that was applied should go against the gradient g that the estimator gave, and
    against g the loss should fall, on the same batch with the same random numbers, as far as the
    update went: :math:`L(\theta - sg) < L(\theta + sg)`, from which curvature cancels. Each penalty
    should fall against what it adds to g. A step says little, more where the change is as large as
    g foretold, so steps are counted until a sequential test decides. It stops a fit in which steps
    up and down are equally likely with a chance of `alarm`, and leaves off for good after about
    five steps of a fit in good order, with two forwards each in the first two or more. Parameters,
    random numbers and buffers are not touched. Over several processes penalties are not looked at.

    raises, lowers: witnesses: functions of (outputs, targets), such as a reward or an error count,
        that should go up or down while the loss goes down. They find a flipped sign in the loss
        itself. alarm: see above.
    signs: look, at the first update, whether the loss is lower for outputs towards the targets
        than away from them, where both have a shape that tells, and that no penalty is negative.

    Reference: Wald 1945, doi 10.1214/aoms/1177731118 (the test); Ziegler et al. 2019, doi
    10.48550/arXiv.1909.08593, section 4.4 (a reward and a penalty that changed sign unnoticed).
    """

    raises: Sequence[Criterion] = ()
    lowers: Sequence[Criterion] = ()
    alarm: float = 1e-3
    signs: bool = True

    def __post_init__(self) -> None:
        for name in ("raises", "lowers"):
            given = getattr(self, name)
            if not isinstance(given, list | tuple) or not all(map(callable, given)):
                raise TypeError(
                    f"{name} must be a tuple of functions of (outputs, targets), got {given!r}."
                )
        if not 0 < self.alarm < 1:
            raise ValueError(f"alarm must be a chance between 0 and 1, got {self.alarm!r}.")


@dataclass(frozen=True, eq=False)
class Before:
    """What stood before an update."""

    params: Params
    drawn: States
    remembered: Any  # of the estimator


@dataclass
class Watch:
    """A guard at work in a fit."""

    guard: DirectionGuard | None
    plan: Plan
    draws: Draws
    tallies: dict[str, Tally] = field(default_factory=dict)
    due: int = 0  # update after which the next check is made
    wait: int = 1  # updates between checks, longer after one that showed nothing

    def __post_init__(self) -> None:
        if self.guard is not None:
            names = [LOSS, UPDATES, *self._witnesses(), *self._penalties()]
            self.tallies = {name: Tally() for name in names}

    def before(self, update: int) -> Before | None:
        """What to keep of the state before an update; None where it will not be checked."""
        if self.guard is None:
            return None
        check_steps(self.plan.optimizer)
        if update < self.due:
            return None
        params = {name: held.detach().clone() for name, held in self.plan.params().items()}
        return Before(params, self.draws.now(), copy.deepcopy(self._remembered()))

    def check(self, before: Before, loss: Objective | Mean, gradients: Params, update: int) -> None:
        """Look where an update went. Raises ValueError where too many went the wrong way."""
        assert self.guard is not None
        with self._aside(), torch.no_grad():
            if self.guard.signs and not update:
                self._again(before)
                check_loss(loss.parts[0], before.params)
            showed = self._followed(before, gradients)
            showed |= self._along(before, loss, gradients)
            showed |= self._against(before, loss, gradients)
        self.wait = 1 if showed else min(2 * self.wait, LONGEST)
        self.due = update + self.wait if self.open(self.tallies) else NEVER
        for name in self.tallies:
            if self.tallies[name].flipped(self.guard.alarm):
                raise ValueError(self._said(name, update))

    def open(self, names: Mapping[str, Tally] | Sequence[str]) -> bool:
        """Whether any of these is not decided yet."""
        assert self.guard is not None
        return any(self.tallies[name].open(self.guard.alarm) for name in names)

    def state_dict(self) -> dict[str, Any]:
        """What it has seen."""
        seen = {name: list(astuple(own)) for name, own in self.tallies.items()}
        return {"seen": seen, "due": self.due, "wait": self.wait}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Have seen that."""
        seen = {name: Tally(*counts) for name, counts in state["seen"].items()}
        self.tallies |= {name: own for name, own in seen.items() if name in self.tallies}
        self.due, self.wait = int(state["due"]), int(state["wait"])

    def _witnesses(self) -> dict[str, tuple[int, Criterion]]:
        """Functions by name, each with the sign that it has where it should fall."""
        assert self.guard is not None
        signed = [(-1, one) for one in self.guard.raises] + [(1, one) for one in self.guard.lowers]
        return {f"witness {k}, {_name(one)}": (sign, one) for k, (sign, one) in enumerate(signed)}

    def _penalties(self) -> dict[str, Penalty]:
        return {f"penalty {k}, {_name(own)}": own for k, own in enumerate(self.plan.penalties)}

    def _followed(self, before: Before, gradients: Params) -> bool:
        """Count whether the update goes against the gradient, weight decay of torch included."""
        after = self.plan.params()
        change = {name: after[name].detach() - held for name, held in before.params.items()}
        slope = _product(gradients, change) + _product(self._decay(before.params), change)
        return self._count({UPDATES: slope}, {UPDATES: 0.0}, {})

    def _along(self, before: Before, loss: Objective | Mean, gradients: Params) -> bool:
        """Count whether loss and witnesses fall against the gradient, as far as the update went."""
        if not self.open([LOSS, *self._witnesses()]):
            return False
        far, ends = self._far(before, gradients), []
        for step in (-far, far):
            self._again(before)
            ends.append(self._values(loss, _moved(before.params, gradients, step)))
        here, there = ends
        return self._count(here, there, {LOSS: 2 * far * _product(gradients, gradients)})

    def _far(self, before: Before, way: Params) -> float:
        """What to multiply a direction with to go as far as the update."""
        after = {name: held.detach() for name, held in self.plan.params().items()}
        return _norm(_less(after, before.params)) / (_norm(way) or math.inf)

    def _count(
        self, here: Mapping[str, float], there: Mapping[str, float], told: Mapping[str, float]
    ) -> bool:
        """Count what is not decided yet; whether anything differs."""
        undecided = [name for name in here if self.open([name])]
        counted = [
            self.tallies[name].count(here[name], there[name], told.get(name, math.nan))
            for name in undecided
        ]
        return any(counted)

    def _values(self, loss: Objective | Mean, params: Params) -> dict[str, float]:
        """What should fall, by name."""
        found = dict.fromkeys([LOSS, *self._witnesses()], 0.0)
        for part in loss.parts:
            outputs, ear = part.outputs(params)
            found[LOSS] += float(part.judged(outputs, params, ear).mean()) / len(loss.parts)
            for name, (sign, one) in self._witnesses().items():
                value = torch.as_tensor(one(outputs, part.targets)).double().mean()
                found[name] += sign * float(value) / len(loss.parts)
        return found

    def _decay(self, params: Params) -> Params:
        """The gradient of the weight decay that an optimizer has of its own."""
        place = {id(held): name for name, held in self.plan.params().items()}
        return {
            place[id(p)]: float(group.get("weight_decay", 0.0)) * params[place[id(p)]]
            for group in self.plan.optimizer.param_groups
            for p in group["params"]
            if id(p) in place
        }

    def _against(self, before: Before, loss: Objective | Mean, gradients: Params) -> bool:
        """Count whether each penalty falls against what it adds to the gradient."""
        if distributed.is_available() and distributed.is_initialized():
            return False  # the estimator may wait for other processes, which may not ask it
        showed = False
        for place, (name, penalty) in enumerate(self._penalties().items()):
            if self.open([name]):
                added = self._added(before, loss, gradients, place)
                showed |= self._counted(name, before, loss, penalty, added)
        return showed

    def _counted(
        self, name: str, before: Before, loss: Objective | Mean, penalty: Penalty, added: Params
    ) -> bool:
        """Count whether a penalty falls against this; as far as the update went."""
        assert self.guard is not None
        far = self._far(before, added)
        here, there = (
            self._penalized(before, loss, penalty, _moved(before.params, added, step))
            for step in (-far, far)
        )
        if self.guard.signs and not self.tallies[name].total:
            check_penalty(penalty, (here + there) / 2)
        return self._count({name: here}, {name: there}, {name: 2 * far * _product(added, added)})

    def _added(
        self, before: Before, loss: Objective | Mean, gradients: Params, place: int
    ) -> Params:
        """What a penalty adds to the gradient; nothing where rounding could have made it."""
        self._again(before)
        self._remember(before.remembered)
        with torch.enable_grad():
            leaves = {name: held.clone().requires_grad_() for name, held in before.params.items()}
            _, without = self.plan.estimator(_without(loss, place), leaves)
        added = _less(gradients, without)
        rounding = ROUNDING * max(torch.finfo(held.dtype).eps for held in added.values())
        return added if _norm(added) > rounding * _norm(gradients) else _less(added, added)

    def _penalized(
        self, before: Before, loss: Objective | Mean, penalty: Penalty, params: Params
    ) -> float:
        if not penalty.watches:
            return float(penalty(params, {}))
        self._again(before)
        heard = [part.outputs(params)[1].heard for part in loss.parts]
        return sum(float(penalty(params, own)) for own in heard) / len(heard)

    def _again(self, before: Before) -> None:
        """Draw what the update drew."""
        self.draws.drawn()
        self.draws.put(before.drawn)

    @contextmanager
    def _aside(self) -> Iterator[None]:
        """A block that leaves random numbers, buffers and the estimator as they are."""
        drawn, remembered = self.draws.now(), copy.deepcopy(self._remembered())
        buffers = [(held, held.clone()) for held in self.plan.model.buffers()]
        try:
            yield
        finally:
            self.draws.drawn()
            self.draws.put(drawn)
            self._remember(remembered)
            with torch.no_grad():
                for held, was in buffers:
                    held.copy_(was)

    def _remembered(self) -> Any:
        asked = self._penalties() and hasattr(self.plan.estimator, "state_dict")
        return self.plan.estimator.state_dict() if asked else None  # type: ignore[attr-defined]

    def _remember(self, state: Any) -> None:
        if state is not None:
            self.plan.estimator.load_state_dict(copy.deepcopy(state))  # type: ignore[attr-defined]

    def _said(self, name: str, update: int) -> str:
        own = self.tallies[name]
        steps = f"in {own.wrong} of {own.total} steps, the last of them update {update}"
        if name == LOSS:
            said = (
                f"{name} rises against its gradient, along which it should fall, {steps}: a sign "
                "is flipped in the estimator or in the derivative of a surrogate."
            )
        elif name == UPDATES:
            said = (
                f"{name} go along the gradient, against which they should go, {steps}: a sign is "
                f"flipped in the optimizer. {UP}"
            )
        elif name in self._penalties():
            said = (
                f"{name}, rises against what it adds to the gradient, {steps}: the estimator "
                "gives its gradient with a flipped sign, or the loss subtracts it."
            )
        else:
            does = "falls" if self._witnesses()[name][0] < 0 else "rises"
            said = f"{name}, {does} while the loss goes down, and should not, {steps}: "
            said += f"the sign of the loss is flipped. {UP}"
        return f"{said} The parameters are those after that update. {OFF}"


def _without(loss: Objective | Mean, place: int) -> Objective | Mean:
    """The same loss without one of its penalties."""
    parts = tuple(
        replace(part, penalties=[*part.penalties[:place], *part.penalties[place + 1 :]])
        for part in loss.parts
    )
    return parts[0] if len(parts) == 1 else Mean(parts)


def _moved(params: Params, by: Params, step: float) -> Params:
    return {name: held + step * by[name] for name, held in params.items()}


def _less(one: Params, other: Params) -> Params:
    return {name: held - other[name] for name, held in one.items()}


def _product(one: Params, other: Params) -> float:
    return sum(float((held * other[name]).double().sum()) for name, held in one.items())


def _norm(params: Params) -> float:
    return math.sqrt(_product(params, params))


def _name(one: object) -> str:
    return str(getattr(one, "__name__", type(one).__name__))
