"""Derivatives of fractional order: cells and concentrations that remember all of their past."""

from amphid.dynamics.fractional.adaptive import AdaptiveMemory, SummedMemory
from amphid.dynamics.fractional.blocks import BlockMemory
from amphid.dynamics.fractional.cell import Fractional
from amphid.dynamics.fractional.diffusion import FractionalDiffusion
from amphid.dynamics.fractional.exponentials import ExponentialMemory
from amphid.dynamics.fractional.memory import FullMemory, Memory, ShortMemory
from amphid.dynamics.fractional.mittag_leffler import mittag_leffler

__all__ = [
    "AdaptiveMemory",
    "BlockMemory",
    "ExponentialMemory",
    "Fractional",
    "FractionalDiffusion",
    "FullMemory",
    "Memory",
    "ShortMemory",
    "SummedMemory",
    "mittag_leffler",
]
