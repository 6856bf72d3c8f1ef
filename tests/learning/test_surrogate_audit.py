"""An audit tells the angle between surrogate gradients and the trend, where it is known."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from amphid.dynamics import LIF, FastSigmoid, LeakyIntegrator
from amphid.learning import (
    Agreement,
    Backprop,
    Corrected,
    Credited,
    Frozen,
    Mollified,
    Objective,
    Regression,
    SurrogateAudit,
    scale_surrogates,
    surrogate_audit,
)
from amphid.learning.gradients.corrected import Residual
from amphid.learning.gradients.population import losses_of
from amphid.models import Sequential

T, B, K, N, C = 17, 5, 7, 11, 3


def seeded(seed: int = 1) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def error(outputs: Tensor, targets: Tensor) -> Tensor:
    return (outputs - targets).square().mean()


def network(*, spiking: bool = True) -> Sequential:
    cells = LIF(resistance=10.0) if spiking else LeakyIntegrator(resistance=0.1)
    net = Sequential(nn.Linear(K, N), cells, nn.Linear(N, C), LeakyIntegrator(resistance=1.0))
    draw = seeded()
    with torch.no_grad():
        for p in net.parameters():
            p.copy_(torch.randn(p.shape, generator=draw))
    return net.double()


def batch() -> tuple[Tensor, Tensor]:
    x = 5 * torch.rand(T, B, K, generator=seeded(2), dtype=torch.float64)
    return x, torch.ones(T, B, C, dtype=torch.float64)


def test_a_surrogate_that_does_not_matter_agrees_fully() -> None:
    """A readout is differentiated as it is, whatever the surrogate before it."""
    net = network()
    net[0].requires_grad_(False)
    audit = surrogate_audit(
        net, batch(), error, generator=seeded(3), surrogates=(0.1, 1.0), samples=1024, radii=(0.01,)
    )
    for own in audit.agreements:
        assert own.cosine == pytest.approx(1.0, abs=0.1)
        assert own.cosines["2"] == own.cosine
        assert 0 < own.errors["all"] < 0.1
        assert own.steepness == pytest.approx(1.0, abs=0.1)
    assert audit.tied(0.1, 1.0)


def test_the_best_width_is_put_into_the_model_and_nothing_else() -> None:
    net, twin = network(), network()
    before = [module.surrogate for module in (net[1],)]
    audit = surrogate_audit(
        net, batch(), error, generator=seeded(3), surrogates=(0.2, 20.0), samples=256, radii=(0.3,)
    )
    assert [net[1].surrogate] == before
    torch.testing.assert_close(net.state_dict(), twin.state_dict(), rtol=0, atol=0)
    audit.apply(net)
    assert net[1].surrogate.width == scale_surrogates(twin, batch()[0], share=audit.best)["1"]
    assert str(audit).splitlines()[0].split() == [
        "surrogate", "radius", "all", "0", "2", "steepness",
    ]  # fmt: skip
    assert audit.sentence.startswith(f"share {audit.best:g} agrees best")


def test_what_is_lost_in_noise_is_said_and_not_printed_as_a_number() -> None:
    lost = Agreement(0.1, 0.3, {"all": math.nan, "2": 0.5}, {"all": math.nan, "2": 0.25}, math.nan)
    row = str(SurrogateAudit((lost,))).splitlines()[1]
    assert row.split() == ["share", "0.1", "0.3", "lost", "0.50+-0.25", "lost"]


def test_surrogates_themselves_can_be_compared() -> None:
    one, other = FastSigmoid(1.0), FastSigmoid(30.0)
    net = network()
    audit = surrogate_audit(
        net, batch(), error, generator=seeded(3), surrogates=(one, other), samples=64
    )
    assert audit.candidates == (one, other)
    audit.apply(net)
    assert net[1].surrogate in (one, other)
    assert math.isfinite(audit.mean(audit.best)) or "lost in noise" in audit.sentence


def test_what_cannot_be_audited_is_said() -> None:
    with pytest.raises(ValueError, match="no cell with a surrogate"):
        surrogate_audit(nn.Linear(3, 2), (torch.ones(2, 3), 0.0), error, generator=seeded())
    with pytest.raises(ValueError, match="samples must be at least 32"):
        surrogate_audit(network(), batch(), error, generator=seeded(), samples=30)


# a prior, corrected


def test_where_the_prior_is_right_nothing_is_corrected() -> None:
    """For a loss that is quadratic, pairs see exactly zero of what is left."""
    params = {"x": torch.tensor([0.3, -1.0, 2.0], dtype=torch.float64)}

    def loss(p: dict[str, Tensor]) -> Tensor:
        return p["x"].square().sum()

    value, exact = Backprop()(loss, params)
    own = Corrected(Backprop(), Mollified(seeded(), samples=4), shrink=1.0)(loss, params)
    torch.testing.assert_close(own, (value, exact))


def test_where_the_prior_knows_nothing_it_is_the_weak_gradient() -> None:
    net = network()
    loss, params = Objective(net, *batch(), error), dict(net.named_parameters())
    weak = Mollified(seeded(5), samples=8)(loss, params)[1]
    own = Corrected(Frozen(), Mollified(seeded(5), samples=8), shrink=1.0)(loss, params)[1]
    torch.testing.assert_close(own, weak)


def test_a_regression_with_enough_samples_corrects_any_prior() -> None:
    """Of a linear loss the slope is found whatever was foretold."""
    slope = torch.randn(5, generator=seeded(7), dtype=torch.float64)
    params = {"x": torch.ones(5, dtype=torch.float64)}

    def wrong(loss: object, params: dict[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        return loss(params).detach(), {"x": torch.arange(5.0).double()}

    weak = Regression(seeded(6), samples=13)
    _, own = Corrected(wrong, weak, shrink=1.0)(lambda p: p["x"] @ slope, params)
    torch.testing.assert_close(own["x"], slope, rtol=1e-4, atol=1e-4)


def test_the_residual_is_shrunk_by_pairs_and_parameters() -> None:
    params = {"x": torch.ones(6, dtype=torch.float64)}
    weak = [Mollified(seeded(5), samples=8) for _ in range(2)]
    full, own = (
        Corrected(Frozen(), one, shrink=share)(lambda p: p["x"].sum(), params)[1]["x"]
        for one, share in zip(weak, (1.0, None), strict=True)
    )
    torch.testing.assert_close(own, full * 4 / (4 + 3))


@pytest.mark.parametrize("credited", [False, True])
def test_the_planes_of_owners_have_the_whole_plane_as_their_mean(credited: bool) -> None:
    net = network()
    loss = Objective(net, *batch(), Credited(error, outputs=True) if credited else error)
    params = {name: p.detach() for name, p in net.named_parameters()}
    slope = Backprop()(loss, params)[1]
    residual, draw = Residual(loss, slope, params), seeded(9)
    assert bool(residual.credit(params)) == credited
    members = {
        name: p + 0.1 * torch.randn(3, *p.shape, generator=draw) for name, p in params.items()
    }
    whole = sum(
        ((each - params[name]) * slope[name]).flatten(1).sum(1) for name, each in members.items()
    )
    left = losses_of(residual, members)
    losses = losses_of(loss, members)
    assert left.shape == losses.shape
    torch.testing.assert_close((losses - left).view(3, -1).mean(1), whole)
    one = residual({name: each[1] for name, each in members.items()})
    torch.testing.assert_close(one, left[1])


def test_what_cannot_be_corrected_is_said() -> None:
    with pytest.raises(TypeError, match="needs a weak estimator that has `samples`"):
        Corrected(Backprop(), Backprop())
    with pytest.raises(ValueError, match="shrink must be between 0 and 1"):
        Corrected(Backprop(), Backprop(), shrink=2.0)
    with pytest.raises(TypeError, match="prior and weak must be estimators"):
        Corrected(Backprop, Backprop())
