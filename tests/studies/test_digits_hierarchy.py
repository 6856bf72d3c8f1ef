"""The pieces of the studies of digits: codes, filters, read-outs, and how each claim is judged."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch

from amphid.learning import Objective
from amphid.studies import Settings, transfer
from amphid.studies import cnn_hierarchy as cnn
from amphid.studies import digits_biophysical as bio
from amphid.studies import digits_weak as weak
from amphid.studies import search_digits as searches
from amphid.studies.gabor import Gabors, fits, random_filters
from amphid.studies.paired import difference, interval
from amphid.tasks import Score


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_pixels_fire_in_proportion_and_each_spike_lasts() -> None:
    images = torch.tensor([0.0, 0.005, 0.1]).expand(499, 3)
    told = bio.spike_trains(images, seeded())
    assert told.shape == (200, 499, 3)
    assert not told[..., :2].any()
    begins = (told[1:] - told[:-1] > 0).sum(0)[:, 2].double().mean() + told[0, :, 2].mean()
    assert begins.item() == pytest.approx(0.1 * bio.FIRINGS, rel=0.15)
    on = told[..., 2]
    last = round(bio.LASTING * bio.WINDOW / bio.DT)
    alone = [train for train in on.T if (train.diff() > 0).sum() == 1 and train[-last:].sum() == 0]
    assert alone
    assert all(train.sum() >= last for train in alone)


def test_the_biophysical_net_has_a_gradient_that_differences_confirm() -> None:
    net = bio.BiophysicalNet(seeded()).double()
    image = torch.rand(1, 28, 28, generator=seeded(1), dtype=torch.float64)
    seen = bio.spike_trains(image, seeded(2)).double()
    net._seen = lambda images: seen  # type: ignore[method-assign]
    weight = net.second.weight
    out = net(image)[0, 3]
    (slope,) = torch.autograd.grad(out, weight)
    with torch.no_grad():
        ends = []
        for step in (1e-5, -2e-5):
            weight[3] += step
            ends.append(net(image)[0, 3].item())
    assert slope[3].sum().item() == pytest.approx((ends[0] - ends[1]) / 2e-5, rel=1e-3)


def test_published_courses_are_judged_each_by_its_own_figure() -> None:
    def told(few: float, many: float) -> dict[str, dict[str, float]]:
        return dict(zip(map(str, bio.FULL), ({"test_accuracy": few}, {"test_accuracy": many}),
                        strict=True))  # fmt: skip

    assert bio.holds(told(0.81, 0.88))
    assert not bio.holds(told(0.79, 0.95))
    assert not bio.holds(told(0.95, 0.87))


@pytest.mark.parametrize(
    ("reached", "full", "holds"),
    [
        ((0.63, 0.76, 0.60), True, True),
        ((0.63, 0.76, 0.60), False, True),
        ((0.63, 0.74, 0.60), True, None),  # too close to tell
        ((0.90, 0.73, 0.90), True, False),
        ((0.90, 0.73, 0.90), False, None),  # too short to fail
    ],
)
def test_every_window_has_its_own_figure_to_beat(
    reached: tuple[float, ...], full: bool, holds: bool | None
) -> None:
    best = {
        str(one): {"test_accuracy": value, "interval": [value - 0.02, value + 0.02]}
        for one, value in zip(weak.PUBLISHED, reached, strict=True)
    }
    assert weak.holds(best, full=full) is holds


def test_other_ways_stand_beside_in_a_full_run_from_its_first_seed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def run(one: weak.Published, course: bio.Course, make: weak.Make, seed: int) -> dict[str, Any]:
        right = 90 if make is weak.cells else 20
        return {"curve": [0.1 * seed, 0.9], "score": Score.of(right, 100), "chance": 0.11}

    monkeypatch.setattr(weak, "run", run)
    report = weak.DigitsBiophysical().run(Settings(seed=5, full=True))
    assert report.measured["test_accuracy"] == {"10 ms": 0.9, "50 ms": 0.9, "100 ms": 0.9}
    assert report.control["untrained"]["50 ms"] == pytest.approx([0.5, 0.6, 0.7])
    beside = {
        way: report.control[way]["100 ms"]["of each seed"] for way in weak.WAYS if way != weak.BEST
    }
    assert beside == {"activity perturbation": [0.2], "backpropagation": [0.2]}
    assert report.holds is True
    quick = weak.DigitsBiophysical().run(Settings(seed=5))
    assert set(quick.control) == {"chance", "untrained"}


@pytest.mark.parametrize("way", list(weak.WAYS))
def test_noise_tells_slopes_of_both_layers_of_cells_that_read_digits(way: str) -> None:
    net = bio.BiophysicalNet(seeded(), 10.0, 0.1, weak.GAIN)
    images, digits = torch.rand(3, 28, 28, generator=seeded(1)), torch.tensor([1, 7, 3])
    objective = Objective(net, images, digits, weak.squared_errors)
    value, slopes = weak.WAYS[way](seeded(2), 0.1)(objective, dict(net.named_parameters()))
    assert 0 < float(value) < 1
    assert all(slope.isfinite().all() and slope.any() for slope in slopes.values())


@pytest.mark.parametrize("theta", [0.3, 1.1, 2.7])
def test_planted_gabors_are_found_again(theta: float) -> None:
    gabors = Gabors(7)
    even, odd = gabors.pair((0.4, -0.3, theta, 0.2, 1.7, 0.8))
    planted = torch.from_numpy(0.6 * even - 1.1 * odd).view(7, 7)
    share, found = gabors.fit(planted)
    assert share > 0.99
    turned = abs(found["theta"] - theta) % math.pi
    assert min(turned, math.pi - turned) < 0.1
    assert found["frequency"] == pytest.approx(0.2, abs=0.03)


def test_noise_is_no_gabor() -> None:
    assert max(fits(random_filters(5, 7, seeded()))) < 0.5


def test_shuffled_filters_keep_their_weights() -> None:
    before = random_filters(3, 7, seeded())
    after = cnn.shuffled(before, seeded(1))
    assert not torch.equal(before, after)
    torch.testing.assert_close(
        after.flatten(1).sort(-1).values, before.flatten(1).sort(-1).values, rtol=0, atol=0
    )


def test_moved_images_keep_what_stands_in_the_middle() -> None:
    image = torch.zeros(4, 28, 28)
    image[:, 14, 11] = 1.0
    where = cnn.moved(image, torch.arange(4)).nonzero()[:, 1:].tolist()
    assert sorted(where) == sorted([[17, 11], [11, 11], [14, 14], [14, 8]])


def test_a_patch_hides_its_area_and_nothing_else() -> None:
    left = cnn.hidden(torch.ones(5, 28, 28), seeded())
    assert left.sum((1, 2)).tolist() == [28 * 28 - cnn.PATCH**2] * 5


def test_a_linear_read_out_reads_what_is_linear_and_not_noise() -> None:
    g = seeded()
    digits = torch.randint(10, (701,), generator=g)
    plain = torch.nn.functional.one_hot(digits, 10) + 0.1 * torch.randn(701, 10, generator=g)
    noise = torch.randn(701, 13, generator=g)
    for x, least, most in ((plain, 0.99, 1.0), (noise, 0.0, 0.25)):
        reader = cnn.Reader.of(x[:307], digits[:307], x[307:503], digits[307:503])
        assert least <= reader.accuracy(x[503:], digits[503:]) <= most


def test_a_quick_hierarchy_can_refute_but_not_confirm() -> None:
    good = {"accuracy": True, "oriented": True, "read-out": True}
    assert cnn.holds(good, full=True) is True
    assert cnn.holds({**good, "accuracy": False}, full=True) is False
    assert cnn.holds(good, full=False) is None
    assert cnn.holds({**good, "oriented": False}, full=False) is False


def test_steps_are_counted_to_the_first_look_at_the_goal() -> None:
    curve = (0.1, 0.2, 0.6, 0.5, 0.7, 0.7, 0.7)
    assert transfer.steps_to(curve, 0.55) == transfer.LOOKS[2]
    assert transfer.steps_to(curve, 0.9) == transfer.LOOKS[-1]


@pytest.mark.parametrize(
    ("gain", "low", "fewer", "holds"),
    [
        (0.06, 0.01, 4, True),
        (0.04, 0.01, 5, False),
        (0.06, -0.01, 5, False),
        (0.06, 0.01, 2, False),
    ],
)
def test_transfer_asks_for_margin_certainty_and_speed(
    gain: float, low: float, fewer: int, holds: bool
) -> None:
    told = {"mean": gain, "interval": [low, 0.2]}
    measured = {"gain": told, "seeds with fewer steps": fewer, "seeds": 5}
    assert transfer.holds(measured) is holds


def test_paired_differences_do_not_see_what_pairs_share() -> None:
    shared = [0.1, 5.0, -3.0, 2.0]
    told = difference([1.2, 5.9, -1.9, 2.9], shared)
    assert told["mean"] == pytest.approx(1.0)
    assert 0.8 < told["interval"][0] < 1.0 < told["interval"][1] < 1.2
    with pytest.raises(ValueError, match="at least two"):
        interval([1.0])


@pytest.mark.parametrize(
    ("gaps", "holds"),
    [(((0.2, 0.1), (0.3, 0.1)), True), (((0.2, -0.1), (0.3, 0.1)), None),
     (((-0.1, -0.3), (0.3, 0.1)), False)],
)  # fmt: skip
def test_searches_are_judged_by_both_differences(gaps, holds) -> None:
    less = {k: {"mean": mean, "interval": [low, 1.0]} for k, (mean, low) in enumerate(gaps)}
    assert searches.holds({"less than": less}) is holds


def test_the_best_so_far_never_rises() -> None:
    assert searches.best_so_far([3.0, 5.0, 1.0, 2.0]) == [3.0, 3.0, 1.0, 1.0]
