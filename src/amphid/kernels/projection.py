"""A linear map of spikes that costs what the spikes cost, not what their absence would.

A row of weights is added for every event instead of a product being taken with every zero.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from amphid.kernels.object_code import ObjectCode
from amphid.kernels.watched import is_watched, refuse_twice

DENSE = 0.2  # share of entries that are not zero, above which a matrix product costs less
FEW = 2**14  # entries, below which looking for zeros costs as much as the product

# rows are not sliced: a view counts its owners, which costs more than adding a row of weights
SOURCE = '''
@outer
def index(x, start, place):
    """Where rows of x [R, F] are not zero; the count, or -1 when there is no room for it."""
    count, room = 0, len(place) - x.shape[1]
    for r in range(x.shape[0]):
        start[r] = count
        if count > room:
            return -1
        for f in range(x.shape[1]):
            place[count] = f
            count += x[r, f] != 0
    start[x.shape[0]] = count
    return count


@outer
def unlike_spikes(x, start, place):
    """How many of the events of x [R, F] are not one."""
    count = 0
    for r in range(x.shape[0]):
        for e in range(start[r], start[r + 1]):
            count += x[r, place[e]] != 1
    return count


@outer
def gather(start, place, value, w, y):
    """y[r] += the sum of w[f] over the events f of row r, scaled where they have values."""
    for r in range(y.shape[0]):
        e, end = start[r], start[r + 1]
        while e < end and len(value) > 0:
            a, scale = place[e], value[e]
            for k in range(y.shape[1]):
                y[r, k] += scale * w[a, k]
            e += 1
        while e + 4 <= end:
            a, b, c, d = place[e], place[e + 1], place[e + 2], place[e + 3]
            for k in range(y.shape[1]):
                y[r, k] += (w[a, k] + w[b, k]) + (w[c, k] + w[d, k])
            e += 4
        while e < end:
            a = place[e]
            for k in range(y.shape[1]):
                y[r, k] += w[a, k]
            e += 1


@outer
def scatter(start, place, value, g, w):
    """w[f] += g[r] for every event f of every row r, scaled likewise."""
    for r in range(g.shape[0]):
        e, end = start[r], start[r + 1]
        while e < end and len(value) > 0:
            a, scale = place[e], value[e]
            for k in range(g.shape[1]):
                w[a, k] += scale * g[r, k]
            e += 1
        while e + 2 <= end:
            a, b = place[e], place[e + 1]
            for k in range(g.shape[1]):
                w[a, k] += g[r, k]
                w[b, k] += g[r, k]
            e += 2
        while e < end:
            a = place[e]
            for k in range(g.shape[1]):
                w[a, k] += g[r, k]
            e += 1
'''


@dataclass(frozen=True, eq=False)
class Events:
    """Where a matrix [R, F] is not zero: row r has the places start[r] to start[r + 1].

    value: of each event, empty where all are one.
    """

    start: Tensor
    place: Tensor
    value: Tensor

    @staticmethod
    def of(rows: Tensor) -> Events | None:
        """The events of a matrix, or None where it is not sparse."""
        x = rows.detach()
        room = int(DENSE * x.numel()) + x.shape[1]
        place = torch.empty(room, dtype=torch.int32)
        start = torch.empty(len(x) + 1, dtype=torch.int64)
        count = _code().call("index", x, start, place)
        if count < 0:
            return None
        place = place[:count].clone()
        if _code().call("unlike_spikes", x, start, place) == 0:
            return Events(start, place, x[:0, 0])
        row = torch.arange(len(x)).repeat_interleave(start.diff())
        return Events(start, place, x[row, place])


def project(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """x [..., F] times weight [K, F], plus bias [K]: [..., K], as torch's `linear` gives it.

    Where most of x is zero, as with spikes, only the rest is looked at: forward and for the
    gradient of the weight. Sums are then taken in another order.
    """
    known = all(t is None or not is_watched(t) for t in (x, weight, bias))
    if not known or x.numel() < FEW or x.dtype != weight.dtype:
        return functional.linear(x, weight, bias)
    rows = x.reshape(-1, x.shape[-1]).contiguous()
    try:
        events = Events.of(rows)
    except ModuleNotFoundError:  # numba
        events = None
    if events is None:
        return functional.linear(x, weight, bias)
    y: Tensor = _Projection.apply(rows, weight, bias, events)  # type: ignore[no-untyped-call]
    return y.view(*x.shape[:-1], len(weight))


class _Projection(torch.autograd.Function):
    """The linear map of a matrix whose events are known."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, events: Events) -> Tensor:
        ctx.save_for_backward(weight)
        ctx.events = events
        columns = weight.detach().t().contiguous()
        y = x.new_zeros(len(x), len(weight)) if bias is None else bias.expand(len(x), -1).clone()
        _code().call("gather", events.start, events.place, events.value, columns, y)
        return y

    @staticmethod
    def backward(ctx: Any, given: Tensor) -> tuple[Tensor | None, ...]:
        refuse_twice()
        (weight,) = ctx.saved_tensors
        of_x, of_weight, of_bias, _ = ctx.needs_input_grad
        into = given.mm(weight) if of_x else None
        bias = given.sum(0) if of_bias else None
        if not of_weight:
            return into, None, bias, None
        events, total = ctx.events, weight.new_zeros(weight.shape[::-1])
        rows = given.contiguous()
        _code().call("scatter", events.start, events.place, events.value, rows, total)
        return into, total.t(), bias, None


@cache
def _code() -> ObjectCode:
    return ObjectCode(SOURCE, exact=False)
