"""One claim each: run it, print measured beside published."""

from amphid.studies.autodiff_fails import AutodiffFails
from amphid.studies.closed_loop import (
    Attempts,
    Cursor,
    Effector,
    Goal,
    Subject,
    attempted,
    capped,
    directions,
    recalibrated,
    watched,
)
from amphid.studies.cnn_hierarchy import CnnHierarchy
from amphid.studies.cortical_column import CorticalColumn
from amphid.studies.cursor_bci import CursorBci
from amphid.studies.digits_binary import DigitsBinary
from amphid.studies.digits_biophysical import DigitsBiophysicalBptt
from amphid.studies.digits_regularized import DigitsRegularized
from amphid.studies.digits_spiking import DigitsSpiking
from amphid.studies.digits_weak import DigitsBiophysical
from amphid.studies.digits_without_training import DigitsWithoutTraining
from amphid.studies.emergence_init import EmergenceInit
from amphid.studies.emergence_pruning import EmergencePruning
from amphid.studies.fractional_memory import FractionalMemory
from amphid.studies.inbreeding import Inbreeding
from amphid.studies.integration_memory import IntegrationMemory
from amphid.studies.limited_data import LimitedData
from amphid.studies.lottery_digits import LotteryDigits
from amphid.studies.neural_latents import NeuralLatents
from amphid.studies.neurofeedback import Neurofeedback
from amphid.studies.persistence_exact import ActivityPersistence
from amphid.studies.persistence_quantum import PersistenceQuantum
from amphid.studies.robot_arm import RobotArm
from amphid.studies.search_digits import SearchDigits
from amphid.studies.spike_replication import SpikeReplication
from amphid.studies.study import Findings, Report, Settings, Study
from amphid.studies.transfer import Transfer
from amphid.studies.whole_fly_brain import WholeFlyBrain
from amphid.studies.worm_behavior import WormBehavior
from amphid.studies.worm_classic import WormClassic
from amphid.studies.worm_forecast import WormForecast
from amphid.studies.worm_persistence import PersistenceMap, worm_map
from amphid.studies.worm_touch import WormTouch

__all__ = [
    "ActivityPersistence",
    "Attempts",
    "AutodiffFails",
    "CnnHierarchy",
    "CorticalColumn",
    "Cursor",
    "CursorBci",
    "DigitsBinary",
    "DigitsBiophysical",
    "DigitsBiophysicalBptt",
    "DigitsRegularized",
    "DigitsSpiking",
    "DigitsWithoutTraining",
    "Effector",
    "EmergenceInit",
    "EmergencePruning",
    "Findings",
    "FractionalMemory",
    "Goal",
    "Inbreeding",
    "IntegrationMemory",
    "LimitedData",
    "LotteryDigits",
    "NeuralLatents",
    "Neurofeedback",
    "PersistenceMap",
    "PersistenceQuantum",
    "Report",
    "RobotArm",
    "SearchDigits",
    "Settings",
    "SpikeReplication",
    "Study",
    "Subject",
    "Transfer",
    "WholeFlyBrain",
    "WormBehavior",
    "WormClassic",
    "WormForecast",
    "WormTouch",
    "attempted",
    "capped",
    "directions",
    "recalibrated",
    "watched",
    "worm_map",
]
