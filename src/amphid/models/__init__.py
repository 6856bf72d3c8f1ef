"""Trainable architectures, and ready-made ones that others published."""

from amphid.models.classic_worm import ClassicWorm

__all__ = ["ClassicWorm"]
