"""Emergence of modules: activity from a batch, connections from one example of it."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from amphid.measures.emerging import counts
from amphid.measures.emerging.activity import Convention
from amphid.measures.emerging.calls import Call, Following, asked
from amphid.measures.emerging.found import Emerged
from amphid.measures.emerging.parts import PARTS
from amphid.measures.emerging.walking import Structure, ahead, structure
from amphid.models.evaluating import evaluating


def of_module(
    model: nn.Module, inputs: Sequence[Tensor], rule: Convention, longest: int | None
) -> Emerged:
    """Emergence of a module on a batch of inputs [B, ...], in eval mode."""
    return counted(*units_of_module(model, inputs, rule), model, longest)


def units_of_module(
    model: nn.Module, inputs: Sequence[Tensor], rule: Convention
) -> tuple[Structure, dict[int, Tensor]]:
    """How a module is connected, and which units [*N] of each layer are active on a batch."""
    with evaluating(model):
        active = _active(model, inputs, rule)
        one = {id(given): given[:1] for given in inputs}
        made = structure(model, [one[id(given)] for given in inputs])
    kept = [end for end in made.ends if end in active]
    if kept:  # the last state of a recurrent layer has its layers in front
        lost = set(made.ends) - set(kept)
        made.units = tuple(number for number in made.units if number not in lost)
    if missing := set(made.units) - set(active):
        shape = list(made.shapes[min(missing)])
        raise ValueError(
            f"emergence: a layer of shape {shape} for one example has no axis of the batch in "
            "front: examples must be the first axis, batch_first=True in recurrent nets of torch."
        )
    return made, {number: active[number] for number in made.units}


def counted(
    made: Structure, active: dict[int, Tensor], model: nn.Module, longest: int | None
) -> Emerged:
    """The count of a structure whose active units [*N] are known by the number of their layer."""
    for number, mask in active.items():
        if mask.shape != made.shapes[number][1:]:
            raise ValueError(
                f"emergence: a layer has units {list(made.shapes[number][1:])} for one example, "
                f"but activity of {list(mask.shape)} for the batch: examples must be the first "
                "axis."
            )
    masks = {number: mask[None].cpu() for number, mask in active.items()}
    found = ahead(made, masks) if longest is None else _limited(made, masks, longest)
    inside, through = (
        sum(counts.whole(count[:, form] * ~masks[number]) for number, count in found.items())
        for form in (0, 1)
    )
    units = sum(mask.numel() for mask in masks.values())
    return Emerged(
        inside, through, units, sum(int(mask.sum()) for mask in masks.values()), parameters(model)
    )


def _limited(made: Structure, masks: dict[int, Tensor], longest: int) -> dict[int, Tensor]:
    found = {number: counts.zeros(2, *mask.shape) for number, mask in masks.items()}
    for _ in range(longest):
        found = ahead(made, masks, found)
    return found


def parameters(model: nn.Module) -> int:
    """How many parameters there are, less weights that are zero, or masked by torch's pruning."""
    buffers = dict(model.named_buffers())
    total = 0
    for name, held in model.named_parameters():
        mask = buffers.get(name.removesuffix("_orig") + "_mask")
        if mask is not None:
            total += int(mask.count_nonzero())
        else:
            total += int(held.count_nonzero()) if held.dim() > 1 else held.numel()
    return total


def _active(model: nn.Module, inputs: Sequence[Tensor], rule: Convention) -> dict[int, Tensor]:
    """Which units [*N] of every tensor are active, by its number, over the batch."""
    found = {place: rule(given, 1) for place, given in enumerate(inputs)}

    def heard(call: Call, tensors: list[Tensor]) -> None:
        for number, given in zip(call.outputs, tensors, strict=True):
            if given.dim() > 1 and len(given) == len(inputs[0]):
                found[number] = rule(given, 1)

    with torch.no_grad(), Following(inputs, heard, parts=PARTS):
        asked(model, inputs)
    return found
