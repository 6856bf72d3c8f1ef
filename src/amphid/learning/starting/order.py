"""The layers with weights of any module, in the order in which they are used."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from amphid.learning.starting.computed import computed_weights
from amphid.learning.starting.listening import (
    USES,
    followed,
    parameters_in_use,
    root_of,
    unmasked,
)
from amphid.measures.emerging.calls import Call, Slot
from amphid.measures.emerging.connecting import EMBEDDING
from amphid.measures.emerging.parts import RECURRENT
from amphid.models import DaleLinear, Recurrent

NO_LAYERS = (nn.Embedding, nn.EmbeddingBag, nn.LayerNorm, nn.RMSNorm, nn.GroupNorm, DaleLinear)
PRODUCTS = {"matmul", "mm", "addmm", "bmm", "baddbmm"}
TURNING = {"t", "T", "mT", "transpose", "swapaxes", "swapdims"}
PICKING = {"getitem", "select", "chunk", "split", "unbind"}
PASSING = TURNING | PICKING | {"getattr", "permute", "contiguous", "view", "reshape"}


class Laid(NamedTuple):
    """How the axes of a weight lie.

    turned: its inputs come first, as in `x @ w`, where those of a Linear come last. stacked: its
    first axis counts matrices that are used each for itself.
    """

    turned: bool = False
    stacked: bool = False


@dataclass(frozen=True, eq=False)
class WeightLayer:
    """A weight of two axes or more, the bias beside it, and how deep it stands.

    name: of the weight among the parameters of the model. level: 0 for the first; weights that
    are used side by side, such as those of a skip connection, stand on the same, and so do those
    of a recurrent layer of torch from its inputs and from its own states, and those of a
    `Recurrent` with the layer in front of it. laid: how its axes lie.
    """

    name: str
    weight: nn.Parameter
    bias: nn.Parameter | None
    level: int
    laid: Laid


def weight_layers(model: nn.Module, inputs: Any = None) -> list[WeightLayer]:
    """The weight layers of a model by level, and in order of use within one.

    inputs: a batch, a tuple of arguments, or a mapping of them by name, that the model is run on to
    see what it uses when.
    Without them it is traced by torch.fx; a model that cannot be traced is taken in the order in
    which its layers are registered, with a warning where that may be another.
    Raises ValueError where there is none, TypeError for what is no module.
    """
    check_weights(model)
    found = _by_run(model, inputs) if inputs is not None else _by_trace(model)
    if found is None:
        found = _as_registered(model)
        if not _is_stack(model):
            warnings.warn(
                f"torch.fx cannot trace this {type(model).__name__}, so its weight layers are "
                "taken in the order in which they are registered, and as [outputs, inputs]. Give "
                "inputs= to have them in the order, and the way, in which they are used.",
                stacklevel=3,
            )
    layers = _numbered(model, found)
    if not layers:
        raise ValueError(
            f"this {type(model).__name__} has no weight layers: no linear map or convolution of "
            "what it is given uses a parameter with two axes or more."
        )
    return layers


def check_weights(model: Any) -> None:
    """Weights must be there, and be parameters themselves."""
    check_model(model)
    for place, key in computed_weights(model):
        raise ValueError(
            f"{f'{place}.{key}'.lstrip('.')} is computed from other parameters, as by weight "
            "or spectral norm: what is done to these is not done to it. Take that off first, "
            "such as by torch.nn.utils.parametrize.remove_parametrizations, and put it back."
        )


def check_model(model: Any) -> None:
    """A model must be a module that can be looked into, and its parameters must have values."""
    if not isinstance(model, nn.Module):
        raise TypeError(f"model must be a module of torch, got {model!r}.")
    if any(isinstance(part, torch.jit.ScriptModule) for part in model.modules()):
        raise TypeError(
            f"this {type(model).__name__} is scripted or traced, which hides what it computes: "
            "give the module that it was made of."
        )
    for name, own in model.named_parameters():
        if isinstance(own, nn.parameter.UninitializedParameter):
            raise ValueError(f"{name} has no shape yet: run the model once on a batch.")
        if own.is_meta:
            raise ValueError(
                f"{name} is on the meta device, where weights have no values: give it a place "
                "first, model.to_empty(device='cpu')."
            )


Found = list[tuple[nn.Parameter, int, Laid]]
"""Weights, how many weighed sums at the most lie before them, and how they lie."""


def _by_run(model: nn.Module, inputs: Any) -> Found:
    depth: dict[int, int] = {}
    used: list[tuple[Tensor, int, Laid]] = []
    embedded: list[Tensor] = []

    def heard(call: Call, _: list[Tensor]) -> None:
        before = [depth.get(number, 0) for number in call.inputs]
        level = max(before or depth.values(), default=0)
        if call.name in EMBEDDING:
            embedded.extend(call.held)
        elif call.name in USES:
            for beside in _weights_in(call):
                used.extend((held, level, _laid(call, held)) for held in beside)
                level += 1
        depth.update(dict.fromkeys(call.outputs, level))

    followed(model, inputs, heard)
    owners = parameters_in_use(model)
    shut = {id(owners.get(id(root_of(held)))) for held in embedded}
    known = [(owners.get(id(root_of(held))), level, laid) for held, level, laid in used]
    return [
        (own, level, laid) for own, level, laid in known if own is not None and id(own) not in shut
    ]


def _laid(call: Call, held: Tensor) -> Laid:
    """How the weight lies that a call uses, it or a view of it."""
    root = root_of(held)
    turned = held is not root and held.dim() > 1 and held.stride(-1) > held.stride(-2)
    if call.name not in PRODUCTS:
        return Laid(turned, stacked=root.dim() > held.dim() == 2)
    operands = [leaf for leaf in call.args if isinstance(leaf, Tensor | Slot)]
    return Laid((operands[-1] is held) != turned, stacked=root.dim() > 2)


def _weights_in(call: Call) -> list[list[Tensor]]:
    """Weights of a call, those that are used side by side together."""
    if call.name not in RECURRENT:
        held = [own for own in call.held if own.dim() > 1]
        return [held] if held else []
    if call.name.endswith("_cell"):
        return [list(call.args[2:4])]
    place = next(k for k, given in enumerate(call.args) if isinstance(given, bool))
    flat, layers = call.args[place - 1], call.args[place + 1]
    size = len(flat) // layers
    return [
        [own for own in flat[k * size : (k + 1) * size] if own.dim() > 1] for k in range(layers)
    ]


def _by_trace(model: nn.Module) -> Found | None:
    with unmasked(model):
        return _traced(model)


def _traced(model: nn.Module) -> Found | None:
    from torch import fx

    try:
        graph = _Tracer().trace(model)
    except Exception:  # whatever a forward may raise on proxies
        return None
    modules, depth = dict(model.named_modules()), dict[fx.Node, int]()
    found: Found = []
    for node in graph.nodes:
        level = max((depth[before] for before in node.all_input_nodes), default=0)
        for beside in _weights_of(node, modules, model):
            found += [(own, level, laid) for own, laid in beside]
            level += 1
        depth[node] = level
    return found


Beside = list[tuple[nn.Parameter, Laid]]
"""Weights that are used side by side, and how they lie."""


def _weights_of(node: Any, modules: dict[str, nn.Module], model: nn.Module) -> Iterator[Beside]:
    if node.op == "call_module":
        yield from _own_weights(modules[node.target])
    elif node.op in ("call_function", "call_method") and _plainly(node) in USES:
        named = dict(model.named_parameters(remove_duplicate=False))
        held = [
            (own, laid)
            for root, laid in _operands(node)
            if root.op == "get_attr" and (own := named.get(str(root.target))) is not None
        ]
        if weights := [(own, laid) for own, laid in held if own.dim() > 1]:
            yield [
                (own, laid._replace(stacked=laid.stacked and own.dim() > 2))
                for own, laid in weights
            ]


def _operands(node: Any) -> Iterator[tuple[Any, Laid]]:
    """What a node multiplies, and how it would lie there as a weight."""
    product = _plainly(node) in PRODUCTS
    given = [own for own in node.args if type(own) is type(node)]
    for place, own in enumerate(given):
        root, turned, picked = _turned_back(own)
        right = product and place == len(given) - 1
        yield root, Laid(right != turned, stacked=product or picked)


def _plainly(node: Any) -> str:
    """What a node calls."""
    return str(getattr(node.target, "__name__", node.target)).strip("_")


def _turned_back(node: Any) -> tuple[Any, bool, bool]:
    """What a node is made of, w of w[2].t(), whether that was turned, and picked from more."""
    turned = picked = False
    while node.op in ("call_function", "call_method") and (name := _plainly(node)) in PASSING:
        turned ^= name in TURNING or "T" in node.args or "mT" in node.args
        picked |= name in PICKING
        node = node.all_input_nodes[0]
    return node, turned, picked


def _Tracer() -> Any:
    from torch import fx

    class Tracer(fx.Tracer):
        """Looks into everything but layers of torch and of cells."""

        def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
            ours = type(m).__module__.startswith("amphid.") and not isinstance(m, nn.Sequential)
            return ours or super().is_leaf_module(m, module_qualified_name)

    return Tracer()


def _as_registered(model: nn.Module) -> Found:
    names = {id(own): name for name, own in model.named_parameters()}
    masked = {name for name, _ in model.named_buffers() if name.endswith("_mask")}
    named = {
        place
        for place, name in names.items()
        if "weight" in name.rpartition(".")[2] or f"{_plain(name)}_mask" in masked
    }
    groups = [[own for own in beside if id(own[0]) in named] for beside in _own_weights(model)]
    return [
        (own, place, laid)
        for place, beside in enumerate(filter(None, groups))
        for own, laid in beside
    ]


def _own_weights(module: nn.Module) -> Iterator[Beside]:
    """Weights of a module and of those in it, as registered, with those side by side together."""
    for part in module.modules():
        wide = {key: own for key, own in part.named_parameters(recurse=False) if own.dim() > 1}
        if isinstance(part, NO_LAYERS) or not wide:
            continue
        for beside in _side_by_side(part, wide):
            yield [(own, Laid()) for own in beside]


def _side_by_side(part: nn.Module, wide: dict[str, nn.Parameter]) -> Iterator[list[nn.Parameter]]:
    if isinstance(part, nn.RNNBase):
        for layer in range(part.num_layers):
            ends = tuple(f"_l{layer}{side}" for side in ("", "_reverse"))
            yield [own for key, own in wide.items() if _plain(key).endswith(ends)]
    elif isinstance(part, nn.MultiheadAttention):
        yield [own for key, own in wide.items() if "proj" in key]
    elif isinstance(part, nn.RNNCellBase):
        yield list(wide.values())
    else:
        yield from ([own] for own in wide.values())


def _plain(key: str) -> str:
    return key.removesuffix("_orig")


def _is_stack(model: nn.Module) -> bool:
    """Whether it is layers one after another, so that the order of registration is that of use."""
    parts = list(model.children()) if isinstance(model, nn.Sequential) else []
    return bool(parts) and all(not list(part.children()) or _is_stack(part) for part in parts)


def _numbered(model: nn.Module, found: Found) -> list[WeightLayer]:
    kept = (part for part in model.modules() if isinstance(part, NO_LAYERS))
    shut = {own for part in kept for own in part.parameters(recurse=False)}
    first: dict[nn.Parameter, int] = {}
    lie: dict[nn.Parameter, Laid] = {}
    for own, level, laid in found:
        if own not in shut:
            first.setdefault(own, level)
            lie.setdefault(own, laid)
    _beside_what_is_in_front(model, first)
    levels = {level: place for place, level in enumerate(sorted(set(first.values())))}
    named = {own: name for name, own in model.named_parameters()}
    layers = [
        WeightLayer(named[own], own, _bias(model, named[own]), levels[level], lie[own])
        for own, level in first.items()
    ]
    return sorted(layers, key=lambda layer: layer.level)


def _beside_what_is_in_front(model: nn.Module, first: dict[nn.Parameter, int]) -> None:
    """Put what carries cells' own outputs back to them on the level of what they receive."""
    loops = (part.projection for part in model.modules() if isinstance(part, Recurrent))
    for back in [own for loop in loops for own in loop.parameters() if own in first]:
        before = [level for own, level in first.items() if level < first[back]]
        first[back] = max(before, default=first[back])


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
