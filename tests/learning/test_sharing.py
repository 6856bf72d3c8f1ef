"""An evolution that processes share out goes as it goes in one, and survives one that dies."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from amphid.learning import Aging, Sharing, evolve

SCRIPT = '''
"""Evolve a vector by the processes of a run."""

import sys
from pathlib import Path

import torch
from torch import distributed

from amphid.learning import Recombination, Sharing, evolve


def bumpy(params):
    """Many minima, in a loss of no derivative."""
    x = params["x"]
    return (x.square() + 3 * (5 * x).sin().floor()).sum()


def evolved(folder=None, *, generations=11, every=1000, callbacks=(), resume=False):
    held = {"x": torch.full((5,), 2.0)}
    found = evolve(
        bumpy, held, Recombination(31, 0.1), generations=generations, folder=folder, resume=resume,
        generator=torch.Generator().manual_seed(3), sharing=Sharing(portions=7, timeout=120),
        checkpoint_every=every, callbacks=callbacks, watch=None,
    )
    return found, held["x"]


if __name__ == "__main__":
    folder, number, ranks, generations = sys.argv[1], *map(int, sys.argv[2:])
    distributed.init_process_group(
        "gloo", init_method=f"file://{folder}/meet", rank=number, world_size=ranks
    )

    def tell(now):
        Path(folder, f"at-{number}").write_text(str(now.population.generation))

    found, held = evolved(f"{folder}/run", generations=generations, callbacks=[tell])
    torch.save(held, f"{folder}/end-{number}.pt")
    distributed.destroy_process_group()
'''

names: dict[str, object] = {"__name__": "script"}
exec(compile(SCRIPT, "script", "exec"), names)
evolved = names["evolved"]


def started(folder: Path, ranks: int, generations: int) -> list[subprocess.Popen]:
    script = folder / "script.py"
    script.write_text(SCRIPT)
    return [
        subprocess.Popen(
            [sys.executable, str(script), str(folder), str(number), str(ranks), str(generations)],
            stderr=subprocess.PIPE,
            text=True,
        )
        for number in range(ranks)
    ]


def ended(process: subprocess.Popen) -> tuple[int, str]:
    told = process.communicate(timeout=300)[1]
    return process.returncode, told


def until(folder: Path, generation: int) -> None:
    deadline = time.monotonic() + 300
    while time.monotonic() < deadline:
        path = folder / "at-0"
        if path.exists() and (text := path.read_text()) and int(text) >= generation:
            return
        time.sleep(0.01)
    raise AssertionError("the evolution did not begin")


def rows(found: object) -> list[dict[str, float]]:
    return [{name: row[name] for name in row if name != "seconds"} for row in found.rows]


def test_two_processes_find_what_one_finds(tmp_path: Path) -> None:
    """Bit for bit; the first writes."""
    assert [ended(each) for each in started(tmp_path, 2, 11)] == [(0, "")] * 2
    alone = evolved()[1]
    for number in range(2):
        assert torch.equal(torch.load(tmp_path / f"end-{number}.pt", weights_only=True), alone)
    assert len((tmp_path / "run/metrics.jsonl").read_text().splitlines()) == 11
    assert (tmp_path / "run/model.safetensors").is_file()


def test_one_that_dies_ends_the_evolution_at_a_checkpoint_that_goes_on(tmp_path: Path) -> None:
    first, second = started(tmp_path, 2, 100_000)
    until(tmp_path, 13)
    second.kill()
    code, told = ended(first)
    second.communicate()
    assert code == 1
    assert "rank 0 of 2 lost another one" in told
    assert "resume=True" in told
    (kept,) = (tmp_path / "run/checkpoints").glob("*.json")
    stands = int(kept.stem.split("-")[1])
    assert stands == int((tmp_path / "at-0").read_text())
    again, x = evolved(tmp_path / "run", generations=stands + 3, resume=True)
    whole, y = evolved(generations=stands + 3)
    assert torch.equal(x, y)
    assert rows(again) == rows(whole)


def test_nonsense_is_refused() -> None:
    with pytest.raises(ValueError, match="portions must be a number, at least 1, got 0"):
        Sharing(portions=0)
    with pytest.raises(TypeError, match="sharing must be a Sharing"):
        evolve(
            lambda params: params["x"].sum(),
            {"x": torch.zeros(3)},
            Aging(5, 0.1),
            generations=1,
            generator=torch.Generator(),
            sharing=2,
        )
