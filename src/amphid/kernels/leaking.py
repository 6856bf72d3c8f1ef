"""A sum over the past that forgets a share of itself in every step."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

from amphid.kernels.mapped import is_mapped, over_copies
from amphid.kernels.object_code import ObjectCode
from amphid.kernels.watched import is_watched

SOURCE = """
@inner
def first(n, x, y):
    for j in range(n):
        y[j] = x[j]


@inner
def next(n, kept, before, x, y):
    for j in range(n):
        y[j] = kept[0] * before[j] + x[j]


@outer
def forward(kept, x, y):
    first(x.shape[1], x[0], y[0])
    for t in range(1, x.shape[0]):
        next(x.shape[1], kept, y[t - 1], x[t], y[t])


@outer
def backward(kept, x, y):
    last = x.shape[0] - 1
    first(x.shape[1], x[last], y[last])
    for t in range(last - 1, -1, -1):
        next(x.shape[1], kept, y[t + 1], x[t], y[t])
"""


def leaking_sum(x: Tensor, kept: float) -> Tensor | None:
    r"""What is left of a sequence x [T, ...] after each step, in machine code.

    .. math:: y_t = a y_{t - 1} + x_t

    kept: the share a. None where only operations of torch will do.
    """
    if is_mapped(x) and not torch.is_grad_enabled():
        return over_copies(lambda own: [_run(own.movedim(1, 0), kept).movedim(1, 0)], (x,))[0]
    if is_watched(x) or not x.numel():
        return None
    found: Tensor = _LeakingSum.apply(x, kept)  # type: ignore[no-untyped-call]
    return found


def _run(x: Tensor, kept: float, *, back: bool = False) -> Tensor:
    rows = x if x.dim() == 2 else x.reshape(x.shape[0], -1)
    rows, result = rows.contiguous(), torch.empty(rows.shape, dtype=x.dtype)
    way = "backward" if back else "forward"
    _code().call(way, _number(kept, x.dtype), rows, result)
    return result if x.dim() == 2 else result.view(x.shape)


class _LeakingSum(torch.autograd.Function):
    """The sum over the past, whose adjoint is that over the future."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, kept: float) -> Tensor:
        ctx.kept = kept
        return _run(x, kept)

    @staticmethod
    def backward(ctx: Any, given: Tensor) -> Any:
        if torch.is_grad_enabled():  # it will be differentiated again
            return _Coming.apply(given, ctx.kept), None  # type: ignore[no-untyped-call]
        return _run(given, ctx.kept, back=True), None


class _Coming(torch.autograd.Function):
    """The sum over the future."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, kept: float) -> Tensor:
        ctx.kept = kept
        return _run(x, kept, back=True)

    @staticmethod
    def backward(ctx: Any, given: Tensor) -> Any:
        return _LeakingSum.apply(given, ctx.kept), None  # type: ignore[no-untyped-call]


@lru_cache
def _number(value: float, dtype: torch.dtype) -> Tensor:
    return torch.tensor([value], dtype=dtype)


@lru_cache
def _code() -> ObjectCode:
    return ObjectCode(SOURCE)
