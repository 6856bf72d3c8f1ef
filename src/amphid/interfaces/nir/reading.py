"""From a NIR graph to layers."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from amphid.dynamics import LIF, LeakyIntegrator, ThresholdIntegrator
from amphid.interfaces.nir.graph import Graph
from amphid.interfaces.nir.modules import Cuba, Integral, Scale, Threshold
from amphid.interfaces.nir.package import MS, check_euler, exact_tau, nir
from amphid.models import Delay


def from_nir(graph: Any, *, euler: float | None = None, dtype: torch.dtype | None = None) -> Graph:
    """The layers that a NIR graph says, under its names, to be run over [T, *B, ...].

    euler: the step in ms of the program that the graph comes from, if it takes forward Euler steps
        (snnTorch writes its graphs for 0.1 ms). Time constants are then changed so that a step of
        so many ms here is exactly one of those, spike for spike. None takes the equations as they
        stand; steps here are exact in dt.
    dtype: of all values; the default type of torch when None.

    Weights of linear layers and convolutions are parameters, all else is fixed.
    Raises TypeError for what is no graph, and ValueError, naming the node, for what it cannot be.
    """
    check_euler(euler)
    if not isinstance(graph, nir().NIRGraph):
        raise TypeError(f"from_nir takes a nir.NIRGraph, got {type(graph).__name__}.")
    dtype = dtype or torch.get_default_dtype()
    graph = _typed(graph)
    nodes: dict[str, nn.Module | None] = {}
    for name, node in graph.nodes.items():
        try:
            nodes[name] = _layer(node, euler, dtype)
        except (ValueError, TypeError) as error:
            raise ValueError(
                f"node {name!r} of the graph ({type(node).__name__}): {error}"
            ) from None
    edges = [(str(pre), str(post)) for pre, post in graph.edges]
    return Graph(nodes, edges, {name: _shape(node) for name, node in graph.nodes.items()})


def _typed(graph: Any) -> Any:
    """A copy that tells the shape of every node."""
    graph = copy.deepcopy(graph)
    for node in graph.nodes.values():
        if getattr(node, "groups", 1) > 1 and node.input_shape is not None:
            # the package counts the channels of one group only
            sizes = np.atleast_1d(node.input_shape)
            node.input_type = {"input": np.array([node.weight.shape[1] * node.groups, *sizes])}
    try:
        graph.infer_types()
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise ValueError(f"the shapes of the graph do not fit: {error}") from None
    return graph


def _layer(node: Any, euler: float | None, dtype: torch.dtype) -> nn.Module | None:
    """The layer of a node; None for Input and Output."""
    kind = type(node).__name__
    if kind in ("Input", "Output"):
        return None
    if kind == "NIRGraph":
        return from_nir(node, euler=euler, dtype=dtype)
    if kind not in _LAYERS:
        raise ValueError("this kind of node is not known here.")
    return _LAYERS[kind](node, _Values(euler, dtype))


class _Values:
    """Numbers of a node as tensors, times in ms."""

    def __init__(self, euler: float | None, dtype: torch.dtype) -> None:
        self.euler, self.dtype = euler, dtype

    def __call__(self, array: Any) -> Tensor:
        return torch.from_numpy(np.array(array, dtype=np.float64)).to(self.dtype)

    def tau(self, array: Any) -> Tensor:
        """A time constant."""
        return self(exact_tau(np.asarray(array, dtype=np.float64) * MS, self.euler))

    def linear(self, node: Any) -> nn.Module:
        """y = W x + b."""
        weight, bias = self(node.weight), getattr(node, "bias", None)
        if weight.dim() != 2:
            raise ValueError(f"its weight must be [K, N], got shape {list(weight.shape)}.")
        layer = nn.Linear(weight.shape[1], weight.shape[0], bias=bias is not None, dtype=self.dtype)
        return self._filled(layer, weight, bias)

    def conv(self, node: Any, make: type[nn.Conv1d] | type[nn.Conv2d]) -> nn.Module:
        """A convolution."""
        weight = self(node.weight)
        padding = node.padding if isinstance(node.padding, str) else _ints(node.padding)
        layer = make(
            weight.shape[1] * int(node.groups),
            weight.shape[0],
            kernel_size=tuple(weight.shape[2:]),  # type: ignore[arg-type]
            stride=_ints(node.stride),  # type: ignore[arg-type]
            padding=padding,  # type: ignore[arg-type]
            dilation=_ints(node.dilation),  # type: ignore[arg-type]
            groups=int(node.groups),
            bias=node.bias is not None,
            dtype=self.dtype,
        )
        return self._filled(layer, weight, node.bias)

    def _filled(self, layer: Any, weight: Tensor, bias: Any) -> nn.Module:
        with torch.no_grad():
            layer.weight.copy_(weight)
            if bias is not None:
                layer.bias.copy_(self(bias))
        held: nn.Module = layer
        return held


def _ints(value: Any) -> int | tuple[int, ...]:
    numbers = np.atleast_1d(np.asarray(value)).astype(int).tolist()
    return numbers[0] if len(numbers) == 1 else tuple(numbers)


def _lif(node: Any, to: _Values, tau: Any) -> LIF:
    return LIF(
        tau=to.tau(tau),
        resistance=to(node.r),
        v_rest=to(node.v_leak),
        v_threshold=to(node.v_threshold),
        v_reset=to(node.v_reset),
    )


def _li(node: Any, to: _Values, tau: Any) -> LeakyIntegrator:
    return LeakyIntegrator(tau=to.tau(tau), resistance=to(node.r), v_rest=to(node.v_leak))


def _if(node: Any, to: _Values) -> nn.Module:
    """Its r is per second; with no leak, a resistance over a time constant is a capacitance."""
    return ThresholdIntegrator(
        capacitance=to(MS / np.asarray(node.r, dtype=np.float64)),
        v_threshold=to(node.v_threshold),
        v_reset=to(node.v_reset),
    )


def _pool(node: Any, *, total: bool) -> nn.Module:
    return nn.AvgPool2d(
        _ints(node.kernel_size),  # type: ignore[arg-type]
        stride=_ints(node.stride),  # type: ignore[arg-type]
        padding=_ints(node.padding),  # type: ignore[arg-type]
        divisor_override=1 if total else None,
    )


def _flatten(node: Any, to: _Values) -> nn.Module:
    """NIR counts axes without the batch."""
    start, end = int(node.start_dim), int(node.end_dim)
    return nn.Flatten(start + 1 if start >= 0 else start, end + 1 if end >= 0 else end)


_LAYERS: dict[str, Callable[[Any, _Values], nn.Module]] = {
    "Affine": lambda node, to: to.linear(node),
    "Linear": lambda node, to: to.linear(node),
    "Scale": lambda node, to: Scale(to(node.scale)),
    "Conv1d": lambda node, to: to.conv(node, nn.Conv1d),
    "Conv2d": lambda node, to: to.conv(node, nn.Conv2d),
    "SumPool2d": lambda node, to: _pool(node, total=True),
    "AvgPool2d": lambda node, to: _pool(node, total=False),
    "Flatten": _flatten,
    "Delay": lambda node, to: Delay(to(np.asarray(node.delay, dtype=np.float64) * MS)),
    "I": lambda node, to: Integral(rate=to(np.asarray(node.r, dtype=np.float64) / MS)),
    "IF": _if,
    "LI": lambda node, to: _li(node, to, node.tau),
    "LIF": lambda node, to: _lif(node, to, node.tau),
    "CubaLI": lambda node, to: Cuba(
        _li(node, to, node.tau_mem), tau=to.tau(node.tau_syn), weight=to(node.w_in)
    ),
    "CubaLIF": lambda node, to: Cuba(
        _lif(node, to, node.tau_mem), tau=to.tau(node.tau_syn), weight=to(node.w_in)
    ),
    "Threshold": lambda node, to: Threshold(to(node.threshold)),
}


def _shape(node: Any) -> tuple[int, ...]:
    """What a node gives out in a step."""
    shape = next(iter((node.output_type or {}).values()), None)
    if shape is None:
        raise ValueError(
            "the graph does not tell the shapes of its nodes: call its infer_types() first."
        )
    return tuple(int(size) for size in np.atleast_1d(shape))
