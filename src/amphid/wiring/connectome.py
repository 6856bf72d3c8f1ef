"""The connectome: cells and the connections between them, as one frozen value."""

from __future__ import annotations

import difflib
import fnmatch
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

Kind = Literal["chemical", "electrical"]
KINDS: tuple[Kind, ...] = ("chemical", "electrical")

_UNWRITABLE = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")

Indices = NDArray[np.int64]
Texts = NDArray[np.object_]


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
        names = [name] if isinstance(name, str) else list(name)
        for given in names:
            _check_text("cell name", given)
            if not given:
                raise ValueError("A cell name is empty: every cell needs a name of its own.")
        if len(set(names)) < len(names):
            raise ValueError(f"Two cells are named {_first_repeated(names)!r}: names must differ.")
        size = len(names)
        _freeze(self, "name", _texts("name", names, size))
        _freeze(self, "kind", _texts("kind", kind, size))
        _freeze(self, "cell_class", _texts("cell_class", cell_class, size))
        _freeze(self, "transmitter", _texts("transmitter", transmitter, size))
        _freeze(self, "position", _column("position", position, np.float64, (size, 3)))

    def __len__(self) -> int:
        return len(self.name)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Cells) and _same_columns(self, other)

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
        size = np.asarray(pre).shape
        if len(size) != 1:
            raise ValueError(f"pre must be a list of cell indices, got an array of shape {size}.")
        codes = _column("kind", _kind_codes(kind), np.uint8, size)
        before = _column("pre", pre, np.int32, size)
        behind = _column("post", post, np.int32, size)
        turned = (codes == 1) & (before > behind)
        if turned.any():
            before, behind = np.where(turned, behind, before), np.where(turned, before, behind)
        _freeze(self, "pre", before)
        _freeze(self, "post", behind)
        _freeze(self, "kind", codes)
        _freeze(self, "synapses", _column("synapses", synapses, np.float32, size))
        _freeze(self, "sign", _column("sign", sign, np.int8, size))
        _freeze(self, "delay", _column("delay", delay, np.float32, size))
        _check_range("kind", self.kind <= 1, self.kind, "0 (chemical) or 1 (electrical)")
        in_range = np.isfinite(self.synapses) & (self.synapses >= 0)
        _check_range("synapses", in_range, self.synapses, "finite and not negative")
        _check_range("sign", np.abs(self.sign) <= 1, self.sign, "-1, 0 or +1")
        in_range = np.isnan(self.delay) | ((self.delay >= 0) & np.isfinite(self.delay))
        _check_range("delay", in_range, self.delay, "not negative and finite, or nan for none")

    def __len__(self) -> int:
        return len(self.pre)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Connections) and _same_columns(self, other)

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
        return Connections(**{f.name: getattr(self, f.name)[which] for f in fields(self)})


@dataclass(frozen=True, eq=False, repr=False)
class Connectome:
    """Who is connected to whom: a frozen value.

    cells: the cells, N of them.
    connections: the connections, E of them.
    name: what it is called in reports.
    references: where it was published, one text each.

    Two connectomes are equal when their cells and connections are, in the same order.
    Raises ValueError when a connection points at a cell that is not there.
    """

    cells: Cells
    connections: Connections
    name: str = ""
    references: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        size = len(self.cells)
        for column in ("pre", "post"):
            cell = getattr(self.connections, column)
            _check_range(column, (cell >= 0) & (cell < size), cell, f"an index below {size} cells")

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
        return (
            f"Connectome({self.name!r}: {len(self):,} cells ({cells}), "
            f"{chemical:,} chemical and {electrical:,} electrical connections)"
        )

    @cached_property
    def _index_of(self) -> dict[str, int]:
        return {name: index for index, name in enumerate(self.cells.name)}

    def index(self, name: str) -> int:
        """Position of the cell of that name.

        Raises KeyError with the nearest names for a name that is not there.
        """
        try:
            return self._index_of[name]
        except KeyError:
            raise KeyError(self._unknown(name)) from None

    def select(self, *which: str | int) -> Indices:
        """Indices [K] of cells by name, class, kind or pattern ("VA*"), in the order asked for.

        An exact name wins over a class, a class over a kind, a kind over a pattern. No cell comes
        twice. Raises KeyError with the nearest names when nothing fits.
        """
        found = [index for given in which for index in self._matching(given)]
        return np.array(list(dict.fromkeys(found)), dtype=np.int64)

    def subset(self, *which: str | int) -> Connectome:
        """Those cells, in the order asked for, and the connections among them."""
        return self._keep(self.select(*which))

    def without(self, *which: str | int) -> Connectome:
        """The connectome after a lesion: those cells and all their connections are gone."""
        return self._keep(np.setdiff1d(np.arange(len(self)), self.select(*which)))

    def with_connections(self, **columns: ArrayLike) -> Connectome:
        """The same with whole columns of the connections replaced, such as `delay` or `sign`."""
        old = {f.name: getattr(self.connections, f.name) for f in fields(self.connections)}
        return replace(self, connections=Connections(**{**old, **columns}))

    def signed(self, rule: Callable[[Connectome], ArrayLike]) -> Connectome:
        """The same with signs [E] by a rule, such as `wiring.by_transmitter`.

        A wiring diagram does not hold signs: choosing the rule is part of the model.
        """
        return self.with_connections(sign=rule(self))

    def annotated(self, atlas: Connectome) -> Connectome:
        """The same with what is unknown about its cells filled in, by name, from an atlas.

        Kind, class, transmitter and position are taken where they are "" or nan here.
        """
        there = np.array([atlas._index_of.get(name, -1) for name in self.cells.name], dtype=int)
        columns = {}
        for column in ("kind", "cell_class", "transmitter", "position"):
            mine = getattr(self.cells, column)
            empty = np.isnan(mine).any(1) if column == "position" else mine == ""
            fill = np.flatnonzero(empty.astype(bool) & (there >= 0))
            columns[column] = mine.copy()
            columns[column][fill] = getattr(atlas.cells, column)[there[fill]]
        return replace(self, cells=Cells(self.cells.name, **columns))

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

    def _matching(self, which: str | int) -> list[int]:
        if not isinstance(which, str):
            return [self._checked(int(which))]
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

    def _unknown(self, name: str) -> str:
        known = {*self.cells.name, *self.cells.cell_class, *self.cells.kind} - {""}
        by_lower = {text.lower(): text for text in sorted(known)}
        close = difflib.get_close_matches(name.lower(), by_lower, n=3, cutoff=0.6)
        hint = f" Did you mean {' or '.join(repr(by_lower[c]) for c in close)}?" if close else ""
        return f"No cell, class or pattern {name!r} among {len(self)} cells.{hint}"

    def _keep(self, cells: Indices) -> Connectome:
        place = np.full(len(self), -1, dtype=np.int32)
        place[cells] = np.arange(len(cells), dtype=np.int32)
        wires = self.connections
        kept = wires.take((place[wires.pre] >= 0) & (place[wires.post] >= 0))
        columns = {f.name: getattr(kept, f.name) for f in fields(kept)}
        columns |= {"pre": place[kept.pre], "post": place[kept.post]}
        chosen = {f.name: getattr(self.cells, f.name)[cells] for f in fields(self.cells)}
        return replace(self, cells=Cells(**chosen), connections=Connections(**columns))


