"""Each synapse in front of a spiking cell, here and in Brian 2, parameters side by side."""

from typing import NamedTuple

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from amphid.dynamics import (
    LIF,
    NMDA,
    Alpha,
    AlphaConductance,
    Conductance,
    Delta,
    DoubleExponential,
    DoubleExponentialConductance,
    Exponential,
    ShortTerm,
    Synapse,
)

brian2 = pytest.importorskip("brian2", reason="Brian 2 is installed by the group 'reference' only")

pytestmark = [
    pytest.mark.reference,
    # Brian 2.9 calls pyparsing by names that pyparsing has since renamed
    pytest.mark.filterwarnings(r"ignore:'\w+' (argument is )?deprecated:DeprecationWarning"),
]

DT, STEPS = 0.05, 5000
WEIGHTS = np.array([0.3, 1.0, 1.6, 2.3, 3.1])  # the first cell stays silent

CELL = LIF(tau=20.0, resistance=0.1, v_rest=-65.0, v_threshold=-50.0, v_reset=-62.0)
CELL_THERE = {
    "tau_m": 20.0 * brian2.ms,
    "R": 0.1 * brian2.Gohm,
    "v_rest": -65.0 * brian2.mV,
    "v_threshold": -50.0 * brian2.mV,
    "v_reset": -62.0 * brian2.mV,
}


def peak(rise: float, decay: float) -> float:
    """Height of exp(-t / decay) - exp(-t / rise), read off its curve."""
    t = np.linspace(0, 5 * decay, 1_000_001)
    return float((np.exp(-t / decay) - np.exp(-t / rise)).max())


class Case(NamedTuple):
    """A synapse here, and what it is in Brian 2."""

    here: Synapse
    equations: str
    on_pre: str
    there: dict[str, object]
    short_term: str = ""
    tolerance: float = 0.005  # mV, mean until the first spike


DOUBLE = """dslow/dt = -slow / decay : 1
            dfast/dt = -fast / rise : 1
            s = slow - fast : 1"""

CASES = {
    "Delta": Case(
        Delta(charge=1100.0),
        "I = 0 * pA : amp",
        "v += w * charge / C",
        {"charge": 1100.0 * brian2.pA * brian2.ms, "C": 200.0 * brian2.pF},
        tolerance=0.05,  # there the voltage jumps, here the charge takes a step to flow
    ),
    "Exponential": Case(
        Exponential(tau=5.0, amplitude=160.0),
        """I = amplitude * s : amp
           ds/dt = -s / tau : 1""",
        "s += w",
        {"tau": 5.0 * brian2.ms, "amplitude": 160.0 * brian2.pA},
    ),
    "Alpha": Case(
        Alpha(tau=3.0, amplitude=110.0),
        """I = amplitude * s : amp
           ds/dt = (rising - s) / tau : 1
           drising/dt = -rising / tau : 1""",
        "rising += w * exp(1)",
        {"tau": 3.0 * brian2.ms, "amplitude": 110.0 * brian2.pA},
    ),
    "DoubleExponential": Case(
        DoubleExponential(rise=1.0, decay=6.0, amplitude=110.0),
        f"I = amplitude * s : amp\n{DOUBLE}",
        "slow += w / peak; fast += w / peak",
        {
            "rise": 1.0 * brian2.ms,
            "decay": 6.0 * brian2.ms,
            "peak": peak(1.0, 6.0),
            "amplitude": 110.0 * brian2.pA,
        },
    ),
    "Conductance": Case(
        Conductance(tau=5.0, conductance=2.6, reversal=0.0),
        """I = g * s * (E - v) : amp
           ds/dt = -s / tau : 1""",
        "s += w",
        {"tau": 5.0 * brian2.ms, "g": 2.6 * brian2.nS, "E": 0.0 * brian2.mV},
    ),
    "AlphaConductance": Case(
        AlphaConductance(tau=3.0, conductance=1.8, reversal=0.0),
        """I = g * s * (E - v) : amp
           ds/dt = (rising - s) / tau : 1
           drising/dt = -rising / tau : 1""",
        "rising += w * exp(1)",
        {"tau": 3.0 * brian2.ms, "g": 1.8 * brian2.nS, "E": 0.0 * brian2.mV},
    ),
    "DoubleExponentialConductance": Case(
        DoubleExponentialConductance(rise=1.0, decay=6.0, conductance=1.8, reversal=0.0),
        f"I = g * s * (E - v) : amp\n{DOUBLE}",
        "slow += w / peak; fast += w / peak",
        {
            "rise": 1.0 * brian2.ms,
            "decay": 6.0 * brian2.ms,
            "peak": peak(1.0, 6.0),
            "g": 1.8 * brian2.nS,
            "E": 0.0 * brian2.mV,
        },
    ),
    "NMDA": Case(
        NMDA(rise=2.0, decay=70.0, conductance=3.4, reversal=0.0, magnesium=1.3),
        f"""I = g * s * (E - v) / (1 + magnesium / 3.57 * exp(-0.062 * v / mV)) : amp
            {DOUBLE}""",
        "slow += w / peak; fast += w / peak",
        {
            "rise": 2.0 * brian2.ms,
            "decay": 70.0 * brian2.ms,
            "peak": peak(2.0, 70.0),
            "g": 3.4 * brian2.nS,
            "E": 0.0 * brian2.mV,
            "magnesium": 1.3,
        },
    ),
    "ShortTerm depression": Case(
        ShortTerm(
            Conductance(tau=5.0, conductance=16.0, reversal=0.0),
            use=0.5,
            facilitation=20.0,
            recovery=200.0,
        ),
        """I = g * s * (E - v) : amp
           ds/dt = -s / tau : 1""",
        "u += use * (1 - u); s += w * u * x; x -= u * x",
        {
            "tau": 5.0 * brian2.ms,
            "g": 16.0 * brian2.nS,
            "E": 0.0 * brian2.mV,
            "use": 0.5,
            "facilitation": 20.0 * brian2.ms,
            "recovery": 200.0 * brian2.ms,
        },
        short_term="""du/dt = -u / facilitation : 1 (event-driven)
                      dx/dt = (1 - x) / recovery : 1 (event-driven)""",
    ),
    "ShortTerm facilitation": Case(
        ShortTerm(
            Exponential(tau=5.0, amplitude=800.0), use=0.08, facilitation=500.0, recovery=60.0
        ),
        """I = amplitude * s : amp
           ds/dt = -s / tau : 1""",
        "u += use * (1 - u); s += w * u * x; x -= u * x",
        {
            "tau": 5.0 * brian2.ms,
            "amplitude": 800.0 * brian2.pA,
            "use": 0.08,
            "facilitation": 500.0 * brian2.ms,
            "recovery": 60.0 * brian2.ms,
        },
        short_term="""du/dt = -u / facilitation : 1 (event-driven)
                      dx/dt = (1 - x) / recovery : 1 (event-driven)""",
    ),
}


