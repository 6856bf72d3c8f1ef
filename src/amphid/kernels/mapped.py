"""All copies that `torch.func.vmap` stands for, handed to code that takes them at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.utils import _pytree as pytree

from amphid.kernels.watched import looked_on

_functorch: Any = torch._C._functorch


def is_mapped(tensor: Tensor) -> bool:
    """Whether vmap is what looks on, so that its copies may be run side by side.

    The transform that acts first must be vmap; others around it see what is done with its copies.
    """
    if torch.compiler.is_compiling():  # first: a compiler cannot read a context
        return False
    transform = _functorch.peek_interpreter_stack()
    mapping = transform is not None and transform.key() == _functorch.TransformType.Vmap
    return mapping and not looked_on(tensor)


def draws_alike() -> bool:
    """Whether all copies within vmap see the same random numbers."""
    randomness: Any = _functorch.peek_interpreter_stack()
    mapping: Any = _functorch.CVmapInterpreterPtr(randomness)
    alike: bool = mapping.randomness() == _functorch.RandomnessType.Same
    return alike


def over_copies(
    work: Callable[..., Sequence[Tensor]], tensors: Sequence[Tensor]
) -> tuple[Tensor, ...]:
    """What `work(*tensors)` gives within vmap, once every tensor has a first axis for the copies.

    That axis has one entry where all copies are the same, in what `work` takes and in what it
    gives; it may give nothing.
    """
    from torch._functorch.pyfunctorch import retrieve_current_functorch_interpreter

    interpreter: Any = retrieve_current_functorch_interpreter()
    level = interpreter.level()
    parted = [_functorch._unwrap_batched(tensor, level) for tensor in tensors]
    with interpreter.lower():
        found = work(*(own[None] if at is None else own.movedim(at, 0) for own, at in parted))
    return tuple(
        own[0] if len(own) == 1 else _functorch._add_batch_dim(own, 0, level) for own in found
    )


def copy_by_copy(module: nn.Module, work: Callable[..., Any], *given: Any) -> Any:
    """What `work(*given)` gives within vmap, asked for one copy after another.

    For work on a module in machine code that takes a single copy at a time: it finds the module
    with the parameters and buffers of each copy, and all generators where the first copy found
    them. given: trees of tensors.
    """
    every: list[tuple[str, Tensor]] = [*module.named_parameters(), *module.named_buffers()]
    named = {name: own for name, own in every if own.is_floating_point()}
    leaves, spec = pytree.tree_flatten(
        (given, {f"module.{name}": own for name, own in named.items()})
    )
    calling, found = _Calling(module, work), []
    held = (own for part in module.modules() for own in vars(part).values())
    sources = [torch.default_generator, *(own for own in held if isinstance(own, torch.Generator))]
    before = [source.get_state() for source in sources]

    def run(*tensors: Tensor) -> list[Tensor]:
        copies = max(map(len, tensors))
        for k in range(copies):
            for source, state in zip(sources, before, strict=True):
                source.set_state(state)
            own = [tensor[k if len(tensor) > 1 else 0] for tensor in tensors]
            arguments, values = pytree.tree_unflatten(own, spec)
            found.append(pytree.tree_flatten(functional_call(calling, values, arguments)))
        return [torch.stack(own) for own in zip(*(result for result, _ in found), strict=True)]

    results = over_copies(run, leaves)
    return pytree.tree_unflatten(list(results), found[0][1])


class _Calling(nn.Module):
    """Work on a module where torch calls `forward`."""

    def __init__(self, module: nn.Module, work: Callable[..., Any]) -> None:
        super().__init__()
        self.module, self.work = module, work

    def forward(self, *given: Any) -> Any:
        return self.work(*given)
