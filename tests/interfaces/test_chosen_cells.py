"""Where variables were kept for chosen cells, pictures, tables and the report show those."""

from __future__ import annotations

import csv
import re
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
import torch

import amphid as am
from amphid.dynamics import LIF
from amphid.interfaces import exports, plots
from amphid.interfaces.report import write_report
from amphid.interfaces.report_data import CELLS, filled, trial_of
from amphid.wiring import Cells, Connections, Connectome


def run(cells: int = 31) -> tuple[Connectome, am.Recording]:
    rng = np.random.default_rng(0)
    ends = rng.integers(0, cells, 97), rng.integers(0, cells, 97)
    wired = Connectome(Cells([f"n{k}" for k in range(cells)]), Connections(*ends))
    net = am.Network(Connectome(wired.cells, Connections()), neuron=LIF())
    current = 200.0 + torch.arange(cells).float().expand(211, cells)
    record = {"spike": ["n2*"], "v": ["n5", "n1"]}
    with torch.no_grad():
        return wired, am.simulate(net, current, dt=0.5, record=record)


def test_pictures_show_the_cells_that_were_kept() -> None:
    matplotlib = pytest.importorskip("matplotlib")
    matplotlib.use("Agg")
    _, few = run()
    labels = [text.get_text() for text in plots.traces(few).get_legend().get_texts()]
    assert labels == ["n5", "n1"]
    rows = [text.get_text() for text in plots.raster(few).get_yticklabels()]
    assert rows[:3] == ["n2", "n20", "n21"]


def test_tables_name_the_cells_that_were_kept(tmp_path: Path) -> None:
    _, few = run()
    with exports.export_csv(few, tmp_path / "v.csv").open() as file:
        assert next(csv.reader(file)) == ["time (ms)", "n5", "n1"]
    with exports.export_spikes(few, tmp_path / "spikes.csv").open() as file:
        cells = {row["cell"] for row in csv.DictReader(file)}
    assert cells == {f"n{k}" for k in (2, *range(20, 30))}


def test_nwb_says_which_cells_a_series_has(tmp_path: Path) -> None:
    pynwb = pytest.importorskip("pynwb")
    _, few = run()
    start = datetime(2024, 1, 1, tzinfo=UTC)
    path = exports.export_nwb(few, tmp_path / "few.nwb", description="a test", session_start=start)
    with pynwb.NWBHDF5IO(path, "r") as io:
        file = io.read()
        series = file.processing["simulation"]["v"]
        assert series.comments.endswith("of these rows of the table of cells alone: 5, 1")
        assert list(file.units["cell"].data[:3]) == ["n2", "n20", "n21"]


def test_a_report_draws_what_was_kept_and_nothing_for_other_cells(tmp_path: Path) -> None:
    wired, few = run()
    trial = trial_of(few, wired, [], None, 0)
    assert trial.run.fields["v"].isfinite().all(0).nonzero()[:, 0].tolist() == [1, 5]
    assert torch.equal(trial.run["n1"].v, few["n1"].v)
    assert torch.equal(trial.run["n20"].spike, few["n20"].spike)
    path = write_report(tmp_path / "few.html", few, wired, title="a test")
    text = path.read_text(encoding="utf-8")
    assert not re.search(r"\bNaN\b(?=[,\]}])", text)


def test_of_many_cells_a_report_takes_those_that_were_kept_for_sure() -> None:
    _, few = run(CELLS + 101)
    some = filled(few)
    assert {"n5", "n1"} <= set(some.names)
    assert CELLS / 2 < len(some.cells) <= CELLS + 2
    assert torch.equal(some["n5"].v, few["n5"].v)
