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
        asked = [inputs[place].requires_grad_() for place in wrt]
        with torch.enable_grad():
            results = [out for out in step(*inputs) if out.is_floating_point()]
        pairs = [(r, g) for r, g in zip(results, gradients, strict=True) if r.requires_grad]
        found = _pulled(pairs, asked) if pairs else [None] * len(asked)
        return tuple(
            torch.zeros_like(one) if own is None else own
            for one, own in zip(asked, found, strict=True)
        )

    return trace(product, *examples, *outputs)


def _pulled(pairs: Sequence[tuple[Tensor, Tensor]], asked: Sequence[Tensor]) -> Sequence[Any]:
    """Gradients of what was asked for, None where nothing depends on it."""
    # torch.autograd.grad does this after it has loaded an algebra system to compare shapes
    engine: Any = torch.autograd.Variable._execution_engine
    found: Sequence[Any] = engine.run_backward(
        tuple(result for result, _ in pairs),
        tuple(gradient for _, gradient in pairs),
        False,  # noqa: FBT003  keep the graph
        False,  # noqa: FBT003  make one of the gradients
        tuple(asked),
        allow_unreachable=True,
        accumulate_grad=False,
    )
    return found
