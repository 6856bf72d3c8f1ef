"""Samplers as Optuna asks them; loaded only once a search begins."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any

from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState


class Told(BaseSampler):
    """Another sampler; `begun` hears of a trial before anything is drawn for it."""

    def __init__(self, inner: BaseSampler, begun: Callable[[FrozenTrial], None]) -> None:
        self.inner, self._begun = inner, begun

    def before_trial(self, study: Study, trial: FrozenTrial) -> None:
        """A trial begins."""
        self._begun(trial)
        self.inner.before_trial(study, trial)

    def infer_relative_search_space(
        self, study: Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        """The settings that it draws together."""
        return self.inner.infer_relative_search_space(study, trial)

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Draw them."""
        return self.inner.sample_relative(study, trial, search_space)

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, distribution: BaseDistribution
    ) -> Any:
        """Draw one."""
        return self.inner.sample_independent(study, trial, param_name, distribution)

    def after_trial(
        self, study: Study, trial: FrozenTrial, state: TrialState, values: Sequence[float] | None
    ) -> None:
        """A trial ends."""
        self.inner.after_trial(study, trial, state, values)

    def reseed_rng(self) -> None:
        """Draw otherwise."""
        self.inner.reseed_rng()


class Afresh(BaseSampler):
    """A new sampler for every trial, so that nothing but its seed and the results decides."""

    def __init__(
        self,
        made: Callable[[FrozenTrial], BaseSampler],
        begun: Callable[[FrozenTrial], None],
    ) -> None:
        self._made, self._begun, self._now = made, begun, threading.local()

    def before_trial(self, study: Study, trial: FrozenTrial) -> None:
        """A trial begins."""
        self._begun(trial)
        self._now.sampler = self._made(trial)
        self._now.sampler.before_trial(study, trial)

    def infer_relative_search_space(
        self, study: Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        """The settings that it draws together."""
        space: dict[str, BaseDistribution]
        space = self._now.sampler.infer_relative_search_space(study, trial)
        return space

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Draw them."""
        drawn: dict[str, Any] = self._now.sampler.sample_relative(study, trial, search_space)
        return drawn

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, distribution: BaseDistribution
    ) -> Any:
        """Draw one."""
        return self._now.sampler.sample_independent(study, trial, param_name, distribution)
