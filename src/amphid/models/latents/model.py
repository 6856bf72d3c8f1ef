"""What every latent model of a population answers to."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Self

import torch
from torch import Tensor


class LatentModel(ABC):
    """Rates of all cells from the counts of some of them. Abstract: concrete models are final.

    It is fitted to trials in which all cells are seen, and told the counts of the shown cells alone
    afterwards. What it then says of the hidden ones is scored by `measures.bits_per_spike`. Whole
    trials are looked at: a rate may depend on later bins.
    """

    @abstractmethod
    def fit(self, shown: Sequence[Tensor], hidden: Sequence[Tensor]) -> Self:
        """Learn from trials of counts [T, K] of shown and [T, H] of hidden cells; T may differ."""

    @abstractmethod
    def rates(self, shown: Tensor, *, ahead: int = 0) -> Tensor:
        """Expected counts [T + ahead, K + H] of a trial [T, K]; shown cells first.

        ahead: bins after the trial whose counts are foretold.
        """


def check_trials(shown: Sequence[Tensor], hidden: Sequence[Tensor]) -> None:
    """Raise ValueError, in a sentence, unless these are trials of counts of the same cells."""
    for name, given in (("shown", shown), ("hidden", hidden)):
        if not isinstance(given, (Sequence, Tensor)):
            raise TypeError(f"{name} must be a list of trials [T, N], got {type(given).__name__}.")
    if len(shown) != len(hidden) or not len(shown):
        raise ValueError(
            f"shown and hidden must be the same trials, at least one, got {len(shown)} and "
            f"{len(hidden)}."
        )
    for name, trials in (("shown", shown), ("hidden", hidden)):
        for trial, other in zip(trials, shown, strict=True):
            check_real(trial, name)
            fits = trial.dim() == 2 and trial.shape == (len(other), trials[0].shape[-1])
            if not fits or not len(trial) or (trials is shown and not trial.shape[1]):
                raise ValueError(
                    f"{name} must be trials [T, N] of the same cells, as long as the shown ones, "
                    f"got shape {list(trial.shape)}."
                )
            check_counts(trial, name)


def check_real(counts: object, name: str) -> None:
    """Raise TypeError, in a sentence, for what is no tensor of real numbers."""
    if not isinstance(counts, Tensor) or counts.is_complex():
        got = counts.dtype if isinstance(counts, Tensor) else type(counts).__name__
        raise TypeError(
            f"{name} must be counts in a tensor, got {got}: torch.as_tensor makes one of an array."
        )


def check_counts(counts: Tensor, name: str = "shown") -> None:
    """Raise ValueError, in a sentence, unless these are counts."""
    if not bool(torch.isfinite(counts).all()) or bool((counts < 0).any()):
        raise ValueError(f"{name} must be counts of spikes: none is negative or not a number.")


def check_shown(shown: Tensor, cells: int | None, ahead: int) -> Tensor:
    """The trial, whole numbers made real; ValueError unless a fitted model can look at it."""
    if cells is None:
        raise ValueError("the model must be fitted before it can tell rates: model.fit(...).")
    check_real(shown, "shown")
    if shown.dim() != 2 or not len(shown) or shown.shape[1] != cells:
        raise ValueError(
            f"shown must be a trial [T, {cells}] as in fitting, got {list(shown.shape)}."
        )
    if not isinstance(ahead, int) or isinstance(ahead, bool) or ahead < 0:
        raise ValueError(f"ahead must be a number of bins, not negative, got {ahead!r}.")
    check_counts(shown)
    return shown if shown.is_floating_point() else shown.to(torch.get_default_dtype())
