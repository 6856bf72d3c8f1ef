"""Trainable architectures, and ready-made ones that others published."""

from amphid.models.classic_worm import ClassicWorm
from amphid.models.fly_brain import fly_brain, fly_drive

__all__ = ["ClassicWorm", "fly_brain", "fly_drive"]
