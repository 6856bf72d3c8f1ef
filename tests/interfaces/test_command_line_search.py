"""`amphid search`: the best settings of a function or of any command."""

from __future__ import annotations

import csv
import json

import pytest

from amphid.interfaces import search_plots
from amphid.interfaces.command_line.search_command import at
from amphid.learning import Random, Uniform, search

pytest.importorskip("optuna", reason="searches need optuna")

BOWL = """
from amphid.learning import Choice, Uniform
SPACE = {"x": Uniform(-1.0, 1.0), "kind": Choice("a", "b")}
def loss(trial):
    return trial["x"] ** 2 + (trial.get("kind") == "b")
def rises(trial):
    trial.note(twice=2 * trial["x"])
    return trial["x"]
def breaks(trial):
    if trial["x"] > 0:
        raise ArithmeticError("too far")
    return trial["x"]
def interrupts(trial):
    if trial.number == 4:
        raise KeyboardInterrupt
    return trial["x"]
"""


@pytest.fixture
def bowl(amphid, tmp_path):
    (tmp_path / "bowl.py").write_text(BOWL)
    return amphid


def test_a_search_writes_a_folder_that_repeats_it(bowl, tmp_path) -> None:
    words = ("search", "bowl.py:loss", "--trials", "13", "--seed", "3", "--json")
    first = bowl(*words, "--out", "one").document
    again = bowl("search", "--config", "one/config.toml", "--json", "--out", "two").document
    for told in (first, again):
        for row in told["table"]:
            row.pop("seconds")
        told.pop("run")
    assert first == again
    assert first["trials"] == {"complete": 13, "pruned": 0, "failed": 0}
    assert first["best"]["kind"] == "a"
    names = {path.name for path in (tmp_path / "one").iterdir()}
    assert names == {
        "config.toml", "history.png", "importance.png", "run.json", "search.journal", "trials.csv"
    }  # fmt: skip
    with (tmp_path / "one" / "trials.csv").open(newline="") as file:
        assert len(list(csv.DictReader(file))) == 13
    log = json.loads((tmp_path / "one" / "run.json").read_text())
    assert log["seed"] == 3
    assert log["amphid"]


def test_the_same_line_goes_on_and_a_grid_ends_by_itself(bowl) -> None:
    words = ("search", "bowl.py:loss", "--storage", "s", "--json")
    assert len(bowl(*words, "--trials", "3").document["table"]) == 3
    assert len(bowl(*words, "--trials", "5").document["table"]) == 5
    words = ("search", "bowl.py:rises", "--space", "x=0:1", "--sampler", "grid", "--points", "4")
    told = bowl(*words, "--maximize", "--json").document
    assert sorted(row["x"] for row in told["table"]) == pytest.approx([0, 1 / 3, 2 / 3, 1])
    assert told["best"] == {"x": 1.0}
    assert told["table"][0]["twice"] == 2 * told["table"][0]["x"]


def test_a_command_is_an_objective_and_may_be_brought_near_to_a_value(bowl, ring) -> None:
    run = ("simulate", ring, "--stimulate", "A:{pA}", "--neuron", "lif", "--duration", "20")
    told = bowl(
        "search", "--space", "pA=100,400,900", "--sampler", "grid", "--json", "--out", "found",
        "--measure", "responders.A.rate_Hz", "--toward", "100",
        "--", "amphid", *run, "--start", "5", "--json", "--out", "runs/{trial}",
    ).document  # fmt: skip
    assert [row["state"] for row in told["table"]] == ["complete"] * 3
    for row in told["table"]:
        assert row["value"] == pytest.approx(abs(row["measured"] - 100))
        alone = bowl(*[str(word).format(pA=row["pA"]) for word in run], "--start", "5", "--json")
        rates = {cell["cell"]: cell["rate_Hz"] for cell in alone.document["responders"]}
        assert rates["A"] == row["measured"]


def test_other_programs_serve_too_and_their_failures_are_failed_trials(bowl) -> None:
    script = (
        "import sys; x = int(sys.argv[1]); print('hello'); sys.exit('no') if x > 2 else print(x)"
    )
    words = ("--space", "x=int:1:4", "--sampler", "grid", "--json")
    told = bowl("search", *words, "--", "python3", "-c", script, "{x}").document
    states = {row["x"]: (row["state"], row["value"]) for row in told["table"]}
    assert states[1] == ("complete", 1.0)
    assert states[3] == states[4] == ("failed", None)
    assert told["best"] == {"x": 1}


def test_a_search_that_found_nothing_is_no_success(bowl) -> None:
    words = ("--space", "x=0:1", "--trials", "2", "--sampler", "random", "--json")
    answer = bowl("search", *words, "--", "false", "{x}")
    assert answer.code == 1
    assert json.loads(answer.out)["best"] is None
    assert "none of 2 trials gave a number" in answer.err


