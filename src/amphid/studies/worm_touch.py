"""Touch the worm: does its wiring, with graded cells, rest, and tell one touch from the other?"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from amphid.dynamics import Graded, graded_synapses
from amphid.simulation import Network, NetworkState, Torch, simulate
from amphid.studies.classic_touch import ClassicSubject
from amphid.studies.study import Findings, Settings, Study
from amphid.studies.touch_test import (
    A_MOTOR,
    ANTERIOR,
    B_MOTOR,
    BACKWARD,
    CONDITIONS,
    FORWARD,
    POSTERIOR,
    QUIET,
    fractions,
    orders,
    shares,
)
from amphid.wiring import (
    COMMAND_INTERNEURONS,
    TOUCH_RECEPTORS,
    Connectome,
    Except,
    all_positive,
    by_transmitter,
    celegans,
)

CIRCUIT = (*TOUCH_RECEPTORS, *BACKWARD, *FORWARD, *A_MOTOR, *B_MOTOR, "AS*", "DD*", "VD*")
CROSSING = (
    ((*BACKWARD, *A_MOTOR), (*FORWARD, *B_MOTOR)),
    (("ALM", "AVM"), FORWARD),
    (("PLM",), BACKWARD),
)

DRAWS = 50
TOUCH = 2000.0  # ms
KICK = 5.0  # mV
ACTIVE = 1.0  # mV away from rest

ASSUMPTIONS = (
    "Cells and constants of Kunert, Shlizerman & Kutz 2014: 1 pF, leak 0.010 nS at -35 mV, slope "
    "0.125 per mV, a_r 1 and a_d 5 per s, reversals 0 and -48 mV, 0.100 nS per contact. Our own "
    "scaling of it to counts of sections: 0.030 nS each chemical, 0.015 nS each electrical.",
    "Draws, log-uniform: leak and chemical x/: 2, electrical x/: 3, capacitance, slope, a_r and "
    "a_d x/: 1.5, touch 1.25 to 20 pA into each touched cell; uniform: leak reversal -40 to -30, "
    "excitatory -5 to 5, inhibitory -53 to -43 mV; every weight times lognormal(0.3).",
    "Signs: GABA inhibits, other transmitters excite; except that the touch receptors ALM, AVM, "
    "PLM and PVM inhibit the command cells AVA, AVD, AVE, AVB and PVC. Physiology supports it for "
    "antagonists; applying it to all of them is an assumption.",
    "The threshold of a cell is its resting potential in the network, found anew after a lesion.",
    "The circuit (85 cells) leaves out gap junctions between backward cells (AVA, AVD, AVE, DA, "
    "VA) and forward ones (AVB, PVC, DB, VB), and of touch receptors with their antagonists. That "
    "is an assumption: the published wiring lists them.",
    "A response is the mean departure from rest in the second half of 2 s of touch; killing is "
    "said to abolish it when at most 25 % is left. Rest: under 20 % of cells more than 1 mV off, "
    "3 s after all were moved by 5 mV, and 6 s after a cold start.",
    "The order of the command pools alone says little about signs: see the control in which all "
    "are positive.",
)


@dataclass(frozen=True)
class Draws:
    """D draws of the parameters, [D, 1] each."""

    cells: Mapping[str, Tensor]
    v_excitatory: Tensor
    v_inhibitory: Tensor
    chemical: Tensor  # factor on the conductance
    electrical: Tensor  # factor on the conductance
    amplitude: Tensor  # pA
    spread: Tensor  # [D, E] factor on each weight

    @staticmethod
    def of(connections: int, generator: torch.Generator) -> Draws:
        """Draw them; every network of the study uses the same ones."""

        def uniform(low: float, high: float) -> Tensor:
            share = torch.rand(DRAWS, 1, dtype=torch.float64, generator=generator)
            return low + (high - low) * share

        def around(value: float, factor: float) -> Tensor:
            return value * factor ** uniform(-1, 1)

        normal = torch.randn(DRAWS, connections, dtype=torch.float64, generator=generator)
        return Draws(
            cells={
                "g_leak": around(0.01, 2),
                "capacitance": around(1.0, 1.5),
                "slope": around(0.125, 1.5),
                "rise": around(0.001, 1.5),
                "fall": around(0.005, 1.5),
                "v_leak": uniform(-40, -30),
            },
            v_excitatory=uniform(-5, 5),
            v_inhibitory=uniform(-53, -43),
            chemical=around(1.0, 2),
            electrical=around(1.0, 3),
            amplitude=around(5.0, 4),
            spread=torch.exp(0.3 * normal),
        )


@dataclass(frozen=True, eq=False)
class GradedSubject:
    """A wiring with graded cells, under all draws at once."""

    connectome: Connectome
    weight: Tensor  # [D, E]
    draws: Draws
    dt: float

    @staticmethod
    def of(connectome: Connectome, draws: Draws, dt: float) -> GradedSubject:
        """Weights: synapse counts, times their spread, times the strength of their kind."""
        wires = connectome.connections
        electrical = torch.from_numpy(np.array(wires.electrical))
        strength = torch.where(electrical, draws.electrical, draws.chemical)
        count = torch.from_numpy(wires.synapses.astype(np.float64))
        return GradedSubject(connectome, count * draws.spread * strength, draws, dt)

    def keep(self, connections: NDArray[np.bool_]) -> GradedSubject:
        """The same with only some of the connections, by mask [E]."""
        wiring = Connectome(self.connectome.cells, self.connectome.connections.take(connections))
        weight = self.weight[:, torch.from_numpy(connections)]
        return GradedSubject(wiring, weight, self.draws, self.dt)

    def restricted(self, *which: str) -> GradedSubject:
        """The same with only those cells, and the connections among them."""
        chosen = np.sort(self.connectome.select(*which))
        wires = self.connectome.connections
        inside = np.isin(wires.pre, chosen) & np.isin(wires.post, chosen)
        weight = self.weight[:, torch.from_numpy(inside)]
        connectome = self.connectome.subset(*chosen.tolist())
        return GradedSubject(connectome, weight, self.draws, self.dt)

    def without_crossing_junctions(self) -> GradedSubject:
        """The same without gap junctions between modules, and of receptors with antagonists."""
        wires = self.connectome.connections
        crossing = np.zeros(len(wires), dtype=bool)
        for pair in CROSSING:
            one, other = (self.connectome.select(*cells) for cells in pair)
            crossing |= np.isin(wires.pre, one) & np.isin(wires.post, other)
            crossing |= np.isin(wires.pre, other) & np.isin(wires.post, one)
        return self.keep(~(crossing & wires.electrical))

    def network(self) -> Network:
        """The network of all draws."""
        reversals = {
            "v_excitatory": self.draws.v_excitatory,
            "v_inhibitory": self.draws.v_inhibitory,
        }
        return Network(
            self.connectome,
            neuron=Graded(**self.draws.cells),
            synapse=graded_synapses(**reversals),
            weight=self.weight,
        ).double()

    def touched(self, *killed: str) -> Tensor:
        """Mean departure from rest [2, D, N] in mV; killed cells lose all their connections."""
        if killed:
            cells, wires = self.connectome.select(*killed), self.connectome.connections
            return self.keep(~(np.isin(wires.pre, cells) | np.isin(wires.post, cells))).touched()
        current = torch.zeros(2, DRAWS, len(self.connectome), dtype=torch.float64)
        for side, touched in enumerate((ANTERIOR, POSTERIOR)):
            current[side][:, self.connectome.select(*touched)] = self.draws.amplitude
        network, steps = self.network(), round(TOUCH / self.dt)
        v = self._voltages(network, current.expand(steps, *current.shape), None)
        return v[steps // 2 :].mean(0) - network.rest(self.dt).v

    def rests(self) -> Tensor:
        """[D] whether few cells are active some time after a kick and after a cold start."""
        network = self.network()
        rest = network.rest(self.dt)
        cells = rest.neuron
        kicked = cells._replace(v=cells.v + KICK)
        cold = cells._replace(v=network.neuron.init(cells.v).v, release=torch.zeros_like(cells.v))
        quiet = [
            self._active_after(network, rest, start, wait) < QUIET
            for start, wait in ((kicked, 3000.0), (cold, 6000.0))
        ]
        return quiet[0] & quiet[1]

    def pool(self, response: Tensor, *which: str) -> Tensor:
        """Mean response [2, D] of a pool of cells."""
        return response[..., torch.from_numpy(self.connectome.select(*which))].mean(-1)

    def _active_after(
        self, network: Network, rest: NetworkState, start: Any, wait: float
    ) -> Tensor:
        """[D] share of cells that are away from rest `wait` ms after they were left alone."""
        silence = torch.zeros_like(rest.v).expand(round(wait / self.dt), *rest.v.shape)
        state = rest._replace(neuron=start, given=start.release)
        v = self._voltages(network, silence, state)
        return ((v[-1] - rest.v).abs() > ACTIVE).double().mean(-1)

    def _voltages(self, network: Network, current: Tensor, state: NetworkState | None) -> Tensor:
        engine = Torch(implicit=True)
        return simulate(network, current, dt=self.dt, record=("v",), state=state, engine=engine).v


class WormTouch(Study):
    """Graded cells on the worm's wiring rest, and tell anterior from posterior touch."""

    name: ClassVar[str] = "worm-touch"
    claim: ClassVar[str] = (
        "With graded cells at published conductances the complete wiring rests, and touch orders "
        "its command and motor pools: backward leads for anterior, forward for posterior touch. "
        "In the 85-cell touch circuit killing the command cells also abolishes the response of "
        "their motor cells. The threshold-integrator worm neither rests nor orders its pools."
    )
    published: ClassVar[str] = (
        "ablations: Chalfie et al. 1985, doi 10.1523/JNEUROSCI.05-04-00956.1985 (qualitative)"
    )

    def measure(self, settings: Settings) -> Findings:
        """50 draws of all parameters side by side, in steps of 25 ms, or 10 ms when full."""
        with torch.no_grad():
            measured, control = self._measure(settings)
        return Findings(
            measured=measured,
            reference={
                "complete": {"rest": 0.95, "command_order": 0.95, "motor_order": 0.85},
                "circuit": dict.fromkeys(CONDITIONS, 0.95),
                "classic": "rest and command_order below 0.95",
            },
            control=control,
            assumptions=ASSUMPTIONS,
            seeds=(settings.seed,),
            holds=judged(measured, control["classic"]),
        )

    def _measure(self, settings: Settings) -> tuple[dict[str, Any], dict[str, Any]]:
        generator = torch.Generator().manual_seed(settings.seed)
        exception = Except(by_transmitter, pre=TOUCH_RECEPTORS, post=COMMAND_INTERNEURONS, sign=-1)
        neurons = celegans(signs=exception).without("muscle")
        draws = Draws.of(len(neurons.connections), generator)
        dt = 10.0 if settings.full else 25.0
        complete = GradedSubject.of(neurons, draws, dt)
        positive = GradedSubject.of(neurons.signed(all_positive), draws, dt)
        circuit = complete.restricted(*CIRCUIT).without_crossing_junctions()
        parts: dict[str, Callable[[], dict[str, float]]] = {
            "complete": lambda: fractions(complete),
            "circuit": lambda: fractions(circuit),
            "classic": lambda: fractions(ClassicSubject.of(DRAWS, generator)),
            "all_signs_positive": lambda: shares(orders(positive, positive.touched())),
        }
        found = {}
        for done, (name, measure) in enumerate(parts.items()):
            settings.tell(name.replace("_", " "), done, len(parts))
            found[name] = measure()
        measured = {"draws": DRAWS, **{name: found.pop(name) for name in ("complete", "circuit")}}
        return measured, found


def judged(measured: Mapping[str, Any], classic: Mapping[str, float]) -> bool:
    """Whether each part of the claim holds in its share of the draws."""
    complete, circuit = measured["complete"], measured["circuit"]
    return (
        min(complete["rest"], complete["command_order"]) >= 0.95
        and complete["motor_order"] >= 0.85
        and min(circuit[name] for name in CONDITIONS) >= 0.95
        and max(classic["rest"], classic["command_order"]) < 0.95
    )
