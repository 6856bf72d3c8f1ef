"""A step as machine code that can be called with tensors."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils import _pytree as pytree

from amphid.kernels.object_code import ObjectCode
from amphid.kernels.program import write_loop
from amphid.kernels.shapes import common_shape
from amphid.kernels.tape import Traced, trace


class Kernel:
    """A compiled step, called like the step itself; see `compile_step`."""

    def __init__(self, traced: Traced) -> None:
        self.traced = traced
        loop = write_loop(traced, "cells")
        exact = not any(symbol.dtype is torch.float32 for symbol in traced.inputs)
        self.source = "@outer\n" + loop.text
        self._code = ObjectCode(self.source, exact=exact)

    def __call__(self, *given: Any) -> Any:
        """What the step gives for trees of tensors like the examples, of any shape [*B, N].

        Raises ValueError for another number of tensors or another type than the examples had.
        """
        leaves = pytree.tree_leaves(given)
        self._check(leaves)
        shape = common_shape(*(leaf.shape for leaf in leaves)) or torch.Size((1,))
        pairs = [*zip(self.traced.inputs, leaves, strict=True), *self.traced.constants]
        arrays = [laid_out(tensor, shape, shared=symbol.shared) for symbol, tensor in pairs]
        results = [torch.empty(shape, dtype=symbol.dtype) for symbol in self.traced.outputs]
        self._code.call("cells", shape.numel(), *arrays, *(result.view(-1) for result in results))
        return pytree.tree_unflatten(results, self.traced.structure)

    def _check(self, leaves: list[Any]) -> None:
        expected = [symbol.dtype for symbol in self.traced.inputs]
        got = [leaf.dtype if isinstance(leaf, Tensor) else type(leaf) for leaf in leaves]
        if got != expected:
            raise ValueError(
                f"a kernel must be given tensors of the types it was made for, {expected}; "
                f"got {got}."
            )


def compile_step(step: Callable[..., Any], *examples: Any) -> Kernel:
    """A step over cells as machine code.

    step: a function of trees of tensors (states, currents) to trees of tensors, elementwise, such
        as `lambda state, current: neuron.step(state, current, dt)`.
    examples: what it takes, to show the types: tensors [*B, N], or of one entry where one value
        stands for all cells.

    Plain numbers that the step reads become part of the code; tensors stay outside of it, so that
    a step of other values is not compiled again. They are read when the kernel is made.
    Raises UnknownOperation, naming it, for what is not elementwise, and ModuleNotFoundError where
    numba is missing.
    """
    return Kernel(trace(step, *examples))


def laid_out(tensor: Tensor, shape: torch.Size, *, shared: bool) -> NDArray[Any]:
    """A tensor as the one-dimensional array that a loop over cells of that shape reads."""
    tensor = tensor.detach()
    flat = tensor.reshape(1) if shared else tensor.expand(shape).reshape(-1)
    return np.ascontiguousarray(flat.numpy())
