"""Ranks that step parts of one network give the spikes of one process, to the last bit."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import torch

import amphid as am
from amphid.simulation import Compiled, Distributed

pytest.importorskip("numba", reason="numba is not installed")

WORK = Path(__file__).with_name("ranks_at_work.py")
SCENARIOS = {
    2: ["whole_networks", "own_cells_and_onward", "refusals", "interruption"],
    4: ["parts_of_networks", "trials_in_single_precision", "refusals"],
}
SECONDS = 600  # that a run of all scenarios may take on a slow machine


def at_work() -> Any:
    spec = importlib.util.spec_from_file_location("ranks_at_work", WORK)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


work = at_work()


class Spawned:
    """Processes that meet in a folder and leave there what they found."""

    def __init__(self, count: int, folder: Path, scenarios: list[str]) -> None:
        self.count, self.folder = count, folder
        self.processes = [
            subprocess.Popen(
                [sys.executable, str(WORK), str(number), str(count), str(folder), *scenarios],
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            )
            for number in range(count)
        ]

    def end(self) -> list[int]:
        """Wait for them; their exit codes."""
        with suppress(subprocess.TimeoutExpired):
            for process in self.processes:
                process.wait(timeout=SECONDS)
        for process in self.processes:
            process.kill()
        self.said = [process.communicate()[0] for process in self.processes]
        return [process.returncode for process in self.processes]

    def found(self, scenario: str) -> list[Any]:
        """What each rank found."""
        files = [self.folder / f"{scenario}_{number}.pt" for number in range(self.count)]
        return [torch.load(file, weights_only=True) for file in files]


@pytest.fixture(scope="module")
def spawned(tmp_path_factory: pytest.TempPathFactory) -> dict[int, Spawned]:
    """Two ranks and four, at the same time, each through all its scenarios."""
    groups = {
        count: Spawned(count, tmp_path_factory.mktemp(f"ranks_{count}"), scenarios)
        for count, scenarios in SCENARIOS.items()
    }
    codes = {count: group.end() for count, group in groups.items()}
    for count, group in groups.items():
        assert codes[count] == [0] * count, "\n".join(group.said)
    return groups


@pytest.fixture(scope="module")
def alone() -> Iterator[dict[str, Any]]:
    """The same runs in one process."""
    with torch.no_grad():
        yield work.runs(Compiled(threads=1), part=None)


def same(ours: dict[str, Any], theirs: dict[str, Any]) -> None:
    assert ours["fields"].keys() == theirs["fields"].keys()
    for name, value in theirs["fields"].items():
        assert torch.equal(ours["fields"][name], value), name
    assert (ours["spikes"] is None) == (theirs["spikes"] is None)
    if theirs["spikes"] is not None:
        assert theirs["spikes"].shape[1] > 100
        assert torch.equal(ours["spikes"], theirs["spikes"])
    for one, other in zip(ours["state"], theirs["state"], strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize(("count", "scenario"), [(2, "whole_networks"), (4, "parts_of_networks")])
@pytest.mark.parametrize("name", work.NETWORKS)
def test_every_rank_returns_the_bits_of_one_process(
    count: int, scenario: str, name: str, spawned: Any, alone: Any
) -> None:
    for number, run in enumerate(spawned[count].found(scenario)):
        same(run[name], alone[name])
        assert f"rank {number} of {count}" in run[name]["notes"][0]


def test_trials_are_stepped_on_every_rank(spawned: Any) -> None:
    net, current = work.spiking(work.wired()).float(), work.drive(260.0, 2).float()
    with torch.no_grad():
        run = am.simulate(net, current, dt=work.DT, record=["spike"], engine=Compiled(threads=1))
    for ours in spawned[4].found("trials_in_single_precision"):
        same(ours, work.found(run))


@pytest.mark.parametrize("name", work.NETWORKS)
def test_ranks_that_keep_their_own_cells_make_up_the_whole(name: str, spawned: Any) -> None:
    make, wires, amplitude, dt, record = work.NETWORKS[name]
    with torch.no_grad():
        run = am.simulate(
            make(work.wired(**wires)), work.drive(amplitude), dt=dt, record=record,
            engine=Compiled(threads=1),
        )  # fmt: skip
    ranks = [pieces[name] for pieces in spawned[2].found("own_cells_and_onward")]
    assert [name for pieces in ranks for name in pieces[0]["names"]] == list(run.names)
    for field, value in run.fields.items():
        parts = [torch.cat([piece["fields"][field] for piece in pieces]) for pieces in ranks]
        joined = torch.cat(parts, -1)
        torch.testing.assert_close(joined, value, rtol=1e-9, atol=1e-9)
        assert torch.equal(joined[:40], value[:40])
    if run.events is not None:
        spikes = sum(piece["spikes"].shape[1] for pieces in ranks for piece in pieces)
        assert spikes == len(run.spikes)


REFUSALS = {
    "another seed": "ValueError: every rank must run the same network alike, but the connections",
    "other steps": "ValueError: every rank must run the same network alike, but the steps differ",
    "same part": "ValueError: the parts of the ranks must follow each other and make up all 307",
    "part and whole": "but the kind of connectome differ: whole on rank 0, part on rank 1",
    "another state": "ValueError: every rank must start from the same state",
    "stiff": "ValueError: the voltages of this network must be solved together",
    "one process": "cannot be used to simulate in one process",
    "after all": "went well",
}


@pytest.mark.parametrize("count", [2, 4])
@pytest.mark.parametrize("reason", REFUSALS)
def test_ranks_that_do_not_agree_are_told_on_every_one(
    count: int, reason: str, spawned: Any
) -> None:
    for told in spawned[count].found("refusals"):
        assert REFUSALS[reason] in told[reason]


@pytest.mark.parametrize("count", [2, 4])
def test_a_rank_that_fails_tells_the_others(count: int, spawned: Any) -> None:
    *others, failed = spawned[count].found("refusals")
    assert failed["one fails"] == "ZeroDivisionError: the progress bar broke"
    for told in others:
        assert f"rank {count - 1} of {count} failed: ZeroDivisionError" in told["one fails"]


def test_an_interrupted_rank_stops_all_at_the_same_step(spawned: Any) -> None:
    with torch.no_grad():
        whole = am.simulate(
            work.spiking(work.wired()), work.drive(260.0), dt=work.DT, record=["v", "spike"],
            engine=Compiled(threads=1),
        )  # fmt: skip
    runs = spawned[2].found("interruption")
    steps = {len(run["fields"]["v"]) for run in runs}
    assert len(steps) == 1
    done = steps.pop()
    assert 40 < done < work.STEPS
    for run in runs:
        assert torch.equal(run["fields"]["v"], whole.v[:done])
        assert f"interrupted after {done} of {work.STEPS} steps" in run["notes"][0]
        own = whole.spikes.index[:, whole.spikes.index[0] < done]
        assert torch.equal(run["spikes"], own)


def test_a_rank_that_is_killed_does_not_keep_the_others_waiting(tmp_path: Path) -> None:
    ranks = Spawned(2, tmp_path, ["death"])
    assert ranks.end() == [0, -9], "\n".join(ranks.said)
    left = torch.load(tmp_path / "death_0.pt", weights_only=True)
    assert "rank 0 of 2 lost another one, which has ended" in left["error"]


def test_a_process_alone_is_told_how_to_start_ranks(monkeypatch: Any) -> None:
    monkeypatch.delenv("TORCHELASTIC_RUN_ID", raising=False)
    assert am.simulation.rank() == (0, 1)
    with pytest.raises(RuntimeError, match=r"torchrun --nproc-per-node 2 script\.py"):
        am.simulate(work.spiking(work.wired()), work.drive(1.0), dt=1.0, engine=Distributed())


@pytest.mark.parametrize("timeout", [0.0, -1.0, float("inf"), None])
def test_a_timeout_that_makes_no_sense_is_refused(timeout: Any) -> None:
    with pytest.raises(ValueError, match="timeout must be a positive number of s"):
        Distributed(timeout=timeout)
