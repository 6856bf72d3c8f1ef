"""Gradients carried forward in time, cell by cell: eligibility propagation."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from amphid.learning.gradients.blocks import Block, split
from amphid.learning.gradients.estimator import check_objective, gradients_of, leaf, over_parts
from amphid.learning.gradients.feedback import Feedback, SymmetricFeedback, aligned
from amphid.learning.gradients.objective import Activity, Ear, Loss, Objective, Params
from amphid.learning.gradients.sections import applied


class EProp:
    r"""Eligibility propagation: each weight remembers what it did, and an error tells what for.

    .. math:: \frac{dE}{dw_{ji}} \approx \sum_t L_j^t\, e_{ji}^t, \qquad
              e_{ji}^t = \frac{\partial z_j^t}{\partial h_j^t} \epsilon_{ji}^t, \qquad
              \epsilon_{ji}^t = \frac{\partial h_j^t}{\partial h_j^{t-1}} \epsilon_{ji}^{t-1}
              + \frac{\partial h_j^t}{\partial w_{ji}}

    with states h, outputs z of the cells, and learning signals :math:`L_j^t = dE / dz_j^t` that
    reach a cell through the layers above it, not through its neighbours. It is the gradient but
    for what one cell does to another through their recurrent connections: where there are none it
    is the gradient. The derivatives are those of the `step` of any neuron in which no cell sees
    another. Memory for the eligibilities does not grow with time: a number for each variable of
    the state, example, and weight.

    feedback: by which weights learning signals come down through each `Linear`:
        `SymmetricFeedback()`, `RandomFeedback(generator)` or `AdaptiveFeedback(...)`.

    The model is a `Sequential` in which each layer of cells that fire is a neuron, or recurrent
    with a projection that is a `Linear` or `Connections`, and may have a `Linear` before it, also
    with a `Gain` between: weights of these and values of the neurons are learned by eligibility.
    What comes after the last cells that fire, such as a readout, is differentiated as it is. Of
    several layers the upper ones carry signals down through time, with their recurrent connections
    cut.
    Reference: Bellec et al. 2020, doi 10.1038/s41467-020-17236-y.
    """

    def __init__(self, feedback: Feedback | None = None) -> None:
        self.feedback = SymmetricFeedback() if feedback is None else feedback

    def __repr__(self) -> str:
        return f"EProp({type(self.feedback).__name__})"

    def __call__(self, loss: Loss, params: Params) -> tuple[Tensor, Params]:
        """The mean of the loss, and its gradients as far as eligibilities tell them."""

        leaves = {name: leaf(value) for name, value in params.items()}

        def one(part: Any) -> tuple[Tensor, Iterable[Tensor]]:
            objective = check_objective(part, "EProp")
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

    def _found(self, objective: Objective, params: Params) -> tuple[Tensor, list[Tensor]]:
        """Value and gradients of an objective whose model holds the parameters."""
        blocks, tail = split(objective.model, "EProp")
        _check_reached(blocks, tail, params)
        dt = 1.0 if objective.dt is None else objective.dt
        with aligned(_downward(blocks, tail), self.feedback):
            arriving, given = _forward(blocks, objective.inputs, dt)
            value = objective.judged(applied(tail, given[-1], dt), params, _ear(blocks, given, dt))
            value = value.mean()
            found = gradients_of(value, [*params.values(), *given])
            direct = dict(zip(params, found, strict=False))
            signals = list(found[len(params) :])
            for place in range(len(blocks) - 1, 0, -1):
                upper = blocks[place].cut(arriving[place], given[place].detach(), dt)
                (more,) = torch.autograd.grad(upper, given[place - 1], signals[place])
                signals[place - 1] = signals[place - 1] + more
        with torch.no_grad():
            for place, block in enumerate(blocks):
                own = block.gradients(arriving[place], given[place], signals[place], params, dt)
                direct |= {name: direct[name] + gradient for name, gradient in own.items()}
        return value, list(direct.values())


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


def _check_reached(blocks: list[Block], tail: nn.Sequential, params: Params) -> None:
    reached = {name for block in blocks for name in block.learned(params)}
    reached |= {name for name, _ in tail.named_parameters()}
    if lost := [name for name in params if name not in reached]:
        raise ValueError(
            f"EProp cannot train {', '.join(lost)}: it trains Linear layers right before cells, "
            "recurrent projections, values of neurons, and what comes after the last cells that "
            "fire. Leave the others out of the optimizer."
        )
