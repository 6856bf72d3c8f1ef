"""Compile generated source to machine code by numba, once for all processes."""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import os
import sys
import tempfile
from collections.abc import Callable
from functools import cache, wraps
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import torch

HEADER = '''"""Generated from the equations of a model; it may be deleted at any time."""

import math

from numba import njit

{elementary}
b1 = np.bool_
options = {{"error_model": "numpy", "nogil": True, "fastmath": {fastmath}}}
inner = njit(no_cpython_wrapper=True, no_cfunc_wrapper=True, **options)
exact = njit(no_cpython_wrapper=True, no_cfunc_wrapper=True, **{{**options, "fastmath": False}})
outer = njit(cache=True, **options)

fused = njit(no_cpython_wrapper=True, no_cfunc_wrapper=True, **{{**options, "fastmath": {fused}}})

for _name in [_name for _name in globals() if _name.rstrip("48").endswith("_f")]:
    globals()[_name] = fused(globals()[_name])

'''

EXACT = "False"
LOOSE = "{'contract', 'arcp', 'nsz'}"
"""What may be rounded otherwise in single precision: a product and a sum at once, and x / 3 as
x * (1 / 3)."""
FUSED = "{'contract'}"
"""What the elementary functions may do in double precision, which makes them faster, not worse."""


TINY = np.float32(1e-40)


def compile_source(source: str, *, exact: bool = True) -> ModuleType | SimpleNamespace:
    """The module of a source whose functions are decorated with @inner or, to be called, @outer.

    Those decorated with @exact are inner ones that are rounded as written in any case.

    Functions of a source that any process has compiled before are read from the cache folder.
    exact: every operation rounded as it is written; else LOOSE, and what is too small for all
    digits of single precision, below 1.2e-38, is zero where the processor knows how.
    Raises ModuleNotFoundError, with the way out, where numba is missing.
    """
    try:
        import numba
    except ModuleNotFoundError:
        raise ModuleNotFoundError(
            "machine code needs numba: pip install numba, or run it by Torch()"
        ) from None
    rounding, fused = (EXACT, FUSED) if exact else (LOOSE, LOOSE)
    head = HEADER.format(elementary=elementary(), fastmath=rounding, fused=fused)
    versions = f"{sys.version_info[:2]} {numba.__version__}"
    module = module_of(head + source, versions)
    return module if exact else _flushing(module)


@cache
def _flushing(module: ModuleType) -> SimpleNamespace:
    """Its functions as they are called from outside, where subnormal numbers are zero."""
    from numba.core.registry import CPUDispatcher

    found = vars(module).items()
    return SimpleNamespace(
        **{name: _flushed(made) for name, made in found if isinstance(made, CPUDispatcher)}
    )


def _flushed(run: Callable[..., Any]) -> Callable[..., Any]:
    # a processor takes a hundred times as long over them, and what decays is among them for long
    @wraps(run)
    def quick(*arguments: Any) -> Any:
        if not TINY * np.float32(1):  # whoever calls has asked for the same
            return run(*arguments)
        torch.set_flush_denormal(True)  # of this thread
        try:
            return run(*arguments)
        finally:
            torch.set_flush_denormal(False)

    return quick


@cache
def cache_folder() -> Path:
    """Where compiled kernels are kept: amphid/kernels in the user's cache folder.

    The environment variable AMPHID_CACHE names another one. Where neither can be written, a folder
    that lasts as long as the process.
    """
    chosen = os.environ.get("AMPHID_CACHE") or os.environ.get("XDG_CACHE_HOME")
    home = Path(chosen) if chosen else Path.home() / ".cache"
    folder = home / "amphid" / "kernels"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return folder
    except OSError:
        return Path(tempfile.mkdtemp(prefix="amphid-kernels-"))


@cache
def module_of(text: str, versions: str) -> ModuleType:
    """The module of a whole text, as a file of the cache folder; versions: of its compiler."""
    key = hashlib.sha256(f"{versions}\n{text}".encode()).hexdigest()[:24]
    path = cache_folder() / f"kernel_{key}.py"
    if not path.exists():
        _write(path, text)
    spec = importlib.util.spec_from_file_location(f"amphid_kernel_{key}", path)
    assert spec is not None and spec.loader is not None  # noqa: PT018  a file ending in .py
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # numba looks the module of a function up
    spec.loader.exec_module(module)
    return module


def _write(path: Path, text: str) -> None:
    """The whole file or none: other processes may look for it at the same time."""
    handle, name = tempfile.mkstemp(dir=path.parent, suffix=".part")
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.write(text)
    os.replace(name, path)


@cache
def elementary() -> str:
    """The text of the elementary functions, without its docstring."""
    text = Path(__file__).with_name("elementary.py").read_text(encoding="utf-8")
    return text[text.index("from typing") :]
