"""Where a gradient gets lost: what every layer and parameter receives, and what to do about it."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from amphid.dynamics import Neuron
from amphid.learning.advice import Found, advice
from amphid.learning.fitting.plan import check_called
from amphid.learning.watching import Call, cells_of, surrounded, tensors_in
from amphid.models import Recurrent
from amphid.simulation import Network

SATURATED = 0.5  # of all steps with a spike
SATURATED_RELEASE = 0.95
SILENT_RELEASE = 0.05


@dataclass(frozen=True)
class LayerGradient(Found):
    """What a layer of cells does and receives on a batch.

    name, kind, cells. output: what it gives out. current: the largest into it, pA. rate: spikes per
    ms and cell, or the mean of what it gives out. silent: share of the cells that give out nothing
    at any time in any example. saturated: share that spikes in more than half of all steps, or
    releases all it can.
    norm: of the gradient with respect to its current [T, *B, N]. zeros: share of exact zeros in it.
    ratio: norm over that of the last layer.
    """


@dataclass(frozen=True)
class ParameterGradient:
    """The gradient of one parameter.

    norm: of the gradient. relative: norm over the norm of the parameter. zeros: share of exact
    zeros.
    """

    name: str
    norm: float
    relative: float
    zeros: float


@dataclass(frozen=True)
class GradientReport:
    """What `gradient_report` found: print it, or read it."""

    loss: float
    layers: tuple[LayerGradient, ...]
    parameters: tuple[ParameterGradient, ...]

    @property
    def advice(self) -> tuple[str, ...]:
        """Sentences on what stands out, and what to do; none where nothing does."""
        return advice(self.layers, [own.name for own in self.parameters if own.norm == 0])

    def __str__(self) -> str:
        said = self.advice or ("Nothing stands out.",)
        tables = [_table(_layer_rows(self.layers)), _table(_parameter_rows(self.parameters))]
        return "\n\n".join([f"loss {self.loss:.4g}", *filter(None, tables), "\n".join(said)])


def gradient_report(
    model: nn.Module,
    batch: tuple[Any, Any],
    loss: Callable[[Any, Any], Tensor],
    *,
    dt: float | None = None,
) -> GradientReport:
    """What every layer of cells in a model gives out and gets back on one batch.

    model: any module with neurons in it: `Sequential`, a `Network`, one of your own. batch:
    (inputs, targets). loss: of model(inputs) and targets; the mean of it where it is no number.
    dt: ms, handed to the model where it is given.

    Nothing is changed: no gradient is kept in the parameters, running statistics are put back.
    Raises ValueError when no neuron of the model is called.
    """
    if not isinstance(batch, tuple | list) or len(batch) != 2:
        raise TypeError(f"batch must be a pair (inputs, targets), got {type(batch).__name__}.")
    check_called("loss", loss, "nn.functional.cross_entropy")
    inputs, targets = batch
    for one in tensors_in(inputs):
        if not one.isfinite().all():
            raise ValueError("the inputs of the batch are not finite: see inputs.isfinite().")
    settings = {} if dt is None else {"dt": dt}
    kept = {name: buffer.clone() for name, buffer in model.named_buffers()}
    with torch.enable_grad(), heard(model) as passed:
        value = loss(model(inputs, **settings), targets).mean()
    if not passed:
        raise ValueError(
            f"no neuron of this {type(model).__name__} was called on the batch: gradient_report "
            "hears neurons, Recurrent and Network where they are called as modules or by run."
        )
    named = {name: own for name, own in model.named_parameters() if own.requires_grad}
    asked = [*(one.current for one in passed), *named.values()]
    found = torch.autograd.grad(value, asked, allow_unused=True)
    with torch.no_grad():
        for name, buffer in model.named_buffers():
            buffer.copy_(kept[name])
    layers = _layers(passed, found[: len(passed)])
    pairs = zip(named.items(), found[len(passed) :], strict=True)
    parameters = tuple(_of_parameter(name, own, got) for (name, own), got in pairs)
    return GradientReport(float(value.detach()), layers, parameters)


@dataclass
class Passed:
    """One call of a layer of cells."""

    name: str
    layer: nn.Module
    dt: float
    current: Tensor
    output: Tensor


@contextmanager
def heard(model: nn.Module) -> Iterator[list[Passed]]:
    """Within the block, calls of layers of cells are kept, their currents asked for gradients."""
    passed: list[Passed] = []

    def keep(call: Call, current: Tensor, *args: Any, **kwargs: Any) -> Any:
        if not current.requires_grad:
            current = current.detach().requires_grad_()
        last = args[-1] if args and isinstance(args[-1], float) else 1.0
        dt = float(kwargs.get("dt", last))
        result = call.go(current, *args, **kwargs)
        output = call.output(result)
        passed.append(Passed(call.name or "model", call.module, dt, current, output))
        return result

    layers = cells_of(model, lambda part: isinstance(part, Neuron | Recurrent | Network))
    with surrounded(layers, keep):
        yield passed


def _layers(
    passed: list[Passed], gradients: tuple[Tensor | None, ...]
) -> tuple[LayerGradient, ...]:
    norms = [_norm(gradient) for gradient in gradients]
    last = norms[-1]
    return tuple(
        LayerGradient(
            name=one.name,
            kind=type(_neuron(one.layer)).__name__,
            cells=one.output.shape[-1] if one.output.dim() < 5 else one.output[0, 0].numel(),
            output=_neuron(one.layer).output,
            current=float(one.current.detach().max()),
            norm=norm,
            zeros=_zeros(gradient),
            ratio=norm / last if last else math.nan,
            **_activity(one),
        )
        for one, gradient, norm in zip(passed, gradients, norms, strict=True)
    )


def _activity(one: Passed) -> dict[str, float]:
    output, kind = one.output.detach(), _neuron(one.layer).output
    rows = output.flatten(0, -2) if output.dim() < 5 else output.flatten(2).flatten(0, 1)
    if kind == "spike":
        mean = rows.mean(0)
        silent, saturated, rate = mean == 0, mean > SATURATED, mean.mean() / one.dt
    elif kind == "release":
        silent, saturated = rows.amax(0) < SILENT_RELEASE, rows.amin(0) > SATURATED_RELEASE
        rate = rows.mean()
    else:
        silent = rows.amax(0) == rows.amin(0)
        saturated, rate = torch.zeros_like(silent), rows.mean()
    shares = {"silent": silent, "saturated": saturated}
    return {"rate": float(rate), **{key: float(own.double().mean()) for key, own in shares.items()}}


def _of_parameter(name: str, own: Tensor, gradient: Tensor | None) -> ParameterGradient:
    norm, size = _norm(gradient), float(own.detach().double().norm())
    return ParameterGradient(name, norm, norm / size if size else math.nan, _zeros(gradient))


def _neuron(layer: Any) -> Neuron[Any]:
    neuron: Neuron[Any] = layer if isinstance(layer, Neuron) else layer.neuron
    return neuron


def _norm(gradient: Tensor | None) -> float:
    return 0.0 if gradient is None else float(gradient.double().norm())


def _zeros(gradient: Tensor | None) -> float:
    return 1.0 if gradient is None else float((gradient == 0).double().mean())


def _layer_rows(layers: tuple[LayerGradient, ...]) -> list[list[str]]:
    head = ["layer", "cells", "output", "silent", "saturated", "gradient", "ratio", "zeros"]
    return [head] + [
        [
            f"{one.name} {one.kind}",
            f"{one.cells:,}",
            f"{1000 * one.rate:.3g} Hz" if one.output == "spike" else f"{one.rate:.3g}",
            f"{one.silent:.0%}",
            f"{one.saturated:.0%}",
            f"{one.norm:.2e}",
            f"{one.ratio:.1e}",
            f"{one.zeros:.0%}",
        ]
        for one in layers
    ]


def _parameter_rows(parameters: tuple[ParameterGradient, ...]) -> list[list[str]]:
    head = ["parameter", "gradient", "relative", "zeros"]
    return [head] + [
        [one.name, f"{one.norm:.2e}", f"{one.relative:.1e}", f"{one.zeros:.0%}"]
        for one in parameters
    ]


def _table(rows: list[list[str]]) -> str:
    """Columns in line, the first to the left, all others to the right; "" without rows."""
    if len(rows) < 2:
        return ""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for first, *others in rows:
        cells = [cell.rjust(width) for cell, width in zip(others, widths[1:], strict=True)]
        lines.append("  ".join([first.ljust(widths[0]), *cells]).rstrip())
    return "\n".join(lines)
