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
* An electrical junction may be listed from both cells. When every electrical row between two
  different cells has its mirror image with the same count, each pair is taken once. A list in which
  any junction stands only once is taken as it stands: one row, one junction.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from amphid.wiring.connectome import Connections

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
    *("num synapses", "synapses total", "connectivity", "syn weight", "size"),
)
KIND = ("kind", "type", "synapse type", "connection type", "edge type", "syn type")
SIGN = ("sign", "excitatory", "polarity")
DELAY = ("delay", "delay ms")

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


def find_columns(headers: Iterable[str]) -> dict[str, str]:
    """Which header holds what: "pre" and "post", and those of the other columns that are there.

    Raises ValueError naming the headers when they do not tell the two cells of a connection.
    """
    headers = list(headers)
    for pair in ENDS:
        pre, post = (find(headers, [name]) for name in pair)
        if pre is not None and post is not None:
            break
    else:
        raise ValueError(
            f"no columns for the two cells of a connection among {_listed(headers)}: expected a "
            "header such as pre, post, kind, synapses, sign, delay, or another pair such as "
            "source and target, from and to, neuron 1 and neuron 2."
        )
    names = {"synapses": SYNAPSES, "kind": KIND, "sign": SIGN, "delay": DELAY}
    others = {column: find(headers, aliases) for column, aliases in names.items()}
    return {"pre": pre, "post": post} | {c: h for c, h in others.items() if h is not None}


def _listed(headers: list[str]) -> str:
    shown = ", ".join(repr(header[:40]) for header in headers[:12])
    return shown + (f" and {len(headers) - 12} more" if len(headers) > 12 else "")


def kind_code(text: str) -> int:
    """0 chemical, 1 electrical, 2 a chemical row told from the receiving side."""
    try:
        return _KIND_CODES[_plain(text)]
    except KeyError:
        raise ValueError(
            f"kind must be chemical or electrical, or a word for it such as S, EJ or "
            f"gap junction: got {text[:40]!r}."
        ) from None


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


@dataclass(frozen=True)
class Rows:
    """The rows of an edge list, [E] each, before it is known what they mean together."""

    pre: NDArray[np.int32]
    post: NDArray[np.int32]
    kind: NDArray[np.uint8]  # by `kind_code`
    weight: NDArray[np.float32]  # may be negative
    sign: NDArray[np.int8]
    delay: NDArray[np.float32]

    def _kept(self, which: NDArray[np.bool_]) -> Rows:
        columns: Mapping[str, NDArray[Any]] = vars(self)
        return Rows(**{name: column[which] for name, column in columns.items()})


def connections(rows: Rows) -> Connections:
    """The connections that the rows tell, each once."""
    rows = _signed(_sent(rows))
    rows = rows._kept(~_second_of_a_mirrored_pair(rows))
    return Connections(
        rows.pre,
        rows.post,
        kind=rows.kind,
        synapses=np.abs(rows.weight),
        sign=rows.sign,
        delay=rows.delay,
    )


def _sent(rows: Rows) -> Rows:
    received = rows.kind == 2
    if not received.any():
        return rows
    if (rows.kind == 0).any():
        return rows._kept(~received)
    pre, post = np.where(received, (rows.post, rows.pre), (rows.pre, rows.post))
    return replace(rows, pre=pre, post=post, kind=np.where(received, np.uint8(0), rows.kind))


def _signed(rows: Rows) -> Rows:
    negative = rows.weight < 0
    if not negative.any():
        return rows
    if (negative & (rows.sign > 0)).any():
        row = int(np.flatnonzero(negative & (rows.sign > 0))[0])
        raise ValueError(f"row {row + 1} has the sign +1 and the negative weight {rows.weight[row]}.")
    told_by_weight = np.sign(rows.weight).astype(np.int8)
    return replace(rows, sign=np.where(rows.sign == 0, told_by_weight, rows.sign))


def _second_of_a_mirrored_pair(rows: Rows) -> NDArray[np.bool_]:
    between = (rows.kind == 1) & (rows.pre != rows.post)
    pre, post, weight = rows.pre[between], rows.post[between], rows.weight[between]
    forth = np.lexsort((weight, post, pre))
    back = np.lexsort((weight, pre, post))
    mirrored = (
        np.array_equal(pre[forth], post[back])
        and np.array_equal(post[forth], pre[back])
        and np.array_equal(weight[forth], weight[back])
    )
    return between & (rows.pre > rows.post) & mirrored


def number_texts(column: NDArray[Any]) -> NDArray[np.object_]:
    """The shortest text of each number that reads back as the same number; "" for nan."""
    values, place = np.unique(column, return_inverse=True)
    texts = np.array([_shortest(value) for value in values], dtype=object)
    return texts[place] if len(texts) else texts


def _shortest(value: Any) -> str:
    if value != value:
        return ""
    text = str(value)
    # Parsing goes through double precision, which in rare cases rounds a float32 elsewhere.
    exact = type(value)(float(text)) == value
    return (text if exact else repr(float(value))).removesuffix(".0")
