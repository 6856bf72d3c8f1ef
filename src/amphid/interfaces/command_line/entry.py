"""From what is typed to an exit code.

0 ok, 1 the run failed, 2 bad input, 3 a missing extra, 130 interrupted.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import os
import sys
from collections.abc import Sequence

from amphid.interfaces.command_line import (
    connectome,
    doctor,
    export,
    scan,
    search,
    simulate,
    study,
    train,
    view,
)
from amphid.interfaces.command_line.parsing import Parser, UsageError, add_global_options, parse

OK, FAILED, BAD_INPUT, MISSING_EXTRA, INTERRUPTED = 0, 1, 2, 3, 130

_DESCRIPTION = """\
Wiring in, behavior out: nervous systems simulated, trained and measured.

  amphid simulate celegans --stimulate PLML,PLMR   touch the worm's tail
  amphid scan celegans --stimulate PLM --lesion each   who is needed
  amphid train digits --epochs 3                   a spiking network reads digits
  amphid search train.py:loss --trials 50          the settings that are best
  amphid view celegans                             touch it on a live page
  amphid connectome list                           the wiring there is
  amphid study list                                the claims that can be run
"""
_EPILOG = "amphid COMMAND --help tells more about a command."


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code; errors are one sentence on stderr."""
    try:
        code = _run(list(sys.argv[1:] if argv is None else argv))
        sys.stdout.flush()
    except BrokenPipeError:
        _close_stdout()
        return OK
    except SystemExit as ended:  # --help and --version
        return ended.code if isinstance(ended.code, int) else OK
    except KeyboardInterrupt:
        return _failed("interrupted.", INTERRUPTED)
    except UsageError as error:
        return _failed(f"{error} Try: {error.command} --help", BAD_INPUT)
    except Exception as error:
        if os.environ.get("AMPHID_TRACEBACK"):
            raise
        return _failed(_told(error), _code(error))
    return code


def command_parser() -> Parser:
    """All commands and their options."""
    parser = Parser(prog="amphid", description=_DESCRIPTION, epilog=_EPILOG)
    parser.add_argument("--version", action=_Version, nargs=0, help="print the version")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", title="commands")
    parser.set_defaults(parser=parser, run=None)
    for module in (simulate, scan, train, search, view, connectome, export, study, doctor):
        module.add(commands)
    add_global_options(parser)
    return parser


def _run(argv: list[str]) -> int:
    parser = command_parser()
    arguments = parse(parser, argv)
    arguments.argv = argv
    if arguments.run is None:
        arguments.parser.print_help(sys.stderr)
        return BAD_INPUT
    code: int = arguments.run(arguments)
    return code


class _Version(argparse.Action):
    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        print(f"amphid {importlib.import_module('amphid').__version__}")
        parser.exit()


def _failed(sentence: str, code: int) -> int:
    with contextlib.suppress(BrokenPipeError):
        print(f"amphid: {sentence}", file=sys.stderr)
    return code


def _told(error: Exception) -> str:
    """An error as one sentence on one line."""
    if isinstance(error, OSError) and error.strerror and error.filename is not None:
        text = f"{error.filename}: {error.strerror}."
    elif isinstance(error, ModuleNotFoundError) and "pip install" not in str(error):
        text = f"The Python package {error.name!r} is missing: pip install {error.name}"
    elif isinstance(error, _EXPECTED):
        text = str(error.args[0]) if error.args else type(error).__name__
    elif _refused(error):
        text = str(error)
    elif isinstance(error, MemoryError):
        text = "There is not enough memory: shorten --duration, or record less with --every."
    else:
        text = f"Unexpectedly, {type(error).__name__}: {error} (AMPHID_TRACEBACK=1 shows where.)"
    return " ".join(text.split())


_EXPECTED = (ValueError, KeyError, TypeError, OSError, RuntimeError, ModuleNotFoundError)
_INPUT = (
    FileNotFoundError,
    FileExistsError,
    IsADirectoryError,
    NotADirectoryError,
    PermissionError,
)


def _refused(error: Exception) -> bool:
    """Whether a run was refused, in a sentence, before it took any memory."""
    return type(error) is MemoryError and str(error).endswith(".")


def _code(error: Exception) -> int:
    if _refused(error):
        return BAD_INPUT
    if isinstance(error, ModuleNotFoundError):
        return MISSING_EXTRA
    return BAD_INPUT if isinstance(error, (ValueError, KeyError, TypeError, *_INPUT)) else FAILED


def _close_stdout() -> None:
    """Keep the interpreter from complaining, as it ends, about a reader that has left."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
