"""Estimators that see a loss from outside find its slope, as far as their samples can tell it."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from amphid.learning import (
    SPSA,
    Alternating,
    Annealed,
    Antithetic,
    Backprop,
    BumpKernel,
    Guided,
    Hadamard,
    LeastSquares,
    LowRank,
    Memory,
    MinimumNorm,
    Mollified,
    OneSided,
    Orthogonal,
    Raw,
    Regression,
    Ridge,
    Sobol,
    centered_ranks,
    fit,
)

Params = dict[str, Tensor]
P = 13


def seeded(seed: int = 1) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@dataclass
class Function:
    """A loss of one vector x, of all members at once."""

    of: Callable[[Tensor], Tensor]  # [S, P] -> [S]
    evaluations: int = 0

    def __call__(self, p: Params) -> Tensor:
        return self.of(p["x"][None])[0]

    def population(self, members: Params) -> Tensor:
        self.evaluations += len(members["x"])
        return self.of(members["x"])


def drawn(*shape: int, seed: int = 2) -> Tensor:
    return torch.randn(shape, generator=seeded(seed), dtype=torch.float64)


SLOPE = drawn(P)
POINT = {"x": drawn(P, seed=3)}
CURVES = drawn(P, P, seed=4) / P**0.5

linear = Function(lambda x: x @ SLOPE + 5.0)
quadratic = Function(lambda x: (x @ CURVES).square().sum(1) / 2 + x @ SLOPE)
TRUE = CURVES @ CURVES.T @ POINT["x"] + SLOPE  # of the quadratic at the point


def slope(estimator: object, loss: object, params: Params = POINT) -> Tensor:
    return estimator(loss, params)[1]["x"]


@pytest.mark.parametrize("solver", [LeastSquares(), MinimumNorm(), Ridge(1e-12)], ids=repr)
@pytest.mark.parametrize("intercept", [True, False])
@pytest.mark.parametrize("extra", [9, 40])
def test_the_slope_of_a_linear_loss_is_exact(solver: object, intercept: bool, extra: int) -> None:
    samples = P + 1 + extra
    weak = Regression(seeded(), samples, solver=solver, intercept=intercept)
    torch.testing.assert_close(slope(weak, linear), SLOPE, rtol=1e-7, atol=1e-7)


@pytest.mark.parametrize("estimator", [
    Mollified(seeded(), samples=2 * P, design=Orthogonal(P)),
    Mollified(seeded(), samples=2 * 16, design=Hadamard()),
], ids=repr)  # fmt: skip
def test_designs_that_fill_the_space_give_the_slope_of_a_linear_loss(estimator: object) -> None:
    torch.testing.assert_close(slope(estimator, linear), SLOPE)


UNBIASED = [
    Mollified(seeded(), samples=20_000),
    Mollified(seeded(), samples=20_000, kernel=BumpKernel()),
    Mollified(seeded(), samples=20_000, sides=OneSided(), kernel=BumpKernel()),
    Mollified(seeded(), samples=20_000, sides=Raw()),
    Mollified(seeded(), samples=20_000, sides=OneSided(), design=Hadamard()),
    Mollified(seeded(), samples=20_000, design=Sobol()),
    Mollified(seeded(), samples=20_000, kernel=BumpKernel(), design=Orthogonal()),
    SPSA(seeded(), samples=20_000),
]


@pytest.mark.parametrize("estimator", UNBIASED, ids=repr)
def test_the_gradient_of_a_smoothed_quadratic_is_that_of_the_quadratic(estimator: object) -> None:
    """Smoothing adds a constant; the error is what the standard error foretells."""
    found = slope(estimator, quadratic)
    report = estimator.report()
    assert report.standard_error < 0.2 * TRUE.norm()
    assert (found - TRUE).norm() < 1.6 * report.standard_error


@pytest.mark.parametrize("size", [1, 2, 5, 1001])
def test_points_of_the_bump_stay_within_it_and_have_unit_variance(size: int) -> None:
    seen = []
    wide = Function(lambda x: seen.append(x) or x[:, 0])
    Mollified(seeded(), samples=4000, radius=1.0, absolute=True, kernel=BumpKernel())(
        wide, {"x": torch.zeros(size, dtype=torch.float64)}
    )
    points = torch.cat(seen)
    square = points.square().sum(1)
    assert float(square.mean() / size) == pytest.approx(1, rel=0.03)
    assert square.max() < 8 * size
    if size == 1:  # against the density itself
        x = torch.linspace(-1, 1, 4001, dtype=torch.float64)[1:-1]
        bump = (1 / (x**2 - 1)).exp()
        variance = torch.trapezoid(bump * x**2, x) / torch.trapezoid(bump, x)
        below = torch.trapezoid((bump * (x.abs() < 0.5)), x) / torch.trapezoid(bump, x)
        within = (points.abs() < 0.5 / variance.sqrt()).double().mean()
        assert float(within) == pytest.approx(float(below), abs=0.03)


def stairs(p: Params) -> Tensor:
    return (20 * p["x"]).floor().sum() / 20


@pytest.mark.parametrize("estimator", [
    Regression(seeded(), 4000, 0.2, absolute=True),
    Mollified(seeded(), 12_000, 0.2, absolute=True),
], ids=repr)  # fmt: skip
def test_a_staircase_has_the_trend_of_its_steps(estimator: object) -> None:
    """d/dx floor(20 x) / 20 is 0; its trend is 1."""
    steps = Function(lambda x: (20 * x).floor().sum(1) / 20)
    weak = slope(estimator, steps, {"x": torch.full((3,), 0.512, dtype=torch.float64)})
    torch.testing.assert_close(weak, torch.ones(3).double(), rtol=0.05, atol=0.0)


def far(estimator: object, seeds: int = 5) -> float:
    """Median distance of the slope of a noisy quadratic from the true one."""
    noise = drawn(4096, seed=9)
    rough = Function(lambda x: quadratic.of(x) + 2 * noise[: len(x)])
    errors = []
    for seed in range(seeds):
        estimator.generator.manual_seed(seed)
        errors.append(float((slope(estimator, rough) - TRUE).norm()))
    return float(np.median(errors))


@pytest.mark.filterwarnings("ignore:.*at its worst")
def test_as_many_samples_as_parameters_are_worse_than_half_as_many_unless_at_a_price() -> None:
    plain = {s: far(Regression(seeded(), s, solver=MinimumNorm())) for s in (6, P + 1, 52)}
    priced = {s: far(Regression(seeded(), s)) for s in (6, P + 1, 52)}
    assert plain[P + 1] > 2 * plain[6] > plain[52]
    assert all(priced[s] < 1.1 * plain[s] for s in plain)
    assert priced[52] < priced[P + 1] < plain[P + 1] / 2


def test_a_fit_at_the_peak_warns_and_one_that_cannot_be_is_refused() -> None:
    with pytest.warns(UserWarning, match="at its worst"):
        Regression(seeded(), P + 1, solver=LeastSquares())(linear, POINT)
    with pytest.raises(ValueError, match="needs more samples than parameters"):
        Regression(seeded(), P - 1, solver=LeastSquares())(linear, POINT)


def test_losses_less_their_mean_tell_more_than_losses_as_they_are() -> None:
    high = Function(lambda x: quadratic.of(x) + 100)
    raw, centered = (Mollified(seeded(), 64, sides=sides) for sides in (Raw(), OneSided()))
    assert (slope(centered, high) - TRUE).norm() < 0.1 * (slope(raw, high) - TRUE).norm()


def test_what_is_even_about_the_parameters_cancels_in_pairs() -> None:
    bowl = Function(lambda x: (x - POINT["x"]).square().sum(1))
    for estimator in (Mollified(seeded()), SPSA(seeded()), Guided(seeded())):
        assert slope(estimator, bowl).abs().max() < 1e-10
        assert (estimator.report().odd_even or 0) < 1e-10


@pytest.mark.parametrize("samples", [8, P, 41])
@pytest.mark.parametrize("intercept", [True, False])
def test_the_price_of_a_slope_is_chosen_by_leaving_each_sample_out(
    samples: int, intercept: bool
) -> None:
    rows, answers = drawn(samples, P, seed=5), drawn(samples, seed=6)
    if intercept:
        rows, answers = rows - rows.mean(0), answers - answers.mean()
    solver = Ridge(0.3)
    found = solver(rows, answers, taken=intercept / samples)
    penalty = 0.3 * samples * torch.eye(P).double()
    exact = torch.linalg.solve(rows.T @ rows + penalty, rows.T @ answers)
    torch.testing.assert_close(found.slope, exact)
    errors = []
    for out in range(samples):
        kept = torch.arange(samples) != out
        x, y = rows[kept], answers[kept]
        level = (x.mean(0), y.mean()) if intercept else (torch.zeros(P).double(), 0.0)
        x, y = x - level[0], y - level[1]
        left = torch.linalg.solve(x.T @ x + penalty, x.T @ y)
        errors.append(answers[out] - level[1] - (rows[out] - level[0]) @ left)
    explained = 1 - torch.stack(errors).square().sum() / answers.square().sum()
    assert found.explained == pytest.approx(float(explained))


def test_the_published_recipe_is_least_squares_through_the_origin_one_layer_at_a_time() -> None:
    params = {"0.weight": drawn(3, 2), "1.weight": drawn(2, 3, seed=3)}
    x = drawn(2, seed=7)
    asked = []

    def loss(p: Params) -> Tensor:
        asked.append({name: held.numpy().copy() for name, held in p.items()})
        return (p["1.weight"] @ torch.tanh(p["0.weight"] @ x)).square().sum()

    weak = Regression.published(seeded(), samples=4, std=0.15)
    for moved, still in (("0.weight", "1.weight"), ("1.weight", "0.weight")):
        asked.clear()
        value, gradients = weak(loss, params)
        assert len(asked) == 4
        here = loss(params)
        offsets = np.stack([p[moved] - params[moved].numpy() for p in asked]).reshape(5, -1)
        losses = np.array(
            [float(loss({n: torch.tensor(h) for n, h in p.items()})) for p in asked[:5]]
        )
        exact = np.linalg.lstsq(offsets, losses - float(here), rcond=None)[0]
        np.testing.assert_allclose(gradients[moved].flatten(), exact, rtol=1e-6)
        assert (gradients[still] == 0).all()
        assert float(value) == pytest.approx(float(here))
        assert 0.05 < offsets[:3].std() < 0.4


@pytest.mark.filterwarnings("ignore:.*at its worst")
@pytest.mark.parametrize("intercept", [True, False])
def test_past_samples_make_up_for_few_ones(intercept: bool) -> None:
    """Of a linear loss, with other parameters at each call."""
    weak = Regression(seeded(), 8, solver=MinimumNorm(), intercept=intercept, memory=Memory(2, 0.5))
    for seed in range(3):
        found = slope(weak, linear, {"x": drawn(P, seed=seed)})
    torch.testing.assert_close(found, SLOPE)
    with pytest.raises(ValueError, match="calls must be"):
        Memory(0)


def test_a_guide_makes_the_gradient_longer_where_it_points() -> None:
    """In the space of the guide's gradients it is that of a few parameters, not of all."""
    wide = drawn(997)
    loss = Function(lambda x: x @ wide)
    here = {"x": drawn(997, seed=3)}
    plain = Mollified(seeded(), 128)
    guided = Guided(seeded(), 128, guide=Backprop(), share=0.2)
    weak, found = (slope(own, loss, here) for own in (plain, guided))
    cosine = torch.nn.functional.cosine_similarity
    assert cosine(weak, wide, dim=0) < 0.4
    assert cosine(found, wide, dim=0) > 0.9
    along = found @ wide / wide.square().sum()
    assert float(along) == pytest.approx(1, abs=0.5)


