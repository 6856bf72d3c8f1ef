"""Weights so large that cells fire."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn

from amphid.dynamics import Neuron
from amphid.models import Gain, Recurrent, Sequential

LEAST, MOST = 1e-3, 1e7  # factors that are tried
ROUNDS = 24  # of bisection: the factor is then known to a millionth of their range
DOUBLE = math.log(2.0)

Answer = Callable[[Tensor, float], float]
"""From outputs [T, *B, N] of a layer and dt in ms to how strongly its cells answer."""


def scale_weights(
    model: Sequential,
    inputs: Tensor,
    *,
    rate: float = 0.02,
    spread: float = 1.0,
    dt: float = 1.0,
    answer: Answer | None = None,
) -> dict[str, float]:
    """Scale the weights of a model, first layer to last, until its cells fire; the factors by name.

    Weights of torch layers are made for numbers around one, so the currents they give are a few
    pA, while a cell needs a hundred or more to fire. For every layer of cells the weight and bias
    of the layer that its current comes from, or the gain of a `Gain`, are multiplied by one number,
    so that on those inputs spiking cells fire at `rate` on average, and what others give out has a
    standard deviation of `spread`. Data-driven, like the initialization of Mishkin & Matas 2016
    (doi 10.48550/arXiv.1511.06422), with a rate in the place of the variance.

    model: a Sequential, also of Sequentials. rate: spikes per ms and cell; 0.02 is 20 Hz. spread:
    mV for membranes. dt: ms. answer: what of the outputs of a layer shall come to `rate` instead,
    such as `rises_per_ms`. A layer of cells without weights before it is left as it is.
    Raises TypeError for another kind of model, ValueError where no factor gives the rate.
    """
    if not isinstance(model, Sequential):
        raise TypeError(
            f"scale_weights goes through a Sequential layer by layer, got {type(model).__name__}."
        )
    if not isinstance(inputs, Tensor):
        raise TypeError(f"scale_weights: inputs must be a tensor, got {type(inputs).__name__}.")
    if not inputs.numel() or not inputs.isfinite().all():
        what = "are empty" if not inputs.numel() else "are not finite everywhere"
        raise ValueError(f"scale_weights: the inputs, of shape {list(inputs.shape)}, {what}.")
    scaled: dict[str, float] = {}
    with torch.no_grad():
        for name, source, cells in _pairs(model):
            current = _current_into(cells, model, inputs, dt)
            spiking = answer is not None or _neuron(cells).output == "spike"
            strength = _strength(cells, current, dt, answer)
            factor = _factor(name, strength, rate if spiking else spread)
            _multiply(source, factor)
            scaled[name] = factor
    return scaled


def _pairs(model: Sequential) -> Iterator[tuple[str, nn.Module, nn.Module]]:
    """Layers of cells with the layer that their current comes from, in order."""
    source: tuple[str, nn.Module] | None = None
    for name, layer in _leaves(model, ""):
        if isinstance(layer, Neuron | Recurrent):
            if source is not None:
                yield source[0], source[1], layer
            source = None
        elif isinstance(layer, Gain) or _weights(layer):
            source = name, layer


def _leaves(model: Sequential, prefix: str) -> Iterator[tuple[str, nn.Module]]:
    for name, layer in model.named_children():
        if isinstance(layer, Sequential):
            yield from _leaves(layer, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", layer


def _multiply(layer: nn.Module, factor: float) -> None:
    if isinstance(layer, Gain):
        layer.multiply(factor)
    for own in _weights(layer):
        own.mul_(factor)


def _weights(layer: nn.Module) -> list[Tensor]:
    """What scales the output of a layer, and nothing else."""
    named = dict(layer.named_parameters(recurse=False))
    return [named[key] for key in ("weight", "bias", "gamma", "beta") if key in named]


def _current_into(cells: nn.Module, model: Sequential, inputs: Tensor, dt: float) -> Tensor:
    """The current [T, *B, N] into a layer of cells."""
    seen: list[Tensor] = []
    hook = cells.register_forward_pre_hook(lambda module, given: seen.append(given[0]))
    try:
        model(inputs, dt=dt)
    finally:
        hook.remove()
    return seen[0]


def _strength(
    cells: nn.Module, current: Tensor, dt: float, answer: Answer | None
) -> Callable[[float], float]:
    """How strongly cells answer, by the factor of their current."""
    if answer is None:
        answer = _spikes_per_ms if _neuron(cells).output == "spike" else _deviation
    return lambda factor: answer(cells(factor * current, dt=dt), dt)


def rises_per_ms(outputs: Tensor, dt: float) -> float:
    """How often outputs [T, *B, N] rise above one half, in each ms of dt-ms steps and each cell.

    It counts the spikes of cells that give out a release.
    """
    above = outputs > 0.5
    return float((above[1:] & ~above[:-1]).sum()) / (above.numel() * dt)


def _spikes_per_ms(outputs: Tensor, dt: float) -> float:
    return float(outputs.mean()) / dt


def _deviation(outputs: Tensor, dt: float) -> float:
    return float(outputs.std())


def _factor(name: str, strength: Callable[[float], float], target: float) -> float:
    low, high = _between(name, strength, target)
    for _ in range(ROUNDS):
        middle = (low + high) / 2
        low, high = (low, middle) if strength(math.exp(middle)) >= target else (middle, high)
    return math.exp(high)


def _between(name: str, strength: Callable[[float], float], target: float) -> tuple[float, float]:
    """Logarithms of a factor that is too small and of one that is enough."""
    low, high = math.log(LEAST), math.log(MOST)
    if strength(MOST) >= target:
        return low, high
    for _ in range(math.ceil((high - low) / DOUBLE)):  # cells that are blocked by too much
        if strength(math.exp(low + DOUBLE)) >= target:
            return low, low + DOUBLE
        low += DOUBLE
    raise ValueError(
        f"no factor of the weights of layer {name} makes its cells answer with {target:g}: its "
        "input may be silent or all negative. Give other inputs or a lower rate."
    )


def _neuron(cells: Any) -> Neuron[Any]:
    neuron: Neuron[Any] = cells if isinstance(cells, Neuron) else cells.neuron
    return neuron
