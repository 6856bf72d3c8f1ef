"""Behavior of worms: labels as they are derived, splits by animal, nothing from what comes."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import nn

from amphid.tasks import WormBehavior, WormRecording
from amphid.tasks.worm_behavior import blocked, states

CELLS = ("AVAL", "AVER", "RIML", None)


def recorded(name: str, seed: int, cells: tuple[str | None, ...] = CELLS) -> WormRecording:
    draw = torch.Generator().manual_seed(seed)
    velocity = torch.randn(311, generator=draw) / 10
    activity = torch.randn(311, 4, generator=draw)
    return WormRecording(name, activity, cells, velocity, velocity < -0.08, 600.0)


def worms() -> list[WormRecording]:
    some = [recorded(name, seed) for seed, name in enumerate("abcd")]
    return [*some, recorded("e", 7, (None,) * 4)]


def test_splits_are_animals_and_one_without_names_is_left_out() -> None:
    task = WormBehavior("b", recordings=worms(), calibration=53)
    assert task.worms == {"train": ("a", "c"), "validation": ("d",), "test": ("b",)}
    assert task.cells == ("AVAL", "AVER", "RIML")
    assert len(task.batches("train").targets) == 2 * (311 - 53)
    assert WormBehavior(recordings=worms()).worms["test"] == ("d",)
    with pytest.raises(KeyError, match="held must be one of the worms a, b, c, d, got 'e'"):
        WormBehavior("e", recordings=worms())
    with pytest.raises(ValueError, match="at least three worms with names"):
        WormBehavior(recordings=worms()[2:])


def test_windows_end_in_the_frame_that_is_asked_about() -> None:
    task = WormBehavior("b", recordings=worms(), calibration=53)
    windows, classes = next(iter(task.batches("test", size=300)))
    one = task.animals["b"]
    assert windows.shape == (311 - 53, 9, 3)
    torch.testing.assert_close(windows[7, -1], one.signals[60, :3])
    torch.testing.assert_close(windows[7, 0], one.signals[52, :3])
    assert torch.equal(classes, one.classes[53:])


def test_signals_know_no_later_frame() -> None:
    one = recorded("b", 1)
    later = one.activity.clone()
    later[200:] = 5.0
    other = WormRecording("b", later, one.cells, one.velocity, one.reversal, 600.0)
    seen = [
        WormBehavior("b", recordings=[*worms()[:1], *worms()[2:], each], calibration=53)
        .animals["b"].signals[:200]
        for each in (one, other)
    ]  # fmt: skip
    assert torch.equal(*seen)


def test_states_are_reversal_then_forward_above_the_own_quantile() -> None:
    one = recorded("a", 1)
    found = states(one)
    assert torch.equal(found == 0, one.reversal)
    free = ~one.reversal
    assert (found[free] == 1).double().mean() == pytest.approx(0.4, abs=0.01)
    padded = torch.cat((one.velocity[:1].repeat(2), one.velocity, one.velocity[-1:].repeat(2)))
    smooth = torch.stack([padded[i : i + 5].median() for i in range(311)])
    assert smooth[found == 1].min() > smooth[found == 2].max()


def test_short_gaps_of_velocity_change_no_state_and_long_ones_are_told() -> None:
    one = recorded("a", 1)
    still = replace(one, velocity=torch.where(one.reversal, -0.1, 0.1))
    gapped = still.velocity.clone()
    gapped[100:103] = torch.nan
    assert torch.equal(states(replace(still, velocity=gapped)), states(still))
    gapped[100:106] = torch.nan
    with pytest.raises(ValueError, match="velocity of a is not known around 2 frames"):
        states(replace(still, velocity=gapped))


def test_one_answer_scores_chance_and_the_truth_scores_one() -> None:
    for kinds in (2, 3):
        task = WormBehavior("b", recordings=worms(), calibration=53, classes=kinds)

        class Same(nn.Module):
            def __init__(self, kinds: int) -> None:
                super().__init__()
                self.kinds = kinds

            def forward(self, windows: torch.Tensor) -> torch.Tensor:
                return torch.eye(self.kinds)[:1].expand(len(windows), -1)

        assert task.score(Same(kinds)).value == pytest.approx(task.chance)
        truth = nn.functional.one_hot(task.animals["b"].classes, kinds).float()
        assert task.scored(truth, "b").value == 1.0
        with pytest.raises(ValueError, match=r"outputs must be \[311, "):
            task.scored(truth[1:], "b")


def test_the_loss_gives_classes_the_same_weight() -> None:
    task = WormBehavior("b", recordings=worms())
    outputs = torch.tensor([[2.0, 0.0], [2.0, 0.0], [2.0, 0.0], [0.0, 1.0]])
    each = nn.functional.cross_entropy(outputs, torch.tensor([0, 0, 0, 1]), reduction="none")
    expected = (each[:3].mean() + each[3]) / 2
    torch.testing.assert_close(task.loss(outputs, torch.tensor([0, 0, 0, 1])), expected)


def test_the_interval_of_blocks_is_wider_where_errors_come_together() -> None:
    classes = (torch.arange(800) // 10) % 2
    wrong = torch.zeros(800, dtype=torch.bool)
    wrong[200:360] = True
    together = blocked(torch.where(wrong, 1 - classes, classes), classes)
    spread = torch.zeros(800, dtype=torch.bool)
    spread[::5] = True
    apart = blocked(torch.where(spread, 1 - classes, classes), classes)
    assert together.value == apart.value == pytest.approx(0.8)
    assert together.high - together.low > 5 * (apart.high - apart.low)


def test_nonsense_is_refused_in_a_sentence() -> None:
    task = WormBehavior("b", recordings=worms(), calibration=53)
    with pytest.raises(ValueError, match="at least three worms"):
        WormBehavior(recordings=worms()[:1] * 3, calibration=53)
    with pytest.raises(ValueError, match="a and again are one animal"):
        WormBehavior(recordings=[*worms(), replace(worms()[0], name="again")], calibration=53)
    with pytest.raises(ValueError, match="a has 311 frames: more than the 311"):
        WormBehavior(recordings=worms(), calibration=311)
    with pytest.raises(KeyError, match="Did you mean 'b'"):
        WormBehavior("bb", recordings=worms(), calibration=53)
    with pytest.raises(KeyError, match="worm must be one of"):
        task.scored(torch.zeros(311, 2), "z")
    with pytest.raises(ValueError, match="targets int64"):
        task.loss(torch.zeros(4, 2), torch.full((4,), 7))
    apart = [recorded(name, ord(name), (name, None, None, None)) for name in "abc"]
    with pytest.raises(ValueError, match="no cell has a name in all"):
        WormBehavior(recordings=apart, calibration=53).batches("test")
