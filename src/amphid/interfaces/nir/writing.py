"""From layers to a NIR graph."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from amphid.dynamics import LIF, LeakyIntegrator, ThresholdIntegrator
from amphid.interfaces.nir.graph import Graph, _applied
from amphid.interfaces.nir.modules import Cuba, Integral, Scale, Threshold
from amphid.interfaces.nir.package import MS, Array, check_euler, euler_tau, nir
from amphid.models import Connections, Delay, Gain, Recurrent

_SILENT = (nn.Identity, nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d, nn.AlphaDropout)
"""Layers that do nothing once trained."""


def to_nir(module: nn.Module, *, inputs: int | tuple[int, ...], euler: float | None = None) -> Any:
    """The NIR graph of layers: Sequential, `Recurrent`, `Graph`, or one layer.

    inputs: shape of what one trial receives in a step, such as the number of cells.
    euler: the step in ms of the program that the graph is for, if it takes forward Euler steps
        (snnTorch takes 0.1 ms). Time constants are then written so that its steps are those here,
        spike for spike, at that dt. None writes the equations as they stand.

    Dropout is left out. Raises ValueError, naming the layer, for what NIR cannot say.
    """
    check_euler(euler)
    shape = (inputs,) if isinstance(inputs, int) else tuple(inputs)
    training = module.training
    module.eval()
    try:
        with torch.no_grad():
            return _graph(module, shape, _Writer(euler))
    finally:
        module.train(training)


class _Writer:
    """Values of layers as arrays, times in seconds."""

    def __init__(self, euler: float | None) -> None:
        self.euler = euler

    def __call__(self, value: Any, shape: tuple[int, ...]) -> Array:
        """A value, one for each cell."""
        array = value.detach().cpu().numpy() if isinstance(value, Tensor) else value
        return np.broadcast_to(np.asarray(array, dtype=np.float64), shape).copy()

    def tau(self, value: Any, shape: tuple[int, ...]) -> Array:
        """A time constant."""
        return euler_tau(self(value, shape), self.euler) / MS


def _graph(module: nn.Module, shape: tuple[int, ...], to: _Writer) -> Any:
    if isinstance(module, Graph):
        return _named_graph(module, to)
    nodes: dict[str, Any] = {"input": nir().Input({"input": np.array(shape)})}
    edges: list[tuple[str, str]] = []
    last = "input"
    for name, layer in _chain(module, ""):
        last, shape = _add(nodes, edges, last, name, layer, shape, to)
    nodes["output"] = nir().Output({"output": np.array(shape)})
    edges.append((last, "output"))
    return nir().NIRGraph(nodes, edges)


def _chain(module: nn.Module, name: str) -> Iterator[tuple[str, nn.Module]]:
    """Layers one after another, those in a Sequential inside under names such as "1.0"."""
    if isinstance(module, nn.Sequential):
        for key, part in module.named_children():
            yield from _chain(part, f"{name}.{key}" if name else key)
    elif not isinstance(module, _SILENT):
        yield name or type(module).__name__.lower(), module


def _add(
    nodes: dict[str, Any],
    edges: list[tuple[str, str]],
    last: str,
    name: str,
    layer: nn.Module,
    shape: tuple[int, ...],
    to: _Writer,
) -> tuple[str, tuple[int, ...]]:
    """A layer behind the last node; its name, and the shape that it gives out."""
    after = _shape_after(name, layer, shape)
    if isinstance(layer, Recurrent):
        nodes[name] = _node(name, layer.neuron, shape, shape, to)
        back = f"{name}.projection"
        nodes[back] = _node(back, layer.projection, shape, shape, to)
        edges += [(last, name), (name, back), (back, name)]
        return name, after
    nodes[name] = _node(name, layer, shape, after, to)
    edges.append((last, name))
    return name, after


def _named_graph(graph: Graph, to: _Writer) -> Any:
    nodes: dict[str, Any] = {}
    for name in graph.names:
        after = graph.shapes[name]
        if name in graph.inputs:
            nodes[name] = nir().Input({"input": np.array(after)})
        elif name in graph.outputs:
            nodes[name] = nir().Output({"output": np.array(after)})
        else:
            before = graph.shapes[graph._into(name)[0]]
            nodes[name] = _node(name, graph.layer(name), before, after, to)
    return nir().NIRGraph(nodes, list(graph.edges))


def _shape_after(name: str, layer: nn.Module, shape: tuple[int, ...]) -> tuple[int, ...]:
    like = next((p for p in layer.parameters() if p.is_floating_point()), torch.zeros(()))
    try:
        y, _ = _applied(layer, like.new_zeros(1, 1, *shape), None, 1, 1.0)
    except (RuntimeError, ValueError, TypeError) as error:
        reason = " ".join(str(error).split())[:200]
        raise ValueError(
            f"layer {name} ({type(layer).__name__}) does not take {list(shape)}: {reason}"
        ) from None
    return tuple(y.shape[2:])


def _node(
    name: str, layer: nn.Module, before: tuple[int, ...], after: tuple[int, ...], to: _Writer
) -> Any:
    if isinstance(layer, (Graph, nn.Sequential)):
        return _graph(layer, before, to)
    write = _NODES.get(type(layer))
    if write is None:
        raise ValueError(
            f"layer {name} ({type(layer).__name__}) cannot be said in NIR, which has linear and "
            "convolutional layers, sums and means over patches, delays, thresholds, and LIF, leaky "
            "and perfect integrators, alone or behind a filter."
        )
    try:
        return write(layer, before, to)
    except ValueError as error:
        raise ValueError(f"layer {name} ({type(layer).__name__}): {error}") from None


def _array(tensor: Tensor) -> Array:
    return tensor.detach().cpu().numpy()


def _linear(layer: Any, shape: tuple[int, ...], to: _Writer) -> Any:
    if layer.bias is None:
        return nir().Linear(weight=_array(layer.weight))
    return nir().Affine(weight=_array(layer.weight), bias=_array(layer.bias))


def _connections(layer: Any, shape: tuple[int, ...], to: _Writer) -> Any:
    wires = layer.connectome.connections
    if np.nan_to_num(wires.delay).any():
        raise ValueError("NIR has no delays of single connections.")
    weight = np.zeros((shape[-1], shape[-1]), _array(layer.weight).dtype)
    np.add.at(weight, (wires.post, wires.pre), _array(layer.weight))
    return nir().Linear(weight=weight)


def _conv(layer: Any, shape: tuple[int, ...], to: _Writer) -> Any:
    if layer.padding_mode != "zeros":
        raise ValueError(f"NIR pads with zeros only, this layer with {layer.padding_mode!r}.")
    plain = isinstance(layer, nn.Conv1d)
    bias = layer.weight.new_zeros(layer.out_channels) if layer.bias is None else layer.bias

    def told(value: Any) -> Any:
        return value[0] if plain and not isinstance(value, str) else value

    node = (nir().Conv1d if plain else nir().Conv2d)(
        input_shape=shape[1] if plain else tuple(shape[1:]),
        weight=_array(layer.weight),
        stride=told(layer.stride),
        padding=told(layer.padding),
        dilation=told(layer.dilation),
        groups=layer.groups,
        bias=_array(bias),
    )
    node.input_type = {"input": np.array(shape)}
    return node


def _pool(layer: Any, shape: tuple[int, ...], to: _Writer) -> Any:
    pair = {
        key: np.array(held if isinstance(held, tuple) else (held, held))
        for key, held in (
            ("kernel_size", layer.kernel_size),
            ("stride", layer.stride),
            ("padding", layer.padding),
        )
    }
    if layer.ceil_mode or (not layer.count_include_pad and np.any(pair["padding"])):
        raise ValueError("NIR has no ceil_mode, and counts what it pads.")
    if layer.divisor_override not in (None, 1):
        raise ValueError("NIR divides by the size of the patch, or by 1.")
    kind = nir().AvgPool2d if layer.divisor_override is None else nir().SumPool2d
    node = kind(**pair)
    node.input_type = {"input": np.array(shape)}
    return node


def _flatten(layer: Any, shape: tuple[int, ...], to: _Writer) -> Any:
    """NIR counts axes without the batch."""
    ends = [axis - 1 if axis > 0 else axis for axis in (layer.start_dim, layer.end_dim)]
    if layer.start_dim == 0:
        raise ValueError("it flattens the batch; start_dim must be 1 or more.")
    return nir().Flatten({"input": np.array(shape)}, start_dim=ends[0], end_dim=ends[1])


def _cell(cell: Any, shape: tuple[int, ...], to: _Writer) -> dict[str, Array]:
    """What LIF and leaky integrators share, and the threshold where there is one."""
    held = {"r": to(cell.resistance, shape), "v_leak": to(cell.v_rest, shape)}
    if isinstance(cell, LIF):
        if cell.v_reset is None:
            raise ValueError("NIR resets to a voltage, while v_reset=None subtracts the threshold.")
        held["v_threshold"] = to(cell.v_threshold, shape)
        held["v_reset"] = to(cell.v_reset, shape)
    return held


def _lif(cell: Any, shape: tuple[int, ...], to: _Writer) -> Any:
    kind = nir().LIF if isinstance(cell, LIF) else nir().LI
    return kind(tau=to.tau(cell.tau, shape), **_cell(cell, shape, to))


def _cuba(layer: Any, shape: tuple[int, ...], to: _Writer) -> Any:
    kind = nir().CubaLIF if isinstance(layer.neuron, LIF) else nir().CubaLI
    return kind(
        tau_syn=to.tau(layer.tau, shape),
        tau_mem=to.tau(layer.neuron.tau, shape),
        w_in=to(layer.weight, shape),
        **_cell(layer.neuron, shape, to),
    )


def _if(cell: Any, shape: tuple[int, ...], to: _Writer) -> Any:
    return nir().IF(
        r=MS / to(cell.capacitance, shape),
        v_threshold=to(cell.v_threshold, shape),
        v_reset=to(cell.v_reset, shape),
    )


def _delay(layer: Any, shape: tuple[int, ...], to: _Writer) -> Any:
    if layer.spread is not None:
        raise ValueError("NIR has no spread of a delay: set it to None.")
    return nir().Delay(delay=to(layer.delay, shape) / MS)


_NODES: dict[type, Callable[[Any, tuple[int, ...], _Writer], Any]] = {
    nn.Linear: _linear,
    nn.Conv1d: _conv,
    nn.Conv2d: _conv,
    nn.AvgPool2d: _pool,
    nn.Flatten: _flatten,
    LIF: _lif,
    LeakyIntegrator: _lif,
    ThresholdIntegrator: _if,
    Cuba: _cuba,
    Delay: _delay,
    Integral: lambda layer, shape, to: nir().I(r=to(layer.rate, shape) * MS),
    Connections: _connections,
    Gain: lambda layer, shape, to: nir().Scale(scale=to(layer.gain, shape)),
    Scale: lambda layer, shape, to: nir().Scale(scale=to(layer.scale, shape)),
    Threshold: lambda layer, shape, to: nir().Threshold(threshold=to(layer.threshold, shape)),
}
