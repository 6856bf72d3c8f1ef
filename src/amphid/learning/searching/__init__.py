"""Look for the settings under which a number is best: many trials, shared by many processes."""

from amphid.learning.searching.findings import Found, Tried
from amphid.learning.searching.samplers import GP, TPE, Grid, Random
from amphid.learning.searching.search import found, search
from amphid.learning.searching.space import Choice, Integers, LogUniform, Uniform
from amphid.learning.searching.trial import Pruned, Trial

__all__ = [
    "GP",
    "TPE",
    "Choice",
    "Found",
    "Grid",
    "Integers",
    "LogUniform",
    "Pruned",
    "Random",
    "Trial",
    "Tried",
    "Uniform",
    "found",
    "search",
]
