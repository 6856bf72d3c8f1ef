"""Whether machine code may stand in for operations of torch."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import _get_current_dispatch_mode


def is_watched(tensor: Tensor) -> bool:
    """Whether it is not plain numbers in the memory of a processor, or something looks on.

    Compilers, exporters, vmap, forward gradients and counters of operations must see each of them.
    """
    return (
        type(tensor) not in (Tensor, nn.Parameter)
        or tensor.device.type != "cpu"
        or tensor.dtype not in (torch.float32, torch.float64)
        or torch.compiler.is_compiling()
        or torch._C._functorch.peek_interpreter_stack() is not None
        or _get_current_dispatch_mode() is not None
        or torch.autograd.forward_ad._current_level >= 0
    )
