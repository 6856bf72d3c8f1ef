"""The adjoint of a step: how what comes out of it weighs on what goes in."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from amphid.kernels.tape import Traced, trace


def trace_adjoint(
    step: Callable[..., Sequence[Tensor]], examples: Sequence[Tensor], wrt: Sequence[int]
) -> Traced:
    """The vector-Jacobian product of a step, as one flat list of operations.

    step: takes the examples one by one and gives a sequence of tensors. wrt: places of those inputs
    that a gradient is asked for, all of them real numbers.

    It takes the inputs of the step, then one gradient for each result that is a real number, and
    gives the gradients of the inputs asked for. Raises UnknownOperation.
    """
    outputs = [out for out in step(*examples) if out.is_floating_point()]

    def product(*given: Tensor) -> tuple[Tensor, ...]:
        inputs, gradients = given[: len(examples)], given[len(examples) :]

        def moved(*chosen: Tensor) -> tuple[Tensor, ...]:
            every = list(inputs)
            for place, value in zip(wrt, chosen, strict=True):
                every[place] = value
            return tuple(out for out in step(*every) if out.is_floating_point())

        pull: Any = torch.func.vjp(moved, *(inputs[place] for place in wrt))[1]
        return tuple(pull(gradients))

    return trace(product, *examples, *outputs)
