"""What a fit was asked for, checked."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.optim import LBFGS, Optimizer
from torch.optim.lr_scheduler import LRScheduler, ReduceLROnPlateau
from torch.utils import _pytree as pytree

from amphid.learning.fitting.history import Callback
from amphid.learning.fitting.stopping import EarlyStopping, watched
from amphid.learning.fitting.stretches import Stretches
from amphid.learning.gradients.estimator import Estimator
from amphid.learning.gradients.objective import Criterion, Objective, Params, Penalty
from amphid.models.evaluating import evaluating

Batch = tuple[Any, Any]
Batches = Iterable[Batch] | Callable[[int], Iterable[Batch]]
Validate = Iterable[Batch] | Callable[[nn.Module], float | Tensor | Mapping[str, float | Tensor]]


@dataclass(frozen=True)
class EachUpdate:
    """A schedule of torch that steps after every update rather than every epoch."""

    schedule: LRScheduler


@dataclass(frozen=True, eq=False)
class Plan:
    """What a fit was asked for."""

    model: nn.Module
    batches: Batches
    loss: Criterion
    optimizer: Optimizer
    estimator: Estimator
    epochs: int
    validate: Validate | None
    schedule: LRScheduler | EachUpdate | None
    callbacks: Sequence[Callback]
    accumulate: int
    penalties: Sequence[Penalty]
    early_stopping: EarlyStopping | None
    checkpoint_every: int | None
    dt: float | None
    stretches: Stretches | None

    def check(self) -> None:
        """Raise ValueError or TypeError for what cannot be."""
        if not isinstance(self.model, nn.Module):
            raise TypeError(f"model must be an nn.Module, got {type(self.model).__name__}.")
        if isinstance(self.model, DistributedDataParallel):
            raise TypeError(
                "model is wrapped in DistributedDataParallel, whose averaging fit goes past: give "
                "the model itself, and estimator=Averaged(Backprop())."
            )
        if not isinstance(self.optimizer, Optimizer):
            raise TypeError(
                "optimizer must be one of torch.optim, made for the model's parameters, got "
                f"{self.optimizer!r}."
            )
        if isinstance(self.optimizer, LBFGS):
            raise TypeError(
                "optimizer LBFGS asks for the loss several times in a step, which fit does not "
                "do: take a first-order one such as torch.optim.Adam."
            )
        self._check_parts()
        if isinstance(self.batches, Iterator):
            raise TypeError(
                "batches must be walked through once an epoch, but this is an iterator that is "
                "used up by the first: give a list, a DataLoader, or a function of the epoch that "
                "makes one."
            )
        for name in ("epochs", "accumulate", "checkpoint_every"):
            value, least = getattr(self, name), 0 if name == "epochs" else 1
            if value is not None and (type(value) is not int or value < least):
                raise ValueError(f"{name} must be a number, at least {least}, got {value!r}.")

    def _check_parts(self) -> None:
        """Raise TypeError or ValueError for classes, names and lone things in the wrong place."""
        check_called("loss", self.loss, "nn.functional.cross_entropy")
        check_called("estimator", self.estimator, "Backprop()")
        for callback in self.callbacks:
            check_called("each of callbacks", callback, "a function of a Progress")
        for penalty in self.penalties:
            if isinstance(penalty, type) or not hasattr(penalty, "watches"):
                raise TypeError(f"penalties must be ones such as L2(1e-4), got {penalty!r}.")
        stopping = self.early_stopping
        if stopping is not None and not isinstance(stopping, EarlyStopping):
            raise TypeError(f"early_stopping must be EarlyStopping(...), got {stopping!r}.")
        self._check_stretches()
        schedule = self.schedule
        schedule = schedule.schedule if isinstance(schedule, EachUpdate) else schedule
        if schedule is not None and not isinstance(schedule, LRScheduler):
            raise TypeError(
                "schedule must be one of torch.optim.lr_scheduler, made for the optimizer, or "
                f"EachUpdate of one, got {schedule!r}."
            )
        if getattr(schedule, "optimizer", self.optimizer) is not self.optimizer:
            raise ValueError("schedule is of another optimizer: make it for the one given here.")

    def _check_stretches(self) -> None:
        if self.stretches is None:
            return
        if not isinstance(self.stretches, Stretches):
            raise TypeError(f"stretches must be Stretches(steps), got {self.stretches!r}.")
        self.stretches.check(self.model)

    def params(self) -> Params:
        """The parameters that the optimizer trains, by their names in the model."""
        named = {id(p): name for name, p in self.model.named_parameters()}
        trained = [p for group in self.optimizer.param_groups for p in group["params"]]
        if strangers := [p for p in trained if id(p) not in named]:
            raise ValueError(
                f"optimizer trains {len(strangers)} parameters that are not the model's: make it "
                "of model.parameters(), after the model was moved or changed."
            )
        found = {named[id(p)]: p for p in trained if p.requires_grad}
        if not found:
            raise ValueError("optimizer trains no parameter of the model that asks for a gradient.")
        return found

    @property
    def device(self) -> torch.device:
        """Where the model is."""
        return next(iter(self.params().values())).device

    def walk(self, epoch: int) -> Iterator[Batch]:
        """The batches of an epoch."""
        return iter(self.batches(epoch) if callable(self.batches) else self.batches)

    def objective(self, batch: Any, device: torch.device, *, penalized: bool = True) -> Objective:
        """The loss on a batch."""
        if not isinstance(batch, (tuple, list)) or len(batch) != 2:
            raise TypeError(
                f"a batch must be a pair (inputs, targets), got {type(batch).__name__}"
                + (f" of {len(batch)}." if isinstance(batch, (tuple, list)) else ".")
            )
        inputs, targets = pytree.tree_map_only(Tensor, lambda x: x.to(device), tuple(batch))
        penalties = self.penalties if penalized else ()
        return Objective(self.model, inputs, targets, self.loss, penalties, self.dt)

    def validated(self, device: torch.device) -> dict[str, float]:
        """What validation says of the model as it is."""
        if self.validate is None:
            return {}
        with evaluating(self.model), torch.no_grad():
            return self._measured(self.validate, device)

    def _measured(self, validate: Validate, device: torch.device) -> dict[str, float]:
        if callable(validate):
            said = validate(self.model)
            said = said if isinstance(said, Mapping) else {"validation": said}
            return {name: float(value) for name, value in said.items()}
        values = [
            float(self.objective(batch, device, penalized=False)({}).mean()) for batch in validate
        ]
        if not values:
            raise ValueError("validate gave no batch: give a list, a DataLoader or a function.")
        return {"validation": sum(values) / len(values)}

    def scheduled(self, row: Mapping[str, float] | None) -> None:
        """Step the schedule, after an epoch that gave `row` or after an update."""
        each = isinstance(self.schedule, EachUpdate)
        schedule = (
            self.schedule.schedule if isinstance(self.schedule, EachUpdate) else self.schedule
        )
        if schedule is None or each != (row is None):
            return
        if isinstance(schedule, ReduceLROnPlateau):
            if row is None:
                raise TypeError(
                    "ReduceLROnPlateau steps once an epoch: give it without EachUpdate."
                )
            schedule.step(watched(row, None))
        else:
            schedule.step()

    def stateful(self) -> dict[str, Any]:
        """What besides the model has a state to resume, by name."""
        schedule = (
            self.schedule.schedule if isinstance(self.schedule, EachUpdate) else self.schedule
        )
        parts = {"optimizer": self.optimizer, "schedule": schedule, "estimator": self.estimator}
        return {name: part for name, part in parts.items() if hasattr(part, "state_dict")}

    def described(self) -> dict[str, Any]:
        """What must be the same for a checkpoint to be resumed."""
        parameters = {name: list(p.shape) for name, p in self.params().items()}
        return {
            "optimizer": type(self.optimizer).__name__,
            "schedule": type(self.schedule).__name__,
            "accumulate": self.accumulate,
            "parameters": parameters,
            "stretches": None if self.stretches is None else repr(self.stretches),
        }


def check_called(name: str, given: object, such: str) -> None:
    """Raise TypeError for what cannot be called, or is a class that nothing was made of."""
    if isinstance(given, type) or not callable(given):
        got = f"the class {given.__name__}" if isinstance(given, type) else repr(given)
        raise TypeError(f"{name} must be such as {such}, got {got}.")


def several(name: str, given: object) -> tuple[Any, ...]:
    """What was given as a tuple or list; TypeError for one thing by itself."""
    if not isinstance(given, list | tuple):
        raise TypeError(f"{name} must be a tuple or list, got {given!r}: one is written (one,).")
    return tuple(given)
