"""Hodgkin-Huxley cells as NeuroML says them: a sphere of membrane with three kinds of channels.

The sphere is as large as its capacitance is at 1 uF/cm2, so that densities are those of articles.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from amphid.dynamics import (
    Crossing,
    ExponentialRate,
    Gate,
    HodgkinHuxley,
    LinearRate,
    SigmoidRate,
)
from amphid.interfaces.neuroml import quantities

RATES = {
    "HHExpLinearRate": LinearRate,
    "HHExpRate": ExponentialRate,
    "HHSigmoidRate": SigmoidRate,
}
CHANNELS = {"sodium": (("m", 3), ("h", 1)), "potassium": (("n", 4),), "leak": ()}
"""Gates of each kind of channel, and how many of each there are."""
IONS = {"sodium": "na", "potassium": "k", "leak": "non_specific"}
AREA = 100.0  # um2 of membrane of 1 uF/cm2 have 1 pF; of 1 mS/cm2, 1 nS


@dataclass(frozen=True, eq=False)
class ChannelCell:
    """The component of `HodgkinHuxley`: channels, and a cell whose membrane holds them."""

    kind: type = HodgkinHuxley
    name: str = "Cell"

    def add(self, nml: Any, document: Any, identity: str, ours: dict[str, Any], _: float) -> None:
        """Add the channels and the cell to a document."""
        membrane = nml.MembraneProperties(
            spike_threshes=[nml.SpikeThresh(value=quantities.written(ours["threshold"], "mV"))],
            specific_capacitances=[nml.SpecificCapacitance(value="1.0uF_per_cm2")],
            init_memb_potentials=[nml.InitMembPotential(value=_rest(self.made(ours)))],
        )
        for channel, gates in CHANNELS.items():
            made = nml.IonChannelHH(id=f"{identity}_{channel}", conductance="10pS")
            made.species = None if channel == "leak" else IONS[channel]
            made.gate_hh_rates = [_gate(nml, name, n, ours[name]) for name, n in gates]
            document.ion_channel_hhs.append(made)
            density = ours[f"g_{channel}"] / ours["capacitance"]
            membrane.channel_densities.append(
                nml.ChannelDensity(
                    id=channel,
                    ion_channel=made.id,
                    cond_density=quantities.written(density, "mS_per_cm2"),
                    erev=quantities.written(ours[f"v_{channel}"], "mV"),
                    ion=IONS[channel],
                )
            )
        document.cells.append(_cell(nml, identity, ours["capacitance"], membrane))

    def made(self, values: dict[str, Any]) -> HodgkinHuxley:
        """The neuron with these values."""
        own = {name: value for name, value in values.items() if name != "threshold"}
        return HodgkinHuxley(**own, terminal=Crossing(threshold=values["threshold"]))


def values(neuron: HodgkinHuxley) -> dict[str, Any]:
    """What makes a cell: numbers or tensors, and its gates.

    Raises ValueError for a gate or a terminal that NeuroML has no words for here.
    """
    for name in ("m", "h", "n"):
        for rate in (getattr(neuron, name).opening, getattr(neuron, name).closing):
            if type(rate) not in RATES.values():
                raise ValueError(
                    f"HodgkinHuxley: gate {name} has the rate {rate!r}, which has no component of "
                    "NeuroML here: LinearRate, ExponentialRate and SigmoidRate have."
                )
    if not isinstance(neuron.terminal, Crossing):
        raise ValueError(
            f"HodgkinHuxley: the terminal {type(neuron.terminal).__name__} has no component of "
            "NeuroML here: cells there spike where they cross a threshold, as with Crossing()."
        )
    held = {name: value for name, value in neuron.values() if isinstance(value, (float, Tensor))}
    gates = {"m": neuron.m, "h": neuron.h, "n": neuron.n}
    return {**held, **gates, "threshold": neuron.terminal.threshold}


def read(document: Any) -> Iterator[tuple[str, dict[str, Any]]]:
    """The cells with channels of a document, and the values of ours for each.

    Raises ValueError naming what a `HodgkinHuxley` does not have.
    """
    known = {one.id: one for one in (*document.ion_channel, *document.ion_channel_hhs)}
    for cell in document.cells:
        try:
            yield cell.id, _values(cell, known)
        except ValueError as error:
            raise ValueError(f"Cell {cell.id!r}: {error}") from None


def _rest(neuron: HodgkinHuxley) -> str:
    v = neuron.init(torch.zeros(1, dtype=torch.float64)).v
    return quantities.written(float(v), "mV")


def _cell(nml: Any, identity: str, capacitance: float, membrane: Any) -> Any:
    """A cell that is a sphere."""
    diameter = math.sqrt(capacitance * AREA / math.pi)
    ends = [nml.Point3DWithDiam(x=0.0, y=0.0, z=0.0, diameter=diameter) for _ in range(2)]
    soma = nml.Segment(id=0, name="soma", proximal=ends[0], distal=ends[1])
    return nml.Cell(
        id=identity,
        morphology=nml.Morphology(id="morphology", segments=[soma]),
        biophysical_properties=nml.BiophysicalProperties(
            id="biophysics", membrane_properties=membrane
        ),
    )


def _gate(nml: Any, name: str, instances: int, gate: Gate) -> Any:
    return nml.GateHHRates(
        id=name,
        instances=instances,
        forward_rate=_rate(nml, gate.opening),
        reverse_rate=_rate(nml, gate.closing),
    )


def _rate(nml: Any, rate: Any) -> Any:
    return nml.HHRate(
        type=next(name for name, kind in RATES.items() if type(rate) is kind),
        rate=quantities.written(rate.rate, "per_ms"),
        midpoint=quantities.written(rate.midpoint, "mV"),
        scale=quantities.written(rate.scale, "mV"),
    )


def _values(cell: Any, known: dict[str, Any]) -> dict[str, Any]:
    if cell.morphology is None or cell.biophysical_properties is None:
        raise ValueError("it lacks a morphology or biophysicalProperties of its own.")
    membrane = cell.biophysical_properties.membrane_properties
    area = _area(cell.morphology)
    density = quantities.read(_only(membrane.specific_capacitances, "specificCapacitance"),
                              "uF_per_cm2")  # fmt: skip
    found: dict[str, Any] = {"capacitance": _rounded(density * area)}
    found["threshold"] = quantities.read(_only(membrane.spike_threshes, "spikeThresh"), "mV")
    for channel, held in _sorted_channels(membrane, known).items():
        found[f"g_{channel}"] = _conductance(held, area, known)
        found[f"v_{channel}"] = quantities.read(held.erev, "mV")
        gates = {gate.instances: _gate_of(gate) for gate in _gates(known[held.ion_channel])}
        found |= {name: gates[instances] for name, instances in CHANNELS[channel]}
    return found


def _sorted_channels(membrane: Any, known: dict[str, Any]) -> dict[str, Any]:
    """The three of sodium, potassium and leak, known by their gates."""
    plain = [*membrane.channel_populations, *membrane.channel_densities]
    if others := [held.id for held in _listed(membrane, "channel") if held not in plain]:
        raise ValueError(f"its channel {others[0]!r} is of a kind that HodgkinHuxley has not.")
    kinds = {tuple(sorted(n for _, n in gates)): name for name, gates in CHANNELS.items()}
    found = {}
    for held in plain:
        if held.ion_channel not in known:
            raise ValueError(
                f"the ion channel {held.ion_channel!r} is not defined in the document."
            )
        told = tuple(sorted(gate.instances for gate in _gates(known[held.ion_channel])))
        if told not in kinds or kinds[told] in found:
            raise ValueError(
                f"its channel {held.id!r} is not one of m3h (sodium), n4 (potassium) and leak, "
                "each of which HodgkinHuxley has once."
            )
        found[kinds[told]] = held
    if lost := [name for name in CHANNELS if name not in found]:
        raise ValueError(f"it has no {lost[0]} channel, which HodgkinHuxley has.")
    return found


def _gates(channel: Any) -> list[Any]:
    """The gates of a channel. Raises ValueError for those that do not just open and close."""
    gates = _listed(channel, "gate")
    for gate in gates:
        kind = getattr(gate, "type", None) or type(gate).__name__
        if kind.lower() != "gatehhrates" or gate.q10_settings:
            raise ValueError(
                f"gate {gate.id!r} of {channel.id!r} is no plain gateHHrates, as those of "
                "HodgkinHuxley are."
            )
    return gates


def _listed(held: Any, start: str) -> list[Any]:
    """All in those lists of a component whose names start like that."""
    lists = [own for name, own in vars(held).items() if name.startswith(start)]
    return [one for own in lists if isinstance(own, list) for one in own]


def _gate_of(gate: Any) -> Gate:
    return Gate(_rate_of(gate, gate.forward_rate), _rate_of(gate, gate.reverse_rate))


def _rate_of(gate: Any, held: Any) -> Any:
    if held is None or held.type not in RATES:
        raise ValueError(
            f"gate {gate.id!r} has a rate of type {getattr(held, 'type', None)!r}; known are "
            f"{', '.join(RATES)}."
        )
    numbers = {"rate": "per_ms", "midpoint": "mV", "scale": "mV"}
    given = {name: quantities.read(getattr(held, name), unit) for name, unit in numbers.items()}
    return RATES[held.type](**given)


def _conductance(held: Any, area: float, known: dict[str, Any]) -> float:
    """Of all channels of a kind in nS, with `area` in units of `AREA`."""
    if hasattr(held, "number"):
        return float(held.number) * quantities.read(known[held.ion_channel].conductance, "nS")
    return _rounded(quantities.read(held.cond_density, "mS_per_cm2") * area)


def _area(morphology: Any) -> float:
    """Of a single segment: a sphere, or the side of a truncated cone; in units of `AREA`."""
    if len(morphology.segments) != 1:
        raise ValueError(f"it has {len(morphology.segments)} segments, a point neuron has one.")
    (segment,) = morphology.segments
    far, near = segment.distal, segment.proximal or segment.distal
    length = math.dist((near.x, near.y, near.z), (far.x, far.y, far.z))
    if not length and near.diameter == far.diameter:
        return math.pi * far.diameter**2 / AREA
    slope = math.hypot(length, (near.diameter - far.diameter) / 2)
    return math.pi * (near.diameter + far.diameter) / 2 * slope / AREA


def _only(held: list[Any], what: str) -> str:
    if len(held) != 1:
        raise ValueError(f"it has {len(held)} of {what}, a point neuron has one.")
    return str(held[0].value)


def _rounded(value: float) -> float:
    """Without the last digit, which going by way of an area costs."""
    return float(f"{value:.15g}")
