"""Sentences on what a gradient shows, and what can be done about it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

LOST, BLOWN_UP = 1e-3, 1e3  # of the gradient of the last layer
MANY = 0.5  # of the cells
NEARLY_ALL = 0.99  # of the entries of a gradient


@dataclass(frozen=True)
class Found:
    """What was found about a layer of cells."""

    name: str
    kind: str
    cells: int
    output: str
    current: float
    rate: float
    silent: float
    saturated: float
    norm: float
    zeros: float
    ratio: float


def advice(layers: Sequence[Found], without: Sequence[str]) -> tuple[str, ...]:
    """What stands out in the layers, first to last, and in parameters without any gradient."""
    said = [*_on_cells(layers), *_on_gradients(layers), *_on_flow(layers)]
    if without:
        more = f" and {len(without) - 3} more" if len(without) > 3 else ""
        said.append(
            f"No gradient reaches {', '.join(without[:3])}{more}: the loss does not depend on it, "
            "or the cells before it are silent, or those after it far from threshold."
        )
    return tuple(said)


def _on_cells(layers: Sequence[Found]) -> Iterator[str]:
    if silent := [one for one in layers if one.silent > MANY]:
        most, drive = max(one.silent for one in silent), max(one.current for one in silent)
        yield (
            f"{_named(silent)}: up to {most:.0%} of the cells give out nothing on this batch, "
            f"under currents of at most {drive:.3g} pA. Raise the weights before them, see "
            "learning.scale_weights, or lower their thresholds."
        )
    if saturated := [one for one in layers if one.saturated > MANY]:
        most = max(one.saturated for one in saturated)
        yield (
            f"{_named(saturated)}: up to {most:.0%} of the cells are saturated. Lower the weights "
            "before them, make dt shorter, or give the cells a refractory period."
        )


def _on_gradients(layers: Sequence[Found]) -> Iterator[str]:
    if wild := [one for one in layers if not math.isfinite(one.norm)]:
        yield (
            f"{_named(wild)}: the gradient is not finite. Shorten the sequence or truncate the "
            "gradient in time, clip it, or leave the reset out of it (reset_gradient=False)."
        )
    if narrow := [one for one in layers if one.zeros > NEARLY_ALL and one.silent < 1]:
        yield (
            f"{_named(narrow)}: more than {NEARLY_ALL:.0%} of the gradient is exactly zero. The "
            "surrogate is narrow for how far the membrane moves: widen it, see "
            "learning.scale_surrogates, or use one with tails such as FastSigmoid."
        )


def _on_flow(layers: Sequence[Found]) -> Iterator[str]:
    """On the layer that receives least, or most, of what the last one does."""
    if not layers or not layers[-1].norm or not math.isfinite(layers[-1].norm):
        return
    least = min(layers, key=lambda one: one.ratio)
    most = max(layers, key=lambda one: one.ratio if math.isfinite(one.ratio) else 0.0)
    if least.ratio < LOST:
        yield (
            f"{_flow(least, layers)}: raise the weights in between, or widen the surrogates, see "
            "learning.scale_weights and learning.scale_surrogates."
        )
    if most.ratio > BLOWN_UP:
        yield (
            f"{_flow(most, layers)}: narrow the surrogates in between, lower the weights, or "
            "differentiate the reset (reset_gradient=True)."
        )


def _flow(one: Found, layers: Sequence[Found]) -> str:
    """How a layer compares with the last, and between which two most of that comes about."""
    steps = [
        (abs(math.log(early.norm / late.norm)), early.name, late.name)
        for early, late in pairwise(layers)
        if early.norm and late.norm
    ]
    _, early, late = max(steps, default=(0.0, one.name, layers[-1].name))
    return (
        f"Layer {one.name} receives {one.ratio:.0e} of the gradient of layer {layers[-1].name}, "
        f"most of the change between {early} and {late}"
    )


def _named(layers: Sequence[Found]) -> str:
    *others, last = [one.name for one in layers]
    return f"Layers {', '.join(others)} and {last}" if others else f"Layer {last}"
