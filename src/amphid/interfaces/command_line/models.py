"""Names that a person types for cells, synapses and sign rules: the one place they become objects.

The strengths of synapses between spiking cells are chosen here, not published: on the shipped worm,
signs by transmitter, exciting the touch receptors PLM makes 16 to 91 of the 395 other cells fire,
exciting the nociceptors ASH 121 to 246 (by model, conductance synapses), and 50 ms after the pulse
all are silent but those that fire by chance. Without the short-term depression the same network is
either silent or fires without end. `docs/command-line.md` has the figures.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray

    from amphid.dynamics import Neuron, Synapse
    from amphid.wiring import Connectome

Synapses = dict[str, "Synapse[Any]"]


@dataclass(frozen=True)
class Cell:
    """A neuron model by name.

    build: makes it of its parameters and a generator. about: what it is. synapse: what goes with
    it by default. amplitude: pA that make it respond. chemical, electrical: default strengths in nS
    per synapse. dt: ms, a step that suits it.
    """

    build: Callable[..., Neuron[Any]]
    about: str
    synapse: str
    amplitude: float
    chemical: float
    electrical: float
    dt: float


@dataclass(frozen=True)
class SynapseSet:
    """Synapses by name: build makes them of the strengths; `scale` turns nS into their unit."""

    build: Callable[[float, float], Synapses]
    about: str
    unit: str
    scale: float = 1.0


def _graded(generator: torch.Generator, **parameters: Any) -> Neuron[Any]:
    from amphid.dynamics import Graded

    return Graded(**parameters)


def _lif(generator: torch.Generator, period: float = 2.0, **parameters: Any) -> Neuron[Any]:
    from amphid.dynamics import LIF, Refractory

    return Refractory(LIF(**parameters), period=period)


def _alif(generator: torch.Generator, period: float = 2.0, **parameters: Any) -> Neuron[Any]:
    from amphid.dynamics import ALIF, Refractory

    return Refractory(ALIF(**parameters), period=period)


def _escape(generator: torch.Generator, period: float = 2.0, **parameters: Any) -> Neuron[Any]:
    from amphid.dynamics import EscapeRate, Refractory

    return Refractory(EscapeRate(generator=generator, **parameters), period=period)


def _adex(generator: torch.Generator, **parameters: Any) -> Neuron[Any]:
    from amphid.dynamics import AdEx

    return AdEx(**parameters)


def _izhikevich(generator: torch.Generator, **parameters: Any) -> Neuron[Any]:
    from amphid.dynamics import Izhikevich

    return Izhikevich(**parameters)


def _squid(generator: torch.Generator, **parameters: Any) -> Neuron[Any]:
    from amphid.dynamics import HodgkinHuxley

    return HodgkinHuxley.squid(**parameters)


def _cortical(generator: torch.Generator, **parameters: Any) -> Neuron[Any]:
    from amphid.dynamics import HodgkinHuxley

    return HodgkinHuxley.cortical(**parameters)


def _morris_lecar(generator: torch.Generator, **parameters: Any) -> Neuron[Any]:
    from amphid.dynamics import MorrisLecar

    return MorrisLecar(**parameters)


def _graded_synapses(chemical: float, electrical: float) -> Synapses:
    from amphid.dynamics import graded_synapses

    return graded_synapses(chemical=chemical, electrical=electrical)


def _conductances(chemical: float, electrical: float) -> Synapses:
    from amphid.dynamics import Conductance, GapJunction

    return {
        "excitatory": _depressing(Conductance(tau=5.0, conductance=chemical, reversal=0.0)),
        "inhibitory": _depressing(Conductance(tau=10.0, conductance=2 * chemical, reversal=-80.0)),
        "electrical": GapJunction(conductance=electrical),
    }


def _currents(chemical: float, electrical: float) -> Synapses:
    from amphid.dynamics import Exponential, GapJunction

    return {
        "excitatory": _depressing(Exponential(tau=5.0, amplitude=chemical)),
        "inhibitory": _depressing(Exponential(tau=10.0, amplitude=-chemical)),
        "electrical": GapJunction(conductance=electrical),
    }


def _depressing(synapse: Synapse[Any]) -> Synapse[Any]:
    from amphid.dynamics import ShortTerm

    return ShortTerm(synapse, use=0.5, recovery=300.0)


CELLS: Mapping[str, Cell] = {
    "graded": Cell(_graded, "graded release, no spikes", "graded", 20.0, 0.03, 0.015, 0.5),
    "lif": Cell(_lif, "leaky integrate-and-fire", "conductance", 300.0, 2.0, 0.1, 0.5),
    "alif": Cell(_alif, "the same, threshold adapts", "conductance", 300.0, 2.0, 0.1, 0.5),
    "escape": Cell(_escape, "the same, firing by chance", "conductance", 300.0, 1.8, 0.1, 0.5),
    "adex": Cell(
        _adex, "adaptive exponential integrate-and-fire", "conductance", 1000.0, 5.0, 0.02, 0.25
    ),
    "izhikevich": Cell(
        _izhikevich, "Izhikevich, regular spiking", "conductance", 300.0, 1.8, 0.1, 0.25
    ),
    "hh": Cell(_squid, "Hodgkin-Huxley, squid axon", "conductance", 1000.0, 1.0, 0.02, 0.05),
    "hh-cortical": Cell(
        _cortical, "Hodgkin-Huxley, cortical cell", "conductance", 150.0, 0.3, 0.02, 0.05
    ),
    "morris-lecar": Cell(
        _morris_lecar, "Morris-Lecar, calcium and potassium", "conductance", 150.0, 1.4, 0.01, 0.25
    ),
}

SYNAPSES: Mapping[str, SynapseSet] = {
    "graded": SynapseSet(_graded_synapses, "in proportion to the release", "nS"),
    "conductance": SynapseSet(_conductances, "spikes open conductances; they depress", "nS"),
    "current": SynapseSet(_currents, "spikes inject currents; they depress", "pA", 55.0),
}


def neuron(name: str, parameters: Mapping[str, float], generator: torch.Generator) -> Neuron[Any]:
    """The cell of that name.

    Raises ValueError naming the parameters there are for one that is not.
    """
    known = parameters_of(name)
    for given in parameters:
        if given not in known:
            from amphid.interfaces.command_line.parsing import choices

            raise ValueError(f"{name} cells have no parameter {given!r}.{choices(given, known)}")
    return CELLS[name].build(generator, **parameters)


def parameters_of(name: str) -> dict[str, float]:
    """The numbers that a cell is made of, and their defaults."""
    import torch

    made = CELLS[name].build(torch.Generator().manual_seed(0))
    parts = [made.neuron, made] if hasattr(made, "neuron") else [made]
    return {
        key: value
        for part in parts
        for key in inspect.signature(type(part)).parameters
        if isinstance(value := getattr(part, key, None), float)
    }


def synapses(name: str, connectome: Connectome, *, chemical: float, electrical: float) -> Synapses:
    """The synapses of that name, as far as the connectome has connections for them."""
    wires = connectome.connections
    there = {
        "excitatory": bool((wires.chemical & (wires.sign > 0)).any()),
        "inhibitory": bool((wires.chemical & (wires.sign < 0)).any()),
        "electrical": bool(wires.electrical.any()),
    }
    built = SYNAPSES[name].build(chemical, electrical)
    return {group: synapse for group, synapse in built.items() if there[group]}


def sign_rule(name: str, inhibitory: Sequence[str]) -> Callable[[Connectome], NDArray[np.int8]]:
    """The rule of that name."""
    from amphid.wiring import ByReceptor, ByTransmitter, all_positive

    transmitter = ByTransmitter(inhibitory=tuple(inhibitory))
    rules: dict[str, Callable[[Connectome], NDArray[np.int8]]] = {
        "transmitter": transmitter,
        "receptor": ByReceptor(base=transmitter),
        "positive": all_positive,
        "file": _FromFile(transmitter),
    }
    return rules[name]


SIGNS: Mapping[str, str] = {
    "transmitter": "{inhibitory}, every other transmitter and an unknown one excite",
    "receptor": "the receptors of the cell behind decide, elsewhere the transmitter",
    "positive": "every chemical connection excites",
    "file": "as in the file; where it has none, by transmitter",
}


@dataclass(frozen=True)
class _FromFile:
    """The signs that are there; where one is not known, another rule."""

    elsewhere: Callable[[Connectome], NDArray[np.int8]]

    def __call__(self, connectome: Connectome) -> NDArray[np.int8]:
        import numpy as np

        known = connectome.connections.sign
        return np.where(known != 0, known, self.elsewhere(connectome)).astype(np.int8)
