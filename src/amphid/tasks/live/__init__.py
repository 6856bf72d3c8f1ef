"""Bins of counts that come while they are read: from memory, or through Lab Streaming Layer."""

from amphid.tasks.live.inlet import Inlet
from amphid.tasks.live.lab_streaming import on_this_machine
from amphid.tasks.live.outlet import Outlet
from amphid.tasks.live.pace import Clock, Pace, RealClock, VirtualClock
from amphid.tasks.live.source import Bin, Remembered, Source
from amphid.tasks.live.traffic import Traffic, traffic

__all__ = [
    "Bin",
    "Clock",
    "Inlet",
    "Outlet",
    "Pace",
    "RealClock",
    "Remembered",
    "Source",
    "Traffic",
    "VirtualClock",
    "on_this_machine",
    "traffic",
]
