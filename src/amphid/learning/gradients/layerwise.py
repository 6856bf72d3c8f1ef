"""Gradients layer by layer: signals come down a stack, and each layer of cells makes its own."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from amphid.learning.gradients.blocks import Block, split
from amphid.learning.gradients.estimator import check_objective, gradients_of, leaf, over_parts
from amphid.learning.gradients.feedback import Feedback, SymmetricFeedback, aligned
from amphid.learning.gradients.objective import Activity, Ear, Loss, Objective, Params
from amphid.learning.gradients.sections import applied


class Passage(NamedTuple):
    """A sequence that went through one block of cells, and what came back to it."""

    block: Block
    arriving: Tensor  # at the linear map [T, *B, M], with the graph to `below`
    given: Tensor  # by the cells [T, *B, N]
    signal: Tensor  # dE / dz of the cells [T, *B, N]
    below: Tensor | None  # given by the cells of the block below; None for the lowest
    dt: float  # ms

    def down(self, reached: Tensor, signal: Tensor) -> Tensor | None:
        """The signal for the cells below, of a signal at what they reached; None at the bottom."""
        if self.below is None:
            return None
        (found,) = torch.autograd.grad(reached, self.below, signal)
        return found


class Layerwise(ABC):
    """An estimator that goes through a stack of layers of cells from the top. Abstract.

    feedback: by which weights learning signals come down through each `Linear`:
        `SymmetricFeedback()`, `RandomFeedback(generator)` or `AdaptiveFeedback(...)`.
    """

    kinds: tuple[str, ...] = ("linear", "back", "neuron")
    """The kinds of things of a block that it trains."""

    def __init__(self, feedback: Feedback | None = None) -> None:
        self.feedback = SymmetricFeedback() if feedback is None else feedback
        if isinstance(feedback, type) or not hasattr(self.feedback, "weights"):
            raise TypeError(
                f"feedback must be one such as RandomFeedback(generator), got {feedback!r}."
            )

    def __repr__(self) -> str:
        return f"{type(self).__name__}({type(self.feedback).__name__})"

    def __call__(self, loss: Loss, params: Params) -> tuple[Tensor, Params]:
        """The mean of the loss, and its gradients as far as this rule tells them."""
        leaves = {name: leaf(value) for name, value in params.items()}

        def one(part: Any) -> tuple[Tensor, Iterable[Tensor]]:
            objective = check_objective(part, type(self).__name__)
            with torch.enable_grad():
                return objective.within(leaves, self._found, objective, leaves)

        value, gradients = over_parts(loss, params, one)
        self.feedback.learn({name.removesuffix(".weight"): g for name, g in gradients.items()})
        return value, gradients

    def state_dict(self) -> dict[str, Tensor]:
        """What the feedback remembers."""
        return self.feedback.state_dict()

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Remember that."""
        self.feedback.load_state_dict(state)

    @abstractmethod
    def pass_down(self, passage: Passage, params: Params) -> tuple[Params, Tensor | None]:
        """Gradients of what a block learns, and the signal [T, *B, M] for the block below."""

    def learned(self, block: Block, params: Mapping[str, Tensor]) -> dict[str, tuple[str, str]]:
        """What of a block it trains: for each name the kind of thing it is, and its name there."""
        found = block.learned(params).items()
        return {name: what for name, what in found if what[0] in self.kinds}

    def _found(self, objective: Objective, params: Params) -> tuple[Tensor, list[Tensor]]:
        """Value and gradients of an objective whose model holds the parameters."""
        blocks, tail = split(objective.model, type(self).__name__)
        self._check_reached(blocks, tail, params)
        dt = 1.0 if objective.dt is None else objective.dt
        with aligned(_downward(blocks, tail), self.feedback):
            arriving, given = _forward(blocks, objective.inputs, dt)
            value = objective.judged(applied(tail, given[-1], dt), params, _ear(blocks, given, dt))
            value = value.mean()
            found = gradients_of(value, [*params.values(), *given])
            direct = dict(zip(params, found, strict=False))
            signals = list(found[len(params) :])
            for place in reversed(range(len(blocks))):
                below = given[place - 1] if place else None
                passage = Passage(
                    blocks[place], arriving[place], given[place], signals[place], below, dt
                )
                own, more = self.pass_down(passage, params)
                direct |= {name: direct[name] + gradient for name, gradient in own.items()}
                if more is not None:
                    signals[place - 1] = signals[place - 1] + more
        return value, list(direct.values())

    def _check_reached(self, blocks: list[Block], tail: nn.Sequential, params: Params) -> None:
        reached = {name for block in blocks for name in self.learned(block, params)}
        reached |= {name for name, _ in tail.named_parameters()}
        if lost := [name for name in params if name not in reached]:
            values = "values of neurons, " if "neuron" in self.kinds else ""
            raise ValueError(
                f"{type(self).__name__} cannot train {', '.join(lost)}: it trains Linear layers "
                f"right before cells, recurrent projections, {values}and what comes after the last "
                "cells that fire. Leave the others out of the optimizer."
            )


def _forward(blocks: list[Block], x: Tensor, dt: float) -> tuple[list[Tensor], list[Tensor]]:
    """What arrives at each block and what its cells give out, cut from the block below."""
    arriving, given = [], []
    for block in blocks:
        arriving.append(applied(block.before, x, dt))
        with torch.no_grad():
            x = block.forward(arriving[-1], dt)
        given.append(x := x.detach().requires_grad_())
    return arriving, given


def _ear(blocks: list[Block], given: list[Tensor], dt: float) -> Ear:
    ear = Ear(dt)
    for block, x in zip(blocks, given, strict=True):
        ear.take(block.name, Activity(x.sum(0), len(x), dt))
    return ear


def _downward(blocks: list[Block], tail: nn.Sequential) -> dict[str, nn.Linear]:
    """The linear maps through which learning signals come down."""
    found = {name: layer for name, layer in tail.named_modules() if isinstance(layer, nn.Linear)}
    return found | dict(block.linear for block in blocks[1:] if block.linear)
