"""The Python that a report prints makes the same recording, to the bit."""

import json
import re

import pytest
import torch

from amphid import Recording
from amphid.interfaces.command_line.script import python_of
from amphid.interfaces.command_line.settings import read

TABLE = "time,PLML,AVAL\n0,5,0\n10,30,0\n20,0,400\n"
SHORT = ("--duration", "60", "--start", "5", "--stop", "40")


@pytest.mark.parametrize(
    "typed",
    [
        ("--stimulate", "PLML,PLMR"),
        ("--stimulate", "ALM", "--stimulate", "PLM:7:20:30", "--lesion", "AVA,PVC"),
        ("--stimulate", "PLM", "--signs", "receptor", "--parameter", "g_leak=0.02", "--every", "3"),
        ("--stimulate", "PLM", "--signs", "positive", "--noise", "3", "--seed", "7"),
        ("--stimulate", "PLM", "--inhibitory", "GABA,glutamate", "--chemical", "0.05"),
        ("--stimulate", "ASH", "--neuron", "lif", "--noise", "30", "--seed", "11"),
        ("--stimulate", "ASH", "--neuron", "escape", "--synapse", "current", "--seed", "13"),
        ("--stimulate", "ASH", "--neuron", "alif", "--record", "v,spike,excitatory.u"),
        ("--stimulate", "ASH", "--neuron", "morris-lecar"),
        ("--stimulus", "currents.csv"),
    ],
    ids=lambda typed: " ".join(typed),
)
def test_the_script_repeats_the_run(typed, amphid, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "currents.csv").write_text(TABLE)
    timing = SHORT if "currents.csv" not in typed else ("--duration", "60")
    amphid("simulate", "celegans", *typed, *timing, "--out", "run")
    kept = Recording.load(tmp_path / "run" / "recording.h5")
    names: dict[str, object] = {}
    exec(python_of(read(tmp_path / "run" / "config.toml")), names)
    again = names["run"]
    for name, values in kept.fields.items():
        assert torch.equal(again.fields[name], values)
    if kept.spikes is not None:
        assert torch.equal(again.spikes.index, kept.spikes.index)


def test_the_report_shows_it(amphid, tmp_path):
    amphid("simulate", "celegans", "--stimulate", "PLM", *SHORT, "--out", tmp_path / "run")
    page = (tmp_path / "run" / "report.html").read_text()
    assert "wiring.celegans()" in page
    assert re.search(r"am\.pulse", page)
    assert json.loads((tmp_path / "run" / "run.json").read_text())
