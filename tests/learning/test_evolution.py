"""Every scheme of evolution keeps the contract, and meters of inbreeding give what is known."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

import amphid.learning as room
from amphid.learning import (
    CMAES,
    SNES,
    Aging,
    Annealed,
    Cloning,
    Islands,
    MapElites,
    Novelty,
    OpenAIES,
    Population,
    Recombination,
    Scheme,
)
from amphid.learning.evolution.pooled import Pooled

pytest.importorskip("cma", reason="CMAES needs cma")

S, P = 23, 5

SCHEMES: list[Scheme] = [
    Cloning(S, 0.1),
    Cloning(S, 0.1, elitist=False),
    Recombination(S, 0.1, parents=7),
    Recombination(S, Annealed(0.3, 0.05, 30), parents=7, mates=7),
    Aging(S, 0.1, lifetime=3),
    Islands((Recombination(11, 0.05, parents=3), Cloning(7, 0.1), Aging(5, 0.2)), every=7),
    MapElites(S, 0.1, low=-3.0, high=(3.0, 2.0), cells=7, mates=2),
    Novelty(Aging(S, 0.1), weight=0.2),
    SNES(S, 0.3),
    OpenAIES(S + 1, 0.1, learning_rate=0.1),
    CMAES(S, 0.3),
    CMAES(S, 0.3, diagonal=True),
]


def seeded(seed: int = 1) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def sphere(x: torch.Tensor) -> torch.Tensor:
    return x.square().sum(-1)


def population(
    scheme: Scheme, start: object = None, dtype: torch.dtype = torch.float64, seed: int = 1
) -> Population:
    start = torch.full((P,), 2.0, dtype=dtype) if start is None else start
    return Population(scheme, start, generator=seeded(seed), watch=None)


def live(own: Population, generations: int, loss=sphere) -> Population:
    for _ in range(generations):
        asked = own.ask()
        own.tell(loss(asked), asked[:, :2])
    return own


def test_the_list_of_schemes_is_complete() -> None:
    known = {
        value
        for value in vars(room).values()
        if isinstance(value, type) and issubclass(value, Scheme)
    }
    assert {type(scheme) for scheme in SCHEMES} == known - {Scheme, Pooled}


@pytest.mark.parametrize("scheme", SCHEMES, ids=repr)
def test_every_scheme_comes_down_a_sphere(scheme: Scheme) -> None:
    own = live(population(scheme), 53)
    assert float(sphere(own.answer)) < 0.04 * P * 2.0**2
    assert float(sphere(own.best)) == own.best_loss
    assert (own.generation, own.evaluations) == (53, 53 * scheme.samples)


@pytest.mark.parametrize("scheme", SCHEMES, ids=repr)
def test_every_scheme_evolves_parameters_of_several_shapes(scheme: Scheme) -> None:
    start = {"w": torch.ones(3, 2), "b": torch.full((2,), -2.0, dtype=torch.float64)}
    own = population(scheme, start)

    def parabola(p):
        return (p["w"] - 0.5).square().sum((-2, -1)) + (p["b"] + 1).square().sum(-1)

    first = None
    for _ in range(31):
        asked = own.ask()
        assert {name: (x.shape[1:], x.dtype) for name, x in asked.items()} == {
            name: (x.shape, x.dtype) for name, x in start.items()
        }
        losses = parabola(asked)
        first = losses.mean() if first is None else first
        own.tell(losses, asked["b"])
    assert float(parabola({k: v[None] for k, v in own.answer.items()})) < 0.3 * float(first)


@pytest.mark.parametrize("scheme", SCHEMES, ids=repr)
def test_every_scheme_keeps_the_type_of_the_start(scheme: Scheme) -> None:
    own = live(population(scheme, dtype=torch.float32), 3)
    assert own.ask().dtype == own.answer.dtype == own.winner.dtype == torch.float32


@pytest.mark.parametrize("scheme", SCHEMES, ids=repr)
def test_every_scheme_goes_on_from_its_state_bit_for_bit(scheme: Scheme) -> None:
    whole = live(population(scheme), 13)
    half = live(population(scheme), 6)
    half.ask()  # is asked, and not told, when its state is taken
    other = population(scheme, seed=2)
    other.load_state_dict(half.state_dict())
    live(other, 7)
    assert torch.equal(other.ask(), whole.ask())
    assert torch.equal(other.answer, whole.answer)
    assert torch.equal(other.lineage.apart, whole.lineage.apart)


@pytest.mark.parametrize("scheme", SCHEMES, ids=repr)
def test_no_state_grows(scheme: Scheme) -> None:
    if isinstance(scheme, Novelty):
        scheme = Novelty(scheme.scheme, memory=11)
    own = live(population(scheme), 15)
    sizes = [_size(live(own, 1).state_dict()) for _ in range(28)]
    if isinstance(scheme, MapElites):
        assert len(own.state.genes) <= scheme.cells**2
    else:
        assert max(sizes[14:]) <= max(sizes[:14])


def _size(tree: object) -> int:
    if isinstance(tree, torch.Tensor):
        return tree.numel()
    if isinstance(tree, dict):
        tree = list(tree.values())
    return sum(map(_size, tree)) if isinstance(tree, (list, tuple)) else 1


@pytest.mark.parametrize("scheme", SCHEMES, ids=repr)
def test_a_candidate_that_fails_is_the_worst(scheme: Scheme) -> None:
    def fails(x):
        return torch.where(x[:, 0] > 1.9, float("nan"), sphere(x))

    own = live(population(scheme), 7, fails)
    assert math.isfinite(own.best_loss)
    assert float(own.best[0]) <= 1.9
    assert own.answer.isfinite().all()


@pytest.mark.parametrize("scheme", SCHEMES, ids=repr)
def test_nonsense_is_refused_by_a_sentence(scheme: Scheme) -> None:
    own = population(scheme)
    with pytest.raises(ValueError, match=r"call ask\(\) first"):
        own.tell(torch.zeros(scheme.samples))
    with pytest.raises(ValueError, match="nothing was told yet"):
        _ = own.best
    asked = own.ask()
    assert torch.equal(own.ask(), asked)
    with pytest.raises(ValueError, match="one for each of"):
        own.tell(torch.zeros(scheme.samples + 1))
    with pytest.raises(FloatingPointError, match="no candidate"):
        own.tell(torch.full((scheme.samples,), float("nan")))
    own.tell(sphere(asked), asked[:, :2])
    other = Recombination(S) if not isinstance(scheme, Recombination) else Aging(S)
    with pytest.raises(ValueError, match="is of a population by"):
        population(other).load_state_dict(own.state_dict())


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: Recombination(7, parents=11), "not be more than samples"),
        (lambda: Aging(spread=0.0), "spread must be above zero"),
        (lambda: Aging(lifetime=0), "lifetime must be a whole number"),
        (lambda: Islands((Aging(),)), "at least two"),
        (lambda: MapElites(low=1.0, high=0.0), "low must be below high"),
        (lambda: Novelty(weight=2.0), "from 0 to 1"),
        (lambda: OpenAIES(7), "must be even"),
        (lambda: SNES(spread=Annealed(1.0, 0.1, 3)), "adapts by itself"),
        (lambda: population(CMAES(), torch.zeros(5000)), "diagonal=True"),
        (lambda: population(Aging(), torch.zeros(3, 2)), r"a vector \[P\]"),
        (lambda: population(Aging(), nn.ReLU()), "no parameter"),
        (lambda: live(population(MapElites(S)), 1, lambda x: x.new_zeros(S)).tell, None),
    ],
)
def test_settings_that_cannot_be_are_refused(make, sentence: str | None) -> None:
    if sentence is None:
        make()
        return
    with pytest.raises((ValueError, TypeError), match=sentence):
        make()


def test_map_elites_needs_the_behavior() -> None:
    own = population(MapElites(S))
    with pytest.raises(ValueError, match="behavior"):
        own.tell(sphere(own.ask()))


def test_founders_are_the_first_candidates() -> None:
    founders = torch.randn(S, P, generator=seeded(3), dtype=torch.float64)
    for scheme in SCHEMES[:8]:
        own = Population(scheme, founders[0], generator=seeded(), founders=founders)
        assert torch.equal(own.ask(), founders)
        own.tell(sphere(founders), founders[:, :2])
        assert own.inbreeding.parents == pytest.approx(S)
    with pytest.raises(TypeError, match="founders cannot be given to SNES"):
        Population(SNES(S), founders[0], generator=seeded(), founders=founders).ask()


def test_cma_is_that_of_its_library() -> None:
    import cma
    import numpy as np

    draw = seeded()
    library = cma.CMAEvolutionStrategy(
        np.full(P, 2.0), 0.3,
        {
            "popsize": S, "seed": np.nan, "verbose": -9,
            "AdaptSigma": cma.sigma_adaptation.CMAAdaptSigmaCSA,
            "randn": lambda *shape: torch.randn(shape, generator=draw, dtype=torch.float64).numpy(),
        },
    )  # fmt: skip
    own = population(CMAES(S, 0.3))
    for _ in range(19):
        asked = library.ask()
        torch.testing.assert_close(own.ask(), torch.as_tensor(np.stack(asked)))
        losses = sphere(own.ask())
        library.tell(asked, losses.tolist())
        own.tell(losses)


def test_genes_are_in_units_of_the_root_mean_square_of_their_tensor() -> None:
    start = {"large": torch.full((997,), 100.0), "small": torch.full((997,), 0.01)}
    own = population(Cloning(3, 0.1), start)
    asked = own.ask()
    for name, held in start.items():
        change = (asked[name] - held).std() / held[0]
        assert float(change) == pytest.approx(0.1, rel=0.1)
    absolute = Population(Cloning(3, 0.1), start, generator=seeded(), absolute=True).ask()
    assert float((absolute["large"] - 100.0).std()) == pytest.approx(0.1, rel=0.1)
