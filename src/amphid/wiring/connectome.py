"""The connectome: cells and the connections between them, as one frozen value."""

from __future__ import annotations

import difflib
import fnmatch
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from amphid.wiring.columns import KINDS as KINDS
from amphid.wiring.columns import Kind as Kind
from amphid.wiring.columns import (
    Texts,
    as_list,
    check_range,
    check_text,
    freeze,
    kind_codes,
    names,
    numbers,
    same_columns,
    shortened,
    taken,
    texts,
)
from amphid.wiring.partition import check_part, own_range, touching

Indices: TypeAlias = NDArray[np.int64]
Which: TypeAlias = "str | int | np.integer[Any] | Sequence[Which] | NDArray[Any]"


@dataclass(frozen=True, eq=False)
class Cells:
    """The cells, one entry each; a single value stands for all of them.

    name: [N] unique, printable, not empty.
    kind: [N] what the cell does: "sensory", "inter", "motor", "muscle", ...; "" where unknown.
    cell_class: [N] the class it belongs to ("AVA" for "AVAL" and "AVAR"); "" where unknown.
    transmitter: [N] "acetylcholine", "GABA", ...; several are joined by "; "; "" where unknown.
    position: [N, 3] um; nan where unknown.

    Raises ValueError for repeated, empty or unprintable names and for columns of another length.
    """

    name: Texts
    kind: Texts
    cell_class: Texts
    transmitter: Texts
    position: NDArray[np.float64]

    def __init__(
        self,
        name: Iterable[str],
        *,
        kind: str | Sequence[str] | Texts = "",
        cell_class: str | Sequence[str] | Texts = "",
        transmitter: str | Sequence[str] | Texts = "",
        position: ArrayLike = float("nan"),
    ) -> None:
        listed = names(name)
        size = len(listed)
        place = numbers("position", position, np.float64, (size, 3))
        if np.isinf(place).any():
            raise ValueError("position must be finite, or nan where it is unknown; got inf.")
        freeze(
            self,
            name=texts("name", listed, size),
            kind=texts("kind", kind, size),
            cell_class=texts("cell_class", cell_class, size),
            transmitter=texts("transmitter", transmitter, size),
            position=place,
        )

    def __len__(self) -> int:
        return len(self.name)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Cells) and same_columns(self, other)

    __hash__ = None  # type: ignore[assignment]


@dataclass(frozen=True, eq=False)
class Connections:
    """The connections, one entry each; a single value stands for all of them.

    pre, post: [E] index of the cell before and behind it.
    kind: [E] index into `KINDS`: 0 chemical, 1 electrical; names are accepted too.
    synapses: [E] how many synapses the connection has (or another measure of its size), >= 0.
    sign: [E] +1 excites, -1 inhibits, 0 not known.
    delay: [E] ms, >= 0; nan where none is given.

    An electrical connection has no direction and is kept once, `pre` <= `post`.
    Raises ValueError for columns of another length and for values out of range.
    """

    pre: NDArray[np.int32]
    post: NDArray[np.int32]
    kind: NDArray[np.uint8]
    synapses: NDArray[np.float32]
    sign: NDArray[np.int8]
    delay: NDArray[np.float32]

    def __init__(
        self,
        pre: ArrayLike = (),
        post: ArrayLike = (),
        *,
        kind: str | Sequence[str] | ArrayLike = "chemical",
        synapses: ArrayLike = 1.0,
        sign: ArrayLike = 0,
        delay: ArrayLike = float("nan"),
    ) -> None:
        try:
            size = np.asarray(pre).shape
        except ValueError:
            size = (-1, -1)
        if len(size) != 1:
            raise ValueError(f"pre must be a list of cell indices, got {shortened(pre)}.")
        codes = numbers("kind", kind_codes(kind), np.uint8, size)
        before = numbers("pre", pre, np.int32, size)
        behind = numbers("post", post, np.int32, size)
        turned = (codes == 1) & (before > behind)
        if turned.any():
            before, behind = np.where(turned, behind, before), np.where(turned, before, behind)
        freeze(
            self,
            pre=before,
            post=behind,
            kind=codes,
            synapses=numbers("synapses", synapses, np.float32, size),
            sign=numbers("sign", sign, np.int8, size),
            delay=numbers("delay", delay, np.float32, size),
        )
        self._check()

    def _check(self) -> None:
        check_range("kind", self.kind <= 1, self.kind, "0 (chemical) or 1 (electrical)")
        good = np.isfinite(self.synapses) & (self.synapses >= 0)
        check_range("synapses", good, self.synapses, "finite and not negative")
        good = (self.sign >= -1) & (self.sign <= 1)
        check_range("sign", good, self.sign, "-1, 0 or +1")
        good = np.isnan(self.delay) | ((self.delay >= 0) & np.isfinite(self.delay))
        check_range("delay", good, self.delay, "not negative and finite, or nan for none")

    def __len__(self) -> int:
        return len(self.pre)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Connections) and same_columns(self, other)

    __hash__ = None  # type: ignore[assignment]

    @property
    def chemical(self) -> NDArray[np.bool_]:
        """[E] which connections are chemical."""
        return np.equal(self.kind, 0)

    @property
    def electrical(self) -> NDArray[np.bool_]:
        """[E] which connections are gap junctions."""
        return np.equal(self.kind, 1)

    def take(self, which: NDArray[Any]) -> Connections:
        """Those connections only, by mask [E] or indices."""
        return Connections(**{f.name: taken(getattr(self, f.name), which) for f in fields(self)})


