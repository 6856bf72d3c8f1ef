"""Trainable architectures, and ready-made ones that others published."""

from amphid.models.classic_worm import ClassicWorm
from amphid.models.fly_brain import fly_brain, fly_drive, generated_fly

__all__ = ["ClassicWorm", "fly_brain", "fly_drive", "generated_fly"]
