"""Cells and synapses, theirs and ours, each pair in one table.

A component is a class of libNeuroML and its attributes; each attribute has a unit of ours.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from amphid import dynamics
from amphid.interfaces.neuroml import quantities

Values = dict[str, float]


@dataclass(frozen=True, eq=False)
class Component:
    """One kind of cell or synapse.

    kind: the class here. name: the class of libNeuroML; home: the list of a document that it stands
    in. units: of its attributes. out, into: from our values to its attributes, and back. fixed:
    further attributes.
    """

    kind: type
    name: str
    home: str
    units: Mapping[str, str]
    out: Callable[[Values], Values]
    into: Callable[[Values], Values]
    scale: str = ""
    """Of synapses, the value that a weight multiplies."""

    def add(self, nml: Any, document: Any, identity: str, ours: Values, period: float) -> None:
        """Add one to a document, under that id."""
        values = attributes(self, ours)
        if "refract" in self.units:
            values["refract"] = f"{period!r}ms"
        getattr(document, self.home).append(getattr(nml, self.name)(id=identity, **values))

    def made(self, values: Mapping[str, Any]) -> Any:
        """The cell or synapse with these values."""
        return self.kind(**values)


def _renamed(names: Mapping[str, str]) -> dict[str, Any]:
    """Values that have another name there, and are the same otherwise."""
    return {
        "out": lambda ours: {there: ours[here] for here, there in names.items()},
        "into": lambda theirs: {here: theirs[there] for here, there in names.items()},
    }


def _lif_out(ours: Values) -> Values:
    leak = 1 / ours["resistance"]
    return {
        "C": ours["tau"] * leak,
        "leak_conductance": leak,
        "leak_reversal": ours["v_rest"],
        "thresh": ours["v_threshold"],
        "reset": ours["v_reset"],
    }


def _lif_into(theirs: Values) -> Values:
    return {
        "tau": theirs["C"] / theirs["leak_conductance"],
        "resistance": 1 / theirs["leak_conductance"],
        "v_rest": theirs["leak_reversal"],
        "v_threshold": theirs["thresh"],
        "v_reset": theirs["reset"],
    }


_IAF = {"C": "pF", "leak_conductance": "nS", "leak_reversal": "mV", "thresh": "mV", "reset": "mV"}

CELLS = (
    Component(dynamics.LIF, "IafCell", "iaf_cells", _IAF, _lif_out, _lif_into),
    Component(
        dynamics.LIF, "IafRefCell", "iaf_ref_cells", {**_IAF, "refract": "ms"}, _lif_out, _lif_into
    ),
    Component(
        dynamics.Izhikevich,
        "Izhikevich2007Cell",
        "izhikevich2007_cells",
        {"C": "pF", "k": "nS_per_mV", "vr": "mV", "vt": "mV", "vpeak": "mV", "v0": "mV"}
        | {"a": "per_ms", "b": "nS", "c": "mV", "d": "pA"},
        **{
            **_renamed(
                {"capacitance": "C", "k": "k", "v_r": "vr", "v_t": "vt", "v_peak": "vpeak"}
                | {"a": "a", "b": "b", "c": "c", "d": "d"}
            ),
            "out": lambda ours: {
                "C": ours["capacitance"],
                "vr": ours["v_r"],
                "vt": ours["v_t"],
                "vpeak": ours["v_peak"],
                "v0": ours["v_r"],
                **{name: ours[name] for name in "kabcd"},
            },
        },
    ),
    Component(
        dynamics.AdEx,
        "AdExIaFCell",
        "ad_ex_ia_f_cells",
        {"C": "pF", "g_l": "nS", "EL": "mV", "VT": "mV", "del_t": "mV", "reset": "mV"}
        | {"thresh": "mV", "tauw": "ms", "a": "nS", "b": "pA", "refract": "ms"},
        **_renamed(
            {"capacitance": "C", "g_leak": "g_l", "v_leak": "EL", "v_threshold": "VT"}
            | {"sharpness": "del_t", "v_reset": "reset", "v_peak": "thresh", "tau_w": "tauw"}
            | {"a": "a", "b": "b"}
        ),
    ),
)

SYNAPSES = (
    Component(
        dynamics.Conductance,
        "ExpOneSynapse",
        "exp_one_synapses",
        {"gbase": "nS", "erev": "mV", "tau_decay": "ms"},
        **_renamed({"conductance": "gbase", "reversal": "erev", "tau": "tau_decay"}),
        scale="conductance",
    ),
    Component(
        dynamics.DoubleExponentialConductance,
        "ExpTwoSynapse",
        "exp_two_synapses",
        {"gbase": "nS", "erev": "mV", "tau_decay": "ms", "tau_rise": "ms"},
        **_renamed(
            {"conductance": "gbase", "reversal": "erev", "decay": "tau_decay", "rise": "tau_rise"}
        ),
        scale="conductance",
    ),
    Component(
        dynamics.AlphaConductance,
        "AlphaSynapse",
        "alpha_synapses",
        {"gbase": "nS", "erev": "mV", "tau": "ms"},
        **_renamed({"conductance": "gbase", "reversal": "erev", "tau": "tau"}),
        scale="conductance",
    ),
    Component(
        dynamics.Alpha,
        "AlphaCurrentSynapse",
        "alpha_current_synapses",
        {"ibase": "pA", "tau": "ms"},
        **_renamed({"amplitude": "ibase", "tau": "tau"}),
        scale="amplitude",
    ),
    Component(
        dynamics.Exponential,
        "ExpCurrSynapse",
        "exp_curr_synapses",
        {"tau_syn": ""},
        out=lambda ours: {"tau_syn": ours["tau"]},
        into=lambda theirs: {"tau": theirs["tau_syn"], "amplitude": 1000.0},
        scale="amplitude",
    ),
    Component(
        dynamics.GapJunction,
        "GapJunction",
        "gap_junctions",
        {"conductance": "nS"},
        **_renamed({"conductance": "conductance"}),
        scale="conductance",
    ),
)
"""The weights of ExpCurrSynapse are currents in nA, so its amplitude is 1000 pA."""


def attributes(component: Component, ours: Values) -> dict[str, Any]:
    """The attributes of a component for values of ours."""
    values = component.out(ours)
    plain = {"tau_syn"}  # a number without a unit
    return {
        name: value if name in plain else quantities.written(value, component.units[name])
        for name, value in values.items()
    }


def values_of(component: Component, held: Any) -> tuple[Values, float]:
    """Values of ours for a component of a document, and its refractory period in ms."""
    theirs = {}
    for name, unit in component.units.items():
        text = getattr(held, name, None)
        if text is None:
            raise ValueError(f"{component.name} {held.id!r} lacks {name}.")
        try:
            theirs[name] = quantities.read(text, unit)
        except ValueError as error:
            raise ValueError(f"{component.name} {held.id!r}: {name}={error}") from None
    return component.into(theirs), theirs.get("refract", 0.0)
