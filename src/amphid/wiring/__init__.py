"""Who is connected to whom."""

from amphid.wiring.builders import (
    distance_dependent,
    fixed_indegree,
    heavy_tailed,
    layered,
    random,
    shuffled,
    small_world,
)
from amphid.wiring.celegans import (
    COMMAND_INTERNEURONS,
    TOUCH_RECEPTORS,
    celegans,
    celegans_receptors,
)
from amphid.wiring.connectome import KINDS, Cells, Connections, Connectome
from amphid.wiring.files import read, write
from amphid.wiring.flies import flywire, larval_fly
from amphid.wiring.geometry import conducted, convoluted_lengths, geometric, straight_lengths
from amphid.wiring.graph import (
    Degrees,
    components,
    degrees,
    graph,
    hubs,
    motifs,
    path_lengths,
    reciprocity,
    rich_club,
    shortest_path,
)
from amphid.wiring.matrix import from_matrix
from amphid.wiring.signs import (
    ByReceptor,
    ByTransmitter,
    Except,
    SignRule,
    all_positive,
    by_receptor,
    by_transmitter,
)
from amphid.wiring.skeleton import Skeleton, read_skeleton

__all__ = [
    "COMMAND_INTERNEURONS",
    "KINDS",
    "TOUCH_RECEPTORS",
    "ByReceptor",
    "ByTransmitter",
    "Cells",
    "Connections",
    "Connectome",
    "Degrees",
    "Except",
    "SignRule",
    "Skeleton",
    "all_positive",
    "by_receptor",
    "by_transmitter",
    "celegans",
    "celegans_receptors",
    "components",
    "conducted",
    "convoluted_lengths",
    "degrees",
    "distance_dependent",
    "fixed_indegree",
    "flywire",
    "from_matrix",
    "geometric",
    "graph",
    "heavy_tailed",
    "hubs",
    "larval_fly",
    "layered",
    "motifs",
    "path_lengths",
    "random",
    "read",
    "read_skeleton",
    "reciprocity",
    "rich_club",
    "shortest_path",
    "shuffled",
    "small_world",
    "straight_lengths",
    "write",
]
