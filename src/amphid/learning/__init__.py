"""Change weights so that a network comes to do something: rules of plasticity within a run."""

from amphid.learning.modulated import Modulated
from amphid.learning.pair import STDP
from amphid.learning.post_triggered import PostTriggered
from amphid.learning.rule import Rule, all_spikes, between, nearest_spike
from amphid.learning.symmetric import InhibitorySTDP
from amphid.learning.triplet import TripletSTDP

__all__ = [
    "STDP",
    "InhibitorySTDP",
    "Modulated",
    "PostTriggered",
    "Rule",
    "TripletSTDP",
    "all_spikes",
    "between",
    "nearest_spike",
]
