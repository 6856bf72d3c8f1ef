"""Our equations in the words of NEST: models of cells, their parameters, weights and delays.

NEST names are those of its model directory (nest-simulator.readthedocs.io); its units are ms, mV,
pA, pF and nS, as ours. What differs is when things happen:

- A cell is held for t_ref after a spike, counted from the next step: one step less than the period
  of `Refractory`, which is the least interval between spikes.
- A signal with delay d arrives d after the spike and moves the voltage in the step that follows.
  A pulse of `iaf_psc_delta` moves it at once: then the delay is one step longer than ours.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from amphid.dynamics import (
    LIF,
    AdEx,
    Alpha,
    AlphaConductance,
    Conductance,
    ConductanceSynapse,
    Delta,
    Exponential,
    Izhikevich,
    Mixed,
    Neuron,
    Refractory,
    ShortTerm,
    Synapse,
)
from amphid.simulation import Network

Numbers = NDArray[np.float64]

MODELS: Mapping[tuple[type, type], str] = {
    (LIF, Delta): "iaf_psc_delta",
    (LIF, Exponential): "iaf_psc_exp",
    (LIF, Alpha): "iaf_psc_alpha",
    (LIF, Conductance): "iaf_cond_exp",
    (LIF, AlphaConductance): "iaf_cond_alpha",
    (AdEx, Delta): "aeif_psc_delta",
    (AdEx, Exponential): "aeif_psc_exp",
    (AdEx, Alpha): "aeif_psc_alpha",
    (AdEx, Conductance): "aeif_cond_exp",
    (AdEx, AlphaConductance): "aeif_cond_alpha",
    (Izhikevich, Delta): "izhikevich",
}
"""The model of NEST that is a cell of ours with its synapses."""

SAME = 1e-6  # relative difference below which two forms of a cell are one


@dataclass(frozen=True)
class Kind:
    """Cells of one model: which, and their parameters by NEST's names, one for each cell."""

    model: str
    cells: NDArray[np.int64]
    parameters: dict[str, Numbers]


@dataclass(frozen=True)
class Projection:
    """Connections of one group: which, the synapse model and its parameters, weights and delays.

    weight: mV, pA or nS, as the model of the cell behind takes it. steps: delay in steps.
    """

    group: str
    edges: NDArray[np.int64]
    model: str
    parameters: dict[str, float]
    weight: Numbers
    steps: NDArray[np.int64]


def kinds(network: Network, drive: Numbers, dt: float) -> list[Kind]:
    """The cells of a network under a constant current [N] in pA.

    Raises ValueError, naming it, for a cell or synapse that NEST has no model for.
    """
    neuron, size = network.neuron, len(network.connectome)
    if not isinstance(neuron, Mixed):
        return [_kind(network, neuron, np.arange(size), drive, dt)]
    parts = zip(neuron.parts, neuron._cells(), strict=True)
    return [_kind(network, part, cells.numpy(), drive, dt) for part, cells in parts]


def projections(network: Network, cells: list[Kind], dt: float) -> list[Projection]:
    """The chemical connections of a network, by group."""
    return [_projection(network, name, cells, dt) for name, _ in network.groups()]


def _kind(network: Network, neuron: Any, cells: Any, drive: Numbers, dt: float) -> Kind:
    bare, held = _bare(neuron), np.zeros(len(cells))
    if isinstance(neuron, Refractory):
        steps = np.rint(_numbers(neuron.period, cells) / dt)
        held = np.maximum(steps - 1, 0) * dt
    family = _family(network)
    model = MODELS.get((type(bare), family))
    if model is None:
        raise ValueError(_unknown(bare, family))
    state = neuron.init(network.weight.new_zeros(len(cells)).detach())
    parameters = {"V_m": _numbers(state.v, cells)} | _PARAMETERS[type(bare)](bare, cells)
    if isinstance(bare, Izhikevich):
        if held.any():
            raise ValueError("NEST's izhikevich has no refractory period: export it without one.")
        parameters["I_e"] = drive[cells] / _numbers(bare.capacitance, cells)
    else:
        parameters |= {"t_ref": held, "I_e": drive[cells]}
    if model.startswith("iaf_cond"):
        parameters["g_L"] = parameters["C_m"] / parameters.pop("tau_m")
    return Kind(model, cells, parameters | _receptors(network, cells))


def _bare(neuron: Any) -> Neuron[Any]:
    return neuron.neuron if isinstance(neuron, Refractory) else neuron


