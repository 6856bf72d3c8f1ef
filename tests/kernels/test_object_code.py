"""Generated source does as machine code what it does in Python."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from amphid.kernels import ObjectCode, UnknownOperation

pytest.importorskip("llvmlite", reason="llvmlite is not installed")

f4, f8, i4, i8 = np.float32, np.float64, np.int32, np.int64


def numbers(x: Any, n: Any, y: Any, m: Any) -> Any:
    for i in range(len(x)):
        a = x[i]
        y[i, 0] = (a if a > 0.0 else -a) / 3.0 + a * a
        y[i, 1] = abs(a) - np.sqrt(abs(a)) * np.float64(-1.5)
        y[i, 2] = np.floor(a) + np.ceil(a) * 2.0 + np.rint(a) * 4.0 + np.trunc(a) * 8.0
        y[i, 3] = math.erf(a) + np.arctan(a) + np.log1p(abs(a)) + abs(a) ** 1.5
        y[i, 4] = f8(f4(a)) + f8(i8(a * 10.0))
        m[i] = ((n[i] << i8(3)) ^ (n[i] >> i8(2))) & ~i8(5) | i8(7)
    return len(x) * 2 - 1


def loops(x: Any, y: Any, z: Any, w: Any) -> Any:
    total, i = 0, 0
    own = np.empty(len(x), np.float64)
    while i < len(x) and total < 900:
        own[i] = x[i] * 0.5
        i += 1
        if x[i - 1] < 0.0:
            continue
        total += i
    for k in range(len(x) - 1, -1, -3):
        y[k] += own[k]
    for k in range(2, len(x)):
        if k > 20:
            return total
        y[k] = y[k] - 1.0
    return -1


def parts(x: Any, y: Any, z: Any, w: Any) -> Any:
    for t in range(y.shape[0]):
        shifted(x[2:7], y[t, 2:7], t)
        shifted(y[t], z[t], min(t, 2))
    w[0] = y[1, 3] > y[0, 3]


def shifted(a: Any, b: Any, t: Any) -> Any:
    for k in range(len(a)):
        b[k] = a[k] + f8(t)


def drawn(*shape: int) -> Tensor:
    generator = torch.Generator().manual_seed(sum(shape))
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


def text(*functions: Callable[..., Any]) -> str:
    return "\n\n".join(inspect.getsource(own) for own in functions)


CASES = {
    "numbers": (
        (numbers,),
        lambda: (2 * drawn(11), torch.arange(-5, 6), drawn(11, 5), torch.arange(11)),
    ),
    "loops": ((loops,), lambda: (drawn(31), drawn(31), drawn(1), drawn(1))),
    "parts": (
        (parts, shifted),
        lambda: (drawn(7), drawn(3, 7), drawn(3, 7), torch.zeros(1, dtype=torch.bool)),
    ),
}  # fmt: skip


@pytest.mark.parametrize(("functions", "given"), CASES.values(), ids=CASES.keys())
@pytest.mark.parametrize("exact", [True, False])
def test_source_does_what_it_does_in_python(
    functions: tuple[Callable[..., Any], ...], given: Callable[[], tuple[Tensor, ...]], exact: bool
) -> None:
    ours, theirs = given(), given()
    expected = functions[0](*(tensor.numpy() for tensor in theirs))
    found = ObjectCode(text(*functions), exact=exact).call(functions[0].__name__, *ours)
    assert found == expected or expected is None
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-15, atol=1e-15)


def test_tensors_and_arrays_of_every_type_go_in() -> None:
    source = "def twice(x, y):\n    for i in range(len(x)):\n        y[i] += x[i]\n"
    for kind in (torch.float32, torch.float64, torch.int32, torch.int64):
        x, y = torch.arange(7).to(kind), torch.ones(7, dtype=kind)
        ObjectCode(source).call("twice", x.numpy(), y)
        assert torch.equal(y, 1 + x)


def test_what_lies_across_in_memory_is_refused() -> None:
    source = "def nothing(x):\n    pass\n"
    with pytest.raises(ValueError, match="one row after another"):
        ObjectCode(source).call("nothing", torch.zeros(3, 5).t())


@pytest.mark.parametrize(
    ("line", "named"),
    [
        ("x[0] = np.sinc(x[0])", r"function np\.sinc"),
        ("with x: pass", "With"),
        ("x[0] = [y for y in x]", "ListComp"),
        ("x[0] = unknown", "unknown"),
    ],
)
def test_what_cannot_be_written_is_named(line: str, named: str) -> None:
    with pytest.raises(UnknownOperation, match=named):
        ObjectCode(f"def run(x):\n    {line}\n").call("run", torch.zeros(1))
