"""From settings to what `simulate` takes: wiring, network, stimulus."""

from __future__ import annotations

import difflib
import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from amphid.interfaces.command_line import models
from amphid.interfaces.command_line.networks import Loaded

if TYPE_CHECKING:
    import torch

    from amphid.interfaces.command_line.settings import RunSettings
    from amphid.simulation import Network, Stimulus
    from amphid.wiring import Connectome

NOISE_TAU = 10.0  # ms
LARGEST_RECORDING = 4 << 30  # bytes


@dataclass(frozen=True)
class Built:
    """What is simulated.

    stimulus: all currents. deliberate: the same without the noise. stimulated: the cells these go
    into. onset: when the first of them starts, ms.
    """

    connectome: Connectome
    network: Network
    stimulus: Stimulus
    deliberate: Stimulus
    stimulated: tuple[str, ...]
    onset: float


def annotated(loaded: Loaded, atlas: str | None) -> Connectome:
    """The connectome, with what an atlas knows about its cells."""
    from amphid.wiring import celegans

    return loaded.connectome.annotated(celegans()) if atlas else loaded.connectome


def default_signs(connectome: Connectome) -> str:
    """The sign rule that fits what the connectome knows."""
    wires = connectome.connections
    if (wires.sign[wires.chemical] != 0).any():
        return "file"
    return "transmitter" if (connectome.cells.transmitter != "").any() else "positive"


def worm_hint(connectome: Connectome) -> str:
    """A way to better signs for a file about the worm that does not name transmitters."""
    from amphid.wiring import celegans

    worm = set(celegans().cells.name)
    known = sum(name in worm for name in connectome.cells.name)
    if not known or 2 * known < len(connectome) or (connectome.cells.transmitter != "").any():
        return ""
    return (
        f"{known} of {len(connectome)} cells are named like cells of the worm: --annotate celegans "
        "adds their transmitters, and with them signs."
    )


def build(settings: RunSettings, loaded: Loaded) -> Built:
    """Wiring with signs and without the cells that are killed, equations, and currents."""
    import torch

    generator = torch.Generator().manual_seed(settings.simulation.seed)
    connectome = wired(settings, loaded)
    if not len(connectome):
        raise ValueError(f"{loaded.source} has no cells left to simulate.")
    check_size(settings, len(connectome))
    network = equipped(settings, connectome, generator)
    deliberate = driven(settings, connectome)
    if not deliberate.current.isfinite().all():
        raise ValueError("the currents together are too large for single precision.")
    on = (deliberate.current != 0).nonzero()
    cells = deliberate.cells[on[:, 1].unique()]
    return Built(
        connectome=connectome,
        network=network,
        stimulus=_noisy(deliberate, settings, connectome, generator),
        deliberate=deliberate,
        stimulated=tuple(connectome.cells.name[cells.numpy()]),
        onset=float(on[:1, 0].sum()) * deliberate.dt,
    )


def wired(settings: RunSettings, loaded: Loaded) -> Connectome:
    """The connectome as the settings want it."""
    told = settings.network
    connectome = annotated(loaded, told.annotate)
    _check_inhibitory(told.inhibitory, connectome)
    if len(connectome.connections):
        connectome = connectome.signed(models.sign_rule(told.signs, told.inhibitory))
    return connectome.without(*told.lesion) if told.lesion else connectome


def _check_inhibitory(names: list[str], connectome: Connectome) -> None:
    """Raise ValueError, with near names, for a transmitter that no cell has; the usual one may."""
    from amphid.interfaces.command_line.settings import NetworkSection

    if names == NetworkSection.model_fields["inhibitory"].default:
        return
    texts = {text for cell in connectome.cells.transmitter for text in cell.split(";")}
    known = {text.strip().casefold(): text.strip() for text in texts if text.strip()}
    for name in names:
        if name.strip().casefold() not in known:
            close = difflib.get_close_matches(name.casefold(), known, n=2)
            near = " or ".join(known[found] for found in close)
            there = ", ".join(sorted(known.values())[:8]) or "none"
            hint = f"Did you mean {near}?" if near else f"Those there are: {there}."
            raise ValueError(f"--inhibitory: no cell has the transmitter {name!r}. {hint}")


