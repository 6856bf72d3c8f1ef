"""Rows judged without training: neighbors, clusters, histograms, harms; and verdicts."""

from __future__ import annotations

import math

import pytest
import torch

from amphid.models.waves.histograms import oriented_gradients
from amphid.studies import digits_without_training as study
from amphid.studies.harmed_images import HARMS, blanked, noisy, shifted, speckled
from amphid.studies.rows_judged import clusters, draws, matched, nearest, principal
from amphid.studies.study import Settings
from amphid.studies.without_training import Amount, Judge, Pictures


def seeded(seed: int = 3) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def heaps(count: int = 3, each: int = 37, apart: float = 9.0) -> tuple[torch.Tensor, torch.Tensor]:
    """Rows [B, 5] in heaps that lie apart, and which heap each is of."""
    labels = torch.arange(count).repeat(each)
    return apart * torch.eye(5)[labels] + torch.randn(len(labels), 5, generator=seeded()), labels


def test_the_nearest_is_the_one_of_least_distance() -> None:
    draw = seeded()
    rows, known = torch.randn(13, 7, generator=draw), torch.randn(11, 7, generator=draw)
    expected = torch.cdist(rows, known).argmin(1)
    assert torch.equal(nearest(rows, known, torch.arange(11)), expected)


def test_draws_show_as_many_of_each_class() -> None:
    labels = torch.tensor([0, 1, 2]).repeat(17)
    shown = list(draws(labels, 5, repeats=7, generator=seeded()))
    assert len(shown) == 7
    for which in shown:
        assert labels[which].bincount().tolist() == [5, 5, 5]
        assert len(which.unique()) == 15
    assert not torch.equal(shown[0], shown[1])
    with pytest.raises(ValueError, match="at least 1"):
        next(draws(labels, 0, repeats=7, generator=seeded()))


def test_heaps_that_lie_apart_are_found() -> None:
    rows, labels = heaps()
    found = clusters(rows, 3, starts=5, generator=seeded())
    assert matched(found, labels) == 1.0


def test_clusters_stand_for_labels_in_the_best_way() -> None:
    found = torch.tensor([2, 2, 0, 0, 1, 1, 1])
    labels = torch.tensor([5, 5, 7, 3, 3, 3, 7])
    assert matched(found, labels) == pytest.approx(5 / 7)


def test_principal_directions_keep_distances_where_there_are_few() -> None:
    rows, _ = heaps()
    told = principal(rows, generator=seeded())
    assert told.shape == rows.shape
    torch.testing.assert_close(torch.cdist(told, told), torch.cdist(rows, rows), rtol=0, atol=1e-2)
    spread = told.var(0)
    assert (spread[:-1] >= spread[1:]).all()


def test_histograms_see_the_direction_of_a_slope() -> None:
    ramp = torch.arange(28.0).expand(1, 28, 28)
    turned = ramp.transpose(1, 2)
    flat, steep = (oriented_gradients(x, block=1).view(7, 7, 9) for x in (ramp, turned))
    assert flat[1:-1, 1:-1].sum(-1).gt(0).all()
    assert flat[1:-1, 1:-1].argmax(-1).unique().tolist() == [0]
    assert steep[1:-1, 1:-1].argmax(-1).unique().tolist() == [4]  # half of nine over half a turn
    assert oriented_gradients(torch.zeros(1, 8, 8)).abs().max() == 0.0
    assert oriented_gradients(ramp).norm() == pytest.approx(1.0)


def test_brighter_images_have_the_same_histograms() -> None:
    image = torch.rand(3, 28, 28, generator=seeded())
    torch.testing.assert_close(oriented_gradients(7 * image), oriented_gradients(image))


@pytest.mark.parametrize("name", HARMS)
def test_a_harm_keeps_shape_and_range_and_draws_anew(name: str) -> None:
    images, before = torch.rand(5, 28, 28, generator=seeded()), torch.get_rng_state()
    one, same, other = (HARMS[name](images, seeded(seed)) for seed in (3, 3, 5))
    assert one.shape == images.shape
    assert one.min() >= 0.0
    assert one.max() <= 1.0
    assert torch.equal(one, same)
    assert not torch.equal(one, other)
    assert torch.equal(torch.get_rng_state(), before)


