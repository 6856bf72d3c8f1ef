"""What geometry and skeletons say to nonsense, and to files that are foreign or cut short."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch

from amphid.wiring import conducted, geometric, read_skeleton, straight_lengths

PLACES = torch.rand(7, 3, generator=torch.Generator().manual_seed(3))
MADE = geometric(PLACES, neighbors=3)
ROWS = "1 1 0 0 0 1 -1\n2 2 1 0 0 1 1\n3 2 2 0 0 1 2\n"


@pytest.mark.parametrize(
    ("ask", "error", "sentence"),
    [
        (lambda: geometric(PLACES * 1j, radius=1.0), ValueError, "positions must be numbers"),
        (lambda: geometric(PLACES, neighbors=[]), TypeError, "neighbors must be a whole number"),
        (lambda: geometric(PLACES, neighbors=PLACES), TypeError, "neighbors must be a whole"),
        (lambda: conducted("x", speed=1.0), TypeError, "connectome must be a Connectome, got 'x'"),
        (lambda: straight_lengths(None), TypeError, "connectome must be a Connectome, got None"),
        (lambda: conducted(MADE, speed="fast"), TypeError, "speed must be one number or"),
        (lambda: conducted(MADE, speed=True), TypeError, "speed must be real numbers"),
        (lambda: conducted(MADE, speed=math.nan), ValueError, "speed must be positive"),
        (lambda: conducted(MADE, speed=1j), TypeError, "speed must be real numbers"),
        (lambda: conducted(MADE, speed=1.0, lengths={}), TypeError, "lengths must be one number"),
        (lambda: conducted(MADE, speed=1.0, synaptic=PLACES), TypeError, "synaptic must be a num"),
        (lambda: conducted(MADE, speed=1.0, synaptic=math.nan), ValueError, "not be negative"),
        (lambda: conducted(MADE, speed=np.array(["a"] * 21)), TypeError, "speed must be one num"),
    ],
    ids=[f"case-{k}" for k in range(13)],
)  # fmt: skip
def test_nonsense_is_a_sentence(ask, error, sentence):
    with pytest.raises(error, match=sentence):
        ask()


def skeleton(folder: Path, rows: str | bytes, table: str | bytes | None = None):
    for name, text in (("cell.swc", rows), ("sites.csv", table or "")):
        (folder / name).write_bytes(text if isinstance(text, bytes) else text.encode())
    sites = None if table is None else folder / "sites.csv"
    return read_skeleton(folder / "cell.swc", synapses=sites)


@pytest.mark.parametrize(
    "rows",
    [
        "1.5 1 0 0 0 1 -1\n",
        "1 1.5 0 0 0 1 -1\n",
        "1 1 0 0 0 1 -0.5\n",
        "1e300 1 0 0 0 1 -1\n",
        "1,1,0,0,0,1,-1\n",
        bytes(range(256)),
        ROWS.encode("utf-16"),
        b"\0" * 97,
    ],
    ids=["number", "label", "parent", "huge", "commas", "binary", "wide", "nulls"],
)
def test_a_foreign_file_is_no_skeleton(tmp_path, rows):
    with pytest.raises(ValueError, match="line 1: "):
        skeleton(tmp_path, rows)


@pytest.mark.parametrize("size", range(len(ROWS)))
def test_a_file_cut_short_is_refused_or_has_whole_points(tmp_path, size):
    points = [line.split() for line in ROWS[:size].splitlines()]
    if points and all(len(point) == 7 and point[-1] != "-" for point in points):
        assert len(skeleton(tmp_path, ROWS[:size])) == len(points)
        return
    with pytest.raises(ValueError, match=r"seven numbers|has no points"):
        skeleton(tmp_path, ROWS[:size])


@pytest.mark.parametrize(
    ("table", "sentence"),
    [
        ("", "must have rows with the columns"),
        ("node_id,type\n1\n", "point 1 has no type; is the file whole"),
        ("node_id,type\n1,\n", "point 1 has no type; is the file whole"),
        ("type,node_id\npre\n", "'' is no point of the skeleton"),
        ("node_id,type\n²,pre\n", "is no point of the skeleton"),
        ("node_id,type\n" + "9" * 5003 + ",pre\n", "is no point of the skeleton"),
        ("node_id,type\n1," + "a" * 200_003 + "\n", "is no table of synapses"),
        (bytes(range(128, 256)), "must have rows with the columns"),
    ],
    ids=["empty", "short", "blank", "no number", "power", "long", "wide", "binary"],
)
def test_a_table_that_is_none_of_synapses_is_refused(tmp_path, table, sentence):
    with pytest.raises(ValueError, match=sentence):
        skeleton(tmp_path, ROWS, table)


def test_a_mark_of_the_encoding_is_no_part_of_a_file(tmp_path):
    mark = b"\xef\xbb\xbf"
    cell = skeleton(tmp_path, mark + ROWS.encode(), mark + b"node_id,type\n3,pre\n")
    assert len(cell) == 3
    assert cell.synapses["pre"].tolist() == [2]


@pytest.mark.parametrize("start", [3, 99])
def test_a_path_starts_at_a_point(tmp_path, start):
    with pytest.raises(ValueError, match="start must be one of 3 points"):
        skeleton(tmp_path, ROWS).path_lengths(start)
