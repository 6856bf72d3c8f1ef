"""Which engine runs, what is refused for want of memory, and who hears of the progress."""

from __future__ import annotations

import importlib.util
import io
import subprocess
import sys
from typing import Any

import pytest
import torch

import amphid as am
from amphid.dynamics import LIF, Delta, Neuron
from amphid.dynamics.integrate_and_fire import LIFState
from amphid.simulation import Compiled, choosing, memory
from amphid.wiring import Cells, Connections, Connectome

CELLS = 13
WIRED = Connectome(Cells([f"n{k}" for k in range(CELLS)]), Connections([0, 1], [1, 2], sign=1))


def network(neuron: Any = None, **given: Any) -> am.Network:
    return am.Network(WIRED, neuron=neuron or LIF(), synapse=Delta(charge=9.0), **given)


def drive(steps: int = 7, **given: Any) -> am.Stimulus:
    return am.pulse(WIRED, "n0", amplitude=200.0, duration=steps * 0.5, dt=0.5, **given)


@pytest.fixture
def eager(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every run is worth compiling."""
    monkeypatch.setattr(choosing, "COMPILING", 0.0)


@pytest.mark.usefixtures("eager")
class TestTheEngineThatIsChosen:
    def test_is_the_compiled_one_where_nothing_speaks_against_it(self) -> None:
        with torch.no_grad():
            assert am.simulate(network(), drive()).notes[0].startswith("compiled engine")
        fixed = network(weight=torch.ones(2))
        assert am.simulate(fixed, drive()).notes[0].startswith("compiled engine")

    def test_is_torch_where_a_gradient_is_asked_for(self) -> None:
        run = am.simulate(network(), drive(), record=["v"])
        assert run.v.requires_grad
        assert "torch.no_grad()" in run.notes[-1]
        current = torch.ones(7, CELLS, requires_grad=True)
        assert am.simulate(
            network(weight=torch.ones(2)), current, dt=0.5, record=["v"]
        ).v.requires_grad

    def test_is_torch_inside_a_transform(self) -> None:
        net = network(weight=torch.ones(2))

        def last(current: torch.Tensor) -> torch.Tensor:
            return am.simulate(net, current, dt=0.5, record=["v"]).v[-1]

        current = torch.rand(3, 7, CELLS)
        each = torch.stack([last(one) for one in current])
        torch.testing.assert_close(torch.func.vmap(last)(current), each)

    def test_is_torch_where_numba_is_missing(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
        with torch.no_grad():
            assert "numba is missing" in am.simulate(network(), drive()).notes[-1]

    def test_is_torch_where_a_cell_cannot_be_compiled_and_says_what_it_does(self) -> None:
        with torch.no_grad():
            run = am.simulate(network(Counting()), drive(), record=["v"])
        assert run.notes[0].startswith("torch engine")
        assert "not compiled: " in run.notes[-1]
        assert "aten.cumsum" in run.notes[-1]


class Counting(Neuron[LIFState]):
    """Looks at other cells, which a loop over cells cannot."""

    def init(self, like: torch.Tensor) -> LIFState:
        return LIFState(torch.zeros_like(like))

    def step(self, state: LIFState, current: torch.Tensor, dt: float) -> Any:
        return LIFState(current.cumsum(-1)), (state.v > 1).to(state.v)


def test_a_short_run_is_not_worth_compiling() -> None:
    with torch.no_grad():
        assert "too short" in am.simulate(network(), drive()).notes[-1]
        long = am.simulate(network(), drive(20_000))
    assert long.notes[0].startswith("compiled engine")


def test_an_engine_that_is_insisted_on_runs() -> None:
    with torch.no_grad():
        assert am.simulate(network(), drive(), engine=Compiled()).notes[0].startswith("compiled")
        assert am.simulate(network(), drive(20), engine=am.Torch()).notes[0].startswith("torch")


def endless(steps: int, *, cells: int = CELLS, trials: int = 1) -> tuple[am.Network, am.Stimulus]:
    wired = Connectome(Cells([f"n{k}" for k in range(cells)]), Connections())
    drive = am.poisson(
        wired, "*", rate=1.0, amplitude=1.0, duration=float(steps), dt=1.0,
        generator=torch.Generator().manual_seed(0), trials=trials,
    )  # fmt: skip
    return am.Network(wired, neuron=LIF()), drive


@pytest.mark.parametrize("engine", [None, am.Torch(), Compiled()])
def test_a_run_that_needs_terabytes_is_refused_before_it_begins(engine: Any) -> None:
    net, drive = endless(10**10, cells=499)
    told = (
        r"needs about 20 TB, .* GB are free.*, is v \(10,000,000,000 samples, 499 cells\): record "
        r"it of fewer cells \(record=\{'v': \['...'\]\}\), take fewer samples"
    )
    with pytest.raises(MemoryError, match=told), torch.no_grad():
        am.simulate(net, drive, record=["v"], engine=engine)


def test_the_ways_out_that_a_refusal_names_lead_out(monkeypatch: pytest.MonkeyPatch) -> None:
    net, drive = endless(5000, cells=997)
    monkeypatch.setattr(memory, "available", lambda device: 9_000_000)
    with torch.no_grad():
        with pytest.raises(MemoryError, match=r"is v \(5,000 samples, 997 cells\)"):
            am.simulate(net, drive, record=["v"])
        am.simulate(net, drive[:5], record=["v"])
        am.simulate(net, drive, record={"v": ["n5"]}, engine=Compiled())
        am.simulate(net, drive, record=["v"], every=100, engine=Compiled())


def test_what_is_largest_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "available", lambda device: 1000)
    with pytest.raises(MemoryError, match=r"is the (matrices of the torch engine|stimulus)"):
        am.simulate(network(), drive())
    weight = torch.ones(9973, 2)
    with pytest.raises(MemoryError, match="is the state of all cells: run fewer trials"):
        am.simulate(network(weight=weight), drive())


def test_free_memory_is_told() -> None:
    free = memory.available(torch.device("cpu"))
    assert free is None or free > 1e6


MEASURED = """
import sys, torch, amphid as am
from pathlib import Path
from amphid.dynamics import LIF, Exponential
from amphid.simulation import memory
from amphid.wiring import Cells, Connections, Connectome

def task(cells, edges, steps):
    generator = torch.Generator().manual_seed(0)
    ends = torch.randint(cells, (2, edges), generator=generator).numpy()
    wires = Connections(*ends, sign=1, delay=1.5)
    wired = Connectome(Cells([f"n{k}" for k in range(cells)]), wires)
    net = am.Network(wired, neuron=LIF(), synapse=Exponential(tau=5.0, amplitude=1.0))
    times = {"n1": [1.0]}
    return net, am.spike_trains(wired, times, amplitude=1.0, duration=float(steps), dt=1.0)

def peak():
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) * 1024