def spike_steps() -> NDArray[np.int64]:
    """Steps at whose end the cell before the synapse fires: 12 ms apart on average."""
    draw = np.random.default_rng(7)
    gaps = draw.integers(int(2 / DT), int(22 / DT), 100)
    steps = np.cumsum(gaps)
    return steps[steps < STEPS - 1]


def run_here(synapse: Synapse) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Voltages and spikes [STEPS, N]; a spike at the end of a step arrives at the next one."""
    fired = torch.zeros(STEPS + 1, 1, dtype=torch.float64)
    fired[torch.from_numpy(spike_steps()) + 1] = 1.0
    weight = torch.from_numpy(WEIGHTS)
    state, cell = synapse.init(torch.zeros_like(weight)), CELL.init(weight)
    v, spikes = [], []
    for k in range(STEPS):
        state, released = synapse.release(state, fired[k].expand(len(weight)), DT)
        state, current = synapse.step(state, weight * released, cell.v, DT)
        cell, spike = CELL.step(cell, current, DT)
        v.append(cell.v)
        spikes.append(spike)
    return torch.stack(v).numpy(), torch.stack(spikes).numpy()


def run_there(case: Case) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The same in Brian 2."""
    brian2.start_scope()
    brian2.prefs.codegen.target = "numpy"
    clock = brian2.Clock(dt=DT * brian2.ms)
    names = {**CELL_THERE, **case.there}
    before = brian2.SpikeGeneratorGroup(
        1, np.zeros_like(spike_steps()), spike_steps() * DT * brian2.ms, clock=clock
    )
    cells = brian2.NeuronGroup(
        len(WEIGHTS),
        f"dv/dt = (v_rest - v + R * I) / tau_m : volt\n{case.equations}",
        threshold="v > v_threshold",
        reset="v = v_reset",
        method="rk4",
        namespace=names,
        clock=clock,
    )
    cells.v = names["v_rest"]
    synapses = brian2.Synapses(
        before, cells, f"w : 1\n{case.short_term}", on_pre=case.on_pre, namespace=names, clock=clock
    )
    synapses.connect()
    synapses.w = WEIGHTS
    if case.short_term:
        synapses.x = 1.0
    voltage = brian2.StateMonitor(cells, "v", record=True, when="end", clock=clock)
    spikes = brian2.SpikeMonitor(cells)
    brian2.Network(before, cells, synapses, voltage, spikes).run(STEPS * DT * brian2.ms)
    given = np.zeros((STEPS, len(WEIGHTS)))
    given[np.round(spikes.t / brian2.ms / DT).astype(int), spikes.i] = 1.0
    return np.asarray(voltage.v / brian2.mV).T, given


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_voltages_and_spikes_are_those_of_brian2(case):
    v, spikes = run_here(case.here)
    v_there, spikes_there = run_there(case)
    counts, counts_there = spikes.sum(0), spikes_there.sum(0)
    assert counts_there[0] == 0
    assert counts_there[-1] > 2
    assert np.abs(counts - counts_there).max() <= 1
    for cell in range(len(WEIGHTS)):
        both = np.flatnonzero(spikes[:, cell] + spikes_there[:, cell])
        until = both[0] if len(both) else STEPS
        moved = v_there[:until, cell]
        assert np.ptp(moved) > 1.0
        assert np.abs(v[:until, cell] - moved).mean() < case.tolerance
