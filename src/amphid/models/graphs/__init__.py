"""Who tells whom among recorded cells: graphs from activity, from wiring, and their twins.

A rule of edges makes graphs for one recording; messages are what signals become along them. The
graphs are dense: 40 to 150 cells, every pair of which has a weight. A message is one product of
matrices, which torch does itself; a library for sparse graphs would carry no load here.
"""

from amphid.models.graphs.alike import Alike
from amphid.models.graphs.anatomy import Anatomical, Contacts
from amphid.models.graphs.combined import NoEdges, Shuffled, Together, Wired
from amphid.models.graphs.given import Given
from amphid.models.graphs.graph import Edges, Graph, messages
from amphid.models.graphs.inferred import Inferred
from amphid.models.graphs.past import Pace

__all__ = [
    "Alike",
    "Anatomical",
    "Contacts",
    "Edges",
    "Given",
    "Graph",
    "Inferred",
    "NoEdges",
    "Pace",
    "Shuffled",
    "Together",
    "Wired",
    "messages",
]
