"""Evolve the parameters of a loss: one loop for every scheme."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from amphid.learning.evolution.evolving import Callback, Evolved, Evolving, Plan
from amphid.learning.evolution.genome import Candidates
from amphid.learning.evolution.individuals import Aging
from amphid.learning.evolution.meters import InbreedingWatch
from amphid.learning.evolution.population import Population
from amphid.learning.evolution.scheme import Scheme, check_counts
from amphid.learning.fitting.checkpoints import Folder
from amphid.learning.fitting.draws import Draws
from amphid.learning.fitting.plan import several
from amphid.learning.gradients.objective import Loss
from amphid.learning.gradients.sharing import Sharing
from amphid.simulation.progress import heard


def evolve(
    loss: Loss | Sequence[Loss],
    params: nn.Module | Mapping[str, Tensor],
    scheme: Scheme = Aging(),  # noqa: B008  frozen
    *,
    generations: int,
    generator: torch.Generator,
    founders: Candidates | None = None,
    absolute: bool = False,
    behavior: Callable[[Candidates], Tensor] | None = None,
    watch: InbreedingWatch | None = InbreedingWatch(),  # noqa: B008  frozen
    callbacks: Sequence[Callback] = (),
    folder: str | os.PathLike[str] | None = None,
    resume: bool = False,
    checkpoint_every: int = 10,
    draws: torch.Generator | Sequence[torch.Generator] = (),
    sharing: Sharing | None = None,
    progress: bool | Callable[[int, int], None] | None = True,
) -> Evolved:
    """Evolve parameters so that a loss becomes small; no gradient is asked for.

    loss: a function of parameters by name, such as an `Objective`, whose members run as one batch,
        or any that gives a number. Of a list of losses, such as one for each batch, each generation
        is asked about one, in turns.
    params: a module, whose parameters that ask for a gradient evolve, or tensors by name. They hold
        the answer of the scheme after every generation.
    scheme: how, such as `Aging()`, `CMAES()` or `Islands(...)`.
    generations: in all, those before a resume included.
    generator: what the population draws from. draws: what losses draw from, to be resumed too;
        generators that are attributes of modules, or that a function refers to, are found without.
    founders: the first candidates [S, *shape] by name; mutants of the parameters when None.
    absolute: spreads are in the units of parameters, not of the root mean square of each tensor.
    behavior: what candidates do [S, D], of members [S, *shape], for `MapElites` and `Novelty`.
    watch: when to warn of inbreeding, never if None.
    callbacks: functions of an `Evolving`, called after each generation; True or "stop" ends it.
    folder: keeps `metrics.jsonl`, a line a generation; `checkpoints/`, the last state; and at the
        end `model.safetensors`. resume: go on from the checkpoint in it, if there is one, bit for
        bit. checkpoint_every: generations between checkpoints.
    sharing: how the processes of `torchrun` share out each generation, such as `Sharing()`. All
        name the same folder, in which the first writes. One that dies, or is silent for too long,
        ends the evolution of all others with RuntimeError and a checkpoint, from which it goes on
        by `resume=True` on the same trajectory, on any number of processes. Only losses travel;
        `behavior` is computed by each.
    progress: True draws a bar with the meters on a terminal; a function is called with generations
        done and in all.

    After every generation its winner and the answer are evaluated once more, on the loss of the
    next generation, which tells how much of the best was luck: two evaluations beside the samples.
    Ctrl-C ends after the generation under way and writes a checkpoint. Raises FloatingPointError
    where no candidate has a finite loss.
    """
    check_counts(0, generations=generations)
    check_counts(1, checkpoint_every=checkpoint_every)
    losses = list(loss) if isinstance(loss, Sequence) else [loss]
    if not losses or not all(callable(each) for each in losses):
        raise TypeError(f"loss must be a function of parameters, or a list of some, got {loss!r}.")
    if isinstance(params, Tensor):
        raise TypeError(
            "params must be a module or tensors by name; a vector evolves by ask and tell of a "
            "Population."
        )
    if resume and folder is None:
        raise ValueError("resume=True needs the folder of what is to go on.")
    population = Population(
        scheme, params, generator=generator, founders=founders, absolute=absolute, watch=watch
    )
    given = [draws] if isinstance(draws, torch.Generator) else draws
    if not isinstance(sharing, Sharing | None):
        raise TypeError(f"sharing must be a Sharing(), or None, got {sharing!r}.")
    leads = sharing is None or sharing.leads
    plan = Plan(
        losses=losses, params=_tensors(params), population=population, generations=generations,
        behavior=behavior, callbacks=several("callbacks", callbacks),
        checkpoint_every=checkpoint_every, draws=Draws(given, (*losses, params)),
        folder=None if folder is None else Folder(Path(folder), counts="generation", writes=leads),
        sharing=sharing,
    )  # fmt: skip
    evolving = Evolving(plan)
    if plan.folder and (state := plan.folder.begin(resume=resume)):
        evolving.restore(state)
    with heard(progress if leads else False, evolving.doing) as told:
        return evolving.go(told)


def _tensors(params: nn.Module | Mapping[str, Tensor]) -> dict[str, Tensor]:
    named = params.named_parameters() if isinstance(params, nn.Module) else params.items()
    asked = isinstance(params, nn.Module)
    return {name: held for name, held in named if held.requires_grad or not asked}
