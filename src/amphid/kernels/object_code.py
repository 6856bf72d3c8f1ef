"""Compile LLVM's assembly to object code, keep it for all processes, and call it."""

from __future__ import annotations

import ctypes
import hashlib
import importlib
import os
import tempfile
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from torch import Tensor

from amphid.kernels.ir_text import write_module
from amphid.kernels.ir_types import CASTS, Kind
from amphid.kernels.machine_code import cache_folder, elementary

LOOSE = "contract arcp nsz "
"""What may be rounded otherwise: a product and a sum at once, and x / 3 as x * (1 / 3)."""

_engines: list[Any] = []  # what is loaded lasts as long as the process


class ObjectCode:
    """Functions of a source, as machine code without numba; see `write_module`.

    A function is compiled for the types of the arguments of its first call. It takes whole numbers,
    and tensors and arrays that stand in memory one row after another.
    """

    def __init__(self, source: str, *, exact: bool = True) -> None:
        self.source, self.rounding = f"{elementary()}\n{source}", "" if exact else LOOSE
        self._known: dict[Any, Callable[..., int]] = {}

    def call(self, name: str, *given: Any) -> int:
        """Call a function; what it returns, where it returns something."""
        return self.function(name, *given)(*numbers(given))

    def function(self, name: str, *given: Any) -> Callable[..., int]:
        """A function for arguments of the kinds of these, to be called with their `numbers`."""
        key = name, *(None if type(own) is int else (own.dtype, own.ndim) for own in given)
        if key not in self._known:
            kinds = tuple(map(_kind, given))
            self._known[key] = _function(self.source, name, kinds, self.rounding)
        return self._known[key]


def numbers(given: Sequence[Any]) -> list[int]:
    """What machine code is handed of its arguments: numbers, or where arrays are and their shape.

    Whoever hands it over sees to it that the arrays last.
    """
    return [number for own in given for number in _numbers(own)]


def _kind(given: Any) -> Kind:
    if type(given) is int:
        return Kind("i8")
    return Kind(CASTS[f"np.{str(given.dtype).removeprefix('torch.')}"], given.ndim)


def _numbers(given: Any) -> Sequence[int]:
    if type(given) is int:
        return (given,)
    tensor = isinstance(given, Tensor)
    if not (given.is_contiguous() if tensor else given.flags.c_contiguous):
        raise ValueError(
            "machine code takes arrays that stand in memory one row after another; got shape "
            f"{list(given.shape)} laid out otherwise: make it contiguous."
        )
    return (given.data_ptr() if tensor else given.ctypes.data), *given.shape


@cache
def _function(source: str, name: str, kinds: tuple[Kind, ...], rounding: str) -> Callable[..., int]:
    """The machine code of a function for arguments of some kinds."""
    llvm, machine = _llvm(), _machine()
    versions = f"{llvm.llvm_version_info} {machine.triple} {_processor()} {_writer()}"
    key = hashlib.sha256(f"{versions} {name} {kinds} {rounding}\n{source}".encode()).hexdigest()
    path = cache_folder() / f"object_{key[:24]}.o"
    if not path.exists():
        _write(path, _compiled(write_module(source, name, kinds, rounding=rounding)))
    engine = llvm.create_mcjit_compiler(llvm.parse_assembly(""), machine)
    engine.add_object_file(llvm.ObjectFileRef.from_data(path.read_bytes()))
    engine.finalize_object()
    _engines.append(engine)
    size = sum(1 + kind.axes for kind in kinds)
    prototype = ctypes.CFUNCTYPE(ctypes.c_int64, *[ctypes.c_int64] * size)
    return prototype(engine.get_function_address(name))


@cache
def _writer() -> str:
    """What assembly is written by: another version of it may write another."""
    texts = (path.read_bytes() for path in sorted(Path(__file__).parent.glob("ir_*.py")))
    return hashlib.sha256(b"".join(texts)).hexdigest()


@cache
def _llvm() -> Any:
    try:
        return importlib.import_module("llvmlite.binding")
    except ModuleNotFoundError:
        raise ModuleNotFoundError(
            "machine code needs llvmlite, which comes with numba: pip install numba, or run it by "
            "Torch()"
        ) from None


@cache
def _processor() -> str:
    llvm = _llvm()
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    return f"{llvm.get_host_cpu_name()} {llvm.get_host_cpu_features().flatten()}"


def _machine() -> Any:
    """The processor that runs this process, to be compiled for."""
    llvm = _llvm()
    name, features = _processor().split(" ")
    return llvm.Target.from_default_triple().create_target_machine(
        cpu=name, features=features, opt=3, jit=True
    )


def _compiled(text: str) -> bytes:
    """Object code of an assembly."""
    llvm, machine = _llvm(), _machine()
    head = f'target triple = "{machine.triple}"\ntarget datalayout = "{machine.target_data}"\n\n'
    module = llvm.parse_assembly(head + text)
    options = llvm.create_pipeline_tuning_options(3)
    options.loop_vectorization = options.loop_interleaving = options.slp_vectorization = True
    builder = llvm.create_pass_builder(machine, options)
    builder.getModulePassManager().run(module, builder)
    code: bytes = machine.emit_object(module)
    return code


def _write(path: Path, code: bytes) -> None:
    """The whole file or none: other processes may look for it at the same time."""
    handle, name = tempfile.mkstemp(dir=path.parent, suffix=".part")
    with os.fdopen(handle, "wb") as file:
        file.write(code)
    os.replace(name, path)
