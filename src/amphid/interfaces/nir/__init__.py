"""NIR, the format in which libraries of spiking networks hand networks to one another and to chips.

`export_nir` and `import_nir` are files, `to_nir` and `from_nir` graphs of the package nir. What a
graph says in seconds is in ms here; voltages, currents and resistances keep their numbers.
"""

from amphid.interfaces.nir.files import export_nir, import_nir
from amphid.interfaces.nir.graph import Graph
from amphid.interfaces.nir.modules import Cuba, Integral, Scale, Threshold
from amphid.interfaces.nir.reading import from_nir
from amphid.interfaces.nir.writing import to_nir

__all__ = [
    "Cuba",
    "Graph",
    "Integral",
    "Scale",
    "Threshold",
    "export_nir",
    "from_nir",
    "import_nir",
    "to_nir",
]
