"""Whole networks beside Brian 2 and beside an adaptive solver of differential equations."""

import numpy as np
import pytest
import torch
from scipy.integrate import solve_ivp

import amphid as am
from amphid import dynamics, wiring
from amphid.wiring import Cells, Connections, Connectome

pytestmark = [
    pytest.mark.reference,
    pytest.mark.filterwarnings(r"ignore:'\w+' (argument is )?deprecated:DeprecationWarning"),
]

CELLS, EDGES, STEPS, DT = 101, 1009, 2000, 0.1


def drawn() -> Connectome:
    rng = np.random.default_rng(1)
    return Connectome(
        Cells([f"n{i}" for i in range(CELLS)]),
        Connections(
            rng.integers(0, CELLS, EDGES),
            rng.integers(0, CELLS, EDGES),
            synapses=rng.integers(1, 5, EDGES),
            sign=rng.choice([-1, 1], EDGES, p=[0.3, 0.7]),
            delay=rng.integers(0, 30, EDGES) * DT,
        ),
    )


def test_a_random_network_fires_the_spikes_of_brian2():
    """Pulses of one step with delays of their own, and refractory cells: the same spike counts."""
    b2 = pytest.importorskip("brian2", reason="brian2 is not installed")
    wired = drawn()
    drive = np.linspace(150.0, 200.0, CELLS)  # pA

    b2.start_scope()
    b2.prefs.codegen.target = "numpy"
    b2.defaultclock.dt = DT * b2.ms
    cells = b2.NeuronGroup(
        CELLS,
        """dv/dt = (-65*mV - v + 0.1*Gohm*(drive + pulse)) / (20*ms) : volt (unless refractory)
           drive : amp
           pulse : amp""",
        threshold="v > -50*mV",
        reset="v = -65*mV",
        refractory=3 * b2.ms,
        method="exact",
    )
    cells.v, cells.drive = -65 * b2.mV, drive * b2.pA
    cells.run_regularly("pulse = 0*pA", when="thresholds")
    synapses = b2.Synapses(cells, cells, "w : amp", on_pre="pulse_post += w")
    wires = wired.connections
    synapses.connect(i=wires.pre, j=wires.post)
    synapses.w = 80.0 / DT * wires.synapses * wires.sign * b2.pA
    synapses.delay = wires.delay * b2.ms
    spikes = b2.SpikeMonitor(cells)
    b2.Network(cells, synapses, spikes).run(STEPS * DT * b2.ms)
    theirs = np.bincount(np.asarray(spikes.i), minlength=CELLS)

    network = am.Network(
        wired,
        neuron=dynamics.Refractory(dynamics.LIF(), period=3.0),
        synapse=dynamics.Delta(charge=80.0),
    ).double()
    with torch.no_grad():
        current = torch.from_numpy(np.tile(drive, (STEPS, 1)))
        run = am.simulate(network, current, dt=DT)
    ours = run.spike.sum(0).numpy()
    assert theirs.sum() > 400
    assert ours.tolist() == theirs.tolist()


def test_exponential_synapses_with_delays_fire_the_spikes_of_brian2():
    b2 = pytest.importorskip("brian2", reason="brian2 is not installed")
    wired = drawn()
    drive = np.linspace(150.0, 200.0, CELLS)

    b2.start_scope()
    b2.prefs.codegen.target = "numpy"
    b2.defaultclock.dt = DT * b2.ms
    cells = b2.NeuronGroup(
        CELLS,
        """dv/dt = (-65*mV - v + 0.1*Gohm*(drive + flow)) / (20*ms) : volt
           dflow/dt = -flow / (5*ms) : amp
           drive : amp""",
        threshold="v > -50*mV",
        reset="v = -65*mV",
        method="exact",
    )
    cells.v, cells.drive = -65 * b2.mV, drive * b2.pA
    synapses = b2.Synapses(cells, cells, "w : amp", on_pre="flow_post += w")
    wires = wired.connections
    synapses.connect(i=wires.pre, j=wires.post)
    synapses.w = 4.0 * wires.synapses * wires.sign * b2.pA
    synapses.delay = wires.delay * b2.ms
    spikes = b2.SpikeMonitor(cells)
    b2.Network(cells, synapses, spikes).run(STEPS * DT * b2.ms)
    theirs = np.bincount(np.asarray(spikes.i), minlength=CELLS)

    network = am.Network(
        wired, neuron=dynamics.LIF(), synapse=dynamics.Exponential(tau=5.0, amplitude=4.0)
    ).double()
    with torch.no_grad():
        run = am.simulate(network, torch.from_numpy(np.tile(drive, (STEPS, 1))), dt=DT)
    ours = run.spike.sum(0).numpy()
    assert theirs.sum() > 400
    assert np.abs(ours - theirs).max() <= 1
    assert abs(ours.sum() - theirs.sum()) <= 0.01 * theirs.sum()


def test_the_graded_worm_follows_an_adaptive_solver():
    """The equations of Kunert et al. 2014 written out once more and solved by LSODA."""
    worm = wiring.celegans(signs=wiring.by_transmitter).without("muscle")
    network = am.Network(
        worm, neuron=dynamics.Graded(), synapse=dynamics.graded_synapses()
    ).double()
    with torch.no_grad():
        rest = network.rest()

    plus = 0.030 * np.maximum(worm.matrix("chemical", signed=True), 0).T
    minus = 0.030 * np.maximum(-worm.matrix("chemical", signed=True), 0).T
    gap = 0.015 * worm.matrix("electrical")
    np.fill_diagonal(gap, 0.0)
    threshold = rest.neuron.threshold.numpy()
    stimulus = np.zeros(len(worm))
    stimulus[worm.select("PLML", "PLMR")] = 20.0

    def slope(t, y):
        v, s = y[: len(worm)], y[len(worm) :]
        flow = -0.010 * (v + 35.0) - gap.sum(1) * v + gap @ v
        flow -= plus @ s * v + minus @ s * (v + 48.0)
        opening = 0.001 / (1 + np.exp(-0.125 * (v - threshold)))
        return np.concatenate([flow + stimulus, opening * (1 - s) - 0.005 * s])

    start = np.concatenate([rest.v.numpy(), rest.neuron.release.numpy()])
    times = np.arange(1.0, 41.0)
    solved = solve_ivp(slope, (0, 40), start, "LSODA", times, rtol=1e-8, atol=1e-9).y.T
    wanted = solved[:, : len(worm)]
    assert np.abs(wanted[-1] - start[: len(worm)]).max() > 5

    errors = []
    for dt in (0.2, 0.1):
        touch = am.pulse(worm, "PLML", "PLMR", amplitude=20.0, duration=40.0, dt=dt)
        with torch.no_grad():
            run = am.simulate(network, touch, record=("v",), every=round(1 / dt))
        errors.append(np.abs(run.v.numpy() - wanted))
    assert errors[1].mean() < 0.005
    assert errors[0].max() / errors[1].max() == pytest.approx(2.0, abs=0.2)