def test_what_raises_ends_the_search_but_keeps_what_was_found(bowl, tmp_path) -> None:
    words = ("search", "bowl.py:breaks", "--space", "x=-1:1", "--trials", "20", "--sampler")
    answer = bowl(*words, "random", "--out", "r", "--quiet", "--seed", "2")
    assert answer.code == 1
    assert "too far" in answer.err
    assert (tmp_path / "r" / "search.journal").is_file()
    told = bowl(*words, "random", "--keep-going", "--json").document
    assert told["trials"]["failed"] + told["trials"]["complete"] == 20
    assert told["trials"]["failed"] > 3


def test_an_interrupted_search_can_be_taken_up(bowl) -> None:
    words = ("search", "bowl.py:interrupts", "--space", "x=-1:1", "--trials", "7", "--quiet")
    answer = bowl(*words, "--out", "r")
    assert answer.code == 130
    assert "--storage r/search.journal goes on" in answer.err
    told = bowl(*words, "--storage", "r/search.journal", "--json").document
    assert len(told["table"]) == 7


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ((), "OBJECTIVE is missing"),
        (("bowl.py:loss",), "--trials is missing"),
        (("bowl.py:los", "--trials", "1"), "Did you mean loss?"),
        (("none.py:loss", "--trials", "1"), "no file none.py"),
        (("nowhere:loss", "--trials", "1"), "no module 'nowhere'"),
        (("bowl.py", "--trials", "1"), "FILE.py:FUNCTION"),
        (("bowl.py:loss", "more", "--trials", "1"), "one word too many: 'more'"),
        (("bowl.py:loss", "--space", "x=5:1", "--trials", "1"), "low must be below high"),
        (("bowl.py:loss", "--space", "x=one:two", "--trials", "1"), "got x=one:two."),
        (("bowl.py:loss", "--space", "x=cos:1:2", "--trials", "1"), "no kind of range"),
        (("bowl.py:loss", "--space", "x", "--trials", "1"), "NAME=RANGE"),
        (("bowl.py:loss", "--space", "x=0:1", "--space", "x=0:2", "--trials", "1"), "twice"),
        (("bowl.py:loss", "--measure", "x", "--trials", "1"), "--measure reads the JSON"),
        (("bowl.py:loss", "--trials", "1", "--maximize", "--toward", "1"), "not both"),
        (("--trials", "1", "bowl.py:loss", "--", "ls"), "not both"),
        (("--trials", "1", "--", "ls"), "--space is missing"),
        (("--space", "x=0:1", "--trials", "1", "--", "ls"), "no place for x"),
        (("--space", "x=0:1", "--trials", "1", "--", "nonsuch", "{x}"), "no program 'nonsuch'"),
        (("--space", "x=0:1", "--trials", "1", "--", "echo", "is {x} m"), "no number but 'is"),
        (("--space", "x=0:1", "--trials", "1", "--", "amphid", "{x}"), "no command"),
        (("--config", "bowl.py"), "cannot be read as TOML"),
    ],
)
def test_nonsense_gets_a_sentence(bowl, words, sentence) -> None:
    answer = bowl("search", *words)
    assert answer.code == 2
    assert sentence in answer.sentence


def test_a_path_leads_into_a_document_or_says_what_there_is() -> None:
    document = {"a": [{"cell": "X", "v": 1}, {"cell": "Y", "v": 2}], "b": {"c": 3}}
    assert at(document, "a.Y.v") == 2
    assert at(document, "a.0.v") == 1
    assert at(document, "b.c") == 3
    with pytest.raises(ValueError, match="there is X, Y"):
        at(document, "a.Z.v")
    with pytest.raises(ValueError, match="no 'd'; there is c"):
        at(document, "b.d")


def test_plots_show_every_trial_and_every_setting() -> None:
    pytest.importorskip("matplotlib")
    from matplotlib.figure import Figure

    space = {"x": Uniform(-1.0, 1.0), "y": Uniform(0.0, 1.0)}
    found = search(lambda trial: trial["x"] ** 2, space, trials=31, sampler=Random())
    ax = search_plots.history(found, Figure().subplots(), label="loss")
    line = next(line for line in ax.lines if line.get_label() == "best so far")
    assert line.get_ydata()[-1] == found.value
    assert ax.get_ylabel() == "loss"
    bars = search_plots.importance(found, Figure().subplots())
    assert [label.get_text() for label in bars.get_yticklabels()] == ["y", "x"]
    assert (
        len(search_plots.setting(found, "x", Figure().subplots()).collections[0].get_offsets())
        == 31
    )
    with pytest.raises(KeyError, match="no setting 'z'"):
        search_plots.setting(found, "z")
