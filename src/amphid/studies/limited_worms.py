"""One to five worms with labels: plainly, augmented, tuned to the next one, after forecasting."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from statistics import mean

import torch
from torch import Tensor

from amphid.measures import balanced_accuracy
from amphid.models import Animal, CellsReadout, Logistic
from amphid.models.behavior import lagged

WORMS = (1, 2, 3, 5)
COPIES = 3
MISSING, SCALED = 0.2, 0.4  # share of cells that are lost; spread of log gains
AHEAD, LATENTS = 10, 5  # frames, dimensions
LOADING = 1e2  # ridge of the forecast, in frames
PULL = 1e-1  # ridge towards what was learned from the other worms
ARMS = ("plain", "augmented", "transfer", "self-supervised")


def curves(
    animals: Mapping[str, Animal], cells: Sequence[str], seed: int
) -> dict[str, dict[int, dict[str, float]]]:
    """Balanced accuracy of every arm, by how many worms had labels, on every worm left out.

    Which of the other worms have labels is drawn; all arms have the same.
    """
    draw = torch.Generator().manual_seed(seed)
    found: dict[str, dict[int, dict[str, float]]] = {arm: {} for arm in ARMS}
    for held, one in animals.items():
        others = [animal for name, animal in animals.items() if name != held]
        order = torch.randperm(len(others), generator=draw).tolist()
        basis = forecasting(others, cells)
        for count in (size for size in WORMS if size <= len(others)):
            known = [others[place] for place in order[:count]]
            told = arms(known, one, cells, basis, draw)
            for arm, outputs in told.items():
                own = outputs[one.first :].argmax(-1)
                value = balanced_accuracy(own, one.classes[one.first :])
                found[arm].setdefault(count, {})[held] = value
    return found


def arms(
    known: Sequence[Animal],
    one: Animal,
    cells: Sequence[str],
    basis: Tensor,
    draw: torch.Generator,
) -> dict[str, Tensor]:
    """Outputs [T, K] of every arm for a worm, from others with labels."""
    plain = CellsReadout(cells).fit(known)
    more = [worn(animal, draw) for animal in known for _ in range(COPIES)]
    seen = [lagged(animal.filled(cells) @ basis)[animal.first :] for animal in known]
    classes = torch.cat([animal.classes[animal.first :] for animal in known])
    latent = Logistic(seen[0].shape[1]).fit(torch.cat(seen), classes)
    return {
        "plain": plain(one),
        "augmented": CellsReadout(cells).fit([*known, *more])(one),
        "transfer": adapted(plain, one),
        "self-supervised": latent(lagged(one.filled(cells) @ basis)),
    }


def worn(animal: Animal, draw: torch.Generator) -> Animal:
    """The same worm with gains of cells drawn anew, and some cells lost."""
    columns = animal.signals.shape[1]
    gain = (SCALED * torch.randn(columns, generator=draw)).exp()
    kept = torch.rand(columns, generator=draw) > MISSING
    return replace(animal, signals=animal.signals * gain * kept)


def forecasting(animals: Sequence[Animal], cells: Sequence[str]) -> Tensor:
    """Mixtures [cells, latents] that foretell best, by a line, what comes; no label is used.

    Reduced-rank regression of all cells ten frames ahead on all cells now.
    """
    now = torch.cat([animal.filled(cells)[:-AHEAD] for animal in animals]).double()
    then = torch.cat([animal.filled(cells)[AHEAD:] for animal in animals]).double()
    within = now.T @ now + LOADING * torch.eye(now.shape[1], dtype=torch.float64)
    slope = torch.linalg.solve(within, now.T @ then)
    directions = torch.linalg.eigh((now @ slope).T @ (now @ slope)).eigenvectors[:, -LATENTS:]
    return (slope @ directions).float()


def adapted(plain: CellsReadout, one: Animal) -> Tensor:
    """Outputs [T, K] once a readout was tuned to the first frames of a worm, with their labels.

    The ridge pulls towards what was learned from the other worms. A worm without both kinds of
    behavior in these frames keeps the readout as it is.
    """
    features, classes = lagged(one.filled(plain.cells)), one.classes[: one.first]
    if len(classes.unique()) < 2:
        return plain(one)
    tuned = Logistic(features.shape[1], ridge=PULL)
    answer: Tensor = tuned.fit(features[: one.first], classes, around=plain.readout)(features)
    return answer


def averaged(rows: Mapping[int, Mapping[str, float]]) -> dict[int, float]:
    """Mean over worms by how many worms had labels."""
    return {count: mean(row.values()) for count, row in rows.items()}
