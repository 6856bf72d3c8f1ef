"""Balanced accuracy: a mean of shares, blind to how rare a class is."""

import pytest
import torch

from amphid.measures import balanced_accuracy, recalls


def drawn(seed: int, count: int, classes: int) -> torch.Tensor:
    return torch.randint(classes, (count,), generator=torch.Generator().manual_seed(seed))


def test_it_is_the_mean_of_the_shares_counted_by_hand():
    classes = torch.tensor([0, 0, 0, 0, 1, 1, 2])
    chosen = torch.tensor([0, 0, 0, 1, 1, 0, 2])
    assert recalls(chosen, classes) == {0: 0.75, 1: 0.5, 2: 1.0}
    assert balanced_accuracy(chosen, classes) == pytest.approx(0.75)


@pytest.mark.parametrize("kinds", [2, 3, 7])
def test_one_answer_for_all_has_one_over_the_number_of_classes(kinds):
    classes = torch.cat((torch.arange(kinds), drawn(3, 101, 2)))
    for answer in range(kinds):
        found = balanced_accuracy(torch.full_like(classes, answer), classes)
        assert found == pytest.approx(1 / kinds)


def test_repeating_one_class_or_renaming_all_changes_nothing():
    classes, chosen = drawn(3, 53, 3), drawn(4, 53, 3)
    again = torch.cat((torch.arange(53), *[(classes == 1).nonzero()[:, 0]] * 4))
    expected = balanced_accuracy(chosen, classes)
    assert balanced_accuracy(chosen[again], classes[again]) == pytest.approx(expected)
    other = torch.tensor([5, 11, 2])
    assert balanced_accuracy(other[chosen], other[classes]) == pytest.approx(expected)
    assert balanced_accuracy(classes, classes) == 1.0


def test_with_equal_classes_it_is_the_plain_share():
    classes = torch.arange(3).repeat(17)
    chosen = drawn(5, 51, 3)
    plain = (chosen == classes).double().mean().item()
    assert balanced_accuracy(chosen, classes) == pytest.approx(plain)


def test_two_classes_may_be_given_as_yes_and_no():
    assert balanced_accuracy(torch.tensor([True, False]), torch.tensor([True, True])) == 0.5


@pytest.mark.parametrize(
    ("chosen", "classes", "error", "said"),
    [
        (torch.rand(5), torch.arange(5), TypeError, r"chosen must be whole numbers.*argmax"),
        (torch.arange(5), torch.arange(3), ValueError, "one class"),
        (torch.arange(6).view(2, 3), torch.arange(6).view(2, 3), ValueError, "one class"),
        (torch.arange(0), torch.arange(0), ValueError, "at least one example"),
    ],
)
def test_nonsense_is_a_sentence(chosen, classes, error, said):
    with pytest.raises(error, match=said):
        balanced_accuracy(chosen, classes)