def test_harms_do_what_they_say() -> None:
    ones = torch.ones(41, 28, 28)
    hidden = blanked(ones, 8, margin=4, generator=seeded())
    assert hidden.sum((1, 2)).tolist() == [28 * 28 - 64] * 41
    assert hidden[:, :4].min() == hidden[:, :, -4:].min() == 1.0
    dot = torch.zeros(97, 28, 28)
    dot[:, 13, 15] = 1.0
    places = {tuple(place) for place in shifted(dot, seeded()).nonzero()[:, 1:].tolist()}
    assert places == {(i, j) for i in range(11, 16) for j in range(13, 18)}
    assert noisy(0.5 * ones, seeded()).std() == pytest.approx(0.26, abs=0.02)
    assert (speckled(0.5 * ones, seeded()) != 0.5).double().mean() == pytest.approx(0.1, abs=0.01)


def test_a_judge_gives_means_and_spreads_of_rows() -> None:
    rows, labels = heaps(each=41)
    images = Pictures({"known": rows, "tested": rows, "shift": rows[:7]},
                      {"known": labels, "tested": labels})  # fmt: skip
    judge = Judge(images, Amount(draws=3, slices=2, members=61, starts=1, tries=3), 3)
    found = judge.figures([images.sets, images.sets])
    assert found["accuracy"] == {"1": 1.0, "5": 1.0, "10": 1.0, "all": 1.0}
    assert found["harmed"] == {"shift": 1.0}
    assert found["kmeans"] == 1.0
    assert len(found["by_network"]) == 2


def blobs(count: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Images of lines that lie or stand, at places drawn."""
    draw, images = seeded(), torch.zeros(count, 28, 28)
    labels = torch.arange(count) % 2
    for image, label in zip(images, labels, strict=True):
        at = int(torch.randint(8, 20, (1,), generator=draw))
        lying = image if label else image.T
        lying[at : at + 2, 6:22] = 1.0
    return images, labels


def test_waves_and_controls_are_compared_on_any_images() -> None:
    torch.set_num_threads(1)
    images, labels = blobs(37)
    pair = Pictures.of(
        (images[:23], labels[:23]), (images[23:], labels[23:]), harmed=3, generator=seeded()
    )
    amount = Amount(draws=2, slices=1, members=37, starts=1, tries=2)
    measured, control = study.compared(pair, amount, (3, 4), Settings())
    assert measured["accuracy"]["all"] > 0.9
    assert measured["images_per_cpu_second"] > 0
    assert set(measured["harmed"]) == set(HARMS)
    for name in ("raw_pixels", "hog", "hog_upright", "no_waves"):
        assert set(control[name]) == {"1", "5", "10", "all"}
    assert not math.isnan(control["kmeans_raw"])


@pytest.mark.parametrize(
    ("few", "kmeans", "hidden", "full", "expected"),
    [
        ((0.71, 0.91, 0.94), 0.93, 0.87, True, True),
        ((0.71, 0.91, 0.94), 0.93, 0.87, False, True),
        ((0.69, 0.91, 0.94), 0.93, 0.87, True, False),
        ((0.71, 0.91, 0.94), 0.92, 0.87, True, False),
        ((0.71, 0.91, 0.94), 0.93, 0.84, True, False),
        ((0.71, 0.89, 0.94), 0.93, 0.87, False, None),
    ],
)
def test_the_claim_holds_where_all_goals_are_reached(few, kmeans, hidden, full, expected) -> None:
    measured = {
        "accuracy": dict(zip(("1", "5", "10"), few, strict=True)),
        "kmeans": kmeans,
        "harmed": {"occlusion": hidden},
    }
    control = {
        "raw_pixels": {"1": 0.44, "5": 0.67, "10": 0.75},
        "hog": {"1": 0.56, "5": 0.80, "10": 0.85},
        "harmed_raw": {"occlusion": 0.85},
    }
    assert study.holds(measured, control, full=full) is expected
