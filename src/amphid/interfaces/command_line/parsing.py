"""What is typed: commands, options, and sentences for what does not fit them."""

from __future__ import annotations

import argparse
import difflib
import math
import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NoReturn

GLOBAL_DEFAULTS: dict[str, Any] = {
    "seed": 0,
    "device": "cpu",
    "threads": None,
    "json": False,
    "quiet": False,
}


class UsageError(Exception):
    """What was typed does not fit; `command` is where help is to be found."""

    def __init__(self, sentence: str, command: str) -> None:
        super().__init__(sentence)
        self.command = command


class Parser(argparse.ArgumentParser):
    """A parser that raises `UsageError` in a sentence, with the nearest thing that exists."""

    def __init__(self, **settings: Any) -> None:
        settings.setdefault("formatter_class", Layout)
        super().__init__(allow_abbrev=False, **settings)

    def error(self, message: str) -> NoReturn:
        """Raise instead of printing."""
        raise UsageError(_sentence(message), self.prog)

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        if action.choices is not None and value not in action.choices:
            what = "There is no command" if action.dest in ("command", "verb") else None
            name = "/".join(action.option_strings) or action.metavar or action.dest
            start = f"{what} {value!r}" if what else f"{name} cannot be {value!r}"
            raise UsageError(start + "." + choices(str(value), action.choices), self.prog)

    def options(self) -> list[str]:
        """All options by name."""
        return [name for action in self._actions for name in action.option_strings]


class Layout(argparse.RawDescriptionHelpFormatter):
    """Help with room for the names of options; metavars as they are."""

    def __init__(self, prog: str, **settings: Any) -> None:
        settings = {"max_help_position": 30, **settings}
        super().__init__(prog, **settings)


def choices(typed: str, known: Iterable[str]) -> str:
    """ " Did you mean ...? There are ..." for a name that is not known."""
    names = list(known)
    close = difflib.get_close_matches(typed.lower(), names, n=1)
    hint = f" Did you mean {close[0]}?" if close else ""
    return f"{hint} There {'is' if len(names) == 1 else 'are'} {', '.join(names)}."


def parse(parser: Parser, argv: Sequence[str]) -> argparse.Namespace:
    """The arguments, with the defaults of the global options filled in; `typed` are those given.

    Raises UsageError for anything left over.
    """
    arguments, left = parser.parse_known_args(argv)
    if left:
        raise UsageError(_left_over(left[0], arguments.parser), arguments.parser.prog)
    arguments.typed = frozenset(GLOBAL_DEFAULTS) & frozenset(vars(arguments))
    for name, value in GLOBAL_DEFAULTS.items():
        if name not in arguments.typed:
            setattr(arguments, name, value)
    return arguments


def add_global_options(parser: argparse.ArgumentParser, *, seed: str = "") -> None:
    """The options that every command takes; seed: what it seeds, in words."""
    group = parser.add_argument_group("everywhere")
    absent = argparse.SUPPRESS
    group.add_argument(
        "--seed",
        type=whole,
        default=absent,
        metavar="N",
        help=f"of {seed or 'all random draws'} (0)",
    )
    group.add_argument(
        "--device", default=absent, metavar="NAME", help="cpu, cuda, cuda:1, ... (cpu)"
    )
    group.add_argument(
        "--threads",
        type=at_least_one,
        default=absent,
        metavar="N",
        help="of the processor (all; 1 for few cells)",
    )
    group.add_argument(
        "--json", action="store_true", default=absent, help="one JSON document on stdout"
    )
    group.add_argument(
        "--quiet", action="store_true", default=absent, help="no progress bar and no remarks"
    )


def number(text: str) -> float:
    """A finite number."""
    return _number(text, lambda value: True, "a number")


def positive(text: str) -> float:
    """A number above zero."""
    return _number(text, lambda value: value > 0, "a number above 0")


def not_negative(text: str) -> float:
    """A number, zero or more."""
    return _number(text, lambda value: value >= 0, "a number, 0 or more")


def whole(text: str) -> int:
    """A whole number, zero or more."""
    return int(
        _number(text, lambda value: value >= 0 and value == int(value), "a whole number, 0 or more")
    )


def at_least_one(text: str) -> int:
    """A whole number, one or more."""
    return int(
        _number(text, lambda value: value >= 1 and value == int(value), "a whole number above 0")
    )


def names(text: str) -> list[str]:
    """Names with commas between them."""
    found = [name.strip() for name in text.split(",")]
    if not all(found):
        raise argparse.ArgumentTypeError(f"names with commas between them are needed, got {text!r}")
    return found


def _number(text: str, good: Callable[[float], bool], kind: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not (math.isfinite(value) and good(value)):
        raise argparse.ArgumentTypeError(f"needs {kind}, got {text!r}")
    return value


def _sentence(message: str) -> str:
    """A complaint of argparse as one of ours."""
    if found := re.fullmatch(r"argument ([^:]+): expected (.+)", message, re.DOTALL):
        return f"{found[1]} needs {found[2].replace('argument', 'value')}."
    if found := re.fullmatch(r"argument ([^:]+): (.+)", message, re.DOTALL):
        return f"{found[1]} {found[2].rstrip('.')}."
    if found := re.fullmatch(r"the following arguments are required: (.+)", message):
        return f"{found[1]} is missing."
    return message[:1].upper() + message[1:].rstrip(".") + "."


def _left_over(word: str, parser: Parser) -> str:
    if not word.startswith("-"):
        return f"There is one word too many: {word!r}."
    typed = word.partition("=")[0]
    close = difflib.get_close_matches(typed, parser.options(), n=1)
    hint = f" Did you mean {close[0]}?" if close else ""
    return f"There is no option {typed}.{hint}"
