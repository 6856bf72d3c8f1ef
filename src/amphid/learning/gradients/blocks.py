"""A stack of layers as blocks of cells, each with what leads into it, and what comes after them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from amphid.dynamics import Neuron
from amphid.learning.gradients.eligibility import Carried, Slopes, Stepper, Trace
from amphid.learning.gradients.sections import stack
from amphid.learning.watching import fires
from amphid.models import Connections, Gain


@dataclass(frozen=True, eq=False)
class Block:
    """Cells, what carries their own output back, and a linear map into them with its gain.

    before: layers below the linear map, which learn nothing. Names are those in the model.
    """

    name: str
    before: nn.Sequential
    linear: tuple[str, nn.Linear] | None
    gain: Gain | None  # of the linear map
    neuron: tuple[str, Neuron[Any]]
    back: tuple[str, nn.Linear | Connections] | None
    cells: nn.Module  # the layer as it stands in the model

    def current(self, arriving: Tensor) -> Tensor:
        """Current into the cells [T, *B, N] in pA, but for their own."""
        current = self.linear[1](arriving) if self.linear else arriving
        return self.gain(current) if self.gain is not None else current

    def forward(self, arriving: Tensor, dt: float) -> Tensor:
        """What the cells give out [T, *B, N] when this arrives at the linear map [T, *B, M]."""
        return self.cells(self.current(arriving), dt=dt)

    def cut(self, arriving: Tensor, given: Tensor, dt: float) -> Tensor:
        """The same where what the cells heard of themselves is taken as given."""
        return self.neuron[1](self.current(arriving) + self.own(given, dt), dt=dt)

    def own(self, given: Tensor, dt: float) -> Tensor | float:
        """Current [T, *B, N] in pA that the cells send themselves, of what they gave out."""
        if self.back is None:
            return 0.0
        heard, back = self.heard(given), self.back[1]
        own: Tensor = back(heard, dt=dt) if isinstance(back, Connections) else back(heard)
        return own

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
        trace: Callable[[], Carried] = Trace,
    ) -> dict[str, Tensor]:
        """Gradients by eligibility of what is learned, of input, output and signal [T, *B, .]."""
        heard = self.heard(given)
        currents = self.current(arriving) + self.own(given, dt)
        sequences = [rows(held) for held in (arriving, heard, currents, signal)]
        learned = self.learned(params)
        values = {own: params[name] for name, (kind, own) in learned.items() if kind == "neuron"}
        stepper, traces = Stepper(self.neuron[1], values, dt), {name: trace() for name in learned}
        state = stepper.start(sequences[2][0])
        wires = self.wires(sequences[1], dt)
        for t, (into, fed, current, error) in enumerate(zip(*sequences, strict=True)):
            state, _, slopes = stepper.step(state, current)
            for name, (kind, own) in learned.items():
                if kind == "back" and wires is not None:
                    wires.step(traces[name], slopes, error, t)
                    continue
                if kind == "neuron":
                    by = slopes.values[own][..., None]
                else:
                    by = self._by_current(kind, slopes)[..., None]
                    if own != "bias":
                        by = by * (into if kind == "linear" else fed)[:, None]
                traces[name].step(slopes, by, error)
        return {name: _shaped(trace, params[name]) for name, trace in traces.items()}

    def slope(self, arriving: Tensor, given: Tensor, dt: float) -> Tensor:
        """Derivatives of what the cells give out by the current of the same step [T, *B, N]."""
        currents = self.current(arriving) + self.own(given, dt)
        stepper, found = Stepper(self.neuron[1], {}, dt), []
        state = stepper.start(currents[0])
        for current in currents:
            state, slope = stepper.present(state, current)
            found.append(slope)
        return torch.stack(found)

    def wires(self, heard: Tensor, dt: float) -> Edges | None:
        """Connections that carry the cells' own output [T, R, N] back; None where a matrix does."""
        if self.back is None or not isinstance(self.back[1], Connections):
            return None
        return Edges.of(self.back[1], heard, dt)

    def _by_current(self, kind: str, slopes: Slopes) -> Tensor:
        """Derivatives by what a linear map gives [S + 1, R, N]."""
        if kind == "linear" and self.gain is not None:
            return slopes.current * self.gain.gain
        return slopes.current


@dataclass(frozen=True, eq=False)
class Edges:
    """Connections that carry the output of cells back to them, in eligibilities of their own."""

    heard: Tensor  # [T, R, N], of one step before
    pre: Tensor  # [E]
    post: Tensor  # [E]
    delay: Tensor  # [E] steps

    @staticmethod
    def of(back: Connections, heard: Tensor, dt: float) -> Edges:
        """Those of a projection."""
        wires = back.connectome.connections
        pre, post = (torch.tensor(end, dtype=torch.int64) for end in (wires.pre, wires.post))
        return Edges(heard, pre, post, torch.tensor(back.lag(dt) - 1))

    def step(self, trace: Carried, slopes: Slopes, signal: Tensor, t: int) -> None:
        """Go step t: each connection has the slopes and the signal of the cell that it ends at."""
        fed = self.arriving(t)
        own = Slopes(slopes.state[..., self.post], slopes.current[..., self.post], {})
        trace.step(own, (own.current * fed)[..., None], signal[..., self.post])

    def arriving(self, t: int) -> Tensor:
        """What comes over each connection in step t [R, E]."""
        row = t - self.delay
        return self.heard[row.clamp(min=0), :, self.pre].T * (row >= 0)


def rows(sequence: Tensor) -> Tensor:
    """A sequence [T, *B, N] with its batch in one axis [T, R, N]."""
    return sequence.flatten(1, -2) if sequence.dim() > 2 else sequence.unsqueeze(1)


def _shaped(trace: Carried, param: Tensor) -> Tensor:
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
    before, linear, gain = _into(model, named, start, place)
    if isinstance(cells, Neuron):
        return Block(name, before, linear, gain, (name, cells), None, cells)
    neuron, back = cells.neuron, cells.projection
    if not isinstance(neuron, Neuron) or not isinstance(back, nn.Linear | Connections):
        raise TypeError(
            f"{estimator} needs recurrent cells with a projection that is a Linear or Connections, "
            f"but layer {name} has {type(back).__name__}."
        )
    return Block(
        name, before, linear, gain, (f"{name}.neuron", neuron),
        (f"{name}.projection", back), cells,
    )  # fmt: skip


def _into(
    model: nn.Sequential, named: list[tuple[str, nn.Module]], start: int, place: int
) -> tuple[nn.Sequential, tuple[str, nn.Linear] | None, Gain | None]:
    """The layers below cells: those before a linear map, the map, and its gain."""
    below = named[start:place]
    gain = below[-1][1] if below and isinstance(below[-1][1], Gain) else None
    ends = below if gain is None else below[:-1]
    if ends and isinstance(linear := ends[-1][1], nn.Linear):
        return stack(model, start, start + len(ends) - 1), (ends[-1][0], linear), gain
    return stack(model, start, place), None, None
