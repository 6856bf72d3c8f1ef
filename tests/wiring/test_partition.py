"""Parts of a connectome: ranges of cells of about the same work, with what leads onto them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from amphid import wiring
from amphid.wiring import Cells, Connections, Connectome
from amphid.wiring.partition import ALIGNED, CONNECTIONS_PER_CELL, borders


def drawn(cells: int = 307, edges: int = 2003, junctions: float = 0.2) -> Connectome:
    rng = np.random.default_rng(0)
    kind = (rng.random(edges) < junctions).astype(int)
    return Connectome(
        Cells([f"n{i}" for i in range(cells)], kind="inter"),
        Connections(
            rng.integers(0, cells, edges),
            rng.integers(0, cells, edges),
            kind=kind,
            synapses=rng.integers(1, 7, edges),
            sign=np.where(kind == 0, rng.choice([-1, 1], edges), 0),
            delay=np.where(kind == 0, rng.integers(0, 5, edges), np.nan),
        ),
        name="drawn",
    )


@settings(deadline=None, max_examples=50)
@given(st.integers(0, 2000), st.integers(0, 5000), st.integers(1, 9), st.integers(0, 99))
def test_ranges_follow_each_other_and_share_the_work(
    cells: int, edges: int, parts: int, seed: int
) -> None:
    post = np.random.default_rng(seed).integers(0, max(cells, 1), edges if cells else 0)
    ends = borders(cells, [post[: edges // 2], post[edges // 2 :]], parts)
    assert (len(ends), ends[0], ends[-1]) == (parts + 1, 0, cells)
    assert all(end % ALIGNED == 0 or end == cells for end in ends)
    work = np.concatenate(
        ([0], np.cumsum(np.bincount(post, minlength=cells) + CONNECTIONS_PER_CELL))
    )
    shares = np.diff(work[ends])
    assert (shares >= 0).all()
    first = np.arange(cells + 1)
    widest = (work[np.minimum(first + ALIGNED, cells)] - work).max()
    assert shares.max() <= work[-1] / parts + 2 * widest


@pytest.mark.parametrize("parts", [1, 2, 3, 11])
def test_parts_hold_every_connection_once_and_junctions_at_both_ends(parts: int) -> None:
    whole = drawn()
    pieces = [whole.part(number, parts) for number in range(parts)]
    for piece in pieces:
        assert piece.cells == whole.cells
        wires, own = piece.connections, piece.onto
        inside = np.isin(wires.post, own) | (wires.electrical & np.isin(wires.pre, own))
        assert inside.all()
    chemical = [piece.connections.take(piece.connections.chemical) for piece in pieces]
    assert sum(map(len, chemical)) == int(whole.connections.chemical.sum())
    ends = [
        np.isin(piece.connections.take(piece.connections.electrical).pre, piece.onto)
        for piece in pieces
    ]
    assert sum(int(end.sum()) for end in ends) == int(whole.connections.electrical.sum())
    assert [cell for piece in pieces for cell in piece.onto] == list(range(len(whole)))


@pytest.mark.parametrize("suffix", [".h5", ".csv"])
def test_a_part_of_a_file_is_that_part_of_what_it_holds(
    suffix: str, tmp_path: Any, monkeypatch: Any
) -> None:
    monkeypatch.setattr("amphid.wiring.files.sonata_reader._WINDOW", 97)
    path = wiring.write(drawn(), tmp_path / f"drawn{suffix}")
    whole = wiring.read(path)
    for number in range(3):
        piece = wiring.read(path, part=(number, 3))
        assert piece == whole.part(number, 3)
        assert piece.onto == whole.part(number, 3).onto


def test_a_file_without_connections_or_cells_has_parts_too(tmp_path: Any) -> None:
    for cells in (0, 5):
        path = tmp_path / f"{cells}.h5"
        wiring.write(Connectome(Cells([f"n{i}" for i in range(cells)]), Connections()), path)
        pieces = [wiring.read(path, part=(number, 2)) for number in range(2)]
        assert [cell for piece in pieces for cell in piece.onto] == list(range(cells))


def test_a_part_says_what_it_is_and_is_not_taken_for_the_whole(tmp_path: Any) -> None:
    piece = drawn().part(1, 2)
    assert f"onto cells {piece.onto.start} to 306" in repr(piece)
    assert piece.signed(wiring.all_positive).onto == piece.onto
    with pytest.raises(ValueError, match="cannot be used to choose cells: use the whole one"):
        piece.subset("n1")
    with pytest.raises(ValueError, match="cannot be used to take another part"):
        piece.part(0, 2)
    with pytest.raises(ValueError, match="cannot be used to write"):
        wiring.write(piece, tmp_path / "piece.h5")


@pytest.mark.parametrize("part", [(2, 2), (-1, 2), (0, 0), (0.5, 2), (0,), "ab"])
def test_a_part_that_there_is_not_is_refused(part: Any, tmp_path: Any) -> None:
    path = wiring.write(drawn(), tmp_path / "drawn.h5")
    with pytest.raises(ValueError, match="0 <= number < parts"):
        wiring.read(path, part=part)