def test_low_rank_directions_tell_the_slope_of_a_matrix() -> None:
    matrix = drawn(3, 5)
    found = Mollified(seeded(), 12_000, design=LowRank(2))(
        Matrices(matrix), {"w": drawn(3, 5, seed=3)}
    )[1]["w"]
    assert (found - matrix).norm() < 0.1 * matrix.norm()


class Matrices:
    """The product of a matrix with another, of all members at once."""

    def __init__(self, matrix: Tensor) -> None:
        self.matrix = matrix

    def population(self, members: Params) -> Tensor:
        return (members["w"].dense() * self.matrix).sum((1, 2))


def test_outliers_count_as_much_as_others_by_rank() -> None:
    ranks = centered_ranks(torch.tensor([[3.0, 1.0], [1e9, 2.0], [-7.0, 0.0]]))
    assert ranks.tolist() == [[0.0, 0.0], [0.5, 0.5], [-0.5, -0.5]]
    spoiled = Function(lambda x: linear.of(x) + 1e6 * (torch.arange(len(x)) == 5))
    weak = Mollified(seeded(), 512, sides=OneSided(), shape=centered_ranks)
    assert torch.nn.functional.cosine_similarity(slope(weak, spoiled), SLOPE, dim=0) > 0.8


def test_a_radius_is_in_units_of_each_tensor_and_may_shrink() -> None:
    seen = []
    loss = Function(lambda x: seen.append(x) or x[:, 0])
    weak = Mollified(seeded(), 4000, Annealed(0.5, 0.005, 2))
    for _ in range(4):
        weak(loss, {"x": 7 * POINT["x"]})
    unit = 7 * POINT["x"].square().mean().sqrt()
    spread = [float((x - 7 * POINT["x"]).square().mean().sqrt() / unit) for x in seen]
    assert spread == pytest.approx([0.5, 0.05, 0.005, 0.005], rel=0.03)