def equipped(settings: RunSettings, connectome: Connectome, generator: torch.Generator) -> Network:
    """The network, on its device."""
    from amphid.simulation import Network

    told = settings.model
    network = Network(
        connectome,
        neuron=models.neuron(told.neuron, told.parameters, generator),
        synapse=models.synapses(
            told.synapse, connectome, chemical=told.chemical, electrical=told.electrical
        ),
    )
    return network.to(settings.simulation.device)


def driven(settings: RunSettings, connectome: Connectome) -> Stimulus:
    """All currents but the noise [T, K]."""
    from amphid.simulation import pulse, stimulus_from_file

    told, length = settings.stimulus, settings.simulation
    timing = {"duration": length.duration, "dt": length.dt}
    total = pulse(connectome, 0, amplitude=0.0, **timing)
    for one in told.pulse:
        times = {"start": one.start, "stop": one.stop, **timing}
        total = total + pulse(connectome, *one.cells, amplitude=one.amplitude, **times)
    return total + stimulus_from_file(connectome, told.file, **timing) if told.file else total


def _noisy(
    stimulus: Stimulus, settings: RunSettings, connectome: Connectome, generator: torch.Generator
) -> Stimulus:
    if not settings.stimulus.noise:
        return stimulus
    from amphid.simulation import noise

    return stimulus + noise(
        connectome,
        "*",
        deviation=settings.stimulus.noise,
        tau=NOISE_TAU,
        duration=settings.simulation.duration,
        dt=settings.simulation.dt,
        generator=generator,
    )


def check_pulses(settings: RunSettings) -> None:
    """Raise ValueError for a pulse that falls outside the run."""
    end = settings.simulation.duration
    for one in settings.stimulus.pulse:
        if one.start >= end:
            raise ValueError(
                f"the pulse into {','.join(one.cells)} starts at {one.start:g} ms, but the run "
                f"ends at {end:g} ms: give an earlier --start or a longer --duration."
            )
        if one.stop <= one.start:
            raise ValueError(
                f"the pulse into {','.join(one.cells)} stops at {one.stop:g} ms, which is not "
                f"after its start at {one.start:g} ms."
            )


def described_stimulus(settings: RunSettings) -> str:
    """The stimulus in words."""
    told = settings.stimulus
    parts = [
        f"{one.amplitude:g} pA into {', '.join(one.cells)} from {one.start:g} to {one.stop:g} ms"
        for one in told.pulse
    ]
    parts += [f"currents of {Path(told.file).name}"] if told.file else []
    parts += [f"noise of {told.noise:g} pA into every cell"] if told.noise else []
    return "; ".join(parts) or "none: the network at rest"


def described_signs(settings: RunSettings, connectome: Connectome) -> str:
    """The sign rule in words, and what came of it."""
    wires, told = connectome.connections, settings.network
    verb = "inhibits" if len(told.inhibitory) == 1 else "inhibit"
    inhibitory = f"{' and '.join(told.inhibitory)} {verb}"
    rule = models.SIGNS[told.signs].format(inhibitory=inhibitory)
    excite = int((wires.chemical & (wires.sign > 0)).sum())
    inhibit = int((wires.chemical & (wires.sign < 0)).sum())
    return f"{told.signs}: {rule} ({excite:,} excite, {inhibit:,} inhibit)"


def described_model(settings: RunSettings) -> str:
    """Cells and synapses in words."""
    told, unit = settings.model, models.SYNAPSES[settings.model.synapse].unit
    usual = models.parameters_of(told.neuron)
    changed = "".join(
        f", {name} {value:g}" for name, value in told.parameters.items() if usual.get(name) != value
    )
    return (
        f"{told.neuron} cells{changed}; {told.synapse} synapses of {told.chemical:g} {unit}, gap "
        f"junctions of {told.electrical:g} nS"
    )


def check_size(settings: RunSettings, cells: int, *, trials: int = 1) -> None:
    """Raise ValueError for a recording that would not fit."""
    steps = settings.simulation.duration / settings.simulation.dt
    fields = [name for name in settings.simulation.record if name != "spike"]
    size = len(fields) * math.ceil(steps / settings.simulation.every) * cells * 4 * trials
    if size > LARGEST_RECORDING:
        raise ValueError(
            f"recording {', '.join(fields)} would take {size / 2**30:.0f} GiB: keep every tenth "
            "step with --every 10, or spikes only with --record spike."
        )
