"""`amphid simulate`: the answer, the run folder, exact repetition, interruption."""

from __future__ import annotations

import hashlib
import json
import os
import re
import tomllib
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import torch

from amphid.interfaces.command_line import models, output, results, run_folder
from amphid.simulation import Recording
from amphid.wiring import Cells, Connections, Connectome, files

SHORT = ("--duration", "20", "--start", "5", "--quiet")


def stored(folder: Path | str) -> dict:
    return json.loads((Path(folder) / "run.json").read_text())


def test_the_strongest_responders_come_first_and_the_signs_are_told(amphid, ring) -> None:
    shown = amphid("simulate", ring, "--stimulate", "A", *SHORT)
    assert shown.code == 0
    comments = [line for line in shown.out.splitlines() if line.startswith("#")]
    assert any("signs\ttransmitter: GABA inhibits" in line for line in comments)
    assert any("4 excite, 1 inhibit" in line for line in comments)
    header, first, *_ = (line for line in shown.out.splitlines() if not line.startswith("#"))
    assert header.split("\t") == ["cell", "kind", "change (mV)", "after (ms)", "driven"]
    assert first.split("\t")[0] == "A"
    assert first.endswith("yes")


def test_json_is_one_document_with_the_whole_answer(amphid, ring) -> None:
    told = amphid(
        "simulate", ring, "--stimulate", "A:7:3:11", "--duration", "20", "--json"
    ).document
    assert told["completed"] is True
    assert told["stimulus"] == "7 pA into A from 3 to 11 ms"
    assert told["network"]["cells"] == 5
    changes = [abs(cell["change_mV"]) for cell in told["responders"]]
    assert changes == sorted(changes, reverse=True)
    assert told["responders"][0]["stimulated"] is True
    assert Path(told["run"]).is_dir()


def test_the_run_folder_holds_all_that_was_told_and_recorded(amphid, ring, tmp_path) -> None:
    amphid("simulate", ring, "--stimulate", "A", "--out", "run", "--seed", "3", *SHORT)
    assert sorted(os.listdir("run")) == ["config.toml", "recording.h5", "report.html", "run.json"]
    log = stored("run")
    assert log["seed"] == 3
    assert log["torch"] == torch.__version__
    assert log["argv"][:2] == ["amphid", "simulate"]
    assert log["inputs"] == [
        {
            "path": str(ring),
            "bytes": ring.stat().st_size,
            "sha256": hashlib.sha256(ring.read_bytes()).hexdigest(),
        }
    ]
    assert {"python", "numpy", "platform", "threads", "started", "seconds", "git"} <= set(log)
    config = tomllib.loads((tmp_path / "run" / "config.toml").read_text())
    assert config["model"]["parameters"]["slope"] == 0.125
    assert Recording.load("run/recording.h5").duration == 20.0
    assert "<html" in (tmp_path / "run" / "report.html").read_text()[:500].lower()


@pytest.mark.parametrize(
    "words",
    [
        ("--stimulate", "A,B:5:2:9", "--stimulate", "E", "--lesion", "C"),
        ("--neuron", "escape", "--noise", "200", "--seed", "7", "--every", "3"),
        ("--neuron", "lif", "--stimulate", "A", "--synapse", "current", "--parameter", "tau=11"),
    ],
    ids=["pulses", "chance", "currents"],
)
def test_a_configuration_repeats_its_run_to_the_bit(amphid, ring, words) -> None:
    assert amphid("simulate", ring, *words, "--out", "one", *SHORT).code == 0
    os.mkdir("elsewhere")
    os.chdir("elsewhere")
    assert amphid("simulate", "--config", "../one/config.toml", "--out", "two").code == 0
    one, two = Recording.load("../one/recording.h5"), Recording.load("two/recording.h5")
    assert one.fields.keys() == two.fields.keys()
    for name, value in one.fields.items():
        assert torch.equal(value, two.fields[name])
    if one.spikes is not None:
        assert torch.equal(one.spikes.index, two.spikes.index)
    assert Path("../one/config.toml").read_text() == Path("two/config.toml").read_text()