def _freeze(value: object, field: str, column: NDArray[Any]) -> None:
    column.flags.writeable = False
    object.__setattr__(value, field, column)


def _texts(field: str, given: str | Sequence[str] | Texts, size: int) -> Texts:
    values = [given] * size if isinstance(given, str) else list(given)
    if len(values) != size:
        raise ValueError(
            f"{field} must have one entry per cell: {size} cells, {len(values)} entries."
        )
    for text in set(values):
        _check_text(field, text)
    column = np.empty(size, dtype=object)
    column[:] = [str(text) for text in values]
    return column


def _check_text(what: str, text: object) -> None:
    if not isinstance(text, str):
        raise TypeError(f"{what} must be text, got {text!r}.")
    if _UNWRITABLE.search(text):
        raise ValueError(f"{what} {text!r} holds a control character, which no file format keeps.")


def _column(field: str, given: ArrayLike, dtype: type, shape: tuple[int, ...]) -> NDArray[Any]:
    """The column at that type and shape; a single value is not copied out to all entries."""
    array = np.asarray(given)
    whole = np.issubdtype(dtype, np.integer)
    try:
        if array.ndim and array.shape != shape:
            raise ValueError
        with np.errstate(invalid="ignore"):
            cast: NDArray[Any] = array.astype(dtype)
        if whole and not np.array_equal(cast, array):
            raise ValueError
    except (ValueError, TypeError, OverflowError):
        raise ValueError(
            f"{field} must be {'whole numbers' if whole else 'numbers'} of shape {list(shape)} or "
            f"one for all: got {array.dtype} of shape {list(array.shape)}."
        ) from None
    return cast if cast.shape == shape else np.broadcast_to(cast, shape).view()


def _kind_codes(kind: str | Sequence[str] | ArrayLike) -> ArrayLike:
    array = np.asarray(kind)
    if array.dtype.kind not in "UO":
        return array
    codes = np.full(array.shape, 255, dtype=np.uint8)
    for code, name in enumerate(KINDS):
        codes[array == name] = code
    if (codes == 255).any():
        unknown = array[codes == 255].flat[0] if array.ndim else array.item()
        raise ValueError(f"kind must be one of {', '.join(KINDS)}, got {unknown!r}.")
    return codes


def _check_range(field: str, good: NDArray[Any], column: NDArray[Any], law: str) -> None:
    if not good.all():
        row = int(np.flatnonzero(~good)[0])
        raise ValueError(f"{field} must be {law}: connection {row} has {column[row]}.")


def _first_repeated(names: list[str]) -> str:
    seen: set[str] = set()
    return next(name for name in names if name in seen or seen.add(name))  # type: ignore[func-returns-value]


def _same_columns(one: object, other: object) -> bool:
    return all(
        _same(getattr(one, f.name), getattr(other, f.name))
        for f in fields(one)  # type: ignore[arg-type]
    )


def _same(one: NDArray[Any], other: NDArray[Any]) -> bool:
    return np.array_equal(one, other, equal_nan=one.dtype.kind == "f")
