"""Run the loop over a sequence as one kernel of an accelerator, by Triton where it is installed."""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from amphid.kernels.machine_code import module_of
from amphid.kernels.sequence import REPEATED, Role, constants
from amphid.kernels.steady import Parted
from amphid.kernels.triton_sequence import HEADER, write_kernel
from amphid.kernels.triton_text import elementary_in_blocks

BLOCK = 128  # cells of a program, one for each thread
FEW = 2**16  # cells, below which blocks of one warp keep more of a device busy


class TritonLoop:
    """The loop over a sequence of tensors on a device; called like `Compiled`.

    Raises ModuleNotFoundError where triton is missing.
    """

    def __init__(
        self,
        parted: Parted,
        roles: Sequence[Role],
        into: Mapping[int, int],
        *,
        backward: bool = False,
    ) -> None:
        kernel = write_kernel(parted, roles, into, backward=backward)
        self.source = f"{HEADER}\n\n{elementary_in_blocks()}\n\n{kernel}"
        self.kernel = module_of(self.source, f"triton {_version()}").run
        held = {s: t for p in (parted.single, parted.each, parted.every) for s, t in p.constants}
        symbols = [*parted.every.inputs[: len(roles)], *constants(parted)]
        self.shared = [symbol.shared for symbol in symbols]
        self.loose = any(symbol.dtype is torch.float32 for symbol in symbols)
        self.constants = [held[symbol] for symbol in symbols[len(roles) :]]
        self.rows = [role.row is not None for role in roles] + [False] * len(self.constants)
        self.repeated = roles.index(REPEATED) if REPEATED in roles else None

    def __call__(
        self, steps: int, inputs: Sequence[Tensor], results: Sequence[Tensor], shape: torch.Size
    ) -> None:
        """Run over inputs and results; inputs that are replaced are changed in place."""
        cells = shape.numel()
        own = zip((*inputs, *self.constants), self.rows, self.shared, strict=True)
        arrays = [_array(tensor, rows, shared, shape) for tensor, rows, shared in own]
        one_row = self.repeated is not None and len(inputs[self.repeated]) == 1
        block = BLOCK if cells >= FEW else BLOCK // 4
        with torch.cuda.device_of(inputs[-1]):
            self.kernel[(-(-cells // block),)](
                steps,
                cells,
                0 if one_row else cells,
                *arrays,
                *results,
                BLOCK=block,
                num_warps=block // 32,
                enable_fp_fusion=self.loose,
            )


def _version() -> str:
    triton: Any = importlib.import_module("triton")
    return str(triton.__version__)


def _array(tensor: Tensor, rows: bool, shared: bool, shape: torch.Size) -> Any:  # noqa: FBT001  in a row
    """A tensor as a kernel reads it: one number after another."""
    tensor = tensor.detach()
    if shared:
        return tensor.reshape(1)
    return tensor.contiguous() if rows else tensor.expand(shape).contiguous()
