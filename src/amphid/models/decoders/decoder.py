"""What a decoder is, and what those that are fitted in closed form share."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from typing import Any, Self

import torch
from torch import Tensor, nn

Trials = Tensor | Sequence[Tensor]
"""One sequence [T, ...], or several, each of its own length."""


class Decoder(nn.Module, ABC):
    """What turns counts of spikes, bin by bin, into a velocity. Abstract: concrete ones are final.

    As a module it maps a whole sequence of counts [T, *B, N] to velocities [T, *B, D], from the
    state that `init` gives; nothing is kept between calls. `run` carries the state; `step` goes
    bin by bin, as a closed loop does, and gives the same. What is decoded at a bin depends on
    counts up to and including that bin.

    cells: N. axes: D, of the velocity.
    """

    def __init__(self, cells: int, axes: int) -> None:
        super().__init__()
        check_positive(type(self).__name__, cells=cells, axes=axes)
        self.cells, self.axes = cells, axes

    @abstractmethod
    def init(self, like: Tensor) -> Any:
        """The state before the first bin, for counts shaped as `like` [*B, N]."""

    @abstractmethod
    def run(self, counts: Tensor, state: Any = None) -> tuple[Tensor, Any]:
        """Velocities [T, *B, D] of counts [T, *B, N], and the state after them."""

    def step(self, state: Any, counts: Tensor) -> tuple[Any, Tensor]:
        """State and velocity [*B, D] after one bin with counts [*B, N]."""
        velocity, state = self.run(self.taken(counts)[None], state)
        return state, velocity[0]

    def forward(self, counts: Tensor) -> Tensor:
        """Velocities [T, *B, D] of counts [T, *B, N]."""
        return self.run(counts)[0]

    def begin(self, counts: Tensor, state: Any) -> tuple[Tensor, Any]:
        """Counts [T, *B, N] in the numbers of the decoder, and where it starts.

        Raises ValueError for counts that have no axis of time or another number of cells.
        """
        counts = self.taken(counts)
        if counts.dim() < 2 or not len(counts):
            raise ValueError(
                f"{type(self).__name__} takes counts [T, *B, N]: bins first, cells last, at least "
                f"one bin; got shape {list(counts.shape)}."
            )
        fresh = self.init(counts[0])
        if state is not None and type(state) is not type(fresh):
            raise TypeError(
                f"{type(self).__name__} goes on from a {type(fresh).__name__}, as `init` and "
                f"`step` give it, or from None to start; got {type(state).__name__}."
            )
        return counts, fresh if state is None else state

    def taken(self, counts: Tensor) -> Tensor:
        """Counts [..., N] in the numbers of the decoder; ValueError for other cells."""
        if not isinstance(counts, Tensor) or not counts.dim() or counts.shape[-1] != self.cells:
            got = list(counts.shape) if isinstance(counts, Tensor) else type(counts).__name__
            raise ValueError(
                f"{type(self).__name__} decodes {self.cells} cells, the last axis of counts "
                f"[T, *B, N]; got {got}."
            )
        held = next(self.tensors(), None)
        return counts if held is None else counts.to(held.dtype)

    def tensors(self) -> Iterator[Tensor]:
        """Its parameters and buffers of real numbers."""
        held = (*self.parameters(), *self.buffers())
        return (one for one in held if one.is_floating_point())

    def extra_repr(self) -> str:
        """How many cells and axes."""
        return f"cells={self.cells}, axes={self.axes}"


class FittedDecoder(Decoder):
    """A decoder whose numbers follow from recorded counts and velocities in closed form. Abstract.

    Before `fit` it refuses to start.
    """

    fitted: Tensor

    def __init__(self, cells: int, axes: int) -> None:
        super().__init__(cells, axes)
        self.register_buffer("fitted", torch.zeros((), dtype=torch.bool))

    def fit(self, counts: Trials, velocity: Trials) -> Self:
        """Fitted to counts [T, N] and velocities [T, D], or to lists of such trials; itself.

        No history reaches from one trial into the next. It replaces what was fitted before.
        """
        self._fit(trials(self, counts, velocity))
        self.fitted = torch.ones_like(self.fitted)
        return self

    @abstractmethod
    def _fit(self, trials: list[tuple[Tensor, Tensor]]) -> None:
        """Set the buffers from pairs of counts [T, N] and velocities [T, D] in float64."""

    def check_fitted(self) -> None:
        """Raise ValueError for a decoder that was never fitted."""
        if not self.fitted:
            raise ValueError(
                f"{type(self).__name__} has not been fitted: call fit(counts, velocity), or load a "
                "state_dict of one that was."
            )


def trials(decoder: Decoder, counts: Trials, velocity: Trials) -> list[tuple[Tensor, Tensor]]:
    """Pairs of counts [T, N] and velocities [T, D] in float64.

    Raises ValueError where they do not belong together or are not finite.
    """
    many, moved = _listed(counts), _listed(velocity)
    if len(many) != len(moved) or not many:
        raise ValueError(
            f"counts and velocity must be as many trials, at least one, got {len(many)} and "
            f"{len(moved)}."
        )
    return [
        _pair(decoder, *pair, number) for number, pair in enumerate(zip(many, moved, strict=True))
    ]


def _listed(given: Trials) -> list[Tensor]:
    if not isinstance(given, (Tensor, Sequence)):
        raise TypeError(
            f"counts and velocity must be tensors or lists of them, got {type(given).__name__}."
        )
    return [given] if isinstance(given, Tensor) else list(given)


def _pair(decoder: Decoder, counts: Tensor, velocity: Tensor, number: int) -> tuple[Tensor, Tensor]:
    name, wanted = type(decoder).__name__, (decoder.cells, decoder.axes)
    for what, values in (("counts", counts), ("velocity", velocity)):
        if not isinstance(values, Tensor) or values.is_complex():
            got = values.dtype if isinstance(values, Tensor) else type(values).__name__
            raise TypeError(
                f"{name}: {what} of trial {number} must be a tensor of real numbers, got {got}: "
                "torch.as_tensor makes one of an array."
            )
    if (
        counts.dim() != 2
        or velocity.dim() != 2
        or not len(counts)
        or len(counts) != len(velocity)
        or (counts.shape[1], velocity.shape[1]) != wanted
    ):
        raise ValueError(
            f"{name}: trial {number} must have counts [T, {wanted[0]}] and velocity "
            f"[T, {wanted[1]}] of the same bins, got {list(counts.shape)} and "
            f"{list(velocity.shape)}."
        )
    place = next(decoder.tensors(), counts).device
    pair = (
        counts.detach().to(place, torch.float64),
        velocity.detach().to(place, torch.float64),
    )
    for what, values in zip(("counts", "velocity"), pair, strict=True):
        if not bool(values.isfinite().all()):
            raise ValueError(
                f"{name}: {what} of trial {number} must be finite: leave out its gaps."
            )
    return pair


def check_positive(owner: str, **sizes: int) -> None:
    """Raise ValueError, naming the owner, for what is no whole number above zero."""
    for name, size in sizes.items():
        if not isinstance(size, int) or isinstance(size, bool) or size < 1:
            raise ValueError(f"{owner}: {name} must be a number, at least 1, got {size!r}.")
