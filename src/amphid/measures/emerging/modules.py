"""Emergence of modules: activity from a batch, connections from one example of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from amphid.measures.emerging import counts
from amphid.measures.emerging.activity import Convention
from amphid.measures.emerging.calls import Call, Following, asked
from amphid.measures.emerging.found import Emerged
from amphid.measures.emerging.parts import PARTS
from amphid.measures.emerging.walking import Structure, ahead, structure
from amphid.models.evaluating import evaluating

NEAR = 1e-3  # of the mean magnitude: what the same values differ by in a batch and alone


def of_module(
    model: nn.Module, inputs: Sequence[Tensor], rule: Convention, longest: int | None
) -> Emerged:
    """Emergence of a module on a batch of inputs [B, ...], in eval mode."""
    return counted(*units_of_module(model, inputs, rule), model, longest)


def units_of_module(
    model: nn.Module, inputs: Sequence[Tensor], rule: Convention
) -> tuple[Structure, dict[int, Tensor]]:
    """How a module is connected, and which units [1, *N] of each layer are active on a batch."""
    with evaluating(model):
        one = {id(given): given[:1] for given in inputs}
        single = [one[id(given)] for given in inputs]
        active, fronted = _active(model, inputs, structure(model, single), rule)
        made = structure(model, single)  # masked weights are made anew by each run: here the last
    known = [end for end in made.ends if end in active]
    kept = [end for end in known if end in fronted] or known
    if kept:  # the last state of a recurrent layer has its layers in front
        lost = set(made.ends) - set(kept)
        made.units = tuple(number for number in made.units if number not in lost)
    if missing := set(made.units) - set(active):
        shape = list(made.shapes[min(missing)])
        raise ValueError(
            f"emergence: on a batch, a layer of shape {shape} for one example has none, or no "
            "single one, of the same for each: examples must be the first axis of the inputs, "
            "batch_first=True in recurrent nets of torch."
        )
    return made, {number: active[number] for number in made.units}


def counted(
    made: Structure, active: dict[int, Tensor], model: nn.Module, longest: int | None
) -> Emerged:
    """The count of a structure whose active units are known by the number of their layer."""
    masks = placed(made, active)
    found = ahead(made, masks) if longest is None else _limited(made, masks, longest)
    inside, through = (
        sum(counts.whole(count[:, form] * ~masks[number]) for number, count in found.items())
        for form in (0, 1)
    )
    units = sum(mask.numel() for mask in masks.values())
    return Emerged(
        inside, through, units, sum(int(mask.sum()) for mask in masks.values()), parameters(model)
    )


def placed(made: Structure, active: Mapping[int, Tensor]) -> dict[int, Tensor]:
    """Which units are active, shaped as one example of their layer, given so or without its 1."""
    for number, mask in active.items():
        if mask.shape not in (one := made.shapes[number], one[1:]):
            raise ValueError(
                f"emergence: a layer has units {list(one[1:])} for one example, but activity of "
                f"{list(mask.shape)} for the batch: examples must be the first axis."
            )
    return {number: mask.reshape(made.shapes[number]).cpu() for number, mask in active.items()}


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


def _active(
    model: nn.Module, inputs: Sequence[Tensor], made: Structure, rule: Convention
) -> tuple[dict[int, Tensor], set[int]]:
    """Which units [1, *N] of layers are active over the batch, and which have examples in front.

    Layers go by their number; those whose examples cannot be told are left out.
    """
    wanted, examples = set(made.units), len(inputs[0])
    found = {place: rule(given[:, None], 1) for place, given in enumerate(inputs)}
    fronted = set(found)

    def heard(call: Call, tensors: list[Tensor]) -> None:
        for number, given in zip(call.outputs, tensors, strict=True):
            if number not in wanted:
                continue
            rows = by_example(given, made.shapes[number], examples, made.folded.get(number))
            if rows is not None:
                found[number] = rule(rows.abs() if rows.is_complex() else rows, 1)
                fronted.update([number] if len(given) == examples else [])

    with torch.no_grad(), Following(inputs, heard, parts=PARTS):
        asked(model, inputs)
    return found, fronted


def by_example(
    given: Tensor, one: torch.Size, examples: int, first: Tensor | None
) -> Tensor | None:
    """Values [B, *one] of a batch whose single example has the shape `one`.

    Examples may have an axis of their own, anywhere, or be folded into one, such as that of places
    or of steps; then `first`, the values of the first example, tells how. None where it is neither.
    """
    if given.shape == one:
        return given[None] if examples == 1 else None
    if given.dim() != len(one):
        return None
    axes = [
        axis
        for axis, (now, before) in enumerate(zip(given.shape, one, strict=True))
        if now != before
    ]
    axis, inner = axes[0], one[axes[0]]
    if len(axes) > 1 or given.shape[axis] != examples * inner:
        return None
    ways = [given.unflatten(axis, (examples, inner)).movedim(axis, 0)]
    if inner == 1:
        return ways[0]
    ways.append(given.unflatten(axis, (inner, examples)).movedim(axis + 1, 0))
    return next((rows for rows in ways if first is not None and _is_near(rows[0], first)), None)


def _is_near(one: Tensor, other: Tensor) -> bool:
    """Whether they are equal but for rounding, which may have flipped a spike or two."""
    away = (one.double() - other.double()).abs().mean()
    return bool(away <= NEAR * other.double().abs().mean())
