"""Edge lists as people write them: what the columns are called and what the rows mean.

Capitals, blanks and punctuation in headers and words do not count. A row is one connection.

* The two cells: ``pre``/``post``, ``source``/``target``, ``from``/``to`` and the further pairs of
  `ENDS`; the first pair of which both are there is taken.
* ``synapses``: also ``weight``, ``count``, ``number``, ``n``, ``nbr`` and the rest of `SYNAPSES`;
  1 where there is no such column. When any weight of a file is negative, weights carry the sign:
  the magnitude is the count, and the sign stands where no column gives one.
* ``kind``: also ``type``; the words are those of `CHEMICAL`, `ELECTRICAL` and `RECEIVED`; chemical
  where the field is empty or the column is not there.
* ``sign``: +1, -1 or 0, ``+`` or ``-``, excitatory or inhibitory; unknown where empty.
* ``delay``: ms; none where empty.

Two habits of published tables list a connection twice:

* Rows of type R and Rp tell from the receiving cell what the S and Sp rows tell from the sending
  one. They are left out; in a table that has no sending rows they are turned round instead.
* An electrical junction may be listed from both cells. When at least nine in ten of the electrical
  rows between different cells have their mirror image, with the same count, each such pair is taken
  once. Any other list is taken as it stands: one row, one junction. (A list of single junctions,
  in which the order of the two cells is chance, has a few mirrored pairs that are not the same.)
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

ENDS = (
    ("pre", "post"),
    ("source", "target"),
    ("from", "to"),
    ("presynaptic", "postsynaptic"),
    ("presynaptic neuron", "postsynaptic neuron"),
    ("presynaptic cell", "postsynaptic cell"),
    ("presynaptic name", "postsynaptic name"),
    ("presynaptic id", "postsynaptic id"),
    ("presyn", "postsyn"),
    ("pre name", "post name"),
    ("pre cell", "post cell"),
    ("pre neuron", "post neuron"),
    ("pre id", "post id"),
    ("pre root id", "post root id"),
    ("pre pt root id", "post pt root id"),
    ("body id pre", "body id post"),
    ("neuron 1", "neuron 2"),
    ("cell 1", "cell 2"),
    ("origin", "target"),
    ("sender", "receiver"),
    ("source name", "target name"),
    ("source neuron", "target neuron"),
    ("source id", "target id"),
    ("source node id", "target node id"),
    ("from type", "to type"),
)
SYNAPSES = (
    *("synapses", "weight", "count", "number", "n", "nbr", "nsyns", "weights", "syn count"),
    *("synapse count", "synapse number", "number of synapses", "number of connections"),
    *("num synapses", "sections", "synapses total", "connectivity", "syn weight", "size"),
)
COLUMNS = {
    "kind": ("kind", "type", "synapse type", "connection type", "edge type", "syn type"),
    "synapses": SYNAPSES,
    "sign": ("sign", "excitatory", "polarity"),
    "delay": ("delay", "delay ms"),
}
CELL_COLUMNS = {
    "name": ("name", "cell", "cell name", "neuron", "id", "root id", "body id"),
    "kind": ("kind", "type", "role"),
    "cell_class": ("class", "cell class", "neuron class"),
    "transmitter": ("transmitter", "neurotransmitter", "neurotransmitters", "nt type"),
    "x": ("x", "x um"),
    "y": ("y", "y um"),
    "z": ("z", "z um"),
}

CHEMICAL = (
    *("", "chemical", "chem", "c", "cs", "s", "sp", "send", "send joint", "send poly", "synapse"),
    *("chemical synapse", "generic cs", "nmj"),
)
ELECTRICAL = (
    *("electrical", "electric", "elec", "e", "ej", "g", "gj", "gap", "gap junction"),
    *("gap junctions", "electrical synapse", "electrical junction", "generic gj"),
)
RECEIVED = ("r", "rp", "receive", "receive joint", "receive poly")

_SIGNS = {"": 0, "0": 0, "?": 0, "unknown": 0}
_SIGNS |= dict.fromkeys(("+", "+1", "1", "excitatory", "exc"), 1)
_SIGNS |= dict.fromkeys(("-", "-1", "−1", "−", "inhibitory", "inh"), -1)  # noqa: RUF001


def _plain(text: str) -> str:
    return re.sub(r"[\W_]", "", text.casefold())


_LARGEST = 3.4028235e38  # as text, the largest float32; it rounds to it and not to infinity
_KIND_CODES = {_plain(word): 0 for word in CHEMICAL}
_KIND_CODES |= {_plain(word): 1 for word in ELECTRICAL}
_KIND_CODES |= {_plain(word): 2 for word in RECEIVED}


def find(headers: Iterable[str], names: Iterable[str]) -> str | None:
    """The header that goes by one of the names, the first name winning; None where none does."""
    by_plain: dict[str, str] = {}
    for header in headers:
        by_plain.setdefault(_plain(header), header)
    found = (by_plain.get(_plain(name)) for name in names)
    return next((header for header in found if header is not None), None)


def find_ends(headers: Iterable[str]) -> tuple[str, str] | None:
    """The headers of the cell before and the cell behind, None where they are not there."""
    headers = list(headers)
    for pair in ENDS:
        pre, post = (find(headers, [name]) for name in pair)
        if pre is not None and post is not None:
            return pre, post
    return None


def find_columns(headers: Iterable[str]) -> dict[str, str]:
    """Which header holds what: "pre" and "post", and those of the other columns that are there.

    Raises ValueError naming the headers when they do not tell the two cells of a connection.
    """
    headers = list(headers)
    ends = find_ends(headers)
    if ends is None:
        raise ValueError(
            f"no columns for the two cells of a connection among {listed(headers)}: expected "
            "headers such as pre, post, kind, synapses, sign, delay, or another pair such as "
            "source and target, from and to, neuron 1 and neuron 2."
        )
    others = {column: find(headers, names) for column, names in COLUMNS.items()}
    found = {column: header for column, header in others.items() if header is not None}
    return {"pre": ends[0], "post": ends[1]} | found


def listed(headers: list[str]) -> str:
    """The headers for a sentence."""
    shown = ", ".join(repr(header[:40]) for header in headers[:12])
    return shown + (f" and {len(headers) - 12} more" if len(headers) > 12 else "")


@lru_cache(maxsize=1024)
def kind_code(text: str) -> int:
    """0 chemical, 1 electrical, 2 a chemical row told from the receiving side."""
    try:
        return _KIND_CODES[_plain(text)]
    except KeyError:
        raise ValueError(
            f"kind must be chemical or electrical, or a word for it such as S, EJ or "
            f"gap junction: got {text[:40]!r}."
        ) from None


@lru_cache(maxsize=1024)
def sign_code(text: str) -> int:
    """+1, -1, or 0 for not known."""
    word = text.strip().casefold()
    if word in _SIGNS:
        return _SIGNS[word]
    try:
        if float(word) in (-1.0, 0.0, 1.0):
            return int(float(word))
    except ValueError:
        pass
    raise ValueError(f"sign must be +1, -1, 0 or empty, got {text[:40]!r}.")


@lru_cache(maxsize=1 << 16)
def weight(text: str) -> float:
    """A finite number."""
    value = _number("synapses", text)
    if not abs(value) <= _LARGEST:
        raise ValueError(f"synapses must be a finite number, got {text!r}.")
    return value


@lru_cache(maxsize=1 << 16)
def delay(text: str) -> float:
    """A number of ms, not negative; nan where the text is empty."""
    value = _number("delay", text) if text else float("nan")
    if value < 0 or value > _LARGEST:
        raise ValueError(f"delay must be finite and not negative, got {text!r}.")
    return value


def coordinate(text: str) -> float:
    """A number of um; nan where the text is empty."""
    return _number("a position", text) if text else float("nan")


def _number(what: str, text: str) -> float:
    try:
        if "_" in text:
            raise ValueError
        return float(text)
    except ValueError:
        raise ValueError(f"{what} must be a number, got {text[:40]!r}.") from None


def number_texts(column: NDArray[Any]) -> NDArray[np.object_]:
    """The shortest text of each number that reads back as the same number; "" for nan."""
    values, place = np.unique(column, return_inverse=True)
    texts = np.array([number_text(value) for value in values], dtype=object)
    return texts[place] if len(texts) else texts


def number_text(value: Any) -> str:
    """The same of one NumPy number."""
    if value != value:
        return ""
    text = str(value)
    # Parsing goes through double precision, which in rare cases rounds a float32 elsewhere.
    exact = type(value)(float(text)) == value
    return (text if exact else repr(float(value))).removesuffix(".0")
