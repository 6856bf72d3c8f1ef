"""As much of Triton's language as generated kernels use, on the processor, by NumPy.

A program is run after another; what lies outside of a mask is read as not a number.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor


@dataclass
class Pointer:
    """Places in an array."""

    array: NDArray[Any]
    place: Any = 0

    def __add__(self, places: Any) -> Pointer:
        return Pointer(self.array, self.place + places)


class Launched:
    """A function of blocks; indexed with a grid, a kernel."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self.function = function

    def __call__(self, *given: Any) -> Any:
        return self.function(*given)

    def __getitem__(self, grid: tuple[int]) -> Callable[..., None]:
        def launch(*given: Any, BLOCK: int, **options: Any) -> None:
            arrays = [Pointer(x.numpy().reshape(-1)) if isinstance(x, Tensor) else x for x in given]
            for program in range(*grid):
                Language.program = program
                with np.errstate(all="ignore"):
                    self.function(*arrays, BLOCK)

        return launch


class Language(ModuleType):
    """What `tl` stands for."""

    program = 0
    constexpr = int
    int1, int32, int64 = np.bool_, np.int32, np.int64
    float32, float64 = np.float32, np.float64
    abs, minimum, sqrt, log, floor, ceil = np.abs, np.minimum, np.sqrt, np.log, np.floor, np.ceil
    where, broadcast_to = staticmethod(np.where), staticmethod(np.broadcast_to)

    @staticmethod
    def program_id(axis: int) -> Any:
        return np.int32(Language.program)

    @staticmethod
    def arange(low: int, high: int) -> Any:
        return np.arange(low, high, dtype=np.int32)

    @staticmethod
    def full(shape: tuple[int, ...], value: Any, dtype: Any) -> Any:
        return np.full(shape, value, dtype)[()]

    @staticmethod
    def cast(value: Any, dtype: Any, *, bitcast: bool = False) -> Any:
        array = np.asarray(value)
        return (array.view(dtype) if bitcast else array.astype(dtype))[()]

    @staticmethod
    def load(pointer: Pointer, mask: Any = True) -> Any:
        array = pointer.array
        found = array[np.where(mask, pointer.place, 0)]
        unread = np.nan if array.dtype.kind == "f" else array.dtype.type(1)
        return np.where(mask, found, unread).astype(array.dtype)[()]

    @staticmethod
    def store(pointer: Pointer, value: Any, mask: Any) -> None:
        assert np.result_type(value) == pointer.array.dtype
        pointer.array[pointer.place[mask]] = np.broadcast_to(value, mask.shape)[mask]


def modules() -> dict[str, ModuleType]:
    """What `import` finds in place of Triton."""
    triton, language, extra = ModuleType("triton"), Language("tl"), ModuleType("extra")
    triton.jit, triton.__version__, triton.language = Launched, "shim", language  # type: ignore[attr-defined]
    language.extra, extra.libdevice = extra, ModuleType("libdevice")  # type: ignore[attr-defined]
    return {"triton": triton, "triton.language": language, "triton.language.extra": extra}
