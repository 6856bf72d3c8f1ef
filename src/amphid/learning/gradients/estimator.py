"""What an estimator of a gradient is."""

from __future__ import annotations

from typing import Protocol

from torch import Tensor

from amphid.learning.gradients.objective import Loss, Params


class Estimator(Protocol):
    """Finds out in which direction a loss grows.

    `loss` is a pure function of parameters by name, that gives a scalar, or one entry per owner.
    The value is its mean as a scalar that carries no gradient; the gradients are those of that
    mean, under the same names, each of the shape and type of its parameter. Parameters are not
    changed, and neither are their `.grad`.

    An estimator that remembers something from call to call keeps it in `state_dict()` and takes it
    back in `load_state_dict(state)`; `fit` then resumes it too. What draws numbers keeps its
    `torch.Generator` as an attribute.
    """

    def __call__(self, loss: Loss, params: Params) -> tuple[Tensor, Params]:
        """The value of a loss and its gradients, as far as this estimator can tell."""
