"""The Python that repeats a run of the command line."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from amphid.interfaces.command_line.settings import RunSettings

_NEURONS: Mapping[str, str] = {
    "graded": "dynamics.Graded({})",
    "lif": "dynamics.Refractory(dynamics.LIF({}), period={period})",
    "alif": "dynamics.Refractory(dynamics.ALIF({}), period={period})",
    "escape": "dynamics.Refractory(dynamics.EscapeRate({}, generator=g), period={period})",
    "adex": "dynamics.AdEx({})",
    "izhikevich": "dynamics.Izhikevich({})",
    "hh": "dynamics.HodgkinHuxley.squid({})",
    "hh-cortical": "dynamics.HodgkinHuxley.cortical({})",
    "morris-lecar": "dynamics.MorrisLecar({})",
}

_DEPRESSING = "dynamics.ShortTerm({}, use=0.5, recovery=300.0)"

_SYNAPSES: Mapping[str, tuple[str, str]] = {
    "conductance": (
        "dynamics.Conductance(tau=5.0, conductance={0!r}, reversal=0.0)",
        "dynamics.Conductance(tau=10.0, conductance=2 * {0!r}, reversal=-80.0)",
    ),
    "current": (
        "dynamics.Exponential(tau=5.0, amplitude={0!r})",
        "dynamics.Exponential(tau=10.0, amplitude=-{0!r})",
    ),
}


def python_of(settings: RunSettings) -> str:
    """A script that makes the same recording, to the bit on the same machine."""
    told = settings.simulation
    parts = [
        *network_of(settings),
        _stimulus(settings),
        "with torch.no_grad():\n    run = am.simulate(",
        f"net, stimulus, record={tuple(told.record)!r}, every={told.every})\n",
    ]
    return "".join(parts)


def network_of(settings: RunSettings) -> tuple[str, str]:
    """The imports, and the lines that make the same network, called `net`."""
    numpy = "import numpy as np\n" if settings.network.signs == "file" else ""
    seeded = f"g = torch.Generator().manual_seed({settings.simulation.seed})\n"
    imports = "import torch\n\nimport amphid as am\nfrom amphid import dynamics, wiring\n\n"
    made = [
        seeded if _draws(settings) else "",
        _wiring(settings),
        f"net = am.Network(\n    connectome,\n    neuron={_neuron(settings)},\n",
        f"    synapse={_synapse(settings)},\n)\n",
    ]
    return numpy + imports, "".join(made)


def _draws(settings: RunSettings) -> bool:
    return bool(settings.stimulus.noise) or settings.model.neuron == "escape"


def _wiring(settings: RunSettings) -> str:
    from amphid.interfaces.data_sets import DATA_SETS

    told = settings.network
    if told.source == "celegans":
        source = "wiring.celegans()"
    elif told.source in DATA_SETS:
        source = f"data_set({told.source!r}).read(data_set({told.source!r}))"
    else:
        source = f"wiring.read({str(told.source)!r})"
    lines = ["from amphid.interfaces.data_sets import data_set\n\n"] * source.startswith("data_set")
    lines += [f"connectome = {source}\n"]
    if told.annotate:
        lines += ["connectome = connectome.annotated(wiring.celegans())\n"]
    lines += [_signs(told.signs, tuple(told.inhibitory))]
    if told.lesion:
        lines += [f"connectome = connectome.without({', '.join(map(repr, told.lesion))})\n"]
    return "".join(lines)


def _signs(name: str, inhibitory: tuple[str, ...]) -> str:
    usual = inhibitory == ("GABA",)
    transmitter = "wiring.by_transmitter" if usual else f"wiring.ByTransmitter({inhibitory!r})"
    if name == "file":
        return (
            "known = connectome.connections.sign\n"
            f"guessed = {transmitter}(connectome)\n"
            "connectome = connectome.with_connections(sign=np.where(known != 0, known, guessed))\n"
        )
    rules = {
        "transmitter": transmitter,
        "receptor": "wiring.by_receptor" if usual else f"wiring.ByReceptor(base={transmitter})",
        "positive": "wiring.all_positive",
    }
    return f"connectome = connectome.signed({rules[name]})\n"


def _neuron(settings: RunSettings) -> str:
    values = dict(settings.model.parameters)
    template = _NEURONS[settings.model.neuron]
    period = values.pop("period", 2.0) if "{period}" in template else None
    arguments = ", ".join(f"{name}={value!r}" for name, value in values.items())
    return template.format(arguments, period=period)


def _synapse(settings: RunSettings) -> str:
    told = settings.model
    if told.synapse == "graded":
        strengths = f"chemical={told.chemical!r}, electrical={told.electrical!r}"
        return f"dynamics.graded_synapses({strengths})"
    plus, minus = (_DEPRESSING.format(one.format(told.chemical)) for one in _SYNAPSES[told.synapse])
    return (
        "{\n"
        f'        "excitatory": {plus},\n'
        f'        "inhibitory": {minus},\n'
        f'        "electrical": dynamics.GapJunction(conductance={told.electrical!r}),\n'
        "    }"
    )


def _stimulus(settings: RunSettings) -> str:
    told, length = settings.stimulus, settings.simulation
    timing = f"duration={length.duration!r}, dt={length.dt!r}"
    lines = [f"stimulus = am.pulse(connectome, 0, amplitude=0.0, {timing})\n"]
    for one in told.pulse:
        cells = ", ".join(map(repr, one.cells))
        lines += [
            f"stimulus += am.pulse(\n    connectome, {cells},\n    start={one.start!r}, "
            f"stop={one.stop!r}, amplitude={one.amplitude!r}, {timing},\n)\n"
        ]
    if told.file:
        lines += [f"stimulus += am.stimulus_from_file(connectome, {told.file!r}, {timing})\n"]
    if told.noise:
        lines += [
            f"stimulus += am.noise(\n    connectome, '*', deviation={told.noise!r}, tau=10.0, "
            f"{timing}, generator=g,\n)\n"
        ]
    return "".join(lines)
