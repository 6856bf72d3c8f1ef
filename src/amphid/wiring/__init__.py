"""Who is connected to whom."""

from amphid.wiring.connectome import KINDS, Cells, Connections, Connectome

__all__ = ["KINDS", "Cells", "Connections", "Connectome"]
