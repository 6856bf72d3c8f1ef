"""One fit on several processes: each sees its own batches, all take the same step."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, distributed

from amphid.learning.gradients.estimator import Estimator
from amphid.learning.gradients.objective import Loss, Params


@dataclass(frozen=True)
class Averaged:
    """Any estimator, with value and gradients averaged over all processes of a group.

    Under `torchrun`, after `torch.distributed.init_process_group`: every process builds the same
    model and optimizer, walks its own share of the batches, as many as the others, and keeps a
    folder of its own. It takes the place of `DistributedDataParallel`, for estimators that do not
    go through `backward` too.

    estimator: what each process asks. group: that of torch; all processes when None.
    """

    estimator: Estimator
    group: Any = None

    def __call__(self, loss: Loss, params: Params) -> tuple[Tensor, Params]:
        """The means of value and gradients; the same in every process."""
        value, gradients = self.estimator(loss, params)
        whole = torch.cat([value.reshape(1), *(g.flatten().to(value) for g in gradients.values())])
        distributed.all_reduce(whole, group=self.group)
        whole /= distributed.get_world_size(self.group)
        sizes = [1, *(g.numel() for g in gradients.values())]
        value, *means = whole.split(sizes)
        found = zip(gradients.items(), means, strict=True)
        return value.view(()), {name: mean.view(g.shape).to(g) for (name, g), mean in found}

    def state_dict(self) -> dict[str, Any]:
        """What the estimator remembers."""
        kept = getattr(self.estimator, "state_dict", dict)
        return dict(kept())

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Remember that."""
        if hasattr(self.estimator, "load_state_dict"):
            self.estimator.load_state_dict(state)
