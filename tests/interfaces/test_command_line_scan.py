"""`amphid scan`: what differs when cells die or values change, beside the run as it is."""

from __future__ import annotations

import csv
import json
import os
import tomllib

import numpy as np
import pytest
import torch

from amphid.interfaces import scan_plots
from amphid.interfaces.command_line import results
from amphid.interfaces.command_line.effects import Effects
from amphid.simulation import Recording, portions

SHORT = ("--duration", "20", "--start", "5", "--quiet")
SPIKING = ("--neuron", "lif", "--stimulate", "A:900", "--chemical", "40", *SHORT)


def test_every_single_lesion_is_compared_with_the_intact_run(amphid, ring) -> None:
    told = amphid("scan", ring, "--stimulate", "A", "--lesion", "each", *SHORT, "--json").document
    names = [trial["trial"] for trial in told["trials"]]
    assert names == ["intact", "A", "B", "C", "D", "E"]
    assert told["measure"] == "response_mV"
    assert told["control"] == "intact"
    sizes = {trial["trial"]: trial["mean_change"] for trial in told["trials"]}
    assert sizes["intact"] == 0
    assert max(sizes, key=sizes.get) == "A"  # without the cell that is driven nothing moves
    assert "A" not in [cell["cell"] for cell in told["trials"][1]["most_changed"]]
    assert told["completed"] is True


def test_a_lesion_does_what_simulate_does_without_the_cells(amphid, ring) -> None:
    words = ("--lesion", "B,C", "--stimulate", "D:900", *SPIKING, "--json")
    scan = amphid("scan", ring, "--readout", "E", *words).document
    alone = amphid("simulate", ring, *words).document
    rates = {cell["cell"]: cell["rate_Hz"] for cell in alone["responders"]}
    assert scan["measure"] == "rate_Hz"
    assert scan["trials"][1]["trial"] == "B, C"
    assert rates["E"] > 0
    assert scan["trials"][1]["readout"]["E"] == pytest.approx(rates["E"])


def test_values_do_what_simulate_does_with_them(amphid, ring) -> None:
    words = ("--vary", "tau=11,29", "--readout", "B", *SPIKING, "--json")
    scan = amphid("scan", ring, *words).document
    assert [trial["trial"] for trial in scan["trials"]] == ["unchanged", "tau=11", "tau=29"]
    for trial in scan["trials"][1:]:
        alone = amphid("simulate", ring, *SPIKING, "--parameter", trial["trial"], "--json").document
        rates = {cell["cell"]: cell["rate_Hz"] for cell in alone["responders"]}
        assert trial["readout"]["B"] == pytest.approx(rates["B"])


def test_values_are_combined_unless_they_are_paired(amphid, ring) -> None:
    words = ("--vary", "tau=10:30:3", "--vary", "period=1,2,4", *SPIKING, "--json")
    grid = amphid("scan", ring, *words).document
    assert len(grid["trials"]) == 1 + 9
    assert grid["trials"][-1]["trial"] == "tau=30, period=4"
    pairs = amphid("scan", ring, *words, "--paired").document
    assert [trial["trial"] for trial in pairs["trials"]][2] == "tau=20, period=2"


def test_the_table_puts_the_largest_effects_first(amphid, ring) -> None:
    shown = amphid("scan", ring, "--stimulate", "A", "--lesion", "each", "--readout", "D,E", *SHORT)
    assert shown.code == 0
    header, *rows = (
        line.split("\t") for line in shown.out.splitlines() if not line.startswith("#")
    )
    looked = "mean of cells looked at (mV)"
    assert header == ["trial", "D (mV)", "E (mV)", looked, "most changed"]
    assert rows[0][0] == "intact"
    sizes = [float(row[3]) for row in rows[1:]]
    assert sizes == sorted(sizes, reverse=True)
    assert len(rows) == 6


def test_each_can_be_narrowed_and_mixed_with_others(amphid, ring) -> None:
    words = ("--lesion", "each:inter", "--lesion", "A,E", "--stimulate", "A", *SHORT, "--json")
    told = amphid("scan", ring, *words).document
    assert [trial["trial"] for trial in told["trials"]] == ["intact", "B", "C", "D", "A, E"]


def test_the_run_folder_holds_table_recording_and_figure(amphid, ring, tmp_path) -> None:
    amphid("scan", ring, "--lesion", "each", "--out", "run", *SPIKING)
    kept = ["config.toml", "figure.png", "recording.h5", "run.json", "table.csv"]
    assert sorted(os.listdir("run")) == kept
    rows = list(csv.reader((tmp_path / "run" / "table.csv").read_text().splitlines()))
    assert rows[0] == ["trial", "mean change (Hz)", "A", "B", "C", "D", "E"]
    assert [row[0] for row in rows[1:]] == ["intact", "A", "B", "C", "D", "E"]
    assert rows[2][2] == ""  # a dead cell has no rate
    recording = Recording.load("run/recording.h5")
    assert recording.trials == ("intact", "A", "B", "C", "D", "E")
    assert len(recording.trial("B")["B"].spikes) == 0
    assert (tmp_path / "run" / "figure.png").read_bytes()[:4] == b"\x89PNG"
    assert json.loads((tmp_path / "run" / "run.json").read_text())["figure"] == "figure.png"


