"""Processes that share out a population take the steps of one, and survive one that dies."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from amphid.learning import Mollified, Spread

SCRIPT = '''
"""Train a net of steps, that has no useful derivative, by the processes of a run."""

import json
import sys
from pathlib import Path

import torch
from torch import distributed, nn

from amphid.learning import Mollified, Spread, fit


class Steps(nn.Module):
    """x -> W floor(V x)"""

    def __init__(self, inner):
        super().__init__()
        self.first, self.last = nn.Linear(7, inner), nn.Linear(inner, 3)
        draw = torch.Generator().manual_seed(1)
        with torch.no_grad():
            for p in self.parameters():
                p.copy_(torch.randn(p.shape, generator=draw))

    def forward(self, x):
        return self.last((3 * self.first(x)).floor())


def trained(folder=None, *, number=0, callbacks=(), inner=5, epochs=4, every=1, seed=2, timeout=30):
    net, draw = Steps(inner), torch.Generator().manual_seed(3)
    batches = [(torch.randn(11, 7, generator=draw), torch.randn(11, 3, generator=draw))] * 5
    slope = Spread(
        Mollified(torch.Generator().manual_seed(seed), samples=14), portions=7, timeout=timeout
    )
    optimizer = torch.optim.Adam(net.parameters(), lr=0.02)
    fit(
        net, batches, nn.functional.mse_loss, optimizer=optimizer, estimator=slope, epochs=epochs,
        folder=folder, resume=True if folder else False, callbacks=callbacks,
        checkpoint_every=every,
    )
    return net, slope


if __name__ == "__main__":
    folder, number, ranks, way = sys.argv[1], *map(int, sys.argv[2:4]), sys.argv[4]
    distributed.init_process_group(
        "gloo", init_method=f"file://{folder}/meet", rank=number, world_size=ranks
    )

    def tell(now):
        Path(folder, f"at-{number}").write_text(str(now.update))

    seed = 2 + number if way == "apart" else 2
    every = None if way == "seldom" else 1
    epochs = 4000 if way == "seldom" else 4
    net, slope = trained(
        f"{folder}/fit", number=number, callbacks=[tell], epochs=epochs, every=every, seed=seed,
        timeout=15 if way == "seldom" else 120,
    )
    torch.save(net.state_dict(), f"{folder}/end-{number}.pt")
    sent = [slope.sent, trained(inner=101)[1].sent]
    Path(folder, f"sent-{number}").write_text(json.dumps(sent))
    distributed.destroy_process_group()
'''

names: dict[str, object] = {"__name__": "script"}
exec(compile(SCRIPT, "script", "exec"), names)
trained = names["trained"]


def started(folder: Path, ranks: int, way: str = "") -> list[subprocess.Popen]:
    script = folder / "script.py"
    script.write_text(SCRIPT)
    return [
        subprocess.Popen(
            [sys.executable, str(script), str(folder), str(number), str(ranks), way],
            stderr=subprocess.PIPE,
            text=True,
        )
        for number in range(ranks)
    ]


def ended(processes: list[subprocess.Popen]) -> list[tuple[int, str]]:
    told = [process.communicate(timeout=300)[1] for process in processes]
    return [(process.returncode, text) for process, text in zip(processes, told, strict=True)]


def until(folder: Path, update: int) -> None:
    deadline = time.monotonic() + 300
    while time.monotonic() < deadline:
        path = folder / "at-0"
        if path.exists() and (text := path.read_text()) and int(text) >= update:
            return
        time.sleep(0.01)
    raise AssertionError("the fit did not begin")


def same(one: dict[str, torch.Tensor], two: dict[str, torch.Tensor]) -> bool:
    return all(torch.equal(one[name], two[name]) for name in two)


@pytest.mark.parametrize("ranks", [2, 4])
def test_any_number_of_processes_takes_the_same_steps_and_hears_losses_alone(
    ranks: int, tmp_path: Path
) -> None:
    """Bit for bit; and 101 inner units send as many bytes as 5 do, 20 updates of 14 losses."""
    alone = trained()[0].state_dict()
    assert ended(started(tmp_path, ranks)) == [(0, "")] * ranks
    for number in range(ranks):
        assert same(torch.load(tmp_path / f"end-{number}.pt", weights_only=True), alone)
        small, large = json.loads((tmp_path / f"sent-{number}").read_text())
        assert large == pytest.approx(small, abs=4 * 20)  # digits of a number that stands in it
        assert large < 150 * 20


@pytest.mark.parametrize("signaled", [signal.SIGKILL, signal.SIGSTOP])
def test_a_process_that_dies_or_hangs_ends_the_fit_at_a_checkpoint_that_goes_on(
    signaled: signal.Signals, tmp_path: Path
) -> None:
    processes = started(tmp_path, 2, way="seldom")
    until(tmp_path, 13)
    processes[1].send_signal(signaled)
    (code, told), *_ = ended(processes[:1])
    processes[1].kill()
    processes[1].communicate()
    assert code == 1
    assert "rank 0 of 2 lost another one" in told
    assert "resume=True" in told
    update = int((tmp_path / "at-0").read_text())
    (kept,) = (tmp_path / "fit/checkpoints").glob("*.json")
    assert int(kept.stem.split("-")[1]) == update
    again, _ = trained(tmp_path / "fit", epochs=update // 5 + 1)
    whole, _ = trained(epochs=update // 5 + 1)
    assert same(again.state_dict(), whole.state_dict())


def test_a_process_that_is_asked_to_end_leaves_a_checkpoint(tmp_path: Path) -> None:
    (process,) = started(tmp_path, 1, way="seldom")
    until(tmp_path, 7)
    process.send_signal(signal.SIGTERM)
    assert ended([process])[0][0] == -signal.SIGTERM
    update = int((tmp_path / "at-0").read_text())
    (kept,) = (tmp_path / "fit/checkpoints").glob("*.json")
    assert int(kept.stem.split("-")[1]) == update


def test_processes_that_were_not_built_alike_say_so(tmp_path: Path) -> None:
    for code, told in ended(started(tmp_path, 2, way="apart")):
        assert code == 1
        assert "rank 0 and rank 1 were asked for the losses of different parameters" in told


def test_nonsense_is_refused() -> None:
    slope = Mollified(torch.Generator())
    with pytest.raises(ValueError, match="portions must be a number, at least 1, got 0"):
        Spread(slope, portions=0)
    with pytest.raises(ValueError, match="timeout must be seconds above zero, got -1"):
        Spread(slope, timeout=-1)
