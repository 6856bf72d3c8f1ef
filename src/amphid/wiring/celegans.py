"""The worm that ships with the package: the nervous system of *Caenorhabditis elegans*.

The tables beside this file are made by `scripts/make_celegans.py`, which says what it takes from
which publication.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Mapping
from functools import cache
from importlib import resources
from types import MappingProxyType

from numpy.typing import ArrayLike

from amphid.wiring.connectome import Cells, Connections, Connectome

TOUCH_RECEPTORS = ("ALM", "AVM", "PLM", "PVM")
"""Classes of neurons that feel gentle touch; Chalfie et al. 1985,
doi 10.1523/JNEUROSCI.05-04-00956.1985."""

COMMAND_INTERNEURONS = ("AVA", "AVB", "AVD", "AVE", "PVC")
"""Classes of interneurons that drive crawling: AVA, AVD, AVE backward, AVB, PVC forward."""

_REFERENCES = (
    "Connections: Cook et al. 2019, Nature 571:63-71, doi 10.1038/s41586-019-1352-7, hermaphrodite "
    "tables as corrected in July 2020, in the copy of cect 0.3.5 (OpenWorm, MIT).",
    "Cell classes: White et al. 1986, Phil Trans R Soc Lond B 314:1-340, doi "
    "10.1098/rstb.1986.0056.",
    "Transmitters: Wang et al. 2024, eLife 13:RP95402, doi 10.7554/eLife.95402 (CC BY 4.0).",
    "Receptors: Fenyves et al. 2020, PLoS Comput Biol 16:e1007974, doi "
    "10.1371/journal.pcbi.1007974 (CC BY 4.0); Bentley et al. 2016, PLoS Comput Biol 12:e1005283, "
    "doi 10.1371/journal.pcbi.1005283 (CC BY 4.0).",
    "Positions: c302, Gleeson et al. 2018, Phil Trans R Soc B 373:20170379, doi "
    "10.1098/rstb.2017.0379 (MIT).",
)


def celegans(*, signs: Callable[[Connectome], ArrayLike] | None = None) -> Connectome:
    """The adult hermaphrodite: 302 neurons and the 95 muscles of the body wall.

    signs: a rule that says which chemical connections inhibit, such as `wiring.by_transmitter`.
        Electron micrographs do not show it, so without a rule every sign is 0, not known.

    Among the neurons there are 3,709 chemical connections (38 of a cell with itself) and 1,105 gap
    junctions (14 of a cell with itself); onto the muscles 956 chemical connections and 5 gap
    junctions; among the muscles 96 gap junctions. `synapses` is the number of serial sections over
    which a connection was seen, its synapses and their sizes together. Parts of the animal that
    were not imaged are extrapolated by the authors; the muscle sheet is such a part: all but one
    of its gap junctions have the same size, 15.

    kind: 123 motor, 89 inter, 83 sensory, 5 polymodal, 2 unknown (CANL and CANR), 95 muscle.
    cell_class: the 118 classes of White et al. 1986; muscles by row, MDL MDR MVL MVR.
    transmitter: by the atlas of Wang et al. 2024, its dim and variable findings included; "" for 18
        neurons without a known one. A transmitter that a cell only takes up counts where the cell
        can load it into vesicles. GABA stands first in 31 neurons: the classical 26 (DD, VD, RME,
        AVL, DVB, RIS), RIB, AVJ and ALA; SMD has it beside acetylcholine.
    position: of the cell body in um, x leftward, y tailward, z dorsal; nan for muscles.

    Sources: Cook et al. 2019, doi 10.1038/s41586-019-1352-7; White et al. 1986, doi
    10.1098/rstb.1986.0056; Wang et al. 2024, doi 10.7554/eLife.95402; Gleeson et al. 2018, doi
    10.1098/rstb.2017.0379; also in `references`.
    """
    return _unsigned() if signs is None else _unsigned().signed(signs)


@cache
def celegans_receptors() -> Mapping[str, frozenset[str]]:
    """Ligand-gated ion channels found in each cell of the worm, by cell name: {"AIYL": {"GLC-3"}}.

    Empty where none is known, which is not to say that there is none. Sources: Fenyves et al. 2020,
    table S3, doi 10.1371/journal.pcbi.1007974; amine-gated channels from Bentley et al. 2016, doi
    10.1371/journal.pcbi.1005283; muscles from Richmond and Jorgensen 1999, doi 10.1038/12160,
    Touroutine et al. 2005, doi 10.1074/jbc.M502818200, and Towers et al. 2005, doi
    10.1111/j.1471-4159.2004.02951.x.
    """
    genes = {row["name"]: row["receptors"].split("; ") for row in _rows("cells")}
    return MappingProxyType({name: frozenset(filter(None, found)) for name, found in genes.items()})


@cache
def _unsigned() -> Connectome:
    cells = _columns("cells")
    positions = zip(cells["x_um"], cells["y_um"], cells["z_um"], strict=True)
    place = {name: index for index, name in enumerate(cells["name"])}
    wires = _columns("connections")
    return Connectome(
        Cells(
            cells["name"],
            kind=cells["kind"],
            cell_class=cells["cell_class"],
            transmitter=cells["transmitter"],
            position=[[float(value or "nan") for value in xyz] for xyz in positions],
        ),
        Connections(
            [place[name] for name in wires["pre"]],
            [place[name] for name in wires["post"]],
            kind=wires["kind"],
            synapses=[float(value) for value in wires["sections"]],
        ),
        name="celegans",
        references=_REFERENCES,
    )


def _columns(table: str) -> dict[str, list[str]]:
    rows = _rows(table)
    return {column: [row[column] for row in rows] for column in rows[0]}


def _rows(table: str) -> list[dict[str, str]]:
    path = resources.files("amphid.wiring") / f"celegans_{table}.csv"
    return list(csv.DictReader(path.read_text(encoding="utf-8").splitlines()))
