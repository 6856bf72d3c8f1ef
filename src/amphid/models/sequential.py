"""Layers one after another, over time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from amphid.dynamics import Neuron
from amphid.dynamics.neuron import tensor
from amphid.dynamics.values import check_dt
from amphid.models.chain import run_chain
from amphid.models.folding import Leading, check_cells, check_ordinary, folded, has_time
from amphid.models.layer import Encoder, Layer, Readout, Stepping, nothing
from amphid.models.straight import Straight, straight


class Sequential(nn.Sequential):
    """Layers one after another, from a sequence [T, *B, N] to a sequence [T, *B, K].

    It is a `torch.nn.Sequential`, with its names, slices and state_dict, that knows time:

    - A layer with a state, any that has `run`, such as a neuron, `Recurrent`, a `Network` or
      another `Sequential`, gets the sequence and dt; so does `nn.RNN` and its kin.
    - An ordinary torch module, such as `Linear`, `Conv2d` or `BatchNorm2d`, is applied once, with
      all time steps folded into the batch. `Flatten` keeps time and batch apart. Where no layer
      tells how many axes the batch has, it has one, and none in an input of two axes.
    - What a neuron receives is a current in pA; what it gives out are spikes, releases or mV.
    - Layers before an encoder such as `Repeat` see the still input [*B, N], layers after a readout
      such as `SpikeCount` its value [*B, K].

    Raises ValueError naming the layer, the axis and both sizes where something does not fit.
    """

    def __init__(self, *layers: Any) -> None:
        _check_layers(layers)
        super().__init__(*layers)
        for name, layer in self.named_children():
            check_ordinary(name, layer)

    def forward(self, x: Tensor, dt: float = 1.0) -> Tensor:
        """Output [T, *B, K] of an input [T, *B, N], from rest; dt in ms."""
        _check_input(self, x, dt)
        way = straight(self, x, dt, back=True) if torch.is_grad_enabled() else None
        if way is not None and (given := way.differentiable(x, {})) is not None:
            return given
        leading, layers = self._leading(), list(self._layers())
        while layers:
            chain = [layer for _, layer in layers] if leading.timed else []
            if (taken := run_chain(self, chain, x, dt)) is not None:
                x, count = taken
                layers = layers[count:]
                continue
            name, layer = layers.pop(0)
            if has_time(layer):
                _check_turn(name, layer, x, leading)
                x = layer(x)[0] if isinstance(layer, nn.RNNBase) else layer(x, dt=dt)
                _follow(layer, leading)
            else:
                x = folded(name, layer, x, leading)
        return x

    def run(
        self, x: Tensor, state: Sequence[Any] | None = None, dt: float = 1.0
    ) -> tuple[Tensor, tuple[Any, ...]]:
        """Output [T, *B, K] of an input [T, *B, N], and the state after it.

        state: one entry for each layer, () where it has none; from rest when None. dt: ms.
        """
        _check_input(self, x, dt)
        leading, after = self._leading(), list(self._held(state))
        for place, (name, layer) in enumerate(self._layers()):
            if has_time(layer):
                _check_turn(name, layer, x, leading)
                x, after[place] = _run(layer, x, after[place], dt)
                _follow(layer, leading)
            else:
                x = folded(name, layer, x, leading)
        return x, tuple(after)

    def step(
        self, state: Sequence[Any] | None, x: Tensor, dt: float = 1.0
    ) -> tuple[tuple[Any, ...], Tensor]:
        """State and output [*B, K] after one step of dt ms with the input [*B, N]."""
        return self.stepping(dt)(state, x)

    def stepping(self, dt: float) -> Stepping:
        """One step at that dt in ms, with all that no step changes computed once."""
        own = [
            (name, layer, stepping(layer, dt) if has_time(layer) else None)
            for name, layer in self._layers()
        ]

        def step(state: Any, x: Tensor) -> tuple[tuple[Any, ...], Tensor]:
            leading, after = self._leading(), list(self._held(state))
            for place, (name, layer, go) in enumerate(own):
                seen = x[None] if leading.timed else x
                if go is None:
                    x = folded(name, layer, seen, leading)
                    x = x[0] if leading.timed else x
                else:
                    _check_turn(name, layer, seen, leading)
                    after[place], x = go(after[place], x)
                    _follow(layer, leading)
            return tuple(after), x

        return step

    def _layers(self) -> Iterator[tuple[str, nn.Module]]:
        """The layers by name; one that stands in two places comes twice."""
        for name, layer in self._modules.items():
            if layer is None:
                raise TypeError(f"layer {name} of Sequential is None.")
            check_ordinary(name, layer)
            yield name, layer

    def _held(self, state: Sequence[Any] | None) -> Sequence[Any]:
        if nothing(state) or state is None:
            return [()] * len(self)
        if len(state) != len(self):
            raise ValueError(
                f"state must have one entry for each of {len(self)} layers, got {len(state)}: it "
                "belongs to another Sequential."
            )
        return state

    def _leading(self) -> Leading:
        return Leading(timed=not makes_time(self))


def as_chain(
    model: nn.Module, x: object, dt: float | None, *, back: bool = False
) -> Straight | None:
    """How a model runs in machine code from end to end, where it is layers and nothing else.

    See `straight`. dt: ms, as the model would be given, or None.
    """
    if type(model) is Sequential or (type(model) is nn.Sequential and dt is None and not back):
        return straight(model, x, 1.0 if dt is None else dt, back=back)
    return None


def stepping(layer: nn.Module, dt: float) -> Stepping:
    """One step of any layer with time, from a state that is None or () at rest."""
    if isinstance(layer, Layer | Sequential):
        return layer.stepping(dt)

    def step(state: Any, x: Tensor) -> tuple[Any, Tensor]:
        if isinstance(layer, Neuron):
            return layer.step(layer.init(x) if nothing(state) else state, x, dt)
        y, state = _run(layer, x[None], state, dt)
        return state, y[0]

    return step


def makes_time(layer: nn.Module) -> bool:
    """Whether a layer takes a still input and gives a sequence."""
    if isinstance(layer, Sequential):
        return any(makes_time(part) for part in layer)
    return isinstance(layer, Encoder)


def takes_time(layer: nn.Module) -> bool:
    """Whether a layer takes a sequence and gives one value."""
    if isinstance(layer, Sequential):
        return any(takes_time(part) for part in layer)
    return isinstance(layer, Readout)


def _run(layer: Any, x: Tensor, state: Any, dt: float) -> tuple[Tensor, Any]:
    state = None if nothing(state) else state
    y, state = layer(x, state) if isinstance(layer, nn.RNNBase) else layer.run(x, state, dt=dt)
    return y, state


def _check_layers(layers: Sequence[Any]) -> None:
    """Raise TypeError for what is no module."""
    for place, layer in enumerate(layers):
        if isinstance(layer, nn.Module) or (len(layers) == 1 and isinstance(layer, dict)):
            continue
        way = "wrap what is no module in one, as nn.ReLU does with torch.relu"
        if isinstance(layer, list | tuple):
            way = "give layers one by one, Sequential(*layers)"
        elif isinstance(layer, type):
            way = f"it is a class, so make one of it: {layer.__name__}(...)"
        got = layer.__name__ if isinstance(layer, type) else type(layer).__name__
        raise TypeError(f"layer {place} of Sequential must be a module, got {got}: {way}.")


def _check_input(layer: nn.Module, x: object, dt: object) -> None:
    """Raise TypeError or ValueError for what is no sequence, nor a still input, or no step."""
    if not tensor(layer, x).dim():
        raise ValueError(
            "Sequential takes a sequence [T, *B, N], or a still input [*B, N] where an encoder "
            "makes time; got a single number."
        )
    check_dt(dt)


def _check_turn(name: str, layer: nn.Module, x: Tensor, leading: Leading) -> None:
    """Raise ValueError where there is no time for a layer that needs it, or cells do not fit."""
    kind = f"layer {name} ({type(layer).__name__})"
    if makes_time(layer) and leading.timed:
        raise ValueError(f"{kind} makes a sequence of a still input, but a layer before it did.")
    if not makes_time(layer) and not leading.timed:
        raise ValueError(
            f"{kind} takes a sequence, but no axis of time is left of its input, of shape "
            f"{list(x.shape)}: readouts come last, encoders first."
        )
    if leading.timed and (x.dim() < 2 or not len(x)):
        raise ValueError(
            f"{kind} takes [T, *B, N]: time first, at least one step, features last; got shape "
            f"{list(x.shape)}."
        )
    if isinstance(layer, Neuron):
        check_cells(name, layer, x.shape[1:])


def _follow(layer: nn.Module, leading: Leading) -> None:
    """Keep account of the axis of time."""
    if makes_time(layer):
        leading.gain()
    if takes_time(layer):
        leading.lose()