def test_another_seed_gives_another_run(amphid, ring) -> None:
    noisy = ("simulate", ring, "--noise", "50", *SHORT)
    amphid(*noisy, "--seed", "1", "--out", "one")
    amphid(*noisy, "--seed", "2", "--out", "two")
    one, two = Recording.load("one/recording.h5"), Recording.load("two/recording.h5")
    assert not torch.equal(one.v, two.v)


def test_what_is_typed_wins_over_the_configuration(amphid, ring) -> None:
    amphid("simulate", ring, "--stimulate", "A", "--signs", "positive", "--out", "one", *SHORT)
    again = ("simulate", "--config", "one/config.toml", "--json")
    assert amphid(*again, "--amplitude", "3").document["stimulus"].startswith("3 pA into A from 5")
    assert "4 excite" in amphid(*again, "--signs", "transmitter").document["signs"]
    assert (
        "current synapses"
        in amphid(*again, "--neuron", "lif", "--synapse", "current").document["model"]
    )


def test_a_network_that_has_changed_is_not_taken_for_the_same(amphid, ring) -> None:
    amphid("simulate", ring, "--stimulate", "A", "--out", "one", *SHORT)
    files.write(Connectome(Cells(["A", "B"]), Connections([0], [1])), ring)
    answer = amphid("simulate", "--config", "one/config.toml")
    assert answer.code == 2
    assert "has changed since the configuration was written" in answer.sentence


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        (
            "neuron =",
            "nueron =",
            "[model] has a key 'nueron' that is not known. Did you mean neuron?",
        ),
        ("[model]", "speed = 1\n[model]", "[network] has a key 'speed' that is not known."),
        ("duration = 20.0", "", "[simulation] lacks 'duration'"),
        ("dt = 0.5", "dt = -0.5", "'dt' in [simulation]: input should be greater than 0"),
        ("dt = 0.5", "dt = 'fast'", "'dt' in [simulation]"),
        ("dt = 0.5", "dt = inf", "'dt' in [simulation]"),
        ('neuron = "graded"', 'neuron = "grded"', "Did you mean graded"),
        ('synapse = "graded"', 'synapse = "current"', "do not fit graded cells"),
        ("amplitude", "strength", "has a key 'strength'"),
        ("version", "= [", "cannot be read as TOML"),
    ],
)
def test_a_configuration_that_does_not_fit_is_told_by_key(
    amphid, ring, tmp_path, old, new, sentence
) -> None:
    amphid("simulate", ring, "--stimulate", "A", "--out", "one", *SHORT)
    text = (tmp_path / "one" / "config.toml").read_text()
    assert old in text
    (tmp_path / "wrong.toml").write_text(text.replace(old, new, 1))
    answer = amphid("simulate", "--config", "wrong.toml")
    assert answer.code == 2
    assert sentence in answer.sentence


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        (("rnig.h5",), "Did you mean ring.h5"),
        (("ring.h5", "--stimulate", "AA:1:5"), "No cell, class or pattern 'AA'"),
        (("ring.h5", "--stimulate", "A:x"), "needs a number, got 'x'"),
        (("ring.h5", "--stimulate", "A:1:2:3:4"), "CELLS:pA:START:STOP"),
        (("ring.h5", "--stimulate", "A", "--start", "50"), "starts at 50 ms, but the run ends"),
        (("ring.h5", "--stimulate", "A:1:9:3"), "is not after its start at 9 ms"),
        (("ring.h5", "--stimulus", "none.csv"), "no table of currents 'none.csv'"),
        (("ring.h5", "--stimulate", "a.csv"), "given with --stimulus a.csv"),
        (("ring.h5", "--lesion", "F"), "No cell, class or pattern 'F'"),
        (("ring.h5", "--lesion", "*"), "no cells left"),
        (("ring.h5", "--stimulate", "A:1e39:5"), "too large for single precision"),
        (("ring.h5", "--record", "w"), "no variable 'w'"),
        (("ring.h5", "--neuron", "lif", "--synapse", "graded"), "do not fit lif cells"),
        (("ring.h5", "--parameter", "slop=1"), "Did you mean slope"),
        (("ring.h5", "--parameter", "slope"), "NAME=NUMBER"),
        (("ring.h5", "--parameter", "slope=-1"), "slope must be positive"),
        (("ring.h5", "--device", "abacus"), "--device abacus is not available here"),
        (("ring.h5", "--dt", "0.3"), "whole number of steps"),
        (("ring.h5", "--every", "97"), "nothing was recorded"),
        (("ring.h5", "--duration", "1e10"), "GiB"),
        (("half.h5",), "half.h5"),
        (("--config", "none.toml"), "none.toml"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_bad_input_is_one_sentence_and_leaves_no_folder(
    amphid, ring, tmp_path, words, hint
) -> None:
    (tmp_path / "half.h5").write_bytes(ring.read_bytes()[: ring.stat().st_size // 2])
    length = () if "--duration" in words or "--config" in words else ("--duration", "20")
    answer = amphid("simulate", *words, *length)
    assert answer.code == 2
    assert hint in answer.sentence
    assert not (tmp_path / "runs").exists()


def test_a_run_never_writes_over_what_is_there(amphid, ring, tmp_path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.txt").write_text("mine")
    (tmp_path / "file").write_text("mine")
    for name in ("full", "file"):
        answer = amphid("simulate", ring, "--out", name, *SHORT)
        assert answer.code == 2
        assert "never writes over" in answer.sentence
    assert os.listdir("full") == ["thesis.txt"]
    (tmp_path / "empty").mkdir()
    assert amphid("simulate", ring, "--out", "empty", *SHORT).code == 0
    assert "run.json" in os.listdir("empty")


def test_default_folders_do_not_collide(amphid, ring) -> None:
    folders = {amphid("simulate", ring, "--json", *SHORT).document["run"] for _ in range(2)}
    assert len(folders) == 2
    assert sorted(folders) == sorted(str(path) for path in Path("runs").iterdir())


def interrupting(monkeypatch: pytest.MonkeyPatch, after: int) -> None:
    """Ctrl-C as soon as so many steps are done."""

    @contextmanager
    def progress(*_: object, **__: object):
        def advance(done: int, of: int | None) -> None:
            if done >= after:
                raise KeyboardInterrupt

        yield advance

    monkeypatch.setattr(output, "progress", progress)


def test_an_interrupted_run_keeps_what_was_recorded(amphid, ring, monkeypatch) -> None:
    interrupting(monkeypatch, 128)
    answer = amphid("simulate", ring, "--stimulate", "A", "--start", "5", "--out", "part")
    assert answer.code == 130
    told = re.search(
        r"interrupted after (\d+) of 2000 ms; what was recorded is in part", answer.err
    )
    assert told
    assert 0 < int(told[1]) < 2000
    assert stored("part")["completed"] is False
    assert Recording.load("part/recording.h5").duration == float(told[1])


@pytest.mark.parametrize("words", [(), ("--start", "64"), ("--neuron", "lif"), ("--every", "100")])
def test_an_interruption_before_anything_happened_is_none_the_worse(
    amphid, ring, monkeypatch, words
) -> None:
    interrupting(monkeypatch, 16)
    answer = amphid("simulate", ring, "--stimulate", "A", "--out", "part", *words)
    assert answer.code == 130
    assert "interrupted" in answer.err
    assert os.path.exists("part") == ("--every" not in words)


@pytest.mark.parametrize("where", ["_write_report", "run_folder"])
def test_an_interruption_while_writing_leaves_no_half_written_folder(
    amphid, ring, monkeypatch, tmp_path, where
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    if where == "run_folder":
        monkeypatch.setattr(run_folder, "write_json", interrupted)
    else:
        monkeypatch.setattr(results, where, interrupted)
    assert amphid("simulate", ring, "--stimulate", "A", *SHORT).code == 130
    assert sorted(os.listdir(tmp_path)) == ["ring.h5"]


def test_numbers_without_bounds_are_a_failure_that_can_be_looked_at(amphid, tmp_path) -> None:
    files.write(Connectome(Cells(["A", "B"]), Connections([0], [1])), tmp_path / "pair.h5")
    huge = ("--stimulate", "A:3e38:5:10", "--parameter", "capacitance=0.01")
    answer = amphid("simulate", "pair.h5", *huge, "--out", "run", *SHORT)
    assert answer.code == 1
    assert "after 5.5 ms the run left the finite numbers" in answer.err
    assert stored("run")["completed"] is False


def test_voltages_that_no_solver_finds_are_a_failure_in_words(amphid, ring) -> None:
    huge = ("--stimulate", "A:3e38:5:10", "--parameter", "capacitance=0.01")
    answer = amphid("simulate", ring, *huge, *SHORT)
    assert answer.code == 1
    assert "the run left the finite numbers" in answer.err


def test_a_table_of_currents_drives_the_cells_it_names(amphid, ring, tmp_path) -> None:
    (tmp_path / "drive.csv").write_text("time,A,E\n0,0,0\n5,3,0\n10,3,0\n15,0,0\n")
    told = amphid("simulate", ring, "--stimulus", "drive.csv", "--json", "--out", "one").document
    assert told["duration_ms"] == 20.0
    assert told["stimulus"] == "currents of drive.csv"
    driven = [cell["cell"] for cell in told["responders"] if cell["stimulated"]]
    assert driven == ["A"]
    longer = ("simulate", "--config", "one/config.toml", "--duration", "30", "--json")
    assert amphid(*longer).document["duration_ms"] == 30.0
    (tmp_path / "drive.csv").write_text("time,A\n0,0\n5,3\n")
    answer = amphid("simulate", "--config", "one/config.toml")
    assert answer.code == 2
    assert "drive.csv has changed" in answer.sentence


def named_like_the_worm(folder: Path) -> Path:
    path = folder / "pair.csv"
    path.write_text("pre,post,synapses\nVD1,VB1,7\nAVAL,VA1,5\nPVCL,VB1,3\n")
    return path


def test_without_signs_and_transmitters_everything_excites_and_the_way_out_is_told(
    amphid, tmp_path
) -> None:
    path = named_like_the_worm(tmp_path)
    shown = amphid("simulate", path, "--stimulate", "AVAL:20:5", "--duration", "20")
    assert "# signs\tpositive: every chemical connection excites (3 excite, 0 inhibit)" in shown.out
    assert "--annotate celegans" in shown.err
    told = amphid("simulate", path, "--annotate", "celegans", "--duration", "20", "--json").document
    assert "2 excite, 1 inhibit" in told["signs"]
    assert told["remarks"] == []


def test_signs_of_the_file_stay_and_only_unknown_ones_are_filled_in(amphid, tmp_path) -> None:
    cells = Cells(["A", "B", "C"], transmitter=["acetylcholine", "GABA", "GABA"])
    wires = Connections([0, 1, 2], [1, 2, 0], sign=[-1, 0, 1])
    files.write(Connectome(cells, wires), tmp_path / "signed.h5")
    told = amphid("simulate", "signed.h5", "--duration", "5", "--json").document
    assert told["signs"].startswith("file: ")
    assert "1 excite, 2 inhibit" in told["signs"]
    flies = ("--signs", "transmitter", "--inhibitory", "GABA,acetylcholine")
    told = amphid("simulate", "signed.h5", *flies, "--duration", "5", "--json").document
    assert told["signs"].startswith("transmitter: GABA and acetylcholine inhibit,")
    assert "0 excite, 3 inhibit" in told["signs"]


@pytest.mark.parametrize(
    ("typed", "told"),
    [
        ("GABA,glutamat", "'glutamat'. Did you mean glutamate?"),
        ("zinc", "'zinc'. Those there are: "),
    ],
)
def test_a_transmitter_that_no_cell_has_is_refused_with_near_names(amphid, typed, told) -> None:
    answer = amphid("simulate", "celegans", "--inhibitory", typed, *SHORT)
    assert answer.code == 2
    assert f"no cell has the transmitter {told}" in answer.err


def test_the_usual_transmitter_may_be_missing(amphid, tmp_path) -> None:
    files.write(Connectome(Cells(["A", "B"]), Connections([0], [1])), tmp_path / "plain.h5")
    assert amphid("simulate", "plain.h5", "--duration", "5").code == 0


def test_a_killed_cell_is_gone_from_the_recording(amphid, ring) -> None:
    amphid("simulate", ring, "--lesion", "A,inter", "--out", "run", *SHORT)
    assert list(Recording.load("run/recording.h5").names) == ["E"]


def test_the_worm_is_touched_and_its_tail_answers(amphid) -> None:
    touch = ("simulate", "celegans", "--stimulate", "PLM", "--json", *SHORT)
    told = amphid(*touch).document
    assert [cell["cell"] for cell in told["responders"][:2]] == ["PLMR", "PLML"]
    assert {"LUAL", "LUAR"} <= {cell["cell"] for cell in told["responders"][:6]}


@pytest.mark.parametrize("name", models.CELLS)
def test_every_neuron_model_runs_with_its_defaults_and_takes_its_parameters(
    amphid, ring, name
) -> None:
    parameters = models.parameters_of(name)
    assert parameters
    first, value = next(iter(parameters.items()))
    words = ("--neuron", name, "--stimulate", "A", "--parameter", f"{first}={value}")
    told = amphid("simulate", ring, *words, "--duration", "10", "--start", "2", "--json").document
    assert told["model"].startswith(f"{name} cells; {models.CELLS[name].synapse} synapses of ")
    assert np.isfinite(told["responders"][0]["change_mV"])


def test_spiking_worms_are_neither_silent_nor_without_end(amphid) -> None:
    words = ("--neuron", "lif", "--stimulate", "ASH:300:20:120", "--duration", "200")
    amphid("simulate", "celegans", *words, "--record", "spike", "--out", "run", "--quiet")
    spikes = Recording.load("run/recording.h5").spikes
    assert spikes is not None
    fired = spikes.cell[(spikes.time > 20) & (spikes.time < 120)].unique()
    assert 50 < len(fired) < 350
    assert not (spikes.time > 170).any()


def test_activity_that_runs_away_is_told(amphid, ring) -> None:
    words = (
        "--neuron",
        "lif",
        "--chemical",
        "500",
        "--signs",
        "positive",
        "--stimulate",
        "A:900:0",
    )
    told = amphid("simulate", ring, *words, "--duration", "100", "--json").document
    assert "activity runs away" in told["remarks"][0]
    assert "--chemical below 500" in told["remarks"][0]


def test_few_cells_are_stepped_by_one_thread_unless_told_otherwise(
    amphid, ring, monkeypatch
) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    amphid("simulate", ring, "--out", "one", *SHORT)
    amphid("simulate", ring, "--threads", "2", "--out", "two", *SHORT)
    assert (stored("one")["threads"], stored("two")["threads"]) == (1, 2)


def test_git_state_is_that_of_the_folder(tmp_path: Path) -> None:
    assert run_folder.git_state(tmp_path) is None
    found = run_folder.git_state(Path(__file__).parent)
    assert found is None or (len(found["commit"]) == 40 and isinstance(found["changed"], bool))


def test_a_pulse_too_strong_for_the_wiring_gets_a_remark(amphid, ring) -> None:
    strong = amphid("simulate", ring, "--stimulate", "A", "--amplitude", "2000", *SHORT, "--json")
    assert "A reaches +" in strong.document["remarks"][0]
    weak = amphid("simulate", ring, "--stimulate", "A", "--amplitude", "1", *SHORT, "--json")
    assert not any("reaches" in remark for remark in weak.document["remarks"])
