"""Build the worm that ships with the package from the published tables.

    pip install cect==0.3.5
    python scripts/make_celegans.py --positions c302_positions.csv

writes `src/amphid/wiring/celegans_cells.csv` and `celegans_connections.csv`, always the same bytes.
It refuses to write when the numbers of cells or connections differ from the published ones.

Sources
-------
Connections: Cook et al. 2019, Nature 571:63, doi 10.1038/s41586-019-1352-7, supplementary table 5
    (hermaphrodite) as corrected in July 2020, in the copy of the ConnectomeToolbox `cect` (MIT).
    The size of a connection is its number of serial sections in the electron micrographs.
Kinds of cell: the cell lists of WormAtlas, as classified by `cect`.
Classes and transmitters: Wang et al. 2024, eLife 13:RP95402, doi 10.7554/eLife.95402,
    supplementary file 2 (CC BY 4.0). The classes are the 118 of White et al. 1986,
    doi 10.1098/rstb.1986.0056.
Receptors: Fenyves et al. 2020, PLoS Comput Biol 16:e1007974, doi 10.1371/journal.pcbi.1007974,
    table S3 (CC BY 4.0), in the copy that `cect` installs; and the column `receptor` of the
    positions file, which goes back to WormAtlas and to Bentley et al. 2016, PLoS Comput Biol
    12:e1005283, doi 10.1371/journal.pcbi.1005283. Those of the body-wall muscles: Richmond and
    Jorgensen 1999, Nat Neurosci 2:791, doi 10.1038/12160; Touroutine et al. 2005, J Biol Chem
    280:27013, doi 10.1074/jbc.M502818200; Towers et al. 2005, J Neurochem 93:1, doi
    10.1111/j.1471-4159.2004.02951.x.
Positions: c302 (MIT), Gleeson et al. 2018, Phil Trans R Soc B 373:20170379,
    doi 10.1098/rstb.2017.0379: the `<location>` of every cell in the population list of
    `examples/c302_C0_Full.net.nml`, as a CSV file with the columns name, component, x_um, y_um,
    z_um, receptor (receptors separated by "; ").
"""

from __future__ import annotations

import argparse
import csv
import importlib.util
import io
import os
import re
import sys
from collections.abc import Iterable
from pathlib import Path

ROOM = Path(__file__).resolve().parents[1] / "src" / "amphid" / "wiring"

KINDS = {
    "sensory neuron": "sensory",
    "interneuron": "inter",
    "motor neuron": "motor",
    "polymodal neuron": "polymodal",
    "neuron with unknown function": "unknown",
    "body wall muscle": "muscle",
}

TRANSMITTERS = {
    "ACh": "acetylcholine",
    "Glu": "glutamate",
    "GABA": "GABA",
    "DA": "dopamine",
    "5-HT": "serotonin",
    "tyramine": "tyramine",
    "octopamine": "octopamine",
    "betaine": "betaine",
}

MUSCLE_RECEPTORS = {"ACR-16", "LEV-1", "LEV-8", "UNC-29", "UNC-38", "UNC-49", "UNC-63"}

ION_CHANNELS = re.compile(
    r"(ACC|ACR|AVR|GGR|GLC|GLR|LEV|LGC|NMR)-\d+|DEG-3|DES-2|EAT-2|EXP-1|GAB-1|MOD-1"
    r"|UNC-(29|38|49|63)"
)

PUBLISHED = {  # (kind, onto what) -> connections, sum of their sizes
    ("chemical", "neuron"): (3709, 20965),
    ("chemical", "muscle"): (956, 5515),
    ("electrical", "neuron"): (1105, 5779),  # symmetric matrix: 11,523 = 2 * 5,779 - 35 diagonal
    ("electrical", "muscle"): (101, 1436),
}

AXES = ("x_um", "y_um", "z_um")

Row = tuple[str, ...]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--positions", type=Path, required=True, help="CSV of the c302 cells")
    parser.add_argument("--out", type=Path, default=ROOM, help="folder to write into")
    given = parser.parse_args()
    cells = cell_rows(given.positions)
    connections = connection_rows([row[0] for row in cells])
    check(cells, connections)
    columns = ("name", "kind", "cell_class", "transmitter", *AXES, "receptors")
    write(given.out / "celegans_cells.csv", columns, cells)
    write(given.out / "celegans_connections.csv", ("pre", "post", "kind", "sections"), connections)


def cell_rows(positions: Path) -> list[Row]:
    from cect.Cells import (
        BODY_WALL_MUSCLE_NAMES,
        PREFERRED_HERM_NEURON_NAMES,
        get_primary_classification,
    )

    kinds = get_primary_classification()
    atlas = classes_and_transmitters()
    places, receptors = c302_columns(positions)
    for name, genes in fenyves_receptors().items():
        receptors[name] |= genes
    neurons = sorted(PREFERRED_HERM_NEURON_NAMES, key=by_number)
    muscles = sorted(BODY_WALL_MUSCLE_NAMES)
    known = {name: receptors[name] for name in neurons} | dict.fromkeys(muscles, MUSCLE_RECEPTORS)
    # c302 sets muscles at +-80 um around the body, which is no anatomy: they get no position.
    places |= dict.fromkeys(muscles, ("", "", ""))
    atlas |= {name: (name[:3], "") for name in muscles}
    return [
        (name, KINDS[kinds[name]], *atlas[name], *places[name], listed(known[name]))
        for name in [*neurons, *muscles]
    ]


