"""The classes of libNeuroML, which is not always installed."""

from __future__ import annotations

from typing import Any

UNKNOWN_COORDINATES = "unknown_coordinates"


def schema() -> Any:
    """The module with the classes of the NeuroML 2 schema."""
    try:
        from neuroml.nml import nml
    except ModuleNotFoundError:
        raise ModuleNotFoundError(
            "NeuroML files need libneuroml: pip install 'amphid[neuroml]'"
        ) from None
    return nml
