"""What pools connect, and what resizes maps: along every axis, which places look at which."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from amphid.measures.emerging.calls import Call

Ones = Callable[..., Any]
"""From the followed inputs of a call, as float64, to what it connects them to."""


def interpolated(call: Call) -> Ones:
    """A map made larger or smaller: each place with those that it is made from."""
    args, kwargs = call.filled((torch.zeros(()),))
    names = ("size", "scale_factor", "mode", "align_corners")
    said = {**dict(zip(names, args[1:], strict=False)), **kwargs}
    mode, corners = said.get("mode", "nearest"), said.get("align_corners")
    axes, after = len(call.shapes[0]) - 2, call.shapes[0][2:]

    def windows(before: int, axis: int) -> Tensor:
        if mode == "area":
            return _adaptive(before, after[axis])
        way = mode if mode in ("nearest", "nearest-exact", "bicubic") else "bilinear"
        each = torch.eye(before, dtype=torch.float64)[None, None]
        size = (before, after[axis])  # rows stay
        seen = functional.interpolate(each, size, mode=way, align_corners=corners)
        return (seen[0, 0].T != 0).double()

    return lambda x: _along_axes(x, axes, windows)


def pooled(call: Call) -> Ones:
    """A pool: along every axis, which places of the input each place of the output looks at."""
    axes = int(call.name[-2])
    args, kwargs = call.filled((torch.zeros(()),))
    adaptive = call.name.startswith("adaptive")
    after = call.shapes[0][-axes:]
    names: tuple[str, ...] = ("kernel_size", "stride", "padding")
    if call.name.startswith("max"):
        names += ("dilation",)
    given = args[2:] if call.name.startswith("lp") else args[1:]
    said = {**dict(zip(names, given, strict=False)), **kwargs}

    def windows(before: int, axis: int) -> Tensor:
        if adaptive:
            return _adaptive(before, after[axis])
        kernel = _along(said["kernel_size"], axis)
        stride = _along(said.get("stride") or kernel, axis)
        padding = _along(said.get("padding", 0), axis)
        return _window(
            before, after[axis], kernel, stride, padding, _along(said.get("dilation", 1), axis)
        )

    return lambda x: _along_axes(x, axes, windows)


def _along_axes(x: Tensor, axes: int, windows: Callable[[int, int], Tensor]) -> Tensor:
    """Along each of the last axes, the sum over the places that a place looks at."""
    for axis in range(axes):
        place = axis - axes
        window = windows(x.shape[place], axis)
        x = torch.tensordot(x, window, ([place], [1])).movedim(-1, place)
    return x


def _along(value: Any, axis: int) -> int:
    several = isinstance(value, tuple | list)
    return int(value[axis if len(value) > 1 else 0]) if several else int(value)


def _window(
    before: int, after: int, kernel: int, stride: int, padding: int, dilation: int
) -> Tensor:
    """[after, before] one where a place of the output looks at one of the input."""
    seen = torch.zeros(after, before, dtype=torch.float64)
    for place in range(after):
        looked = torch.arange(kernel) * dilation + place * stride - padding
        seen[place, looked[(looked >= 0) & (looked < before)]] = 1.0
    return seen


def _adaptive(before: int, after: int) -> Tensor:
    seen = torch.zeros(after, before, dtype=torch.float64)
    for place in range(after):
        low, high = place * before // after, math.ceil((place + 1) * before / after)
        seen[place, low:high] = 1.0
    return seen
