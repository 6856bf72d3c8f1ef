"""The loss of a model on a batch, as a pure function of its parameters."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor, nn
from torch.func import functional_call

from amphid.learning.gradients.factored import Factored
from amphid.learning.gradients.start import Start
from amphid.learning.watching import cells_of, overheard
from amphid.models.sequential import as_chain

Params = dict[str, Tensor]
Loss = Callable[[Params], Tensor]
Criterion = Callable[[Any, Any], Tensor]


class Activity(NamedTuple):
    """What the cells of one layer gave out over a sequence."""

    total: Tensor  # summed over time [*B, N], differentiable
    steps: int
    dt: float  # ms

    @property
    def rate(self) -> Tensor:
        """Mean rate [*B, N] in Hz of cells that spike."""
        return self.total * (1000.0 / (self.steps * self.dt))


class Penalty(Protocol):
    """A number that is added to the loss."""

    @property
    def watches(self) -> bool:
        """Whether it looks at what hidden cells give out."""

    def __call__(self, params: Mapping[str, Tensor], activity: Mapping[str, Activity]) -> Tensor:
        """The number, of trained parameters by name and the activity of cells by name."""


class Ear:
    """Gathers the activity of cells while a model runs."""

    def __init__(self, dt: float) -> None:
        self.dt = dt
        self.heard: dict[str, Activity] = {}

    def __call__(self, name: str, module: nn.Module, given: Any) -> None:
        """Take in what a module gave out [T, *B, N]."""
        self.take(name, Activity(given.sum(0), len(given), self.dt))

    def take(self, name: str, more: Activity) -> None:
        """Add what was heard in a stretch of time."""
        if (before := self.heard.get(name)) is not None:
            more = Activity(before.total + more.total, before.steps + more.steps, self.dt)
        self.heard[name] = more


@dataclass(frozen=True, eq=False)
class Objective:
    """The loss of a model on one batch, and penalties, as a function of parameters by name.

    model: called as `model(inputs)`, or `model(inputs, dt=dt)` where dt is given.
    inputs, targets: of the batch. loss: `loss(outputs, targets)`, a scalar, or one entry for each
        owner: an output, an example, a stretch of time.
    penalties: added to the loss, to each owner alike. dt: ms per step.
    fixed: parameters that stand for those of the model wherever they are not given.
    start: where the model starts, of a stretch of a sequence; then `model.run` is called.
    sharing: who computes the losses of a population together with others.

    It is pure: parameters that are not given are those of the model, which is not changed. Buffers
    that a layer moves in its forward, such as the averages of batch norm, do move.
    """

    model: nn.Module
    inputs: Any
    targets: Any
    loss: Criterion
    penalties: Sequence[Penalty] = ()
    dt: float | None = None
    fixed: Mapping[str, Tensor] = field(default_factory=dict)
    start: Start | None = None
    sharing: Any = None

    def __call__(self, params: Mapping[str, Tensor]) -> Tensor:
        """The loss at these parameters."""
        outputs, ear = self.outputs(params)
        return self.judged(outputs, params, ear)

    def outputs(self, params: Mapping[str, Tensor]) -> tuple[Any, Ear]:
        """What the model gives out at these parameters, and what was heard of its cells."""
        with self.listening() as ear:
            if (given := self._straight(params)) is not None:
                return given, ear
            if self.start is not None:
                return self._onward(self.start, params), ear
            held = {**self.fixed, **params}
            return functional_call(self.model, held, (self.inputs,), self.timing), ear

    def _straight(self, params: Mapping[str, Tensor]) -> Tensor | None:
        """The outputs of a model that is a chain, where a gradient is asked for."""
        if self.start is not None or not torch.is_grad_enabled():
            return None
        if (way := as_chain(self.model, self.inputs, self.dt, back=True)) is None:
            return None
        return way.differentiable(self.inputs, {**self.fixed, **params})

    def _onward(self, start: Start, params: Mapping[str, Tensor]) -> Any:
        named = dict(self.model.named_parameters())
        own = not self.fixed and all(held is named.get(name) for name, held in params.items())
        outputs, after = self.within(params, self.run)
        if own:
            start.reached(after)
        return outputs

    def run(self) -> tuple[Any, Any]:
        """What the model makes of the inputs, from where it starts, and the state after them."""
        state = None if self.start is None else self.start.state
        result: tuple[Any, Any] = self.model.run(self.inputs, state, **self.timing)  # type: ignore[operator]
        return result

    def within(self, held: Mapping[str, Tensor], work: Callable[..., Any], *given: Any) -> Any:
        """What `work(*given)` gives while the model has these parameters and buffers."""
        return within(self.model, {**self.fixed, **held}, work, *given)

    def population(
        self, members: Mapping[str, Tensor | Factored], chunk: int | None = None
    ) -> Tensor:
        """Losses [S, *owners] of S members, each [S, *shape], side by side; without gradients.

        Parameters that are not given are those of the objective. All members see the same random
        numbers, and generators are left where one evaluation leaves them; buffers that a forward
        moves move at least once. What `torch.func.vmap` cannot follow is done one by one.
        chunk: how many are evaluated at a time; as many as fit in some memory when None.
        Raises ValueError for members that do not go with one another or with the parameters.
        """
        from amphid.learning.gradients.members import losses_together

        return losses_together(self, members, chunk)

    @property
    def timing(self) -> dict[str, Any]:
        """The argument dt, where it was given."""
        return {} if self.dt is None else {"dt": self.dt}

    @property
    def parts(self) -> tuple[Objective, ...]:
        """Objectives whose mean it is."""
        return (self,)

    def listening(self) -> Listening:
        """A block in which the activity of the cells is gathered, where a penalty asks for it."""
        return Listening(self)

    def judged(self, outputs: Any, params: Mapping[str, Tensor], ear: Ear) -> Tensor:
        """The loss of these outputs with the penalties on top of it."""
        try:
            value = self.loss(outputs, self.targets)
        except Exception as error:
            if isinstance(outputs, Tensor) and isinstance(self.targets, Tensor):
                error.add_note(
                    f"in the loss, for outputs {list(outputs.shape)} of {outputs.dtype} and "
                    f"targets {list(self.targets.shape)} of {self.targets.dtype}; inputs are "
                    "[T, *B, N], time first"
                )
            raise
        if not isinstance(value, Tensor):
            raise TypeError(f"loss must give a tensor, got {type(value).__name__}.")
        for penalty in self.penalties:
            value = value + penalty({**self.fixed, **params}, ear.heard)
        return value


def within(
    model: nn.Module, held: Mapping[str, Tensor], work: Callable[..., Any], *given: Any
) -> Any:
    """What `work(*given)` gives while the model has other parameters and buffers."""
    named = {f"model.{name}": value for name, value in held.items()}
    return functional_call(_Working(model, work), named, given)


class _Working(nn.Module):
    """Does any work where torch calls `forward`."""

    def __init__(self, model: nn.Module, work: Callable[..., Any]) -> None:
        super().__init__()
        self.model, self.work = model, work

    def forward(self, *given: Any) -> Any:
        return self.work(*given)


class Listening:
    """Context in which the cells of an objective's model are overheard, if anybody asks."""

    def __init__(self, objective: Objective) -> None:
        watched = any(penalty.watches for penalty in objective.penalties)
        self.ear = Ear(1.0 if objective.dt is None else objective.dt)
        model = objective.model
        self.context = overheard(cells_of(model), self.ear) if watched else nullcontext()

    def __enter__(self) -> Ear:
        self.context.__enter__()
        return self.ear

    def __exit__(self, *error: Any) -> None:
        self.context.__exit__(*error)


@dataclass(frozen=True, eq=False)
class Mean:
    """Mean of the losses of several batches: one large batch in several parts.

    An estimator may take it as one loss, or go part by part through `parts` to save memory. Owners
    must be the same in every part.
    """

    parts: tuple[Objective, ...] = field(default_factory=tuple)

    def __call__(self, params: Params) -> Tensor:
        """The mean at these parameters."""
        return self._mean([part(params) for part in self.parts])

    def population(
        self, members: Mapping[str, Tensor | Factored], chunk: int | None = None
    ) -> Tensor:
        """The mean of the losses [S, *owners] of S members, see `Objective.population`."""
        return self._mean([part.population(members, chunk) for part in self.parts])

    def _mean(self, values: list[Tensor]) -> Tensor:
        if len({value.shape for value in values}) > 1:
            shapes = ", ".join(str(list(value.shape)) for value in values)
            raise ValueError(
                f"the parts of a batch must have the same owners, got losses of shapes {shapes}. "
                "Take batches of one size, or a loss that gives a scalar."
            )
        return torch.stack(values).mean(0)