def _inside(synapse: Any) -> Synapse[Any]:
    return synapse.synapse if isinstance(synapse, ShortTerm) else synapse


def _family(network: Network) -> type:
    """The kind of all chemical synapses, which must be one."""
    if len(network.edges.get("electrical", ())):
        raise ValueError(
            "NEST's integrate-and-fire models have no gap junctions: export the network without "
            "its electrical connections."
        )
    found = {type(_inside(synapse)) for name, synapse in network.groups() if name != "electrical"}
    if len(found) > 1:
        names = " and ".join(sorted(kind.__name__ for kind in found))
        raise ValueError(f"a model of NEST has one kind of synapse, but this network has {names}.")
    return found.pop() if found else Exponential


def _unknown(neuron: object, family: type) -> str:
    known = sorted({f"{cell.__name__} with {synapse.__name__}" for cell, synapse in MODELS})
    return (
        f"NEST has no model that is {type(neuron).__name__} with {family.__name__} synapses; those "
        f"that can be exported are {', '.join(known)}."
    )


def _lif(cell: LIF, cells: Any) -> dict[str, Numbers]:
    if cell.v_reset is None:
        raise ValueError(
            "a spike sets NEST's cells to a voltage, but LIF has v_reset=None: give a v_reset."
        )
    tau, resistance = _numbers(cell.tau, cells), _numbers(cell.resistance, cells)
    return {
        "C_m": tau / resistance,
        "tau_m": tau,
        "E_L": _numbers(cell.v_rest, cells),
        "V_th": _numbers(cell.v_threshold, cells),
        "V_reset": _numbers(cell.v_reset, cells),
    }


def _adex(cell: AdEx, cells: Any) -> dict[str, Numbers]:
    ours = {
        "C_m": cell.capacitance,
        "g_L": cell.g_leak,
        "E_L": cell.v_leak,
        "V_th": cell.v_threshold,
        "Delta_T": cell.sharpness,
        "V_reset": cell.v_reset,
        "V_peak": cell.v_peak,
        "tau_w": cell.tau_w,
        "a": cell.a,
        "b": cell.b,
    }
    found = {name: _numbers(value, cells) for name, value in ours.items()}
    rest = cell.init(torch.zeros(len(cells), dtype=torch.float64))
    return found | {"w": _numbers(rest.w, cells)}


def _izhikevich(cell: Izhikevich, cells: Any) -> dict[str, Numbers]:
    """NEST has the form of 2003; `Izhikevich` is of it where its constants fit."""
    names = ("capacitance", "k", "v_r", "v_t", "v_peak", "a", "b", "c", "d")
    held = {name: _numbers(getattr(cell, name), cells) for name in names}
    size, v_r, v_t = held["capacitance"], held["v_r"], held["v_t"]
    b = held["b"] / size
    fits = [
        np.isclose(held["k"] / size, 0.04, rtol=SAME),
        np.isclose(v_r + v_t, -125.0, rtol=SAME),
        np.isclose(140.0 - 0.04 * v_r * v_t, b * v_r, rtol=1e-3, atol=1e-3),
    ]
    if not np.all(fits):
        raise ValueError(
            "NEST's izhikevich is the form of 2003, which these constants are not of: make the "
            "cell with Izhikevich.of_2003(...)."
        )
    return {
        "a": held["a"], "b": b, "c": held["c"], "d": held["d"] / size,
        "V_th": held["v_peak"], "U_m": b * v_r,
    }  # fmt: skip


_PARAMETERS: Mapping[type, Callable[..., dict[str, Numbers]]] = {
    LIF: _lif,
    AdEx: _adex,
    Izhikevich: _izhikevich,
}


def _receptors(network: Network, cells: Any) -> dict[str, Numbers]:
    """Times and reversals of the two receptors of a model of NEST, by the sign of the weights."""
    found: dict[str, Numbers] = {}
    for name, synapse in network.groups():
        if name == "electrical":
            continue
        inside: Any = _inside(synapse)
        for port in _ports(network, name):
            own = {}
            if not isinstance(inside, Delta):
                own[f"tau_syn_{port}"] = _numbers(inside.tau, cells)
            if isinstance(inside, ConductanceSynapse):
                own[f"E_{port}"] = _numbers(inside.reversal, cells)
            for key, value in own.items():
                if not np.array_equal(found.setdefault(key, value), value):
                    raise ValueError(
                        f"NEST gives all weights of one sign the same time course, but the groups "
                        f"of this network differ in {key}."
                    )
    return found