def test_a_tensor_of_zeros_is_moved_as_far_as_the_others() -> None:
    params = {"a": torch.full((3,), 4.0), "b": torch.zeros(2), "c": torch.full((), -2.0)}
    whole = {"b": (3 * 16 + 4) / 4}
    moved = {name: [] for name in params}

    def loss(p: Params) -> float:
        for name, held in p.items():
            moved[name].append(held - params[name])
        return 0.0

    Mollified(seeded(), 600, 0.1)(loss, params)
    spread = {n: float(torch.stack(d).square().mean()) / 0.01 for n, d in moved.items()}
    assert spread == pytest.approx({"a": 16, "b": whole["b"], "c": 4}, rel=0.15)
    assert float(Mollified(seeded())(lambda p: 2.0, {"z": torch.zeros(3)})[0]) == 2.0


def test_blocks_take_turns() -> None:
    params = {"0.weight": drawn(3, 2), "0.bias": drawn(3), "1.weight": drawn(2, 3)}

    def loss(p: Params) -> Tensor:
        return sum(held.sum() for held in p.values())

    weak = Mollified(seeded(), scope=Alternating())
    turns = [{name for name, g in weak(loss, params)[1].items() if g.any()} for _ in range(3)]
    assert turns == [{"0.weight", "0.bias"}, {"1.weight"}, {"0.weight", "0.bias"}]
    weak = Mollified(seeded(), scope=Alternating([["2.weight"]]))
    with pytest.raises(ValueError, match="blocks must be of parameters that are trained"):
        weak(loss, params)


