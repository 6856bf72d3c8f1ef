"""`amphid train`: a network is trained, and kept."""

from __future__ import annotations

import argparse
import time
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from amphid.interfaces.command_line.parsing import (
    add_global_options,
    at_least_one,
    not_negative,
    positive,
)

if TYPE_CHECKING:
    from amphid.interfaces.command_line.train_options import Trainee, TrainSettings
    from amphid.learning import History

_EXAMPLES = """\
WHAT is a task, or a function of your own that returns (model, batches, loss) or (model, batches,
loss, validate), as learning.fit takes them. It gets generator= where it takes one, and what --set
says.

examples:
  amphid train digits --epochs 3
  amphid train digits --hidden 300,100 --learning-rate 2e-3 --surrogate triangle
  amphid train digits --network convolutional --epochs 8 --batch 64
  amphid train net.py:build --set width=64 --epochs 20 --schedule constant
  amphid train --resume runs/first

Ctrl-C ends after the update under way and writes a checkpoint; --resume goes on with it, on the
same trajectory bit for bit.
"""


def add(commands: Any) -> None:
    """The command and its options."""
    parser = commands.add_parser(
        "train",
        help="train a network on a task, or any of your own",
        description="Train a network, keep it in a run folder, and score it on what it never saw.",
        epilog=_EXAMPLES,
    )
    parser.set_defaults(parser=parser, run=run)
    parser.add_argument(
        "what", nargs="?", metavar="WHAT", help="digits, FILE.py:FUNCTION or MODULE:FUNCTION"
    )
    parser.add_argument(
        "--config", type=Path, metavar="FILE", help="start from the config.toml of a training"
    )
    parser.add_argument(
        "--resume", type=Path, metavar="DIR", help="go on with the training in this run folder"
    )
    parser.add_argument("--out", type=Path, metavar="DIR", help="run folder (runs/<date>_<hash>)")
    _add_network(parser)
    _add_training(parser)
    add_global_options(parser, seed="weights, order of batches, dropout")


def _add_network(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("network and data of a task")
    add = group.add_argument
    add("--network", choices=("dense", "convolutional"), help="dense, convolutional (dense)")
    add("--hidden", type=_counts, metavar="N,N", help="cells of each hidden layer (100)")
    add("--maps", type=_counts, metavar="N,N", help="feature maps of a convolutional one (12,24)")
    add("--steps", type=positive, metavar="MS", help="time that an image is looked at (10; 5)")
    add("--tau", type=positive, metavar="MS", help="time constant of the cells (10)")
    add("--surrogate", metavar="NAME", help="what stands for the gradient of a spike (arctan)")
    add("--width", type=positive, metavar="X", help="its width; the threshold is 1 (0.5)")
    add("--dropout", type=not_negative, metavar="P", help="share of cells silenced (0.1)")
    add("--batch-norm", action="store_true", default=None, help="normalize currents")
    add("--samples", type=at_least_one, metavar="N", help="examples to train on (all)")
    add("--batch", type=at_least_one, metavar="N", help="examples in a batch (128)")
    add("--set", action="append", metavar="NAME=VALUE", help="of a function of your own")


def _add_training(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("training")
    add = group.add_argument
    add("--epochs", type=at_least_one, metavar="N", help="in all, those before a resume too (5)")
    add("--optimizer", choices=("adam", "adamw", "sgd"), help="adam, adamw, sgd (adam)")
    add("--learning-rate", type=positive, metavar="X", help="the highest of a cycle (4e-3)")
    add("--schedule", choices=("cycle", "constant"), help="of the rate: cycle, constant (cycle)")
    add("--clip", type=positive, metavar="X", help="longest gradient (none)")
    add("--l1", type=not_negative, metavar="X", help="strength of the penalty (0)")
    add("--l2", type=not_negative, metavar="X", help="strength of the penalty (0)")
    add(
        "--patience",
        type=at_least_one,
        metavar="N",
        help="stop after so many epochs without anything better, and keep the best (never)",
    )
    add(
        "--checkpoint-every",
        type=at_least_one,
        metavar="N",
        help="updates between checkpoints within an epoch (each epoch only)",
    )


def run(arguments: argparse.Namespace) -> int:
    """Train, score, write, print; returns the exit code."""
    from amphid.interfaces.command_line import run_folder, train_options, train_results
    from amphid.interfaces.command_line.options import ready

    started, clock = datetime.now().astimezone(), time.perf_counter()
    if arguments.out and not arguments.resume:
        run_folder.check_free(arguments.out)
    settings = train_options.complete(arguments)
    ready(arguments.device, arguments.threads or 1)
    trainee = train_options.trainee(settings, arguments.device)
    folder = arguments.resume or arguments.out or run_folder.default_folder(started, settings)
    log = run_folder.circumstances(arguments.argv, started)
    history = _trained(trainee, settings, folder, arguments)
    log["seconds"] = round(time.perf_counter() - clock, 3)
    told = train_results.data(history, trainee, settings, folder)
    train_results.write(folder, told, log)
    train_results.show(told, arguments)
    return train_results.verdict(told)


def _trained(
    trainee: Trainee, settings: TrainSettings, folder: Path, arguments: argparse.Namespace
) -> History:
    """The fit; its folder is there, with the configuration in it, before the first update."""
    from amphid import learning
    from amphid.interfaces.command_line import train_options
    from amphid.learning.fitting.packing import write_whole

    optimizer = train_options.optimizer(settings, trainee.model)
    schedule = train_options.schedule(settings, optimizer, trainee.batches)
    stopping = None
    if settings.patience:
        better: Any = {"watch": "accuracy", "better": max} if trainee.task else {}
        stopping = learning.EarlyStopping(settings.patience, **better)
    folder.mkdir(parents=True, exist_ok=True)
    write_whole(folder / "config.toml", train_options.toml(settings).encode())
    return learning.fit(
        trainee.model, trainee.batches, trainee.loss, optimizer=optimizer,
        estimator=learning.Backprop(clip_norm=settings.clip), epochs=settings.epochs,
        validate=trainee.validate, schedule=schedule, penalties=train_options.penalties(settings),
        early_stopping=stopping, folder=folder, resume=bool(arguments.resume),
        checkpoint_every=settings.checkpoint_every,
        progress=not (arguments.quiet or arguments.json),
    )  # fmt: skip


def _counts(text: str) -> list[int]:
    return [at_least_one(word) for word in text.split(",")]
