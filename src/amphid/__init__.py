"""Wiring in, behavior out, and every way of learning in between.

Names are looked up in their rooms when they are first used, so that the command line can answer
`--help` without loading torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from amphid import dynamics, learning, measures, models, simulation, studies, tasks, wiring
    from amphid.models import Sequential
    from amphid.simulation import (
        Compiled,
        Network,
        Recording,
        Stimulus,
        Torch,
        batch,
        noise,
        poisson,
        pulse,
        ramp,
        simulate,
        sine,
        spike_trains,
        stimulus_from_file,
    )
    from amphid.wiring import Connectome

__version__ = "0.1.0"
__all__ = [
    "Compiled",
    "Connectome",
    "Network",
    "Recording",
    "Sequential",
    "Stimulus",
    "Torch",
    "batch",
    "dynamics",
    "learning",
    "measures",
    "models",
    "noise",
    "poisson",
    "pulse",
    "ramp",
    "simulate",
    "simulation",
    "sine",
    "spike_trains",
    "stimulus_from_file",
    "studies",
    "tasks",
    "wiring",
]

_ROOMS = (
    "dynamics",
    "learning",
    "measures",
    "models",
    "simulation",
    "studies",
    "tasks",
    "wiring",
)


def __getattr__(name: str) -> Any:
    if name in _ROOMS:
        return import_module(f"amphid.{name}")
    if name in __all__:
        room = {"Connectome": "wiring", "Sequential": "models"}.get(name, "simulation")
        return getattr(import_module(f"amphid.{room}"), name)
    raise AttributeError(f"module 'amphid' has no attribute {name!r}")


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
