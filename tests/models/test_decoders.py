"""What every decoder promises, and closed forms that some must meet."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from amphid import models
from amphid.models import (
    AttentionDecoder,
    Decoder,
    KalmanDecoder,
    RecurrentDecoder,
    RidgeDecoder,
    SpikingDecoder,
    TunedPopulation,
    WienerCascade,
)
from amphid.models.decoders.decoder import FittedDecoder
from amphid.models.decoders.trained import TrainedDecoder

T, B, N, D = 31, 5, 7, 2


def seeded(seed: int = 3) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.fixture(autouse=True)
def float64() -> Iterator[None]:
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def reaches(trials: int = 13, axes: int = D) -> tuple[list[Tensor], list[Tensor]]:
    """Counts and velocities of made-up trials, whose velocities wander."""
    g = seeded()
    cells = TunedPopulation.drawn(N, axes, generator=g, depth=0.02)
    moved = [0.3 * torch.randn(T + k, axes, generator=g).cumsum(0) for k in range(trials)]
    return [cells.fire(v, 20.0, generator=g) for v in moved], moved


def fitted(decoder: FittedDecoder) -> FittedDecoder:
    return decoder.fit(*reaches())


def scaled(decoder: TrainedDecoder) -> TrainedDecoder:
    return decoder.scaled_to(*reaches())


def attentive(context: int = 5) -> AttentionDecoder:
    return AttentionDecoder(N, D, width=12, heads=3, context=context, generator=seeded())


DECODERS = {
    "RidgeDecoder": lambda: fitted(RidgeDecoder(N, D, history=3)),
    "RidgeDecoder of one bin": lambda: fitted(RidgeDecoder(N, D, history=1)),
    "WienerCascade": lambda: fitted(WienerCascade(N, D, history=3)),
    "KalmanDecoder": lambda: fitted(KalmanDecoder(N, D)),
    "RecurrentDecoder": lambda: scaled(RecurrentDecoder(N, D, hidden=11, generator=seeded())),
    "AttentionDecoder": lambda: scaled(attentive()),
    "AttentionDecoder of one bin": lambda: scaled(attentive(context=1)),
    "SpikingDecoder": lambda: scaled(
        SpikingDecoder(N, D, interval=20.0, hidden=13, generator=seeded())
    ),
}
every = pytest.mark.parametrize("make", DECODERS.values(), ids=DECODERS.keys())
every_fitted = pytest.mark.parametrize("kind", [KalmanDecoder, RidgeDecoder, WienerCascade])


def counts(*shape: int) -> Tensor:
    return torch.poisson(torch.full((*shape, N), 0.7), generator=seeded())


def test_the_list_of_decoders_is_complete():
    concrete = {
        value for value in vars(models).values()
        if isinstance(value, type) and issubclass(value, Decoder) and value is not Decoder
    }  # fmt: skip
    assert {type(make()) for make in DECODERS.values()} == concrete


@every
@pytest.mark.parametrize("batch", [(), (B,), (2, 3)])
def test_stepping_is_the_whole_sequence(make, batch):
    decoder, seen = make(), counts(T, *batch)
    whole = decoder(seen)
    assert whole.shape == (T, *batch, D)
    state, found = decoder.init(seen[0]), []
    for present in seen:
        state, velocity = decoder.step(state, present)
        found.append(velocity)
    torch.testing.assert_close(torch.stack(found), whole, rtol=1e-9, atol=1e-9)


@every
def test_a_sequence_cut_in_two_is_the_whole(make):
    decoder, seen = make(), counts(T, B)
    early, state = decoder.run(seen[:11])
    late, _ = decoder.run(seen[11:], state)
    torch.testing.assert_close(torch.cat((early, late)), decoder(seen), rtol=1e-9, atol=1e-9)


@every
def test_what_comes_later_changes_nothing_before(make):
    decoder, seen = make(), counts(T, B)
    other = seen.clone()
    other[17:] += 1
    one, two = decoder(seen), decoder(other)
    torch.testing.assert_close(one[:17], two[:17], rtol=0.0, atol=1e-12)
    assert not torch.allclose(one[17], two[17])


@every
def test_sequences_of_a_batch_do_not_hear_one_another(make):
    decoder, seen = make(), counts(T, B)
    alone = torch.stack([decoder(seen[:, k]) for k in range(B)], 1)
    torch.testing.assert_close(alone, decoder(seen), rtol=1e-9, atol=1e-9)


@every
def test_a_state_is_made_of_tensors_and_is_not_changed_in_place(make):
    decoder, seen = make(), counts(3, B)
    state = decoder.init(seen[0])
    before = pytree.tree_map(torch.clone, state)
    decoder.step(state, seen[0])
    pytree.tree_map(lambda a, b: torch.testing.assert_close(a, b), before, state)


@every
def test_whole_numbers_are_counts_too(make):
    decoder, seen = make(), counts(T)
    torch.testing.assert_close(decoder(seen.to(torch.uint8)), decoder(seen))


@every
def test_other_cells_are_refused_in_a_sentence(make):
    with pytest.raises(ValueError, match=r"decodes 7 cells, the last axis of counts .*got \[31, 6"):
        make()(torch.zeros(T, 6))
    with pytest.raises(ValueError, match=r"takes counts \[T, \*B, N\]: bins first"):
        make()(torch.zeros(N))


@every_fitted
def test_a_decoder_that_learned_nothing_refuses_to_start(kind):
    with pytest.raises(ValueError, match="has not been fitted: call fit"):
        kind(N, D)(counts(T))


@every_fitted
def test_a_fitted_decoder_goes_through_its_state_dict(kind):
    one, other = fitted(kind(N, D)), kind(N, D)
    other.load_state_dict(one.state_dict())
    torch.testing.assert_close(other(counts(T)), one(counts(T)))


@every_fitted
@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda c, v: (c[1:], v), "as many trials"),
        (lambda c, v: ([], []), "at least one"),
        (lambda c, v: ([c[0][1:], *c[1:]], v), r"trial 0 must have counts \[T, 7\]"),
        (lambda c, v: (c, [v[0], v[1][:, :1], *v[2:]]), r"trial 1 .*got \[32, 7\] and \[32, 1\]"),
        (lambda c, v: (c, [v[0] / 0, *v[1:]]), "velocity of trial 0 must be finite"),
    ],
)
def test_trials_that_do_not_fit_are_refused(kind, spoil, said):
    with pytest.raises(ValueError, match=said):
        kind(N, D).fit(*spoil(*reaches()))


def test_ridge_finds_the_filter_that_made_the_velocity():
    seen = torch.poisson(torch.full((97, N), 2.0), generator=seeded())
    weight = torch.randn(N, D, generator=seeded())
    decoder = RidgeDecoder(N, D, history=1, penalty=1e-9).fit(seen, seen @ weight + 3.0)
    torch.testing.assert_close(decoder.weight[0], weight)
    torch.testing.assert_close(decoder(seen), seen @ weight + 3.0)


def test_ridge_with_history_is_least_squares_over_its_windows():
    """Against the solution of the normal equations with windows written out bin by bin."""
    seen, moved = reaches()
    decoder = RidgeDecoder(N, D, history=3, penalty=2.0).fit(seen, moved)
    mean, bias = torch.cat(seen).mean(0), torch.cat(moved).mean(0)
    rows = []
    for one in seen:
        past = torch.cat((torch.zeros(2, N), one - mean))
        rows += [past[t : t + 3].flatten() for t in range(len(one))]
    x, y = torch.stack(rows), torch.cat(moved) - bias
    weight = torch.linalg.solve(x.T @ x + 2.0 * torch.eye(3 * N), x.T @ y)
    torch.testing.assert_close(decoder.weight.flatten(0, 1), weight)
    torch.testing.assert_close(torch.cat([decoder(one) for one in seen]), x @ weight + bias)


def test_kalman_is_the_mean_of_the_velocity_given_all_counts_so_far():
    """Against conditioning the joint normal distribution of all velocities and counts at once."""
    decoder = fitted(KalmanDecoder(N, D))
    steps, a, c = 5, decoder.transition, decoder.tuning
    spread = torch.zeros(steps * D, steps * D)  # of the velocities, in order
    lag = torch.eye(steps * D) - torch.kron(torch.diag(torch.ones(steps - 1), -1), a)
    noise = torch.kron(torch.eye(steps), decoder.drift)
    spread = torch.linalg.inv(lag) @ noise @ torch.linalg.inv(lag).T
    seen = torch.kron(torch.eye(steps), c)
    told = seen @ spread @ seen.T + torch.kron(torch.eye(steps), decoder.noise)
    y = counts(steps)
    gain = spread @ seen.T @ torch.linalg.inv(told)
    mean = gain @ (y - decoder.baseline).flatten()
    velocity, state = decoder.run(y)
    torch.testing.assert_close(velocity[-1], mean[-D:])
    left = (spread - gain @ seen @ spread)[-D:, -D:]
    torch.testing.assert_close(state.covariance, left)


def test_kalman_of_one_axis_settles_at_the_root_of_its_quadratic():
    """p = m - p m information with m = a^2 p + w: a^2 i p^2 + (1 + w i - a^2) p - w = 0."""
    seen, moved = reaches(axes=1)
    decoder = KalmanDecoder(N, 1).fit(seen, moved)
    a, w, i = (float(x) for x in (decoder.transition, decoder.drift, decoder.information))
    half = (1 + w * i - a * a) / (2 * a * a * i)
    root = -half + (half * half + w / (a * a * i)) ** 0.5
    assert float(decoder.steady_covariance()) == pytest.approx(root, rel=1e-9)
    assert decoder.steady_gain().shape == (1, N)


def test_kalman_finds_the_model_that_made_the_trials():
    g = seeded()
    a = torch.tensor([[0.9, 0.1], [-0.1, 0.8]])
    c, b = torch.randn(N, D, generator=g), torch.rand(N, generator=g)
    velocity = [torch.zeros(D)]
    for _ in range(20_000):
        velocity.append(a @ velocity[-1] + 0.3 * torch.randn(D, generator=g))
    moved = torch.stack(velocity)
    seen = b + moved @ c.T + 0.5 * torch.randn(len(moved), N, generator=g)
    decoder = KalmanDecoder(N, D).fit(seen, moved)
    for found, true in (
        (decoder.transition, a), (decoder.drift, 0.09 * torch.eye(D)), (decoder.tuning, c),
        (decoder.baseline, b), (decoder.noise, 0.25 * torch.eye(N)),
    ):  # fmt: skip
        torch.testing.assert_close(found, true, rtol=0.0, atol=0.03)


def test_a_silent_cell_tells_a_kalman_filter_nothing():
    seen, moved = reaches()
    for one in seen:
        one[:, 4] = 0
    decoder = KalmanDecoder(N, D).fit(seen, moved)
    without = KalmanDecoder(N - 1, D).fit([one[:, torch.arange(N) != 4] for one in seen], moved)
    other = without(seen[0][:, torch.arange(N) != 4])
    torch.testing.assert_close(decoder(seen[0]), other, rtol=1e-4, atol=1e-4)


def test_velocities_along_one_axis_do_not_make_a_kalman_filter_of_two():
    seen, moved = reaches()
    flat: Any = [one * torch.tensor([1.0, 0.0]) for one in moved]
    with pytest.raises(ValueError, match="movements along every axis: got"):
        KalmanDecoder(N, D).fit(seen, flat)


def test_a_cascade_undoes_a_bend():
    """Velocities that are the cube of a filter of counts, which no filter alone gives."""
    seen = torch.poisson(torch.full((977, N), 2.0), generator=seeded())
    straight = (seen - 2.0) @ torch.randn(N, D, generator=seeded())
    cascade = WienerCascade(N, D, history=1, penalty=1e-6).fit(seen, straight**3)
    ridge = RidgeDecoder(N, D, history=1, penalty=1e-6).fit(seen, straight**3)
    left = [(straight**3 - one(seen)).square().mean() for one in (cascade, ridge)]
    assert left[0] < 0.1 * left[1]


def test_a_cascade_does_not_run_away_beyond_what_it_has_seen():
    cascade = fitted(WienerCascade(N, D, history=3))
    seen = cascade(torch.cat(reaches()[0]))
    beyond = cascade(1000 * counts(T))
    assert (beyond <= seen.amax(0) + 1e-9).all()
    assert (beyond >= seen.amin(0) - 1e-9).all()


def test_attention_forgets_what_is_out_of_reach_of_all_its_blocks():
    """Two blocks of 5 bins reach 8 bins back."""
    decoder, seen = scaled(attentive()), counts(T)
    other = seen.clone()
    other[3] += 1
    apart = (decoder(seen) - decoder(other)).abs().amax(-1) > 1e-12
    assert apart.nonzero()[:, 0].tolist() == list(range(3, 12))


@pytest.mark.parametrize(
    "make", [m for name, m in DECODERS.items() if isinstance(m(), TrainedDecoder)]
)
def test_every_parameter_of_a_trained_decoder_is_reached_by_the_gradient(make):
    decoder = make()
    decoder(4 * counts(T, B)).square().sum().backward()
    for name, held in decoder.named_parameters():
        assert held.grad is not None, name
        assert held.grad.isfinite().all(), name


def test_the_first_weights_are_those_that_the_generator_draws():
    one, other = attentive().state_dict(), attentive().state_dict()
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_heads_must_share_the_width():
    with pytest.raises(ValueError, match="heads must divide width, got 5 heads of 12"):
        AttentionDecoder(N, D, width=12, heads=5, generator=seeded())


def test_what_is_no_tensor_cannot_be_fitted_to():
    counts, velocity = torch.ones(7, 5), torch.ones(7, 2)
    with pytest.raises(TypeError, match=r"counts of trial 0 must be a tensor.*as_tensor"):
        RidgeDecoder(5, 2).fit([counts.numpy()], [velocity])
    with pytest.raises(TypeError, match="must be tensors or lists"):
        RidgeDecoder(5, 2).fit(None, None)
    with pytest.raises(ValueError, match="trial 0 must have counts"):
        RidgeDecoder(5, 2).fit(counts[:0], velocity[:0])