asked, known = [], memory.needs
memory.needs = lambda task: asked.append(sum(known(task).values())) or known(task)
with torch.no_grad():
    am.simulate(*task(7, 11, 5), record=["v"], engine=am.Torch())
    net, drive = task(*map(int, sys.argv[1:]))
    Path("/proc/self/clear_refs").write_text("5")  # the peak so far is forgotten
    before = peak()
    am.simulate(net, drive, record=["v"], engine=am.Torch())
print(asked[-1], peak() - before)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="peak memory in other units")
@pytest.mark.parametrize(("cells", "edges", "steps"), [(20_011, 5, 1511), (10_007, 2_000_003, 29)])
def test_the_estimate_is_what_a_run_takes(cells: int, edges: int, steps: int) -> None:
    given = [sys.executable, "-c", MEASURED, *map(str, (cells, edges, steps))]
    told = subprocess.run(given, capture_output=True, text=True, check=True).stdout.split()
    asked, taken = map(int, told)
    assert asked == pytest.approx(taken, rel=0.25)


def test_progress_is_told_to_a_function_and_drawn_on_a_terminal_only(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    heard: list[tuple[int, int]] = []
    with torch.no_grad():
        am.simulate(network(), drive(), progress=lambda done, of: heard.append((done, of)))
        assert heard[-1] == (7, 7)
        for terminal in (False, True):
            screen = Screen(terminal)
            monkeypatch.setattr(sys, "stderr", screen)
            am.simulate(network(), drive(), progress=True)
            assert ("simulating" in screen.getvalue()) == terminal


class Screen(io.StringIO):
    """What stderr is on a terminal, or off it."""

    def __init__(self, terminal: bool) -> None:
        super().__init__()
        self.terminal = terminal

    def isatty(self) -> bool:
        return self.terminal
