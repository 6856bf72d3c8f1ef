"""Train a model: one loop for every estimator of a gradient."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from amphid.learning.fitting.checkpoints import Folder
from amphid.learning.fitting.draws import Draws
from amphid.learning.fitting.guard import DirectionGuard, Watch
from amphid.learning.fitting.history import Callback, History
from amphid.learning.fitting.plan import Batches, EachUpdate, Plan, Validate, several
from amphid.learning.fitting.stopping import EarlyStopping
from amphid.learning.fitting.stretches import Stretches
from amphid.learning.fitting.training import Training
from amphid.learning.gradients.backprop import Backprop
from amphid.learning.gradients.estimator import Estimator
from amphid.learning.gradients.objective import Criterion, Penalty
from amphid.simulation.progress import heard


def fit(
    model: nn.Module,
    batches: Batches,
    loss: Criterion,
    *,
    optimizer: Optimizer,
    estimator: Estimator = Backprop(),  # noqa: B008  frozen
    epochs: int = 1,
    dt: float | None = None,
    validate: Validate | None = None,
    schedule: LRScheduler | EachUpdate | None = None,
    callbacks: Sequence[Callback] = (),
    accumulate: int = 1,
    stretches: Stretches | None = None,
    penalties: Sequence[Penalty] = (),
    early_stopping: EarlyStopping | None = None,
    guard: DirectionGuard | None = DirectionGuard(),  # noqa: B008  frozen
    folder: str | os.PathLike[str] | None = None,
    resume: bool = False,
    checkpoint_every: int | None = None,
    generator: torch.Generator | Sequence[torch.Generator] = (),
    progress: bool | Callable[[int, int], None] | None = True,
) -> History:
    """Train the parameters of a model that an optimizer holds.

    batches: pairs (inputs, targets), walked through anew every epoch: a list, a `DataLoader`, or a
        function of the epoch number that makes one. Tensors are moved to where the model is.
    loss: `loss(outputs, targets)` of `outputs = model(inputs)`, any of torch or of this room.
    optimizer: any of `torch.optim`, made for parameters of the model; the others stay as they are.
    estimator: where gradients come from.
    epochs: in all, those before a resume included.
    dt: ms per step, handed to the model; its own default when None.
    validate: batches on which the loss is measured after each epoch, without penalties, or a
        function of the model that gives a number, "validation", or several by name. The model is
        in eval mode meanwhile, and nothing records gradients.
    schedule: any `torch.optim.lr_scheduler`, stepped after each epoch; `EachUpdate(schedule)` after
        each update. `ReduceLROnPlateau` looks at "validation", else at the loss.
    callbacks: functions of a `Progress`, called after each update and at the end of each epoch;
        True or "stop" ends the fit.
    accumulate: batches whose mean loss makes one update; as one batch of them all would.
    stretches: of long sequences, each of which makes an update from the state that the one before
        left; the whole batch makes one when None.
    penalties: such as `L2(1e-4)` or `RateBounds(...)`, added to the loss.
    early_stopping: when to end for want of progress; the best parameters are put back at the end.
    guard: looks whether the first updates go down, as a `DirectionGuard` says; None does not.
    folder: keeps `metrics.jsonl`, a line an epoch; `checkpoints/`, the last state, written after
        each epoch; and at the end `model.safetensors`. Nothing is ever written by half.
    resume: go on from the checkpoint in `folder`, if there is one, on the same trajectory bit for
        bit: model, batches, optimizer and schedule are built as they were, and take their state.
    checkpoint_every: updates after which a checkpoint is written within an epoch too.
    generator: what batches, model or loss draw from, to be resumed too. Those that are attributes
        of modules, of the estimator or of a `DataLoader`, or that a function refers to, are found
        without; torch's own is taken along where something draws from it.
    progress: True draws a bar on a terminal; a function is called with updates done and in all.

    Ctrl-C ends after the update under way, writes a checkpoint and returns what there is; pressed
    again it ends at once. SIGTERM writes a checkpoint, too, before the process ends. Raises
    ValueError, within the first steps, where a sign is flipped, see `DirectionGuard`;
    FloatingPointError, naming the first layer whose output is not finite, before an update by a
    loss or gradient that is not; ValueError or TypeError for arguments that cannot be;
    FileExistsError for a folder that holds a fit already.
    """
    plan = Plan(
        model=model, batches=batches, loss=loss, optimizer=optimizer, estimator=estimator,
        epochs=epochs, validate=validate, schedule=schedule,
        callbacks=several("callbacks", callbacks), accumulate=accumulate,
        penalties=several("penalties", penalties), early_stopping=early_stopping,
        checkpoint_every=checkpoint_every, dt=dt,
        stretches=stretches,
    )  # fmt: skip
    plan.check()
    if guard is not None and not isinstance(guard, DirectionGuard):
        raise TypeError(f"guard must be DirectionGuard(...), or None for none, got {guard!r}.")
    if not isinstance(folder, str | os.PathLike | None):
        raise TypeError(f"folder must be a path, or None for none, got {folder!r}.")
    if resume and folder is None:
        raise ValueError("resume=True needs the folder of the fit that is to go on.")
    given = [generator] if isinstance(generator, torch.Generator) else generator
    draws = Draws(given, (model, batches, estimator, loss, *penalties, guard))
    leads = getattr(estimator, "leads", True)
    kept = None if folder is None else Folder(Path(folder), writes=leads)
    training = Training(plan, draws, kept, Watch(guard, plan, draws))
    if kept and (state := kept.begin(resume=resume)):
        training.restore(state)
    with heard(progress if leads else False, training.doing) as told:
        return training.go(told)
