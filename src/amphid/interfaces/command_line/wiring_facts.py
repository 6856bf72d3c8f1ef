"""What a connectome holds, in numbers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any

import numpy as np

from amphid.interfaces.command_line.networks import SHIPPED, Loaded
from amphid.interfaces.data_sets import DATA_SETS, ELSEWHERE, DataSet
from amphid.wiring import Connectome, celegans
from amphid.wiring.graph import components, degrees, hubs, reciprocity


def known() -> list[dict[str, Any]]:
    """One entry for each wiring that has a name."""
    worm = celegans()
    rows: list[dict[str, Any]] = [
        {
            "name": SHIPPED,
            "cells": len(worm),
            "connections": len(worm.connections),
            "here": "shipped",
            "what": "worm, neurons and body wall muscles",
            "source": "Cook et al. 2019, doi 10.1038/s41586-019-1352-7",
            "citation": worm.references,
        }
    ]
    rows += [_known(data) for data in DATA_SETS.values()]
    for name, (address, reason) in ELSEWHERE.items():
        row = {"name": name, "cells": None, "connections": None, "here": "no"}
        rows.append(row | {"what": reason, "source": address, "citation": []})
    return rows


def _known(data: DataSet) -> dict[str, Any]:
    folder = data.here()
    place = next((name for name, path in data.places().items() if path == folder), "no")
    return {
        "name": data.name,
        "cells": data.cells,
        "connections": data.connections,
        "here": place,
        "what": data.title,
        "source": data.source,
        "folder": folder and str(folder),
        "citation": [data.citation],
        "license": data.license,
    }


def of(loaded: Loaded, top: int) -> dict[str, Any]:
    """Counts, degrees, hubs and parts."""
    connectome = loaded.connectome
    cells, wires = connectome.cells, connectome.connections
    return {
        "name": connectome.name,
        "source": loaded.source,
        "cells": {
            "count": len(connectome),
            "by_kind": _counts(cells.kind),
            "by_transmitter": _counts(cells.transmitter),
            "classes": len(set(cells.cell_class) - {""}),
            "with_position": int((~np.isnan(cells.position).any(1)).sum()),
        },
        "chemical": _connections(connectome, "chemical"),
        "electrical": _connections(connectome, "electrical"),
        "signs": {
            "excite": int((wires.chemical & (wires.sign > 0)).sum()),
            "inhibit": int((wires.chemical & (wires.sign < 0)).sum()),
            "unknown": int((wires.chemical & (wires.sign == 0)).sum()),
        },
        "delays_known": int((~np.isnan(wires.delay)).sum()),
        "components": [len(part) for part in components(connectome)][:top],
        "isolated_cells": _isolated(connectome),
        "hubs": hubs(connectome, top),
        "references": list(connectome.references),
    }


def lines(facts: dict[str, Any]) -> dict[str, str]:
    """The same as lines for a person."""
    cells, signs = facts["cells"], facts["signs"]
    shown = {
        "name": facts["name"] or facts["source"],
        "cells": f"{cells['count']:,} ({_listed(cells['by_kind'])})",
        "classes": f"{cells['classes']:,}",
        "transmitters": _listed(cells["by_transmitter"]),
        "positions": f"known of {cells['with_position']:,}",
    }
    for kind in ("chemical", "electrical"):
        shown |= _kind_lines(kind, facts[kind])
    shown["signs"] = ", ".join(f"{count:,} {word}" for word, count in signs.items())
    parts = facts["components"]
    shown["parts"] = (
        f"{parts[0]:,} cells hang together" if parts else "none"
    ) + f", {facts['isolated_cells']:,} cells have no connection"
    shown["hubs"] = ", ".join(f"{name} ({count:,})" for name, count in facts["hubs"].items())
    for number, reference in enumerate(facts["references"], 1):
        shown[f"reference {number}"] = reference
    return shown


def _connections(connectome: Connectome, kind: Any) -> dict[str, Any]:
    wires = connectome.connections
    chosen = wires.chemical if kind == "chemical" else wires.electrical
    synapses = wires.synapses[chosen].astype(float)
    if not len(synapses):
        return {"count": 0}
    degree = degrees(connectome, kind)
    return {
        "count": len(synapses),
        "synapses": float(synapses.sum()),
        "synapses_mean": float(synapses.mean()),
        "synapses_largest": float(synapses.max()),
        "in_degree_mean": float(degree.ins.mean()),
        "in_degree_largest": int(degree.ins.max()),
        "out_degree_largest": int(degree.outs.max()),
        "self_connections": int((wires.pre[chosen] == wires.post[chosen]).sum()),
        "reciprocity": reciprocity(connectome, kind) if kind == "chemical" else 1.0,
    }


def _kind_lines(kind: str, found: dict[str, Any]) -> dict[str, str]:
    if not found["count"]:
        return {kind: "no connections"}
    size = (
        f"{found['count']:,} connections of {found['synapses']:,.0f} synapses, "
        f"{found['synapses_mean']:.3g} on average and {found['synapses_largest']:,.0f} at most"
    )
    degree = (
        f"{found['in_degree_mean']:.3g} per cell on average, at most "
        f"{found['in_degree_largest']:,} in and {found['out_degree_largest']:,} out; "
        f"{found['self_connections']:,} of a cell with itself"
    )
    back = f"{found['reciprocity']:.0%} of the pairs are connected back"
    return {
        kind: size,
        f"{kind} degrees": degree + (f"; {back}" if kind == "chemical" else ""),
    }


def _counts(values: Iterable[str]) -> dict[str, int]:
    counted = Counter(value or "unknown" for value in values)
    return dict(counted.most_common())


def _isolated(connectome: Connectome) -> int:
    wires = connectome.connections
    return len(connectome) - len(np.union1d(wires.pre, wires.post))


def _listed(counts: dict[str, int], most: int = 12) -> str:
    parts = [f"{count:,} {name}" for name, count in list(counts.items())[:most]]
    left = len(counts) - most
    return ", ".join(parts) + (f" and {left:,} more" if left > 0 else "")
