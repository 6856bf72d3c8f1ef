"""Trainable architectures, and ready-made ones that others published."""

from amphid.models.classic_worm import ClassicWorm
from amphid.models.cortex import (
    CorticalModel,
    Regime,
    brunel,
    vogels_abbott,
    vogels_abbott_currents,
)
from amphid.models.fly_brain import fly_brain, fly_drive, generated_fly
from amphid.models.microcircuit import microcircuit

__all__ = [
    "ClassicWorm",
    "CorticalModel",
    "Regime",
    "brunel",
    "fly_brain",
    "fly_drive",
    "generated_fly",
    "microcircuit",
    "vogels_abbott",
    "vogels_abbott_currents",
]
