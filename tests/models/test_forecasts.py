"""Forecasts of activity look back only, whatever the order of cells, and find who leads."""

import math
from dataclasses import dataclass

import pytest
import torch
from torch import Tensor

from amphid.models import forecasts
from amphid.models.forecasts import (
    Attention,
    Autoregression,
    Corrector,
    Forecaster,
    GatedRecurrent,
    GraphForecast,
    GraphNetwork,
    MultilayerPerceptron,
    Persistence,
    VectorAutoregression,
    cell_weights,
)
from amphid.models.graphs import Anatomical, Given, Inferred, NoEdges, Pace, Shuffled, Together
from amphid.wiring import celegans

FRAMES, HORIZON = 313, 3
NAMES = ("AVAL", "AVAR", "AIBL", "RMED", "VB2")
CELLS = ("AVAR", None, "AVAL", "RMED", "VB2", None, "AIBL")


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@dataclass(frozen=True)
class Brain:
    activity: Tensor
    cells: tuple[str | None, ...]


def brain(seed: int, cells=CELLS) -> Brain:
    """Smooth noise, so that the past tells of the future."""
    noise = torch.randn(FRAMES, len(cells), generator=seeded(seed), dtype=torch.float64)
    rows = [noise[0]]
    for row in noise[1:]:
        rows.append(0.8 * rows[-1] + row)
    return Brain(torch.stack(rows), cells)


def anatomical() -> Given:
    return Given(Anatomical(celegans()))


EDGES = {
    "none": NoEdges(),
    "inferred": Inferred(),
    "anatomical": anatomical(),
    "both": Together((Inferred(), anatomical())),
    "shuffled": Shuffled(Inferred(), seeded),
}
MODELS = {
    "persistence": lambda: Persistence(HORIZON),
    "autoregression": lambda: Autoregression(HORIZON),
    "vector": lambda: VectorAutoregression(HORIZON),
    **{name: lambda e=e: GraphForecast(HORIZON, e) for name, e in EDGES.items()},
    "network": lambda: GraphNetwork(HORIZON, Inferred(), attention=5, generator=seeded()),
    "perceptron": lambda: MultilayerPerceptron(HORIZON, NAMES, generator=seeded()),
    "gated": lambda: GatedRecurrent(HORIZON, NAMES, generator=seeded()),
}
BLIND = {name: make for name, make in MODELS.items() if name != "shuffled"}


def fitted(make) -> Forecaster:
    """A model that has learned, its corrections too."""
    model = make().fit([brain(1), brain(2, CELLS[::-1])])
    if isinstance(model, Corrector):
        torch.nn.init.normal_(model.out.weight, generator=seeded(3))
    return model.eval()


def told(model: Forecaster, seen: Brain) -> Tensor:
    with torch.no_grad():
        return model(seen)


def test_every_forecaster_is_in_the_list():
    concrete = {
        one
        for one in vars(forecasts).values()
        if isinstance(one, type) and issubclass(one, Forecaster) and not one.__abstractmethods__
    }
    assert {type(make()) for make in MODELS.values()} == concrete


@pytest.mark.parametrize("make", MODELS.values(), ids=MODELS)
def test_a_forecast_depends_on_no_later_frame(make):
    model, seen, now = fitted(make), brain(5), 257
    other = Brain(torch.cat([seen.activity[: now + 1], brain(6).activity[now + 1 :]]), seen.cells)
    given = told(model, seen)
    assert given.shape == seen.activity.shape
    torch.testing.assert_close(given[: now + 1], told(model, other)[: now + 1])
    if not isinstance(model, Persistence):
        assert not torch.allclose(given[now + 30 :], seen.activity[now + 30 :])


@pytest.mark.parametrize("make", BLIND.values(), ids=BLIND)
def test_the_order_of_cells_does_not_matter(make):
    model, seen, order = fitted(make), brain(5), torch.tensor([3, 0, 6, 1, 5, 2, 4])
    other = Brain(seen.activity[:, order], tuple(seen.cells[k] for k in order))
    torch.testing.assert_close(
        told(model, seen)[:, order], told(model, other), rtol=1e-4, atol=1e-4
    )


@pytest.mark.parametrize("make", MODELS.values(), ids=MODELS)
def test_cells_without_a_name_are_foretold_too(make):
    nameless = brain(7, (None,) * 4)
    assert told(fitted(make), nameless).isfinite().all()
    assert told(make().fit([nameless]), brain(8)).isfinite().all()


@pytest.mark.parametrize("name", ["network", "perceptron", "gated"])
def test_a_network_begins_at_its_autoregression(name):
    model = MODELS[name]().fit([brain(1)])
    torch.testing.assert_close(told(model, brain(2)), told(model.base, brain(2)))


