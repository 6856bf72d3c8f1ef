"""What every arm answers to: where its hand is, and how the hand moves with each joint."""

from __future__ import annotations

from abc import ABC, abstractmethod

from torch import Tensor

from amphid.wiring import checks


class Arm(ABC):
    """A chain of J joints with a hand in D dimensions. Abstract: concrete arms are final.

    low, high: limits of the joints in rad. posture: the angles that it rests at. Lengths are in mm.
    """

    low: tuple[float, ...]
    high: tuple[float, ...]
    posture: tuple[float, ...]

    @property
    @abstractmethod
    def dimensions(self) -> int:
        """D, of the space that the hand moves in."""

    @abstractmethod
    def forward(self, angles: Tensor) -> Tensor:
        """Where the hand is [*B, D], mm, with the joints at angles [*B, J], rad."""

    @abstractmethod
    def tangent(self, angles: Tensor) -> tuple[Tensor, Tensor]:
        """Where the hand is [*B, D], mm, and its `jacobian` [*B, D, J]: both at one price."""

    def jacobian(self, angles: Tensor) -> Tensor:
        """How the hand moves with each joint [*B, D, J], mm per rad."""
        return self.tangent(angles)[1]

    @abstractmethod
    def inverse(self, position: Tensor) -> Tensor:
        """Angles [*B, J] within the limits that bring the hand to a position [*B, D], or near it.

        A position out of reach gives angles at which the hand is near, never NaN.
        """


def check_limits(
    low: tuple[float, ...], posture: tuple[float, ...], high: tuple[float, ...]
) -> None:
    """Raise TypeError or ValueError unless every joint rests between its limits."""
    for name, angles in (("low", low), ("posture", posture), ("high", high)):
        checks.instance(name, angles, tuple, "a tuple of angles in rad, one for each joint")
        for angle in angles:
            checks.real(f"each angle of {name}", angle)
    if not len(low) == len(posture) == len(high):
        raise ValueError(
            "low, posture and high must hold one angle for each joint, got "
            f"{len(low)}, {len(posture)} and {len(high)}."
        )
    for joint, angles in enumerate(zip(low, posture, high, strict=True)):
        if not angles[0] < angles[1] < angles[2]:
            raise ValueError(
                f"joint {joint} must rest between its limits, low < posture < high, got "
                f"{angles[0]} < {angles[1]} < {angles[2]} rad."
            )


def check_position(position: Tensor, size: int) -> None:
    """Raise TypeError or ValueError for what is no place in space."""
    check_last("position", position, size, "coordinates")
    if not bool(position.isfinite().all()):
        raise ValueError("position must be finite, in mm: no angles bring a hand to NaN or inf.")


def check_last(what: str, values: Tensor, size: int, meaning: str) -> None:
    """Raise ValueError unless values end in one real number for each joint or axis."""
    if not isinstance(values, Tensor) or not values.is_floating_point():
        got = values.dtype if isinstance(values, Tensor) else type(values).__name__
        raise TypeError(
            f"{what} must be a tensor of floats, such as torch.zeros({size}), got {got}."
        )
    if values.dim() < 1 or values.shape[-1] != size:
        raise ValueError(f"{what} must end in {size} {meaning}, got shape {list(values.shape)}.")