def test_a_report_says_how_far_a_gradient_can_be_trusted() -> None:
    weak = Mollified(seeded(), 512, radius=1e-3)
    with pytest.raises(ValueError, match="nothing to report"):
        weak.report()
    quadratic.evaluations = 0
    found = [slope(weak, quadratic) for _ in range(2)]
    report = weak.report({"x": TRUE})
    assert report.evaluations == quadratic.evaluations == 1024
    assert report.odd_even > 100
    assert report.explained > 0.99
    assert report.norm == pytest.approx(float(found[-1].norm()))
    assert report.cosine == report.cosines["x"] > 0.9
    apart = float((found[0] - found[1]).norm())
    assert apart == pytest.approx(math.sqrt(2) * report.standard_error, rel=0.5)
    assert "cosine with the other gradient  0.9" in str(report)
    fitted = Regression(seeded(), 64)
    slope(fitted, quadratic)
    assert fitted.report().explained > 0.8
    published = Regression(seeded(), 6, solver=MinimumNorm())
    slope(published, quadratic)
    assert "standard error" not in str(published.report())


@pytest.mark.parametrize(("solver", "samples"), [
    (LeastSquares(), 40), (Ridge(1e-9), 40), (Ridge(1.0), 40), (Ridge(1.0), 9),
], ids=repr)  # fmt: skip
def test_the_standard_error_of_a_slope_is_its_spread(solver: object, samples: int) -> None:
    """Of a linear loss with noise, at points that are drawn anew."""
    fits = []
    for seed in range(200):
        rows, noise = drawn(samples, P, seed=seed), drawn(samples, seed=1000 + seed)
        fits.append(solver(rows, rows @ SLOPE + noise))
    spread = torch.stack([found.slope for found in fits]).std(0)
    error = torch.stack([found.error for found in fits]).square().mean(0).sqrt()
    assert float(error.norm() / spread.norm()) == pytest.approx(1, rel=0.25)


def test_a_regression_tells_the_standard_error_of_its_gradient() -> None:
    noise = drawn(4096, seed=9)
    rough = Function(lambda x: x @ SLOPE + noise[:40].roll(int(1000 * x[0, 0])))
    weak = Regression(seeded(), 40, 0.7, solver=LeastSquares())
    found = torch.stack([slope(weak, rough) for _ in range(60)])
    spread = float(found.var(0).sum().sqrt())
    assert weak.report().standard_error == pytest.approx(spread, rel=0.35)


def test_the_standard_error_knows_of_credit() -> None:
    params = {"w": drawn(3, 7)}

    def each(p: Params) -> Tensor:
        return p["w"].sum(1)

    weak = Mollified(seeded(), 128, credit={"w": 0})
    found = torch.stack([weak(each, params)[1]["w"] for _ in range(20)])
    spread = float(found.var(0).sum().sqrt())
    assert weak.report().standard_error == pytest.approx(spread, rel=0.2)


