"""What a model does with its weights, heard while it runs and without leaving a trace in it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from amphid.measures.emerging.calls import Following, Heard, asked
from amphid.measures.emerging.connecting import WEIGHING
from amphid.measures.emerging.parts import ATTENTION, RECURRENT, attention

USES = WEIGHING | RECURRENT


def followed(model: nn.Module, inputs: Any, heard: Heard) -> None:
    """Run a model on a batch, or on a tuple of arguments, and tell of what it does with them.

    Attention is told part by part, a recurrent layer of torch as one. Gradients should be on:
    without them torch takes fused ways that hide their weights.
    """
    arguments = tuple(inputs) if isinstance(inputs, tuple | list) else (inputs,)
    tensors = [leaf for leaf in pytree.tree_leaves(arguments) if isinstance(leaf, Tensor)]
    following = Following(tensors, heard, also=USES, parts={ATTENTION: attention})
    with untouched(model), layer_by_layer(model), following:
        asked(model, arguments)


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
    held = [(buffer, buffer.clone()) for buffer in model.buffers()]
    try:
        with torch.random.fork_rng():
            yield
    finally:
        with torch.no_grad():
            for buffer, before in held:
                buffer.copy_(before)


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
