"""A fit that was interrupted, or killed, goes on as if nothing had happened, bit for bit."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from torch import nn

from amphid.learning import EachUpdate, EarlyStopping, fit

SCRIPT = '''
"""Train a small net with all that has a state; the weights at the end go to a file."""

import sys
import time
from pathlib import Path

import torch
from torch import nn

from amphid.dynamics import LIF, LeakyIntegrator
from amphid.learning import EachUpdate, EarlyStopping, fit


class Noise(nn.Module):
    """Draws from a generator of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.generator = torch.Generator().manual_seed(5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        drawn = torch.rand(x.shape[1:], generator=self.generator, dtype=x.dtype)
        return x + drawn if self.training else x


class Normed(nn.Module):
    """Batch norm over the last axis."""

    def __init__(self, cells: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(cells)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.norm(x.flatten(0, 1)).view_as(x)


def made():
    draw = torch.Generator().manual_seed(1)
    net = nn.Sequential(
        Noise(), nn.Linear(7, 5), Normed(5), LIF(resistance=20.0), nn.Dropout(0.2),
        nn.Linear(5, 3), LeakyIntegrator(resistance=1.0),
    )
    with torch.no_grad():
        for p in net.parameters():
            p.copy_(torch.randn(p.shape, generator=draw))
    inputs = 5 * torch.rand(22, 13, 7, generator=draw)
    labels = torch.randint(0, 3, (22,), generator=draw)
    return net, torch.utils.data.TensorDataset(inputs, labels)


def loss(outputs, targets):
    return nn.functional.cross_entropy(outputs.mean(0), targets)


def trained(folder, *, resume=False, callbacks=(), epochs=4, every=1):
    net, held = made()
    draw = torch.Generator().manual_seed(3)
    batches = torch.utils.data.DataLoader(
        held, batch_size=3, shuffle=True, generator=draw,
        collate_fn=lambda rows: (
            torch.stack([x for x, _ in rows], 1), torch.stack([y for _, y in rows])
        ),
    )
    optimizer = torch.optim.AdamW(net.parameters(), lr=0.03)
    schedule = EachUpdate(torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.05, total_steps=99))
    history = fit(
        net, batches, loss, optimizer=optimizer, epochs=epochs, folder=folder, resume=resume,
        accumulate=2, schedule=schedule, checkpoint_every=every, callbacks=callbacks,
        generator=draw, validate=list(batches)[:2], early_stopping=EarlyStopping(patience=50),
    )
    return net, history


if __name__ == "__main__":
    torch.manual_seed(7)
    folder = Path(sys.argv[1])
    pause = float(sys.argv[2])
    net, _ = trained(folder, resume=True, callbacks=[lambda now: time.sleep(pause)])
    torch.save(net.state_dict(), folder / "weights.pt")
'''

names: dict[str, object] = {"__name__": "script"}
exec(compile(SCRIPT, "script", "exec"), names)
trained = names["trained"]


def equal(one: nn.Module, two: nn.Module) -> bool:
    return all(
        torch.equal(a, b)
        for a, b in zip(one.state_dict().values(), two.state_dict().values(), strict=True)
    )


def without_time(history: object) -> list[dict[str, float]]:
    return [{k: v for k, v in row.items() if k != "seconds"} for row in history.rows]


@pytest.fixture
def seeded_torch():
    before = torch.get_rng_state()
    torch.manual_seed(7)
    yield
    torch.set_rng_state(before)


@pytest.mark.parametrize("update", [1, 6, 8])
def test_a_fit_stopped_after_any_update_goes_on_bit_for_bit(
    update: int, tmp_path: Path, seeded_torch: None
) -> None:
    """Dropout draws from torch's own generator, noise and order from others; 4 updates an epoch."""
    whole, history = trained(tmp_path / "whole")
    torch.manual_seed(7)
    stop = [lambda now: now.update == update and now.row is None]
    _, part = trained(tmp_path / "part", callbacks=stop)
    assert part.updates == update
    torch.manual_seed(99)
    again, rest = trained(tmp_path / "part", resume=True)
    assert equal(whole, again)
    assert without_time(rest) == without_time(history)
    lines = [json.loads(x) for x in (tmp_path / "part/metrics.jsonl").read_text().splitlines()]
    assert [row["epoch"] for row in lines] == list(range(4))


def test_a_killed_process_goes_on_bit_for_bit(tmp_path: Path, seeded_torch: None) -> None:
    whole, history = trained(tmp_path / "whole")
    folder, script = tmp_path / "killed", tmp_path / "script.py"
    script.write_text(SCRIPT)
    with subprocess.Popen([sys.executable, str(script), str(folder), "0.02"]) as process:
        while not list(folder.glob("checkpoints/*-0000000[5-9].json")):
            assert process.poll() is None
            time.sleep(0.005)
        os.kill(process.pid, signal.SIGKILL)
    assert not (folder / "weights.pt").exists()
    with (folder / "metrics.jsonl").open("a") as file:
        file.write('{"epoch": 3, "upd')  # as if it had been cut off while writing
    torch.manual_seed(99)
    again, rest = trained(folder, resume=True)
    assert equal(whole, again)
    assert without_time(rest) == without_time(history)
    lines = (folder / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line)["epoch"] for line in lines] == list(range(4))


def test_a_fit_that_has_ended_has_nothing_left_to_do(tmp_path: Path) -> None:
    one, history = trained(tmp_path, epochs=2)
    two, again = trained(tmp_path, epochs=2, resume=True)
    assert equal(one, two)
    assert without_time(again) == without_time(history)


def test_a_longer_fit_goes_on_from_a_shorter_one(tmp_path: Path, seeded_torch: None) -> None:
    whole, _ = trained(tmp_path / "whole", epochs=5)
    torch.manual_seed(7)
    trained(tmp_path / "part", epochs=2)
    assert equal(whole, trained(tmp_path / "part", epochs=5, resume=True)[0])


def test_nothing_that_draws_from_elsewhere_moves_torchs_own_generator(tmp_path: Path) -> None:
    net, data = plain()
    arguments = {"folder": tmp_path, "epochs": 2}
    before = torch.get_rng_state()
    fit(net, data, mse, optimizer=sgd(net), **arguments)
    fit(net, data, mse, optimizer=sgd(net), resume=True, **arguments | {"epochs": 3})
    assert torch.equal(torch.get_rng_state(), before)


def plain() -> tuple[nn.Module, list[tuple[torch.Tensor, torch.Tensor]]]:
    draw = torch.Generator().manual_seed(2)
    net = nn.Linear(7, 3)
    nn.init.normal_(net.weight, generator=draw)
    nn.init.zeros_(net.bias)
    return net, [(torch.rand(5, 7, generator=draw), torch.rand(5, 3, generator=draw))] * 3


def mse(outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    return (outputs - targets).square().mean()


def sgd(net: nn.Module) -> torch.optim.Optimizer:
    return torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9)


def test_generators_that_a_function_refers_to_are_found(tmp_path: Path) -> None:
    def trained_on(folder: Path, epochs: int, *, resume: bool = False) -> torch.Tensor:
        net, _ = plain()
        draw = torch.Generator().manual_seed(4)

        def batches(epoch: int) -> list[tuple[torch.Tensor, torch.Tensor]]:
            return [(torch.rand(5, 7, generator=draw), torch.zeros(5, 3)) for _ in range(3)]

        fit(net, batches, mse, optimizer=sgd(net), epochs=epochs, folder=folder, resume=resume)
        return net.weight.detach()

    whole = trained_on(tmp_path / "whole", 4)
    trained_on(tmp_path / "part", 2)
    assert torch.equal(trained_on(tmp_path / "part", 4, resume=True), whole)


def test_ctrl_c_within_a_batch_keeps_the_last_update(tmp_path: Path) -> None:
    def interrupted(outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        calls.append(1)
        if len(calls) == 5:
            raise KeyboardInterrupt
        return mse(outputs, targets)

    calls: list[int] = []
    (whole, data), (net, _) = plain(), plain()
    fit(whole, data, mse, optimizer=sgd(whole), epochs=3, guard=None)
    history = fit(net, data, interrupted, optimizer=sgd(net), epochs=3, folder=tmp_path, guard=None)
    assert (history.why, history.updates) == ("interrupted", 4)
    again, _ = plain()
    fit(again, data, mse, optimizer=sgd(again), epochs=3, folder=tmp_path, resume=True)
    assert equal(whole, again)


def test_the_counter_of_early_stopping_is_resumed(tmp_path: Path) -> None:
    net, data = plain()
    arguments = {
        "epochs": 9,
        "folder": tmp_path,
        "validate": lambda model: 1.0,
        "early_stopping": EarlyStopping(patience=4),
    }
    stop = [lambda now: now.epoch == 2 and now.row is not None]
    fit(net, data, mse, optimizer=sgd(net), callbacks=stop, **arguments)
    history = fit(net, data, mse, optimizer=sgd(net), resume=True, **arguments)
    assert (history.why, len(history), history.best) == ("early stopping", 5, 0)
    history = fit(net, data, mse, optimizer=sgd(net), resume=True, **arguments)
    assert (history.why, len(history)) == ("early stopping", 5)


def test_a_folder_is_never_written_over(tmp_path: Path) -> None:
    net, data = plain()
    fit(net, data, mse, optimizer=sgd(net), folder=tmp_path)
    with pytest.raises(FileExistsError, match="resume=True"):
        fit(net, data, mse, optimizer=sgd(net), folder=tmp_path)


def test_another_fit_is_not_resumed(tmp_path: Path) -> None:
    net, data = plain()
    fit(net, data, mse, optimizer=sgd(net), folder=tmp_path)
    optimizer = torch.optim.Adam(net.parameters())
    with pytest.raises(ValueError, match="optimizer is SGD, here it is Adam"):
        fit(net, data, mse, optimizer=optimizer, folder=tmp_path, resume=True, epochs=2)
    other = nn.Linear(7, 2)
    with pytest.raises(ValueError, match="its parameters is"):
        fit(other, data, mse, optimizer=sgd(other), folder=tmp_path, resume=True, epochs=2)


@pytest.mark.parametrize("suffix", [".json", ".safetensors"])
@pytest.mark.parametrize("damage", ["cut", "flip", "lost"])
def test_a_damaged_checkpoint_is_a_sentence(suffix: str, damage: str, tmp_path: Path) -> None:
    net, data = plain()
    fit(net, data, mse, optimizer=sgd(net), folder=tmp_path)
    (path,) = (tmp_path / "checkpoints").glob(f"*{suffix}")
    content = path.read_bytes()
    middle = len(content) // 2
    if damage == "cut":
        path.write_bytes(content[:middle])
    elif damage == "flip":
        path.write_bytes(content[:middle] + bytes([content[middle] ^ 128]) + content[middle + 1 :])
    elif suffix == ".json":
        return  # without it there is no checkpoint
    else:
        path.unlink()
    with pytest.raises(ValueError, match=r"cannot be read|damaged|lost its tensors"):
        fit(net, data, mse, optimizer=sgd(net), folder=tmp_path, resume=True, epochs=2)


def test_what_cannot_be_kept_is_refused_by_its_place(tmp_path: Path) -> None:
    class Odd(nn.Linear):
        def get_extra_state(self) -> object:
            return object()

        def set_extra_state(self, state: object) -> None: ...

    net, (_, data) = Odd(7, 3), plain()
    with pytest.raises(TypeError, match="model/_extra_state holds object"):
        fit(net, data, mse, optimizer=sgd(net), folder=tmp_path)


def test_a_schedule_by_updates_is_resumed(tmp_path: Path) -> None:
    (one, data), (two, _) = plain(), plain()
    for folder, net, stops in (("a", one, []), ("b", two, [lambda now: now.update == 2])):
        optimizer = sgd(net)
        schedule = EachUpdate(torch.optim.lr_scheduler.MultiStepLR(optimizer, [2, 4], 0.1))
        arguments = {"optimizer": optimizer, "schedule": schedule, "epochs": 2}
        fit(net, data, mse, folder=tmp_path / folder, callbacks=stops, **arguments)
    optimizer = sgd(two)
    schedule = EachUpdate(torch.optim.lr_scheduler.MultiStepLR(optimizer, [2, 4], 0.1))
    fit(
        two, data, mse, optimizer=optimizer, schedule=schedule, epochs=2, folder=tmp_path / "b",
        resume=True,
    )  # fmt: skip
    assert equal(one, two)
    assert optimizer.param_groups[0]["lr"] == pytest.approx(0.1 * 0.01)
