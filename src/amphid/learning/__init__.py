"""Change weights so that a network comes to do something: rules of plasticity within a run."""

from amphid.learning.gradient_report import GradientReport, gradient_report
from amphid.learning.modulated import Modulated
from amphid.learning.pair import STDP
from amphid.learning.post_triggered import PostTriggered
from amphid.learning.rule import Rule, all_spikes, between, nearest_spike
from amphid.learning.surrogate_widths import scale_surrogates
from amphid.learning.symmetric import InhibitorySTDP
from amphid.learning.triplet import TripletSTDP
from amphid.learning.weight_scales import scale_weights

__all__ = [
    "STDP",
    "GradientReport",
    "InhibitorySTDP",
    "Modulated",
    "PostTriggered",
    "Rule",
    "TripletSTDP",
    "all_spikes",
    "between",
    "gradient_report",
    "nearest_spike",
    "scale_surrogates",
    "scale_weights",
]
