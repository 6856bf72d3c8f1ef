"""The command as a whole: help, errors, exit codes, pipes, a light start."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from amphid.interfaces.command_line import doctor, entry, main, output
from amphid.interfaces.command_line.entry import command_parser

ROOT = Path(__file__).parents[2]
COMMANDS = (
    ("simulate",),
    ("connectome",),
    ("connectome", "list"),
    ("connectome", "info"),
    ("connectome", "convert"),
    ("connectome", "fetch"),
    ("study",),
    ("doctor",),
)

SHELL = """
import sys, types
package = types.ModuleType("amphid")
package.__path__, package.__version__ = [{source!r}], "0"
sys.modules["amphid"] = package
from amphid.interfaces.command_line import main
code = main({words!r})
heavy = [name for name in ("torch", "numpy", "pydantic", "rich", "h5py") if name in sys.modules]
sys.exit(code or (f"loaded {{heavy}}" if heavy else 0))
"""


def in_process(*words: str, **settings) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src"), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "amphid", *words]
    return subprocess.run(command, env=environment, capture_output=True, text=True, **settings)


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_help_of_every_command_fits_the_screen_and_shows_every_option(amphid, words) -> None:
    shown = amphid(*words, "--help")
    assert shown.code == 0
    assert shown.err == ""
    assert max(map(len, shown.out.splitlines())) <= 100
    parser = command_parser()
    for word in words:
        (choices,) = (action.choices for action in parser._actions if hasattr(action, "add_parser"))
        parser = choices[word]
    for name in parser.options():
        assert name in shown.out


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_the_reference_page_names_every_command_and_option(words) -> None:
    page = (ROOT / "docs" / "command-line.md").read_text(encoding="utf-8")
    parser = command_parser()
    for word in words:
        (choices,) = (action.choices for action in parser._actions if hasattr(action, "add_parser"))
        parser = choices[word]
    assert f"amphid {' '.join(words)}" in page
    for name in set(parser.options()) - {"-h"}:
        assert f"`{name}" in page


@pytest.mark.parametrize("words", [["--help"], ["--version"], ["simulate", "--help"]])
def test_help_and_version_load_nothing_heavy(words) -> None:
    source = str(ROOT / "src" / "amphid")
    code = SHELL.format(source=source, words=words)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


def test_the_version_is_that_of_the_package(amphid) -> None:
    import amphid as package

    assert amphid("--version").out == f"amphid {package.__version__}\n"


def test_without_a_command_the_help_is_shown_and_the_code_is_2(amphid) -> None:
    shown = amphid()
    assert shown.code == 2
    assert "simulate" in shown.err
    assert amphid("connectome").code == 2


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        (["simualte"], "Did you mean simulate"),
        (["connectome", "ifno"], "Did you mean info"),
        (["simulate", "celegans", "--duraton", "5"], "Did you mean --duration"),
        (["--jsn"], "Did you mean --json"),
        (["simulate", "celegans", "--neuron", "grded"], "Did you mean graded"),
        (["simulate", "celegans", "--signs", "recptor"], "Did you mean receptor"),
        (["simulate", "celegans", "worm"], "one word too many: 'worm'"),
        (["simulate", "celegans", "--dt"], "--dt needs one value"),
        (["simulate", "celegans", "--dt", "x"], "--dt needs a number above 0, got 'x'"),
        (["simulate", "celegans", "--dt", "inf"], "--dt needs a number above 0"),
        (["simulate", "celegans", "--seed", "-1"], "--seed needs a whole number"),
        (["simulate", "celegans", "--threads", "0"], "--threads needs a whole number above 0"),
        (["simulate", "celegans", "--lesion", ",AVA"], "names with commas"),
        (["simulate"], "NETWORK is missing"),
        (["connectome", "info"], "NETWORK is missing"),
        (["connectome", "convert", "celegans"], "OUT is missing"),
        (["connectome", "fetch"], "NAME is missing"),
        (["study"], "list|NAME is missing"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_does_not_fit_is_one_sentence_with_the_way_out(amphid, words, hint) -> None:
    answer = amphid(*words)
    assert answer.code == 2
    assert hint in answer.sentence
    assert "--help" in answer.sentence


def test_global_options_stand_before_or_after_the_command(amphid) -> None:
    before, after = amphid("--json", "study", "list"), amphid("study", "list", "--json")
    assert before.document == after.document


@pytest.mark.parametrize(
    ("error", "code", "sentence"),
    [
        (KeyError("No cell 'X'."), 2, "amphid: No cell 'X'."),
        (ValueError("dt must\nbe positive."), 2, "amphid: dt must be positive."),
        (FileNotFoundError(2, "No such file", "x.h5"), 2, "amphid: x.h5: No such file."),
        (PermissionError(13, "Permission denied", "runs"), 2, "amphid: runs: Permission denied."),
        (OSError(28, "No space left on device", "r.h5"), 1, "amphid: r.h5: No space left"),
        (ConnectionError("no network."), 1, "amphid: no network."),
        (RuntimeError("it diverged."), 1, "amphid: it diverged."),
        (MemoryError(), 1, "not enough memory"),
        (ModuleNotFoundError("x: pip install 'amphid[nwb]'"), 3, "pip install 'amphid[nwb]'"),
        (ModuleNotFoundError("No module", name="foo"), 3, "'foo' is missing"),
        (ZeroDivisionError("oh"), 1, "Unexpectedly, ZeroDivisionError"),
        (KeyboardInterrupt(), 130, "amphid: interrupted."),
    ],
    ids=lambda value: type(value).__name__,
)
def test_every_error_is_a_sentence_with_its_exit_code(
    amphid, monkeypatch, error, code, sentence
) -> None:
    def fails(*_):
        raise error

    monkeypatch.setattr(doctor, "_versions", fails)
    answer = amphid("doctor")
    assert answer.code == code
    assert sentence in answer.sentence


def test_a_traceback_is_shown_only_when_asked_for(monkeypatch) -> None:
    monkeypatch.setenv("AMPHID_TRACEBACK", "1")
    with pytest.raises(FileNotFoundError):
        main(["connectome", "info", "nowhere.h5"])


def test_a_reader_that_leaves_is_no_error() -> None:
    read, write = os.pipe()
    os.close(read)
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    done = subprocess.run(
        [sys.executable, "-m", "amphid", "connectome", "fetch", "--list", "--quiet"],
        env=environment,
        stdout=write,
        stderr=subprocess.PIPE,
    )
    os.close(write)
    assert (done.returncode, done.stderr) == (0, b"")


def test_the_module_is_the_command() -> None:
    done = in_process("connectome", "nonsense")
    assert done.returncode == 2
    assert done.stderr.startswith("amphid: There is no command 'nonsense'.")


def test_a_terminal_gets_a_drawn_table_and_a_pipe_tabs(capsys, monkeypatch) -> None:
    rows = [["AVA[1]", 1234, None], ["B", 7, 0.123456]]
    output.table(("cell", "count", "share"), rows)
    assert capsys.readouterr().out == "cell\tcount\tshare\nAVA[1]\t1234\t\nB\t7\t0.1235\n"
    monkeypatch.setattr(output, "on_terminal", lambda: True)
    output.table(("cell", "count", "share"), rows)
    drawn = capsys.readouterr().out
    assert "AVA[1]" in drawn
    assert "1,234" in drawn
    assert "\t" not in drawn


def test_json_has_null_for_what_is_not_finite(capsys) -> None:
    output.document({"a": float("nan"), "b": [float("inf"), 1.5], "c": ("x", None)})
    assert capsys.readouterr().out.split() == (
        [
            "{",
            '"a":',
            "null,",
            '"b":',
            "[",
            "null,",
            "1.5",
            "],",
            '"c":',
            "[",
            '"x",',
            "null",
            "]",
            "}",
        ]
    )


def test_no_progress_bar_without_a_terminal(capsys) -> None:
    with output.progress("waiting", shown=True) as advance:
        assert advance is None
    assert capsys.readouterr().err == ""


def test_exit_codes_differ() -> None:
    codes = (entry.OK, entry.FAILED, entry.BAD_INPUT, entry.MISSING_EXTRA, entry.INTERRUPTED)
    assert codes == (0, 1, 2, 3, 130)
