"""All copies that `torch.func.vmap` stands for, handed to code that takes them at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

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
