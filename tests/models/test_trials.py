"""Classifiers of trials in closed form: what they find, and what changes nothing."""

import math

import pytest
import torch

from amphid.models import BandPatterns, Discriminant, TrialClassifier, WindowMeans
from amphid.models.trials.discriminant import shrunk_covariance


def normal(*shape: int, seed: int = 3) -> torch.Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def test_with_many_examples_the_covariance_is_hardly_shrunk_and_with_few_much():
    mixed = torch.tensor([[1.0, 0, 0], [0.7, 1, 0], [0.2, -0.5, 2]], dtype=torch.float64)
    rows = normal(20_011, 3) @ mixed.T
    torch.testing.assert_close(shrunk_covariance(rows), mixed @ mixed.T, atol=0.1, rtol=0.03)
    few = shrunk_covariance(normal(5, 101))
    assert torch.linalg.cond(few) < 30
    plain = normal(5, 101)
    trace = (plain.square().sum() / 5).item()
    assert shrunk_covariance(plain).diagonal().sum().item() == pytest.approx(trace)


def test_the_discriminant_finds_the_boundary_of_two_clouds():
    """Equal round clouds: the boundary is half way, and the odds are linear in the distance."""
    apart = torch.tensor([3.0, 0.0, 0.0, 0.0, 0.0], dtype=torch.float64)
    classes = torch.arange(40_014) % 2
    rows = normal(40_014, 5) + classes[:, None] * apart
    values = Discriminant(5).double().fit(rows, classes)(apart * torch.tensor([[0.0], [0.5], [1]]))
    odds = values[:, 1] - values[:, 0]
    torch.testing.assert_close(odds, torch.tensor([-4.5, 0, 4.5]).double(), atol=0.15, rtol=0)


def test_units_and_places_of_features_change_no_answer():
    classes = torch.arange(61) % 3
    rows = normal(61, 7) + classes[:, None]
    order, scale = torch.randperm(7, generator=torch.Generator().manual_seed(5)), 10.0 ** normal(7)
    one = Discriminant(7, 3).double().fit(rows, classes)(rows)
    other = (rows * scale + 5)[:, order]
    again = Discriminant(7, 3).double().fit(other, classes)(other)
    torch.testing.assert_close(again.softmax(-1), one.softmax(-1))


def test_patterns_find_the_channels_whose_rhythm_differs():
    """Noise everywhere; class 1 has a rhythm of 20 Hz in channel 2, class 0 in channel 4."""
    time = torch.arange(50, dtype=torch.float64) * 0.01
    classes = torch.arange(46) % 2
    trials = 0.1 * normal(46, 5, 50)
    phase = normal(46, 1, seed=7) * math.pi
    rhythm = torch.sin(2 * math.pi * 20 * time + phase)
    for kind, channel in ((1, 2), (0, 4)):
        trials[classes == kind, channel] += rhythm[classes == kind]
    patterns = BandPatterns(5, band=(15.0, 25.0), interval=10.0, pairs=1).double()
    patterns.fit(trials, classes)
    assert patterns.filters.abs().argmax(0).tolist() == [2, 4]
    power = patterns(trials)
    assert ((power[:, 0] > power[:, 1]) == (classes == 1)).all()
    other = BandPatterns(5, band=(35.0, 45.0), interval=10.0, pairs=1).double()
    silent = other.fit(trials, classes)(trials)
    assert silent.amax(1).mean() < power.amax(1).mean() - 3


def test_mixing_the_channels_leaves_the_power_of_patterns_as_it_was():
    """A rotation of the channels turns covariance, loading and patterns alike."""
    classes = torch.arange(46) % 2
    trials = normal(46, 3, 31) * (1 + classes[:, None, None] * torch.tensor([[2.0], [0], [-0.5]]))
    turned = torch.linalg.qr(normal(3, 3, seed=5))[0]
    seen = []
    for given in (trials, turned @ trials):
        patterns = BandPatterns(3, band=(5.0, 45.0), interval=10.0, pairs=1).double()
        seen.append(patterns.fit(given, classes)(given))
    torch.testing.assert_close(*seen)


def test_windows_are_means_less_the_baseline():
    trials = torch.arange(2 * 3 * 10, dtype=torch.float64).view(2, 3, 10)
    means = WindowMeans([(2, 4), (6, 10)], baseline=(0, 2))(trials)
    torch.testing.assert_close(means, torch.tensor([[2.0] * 3 + [7.0] * 3] * 2).double())
    assert WindowMeans.every(5, 13).windows == ((0, 5), (5, 10))
    assert WindowMeans.every(5, 13)(trials[:, :, :10]).shape == (2, 6)


def test_a_classifier_is_kept_by_its_state():
    classes = torch.arange(46) % 2
    trials = normal(46, 4, 31) + classes[:, None, None]

    def made() -> TrialClassifier:
        means, rhythm = WindowMeans.every(7, 31), BandPatterns(4, band=(5, 30), interval=10.0)
        return TrialClassifier([means, rhythm], Discriminant(4 * 4 + 4)).double()

    one, other = made().fit(trials, classes), made()
    other.load_state_dict(one.state_dict())
    assert torch.equal(one(trials), other(trials))
    assert ((one(trials).argmax(-1) == classes).double().mean()) == 1.0


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (lambda: BandPatterns(5, band=(10, 60), interval=10.0), "up to 50 Hz"),
        (lambda: BandPatterns(5, band=(10, 20), interval=10.0, pairs=3), "pairs must be 1 to half"),
        (lambda: WindowMeans([(5, 3)]), "first < end"),
        (lambda: WindowMeans([(5, 11)])(torch.zeros(2, 3, 10)), "at least 11 samples"),
        (lambda: Discriminant(3).fit(torch.zeros(5, 4), torch.zeros(5).long()), r"\[B, 3\]"),
        (lambda: Discriminant(3).fit(torch.zeros(5, 3), torch.zeros(5).long()), "two examples"),
        (lambda: Discriminant(3).fit(torch.zeros(5, 3), torch.arange(5)), "classes must be 0 to 1"),
        (lambda: Discriminant(3).fit(torch.zeros(5, 3), torch.zeros(4).long()), "for each of 5"),
        (
            lambda: BandPatterns(5, band=(10, 20), interval=10.0)(torch.zeros(2, 4, 50)),
            r"trials must be \[B, 5, T\]",
        ),
    ],
)
def test_nonsense_is_a_sentence(wrong, said):
    with pytest.raises(ValueError, match=said):
        wrong()


def test_arrays_truths_and_flat_trials_are_refused_in_a_sentence():
    rows, classes = normal(11, 4, 53), torch.arange(11) % 2
    patterns = BandPatterns(4, band=(5.0, 20.0), interval=10.0)
    with pytest.raises(TypeError, match="examples must be a tensor of floats"):
        patterns.fit(rows.numpy(), classes)
    for wrong in (classes.bool(), classes.numpy(), classes[:0]):
        with pytest.raises(ValueError, match="classes must be one whole number"):
            Discriminant(4).fit(rows[..., 0], wrong)
    for wrong in (torch.ones_like(rows), rows * math.nan):
        with pytest.raises(ValueError, match="have power from 5 to 20 Hz"):
            patterns.fit(wrong, classes)
    with pytest.raises(ValueError, match="at least one window"):
        WindowMeans([])
