"""Emergence of layers over time: still layers stand for them, activity comes from the sequence."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from amphid.dynamics import Neuron
from amphid.measures.emerging.activity import Convention
from amphid.measures.emerging.found import Emerged
from amphid.measures.emerging.modules import counted
from amphid.measures.emerging.walking import Structure, structure
from amphid.models import BatchNorm, BatchNormThroughTime, Dropout, Gain, Recurrent, Sequential
from amphid.models.evaluating import evaluating
from amphid.models.layer import Encoder, Readout
from amphid.models.sequential import makes_time

SAME = (BatchNorm, BatchNormThroughTime, Dropout, Gain, Encoder, Readout)
"""Layers in which each unit stays for itself."""


def of_layers(
    model: Sequential, inputs: Tensor, rule: Convention, longest: int | None, dt: float
) -> Emerged:
    """Emergence of a Sequential on a sequence [T, *B, N], or on still inputs before an encoder."""
    if longest is None and any(isinstance(part, Recurrent) for part in model.modules()):
        raise ValueError(
            "emergence: recurrent layers have cycles, along which a path never ends: give "
            "longest=, the most connections that a path may have."
        )
    made, active = units_of_layers(model, inputs, rule, dt)
    return counted(made, active, model, longest)


def units_of_layers(
    model: Sequential, inputs: Tensor, rule: Convention, dt: float
) -> tuple[Structure, dict[int, Tensor]]:
    """How a Sequential is connected, and which units [*N] of each layer are active."""
    cells = [part for _, part in _leaves(model) if _is_cells(part)]
    example = inputs[:1] if makes_time(model) or inputs.dim() < 3 else inputs[0, :1]
    with evaluating(model):
        heard, output = _heard(model, cells, inputs, dt)
        made = structure(_still(model), [example])
    given = dict(zip(_of_cells(made), heard, strict=True)) | {0: inputs}
    last = made.units[-1]
    given.setdefault(last, output)
    lost = [number for number in made.units if number not in given]
    if lost:
        raise ValueError(
            "emergence: two layers with weights follow one another without cells between them."
        )
    _close_loops(made, cells)
    active = {
        number: rule(values, values.dim() - len(made.shapes[number]) + 1)
        for number, values in given.items()
    }
    return made, active


def _leaves(model: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    for name, part in model.named_children():
        if isinstance(part, nn.Sequential):
            yield from _leaves(part)
        else:
            yield name, part


def _is_cells(part: nn.Module) -> bool:
    return isinstance(part, Neuron | Recurrent)


def _still(model: Sequential) -> nn.Sequential:
    """Layers of torch as they are, in the place of cells what gives each its own unit."""
    return nn.Sequential(*(_stand_in(part) for _, part in _leaves(model)))


def _stand_in(part: nn.Module) -> nn.Module:
    if _is_cells(part):
        return nn.ReLU()
    if isinstance(part, SAME):
        return nn.Identity()
    if type(part).__module__.startswith("torch."):
        return part
    raise TypeError(
        f"emergence does not know what a {type(part).__name__} connects: it follows cells, "
        "Recurrent, layers of torch, norms, dropout, encoders and readouts. Give the activity of "
        "the layers, or a connectome."
    )


def _heard(
    model: Sequential, cells: list[nn.Module], inputs: Tensor, dt: float
) -> tuple[list[Tensor], Tensor]:
    """What cells gave out [T, *B, *N], in order, and what the model did."""
    heard: list[Tensor] = []

    def hear(module: nn.Module, given: Any, output: Tensor) -> None:
        heard.append(output)

    hooks = [part.register_forward_hook(hear) for part in cells]
    try:
        with torch.no_grad():
            output = model(inputs, dt=dt)
    finally:
        for hook in hooks:
            hook.remove()
    return heard, output


def _of_cells(made: Structure) -> list[int]:
    return [call.outputs[0] for call in made.calls if call.name == "relu"]


def _close_loops(made: Structure, cells: list[nn.Module]) -> None:
    for number, part in zip(_of_cells(made), cells, strict=True):
        if isinstance(part, Recurrent):
            made.loops[number] = _looped(part.projection)


def _looped(projection: nn.Module) -> Any:
    if not isinstance(projection, nn.Linear):
        raise TypeError(
            "emergence follows recurrent cells whose projection is a Linear, got "
            f"{type(projection).__name__}."
        )
    mask = (projection.weight.detach() != 0).double().cpu()
    return lambda x: x @ mask.T
