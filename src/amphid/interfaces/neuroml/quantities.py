"""Numbers with units as NeuroML writes them, to the last digit."""

from __future__ import annotations

import re
from decimal import Decimal

_POWERS = {
    "V": 3, "mV": 0, "s": 3, "ms": 0, "F": 12, "uF": 6, "nF": 3, "pF": 0, "S": 9, "mS": 6,
    "uS": 3, "nS": 0, "pS": -3, "A": 12, "uA": 6, "nA": 3, "pA": 0, "per_s": -3, "Hz": -3,
    "per_ms": 0, "S_per_V": 6, "nS_per_mV": 0, "uF_per_cm2": 0, "F_per_m2": 2, "mS_per_cm2": 0,
    "S_per_cm2": 3, "S_per_m2": -1, "M": 3, "mM": 0, "": 0,
}  # fmt: skip
"""Powers of ten that lead to mV, ms, pF, nS, pA, per ms, nS/mV, uF/cm2, mS/cm2, mM."""
_QUANTITY = re.compile(r"\s*(-?[0-9]*\.?[0-9]*(?:[eE][-+]?[0-9]+)?)\s*([A-Za-z_]*[0-9]?)\s*")


def written(value: float, unit: str) -> str:
    """A number with its unit, every digit kept."""
    return f"{float(value)!r}{unit}".replace("e+", "e")


def read(text: str, unit: str) -> float:
    """The number in that unit of ours that a text such as "0.2nF" stands for.

    Raises ValueError for what is no quantity of the same kind.
    """
    found = _QUANTITY.fullmatch(str(text))
    if found is None or not any(letter.isdigit() for letter in found[1]):
        raise ValueError(f"{text!r} is no quantity in {unit}.")
    if found[2] not in _POWERS or _kind(found[2]) != _kind(unit):
        raise ValueError(f"{text!r} is no quantity in {unit}.")
    return float(Decimal(found[1]).scaleb(_POWERS[found[2]]))


def _kind(unit: str) -> str:
    """What a unit measures, by its base."""
    if unit in ("Hz", "per_s", "per_ms"):
        return "rate"
    if unit.endswith("m2"):
        return "capacitance per area" if "F_" in unit else "conductance per area"
    if "_per_" in unit:
        return "conductance per voltage"
    return unit[-1:]
