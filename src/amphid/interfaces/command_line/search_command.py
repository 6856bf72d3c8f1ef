"""A command as the objective of a search: settings go in as words, a number comes out as JSON."""

from __future__ import annotations

import contextlib
import io
import json
import math
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from amphid.learning import Trial

_BAD_INPUT, _MISSING_EXTRA, _INTERRUPTED = 2, 3, 130


class Failed(Exception):
    """The command ran and came to nothing: this trial has failed, others may not."""


@dataclass(frozen=True)
class Command:
    """Runs the words with the settings in place of {NAME}, and reads a number off its JSON.

    `amphid` itself runs in this process, which spares its start. measure: where the number is;
    None where the last line is nothing but a number. toward: the number to come near to. names: of
    the settings. {trial} is the number of the trial.
    Raises ValueError when a setting has no place in the words.
    """

    words: Sequence[str]
    measure: str | None
    toward: float | None
    names: tuple[str, ...]

    def __post_init__(self) -> None:
        text = " ".join(self.words)
        for name in self.names:
            if f"{{{name}}}" not in text:
                raise ValueError(f"the command has no place for {name}: write {{{name}}} in it.")

    def __call__(self, trial: Trial) -> float:
        """The number for these settings. Raises Failed when the command failed."""
        words = [self._filled(word, trial) for word in self.words]
        value = self._value(_own(words) if words[0] == "amphid" else _program(words))
        if self.toward is None:
            return value
        trial.note(measured=value)
        return abs(value - self.toward)

    def _filled(self, word: str, trial: Trial) -> str:
        for name, setting in {**trial, "trial": trial.number}.items():
            word = word.replace(f"{{{name}}}", str(setting))
        return word

    def _value(self, text: str) -> float:
        lines = text.strip().splitlines() or [""]
        if self.measure is None:
            try:
                return float(lines[-1])
            except ValueError:
                raise ValueError(
                    f"the last line of the command is no number but {lines[-1][:80]!r}: give "
                    "--measure PATH where it prints JSON."
                ) from None
        value = at(_document(text, lines), self.measure)
        if isinstance(value, bool) or not isinstance(value, (int, float, type(None))):
            raise ValueError(f"--measure {self.measure} leads to {str(value)[:80]!r}, no number.")
        return math.nan if value is None else float(value)


def at(document: Any, path: str) -> Any:
    """What a path such as "responders.AVAL.rate_Hz" leads to.

    A row of a list is named by its number, or by a text in it. Raises ValueError, naming what there
    is, where it leads nowhere.
    """
    for word in path.split("."):
        known: list[str]
        if isinstance(document, dict):
            known = list(document)
            if word in document:
                document = document[word]
                continue
        elif isinstance(document, list):
            rows = [row for row in document if isinstance(row, dict) and word in row.values()]
            if word.isdecimal() and int(word) < len(document):
                rows = [document[int(word)]]
            if rows:
                document = rows[0]
                continue
            known = [str(next(iter(row.values()), "")) for row in document if isinstance(row, dict)]
        else:
            known = []
        there = ", ".join(known[:12]) or "nothing"
        raise ValueError(f"--measure {path}: there is no {word!r}; there is {there}.")
    return document


def _document(text: str, lines: list[str]) -> Any:
    for candidate in (text, lines[-1]):
        with contextlib.suppress(ValueError):
            return json.loads(candidate)
    raise ValueError("the command printed no JSON for --measure: has it an option such as --json?")


def _own(words: list[str]) -> str:
    """What a command of this program prints."""
    from amphid.interfaces.command_line.entry import main

    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = main(words[1:])
    if code == _INTERRUPTED:
        raise KeyboardInterrupt
    return _told(out.getvalue(), err.getvalue(), code, words)


def _program(words: list[str]) -> str:
    try:
        done = subprocess.run(words, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        raise FileNotFoundError(f"there is no program {words[0]!r}.") from None
    if done.returncode in (_INTERRUPTED, -2):
        raise KeyboardInterrupt
    return _told(done.stdout, done.stderr, done.returncode, words)


def _told(out: str, err: str, code: int, words: list[str]) -> str:
    if code == 0:
        return out
    reason = (err.strip().splitlines() or [f"exit code {code}"])[-1].removeprefix("amphid: ")
    if words[0] == "amphid" and code in (_BAD_INPUT, _MISSING_EXTRA):
        raise ValueError(f"{' '.join(words[:2])} refuses: {reason}")
    raise Failed(reason)
