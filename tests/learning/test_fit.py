"""One loop: what it reaches, where it stops, and that it says where things went wrong."""

from __future__ import annotations

import json
import signal

import pytest
import torch
from torch import nn
from torch.optim.lr_scheduler import StepLR

from amphid import learning
from amphid.dynamics import LIF, LeakyIntegrator
from amphid.learning import L2, Backprop, EachUpdate, EarlyStopping, fit

T, B, K, N, C = 13, 11, 7, 5, 3


def seeded(seed: int = 1) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def network(seed: int = 1) -> nn.Sequential:
    net = nn.Sequential(
        nn.Linear(K, N), LIF(resistance=10.0), nn.Linear(N, C), LeakyIntegrator(resistance=1.0)
    ).double()
    draw = seeded(seed)
    with torch.no_grad():
        for p in net.parameters():
            p.copy_(torch.randn(p.shape, generator=draw, dtype=p.dtype))
    return net


def data(count: int = 4, seed: int = 2) -> list[tuple[torch.Tensor, torch.Tensor]]:
    draw = seeded(seed)
    return [
        (
            5 * torch.rand(T, B, K, generator=draw, dtype=torch.float64),
            torch.randint(0, C, (B,), generator=draw),
        )
        for _ in range(count)
    ]


def cross_entropy(outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    return nn.functional.cross_entropy(outputs.mean(0), targets)


def adam(net: nn.Module) -> torch.optim.Optimizer:
    return torch.optim.Adam(net.parameters(), lr=0.05)


def weights(net: nn.Module) -> torch.Tensor:
    return torch.cat([p.detach().flatten() for p in net.parameters()])


def test_a_fit_is_what_a_loop_written_by_hand_does() -> None:
    net, twin, batches = network(), network(), data()
    history = fit(net, batches, cross_entropy, optimizer=adam(net), epochs=3)
    optimizer = adam(twin)
    for _ in range(3):
        for x, y in batches:
            optimizer.zero_grad()
            cross_entropy(twin(x), y).backward()
            optimizer.step()
    assert torch.equal(weights(net), weights(twin))
    assert history.losses[-1] < history.losses[0]
    assert (len(history), history.updates, history.why) == (3, 12, "done")


def test_several_batches_together_are_one_large_batch() -> None:
    parts = data(3)
    large = [(torch.cat([x for x, _ in parts], 1), torch.cat([y for _, y in parts]))]
    net, twin = network(), network()
    plan = {"estimator": Backprop(clip_norm=0.01), "epochs": 2}
    one = fit(net, parts, cross_entropy, optimizer=adam(net), accumulate=3, **plan)
    two = fit(twin, large, cross_entropy, optimizer=adam(twin), **plan)
    torch.testing.assert_close(weights(net), weights(twin), rtol=1e-9, atol=1e-12)
    assert one.losses == pytest.approx(two.losses)
    assert one.updates == 2


def test_parameters_that_the_optimizer_does_not_hold_stay() -> None:
    net = network()
    before = net[0].weight.clone()
    fit(net, data(), cross_entropy, optimizer=torch.optim.SGD(net[2].parameters(), lr=0.1))
    assert torch.equal(net[0].weight, before)


def test_schedules_step_when_they_should() -> None:
    net = network()
    optimizer = adam(net)
    each = torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.5)
    history = fit(net, data(), cross_entropy, optimizer=optimizer, schedule=each, epochs=3)
    assert history["learning_rate"] == [0.05, 0.025, 0.0125]
    optimizer = adam(net)
    often = EachUpdate(torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.5))
    fit(net, data(), cross_entropy, optimizer=optimizer, schedule=often)
    assert optimizer.param_groups[0]["lr"] == pytest.approx(0.05 / 2**4)


def test_a_plateau_lowers_the_step_by_what_was_validated() -> None:
    net = network()
    optimizer = adam(net)
    plateau = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, factor=0.1, patience=0)
    said = iter([3.0, 2.0, 4.0, 1.0])
    history = fit(
        net, data(), cross_entropy, optimizer=optimizer, schedule=plateau, epochs=4,
        validate=lambda model: next(said),
    )  # fmt: skip
    assert history["learning_rate"] == pytest.approx([0.05, 0.05, 0.05, 0.005])