def test_networks_that_are_compared_are_about_as_large():
    names = [str(k) for k in range(139)]
    sizes = [
        sum(weight.numel() for weight in net.parameters())
        for net in (
            MultilayerPerceptron(10, names, generator=seeded()),
            GatedRecurrent(10, names, generator=seeded()),
            GraphNetwork(10, Inferred(), attention=8, generator=seeded()),
        )
    ]
    assert max(sizes) < 1.1 * min(sizes)


def test_an_autoregression_finds_the_process_and_names_what_differs():
    time = torch.arange(FRAMES, dtype=torch.float64)[:, None]
    fast, slow = Brain(0.98**time, ("AVAL",)), Brain(0.995**time, ("RMED",))
    own = Autoregression(1, lags=1, hold=0.0).fit([fast, slow])
    torch.testing.assert_close(own.own[:, 0], torch.tensor([0.98, 0.995], dtype=torch.float64))
    alike = Autoregression(1, lags=1, hold=math.inf).fit([fast, slow])
    torch.testing.assert_close(alike.own, alike.shared.expand(2, -1))


def led(seed: int) -> Brain:
    """Each of three followers does what its leader did three frames ago, and noise."""
    leaders = brain(seed, (None,) * 3).activity
    noise = torch.randn(FRAMES, 3, generator=seeded(seed + 50), dtype=torch.float64)
    return Brain(torch.cat([leaders, leaders.roll(HORIZON, 0) + 0.3 * noise], 1), (None,) * 6)


def error(model: Forecaster, seen: Brain) -> float:
    ahead = seen.activity[240 + HORIZON :]
    told_then = told(model, seen)[240:-HORIZON]
    return float(((told_then - ahead)[:, 3:]).square().mean())


def test_inferred_edges_tell_followers_what_shuffled_ones_do_not():
    worms, pace = [led(seed) for seed in (1, 2, 3)], Pace(early=150)
    rules = {
        "inferred": Inferred(pace=pace),
        "none": NoEdges(),
        "shuffled": Shuffled(Inferred(pace=pace), lambda n: seeded(4)),
    }
    found = {
        name: error(GraphForecast(HORIZON, rule, pace=pace).fit(worms), led(4))
        for name, rule in rules.items()
    }
    assert found["inferred"] < 0.7 * found["none"]
    assert found["shuffled"] > 0.85 * found["none"]


def test_cells_count_by_their_variance_and_only_with_a_name():
    seen = brain(1)
    weights = cell_weights(seen)
    assert [bool(weight) for weight in weights] == [cell is not None for cell in CELLS]
    torch.testing.assert_close(weights[0], 1 / seen.activity[:, 0].var())
    assert cell_weights(Brain(seen.activity, (None,) * 7)).all()


def test_attention_hears_others_only():
    heard = Attention(3, 5, generator=seeded())
    features = torch.randn(2, 7, 3, generator=seeded())
    changed = features.clone()
    changed[:, 0] += 1
    question = heard.asked(features).split(5, -1)[0]
    assert heard(features).shape == (2, 7, 5)
    assert question.shape == (2, 7, 5)
    lone = heard(features[:, :2])
    torch.testing.assert_close(lone[:, 0], heard.asked(features[:, 1]).split(5, -1)[2])


def test_arguments_that_make_no_sense_are_sentences():
    with pytest.raises(ValueError, match="horizon must be a number of frames"):
        Persistence(0)
    with pytest.raises(ValueError, match="lags must be"):
        Autoregression(1, lags=0)
    with pytest.raises(ValueError, match="ridge must be positive"):
        VectorAutoregression(1, ridge=0.0)
    short = Brain(torch.zeros(200, 7), CELLS)
    with pytest.raises(ValueError, match="more than 240"):
        Autoregression(1).fit([short])


@pytest.mark.parametrize(
    ("given", "error", "said"),
    [
        ([], ValueError, "at least one to learn from"),
        (None, TypeError, "must be a list"),
        ([torch.zeros(3, 2)], TypeError, "takes a recording with `activity`"),
    ],
)
@pytest.mark.parametrize(
    "model", [Autoregression(3), GraphForecast(3, NoEdges())], ids=["ar", "graph"]
)
def test_what_nothing_can_be_learned_from_is_refused_in_a_sentence(model, given, error, said):
    with pytest.raises(error, match=said):
        model.fit(given)
    with pytest.raises(TypeError, match="takes a recording with `activity`"):
        model(given)


def test_rules_that_cannot_be_are_refused_in_a_sentence():
    with pytest.raises(TypeError, match="edges must be a rule"):
        GraphForecast(3, Inferred)