@pytest.mark.parametrize(
    "words",
    [
        ("--lesion", "each", "--lesion", "B,C", "--readout", "E"),
        ("--vary", "tau=10,20", "--vary", "excitatory.tau=2,5", "--paired"),
    ],
    ids=["lesions", "values"],
)
def test_the_configuration_repeats_the_scan_exactly(amphid, ring, tmp_path, words) -> None:
    first = amphid("scan", ring, *words, "--out", "one", "--noise", "50", *SPIKING)
    again = amphid("scan", "--config", "one/config.toml", "--out", "two", "--quiet")
    assert (first.code, again.code) == (0, 0)
    one, two = (tmp_path / name for name in ("one", "two"))
    assert (one / "table.csv").read_text() == (two / "table.csv").read_text()
    assert (one / "config.toml").read_text() == (two / "config.toml").read_text()
    assert tomllib.loads((one / "config.toml").read_text())["scan"]["paired"] is (
        words[0] == "--vary"
    )
    said = amphid("simulate", "--config", "one/config.toml")
    assert said.code == 2
    assert "amphid scan --config one/config.toml" in said.sentence


def test_names_for_vary_are_listed(amphid, ring) -> None:
    told = amphid("scan", ring, "--neuron", "lif", "--list", "--json").document
    assert told["tau"] == 20.0
    assert {"period", "excitatory.conductance", "electrical.conductance"} <= set(told)
    shown = amphid("scan", ring, "--list")
    assert shown.out.splitlines()[0] == "name\tvalue"
    assert not os.path.exists("runs")


def test_an_interrupted_scan_keeps_the_trials_that_were_run(
    amphid, ring, monkeypatch, tmp_path
) -> None:
    monkeypatch.setattr(portions, "_portion_size", lambda task: 2)
    usual = results.simulate

    def stopped(*args, progress=None, **given):
        def stop(done, of):
            if 2 * done > of:
                raise KeyboardInterrupt

        return usual(*args, progress=stop, **given)

    monkeypatch.setattr(results, "simulate", stopped)
    said = amphid("scan", ring, "--stimulate", "A", "--lesion", "each", "--out", "run", *SHORT)
    assert said.code == 130
    assert "interrupted after 4 of 6 trials" in said.err
    assert Recording.load("run/recording.h5").trials == ("intact", "A", "B", "C")
    assert json.loads((tmp_path / "run" / "run.json").read_text())["completed"] is False


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ((), "Nothing differs from trial to trial: give --lesion CELLS or --vary NAME=VALUES."),
        (("--lesion", "A", "--vary", "slope=1"), "not both"),
        (("--lesion", "F"), "No cell, class or pattern 'F'"),
        (("--lesion", "A,,B"), "--lesion: names with commas"),
        (("--vary", "slpoe=1,2"), "No value 'slpoe' in this network. Did you mean 'slope'"),
        (("--vary", "slope"), "--vary is NAME=a,b,c or NAME=FROM:TO:COUNT, got 'slope'"),
        (("--vary", "slope=1:2:x"), "needs a whole number"),
        (("--vary", "slope=-1"), "slope must be positive"),
        (("--vary", "slope=1", "--vary", "slope=2"), "all values of a name at once"),
        (("--lesion", "A", "--readout", "G"), "No cell, class or pattern 'G'"),
        (("--lesion", "A", "--record", "release"), "--record must hold spike or v"),
    ],
)
def test_bad_input_is_one_sentence(amphid, ring, words, sentence) -> None:
    said = amphid("scan", ring, *words, "--duration", "20")
    assert said.code == 2
    assert sentence in said.sentence
    assert not os.path.exists("runs")


def test_a_network_must_be_named(amphid) -> None:
    assert amphid("scan", "--lesion", "A").sentence.startswith("amphid: NETWORK is missing")


def test_a_scan_too_large_to_keep_says_so(amphid) -> None:
    words = ("celegans", "--lesion", "each", "--duration", "20000", "--every", "1")
    said = amphid("scan", *words)
    assert said.code == 2
    assert "GiB" in said.sentence


def test_a_matrix_of_effects_is_gray_where_nothing_is_known() -> None:
    figure = pytest.importorskip("matplotlib.figure").Figure()
    change = np.array([[np.nan, 3.0], [-1.0, 0.0], [0.5, 2.0]])
    ax = scan_plots.effect_matrix(change, ["a", "b", "c"], ["x", "y"], "mV", figure.subplots())
    drawn = ax.images[0].get_array()
    assert drawn.mask.tolist() == [[True, False], [False, False], [False, False]]
    assert ax.images[0].norm.vmin == -ax.images[0].norm.vmax == -3.0
    with pytest.raises(ValueError, match=r"change must be \[1, 2\]"):
        scan_plots.effect_matrix(change, ["a"], ["x", "y"], "mV", figure.subplots())


def test_effects_are_differences_from_the_first_trial() -> None:
    value = torch.tensor([[1.0, 2.0, 4.0], [float("nan"), 5.0, 0.0]], dtype=torch.float64).numpy()
    readout = {"pair": np.array([0, 1])}
    found = Effects(("intact", "x"), ("x", "y", "z"), value, "rate", "Hz", readout)
    assert found.size.tolist() == [0.0, 3.0]
    assert found.of_readout()["pair"].tolist() == [1.5, 5.0]
    assert found.most_changed(1, 5) == [("y", 3.0)]