@dataclass(frozen=True, eq=False, repr=False)
class Connectome:
    """Who is connected to whom: a frozen value.

    cells: the cells, N of them.
    connections: the connections, E of them.
    name: what it is called in reports.
    references: where it was published, one text each.
    onto: of a part (see `part`), the cells whose connections it holds; None where all are there.

    Two connectomes are equal when their cells and connections are, in the same order.
    Raises ValueError when a connection points at a cell that is not there.
    """

    cells: Cells
    connections: Connections
    name: str = ""
    references: tuple[str, ...] = ()
    onto: range | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.cells, Cells):
            raise TypeError(f"cells must be Cells, got {shortened(self.cells)}.")
        if not isinstance(self.connections, Connections):
            raise TypeError(f"connections must be Connections, got {shortened(self.connections)}.")
        check_text("name must be printable: name", self.name)
        references = as_list("references", self.references)
        if isinstance(self.references, str) or not all(isinstance(r, str) for r in references):
            raise TypeError(f"references must be a list of texts, got {self.references!r}.")
        object.__setattr__(self, "references", tuple(references))
        size = len(self.cells)
        for column in ("pre", "post"):
            cell = getattr(self.connections, column)
            check_range(column, (cell >= 0) & (cell < size), cell, f"an index below {size} cells")

    def __len__(self) -> int:
        return len(self.cells)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Connectome):
            return NotImplemented
        return self.cells == other.cells and self.connections == other.connections

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        kinds, counts = np.unique([kind or "cell" for kind in self.cells.kind], return_counts=True)
        cells = ", ".join(f"{count:,} {kind}" for kind, count in zip(kinds, counts, strict=True))
        wires = self.connections
        chemical, electrical = int(wires.chemical.sum()), int(wires.electrical.sum())
        onto = "" if self.onto is None else f" onto cells {self.onto.start} to {self.onto.stop - 1}"
        return (
            f"Connectome({self.name!r}: {len(self):,} cells ({cells}), "
            f"{chemical:,} chemical and {electrical:,} electrical connections{onto})"
        )

    @cached_property
    def _index_of(self) -> dict[str, int]:
        return {name: index for index, name in enumerate(self.cells.name)}

    def index(self, name: str) -> int:
        """Position of the cell of that name.

        Raises KeyError with the nearest names for a name that is not there.
        """
        if not isinstance(name, str) or name not in self._index_of:
            raise KeyError(self._unknown(name))
        return self._index_of[name]

    def select(self, *which: Which) -> Indices:
        """Indices [K] of cells by name, class, kind or pattern ("VA*"), in the order asked for.

        An index, and a list or array of any of these, will do too. An exact name wins over a
        class, a class over a kind, a kind over a pattern. No cell comes twice. Raises KeyError
        with the nearest names when nothing fits.
        """
        found = [index for given in which for index in self._matching(given)]
        return np.array(list(dict.fromkeys(found)), dtype=np.int64)

    def subset(self, *which: Which) -> Connectome:
        """Those cells, in the order asked for, and the connections among them."""
        return self._keep(self.select(*which))

    def without(self, *which: Which) -> Connectome:
        """The connectome after a lesion: those cells and all their connections are gone."""
        return self._keep(np.setdiff1d(np.arange(len(self)), self.select(*which)))

    def part(self, number: int, parts: int) -> Connectome:
        """All cells, and the connections onto one of several ranges of them: what a rank needs.

        The ranges lie side by side, `number` counting from 0, and take about the same work. A gap
        junction belongs to the parts of both its cells. `simulation.Distributed` runs a network on
        such parts, one in each process; `read` takes one out of a file.
        """
        check_part((number, parts))
        self.check_whole("take another part")
        wires = self.connections
        own = own_range(wires, len(self), number, parts)
        kept = touching(wires.pre, wires.post, wires.electrical, own)
        return replace(self, connections=wires.take(kept), onto=own)

    def with_connections(self, **columns: ArrayLike) -> Connectome:
        """The same with whole columns of the connections replaced, such as `delay` or `sign`."""
        old = {f.name: getattr(self.connections, f.name) for f in fields(self.connections)}
        if unknown := set(columns) - set(old):
            known = ", ".join(old)
            raise TypeError(f"connections have no column {min(unknown)!r}; they have {known}.")
        for ends in {"pre", "post"} & set(columns):
            numbers(ends, columns[ends], np.int32, self.connections.pre.shape)
        return replace(self, connections=Connections(**{**old, **columns}))

    def signed(self, rule: Callable[[Connectome], ArrayLike]) -> Connectome:
        """The same with signs [E] by a rule, such as `wiring.by_transmitter`.

        A wiring diagram does not hold signs: choosing the rule is part of the model.
        """
        if not callable(rule):
            raise TypeError(f"rule must be a function of a connectome, got {shortened(rule)}.")
        return self.with_connections(sign=rule(self))

    def annotated(self, atlas: Connectome) -> Connectome:
        """The same with what is unknown about its cells filled in, by name, from an atlas.

        Kind, class, transmitter and position are taken where they are "" or nan here.
        """
        if not isinstance(atlas, Connectome):
            raise TypeError(f"atlas must be a Connectome, got {shortened(atlas)}.")
        there = np.array([atlas._index_of.get(name, -1) for name in self.cells.name], dtype=int)
        columns = {}
        for column in ("kind", "cell_class", "transmitter", "position"):
            mine = getattr(self.cells, column)
            empty = np.isnan(mine).any(1) if column == "position" else mine == ""
            fill = np.flatnonzero(empty.astype(bool) & (there >= 0))
            columns[column] = mine.copy()
            columns[column][fill] = getattr(atlas.cells, column)[there[fill]]
        return replace(self, cells=Cells(self.cells.name, **columns))

    def check_whole(self, purpose: str) -> None:
        """Raise ValueError for a part of a connectome, naming what it is too little for."""
        if self.onto is not None:
            raise ValueError(
                f"this connectome holds only the connections onto cells {self.onto.start} to "
                f"{self.onto.stop - 1}, a part of all, and cannot be used to {purpose}: use the "
                "whole one."
            )

    def matrix(self, kind: Kind = "chemical", *, signed: bool = False) -> NDArray[np.float64]:
        """Synapse counts as a dense matrix [N, N], row pre, column post.

        Parallel connections add up. An electrical connection stands on both sides of the diagonal.
        signed: multiply by the sign, unknown signs counting as zero.
        """
        if kind not in KINDS:
            raise ValueError(f"kind must be one of {', '.join(KINDS)}, got {kind!r}.")
        chosen = self.connections.take(self.connections.kind == KINDS.index(kind))
        value = chosen.synapses.astype(np.float64) * (chosen.sign if signed else 1.0)
        dense = np.zeros((len(self), len(self)))
        np.add.at(dense, (chosen.pre, chosen.post), value)
        return dense if kind == "chemical" else dense + dense.T - np.diag(np.diag(dense))

    def _matching(self, which: Which) -> list[int]:
        if isinstance(which, (list, tuple, set, np.ndarray)):
            return [index for one in which for index in self._matching(one)]
        if isinstance(which, (int, np.integer)) and not isinstance(which, bool):
            return [self._checked(int(which))]
        if not isinstance(which, str):
            raise TypeError(f"a cell is chosen by name, pattern or index, got {which!r}.")
        if which in self._index_of:
            return [self._index_of[which]]
        for column in (self.cells.cell_class, self.cells.kind):
            if which and (found := np.flatnonzero(column == which)).size:
                return list(found)
        fits = re.compile(fnmatch.translate(which)).match
        if found_by_pattern := [i for i, name in enumerate(self.cells.name) if fits(name)]:
            return found_by_pattern
        raise KeyError(self._unknown(which))

    def _checked(self, index: int) -> int:
        if not 0 <= index < len(self):
            raise KeyError(f"No cell number {index}: this connectome has {len(self)} cells.")
        return index

    def _unknown(self, name: object) -> str:
        known = {*self.cells.name, *self.cells.cell_class, *self.cells.kind} - {""}
        by_lower = {text.lower(): text for text in sorted(known)}
        close = difflib.get_close_matches(str(name).lower(), by_lower, n=3, cutoff=0.6)
        hint = f" Did you mean {' or '.join(repr(by_lower[c]) for c in close)}?" if close else ""
        return f"No cell, class or pattern {name!r} among {len(self)} cells.{hint}"

    def _keep(self, cells: Indices) -> Connectome:
        self.check_whole("choose cells")
        place = np.full(len(self), -1, dtype=np.int32)
        place[cells] = np.arange(len(cells), dtype=np.int32)
        wires = self.connections
        kept = wires.take((place[wires.pre] >= 0) & (place[wires.post] >= 0))
        columns = {f.name: getattr(kept, f.name) for f in fields(kept)}
        columns |= {"pre": place[kept.pre], "post": place[kept.post]}
        chosen = {f.name: getattr(self.cells, f.name)[cells] for f in fields(self.cells)}
        return replace(self, cells=Cells(**chosen), connections=Connections(**columns))
