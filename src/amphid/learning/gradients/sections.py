"""A model as what makes a sequence, what goes through time, and what is read out in the end."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any, NamedTuple

from torch import nn

from amphid.models import Sequential
from amphid.models.sequential import makes_time, takes_time


class Sections(NamedTuple):
    """Parts of a model one after another; those at the ends may be missing."""

    before: nn.Module | None  # up to an encoder: of a still input to a sequence
    through: Any  # what has `run`
    after: nn.Module | None  # from a readout on: of a whole sequence to a value


def sections(model: nn.Module) -> Sections:
    """The sections of a model; only a `models.Sequential` has more than one."""
    if not isinstance(model, Sequential):
        return Sections(None, model, None)
    layers = list(model.children())
    first = max((k + 1 for k, layer in enumerate(layers) if makes_time(layer)), default=0)
    last = min((k for k, layer in enumerate(layers) if takes_time(layer)), default=len(layers))
    ends = (stack(model, 0, first), stack(model, last, len(layers)))
    before, after = (end if len(end) else None for end in ends)
    return Sections(before, stack(model, first, last), after)


def stack(model: nn.Sequential, start: int, stop: int) -> nn.Sequential:
    """Some layers of a sequential model in a row, under their names."""
    kind = Sequential if isinstance(model, Sequential) else nn.Sequential
    return kind(OrderedDict(list(model.named_children())[start:stop]))


def applied(layers: nn.Sequential, x: Any, dt: float) -> Any:
    """What layers make of a sequence [T, *B, N]; those with a state are told dt."""
    if isinstance(layers, Sequential):
        return layers(x, dt=dt)
    for layer in layers:
        x = layer(x, dt=dt) if hasattr(layer, "run") else layer(x)
    return x