@pytest.mark.parametrize("wrong", [
    lambda: Mollified(seeded(), samples=3),
    lambda: Mollified(seeded(), samples=0, sides=Antithetic()),
    lambda: Mollified(seeded(), samples=1, sides=OneSided()),
    lambda: Mollified(seeded(), radius=0.0),
    lambda: Regression(seeded(), samples=1),
    lambda: Guided(seeded(), share=0.0),
    lambda: Guided(seeded(), samples=5),
    lambda: Annealed(1.0, 0.0, 5),
    lambda: Annealed(1.0, 0.1, 0),
    lambda: Ridge(0.0),
    lambda: Orthogonal(0),
])  # fmt: skip
def test_settings_that_cannot_be_are_refused(wrong: Callable[[], object]) -> None:
    with pytest.raises(ValueError, match="must be"):
        wrong()


class Step(nn.Module):
    """Units that are on or off, which tell no derivative."""

    def forward(self, x: Tensor) -> Tensor:
        return (x > 0).to(x)


def blobs() -> tuple[Tensor, Tensor]:
    """Two classes, the inner and the outer of a ring, which no straight line parts."""
    labels = torch.arange(60) % 2
    angle = 2 * math.pi * torch.rand(60, generator=seeded())
    radius = 0.5 + labels + 0.2 * torch.rand(60, generator=seeded(2))
    return torch.stack((radius * angle.cos(), radius * angle.sin()), -1), labels


def wrong(outputs: Tensor, labels: Tensor) -> Tensor:
    """One minus the accuracy."""
    return 1 - (outputs.argmax(-1) == labels).float().mean()


def test_a_net_of_steps_learns_from_how_many_it_gets_wrong() -> None:
    """No derivative anywhere: neither of the loss nor of the units."""
    net = nn.Sequential(nn.Linear(2, 13), Step(), nn.Linear(13, 2))
    with torch.no_grad():
        for p in net.parameters():
            p.copy_(torch.randn(p.shape, generator=seeded(3)))
    x, labels = blobs()
    before = float(wrong(net(x), labels))
    weak = Mollified(seeded(5), 32, 0.5)
    fit(
        net,
        [(x, labels)] * 5,
        wrong,
        optimizer=torch.optim.Adam(net.parameters(), 0.1),
        epochs=40,
        estimator=weak,
    )
    assert before > 0.3
    assert float(wrong(net(x), labels)) < 0.07


@pytest.mark.parametrize(
    "weak",
    [Mollified(seeded()), Regression(seeded(), 8), Guided(seeded()), SPSA(seeded())],
    ids=repr,
)
def test_a_black_box_in_numpy_trains(weak: object) -> None:
    target = np.linspace(-1, 1, 5)

    def loss(p: Params) -> float:
        return float(np.abs(np.round(20 * (p["x"].numpy() - target))).sum())

    params = {"x": torch.full((5,), 0.7, requires_grad=True)}
    optimizer = torch.optim.Adam(params.values(), 0.05)
    before = loss({"x": params["x"].detach()})
    for _ in range(150):
        params["x"].grad = weak(loss, params)[1]["x"]
        optimizer.step()
    assert loss({"x": params["x"].detach()}) < before / 4


RESUMED = [
    lambda: Mollified(seeded(), 4, Annealed(0.3, 0.1, 9), scope=Alternating()),
    lambda: SPSA(seeded()),
    lambda: Regression(seeded(), 5, memory=Memory(2)),
    lambda: Guided(seeded(), 4),
    lambda: Guided(seeded(), 4, guide=SPSA(seeded(7))),
]


@pytest.mark.parametrize("made", RESUMED, ids=lambda made: repr(made()))
def test_a_fit_that_was_interrupted_goes_on_bit_for_bit(
    made: Callable[[], object], tmp_path
) -> None:
    def trained(epochs: int, folder: object, resume: bool = False) -> nn.Module:
        net = nn.Linear(2, 2)
        with torch.no_grad():
            for p in net.parameters():
                p.copy_(torch.randn(p.shape, generator=seeded(3)))
        fit(
            net, [blobs()] * 2, nn.functional.cross_entropy, epochs=epochs, folder=folder,
            optimizer=torch.optim.Adam(net.parameters(), 0.1), estimator=made(), resume=resume,
        )  # fmt: skip
        return net

    whole = trained(4, tmp_path / "whole")
    trained(2, tmp_path / "parts")
    parts = trained(4, tmp_path / "parts", resume=True)
    for own, other in zip(whole.parameters(), parts.parameters(), strict=True):
        assert torch.equal(own, other)
