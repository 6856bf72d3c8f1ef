"""The layers with weights of any module, in the order in which they are used."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from amphid.measures.emerging.calls import Call, Following
from amphid.measures.emerging.connecting import WEIGHING

ATTENTION = "multi_head_attention_forward"
USES = WEIGHING | {ATTENTION, "lstm", "gru", "rnn_tanh", "rnn_relu", "bilinear", "einsum"}
NO_LAYERS = (nn.Embedding, nn.EmbeddingBag, nn.LayerNorm, nn.RMSNorm, nn.GroupNorm)


@dataclass(frozen=True, eq=False)
class WeightLayer:
    """A weight of two axes or more, the bias beside it, and how deep it stands.

    name: of the weight among the parameters of the model. level: 0 for the first; weights that
    are used side by side, such as those of a skip connection, stand on the same.
    """

    name: str
    weight: nn.Parameter
    bias: nn.Parameter | None
    level: int


def weight_layers(model: nn.Module, inputs: Any = None) -> list[WeightLayer]:
    """The weight layers of a model by level, and in order of use within one.

    inputs: a batch, or a tuple of arguments, that the model is run on to see what it uses when.
    Without them it is traced by torch.fx; a model that cannot be traced is taken in the order in
    which its layers are registered, with a warning where that may be another.
    Raises ValueError where there is none, TypeError for what is no module.
    """
    _check(model)
    found = _by_run(model, inputs) if inputs is not None else _by_trace(model)
    if found is None:
        found = _as_registered(model)
        if not _is_stack(model):
            warnings.warn(
                f"torch.fx cannot trace this {type(model).__name__}, so its weight layers are "
                "taken in the order in which they are registered. Give inputs= to have them in "
                "the order in which they are used.",
                stacklevel=3,
            )
    layers = _numbered(model, found)
    if not layers:
        raise ValueError(
            f"this {type(model).__name__} has no weight layers: no linear map or convolution of "
            "what it is given uses a parameter with two axes or more."
        )
    return layers


def _check(model: Any) -> None:
    if not isinstance(model, nn.Module):
        raise TypeError(f"model must be a module of torch, got {model!r}.")
    for name, own in model.named_parameters():
        if isinstance(own, nn.parameter.UninitializedParameter):
            raise ValueError(f"{name} has no shape yet: run the model once on a batch.")


Found = list[tuple[nn.Parameter, int]]
"""Weights, and how many weighed sums at the most lie before them."""


def _by_run(model: nn.Module, inputs: Any) -> Found:
    arguments = tuple(inputs) if isinstance(inputs, tuple | list) else (inputs,)
    tensors = [leaf for leaf in pytree.tree_leaves(arguments) if isinstance(leaf, Tensor)]
    depth: dict[int, int] = {}
    used: list[tuple[Tensor, int]] = []
    embedded: list[Tensor] = []

    def heard(call: Call, _: list[Tensor]) -> None:
        before = [depth.get(number, 0) for number in call.inputs]
        level = max(before or depth.values(), default=0)
        weights = [held for held in call.held if held.dim() > 1]
        if call.name == "embedding":
            embedded.extend(weights)
        elif call.name in USES:
            for held in weights:
                used.append((held, level))
                level += call.name == ATTENTION
            level += bool(weights) and call.name != ATTENTION
        depth.update(dict.fromkeys(call.outputs, level))

    # gradients stay on: without them torch takes fused ways that hide their weights
    with _untouched(model), Following(tensors, heard, also=USES):
        model(*arguments)
    owners = parameters_in_use(model)
    shut = {id(owners.get(id(_root(held)))) for held in embedded}
    known = [(owners.get(id(_root(held))), level) for held, level in used]
    return [(own, level) for own, level in known if own is not None and id(own) not in shut]


@contextmanager
def _untouched(model: nn.Module) -> Iterator[None]:
    """After the block random numbers and buffers, such as averages of norms, are as before."""
    held = [(buffer, buffer.clone()) for buffer in model.buffers()]
    try:
        with torch.random.fork_rng():
            yield
    finally:
        with torch.no_grad():
            for buffer, before in held:
                buffer.copy_(before)


def _root(held: Tensor) -> Tensor:
    return held if held._base is None else held._base


def parameters_in_use(model: nn.Module) -> dict[int, nn.Parameter]:
    """Parameters by the id of what the model computes with: itself, or itself under a mask."""
    owners = {id(own): own for own in model.parameters()}
    for module in model.modules():
        for key, own in module.named_parameters(recurse=False):
            masked = vars(module).get(key.removesuffix("_orig"))
            if isinstance(masked, Tensor):
                owners[id(masked)] = own
    return owners


def _by_trace(model: nn.Module) -> Found | None:
    from torch import fx

    try:
        graph = _Tracer().trace(model)
    except Exception:  # whatever a forward may raise on proxies
        return None
    modules, depth = dict(model.named_modules()), dict[fx.Node, int]()
    found: Found = []
    for node in graph.nodes:
        level = max((depth[before] for before in node.all_input_nodes), default=0)
        weights = list(_weights_of(node, modules, model))
        # blocks of torch register what they hold in the order of use
        apart = not isinstance(modules.get(str(node.target)), nn.RNNBase)
        for own in weights:
            found.append((own, level))
            level += apart
        depth[node] = level + (bool(weights) and not apart)
    return found


def _weights_of(node: Any, modules: dict[str, nn.Module], model: nn.Module) -> Iterator[Any]:
    if node.op == "call_module":
        yield from _own_weights(modules[node.target])
    elif node.op in ("call_function", "call_method"):
        name = getattr(node.target, "__name__", str(node.target))
        for before in node.all_input_nodes:
            if before.op == "get_attr" and name.strip("_") in USES:
                held = model.get_parameter(before.target)
                if held.dim() > 1:
                    yield held


def _Tracer() -> Any:
    from torch import fx

    class Tracer(fx.Tracer):
        """Looks into everything but layers of torch and of cells."""

        def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
            ours = type(m).__module__.startswith("amphid.") and not isinstance(m, nn.Sequential)
            return ours or super().is_leaf_module(m, module_qualified_name)

    return Tracer()


def _as_registered(model: nn.Module) -> Found:
    weights = [own for module in model.modules() for own in _own_weights(module, recurse=False)]
    return [(own, place) for place, own in enumerate(weights)]


def _own_weights(module: nn.Module, *, recurse: bool = True) -> list[nn.Parameter]:
    if isinstance(module, NO_LAYERS):
        return []
    return [own for own in module.parameters(recurse=recurse) if own.dim() > 1]


def _is_stack(model: nn.Module) -> bool:
    """Whether it is layers one after another, so that the order of registration is that of use."""
    parts = list(model.children()) if isinstance(model, nn.Sequential) else []
    return bool(parts) and all(not list(part.children()) or _is_stack(part) for part in parts)


def _numbered(model: nn.Module, found: Found) -> list[WeightLayer]:
    first: dict[nn.Parameter, int] = {}
    for own, level in found:
        first.setdefault(own, level)
    levels = {level: place for place, level in enumerate(sorted(set(first.values())))}
    named = {own: name for name, own in model.named_parameters()}
    layers = [
        WeightLayer(named[own], own, _bias(model, named[own]), levels[level])
        for own, level in first.items()
    ]
    return sorted(layers, key=lambda layer: layer.level)


def _bias(model: nn.Module, name: str) -> nn.Parameter | None:
    """The bias beside a weight: "bias" of "weight", "in_proj_bias" of "in_proj_weight"."""
    parent, _, own = name.rpartition(".")
    beside = own.removesuffix("_orig").replace("weight", "bias")
    held = model.get_submodule(parent)._parameters
    bias = held.get(beside, held.get(f"{beside}_orig"))
    return bias if bias is not None and bias.dim() == 1 and beside != own else None


def depth_of(layers: Sequence[WeightLayer]) -> int:
    """How many levels there are."""
    return layers[-1].level + 1
