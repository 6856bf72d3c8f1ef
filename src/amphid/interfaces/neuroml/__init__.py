"""Networks of point neurons, equations and all, as NeuroML 2: for the simulators that read it.

Wiring alone is read and written by `wiring.read` and `wiring.write`.
"""

from amphid.interfaces.neuroml.reading import import_neuroml
from amphid.interfaces.neuroml.writing import export_neuroml

__all__ = ["export_neuroml", "import_neuroml"]
