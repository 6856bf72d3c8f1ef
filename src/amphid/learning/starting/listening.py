"""What a model does with its weights, heard while it runs and without leaving a trace in it."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.prune import BasePruningMethod
from torch.utils import _pytree as pytree

from amphid.measures.emerging.calls import Following, Heard, asked, in_order
from amphid.measures.emerging.connecting import WEIGHING
from amphid.measures.emerging.parts import ATTENTION, RECURRENT, attention

USES = WEIGHING | RECURRENT


def followed(model: nn.Module, inputs: Any, heard: Heard) -> None:
    """Run a model on a batch, on a tuple of arguments or on some by name, and tell of what it does.

    Attention is told part by part, a recurrent layer of torch as one. Gradients should be on:
    without them torch takes fused ways that hide their weights.
    """
    called, arguments = in_order(model, inputs)
    tensors = [leaf for leaf in pytree.tree_leaves(arguments) if isinstance(leaf, Tensor)]
    following = Following(tensors, heard, also=USES, parts={ATTENTION: attention})
    with untouched(model), layer_by_layer(model), following:
        asked(called, arguments)


@contextmanager
def layer_by_layer(model: nn.Module) -> Iterator[None]:
    """Within the block layers with weights are called one by one, not compiled as one."""

    def listen(module: nn.Module, given: Any, output: Any) -> None:
        """Somebody listens."""

    weighed = [part for part in model.modules() if [*part.parameters(recurse=False)]]
    hooks = [part.register_forward_hook(listen) for part in weighed]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


@contextmanager
def untouched(model: nn.Module) -> Iterator[None]:
    """After the block random numbers and buffers, such as averages of norms, are as before."""
    held = [
        (part, key, buffer, buffer.clone())
        for part in model.modules()
        for key, buffer in part._buffers.items()
        if buffer is not None
    ]
    try:
        with torch.random.fork_rng():
            yield
    finally:
        with torch.no_grad():
            for part, key, buffer, before in held:
                part._buffers[key] = buffer  # another may stand there, as the state of cells
                buffer.copy_(before)


@contextmanager
def unmasked(model: nn.Module) -> Iterator[None]:
    """Within the block masked weights are parameters under their own names, as before pruning."""
    held = [(part, dict(vars(part))) for part in model.modules() if _masked_keys(part)]
    for part, before in held:
        keys = _masked_keys(part)
        before = {key: own for key, own in before.items() if key not in keys}
        before["_parameters"] = {
            plain if (plain := key.removesuffix("_orig")) in keys else key: own
            for key, own in part._parameters.items()
        }
        before["_forward_pre_hooks"] = OrderedDict(
            (number, hook)
            for number, hook in part._forward_pre_hooks.items()
            if not isinstance(hook, BasePruningMethod)
        )
        _become(part, before)
    try:
        yield
    finally:
        for part, before in held:
            _become(part, before)


def _masked_keys(part: nn.Module) -> set[str]:
    """Names of the parameters of a module that torch's pruning has put under a mask."""
    masks = (key.removesuffix("_mask") for key in part._buffers if key.endswith("_mask"))
    return {key for key in masks if f"{key}_orig" in part._parameters}


def _become(part: nn.Module, held: dict[str, Any]) -> None:
    vars(part).clear()
    vars(part).update(held)


def parameters_in_use(model: nn.Module) -> dict[int, nn.Parameter]:
    """Parameters by the id of what the model computes with: itself, or itself under a mask."""
    owners = {id(own): own for own in model.parameters()}
    for module in model.modules():
        for key, own in module.named_parameters(recurse=False):
            masked = vars(module).get(key.removesuffix("_orig"))
            if isinstance(masked, Tensor):
                owners[id(masked)] = own
    return owners


def root_of(held: Tensor) -> Tensor:
    """What a view was made of, or itself."""
    return held if held._base is None else held._base
