"""What an animal does, read from cells that have names, across animals that share only some."""

from amphid.models.behavior.animal import COMMAND, Animal, lagged
from amphid.models.behavior.logistic import Logistic
from amphid.models.behavior.nets import FrameNet, RecurrentNet
from amphid.models.behavior.readouts import CellsReadout, CommandReadout, CommandRule

__all__ = [
    "COMMAND",
    "Animal",
    "CellsReadout",
    "CommandReadout",
    "CommandRule",
    "FrameNet",
    "Logistic",
    "RecurrentNet",
    "lagged",
]
