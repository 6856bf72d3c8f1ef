"""From the rows of an edge list to connections."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from amphid.wiring.connectome import Cells, Connections
from amphid.wiring.files import words

_DTYPES = (np.int32, np.int32, np.uint8, np.float32, np.int8, np.float32)
# A few junctions of a list from both sides may lack their mirror image, or have another count.
_MIRRORED_SHARE = 0.9
_Texts = Mapping[str, Sequence[str]]
_Where = Callable[[int], str]  # what to call the row of that number in an error
_Value = TypeVar("_Value")


@dataclass(frozen=True)
class Rows:
    """The rows of an edge list, [E] each, before it is known what they mean together."""

    pre: NDArray[np.int32]
    post: NDArray[np.int32]
    kind: NDArray[np.uint8]  # by `words.kind_code`
    weight: NDArray[np.float32]  # may be negative
    sign: NDArray[np.int8]
    delay: NDArray[np.float32]

    def kept(self, which: NDArray[np.bool_]) -> Rows:
        """Those rows only."""
        columns: Mapping[str, NDArray[Any]] = vars(self)
        return Rows(**{name: column[which] for name, column in columns.items()})


def joined(parts: Sequence[Rows]) -> Rows:
    """The rows of all parts, one after the other."""
    if len(parts) == 1:
        return parts[0]
    nothing = Rows(*(np.zeros(0, dtype) for dtype in _DTYPES))  # type: ignore[arg-type]
    columns = {f.name: [getattr(part, f.name) for part in (nothing, *parts)] for f in fields(Rows)}
    return Rows(**{name: np.concatenate(arrays) for name, arrays in columns.items()})


def connections(rows: Rows) -> Connections:
    """The connections that the rows tell, each once."""
    rows = _once(_signed(_sent(rows)))
    columns = {name: _frozen(column) for name, column in vars(rows).items()}
    columns["synapses"] = columns.pop("weight")
    return Connections(**columns)


def _frozen(column: NDArray[Any]) -> NDArray[Any]:
    """The column such that it is taken over without a copy."""
    column = column if column.strides == (0,) else np.ascontiguousarray(column)
    column.flags.writeable = False
    return column


def _sent(rows: Rows) -> Rows:
    received = rows.kind == 2
    if not received.any():
        return rows
    if (rows.kind == 0).any():
        return rows.kept(~received)
    pre, post = np.where(received, (rows.post, rows.pre), (rows.pre, rows.post))
    return replace(rows, pre=pre, post=post, kind=np.where(received, np.uint8(0), rows.kind))


def _signed(rows: Rows) -> Rows:
    negative = rows.weight < 0
    if not negative.any():
        return rows
    if (negative & (rows.sign > 0)).any():
        row = int(np.flatnonzero(negative & (rows.sign > 0))[0])
        raise ValueError(
            f"connection {row} has the sign +1 and the negative weight {rows.weight[row]}."
        )
    told_by_weight = np.sign(rows.weight).astype(np.int8)
    sign = np.where(rows.sign == 0, told_by_weight, rows.sign)
    return replace(rows, weight=np.abs(rows.weight), sign=sign)


def _once(rows: Rows) -> Rows:
    """The rows without the second halves of mirrored pairs, if the junctions are mirrored."""
    turned = (rows.kind == 1) & (rows.pre > rows.post)
    if not turned.any():
        return rows
    between = np.flatnonzero((rows.kind == 1) & (rows.pre != rows.post))
    second = np.zeros(len(rows.pre), dtype=bool)
    second[between[_second_halves(rows, between, turned[between])]] = True
    mirrored = 2 * second.sum() >= _MIRRORED_SHARE * len(between)
    return rows.kept(~second) if mirrored else rows


def _second_halves(
    rows: Rows, between: NDArray[Any], turned: NDArray[np.bool_]
) -> NDArray[np.int64]:
    """Those rows of `between` that repeat another from the other side, each its own one."""
    pre, post, weight = rows.pre[between], rows.post[between], rows.weight[between]
    low, high = np.minimum(pre, post), np.maximum(pre, post)
    order = np.lexsort((turned, weight, high, low))
    alike = [np.diff(column[order]) == 0 for column in (low, high, weight)]
    group = np.append(0, np.cumsum(~np.logical_and.reduce(alike)))
    forth = np.bincount(group, weights=~turned[order]).astype(np.int64)
    place = np.arange(len(order)) - np.flatnonzero(np.append(True, np.diff(group)))[group]
    repeats = turned[order] & (place - forth[group] < forth[group])
    return order[repeats]


def parse_rows(texts: _Texts, cells: Appearing | Listed, where: _Where) -> Rows:
    """The rows written as texts: "pre" and "post", which are among `cells`, and other columns."""
    size = len(texts["pre"])
    # Alternating, so that cells numbered as they appear are numbered row by row.
    ends = [name for pair in zip(texts["pre"], texts["post"], strict=True) for name in pair]
    numbers = parsed(cells.__getitem__, ends, lambda number: where(number // 2))
    places = np.array(numbers, dtype=np.int32).reshape(size, 2)

    def column(name: str, parse: Callable[[str], _Value], default: _Value) -> list[_Value]:
        given = texts.get(name)
        return [default] * size if given is None else parsed(parse, given, where)

    return Rows(
        pre=places[:, 0],
        post=places[:, 1],
        kind=np.array(column("kind", words.kind_code, 0), dtype=np.uint8),
        weight=np.array(column("synapses", words.weight, 1.0), dtype=np.float32),
        sign=np.array(column("sign", words.sign_code, 0), dtype=np.int8),
        delay=np.array(column("delay", words.delay, float("nan")), dtype=np.float32),
    )


def parse_cells(texts: _Texts, where: _Where) -> Cells:
    """The cells written as texts: "name" and any other columns of `words.CELL_COLUMNS`."""
    size = len(texts["name"])
    columns = {
        column: list(texts.get(column, [""] * size))
        for column in ("kind", "cell_class", "transmitter")
    }
    position = np.full((size, 3), np.nan)
    for axis, name in enumerate("xyz"):
        if name in texts:
            position[:, axis] = parsed(words.coordinate, texts[name], where)
    return Cells(list(texts["name"]), position=position, **columns)


def parsed(parse: Callable[[str], _Value], texts: Sequence[str], where: _Where) -> list[_Value]:
    """All texts parsed; the error of the first that cannot be says where it stands."""
    try:
        return list(map(parse, texts))
    except ValueError:
        for number, text in enumerate(texts):
            try:
                parse(text)
            except ValueError as error:
                raise ValueError(f"{where(number)}: {error}") from None
        raise


class Appearing(dict[str, int]):
    """Numbers cells in the order in which they are looked up first."""

    def __missing__(self, name: str) -> int:
        if not name:
            raise ValueError("the name of a cell is empty.")
        self[name] = number = len(self)
        return number


class Listed(dict[str, int]):
    """The numbers of cells that are known; where: the list that they are known from."""

    def __init__(self, names: Iterable[str], where: str) -> None:
        super().__init__((name, number) for number, name in enumerate(names))
        self.where = where

    def __missing__(self, name: str) -> int:
        raise ValueError(f"the cell {name[:40]!r} is not listed in {self.where}.")