def _ports(network: Network, group: str) -> list[str]:
    """Which receptors a group reaches: by its weights, or by its name where it is a conductance."""
    if isinstance(_inside(network.synapses[group]), ConductanceSynapse):
        return ["ex" if group == "excitatory" else "in"]
    weight = _strength(network, group)
    return [port for port, there in (("ex", weight >= 0), ("in", weight < 0)) if there.any()]


def _strength(network: Network, group: str) -> Numbers:
    """Weights [K] of a group in the unit of its synapse, signed as NEST wants them: pA, nS, fC."""
    edges = network.edges[group]
    synapse: Any = _inside(network.synapses[group])
    post = network.connectome.connections.post[edges]
    weight = network.weights_of(group).detach().double().numpy()
    sign = 1.0
    if isinstance(synapse, ConductanceSynapse):
        value: Any = synapse.conductance
        sign = 1.0 if group == "excitatory" else -1.0
    else:
        value = synapse.charge if isinstance(synapse, Delta) else synapse.amplitude
    size = len(network.connectome)
    strength: Numbers = sign * weight * _numbers(value, np.arange(size))[post]
    return strength


def _projection(network: Network, group: str, cells: list[Kind], dt: float) -> Projection:
    edges, synapse = network.edges[group].astype(np.int64), network.synapses[group]
    wires = network.connectome.connections
    steps = np.rint(np.nan_to_num(wires.delay[edges].astype(np.float64)) / dt).astype(np.int64)
    weight = _strength(network, group)
    if isinstance(_inside(synapse), Delta):
        weight, steps = weight * _jump(network, cells, dt)[wires.post[edges]], steps + 1
    elif len(steps) and steps.min() < 1:
        raise ValueError(
            f"NEST needs delays of at least one step of {dt:g} ms, but {int((steps < 1).sum()):,} "
            f"{group} connections have less: give them with "
            f"connectome.with_connections(delay={dt:g})."
        )
    model, parameters = "static_synapse", {}
    if isinstance(synapse, ShortTerm):
        model, parameters = "tsodyks2_synapse", _short_term(synapse)
    return Projection(group, edges, model, parameters, weight, steps)


def _jump(network: Network, cells: list[Kind], dt: float) -> Numbers:
    """How far a charge of 1 fC moves each cell [N] in mV; of LIF, as it does here within a step."""
    jump = np.zeros(len(network.connectome))
    for kind in cells:
        own = kind.parameters
        if kind.model == "iaf_psc_delta":
            tau = own["tau_m"]
            jump[kind.cells] = -np.expm1(-dt / tau) * tau / own["C_m"] / dt
        elif kind.model == "izhikevich":
            neuron: Any = network.neuron
            part = neuron if not isinstance(neuron, Mixed) else _part_of(neuron, kind.cells)
            jump[kind.cells] = 1 / _numbers(part.capacitance, kind.cells)
        else:
            jump[kind.cells] = 1 / own["C_m"]
    return jump


def _part_of(neuron: Mixed, cells: Any) -> Any:
    parts = zip(neuron.parts, neuron._cells(), strict=True)
    return next(part for part, own in parts if np.array_equal(own.numpy(), cells))


def _short_term(synapse: ShortTerm) -> dict[str, float]:
    values = {"U": synapse.use, "tau_rec": synapse.recovery, "tau_fac": synapse.facilitation}
    for name, value in values.items():
        if isinstance(value, torch.Tensor) and value.numel() > 1:
            raise ValueError(
                f"NEST keeps {name} of short-term plasticity by connection type: give one number "
                "for all cells."
            )
    at_once = 1e-6  # ms; NEST wants a time above zero
    given = {name: at_once if value is None else float(value) for name, value in values.items()}
    if synapse.facilitation is None:
        given["tau_fac"] = 0.0
    return given | {"u": given["U"], "x": 1.0}


def _numbers(value: Any, cells: Any) -> Numbers:
    """A value for each of the cells [K]; it holds one for all, or one for each of them."""
    held = torch.as_tensor(value).detach().double().numpy()
    if held.size == 1:
        return np.full(len(cells), held.item())
    if held.ndim > 1:
        raise ValueError("only a single network can be exported, not a batch of values.")
    return np.asarray(held, dtype=np.float64)
