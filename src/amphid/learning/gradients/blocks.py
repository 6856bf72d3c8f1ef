"""A stack of layers as blocks of cells, each with what leads into it, and what comes after them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from amphid.dynamics import Neuron
from amphid.learning.gradients.eligibility import Stepper, Trace
from amphid.learning.gradients.sections import stack
from amphid.learning.watching import fires


@dataclass(frozen=True, eq=False)
class Block:
    """Cells, what carries their own output back, and a linear map into them.

    before: layers below the linear map, which learn nothing. Names are those in the model.
    """

    name: str
    before: nn.Sequential
    linear: tuple[str, nn.Linear] | None
    neuron: tuple[str, Neuron[Any]]
    back: tuple[str, nn.Linear] | None
    cells: nn.Module  # the layer as it stands in the model

    def current(self, arriving: Tensor) -> Tensor:
        """Current into the cells [T, *B, N] in pA, but for their own."""
        return self.linear[1](arriving) if self.linear else arriving

    def forward(self, arriving: Tensor, dt: float) -> Tensor:
        """What the cells give out [T, *B, N] when this arrives at the linear map [T, *B, M]."""
        return self.cells(self.current(arriving), dt=dt)

    def cut(self, arriving: Tensor, given: Tensor, dt: float) -> Tensor:
        """The same where what the cells heard of themselves is taken as given."""
        return self.neuron[1](self.current(arriving) + self.own(given), dt=dt)

    def own(self, given: Tensor) -> Tensor | float:
        """Current [T, *B, N] in pA that the cells send themselves, of what they gave out."""
        return self.back[1](self.heard(given)) if self.back else 0.0

    def heard(self, given: Tensor) -> Tensor:
        """What the cells gave out one step before [T, *B, N]."""
        neuron = self.neuron[1]
        first = neuron.given(neuron.init(given[0])).expand(given[0].shape)
        return torch.cat((first[None], given[:-1]))

    def learned(self, params: Mapping[str, Tensor]) -> dict[str, tuple[str, str]]:
        """What of it is learned: for each name the kind of thing it is, and its own name there."""
        found = {}
        for kind, part in (("linear", self.linear), ("back", self.back), ("neuron", self.neuron)):
            if part is not None:
                for own, _ in part[1].named_parameters():
                    if f"{part[0]}.{own}" in params:
                        found[f"{part[0]}.{own}"] = (kind, own)
        return found

    def gradients(
        self,
        arriving: Tensor,
        given: Tensor,
        signal: Tensor,
        params: Mapping[str, Tensor],
        dt: float,
    ) -> dict[str, Tensor]:
        """Gradients by eligibility of what is learned, of input, output and signal [T, *B, .]."""
        heard = self.heard(given)
        currents = self.current(arriving) + self.own(given)
        sequences = [held.flatten(1, -2) if held.dim() > 2 else held.unsqueeze(1)
                     for held in (arriving, heard, currents, signal)]  # fmt: skip
        learned = self.learned(params)
        values = {own: params[name] for name, (kind, own) in learned.items() if kind == "neuron"}
        stepper, traces = Stepper(self.neuron[1], values, dt), {name: Trace() for name in learned}
        state = stepper.start(sequences[2][0])
        for into, fed, current, error in zip(*sequences, strict=True):
            state, _, slopes = stepper.step(state, current)
            for name, (kind, own) in learned.items():
                if kind == "neuron":
                    by = slopes.values[own][..., None]
                elif own == "bias":
                    by = slopes.current[..., None]
                else:
                    by = slopes.current[..., None] * (into if kind == "linear" else fed)[:, None]
                traces[name].step(slopes.state, by, error)
        return {name: _shaped(trace, params[name]) for name, trace in traces.items()}


def _shaped(trace: Trace, param: Tensor) -> Tensor:
    gathered = trace.gradient
    assert gathered is not None  # there is at least one step
    return gathered if gathered.shape == param.shape else gathered[:, 0].sum_to_size(param.shape)


def split(model: nn.Module, estimator: str) -> tuple[list[Block], nn.Sequential]:
    """The blocks of a stack of layers, and the layers after the last cells that fire.

    Raises TypeError for another model.
    """
    if not isinstance(model, nn.Sequential):
        raise TypeError(
            f"{estimator} needs a stack of layers, models.Sequential or nn.Sequential, got "
            f"{type(model).__name__}."
        )
    named = list(model.named_children())
    places = [place for place, (_, layer) in enumerate(named) if fires(layer)]
    if not places:
        raise TypeError(f"{estimator} needs a layer of cells that fire, but this model has none.")
    blocks, start = [], 0
    for place in places:
        blocks.append(_block(model, named, start, place, estimator))
        start = place + 1
    return blocks, stack(model, start, len(named))


def _block(
    model: nn.Sequential, named: list[tuple[str, nn.Module]], start: int, place: int, estimator: str
) -> Block:
    name, cells = named[place]
    below = named[place - 1] if place > start else None
    linear = (below[0], below[1]) if below and isinstance(below[1], nn.Linear) else None
    before = stack(model, start, place - bool(linear))
    if isinstance(cells, Neuron):
        return Block(name, before, linear, (name, cells), None, cells)
    neuron, back = cells.neuron, cells.projection
    if not isinstance(neuron, Neuron) or not isinstance(back, nn.Linear):
        raise TypeError(
            f"{estimator} needs recurrent cells with a projection that is a Linear, but layer "
            f"{name} has {type(back).__name__}."
        )
    return Block(
        name, before, linear, (f"{name}.neuron", neuron),
        (f"{name}.projection", back), cells,
    )  # fmt: skip
