"""A lesioned trial is the network without the cell; a scanned one is the network with the value."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import amphid as am
from amphid import dynamics, wiring
from amphid.dynamics import (
    LIF,
    AdEx,
    Conductance,
    EscapeRate,
    GapJunction,
    Graded,
    Mixed,
    Refractory,
    ShortTerm,
    graded_synapses,
)
from amphid.simulation import portions
from amphid.wiring import Cells, Connections, Connectome

N, E, T, DT = 23, 131, 307, 0.5
ENGINES = {"torch": am.Torch(), "compiled": am.Compiled(threads=1)}
every_engine = pytest.mark.parametrize("engine", ENGINES.values(), ids=ENGINES)


@pytest.fixture(autouse=True)
def float64() -> Any:
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def drawn(*, junctions: float = 0.2, delays: bool = True) -> Connectome:
    rng = np.random.default_rng(5)
    kind = (rng.random(E) < junctions).astype(int)
    delay = np.where(kind == 0, rng.integers(0, 6, E) * DT, np.nan) if delays else np.nan
    sign = np.where(kind == 0, rng.choice([-1, 1, 1], E), 0)
    return Connectome(
        Cells([f"n{k}" for k in range(N)], cell_class=[f"c{k // 2}" for k in range(N)]),
        Connections(
            rng.integers(0, N, E), rng.integers(0, N, E), kind=kind,
            synapses=rng.integers(1, 7, E), sign=sign, delay=delay,
        ),
    )  # fmt: skip


def spiking(wired: Connectome, neuron: Any = None) -> am.Network:
    return am.Network(
        wired,
        neuron=neuron or Refractory(LIF(), period=2.0),
        synapse={
            "excitatory": ShortTerm(
                Conductance(tau=5.0, conductance=0.5, reversal=0.0), use=0.6, recovery=90.0
            ),
            "inhibitory": Conductance(tau=8.0, conductance=0.9, reversal=-80.0),
            "electrical": GapJunction(conductance=0.02),
        },
    )


def graded(wired: Connectome) -> am.Network:
    return am.Network(wired, neuron=Graded(), synapse=graded_synapses())


def drive(mean: float = 190.0) -> Tensor:
    noise = torch.randn(T, N, generator=torch.Generator().manual_seed(1))
    return mean * (1 + 0.4 * noise + torch.linspace(0, 0.5, N))


def run(net: am.Network, current: Tensor, engine: Any = None, **given: Any) -> am.Recording:
    with torch.no_grad():
        return am.simulate(net, current, dt=DT, engine=engine, **given)


MODELS = {
    "LIF": (spiking, 190.0, ("spike", "v")),
    "AdEx": (lambda wired: spiking(wired, AdEx()), 900.0, ("spike", "v")),
    "mixed": (
        lambda wired: spiking(wired, Mixed({"n1*": AdEx(), "*": Refractory(LIF())})),
        400.0,
        ("spike", "v"),
    ),
    "graded": (graded, 3.0, ("v",)),
}


@every_engine
@pytest.mark.parametrize("model", MODELS)
def test_a_lesioned_trial_is_the_network_without_those_cells(model: str, engine: Any) -> None:
    build, mean, record = MODELS[model]
    wired, current = drawn(delays=model != "graded"), drive(mean)
    scan = run(build(wired).lesioned("n3", "c4", ("n0", "n22")), current, engine, record=record)
    assert scan.trials == ("intact", "n3", "c4", "n0, n22")
    for name, dead in zip(scan.trials, ([], ["n3"], ["n8", "n9"], ["n0", "n22"]), strict=True):
        rest = wired.without(*dead) if dead else wired
        left = torch.from_numpy(wired.select(*rest.cells.name))
        alone = run(build(rest), current[:, left], engine, record=record)
        trial = scan.trial(name)[tuple(rest.cells.name)]
        bound = 1e-5 if model == "graded" else 1e-9  # the joint solve stops at a tolerance
        torch.testing.assert_close(trial.v, alone.v, rtol=bound, atol=bound)
        if "spike" in record:
            assert len(alone.spikes) > 100
            assert torch.equal(trial.spike, alone.spike)


@every_engine
def test_a_dead_cell_is_silent_and_stands_still(engine: Any) -> None:
    awake = Refractory(LIF(v_rest=-45.0), period=2.0)  # fires without any input
    scan = run(spiking(drawn(), awake).lesioned("n7"), drive(), engine, record=("spike", "v"))
    intact, dead = scan.trial("intact")["n7"], scan.trial("n7")["n7"]
    assert len(intact.spikes) > 5
    assert len(dead.spikes) == 0
    assert torch.equal(dead.v, torch.full_like(dead.v, -45.0))


def test_weights_are_shared_and_learn_through_their_lesions() -> None:
    net = spiking(drawn())
    scan = net.lesioned("n1", "n2", control=False)
    assert scan.weight is net.weight
    assert scan.trials == ("n1", "n2")
    assert net.trials == ()
    assert not isinstance(net.neuron, dynamics.Ablated)
    am.simulate(scan, drive()[:29], dt=DT, record=("v",)).v.sum().backward()
    assert net.weight.grad.abs().sum() > 0


@every_engine
def test_a_scanned_trial_is_the_network_with_that_value(engine: Any) -> None:
    wired, current = drawn(), drive()
    names = ["tau", "period", "inhibitory.tau", "excitatory.use", "electrical.conductance"]
    given = [(11.0, 23.0), (1.5, 4.0), (3.0, 17.0), (0.2, 0.9), (0.0, 0.05)]
    scan = spiking(wired).scanned(dict(zip(names, given, strict=True)), paired=True, control=True)
    found = run(scan, current, engine, record=("spike", "v"))
    assert found.trials[0] == "unchanged"
    assert found.trials[1].startswith("tau=11, period=1.5, inhibitory.tau=3, ")
    for place in (0, 1):
        tau, period, decay, use, junction = (pair[place] for pair in given)
        synapse = {
            "excitatory": ShortTerm(
                Conductance(tau=5.0, conductance=0.5, reversal=0.0), use=use, recovery=90.0
            ),
            "inhibitory": Conductance(tau=decay, conductance=0.9, reversal=-80.0),
            "electrical": GapJunction(conductance=junction or 1e-300),
        }
        neuron = Refractory(LIF(tau=tau), period=period)
        alone = run(am.Network(wired, neuron=neuron, synapse=synapse), current, engine)
        assert torch.equal(found.trial(place + 1).spike, alone.spike)
    unchanged = run(spiking(wired), current, engine)
    assert torch.equal(found.trial("unchanged").spike, unchanged.spike)


def test_a_grid_has_every_combination_by_name() -> None:
    scan = spiking(drawn()).scanned({"tau": [10.0, 20.0, 30.0], "excitatory.tau": [2.0, 5.0]})
    assert len(scan.trials) == 6
    assert scan.trials[:3] == (
        "tau=10, excitatory.tau=2", "tau=10, excitatory.tau=5", "tau=20, excitatory.tau=2",
    )  # fmt: skip
    tau = scan.values()["tau"]
    assert isinstance(tau, Tensor)
    assert tau.flatten().tolist() == [10.0, 10.0, 20.0, 20.0, 30.0, 30.0]


def test_values_are_named_as_scanned_takes_them() -> None:
    names = list(spiking(drawn()).values())
    assert {"tau", "period", "excitatory.use", "electrical.conductance"} <= set(names)
    mixed = spiking(drawn(), Mixed({"n1*": AdEx(), "*": LIF()}))
    assert {"n1*.tau_w", "*.tau"} <= set(mixed.values())
    found = run(mixed.scanned({"*.tau": [5.0, 40.0]}), drive(400.0), record=("v",)).v
    others = ~torch.tensor([f"n{k}".startswith("n1") for k in range(N)])
    assert (found[:, 0] - found[:, 1]).abs().amax(0)[others].min() > 0.01


def test_a_value_of_each_cell_can_be_scanned() -> None:
    tau = torch.stack((torch.full((N,), 20.0), torch.linspace(5.0, 30.0, N)))
    found = run(spiking(drawn()).scanned({"tau": tau}), drive())
    alone = run(spiking(drawn(), Refractory(LIF(tau=tau[1]), period=2.0)), drive())
    assert found.trials == ("tau[0]", "tau[1]")
    assert torch.equal(found.trial("tau[1]").spike, alone.spike)


@every_engine
@pytest.mark.parametrize("model", ["LIF", "graded"])
def test_portions_give_what_one_run_gives(
    model: str, engine: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    build, mean, record = MODELS[model]
    scan = build(drawn(delays=model != "graded")).lesioned(*(f"n{k}" for k in range(6)))
    whole = run(scan, drive(mean), engine, record=record)
    monkeypatch.setattr(portions, "_portion_size", lambda task: 3)
    heard: list[tuple[int, int]] = []
    pieces = run(scan, drive(mean), engine, record=record, progress=lambda *at: heard.append(at))
    assert pieces.trials == whole.trials
    torch.testing.assert_close(pieces.v, whole.v, rtol=1e-5, atol=1e-5)
    assert heard[-1][0] == heard[-1][1] == 7 * T
    assert [done for done, _ in heard] == sorted(done for done, _ in heard)
    assert "7 trials in portions of 3" in pieces.notes[-1]
    if whole.spikes is not None:
        assert torch.equal(pieces.spikes.index, whole.spikes.index)


def test_an_interrupted_scan_keeps_the_trials_that_were_run(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    scan = spiking(drawn()).lesioned("n0", "n1", "n2")
    monkeypatch.setattr(portions, "_portion_size", lambda task: 2)

    def stop(done: int, _: int) -> None:
        if done > 2 * T:
            raise KeyboardInterrupt

    kept = run(scan, drive(), progress=stop)
    assert kept.trials == ("intact", "n0")
    assert "interrupted after 2 of 4 trials" in kept.notes[-1]


def test_a_large_scan_needs_no_weights_of_its_own() -> None:
    scan = spiking(drawn()).lesioned(*range(N))
    own = sum(b.numel() for b in scan.buffers()) - sum(
        b.numel() for b in spiking(drawn()).buffers()
    )
    electrical = len(scan.edges["electrical"])
    assert own == (N + 1) * (N + electrical)


def test_trials_of_the_stimulus_are_run_with_every_trial_of_the_network() -> None:
    scan, current = spiking(drawn()).lesioned("n4", "n5"), torch.stack((drive(), drive(250.0)), 1)
    with pytest.raises(ValueError, match=r"3 trials, the stimulus 2 of its own.*\[T, 2, 1, 23\]"):
        run(scan, current)
    found = run(scan, current[:, :, None])
    assert found.spike.shape == (T, 2, 3, N)
    assert torch.equal(found.trial("n5").spike[:, 1], run(scan, drive(250.0)).trial("n5").spike)


@every_engine
def test_all_trials_draw_the_same_random_numbers(engine: Any) -> None:
    def net() -> am.Network:
        chance = EscapeRate(generator=torch.Generator().manual_seed(3))
        return spiking(drawn(), chance)

    found = run(net().lesioned("n3"), drive(), engine)
    assert torch.equal(found.trial("intact").spike, run(net(), drive(), engine).spike)


def test_a_recording_of_trials_is_kept_whole(tmp_path: Any) -> None:
    found = run(spiking(drawn()).lesioned("n3"), drive(), record=("spike", "v"))
    again = am.Recording.load(found.save(tmp_path / "scan.h5"))
    assert again.trials == ("intact", "n3")
    assert torch.equal(again.trial("n3")["n5"].v, found["n5"].trial(1).v)
    assert repr(found).startswith("Recording(23 cells, 2 trials, 153.5 ms")
    with pytest.raises(KeyError, match=r"No trial 'n33' among the 2.*Did you mean 'n3'"):
        found.trial("n33")
    with pytest.raises(KeyError, match="No trial 0 among the 0"):
        found.trial(1).trial(0)


@pytest.mark.parametrize(
    ("ask", "error", "sentence"),
    [
        (lambda net: net.lesioned(), ValueError, "at least one"),
        (lambda net: net.lesioned("m3"), KeyError, "No cell, class"),
        (lambda net: net.lesioned("n3", "n3"), ValueError, "'n3' comes twice"),
        (lambda net: net.lesioned("n3").lesioned("n4"), ValueError, "trials of its own already"),
        (lambda net: net.scanned({}), ValueError, "at least one value"),
        (lambda net: net.scanned({"tua": [1.0]}), KeyError, "Did you mean 'tau'"),
        (lambda net: net.scanned({"tau": [-1.0]}), ValueError, "tau must be positive"),
        (lambda net: net.scanned({"tau": ["x"]}), TypeError, "must be numbers"),
        (lambda net: net.scanned({"tau": [[[1.0]]]}), ValueError, r"\[V\], or \[V, N\]"),
        (lambda net: net.scanned({"excitatory.use": [1.5]}), ValueError, "share of the resources"),
        (lambda net: net.scanned({"electrical.conductance": [-1.0]}), ValueError, "negative"),
        (
            lambda net: net.scanned({"tau": [1.0], "v_rest": [1.0, 2.0]}, paired=True),
            ValueError,
            "1 of 'tau', 2 of 'v_rest'",
        ),
    ],
)
def test_what_cannot_be_scanned_is_a_sentence(ask: Any, error: Any, sentence: str) -> None:
    with pytest.raises(error, match=sentence):
        ask(spiking(drawn()))


def test_every_single_lesion_of_the_worm_is_one_call() -> None:
    worm = wiring.celegans(signs=wiring.by_transmitter)
    neurons = worm.cells.name[worm.cells.kind != "muscle"]
    scan = graded(worm).lesioned(*neurons)
    assert len(scan.trials) == 303
    wires = worm.connections
    assert scan.coupling.shape == (303, int(wires.electrical.sum()))
