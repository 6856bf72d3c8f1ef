"""The three ways in which activity can go on, and which of them the cells' own ways amount to."""

from __future__ import annotations

from enum import StrEnum

from torch import Tensor


class Activity(StrEnum):
    """How a network goes on once nothing drives it. Our own definition.

    Quiescent: no cell fires. Saturated: every cell fires again as soon as its refractoriness ends.
    Sustained: all else.
    """

    QUIESCENT = "quiescent"
    SUSTAINED = "sustained"
    SATURATED = "saturated"


def activity_of(fires: Tensor, prompt: Tensor) -> Activity:
    """Which of the three it is, from all cells.

    fires: [N] bool, cells that go on firing. prompt: [N] bool, those of them that fire again as
    soon as their refractoriness ends.
    """
    if not fires.any():
        return Activity.QUIESCENT
    return Activity.SATURATED if prompt.all() else Activity.SUSTAINED
