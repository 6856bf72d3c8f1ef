"""What a file says about itself besides cells and connections: format version, name, references."""

from __future__ import annotations

import json
from typing import Any

from amphid.wiring.connectome import Connectome

FORMAT = 1


def check_format(found: object) -> None:
    """Raise ValueError for a file that a newer version wrote, or whose version is no number."""
    try:
        version = int(found)  # type: ignore[call-overload]
    except (TypeError, ValueError):
        raise ValueError(f"amphid_format must be a whole number, the file has {found!r}.") from None
    if version > FORMAT:
        raise ValueError(
            f"the file is of connectome format {version}, and this version of amphid reads up to "
            f"format {FORMAT}. Upgrade amphid to read it."
        )


def to_json(connectome: Connectome, **more: object) -> str:
    """Format, name and references (and more) as one line of plain ASCII."""
    heading = {"amphid_format": FORMAT, "name": connectome.name}
    return json.dumps(heading | {"references": list(connectome.references)} | more)


def from_json(text: str | bytes) -> dict[str, Any]:
    """The heading with its format checked; "name" is text and "references" a tuple of texts."""
    heading = _parsed(text)
    if not isinstance(heading, dict):
        raise ValueError("its description is damaged: it is not a JSON object.")
    check_format(heading.get("amphid_format"))
    name = heading.get("name", "")
    if not isinstance(name, str):
        raise ValueError("its description is damaged: the name must be text.")
    return heading | {"name": name, "references": _texts(heading.get("references", []))}


def references_to_json(connectome: Connectome) -> str:
    """The references alone, likewise."""
    return json.dumps(list(connectome.references))


def references_from_json(text: str) -> tuple[str, ...]:
    """The references written as a JSON list."""
    return _texts(_parsed(text))


def _parsed(text: str | bytes) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        raise ValueError("its description is damaged: it is not JSON.") from None


def _texts(found: object) -> tuple[str, ...]:
    if not isinstance(found, list) or not all(isinstance(text, str) for text in found):
        raise ValueError("its description is damaged: the references must be a list of texts.")
    return tuple(found)
