"""Connectomes out of the files of the data sets."""

from __future__ import annotations

import csv
import gzip
import json
from dataclasses import replace
from pathlib import Path
from typing import IO

import numpy as np

from amphid.interfaces.data_sets.data_set import DataSet
from amphid.wiring import Cells, Connections, Connectome, files, flies


def worm_web_sim(data: DataSet) -> Connectome:
    """Weights as synapses and signs, cells in the order in which the original visits them."""
    names = json.loads(data.find("cells.json").read_text(encoding="utf-8"))
    place = {name: index for index, name in enumerate(names)}
    with data.find("weights.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    weight = np.array([float(row["weight"]) for row in rows])
    muscles = ("MVU", "MVL", "MDL", "MVR", "MDR")
    return Connectome(
        Cells(names, kind=["muscle" if name.startswith(muscles) else "" for name in names]),
        Connections(
            [place[row["pre"]] for row in rows],
            [place[row["post"]] for row in rows],
            synapses=np.abs(weight),
            sign=np.sign(weight),
        ),
        name=data.name,
        references=(data.citation,),
    )


def larval_drosophila(data: DataSet, contacts: flies.Contacts = "all") -> Connectome:
    """The brain of the larva, all kinds of contact together or one of them."""
    larva = flies.read_larval_fly(data.find(data.files[0].name), contacts)
    return replace(larva, name=data.name)


def flywire(data: DataSet) -> Connectome:
    """The brain of the adult fly; signs as in the edge list, made from predicted transmitters."""
    index, edges = (data.find(file.name) for file in data.files)
    return replace(flies.read_flywire(index, edges), name=data.name)


def visual_types(data: DataSet) -> Connectome:
    """Types of cells as cells; the synapses of all cells of a type together."""
    with _text(data.find(data.files[0].name)) as file:
        rows = list(csv.DictReader(file))
    names = sorted({row[column] for row in rows for column in ("from type", "to type")})
    place = {name: index for index, name in enumerate(names)}
    return Connectome(
        Cells(names),
        Connections(
            [place[row["from type"]] for row in rows],
            [place[row["to type"]] for row in rows],
            synapses=[float(row["synapses total"]) for row in rows],
        ),
        name=data.name,
        references=(data.citation,),
    )


def neuroml(data: DataSet) -> Connectome:
    """A NeuroML network as it stands, with the signs of its synapses."""
    connectome = files.read(data.find(data.files[0].name))
    return replace(connectome, name=data.name, references=(data.citation,))


def _text(path: Path) -> IO[str]:
    if path.suffix == ".gz":
        return gzip.open(path, "rt", encoding="utf-8", newline="")
    return path.open(encoding="utf-8", newline="")
