"""Train a network that corrects an autoregression of worms, and stop where another worm says so."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from amphid.models.forecasts import Corrector, cell_weights
from amphid.tasks import CALIBRATION, WormRecording

STRETCH = 48  # successive frames of a worm in one step
EVERY = 20  # steps between two looks at the worm that is watched
RATE = 3e-3
DECAY = 1e-2

Inputs = Mapping[str, Tensor]
"""What a network sees of each worm [T, ...], by name of the worm."""


class Lesson:
    """A worm as a network sees it: inputs, what is left to be foretold, and how cells count."""

    def __init__(self, net: Corrector, worm: WormRecording, inputs: Tensor) -> None:
        ahead = worm.activity.double()[net.horizon :]
        self.cells, self.inputs = worm.cells, inputs[: len(ahead)]
        self.left = (ahead - net.base(worm)[: len(ahead)]).float()
        self.weights = cell_weights(worm).float()

    def loss(self, net: Corrector, frames: slice) -> Tensor:
        """Mean squared error of some successive frames, in units of each cell's variance."""
        told = net.correction(self.inputs[frames], self.cells)
        error = (told - self.left[frames]).square().mean(0) @ self.weights
        return error / (self.weights > 0).sum()

    def whole(self, net: Corrector) -> float:
        """The loss of all frames behind those of calibration."""
        with torch.no_grad():
            return float(self.loss(net, slice(CALIBRATION, None)))


def trained(
    net: Corrector,
    worms: Sequence[WormRecording],
    inputs: Inputs,
    *,
    steps: int,
    generator: torch.Generator,
) -> Corrector:
    """The network after the number of steps at which it did best on the last of the worms.

    It learns from the others, and its autoregression, which was fitted before, stays as it is. No
    step at all is one of the choices.
    """
    *lessons, other = (Lesson(net, worm, inputs[worm.name]) for worm in worms)
    optimizer = torch.optim.AdamW(net.parameters(), lr=RATE, weight_decay=DECAY)
    best, kept = other.whole(net), copy.deepcopy(net.state_dict())
    for step in range(1, steps + 1):
        lesson = lessons[int(torch.randint(len(lessons), (), generator=generator))]
        last = len(lesson.left) - STRETCH
        begin = int(torch.randint(CALIBRATION, last, (), generator=generator))
        optimizer.zero_grad()
        lesson.loss(net, slice(begin, begin + STRETCH)).backward()
        optimizer.step()
        if step % EVERY == 0 and (now := other.whole(net)) < best:
            best, kept = now, copy.deepcopy(net.state_dict())
    net.load_state_dict(kept)
    return net
