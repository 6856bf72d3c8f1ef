"""Whether machine code may stand in for operations of torch."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import _get_current_dispatch_mode

_plain: ContextVar[bool] = ContextVar("plain", default=False)


@contextmanager
def step_by_step() -> Iterator[None]:
    """Within it, cells and projections take every step as an operation of torch of its own.

    Slower, and what machine code is compared with; gradients can then be differentiated again.
    """
    before = _plain.set(True)
    try:
        yield
    finally:
        _plain.reset(before)


def refuse_twice() -> None:
    """Raise RuntimeError, with the way out, where a gradient is to be differentiated again."""
    if torch.is_grad_enabled():
        raise RuntimeError(
            "a gradient that was asked for with create_graph=True cannot be had from machine code: "
            "run the forward pass within `with amphid.dynamics.step_by_step():`."
        )


def is_watched(tensor: Tensor, *devices: str) -> bool:
    """Whether it is not plain numbers in the memory of a processor, or something looks on.

    Compilers, exporters, vmap, forward gradients and counters of operations must see each of them.
    devices: types of those whose memory will do as well, such as "cuda".
    """
    return (
        torch.compiler.is_compiling()  # first: a compiler cannot read a context
        or torch._C._functorch.peek_interpreter_stack() is not None
        or looked_on(tensor, *devices)
    )


def looked_on(tensor: Tensor, *devices: str) -> bool:
    """The same, whatever transforms of functions there are."""
    return (
        _plain.get()
        or type(tensor) not in (Tensor, nn.Parameter)
        or tensor.device.type not in ("cpu", *devices)
        or tensor.dtype not in (torch.float32, torch.float64)
        or _get_current_dispatch_mode() is not None
        or torch.autograd.forward_ad._current_level >= 0
    )