def test_stopping_early_gives_the_best_parameters_back() -> None:
    net = network()
    said, seen = iter([0.3, 0.8, 0.7, 0.6, 0.9]), []
    history = fit(
        net, data(), cross_entropy, optimizer=adam(net), epochs=9,
        validate=lambda model: {"accuracy": next(said)},
        early_stopping=EarlyStopping(patience=2, watch="accuracy", better=max),
        callbacks=[lambda now: seen.append((now.best, weights(net))) if now.row else None],
    )  # fmt: skip
    assert history.why == "early stopping"
    assert (history.best, len(history)) == (1, 4)
    assert [best for best, _ in seen] == [True, True, False, False]
    assert torch.equal(weights(net), seen[1][1])


def test_validation_neither_trains_nor_changes_the_mode() -> None:
    net = nn.Sequential(network(), nn.BatchNorm1d(C).double())
    net[1].eval()
    modes = []

    def validate(model: nn.Module) -> float:
        modes.append((model.training, torch.is_grad_enabled()))
        return 0.0

    def loss(outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        return outputs.square().mean()

    class Folded(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = net

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.net[1](self.net[0](x).mean(0))

    whole = Folded()
    fit(whole, data(), loss, optimizer=adam(whole), validate=validate)
    assert modes == [(False, False)]
    assert net[0].training
    assert not net[1].training


@pytest.mark.parametrize("answer", [True, "stop"])
def test_a_callback_stops_the_fit(answer: object) -> None:
    net = network()
    history = fit(
        net, data(), cross_entropy, optimizer=adam(net), epochs=5,
        callbacks=[lambda now: answer if now.update == 6 else None],
    )  # fmt: skip
    assert (history.updates, len(history), history.why) == (6, 1, "callback")


@pytest.mark.parametrize(
    ("spoil", "named"),
    [
        (lambda net: net[2].weight.data.fill_(1e308), "layer whose output is not finite is '2'"),
        (lambda net: net[0].bias.data.fill_(torch.nan), r"the parameter '0\.bias' is not finite"),
    ],
)
def test_what_is_not_finite_stops_with_its_name(spoil: object, named: str) -> None:
    net = network()
    spoil(net)
    before = weights(net)
    with pytest.raises(FloatingPointError, match=named):
        fit(net, data(), cross_entropy, optimizer=adam(net))
    assert torch.equal(weights(net).nan_to_num(), before.nan_to_num())


def test_a_gradient_that_is_not_finite_is_named() -> None:
    net = network()

    def root(outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        return (outputs - outputs.detach()).square().sum().sqrt()

    with pytest.raises(FloatingPointError, match=r"the gradient of '0\.weight' is not"):
        fit(net, data(), root, optimizer=adam(net))


def test_the_inputs_may_be_at_fault() -> None:
    net, batches = network(), data()
    batches[1][0][3, 2, 1] = torch.inf
    with pytest.raises(FloatingPointError, match="update 1: the inputs of the batch"):
        fit(net, batches, cross_entropy, optimizer=adam(net))


def test_ctrl_c_ends_after_the_update_and_leaves_a_checkpoint(tmp_path) -> None:
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell may have it ignored
    net = network()

    def loss(outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        if len(calls) == 5:
            signal.raise_signal(signal.SIGINT)
        calls.append(1)
        return cross_entropy(outputs, targets)

    calls: list[int] = []
    history = fit(net, data(), loss, optimizer=adam(net), epochs=9, folder=tmp_path, guard=None)
    assert (history.why, history.updates) == ("interrupted", 6)
    assert sorted(p.name for p in (tmp_path / "checkpoints").iterdir()) == [
        "00001-00000006.json", "00001-00000006.safetensors",
    ]  # fmt: skip
    assert signal.signal(signal.SIGINT, before) is signal.default_int_handler


def test_metrics_have_a_line_of_json_for_every_epoch(tmp_path) -> None:
    net = network()
    history = fit(
        net, data(), cross_entropy, optimizer=adam(net), epochs=3, folder=tmp_path, validate=data(2)
    )
    lines = (tmp_path / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in lines] == [dict(row) for row in history.rows]
    assert set(history.rows[0]) == {
        "epoch", "update", "loss", "validation", "learning_rate", "seconds",
    }  # fmt: skip


def test_progress_is_told(capsys) -> None:
    net, told = network(), []
    fit(
        net, data(), cross_entropy, optimizer=adam(net), epochs=2,
        progress=lambda done, of: told.append((done, of)),
    )  # fmt: skip
    assert told == [(k, 8) for k in range(1, 9)]
    fit(net, data(), cross_entropy, optimizer=adam(net))
    assert capsys.readouterr().err == ""


def test_the_bar_on_a_terminal_shows_epoch_and_loss(monkeypatch) -> None:
    import io
    import sys

    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    drawn = Terminal()
    monkeypatch.setattr(sys, "stderr", drawn)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "120")
    net = network()
    fit(net, data(), cross_entropy, optimizer=adam(net), epochs=2)
    assert "training, epoch" in drawn.getvalue()
    assert "of 2, loss" in drawn.getvalue()


def test_a_loss_that_does_not_fit_is_told_by_its_shapes() -> None:
    net, (x, y) = network(), data()[0]
    with pytest.raises(ValueError, match="batch_size") as raised:
        fit(net, [(x, y[:3])], cross_entropy, optimizer=adam(net))
    assert "outputs [13, 11, 3] of torch.float64 and targets [3]" in raised.value.__notes__[0]


@pytest.mark.parametrize(
    ("change", "error", "says"),
    [
        ({"batches": iter(data())}, TypeError, "used up by the first"),
        ({"batches": []}, ValueError, "batches gave nothing in epoch 0"),
        ({"batches": [torch.zeros(2)]}, TypeError, r"a pair \(inputs, targets\)"),
        ({"optimizer": adam(network(3))}, ValueError, "4 parameters that are not the model's"),
        ({"optimizer": None}, TypeError, "one of torch.optim"),
        ({"epochs": -1}, ValueError, "epochs must be a number, at least 0"),
        ({"epochs": True}, ValueError, "epochs must be a number, at least 0, got True"),
        ({"folder": 3}, TypeError, "folder must be a path"),
        ({"progress": "yes"}, TypeError, "progress must be True for a bar"),
        (
            {"estimator": lambda loss, p: (loss(p).detach(), {k: torch.zeros(2) for k in p})},
            ValueError,
            r"that of '0.weight' is \[2\], and the parameter",
        ),
        ({"accumulate": 0}, ValueError, "accumulate must be a number, at least 1"),
        ({"resume": True}, ValueError, "needs the folder"),
        ({"loss": lambda o, t: 1.0}, TypeError, "loss must give a tensor, got float"),
        ({"loss": lambda o, t: o.detach().sum()}, ValueError, "carries no gradient"),
        ({"early_stopping": EarlyStopping(watch="accuracy")}, KeyError, "an epoch has epoch"),
        ({"early_stopping": 3}, TypeError, r"must be EarlyStopping\(...\), got 3"),
        ({"loss": "mse"}, TypeError, "loss must be such as .*, got 'mse'"),
        ({"loss": nn.CrossEntropyLoss}, TypeError, "got the class CrossEntropyLoss"),
        ({"estimator": Backprop}, TypeError, "estimator must be .* got the class Backprop"),
        ({"estimator": "eprop"}, TypeError, r"estimator must be such as Backprop\(\), got 'eprop'"),
        ({"penalties": L2(1.0)}, TypeError, r"penalties must be a tuple or list, got L2"),
        ({"penalties": ("l2",)}, TypeError, r"ones such as L2\(1e-4\), got 'l2'"),
        ({"callbacks": print}, TypeError, "callbacks must be a tuple or list"),
        ({"callbacks": (3,)}, TypeError, "each of callbacks must be such as a function"),
        ({"schedule": StepLR}, TypeError, "schedule must be one of torch.optim.lr_scheduler"),
        ({"schedule": StepLR(adam(network()), 1)}, ValueError, "schedule is of another optimizer"),
        ({"folder": __file__}, NotADirectoryError, "cannot be .*test_fit.py, which is a file"),
        (
            {"batches": [(torch.zeros(T, 0, K).double(), torch.zeros(0).long())]},
            FloatingPointError,
            "empty",
        ),
    ],
)
def test_what_cannot_be_is_said(change: dict[str, object], error: type, says: str) -> None:
    net = network()
    asked = {"batches": data(), "loss": cross_entropy, "optimizer": adam(net)} | change
    batches, loss = asked.pop("batches"), asked.pop("loss")
    with pytest.raises(error, match=says):
        fit(net, batches, loss, **asked)


def test_a_function_of_the_epoch_makes_its_batches() -> None:
    net, asked = network(), []

    def batches(epoch: int) -> list[tuple[torch.Tensor, torch.Tensor]]:
        asked.append(epoch)
        return data(1, seed=epoch)

    assert fit(net, batches, cross_entropy, optimizer=adam(net), epochs=3).updates == 3
    assert asked == [0, 1, 2]


def test_the_history_names_what_it_has() -> None:
    history = learning.History(({"loss": 1.0},), 1, "done")
    assert history["loss"] == [1.0]
    with pytest.raises(KeyError, match="no 'accuracy'; it has loss"):
        history["accuracy"]
