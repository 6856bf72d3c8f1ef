"""An estimator whose populations are shared out among processes."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from amphid.learning.gradients.estimator import Estimator
from amphid.learning.gradients.objective import Loss, Params
from amphid.learning.gradients.sharing import Sharing
from amphid.learning.gradients.weak.settings import check_made


class Spread:
    """Any estimator that asks for the losses of a population, of which each process runs its share.

    Under `torchrun` every process builds the same model, optimizer, batches and estimator from the
    same seeds, and all take the same step: see `Sharing`, and its portions and timeout.

    In a `fit` all processes name the same folder, the first one writes. One that fails tells the
    others why. One that dies, or says nothing for `timeout` seconds, ends the fit of all others
    with RuntimeError and a checkpoint, from which it goes on by `resume=True` on the same
    trajectory, on any number of processes.

    estimator: such as `Mollified`.
    Reference: Salimans et al. 2017, doi 10.48550/arXiv.1703.03864.
    """

    def __init__(self, estimator: Estimator, *, portions: int = 8, timeout: float = 300.0) -> None:
        check_made("estimator", estimator, "Mollified(generator)")
        self.estimator = estimator
        self.sharing = Sharing(portions=portions, timeout=timeout)

    def __call__(self, loss: Loss, params: Params) -> tuple[Tensor, Params]:
        """What the estimator finds; the same in every process."""
        return self.estimator(self.sharing.shared(loss), params)

    @property
    def sent(self) -> int:
        """Bytes that this process has sent so far."""
        return self.sharing.sent

    @property
    def leads(self) -> bool:
        """Whether this is the process that writes."""
        return self.sharing.leads

    def report(self) -> Any:
        """What the estimator tells of its last call."""
        return self.estimator.report()  # type: ignore[attr-defined]

    def state_dict(self) -> dict[str, Any]:
        """What the estimator remembers."""
        kept = getattr(self.estimator, "state_dict", dict)
        state: dict[str, Any] = kept()
        return state

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take back what it remembers."""
        if state:
            self.estimator.load_state_dict(state)  # type: ignore[attr-defined]

    def __repr__(self) -> str:
        return f"Spread({self.estimator!r}, portions={self.sharing.portions})"
