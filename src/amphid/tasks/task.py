"""What every task answers to, and the share of right answers with its interval."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import ClassVar, Literal, Protocol

import torch
from torch import Tensor, nn

from amphid.models.evaluating import evaluating

Split = Literal["train", "validation", "test"]

NINETY_FIVE = 1.959963984540054  # standard normal quantile of 97.5 %


class Walk(Protocol):
    """Pairs (inputs, targets) that can be walked through again and again, and how many."""

    def __len__(self) -> int: ...

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]: ...


@dataclass(frozen=True)
class Reference:
    """A published figure: the score, what reached it, and where that is written."""

    score: float
    what: str
    source: str


@dataclass(frozen=True)
class Score:
    """A score with its 95 % interval, such as a share of right answers, and of how many it is."""

    value: float
    low: float
    high: float
    samples: int

    def __float__(self) -> float:
        return self.value

    def __str__(self) -> str:
        return f"{self.value:.2%} ({self.low:.2%} to {self.high:.2%})"

    @classmethod
    def of(cls, right: int, samples: int) -> Score:
        r"""The score of `right` answers out of `samples`, with the interval of Wilson.

        .. math:: \frac{p + z^2 / 2n \pm z \sqrt{p (1 - p) / n + z^2 / 4 n^2}}{1 + z^2 / n}

        Reference: Wilson 1927, doi 10.1080/01621459.1927.10502953.
        """
        if not 0 <= right <= samples or samples < 1:
            raise ValueError(f"right must be 0 to samples, got {right} of {samples}.")
        share, spread = right / samples, NINETY_FIVE**2 / samples
        middle = share + spread / 2
        reach = NINETY_FIVE * math.sqrt(share * (1 - share) / samples + spread / (4 * samples))
        low, high = (middle - reach) / (1 + spread), (middle + reach) / (1 + spread)
        return cls(share, min(max(low, 0.0), share), max(min(high, 1.0), share), samples)


class Task(ABC):
    """A question to a model. Abstract: concrete tasks are final.

    What is learned from is the split "train"; what settings are chosen by is "validation"; "test"
    is for the last figure only.
    """

    name: ClassVar[str]
    question: ClassVar[str]
    reference: ClassVar[tuple[Reference, ...]]

    @property
    @abstractmethod
    def chance(self) -> float:
        """The score on "test" of the best answer that does not look at the inputs."""

    @abstractmethod
    def batches(
        self, split: Split, *, size: int = 64, generator: torch.Generator | None = None
    ) -> Walk:
        """Pairs (inputs, targets) of a split; with a generator, in a new order every time."""

    @abstractmethod
    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """What training makes smaller."""

    @abstractmethod
    def score(self, model: nn.Module, split: Split = "test") -> Score:
        """How well a model answers, without a gradient and in eval mode."""


def accuracy(model: nn.Module, batches: Iterable[tuple[Tensor, Tensor]]) -> Score:
    """Share of examples whose class gets the largest of the outputs [B, classes].

    Outputs [T, B, classes] are summed over time. The model is in eval mode meanwhile, and on the
    device where it is. Raises ValueError when there is no batch.
    """
    own = next(model.parameters(), None)
    device = torch.device("cpu") if own is None else own.device
    right = samples = 0
    with evaluating(model), torch.no_grad():
        for inputs, targets in batches:
            chosen = over_time(model(inputs.to(device)), targets).argmax(-1).cpu()
            right, samples = right + int((chosen == targets).sum()), samples + len(targets)
    if not samples:
        raise ValueError("batches must hold at least one example to be scored, got none.")
    return Score.of(right, samples)


def over_time(outputs: Tensor, targets: Tensor) -> Tensor:
    """One row of outputs [B, classes] for each target [B]; sequences [T, B, classes] are summed."""
    if not isinstance(outputs, Tensor) or not isinstance(targets, Tensor):
        raise TypeError(
            f"outputs and targets must be tensors, got {type(outputs).__name__} and "
            f"{type(targets).__name__}."
        )
    rows = outputs.sum(0) if outputs.dim() == 3 else outputs
    if rows.dim() != 2 or len(rows) != len(targets):
        raise ValueError(
            f"outputs must be [B, classes] or [T, B, classes] for {len(targets)} targets, got "
            f"shape {list(outputs.shape)}."
        )
    return rows
