"""One claim each: run it, print measured beside published."""

from amphid.studies.cnn_hierarchy import CnnHierarchy
from amphid.studies.cortical_column import CorticalColumn
from amphid.studies.digits_biophysical import DigitsBiophysicalBptt
from amphid.studies.digits_regularized import DigitsRegularized
from amphid.studies.digits_spiking import DigitsSpiking
from amphid.studies.inbreeding import Inbreeding
from amphid.studies.search_digits import SearchDigits
from amphid.studies.study import Report, Settings, Study
from amphid.studies.transfer import Transfer
from amphid.studies.whole_fly_brain import WholeFlyBrain
from amphid.studies.worm_classic import WormClassic
from amphid.studies.worm_touch import WormTouch

__all__ = [
    "CnnHierarchy",
    "CorticalColumn",
    "DigitsBiophysicalBptt",
    "DigitsRegularized",
    "DigitsSpiking",
    "Inbreeding",
    "Report",
    "SearchDigits",
    "Settings",
    "Study",
    "Transfer",
    "WholeFlyBrain",
    "WormClassic",
    "WormTouch",
]
