"""The studies of digits: verdicts follow from figures, and networks learn."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from amphid.models import convolutional_classifier, dense_classifier, unit_lif
from amphid.studies import digits_binary, digits_regularized, digits_spiking
from amphid.studies.digits_regularized import WAYS, compared, interval
from amphid.studies.digits_training import Protocol, Trained, moved, train
from amphid.tasks import Digits, Score

DATA = Path(os.environ.get("AMPHID_DATA", "/nowhere"))
needs_digits = pytest.mark.skipif(
    not (DATA / "mnist").is_dir(), reason="AMPHID_DATA/mnist is not here"
)


def made(test: int, train: int, minutes: float = 3.0) -> Trained:
    """What a training would have given, out of a thousand."""
    return Trained(Score.of(test, 1000), Score.of(train, 1000), (), minutes, minutes)


@pytest.mark.parametrize(
    ("dense", "folded", "full", "holds"),
    [
        (made(976, 990), made(991, 999), True, True),
        (made(974, 990), made(991, 999), True, False),
        (made(974, 990), made(991, 999), False, None),
        (made(976, 990), made(989, 999), True, False),
        (made(976, 990, 11.0), made(991, 999), True, False),
        (made(976, 990), made(991, 999), False, True),
    ],
)
def test_the_claim_holds_where_both_are_right_often_enough_in_time(
    dense: Trained, folded: Trained, full: bool, holds: bool | None
) -> None:
    found = digits_spiking.figures([dense], folded)
    assert found["test_accuracy"] == dense.test.value
    assert digits_spiking.judged(found, full=full) is holds


def test_the_accuracy_is_the_mean_over_seeds_and_minutes_are_the_longest() -> None:
    found = digits_spiking.figures([made(970, 990, 2.0), made(980, 990, 5.0)], made(991, 999))
    assert (found["test_accuracy"], found["minutes"]) == (0.975, 5.0)
    assert found["test_accuracy_by_seed"] == [0.97, 0.98]


def test_an_interval_is_that_of_student() -> None:
    """Of 1, 2, 3: mean 2, 4.3027 standard errors of 1 / sqrt(3)."""
    assert interval([1.0, 2.0, 3.0]) == pytest.approx([2.0, 2 - 2.48414, 2 + 2.48414], abs=1e-4)
    assert interval([0.5]) == [0.5, None, None]


def test_ways_are_compared_seed_by_seed() -> None:
    """Errors that differ much between seeds and little between ways have a narrow difference."""
    plain = [made(900, 1000), made(930, 1000), made(950, 1000)]
    better = [made(911, 990), made(940, 990), made(961, 990)]
    found = compared(better, plain)
    assert found["test_error_change"][0] == pytest.approx(-0.01067, abs=1e-5)
    assert found["test_error_change"][2] < 0
    assert found["test_error"][2] - found["test_error"][0] > 0.05
    assert digits_regularized.judged(found) is True
    assert digits_regularized.judged(compared(plain[::-1], better)) is False
    assert digits_regularized.judged(compared(better[:1], plain[:1])) is None
    assert "gap_change" not in compared(plain, plain)


@pytest.mark.parametrize("way", WAYS)
def test_every_way_starts_from_the_same_weights(way: str) -> None:
    def first(settings: object) -> torch.Tensor:
        draw = torch.Generator().manual_seed(3)
        return dense_classifier(13, (7,), 5, generator=draw, **settings)[1].weight  # type: ignore

    assert torch.equal(first(WAYS[way].network), first({}))


def test_classifiers_draw_from_their_generator_alone() -> None:
    before = torch.get_rng_state()
    one, two = (
        convolutional_classifier(17, 5, maps=(2, 3), generator=torch.Generator().manual_seed(3))
        for _ in range(2)
    )
    assert torch.equal(torch.get_rng_state(), before)
    image = torch.rand(3, 17, 17)
    assert one.eval()(image).shape == (3, 5)
    assert torch.equal(one(image), two.eval()(image))
    with pytest.raises(ValueError, match="at least 16 pixels"):
        convolutional_classifier(15, 5)
    with pytest.raises(ValueError, match="hidden must be"):
        dense_classifier(13, (), 5)


def test_cells_of_the_classes_give_spikes_in_a_step() -> None:
    net = dense_classifier(13, (7, 11), 5, steps=4.0, readout=unit_lif, batch_norm=True).eval()
    rates = net(5 * torch.rand(3, 13))
    assert rates.shape == (3, 5)
    torch.testing.assert_close(rates * 4, (rates * 4).round())


def test_a_unit_of_current_takes_a_unit_cell_to_its_threshold_in_a_step() -> None:
    """A step of 1 - e adds 1 - e, so that the second one is over the threshold; 1 is kept back."""
    current = torch.tensor([0.999, 0.0, 0.3, 2.0, 0.0]).double()[:, None]
    spikes, state = unit_lif(tau=1e9).double().run(current)
    assert spikes.flatten().tolist() == [0, 0, 1, 1, 1]
    assert state.v.item() == pytest.approx(3.299 - 3.0, abs=1e-6)


def test_images_are_moved_by_a_pixel_at_most_and_lose_none() -> None:
    image = torch.zeros(2, 7, 7)
    image[:, 3, 3] = torch.tensor([1.0, 2.0])
    mover = moved(lambda images: 5 * images, 1, torch.Generator().manual_seed(3))
    places = set()
    for _ in range(97):
        seen = mover(image)
        assert seen.sum((-2, -1)).tolist() == [5.0, 10.0]
        assert seen[0].argmax() == seen[1].argmax()
        places.add(divmod(int(seen[0].argmax()), 7))
    assert places == {(row, column) for row in (2, 3, 4) for column in (2, 3, 4)}


@needs_digits
def test_a_small_network_learns_the_digits_in_seconds() -> None:
    torch.set_num_threads(1)
    draw = torch.Generator().manual_seed(3)
    task = Digits(2000, validation=211)
    model = dense_classifier(784, (31,), 10, steps=5.0, generator=draw)
    found = train(task, model, Protocol(2), generator=draw)
    assert found.test.value > 0.75
    assert len(found.validation) == 2
    assert found.figures()["test_accuracy"] == round(found.test.value, 4)


@pytest.mark.parametrize(
    ("test", "minutes", "full", "holds"),
    [
        (970, 9.0, True, True),
        (969, 9.0, True, False),
        (969, 9.0, False, None),
        (970, 61.0, True, False),
        (970, 9.0, False, True),
    ],
)
def test_binary_cells_are_judged_by_what_each_of_them_was_taught(
    test: int, minutes: float, full: bool, holds: bool | None
) -> None:
    found = {"cells": [made(test, 990, minutes)], "activity": [made(900, 990)]}
    measured = digits_binary.figures(found)
    assert measured["test_accuracy"] == test / 1000
    assert measured["activity"]["test_accuracy"] == 0.9
    assert digits_binary.judged(measured, full=full) is holds


def test_ten_minutes_are_those_of_the_training() -> None:
    short, long = made(970, 990, 9.0), made(980, 990, 40.0)
    long = replace(long, validation=(0.8, 0.9, 0.95, 0.97, 0.98, 0.98, 0.98, 0.98))
    found = digits_binary.figures({"cells": [short], "activity": [long]})
    assert found["after_10_minutes"] == 0.97
    assert found["activity"]["after_10_minutes"] == 0.9  # two of eight epochs


def test_a_step_with_its_true_derivative_has_none() -> None:
    distance = torch.tensor([-1.0, 0.0, 2.0], requires_grad=True)
    assert digits_binary.never(distance).tolist() == [0.0, 0.0, 1.0]
    assert not digits_binary.never(distance).requires_grad
