"""How nets that tell rates are drawn and trained."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from amphid.wiring import checks

LEAST = 1e-3  # spikes per bin of a cell that was never seen to fire


@dataclass(frozen=True)
class Training:
    """Adam on batches of trials of any length, drawn anew in each epoch.

    epochs: walks through all trials. size: trials in a batch. lr: the highest learning rate, which
    rises over a tenth of the training and falls to zero as a cosine. penalty: weight decay.
    """

    epochs: int
    size: int
    lr: float
    penalty: float

    def __post_init__(self) -> None:
        checks.whole("epochs", self.epochs)
        checks.whole("size", self.size)
        checks.positive("lr", self.lr)
        checks.least("penalty", self.penalty)

    def run(
        self,
        net: nn.Module,
        loss: Callable[[Tensor, Tensor], Tensor],
        trials: Sequence[Tensor],
        *,
        generator: torch.Generator,
    ) -> None:
        """Make a loss of counts [B, T, N] and of the bins [B, T] that trials have small."""
        optimizer = torch.optim.AdamW(net.parameters(), lr=self.lr, weight_decay=self.penalty)
        steps = self.epochs * -(-len(trials) // self.size)
        pace = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: _pace(step, steps))
        for _ in range(self.epochs):
            for counts, seen in _batches(trials, self.size, generator):
                optimizer.zero_grad()
                loss(counts, seen).backward()
                nn.utils.clip_grad_norm_(net.parameters(), 1.0)
                optimizer.step()
                pace.step()
        net.requires_grad_(requires_grad=False)


def draw(net: nn.Module, generator: torch.Generator) -> None:
    """Weights as torch draws them, by the generator; norms are one, all others zero."""
    checks.drawing(generator)
    for part in net.modules():
        for name, held in part.named_parameters(recurse=False):
            if isinstance(part, (nn.Linear, nn.GRU)):
                fan = part.in_features if isinstance(part, nn.Linear) else part.hidden_size
                nn.init.uniform_(held, -(fan**-0.5), fan**-0.5, generator=generator)
            else:
                ones = isinstance(part, nn.LayerNorm) and name == "weight"
                nn.init.constant_(held, 1.0 if ones else 0.0)


def check_batch(counts: Tensor, cells: int) -> None:
    """Raise TypeError or ValueError, in a sentence, for what are no counts [B, T, cells]."""
    if checks.reals("counts", counts).dim() != 3 or counts.shape[2] != cells:
        raise ValueError(f"counts must be [B, T, {cells}], got shape {list(counts.shape)}.")


def mean_level(trials: Sequence[Tensor]) -> Tensor:
    """Logarithm of the mean count of each cell [N]."""
    return torch.cat(list(trials)).mean(0).clamp(min=LEAST).log()


def _batches(
    trials: Sequence[Tensor], size: int, generator: torch.Generator
) -> Iterator[tuple[Tensor, Tensor]]:
    """Counts [B, T, N] of trials in a new order, and which bins [B, T] they have."""
    order = torch.randperm(len(trials), generator=generator).tolist()
    for first in range(0, len(order), size):
        some = [trials[k] for k in order[first : first + size]]
        counts = nn.utils.rnn.pad_sequence(some, batch_first=True)
        length = torch.tensor([len(trial) for trial in some], device=counts.device)
        yield counts, torch.arange(counts.shape[1], device=counts.device) < length[:, None]


def _pace(step: int, steps: int) -> float:
    """Share of the highest learning rate at a step."""
    rise = max(1, steps // 10)
    if step < rise:
        return (step + 1) / rise
    return 0.5 * (1 + math.cos(math.pi * (step - rise) / max(1, steps - rise)))
