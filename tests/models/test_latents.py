"""Latent models: every one keeps the contract; inference is exact; planted factors are found."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from amphid.measures import bits_per_spike
from amphid.models import latents
from amphid.models.latents import (
    GPFA,
    AutoencoderRates,
    FactorRates,
    LatentModel,
    MaskedTransformer,
    PoissonReadout,
    SequentialAutoencoder,
    SmoothedRates,
    TransformerRates,
    smoothed,
)
from amphid.models.latents.factors import Factors
from amphid.models.latents.gaussian_process import SmoothFactors, by_length, kernels

SHOWN, HIDDEN, FACTORS = 13, 5, 2


def seeded(seed: int = 3) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


MODELS: dict[str, Callable[[], LatentModel]] = {
    "AutoencoderRates": lambda: AutoencoderRates(
        width=16, factors=3, epochs=9, size=7, lr=3e-2, generator=seeded()
    ),
    "FactorRates": lambda: FactorRates(FACTORS),
    "GPFA": lambda: GPFA(FACTORS, steps=5),
    "SmoothedRates": SmoothedRates,
    "TransformerRates": lambda: TransformerRates(
        width=16, layers=1, epochs=9, size=7, lr=2e-2, generator=seeded()
    ),
}


def planted(trials: int = 31, generator: torch.Generator | None = None) -> list[Tensor]:
    """Counts [T, 18] of cells whose log rates a rotation drives, from another start each time."""
    draw = generator or seeded()
    weight = torch.randn(FACTORS, SHOWN + HIDDEN, generator=draw)
    found = []
    for k in range(trials):
        turn = 0.3 * torch.arange(17.0 + 2 * (k % 3)) + 6.3 * torch.rand(1, generator=draw)
        turning = torch.stack((turn.cos(), turn.sin()), 1)
        found.append(torch.poisson((turning @ weight + 0.5).exp(), generator=draw))
    return found


def divided(trials: list[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
    return [x[:, :SHOWN] for x in trials], [x[:, SHOWN:] for x in trials]


def test_the_contract_list_of_models_is_complete() -> None:
    concrete = {
        name for name, value in vars(latents).items()
        if isinstance(value, type) and issubclass(value, LatentModel) and value is not LatentModel
    }  # fmt: skip
    assert set(MODELS) == concrete


@pytest.mark.parametrize("name", MODELS)
def test_every_model_tells_hidden_cells_from_shown_ones(name: str) -> None:
    before = torch.get_rng_state()
    trials = planted(43)
    shown, hidden = divided(trials)
    model = MODELS[name]().fit(shown[:37], hidden[:37])
    again = MODELS[name]().fit(shown[:37], hidden[:37])
    rates = [model.rates(x) for x in shown[37:]]
    for own, other, trial in zip(rates, shown[37:], trials[37:], strict=True):
        assert own.shape == trial.shape
        assert own.dtype == trial.dtype
        assert bool((own > 0).all())
        torch.testing.assert_close(own, again.rates(other))
    told = torch.cat([own[:, SHOWN:] for own in rates])
    assert bits_per_spike(told, torch.cat(hidden[37:])) > 0.02
    assert torch.equal(torch.get_rng_state(), before)
    longer = model.rates(shown[40], ahead=4)
    assert longer.shape == (len(shown[40]) + 4, SHOWN + HIDDEN)
    assert bool(torch.isfinite(longer).all())


@pytest.mark.parametrize("name", MODELS)
def test_every_model_says_what_it_cannot_take(name: str) -> None:
    shown, hidden = divided(planted(7))
    with pytest.raises(ValueError, match="must be fitted"):
        MODELS[name]().rates(shown[0])
    with pytest.raises(ValueError, match="same trials"):
        MODELS[name]().fit(shown, hidden[:3])
    with pytest.raises(ValueError, match="same trials"):
        MODELS[name]().fit([], [])
    with pytest.raises(ValueError, match="as long as the shown"):
        MODELS[name]().fit(shown, [x[1:] for x in hidden])
    with pytest.raises(ValueError, match="must be counts"):
        MODELS[name]().fit(shown, [math.nan * x for x in hidden])
    model = MODELS[name]().fit(shown, hidden)
    with pytest.raises(ValueError, match=r"trial \[T, 13\]"):
        model.rates(hidden[0])
    with pytest.raises(ValueError, match="must be counts"):
        model.rates(-shown[0] - 1)
    with pytest.raises(ValueError, match="ahead"):
        model.rates(shown[0], ahead=-1)


def test_cells_that_never_fire_are_no_trouble() -> None:
    shown, hidden = divided(planted(11))
    for some in (shown, hidden):
        for trial in some:
            trial[:, 1] = 0.0
    for make in MODELS.values():
        rates = make().fit(shown, hidden).rates(shown[0])
        assert bool(torch.isfinite(rates).all())
        assert float(rates[:, SHOWN + 1].max()) < 0.2


def test_poisson_regression_is_where_its_loss_is_flat() -> None:
    draw = seeded()
    x = torch.randn(101, 3, generator=draw, dtype=torch.float64)
    y = torch.poisson((0.7 * x[:, :1] - x[:, 1:2] + torch.zeros(5)).exp(), generator=draw)
    fitted = PoissonReadout.fitted(x, y, penalty=2.0)
    apart = fitted(x) - y
    torch.testing.assert_close(x.T @ apart, -2.0 * fitted.weight, rtol=0, atol=1e-4)
    torch.testing.assert_close(apart.sum(0), torch.zeros(5).double(), rtol=0, atol=1e-4)


def test_poisson_regression_on_two_groups_gives_their_means() -> None:
    x = torch.tensor([0.0, 0.0, 0.0, 1.0, 1.0])[:, None]
    y = torch.tensor([[1.0, 0.0], [2.0, 1.0], [6.0, 5.0], [7.0, 3.0], [11.0, 1.0]])
    told = PoissonReadout.fitted(x, y, penalty=0.0)(x)
    expected = torch.stack([y[:3].mean(0)] * 3 + [y[3:].mean(0)] * 2).double()
    torch.testing.assert_close(told, expected, rtol=1e-6, atol=0)


def test_smoothing_keeps_what_is_constant_and_spreads_a_spike_as_a_gaussian() -> None:
    flat = torch.full((11, 3), 1.7, dtype=torch.float64)
    torch.testing.assert_close(smoothed(flat, 2.0), flat)
    spike = torch.zeros(61, 1, dtype=torch.float64)
    spike[30] = 1.0
    place = torch.arange(61.0, dtype=torch.float64)[:, None] - 30
    bell = (-0.5 * (place / 2.0) ** 2).exp() / (2.0 * math.sqrt(2 * math.pi))
    torch.testing.assert_close(smoothed(spike, 2.0), bell, rtol=0, atol=1e-6)
    with pytest.raises(ValueError, match="width must be"):
        smoothed(spike, 0.0)


def made(trials: int = 101, steps: int = 19) -> tuple[SmoothFactors, Tensor]:
    """Factors of time scales 2 and 5 bins, and values [B, T, 7] that they make."""
    draw = seeded()
    tau = torch.tensor([2.0, 5.0], dtype=torch.float64)
    loading = torch.randn(7, 2, generator=draw, dtype=torch.float64)
    noise = 0.3 + torch.rand(7, generator=draw, dtype=torch.float64)
    root = torch.linalg.cholesky(kernels(tau, steps))
    white = torch.randn(trials, 2, steps, 1, generator=draw, dtype=torch.float64)
    factors = (root @ white)[..., 0].transpose(1, 2)
    level = torch.linspace(-1.0, 1.0, 7, dtype=torch.float64)
    own = torch.randn(trials, steps, 7, generator=draw, dtype=torch.float64) * noise.sqrt()
    return SmoothFactors(loading, level, noise, tau), factors @ loading.T + level + own


def joint(model: SmoothFactors, steps: int) -> tuple[Tensor, Tensor]:
    """Covariances of all values [T N, T N] of a trial, and of its factors [L T] with them."""
    prior = kernels(model.tau, steps)
    across = torch.einsum("nl,lts->ltsn", model.loading, prior).flatten(2).flatten(0, 1)
    values = torch.einsum("nl,lts,ml->tnsm", model.loading, prior, model.loading)
    cells = len(model.noise)
    values = values.reshape(steps * cells, steps * cells)
    return values + torch.diag(model.noise.repeat(steps)), across


def test_inference_of_smooth_factors_is_that_of_one_large_gaussian() -> None:
    model, values = made(5, 7)
    covariance, across = joint(model, 7)
    found = model.inferred(values, model.within(7))
    flat = (values - model.level).flatten(1)
    mean = flat @ torch.linalg.solve(covariance, across.T)
    torch.testing.assert_close(found.mean.flatten(1), mean)
    own = torch.block_diag(*kernels(model.tau, 7))
    own = own - across @ torch.linalg.solve(covariance, across.T)
    torch.testing.assert_close(found.covariance.reshape(14, 14), own)
    whole = torch.distributions.MultivariateNormal(torch.zeros(49).double(), covariance)
    assert found.likelihood == pytest.approx(float(whole.log_prob(flat).sum()), rel=1e-10)


def test_factors_foretold_are_those_of_bins_without_values() -> None:
    model, values = made(3, 11)
    _, across = joint(model, 11)
    seen = values[:, :8] - model.level
    covariance, _ = joint(model, 8)
    rows = across.view(22, 11, 7)[:, :8].flatten(1)
    expected = seen.flatten(1) @ torch.linalg.solve(covariance, rows.T)
    found = model.of(values[:, :8], ahead=3)
    torch.testing.assert_close(found.transpose(1, 2).flatten(1), expected)


def test_every_step_makes_the_values_likelier_until_planted_factors_are_found() -> None:
    truth, values = made()
    trials = [*values[:50], *values[50:, :13]]
    start = SmoothFactors.fitted(trials, 2, tau=3.0, steps=0)
    model, likelihoods = start, []
    for _ in range(40):
        model, likelihood = model.improved(by_length(trials))
        likelihoods.append(likelihood)
    assert all(later >= earlier - 1e-6 for earlier, later in itertools.pairwise(likelihoods))
    planes = [torch.linalg.qr(one.loading).Q for one in (truth, model)]
    assert torch.linalg.svdvals(planes[0].T @ planes[1]).min() > 0.99
    torch.testing.assert_close(model.tau.sort().values, truth.tau, rtol=0.1, atol=0)
    torch.testing.assert_close(model.noise, truth.noise, rtol=0.15, atol=0)


def test_factor_analysis_finds_planted_factors() -> None:
    truth, values = made()
    found = Factors.fitted(values.flatten(0, 1), 2)
    planes = [torch.linalg.qr(one.loading).Q for one in (truth, found)]
    assert torch.linalg.svdvals(planes[0].T @ planes[1]).min() > 0.99
    covariance = found.loading @ found.loading.T + torch.diag(found.noise)
    torch.testing.assert_close(covariance, values.flatten(0, 1).T.cov(), rtol=0, atol=0.05)


def test_a_transformer_does_not_see_masked_bins() -> None:
    net = MaskedTransformer(5, 7, width=8, reach=3, generator=seeded())
    torch.nn.init.normal_(net.apart, generator=seeded())
    counts = torch.poisson(torch.full((3, 11, 5), 2.0), generator=seeded())
    masked = torch.zeros(3, 11, dtype=torch.bool)
    masked[:, 4:6] = True
    other = counts.clone()
    other[:, 4:6] = 9.0
    torch.testing.assert_close(net(counts, masked), net(other, masked))
    assert not torch.allclose(net(counts), net(other))
    with pytest.raises(ValueError, match="multiple of heads"):
        MaskedTransformer(5, 7, width=9, generator=seeded())


def test_what_an_autoencoder_tells_follows_from_one_state() -> None:
    net = SequentialAutoencoder(5, 7, width=8, factors=2, generator=seeded())
    counts = torch.poisson(torch.full((3, 11, 5), 2.0), generator=seeded())
    length = torch.tensor([11, 7, 9])
    mean, spread = net.state(counts, length)
    other = counts.clone()
    other[1, 7:] = 9.0  # behind its end
    torch.testing.assert_close(net.state(other, length), (mean, spread))
    torch.testing.assert_close(net(mean, 5), net(mean, 13)[:, :5])
    level = net(mean, 13) - net.told.bias
    assert torch.linalg.svdvals(level.flatten(0, 1))[2:].max() < 1e-4  # two factors


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda: AutoencoderRates(dropped=1.0, generator=seeded()), "dropped"),
        (lambda: TransformerRates(epochs=0, generator=seeded()), "epochs"),
        (lambda: SmoothedRates(offset=0.0), "offset"),
        (lambda: FactorRates(0), "factors"),
        (lambda: GPFA(0), "factors"),
        (lambda: GPFA(3, tau=0.0), "tau"),
        (lambda: TransformerRates(masked=1.0, generator=seeded()), "masked"),
    ],
)
def test_settings_that_make_no_sense_are_a_sentence(make, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        make()


def test_more_factors_than_cells_are_a_sentence() -> None:
    shown, hidden = divided(planted(3))
    for model in (FactorRates(13), GPFA(13)):
        with pytest.raises(ValueError, match="fewer than the 13"):
            model.fit(shown, hidden)


@pytest.mark.parametrize("name", ["FactorRates", "GPFA", "SmoothedRates"])
def test_counts_that_are_whole_numbers_give_the_rates_of_the_same_real_ones(name):
    """Rates are not rounded to the numbers of the counts."""
    whole = torch.poisson(torch.ones(5, 17, SHOWN + HIDDEN), generator=seeded()).long()
    shown, hidden = whole[..., :SHOWN], whole[..., SHOWN:]
    found = MODELS[name]().fit(list(shown), list(hidden)).rates(shown[0])
    real = MODELS[name]().fit(list(shown.float()), list(hidden.float())).rates(shown[0].float())
    torch.testing.assert_close(found, real)


def test_arrays_and_silence_are_refused_in_a_sentence():
    silent = torch.zeros(11, SHOWN)
    with pytest.raises(TypeError, match=r"shown must be counts in a tensor, got ndarray"):
        SmoothedRates().fit([silent.numpy()], [silent])
    with pytest.raises(ValueError, match="at least one spike"):
        GPFA(FACTORS).fit([silent], [silent])
    with pytest.raises(ValueError, match="at least one cell"):
        SmoothedRates().fit([silent], [silent[:, :0]])
    with pytest.raises(ValueError, match="bin must be positive"):
        SmoothedRates(bin=0.0)
    with pytest.raises(ValueError, match="members must be"):
        TransformerRates(members=0, generator=seeded())
    with pytest.raises(TypeError, match=r"generator must be a torch\.Generator"):
        TransformerRates(generator=None)
