"""The touch test: what any worm must do that is touched in front and behind."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from torch import Tensor

ANTERIOR = ("ALML", "ALMR", "AVM")
POSTERIOR = ("PLML", "PLMR")
BACKWARD = ("AVA", "AVD", "AVE")
FORWARD = ("AVB", "PVC")
A_MOTOR = ("DA*", "VA*")
B_MOTOR = ("DB*", "VB*")

CONDITIONS = ("rest", "command_order", "motor_order", "backward_killed", "forward_killed")

ABOLISHED = 0.25  # of the intact response
KEPT = 0.5  # of the intact response
QUIET = 0.2  # share of cells that may be active at rest


class Subject(Protocol):
    """A worm under D draws of its parameters."""

    def touched(self, *killed: str) -> Tensor:
        """Response [2, D, N] of each cell to anterior, then posterior touch, after a lesion."""

    def rests(self) -> Tensor:
        """[D] whether it comes to rest."""

    def pool(self, response: Tensor, *which: str) -> Tensor:
        """Mean response [2, D] of a pool of cells."""


def fractions(worm: Subject) -> dict[str, float]:
    """Share of the draws in which each condition holds, and of the controls' two."""
    intact, no_backward, no_forward = (worm.touched(*killed) for killed in ((), BACKWARD, FORWARD))
    a, b = worm.pool(intact, *A_MOTOR), worm.pool(intact, *B_MOTOR)
    a_left, a_kept = (worm.pool(r, *A_MOTOR)[0] for r in (no_backward, no_forward))
    b_left, b_kept = (worm.pool(r, *B_MOTOR)[1] for r in (no_forward, no_backward))
    return shares(
        {
            "rest": worm.rests(),
            **orders(worm, intact),
            "backward_killed": (a[0] > 0) & (a_left <= ABOLISHED * a[0]),
            "forward_killed": (b[1] > 0) & (b_left <= ABOLISHED * b[1]),
            "backward_kept_without_forward": (a[0] > 0) & (a_kept >= KEPT * a[0]),
            "forward_kept_without_backward": (b[1] > 0) & (b_kept >= KEPT * b[1]),
        }
    )


def orders(worm: Subject, response: Tensor) -> dict[str, Tensor]:
    """[D] whether pools are ordered; and AVA against AVB, which asks more of the signs."""
    pairs = {
        "command_order": (BACKWARD, FORWARD),
        "ava_avb_order": (("AVA",), ("AVB",)),
        "motor_order": (A_MOTOR, B_MOTOR),
    }
    return {
        name: ordered(worm.pool(response, *back), worm.pool(response, *fore))
        for name, (back, fore) in pairs.items()
    }


def ordered(backward: Tensor, forward: Tensor) -> Tensor:
    """[D] backward leads under anterior touch, forward under posterior touch."""
    return (backward[0] > forward[0]) & (forward[1] > backward[1])


def shares(held: Mapping[str, Tensor]) -> dict[str, float]:
    """Share of the draws in which each condition held."""
    return {name: float(draws.double().mean()) for name, draws in held.items()}
