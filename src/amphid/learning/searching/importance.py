"""Which settings mattered."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

from amphid.learning.searching.optuna_found import optuna, quiet

if TYPE_CHECKING:
    from amphid.learning.searching.findings import Found

FEWEST = 10


def importance(found: Found) -> dict[str, float]:
    """Share of each setting, the largest first."""
    if len(found.complete) < FEWEST:
        raise ValueError(
            f"importance needs at least {FEWEST} complete trials, the search {found.name!r} has "
            f"{len(found.complete)}."
        )
    with quiet(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        study = optuna.create_study(direction="maximize" if found.maximize else "minimize")
        distributions = {name: held.distribution() for name, held in found.space.items()}
        for tried in found.complete:
            trial = optuna.trial.create_trial(
                params=dict(tried.stored), distributions=distributions, value=tried.value
            )
            study.add_trial(trial)
        evaluator = optuna.importance.PedAnovaImportanceEvaluator()
        shares = optuna.importance.get_param_importances(study, evaluator=evaluator)
    return {name: float(share) for name, share in shares.items()}
