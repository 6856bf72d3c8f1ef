"""The studies of emergence and of pruning, in small, and how they are judged."""

import json
import os
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from amphid.learning import Emergence, Kaiming, initialize
from amphid.studies import emergence_init, emergence_pruning, lottery_digits
from amphid.studies.emergence_init import ARMS, MORE_ARMS, Budget, Ran, Tried, trained, tried
from amphid.studies.emergence_pruning import Net, direction, of_width, turns
from amphid.studies.start_settings import FULL, QUICK, Setting, Translator, dense, reversals

needs_digits = pytest.mark.skipif(
    not (Path(os.environ.get("AMPHID_DATA", "")) / "mnist").is_dir(),
    reason="AMPHID_DATA does not hold mnist",
)


def blobs(seed):
    """Images [B, 1, 14, 14] whose classes are noise around ten places."""
    places = torch.randn(10, 1, 14, 14, generator=torch.Generator().manual_seed(99))
    draw = torch.Generator().manual_seed(seed)
    y = torch.randint(10, (300,), generator=draw)
    x = places[y] + 0.5 * torch.randn(300, 1, 14, 14, generator=draw)
    return (x[:200], y[:200]), (x[200:], y[200:])


SMALL = Setting("small", dense(4, 17, norm=False), blobs, torch.optim.SGD, 0.5, 22, 0.3, 10)


@pytest.mark.parametrize("name", [*ARMS, *MORE_ARMS])
def test_every_arm_starts_and_learns(name):
    ran = trained(SMALL, (ARMS | MORE_ARMS)[name], 3, 0.01, 22)
    assert len(ran.losses) == 22
    assert ran.losses[-1] < ran.losses[0]
    assert 0 <= ran.early <= 1
    again = trained(SMALL, (ARMS | MORE_ARMS)[name], 3, 0.01, 22)
    assert again.losses == ran.losses


@pytest.mark.parametrize("setting", FULL[-4:], ids=lambda s: s.name)
def test_every_net_can_be_started(setting):
    net = setting.net()
    x = torch.zeros(3, 7, dtype=torch.long) if isinstance(net, Translator) else None
    x = torch.zeros(3, 1, 14, 14) if x is None else x
    told = initialize(net, Emergence(1.25, Kaiming()), x)
    assert len(told.factors) == (13 if isinstance(net, Translator) else 5)
    assert net(x).shape[1] == (11 if isinstance(net, Translator) else 10)


def test_sentences_are_to_be_reversed():
    (x, y), tested = reversals(5)(3)
    assert y[2].tolist() == x[2].tolist()[::-1]
    assert tested[0].shape == (1000, 7)


def test_a_rate_is_found_where_nothing_is_measured():
    pytest.importorskip("optuna")
    found = tried(SMALL, ARMS["base"], [3, 4], Budget(trials=3, tuned=1))
    assert len(found.steps) == len(found.late) == 2
    assert 0.3 / 10**2 <= found.rate <= 0.3


def test_steps_are_counted_to_the_mean_of_twenty():
    ran = Ran(losses=[1.0] * 30 + [0.0] * 30)
    assert ran.steps(0.5) == (40, True)
    assert ran.steps(-1.0) == (60, False)


def one(*steps):
    return Tried(0.1, list(steps), [True] * len(steps), [0.5] * len(steps), [0.9] * len(steps))


@pytest.mark.parametrize(
    ("steps", "holds"), [((80, 90, 85), True), ((80, 90, 130), None), ((100, 120, 110), False)]
)
def test_the_rule_is_judged_by_the_interval_of_its_ratio(steps, holds):
    arms = {"base": one(100, 100, 100), "alpha 1.25": one(*steps)}
    assert emergence_init.holds(emergence_init.summarized({"small": arms})) is None
    measured = emergence_init.summarized(dict.fromkeys("abcd", arms))
    assert measured["steps_ratio"]["alpha 1.25"] == sorted(steps)[1] / 100
    assert emergence_init.holds(measured) is holds


def test_a_loss_turns_where_it_stops_rising():
    assert turns(torch.tensor([3.0, 1.0, 2.0, 3.0, 2.0])) == 2
    assert turns(torch.arange(5.0)) == 0


def test_a_direction_leaves_out_what_is_masked_and_is_as_long_as_the_rest():
    held = torch.tensor([[3.0, 0.0, 4.0], [0.0, 0.0, 0.0]])
    found = direction({"w": held}, torch.Generator().manual_seed(3))["w"]
    assert found[0, 1] == 0
    assert found[0].norm().item() == pytest.approx(5.0)
    assert not found[1].any()


@needs_digits
def test_nets_of_a_width_are_followed_dense_and_pruned(monkeypatch):
    monkeypatch.setattr(emergence_pruning, "LINES", 2)
    monkeypatch.setattr(emergence_pruning, "RESAMPLED", 50)
    amount = replace(emergence_pruning.QUICK, images=500, epochs=2, widths=(8,), pruned=(0.5,))
    nets = [net for seed in (0, 1) for net in of_width(8, seed, amount)]
    assert [net.pruned for net in nets] == [0.0, 0.5, 0.0, 0.5]
    assert nets[0].paths.parameters - nets[1].paths.parameters == round((196 * 8 + 64 + 80) / 2)
    measured, control = emergence_pruning.summarized(nets, amount)
    json.dumps([measured, control], allow_nan=False)
    assert set(measured["parts"]) == {
        "more accurate with E per parameter", "pruned sooner", "pruned lower", "more rugged with E",
    }  # fmt: skip
    assert len(measured["by net"]["8 wide, 50% pruned"]["epochs"]) == 2
    assert isinstance(nets[0], Net)


@pytest.mark.parametrize(
    ("parts", "holds"),
    [
        ({"a": True, "b": True}, True),
        ({"a": True, "b": None}, None),
        ({"a": None, "b": False}, False),
    ],
)
def test_all_parts_must_hold(parts, holds):
    assert emergence_pruning.holds(parts) is holds


@needs_digits
def test_a_tenth_of_the_weights_is_kept_by_every_arm():
    amount = lottery_digits.Amount(500, 3, 1, 1, lottery_digits.ARMS)
    found = lottery_digits.one(3, amount)
    assert set(found["accuracy"]) == set(lottery_digits.ARMS)
    assert all(kept == pytest.approx(0.1, abs=0.001) for kept in found["kept"].values())
    assert 0 < found["dense"] < 1


@pytest.mark.parametrize(
    ("less", "more", "kept", "holds"),
    [
        (0.002, [0.01, 0.03], 0.1, True), (0.006, [0.01, 0.03], 0.1, False),
        (0.002, [-0.01, 0.03], 0.1, None), (0.002, [0.01, 0.03], 0.2, False),
    ],
)  # fmt: skip
def test_a_ticket_must_match_and_beat_chance(less, more, kept, holds):
    gain = {"mean": sum(more) / 2, "interval": more}
    measured = {"less than dense": {"mean": less}, "more than random": gain, "kept": kept}
    assert lottery_digits.holds(measured) is holds


def test_quick_is_one_net():
    assert [setting.name for setting in QUICK] == ["dense 6"]