def listed(genes: set[str]) -> str:
    return "; ".join(sorted(genes, key=by_number))


def by_number(name: str) -> tuple[str | int, ...]:
    """Sort key that puts AS2 before AS10."""
    return tuple(int(part) if part.isdigit() else part for part in re.split(r"(\d+)", name))


def unpadded(name: str) -> str:
    return re.sub(r"(?<=\D)0(?=\d)", "", name)


def classes_and_transmitters() -> dict[str, tuple[str, str]]:
    """Class and transmitters of each neuron, from the atlas of Wang et al. 2024.

    The first row of a class carries its name. A colored field in column I says that the cell has
    the vesicular transporter of monoamines, CAT-1.
    """
    table: dict[str, tuple[str, str]] = {}
    cell_class = ""
    for row in sheet(folder("cect") / "data" / "elife-95402-supp2-v1.xlsx", "Supp File 2", 5, 306):
        cell_class = row[1].value or cell_class
        name = {"DB1/3": "DB1", "DB3/1": "DB3"}.get(row[2].value, row[2].value)
        loads_amines = row[8].fill.patternType == "solid"
        entries = [str(cell.value or "") for cell in row[20:23]]
        found = [transmitter(entry, loads_amines=loads_amines) for entry in entries]
        table[name] = (cell_class, "; ".join(filter(None, found)))
    return table


def transmitter(entry: str, *, loads_amines: bool) -> str:
    """The transmitter named in a field of the atlas, "" where none is established.

    Entries that the atlas marks dim or variable ("*") count. What a cell does not make but takes
    up, or gets in an unknown way, counts only where CAT-1 can load it into vesicles; what holds for
    the male alone does not count.
    """
    name = next((full for mark, full in TRANSMITTERS.items() if mark_of(entry) == mark), "")
    borrowed = "uptake" in entry and "synthesis +" not in entry
    if entry.startswith("male") or (borrowed and (name == "GABA" or not loads_amines)):
        return ""
    return name


def mark_of(entry: str) -> str:
    return re.split(r"[ (]", entry.strip().lstrip("*").replace("male - ", ""))[0]


def c302_columns(path: Path) -> tuple[dict[str, Row], dict[str, set[str]]]:
    """Position in um, as text, and ligand-gated ion channels of each neuron."""
    places, receptors = {}, {}
    with path.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            if row["component"] == "GenericNeuronCell":
                places[row["name"]] = tuple(f"{float(row[axis]):g}" for axis in AXES)
                receptors[row["name"]] = ion_channels(row["receptor"].split("; "))
    return places, receptors


def fenyves_receptors() -> dict[str, set[str]]:
    path = folder("wormneuroatlas") / "data" / "journal.pcbi.1007974.s003.xlsx"
    rows = sheet(path, "3. Receptor Gene expression", 2)
    return {
        unpadded(row[0].value): ion_channels(str(cell.value) for cell in row[1:] if cell.value)
        for row in rows
        if row[0].value
    }


def ion_channels(genes: Iterable[str]) -> set[str]:
    return {gene.upper() for gene in genes if ION_CHANNELS.fullmatch(gene.upper())}


def connection_rows(names: list[str]) -> list[Row]:
    from cect.readers.Cook2019HermReader import get_instance

    cook = get_instance(from_cache=True)
    rows = []
    for kind, table in (("chemical", "Generic_CS"), ("electrical", "Generic_GJ")):
        place = [cook.nodes.index(name) for name in names]
        matrix = cook.connections[table][place][:, place]
        if kind == "electrical" and (matrix != matrix.T).any():
            sys.exit("The table of gap junctions is not symmetric: nothing was written.")
        for pre, post in zip(*matrix.nonzero(), strict=True):
            if kind == "chemical" or pre <= post:
                rows.append((names[pre], names[post], kind, f"{matrix[pre, post]:g}"))
    return rows


def check(cells: list[Row], connections: list[Row]) -> None:
    muscles = {row[0] for row in cells if row[1] == "muscle"}
    found = dict.fromkeys(PUBLISHED, (0, 0))
    for _, post, kind, size in connections:
        group = (kind, "muscle" if post in muscles else "neuron")
        found[group] = (found[group][0] + 1, found[group][1] + int(size))
    if (len(cells), len(muscles)) != (397, 95) or found != PUBLISHED:
        sys.exit(f"Not the published numbers: {len(cells)} cells, {found}. Nothing was written.")


def sheet(path: Path, name: str, first: int, last: int | None = None) -> Iterable[Row]:
    import openpyxl

    return openpyxl.load_workbook(path, data_only=True)[name].iter_rows(first, last)


def folder(package: str) -> Path:
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        sys.exit(f"{package} is not installed: pip install cect==0.3.5")
    return Path(spec.origin).parent


def write(path: Path, columns: Row, rows: list[Row]) -> None:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([columns, *rows])
    partial = path.with_name(path.name + ".partial")
    partial.write_text(text.getvalue(), encoding="utf-8", newline="\n")
    os.replace(partial, path)
    print(f"{path}: {len(rows)} rows, {path.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
