"""The package nir, which is not always installed, and time as it has it."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

MS = 1000.0  # in a second

Array = NDArray[Any]


def nir() -> Any:
    """The package."""
    try:
        import nir
    except ModuleNotFoundError:
        raise ModuleNotFoundError("NIR needs nir: pip install 'amphid[nir]'") from None
    return nir


def exact_tau(tau: Array, euler: float | None) -> Array:
    """tau in ms whose exact decay over `euler` ms is one forward Euler step with the tau given.

    exp(-dt / t) = 1 - dt / tau. Raises ValueError where tau is not above dt.
    """
    if euler is None:
        return tau
    if not np.all(tau > euler):
        raise ValueError(
            f"euler={euler:g} ms must be shorter than every time constant; the graph has one of "
            f"{float(np.min(tau)):g} ms."
        )
    return -euler / np.log1p(-euler / tau)


def euler_tau(tau: Array, euler: float | None) -> Array:
    """The other way: tau in ms with which one forward Euler step is the exact decay."""
    return tau if euler is None else -euler / np.expm1(-euler / tau)


def check_euler(euler: float | None) -> None:
    """Raise ValueError unless it is None or a time."""
    if euler is not None and not (math.isfinite(euler) and euler > 0):
        raise ValueError(f"euler must be a positive number of ms, or None, got {euler!r}.")
