"""Names of cells in recordings of worms, taken out of the Julia file that holds them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import h5py

LABELS = "NeuroPAL_labels_dict.jld2"
EXTRACTED = "neuropal_labels.json"


def extract(folder: Path) -> None:
    """Write {animal: {column from 1: label, confidence, ...}} beside the Julia file.

    Raises ValueError when the file does not hold what it should.
    """
    import h5py

    path = folder / LABELS
    try:
        with h5py.File(path, "r") as file:
            by_animal = _value(file, file["NeuroPAL_labels"][()])["dict_match_dict"]
            found = {animal: matches["1"] for animal, matches in sorted(by_animal.items())}
    except (OSError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{path} does not hold names of cells by animal ({error}).") from None
    (folder / EXTRACTED).write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


def _value(file: h5py.File, stored: Any) -> Any:
    """What Julia kept there: its dictionaries are lists of pairs, its tuples have fields 1, 2."""
    import h5py
    import numpy as np

    if isinstance(stored, h5py.Reference):
        return _value(file, file[stored][()])
    if isinstance(stored, np.void):
        return {name: _value(file, stored[name]) for name in stored.dtype.names or ()}
    if isinstance(stored, np.ndarray):
        entries = [_value(file, entry) for entry in stored]
        pairs = entries and all(
            isinstance(entry, dict) and set(entry) == {"first", "second"} for entry in entries
        )
        return {str(pair["first"]): pair["second"] for pair in entries} if pairs else entries
    if isinstance(stored, bytes | h5py.Empty):
        return stored.decode() if isinstance(stored, bytes) else ""
    return stored.item() if isinstance(stored, np.generic) else stored
