"""Unseen worms: folds never learn from the worm they are scored on; gains are judged by parts."""

import math
from statistics import mean

import pytest
import torch

from amphid.models.forecasts import (
    Autoregression,
    GatedRecurrent,
    GraphNetwork,
)
from amphid.models.graphs import Inferred, NoEdges, Shuffled
from amphid.studies import Settings, WormForecast
from amphid.studies.worm_folds import Folds, chosen, over_seeds
from amphid.studies.worm_forecast import (
    anatomical,
    calibrated,
    drawn,
    gains,
    holds,
    learning,
    nameless,
    nested,
    other_horizon,
    seen,
    shuffles,
)
from amphid.studies.worm_nets import trained
from amphid.tasks import WormRecording

FRAMES, HORIZON = 347, 3
CELLS = ("AVAL", "AIBL", "RMED", "AVAR", "AIBR", None)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def worm(seed: int) -> WormRecording:
    """Three leaders that wander, and three cells that follow them three frames later."""
    noise = torch.randn(FRAMES, 6, generator=seeded(seed))
    rows = [noise[0, :3]]
    for row in noise[1:, :3]:
        rows.append(0.8 * rows[-1] + row)
    leaders = torch.stack(rows)
    activity = torch.cat([leaders, leaders.roll(HORIZON, 0) + 0.3 * noise[:, 3:]], 1)
    still = torch.zeros(FRAMES)
    return WormRecording(f"w{seed}", activity, CELLS, still, still > 0, 600.0)


@pytest.fixture(scope="module")
def folds() -> Folds:
    return Folds([worm(seed) for seed in range(4)], HORIZON)


def test_the_held_worm_is_never_learned_from(folds):
    for place, held in enumerate(folds.worms):
        assert held not in folds.known(place)
        assert len(folds.known(place)) == 3
        assert folds.known(place, 2) == folds.known(place)[:2]


def test_a_graph_that_exists_is_found_and_a_shuffled_one_tells_nothing(folds):
    graph, twin = folds.graph(Inferred()).errors(), folds.graph(NoEdges()).errors()
    mixed = folds.graph(Shuffled(Inferred(), lambda n: drawn(1, n))).errors()
    base = folds.fitted(Autoregression(HORIZON))
    gain = gains(graph, {"autoregression": base, "no_messages": twin, "shuffled": mixed})
    assert gain["no_messages"]["mean"] > 0.1
    assert gain["no_messages"]["worms"] == 4
    assert gain["shuffled"]["interval"][0] > 0
    assert holds(gain) is True


def test_errors_are_those_of_a_model_that_is_fitted_anew(folds):
    graph = folds.graph(Inferred())
    apart = graph.model.fit(folds.known(1))
    told = apart(folds.worms[1])
    activity = folds.worms[1].activity.double()
    assert graph.errors()[1] == pytest.approx(graph.error(folds.known(1), folds.worms[1]))
    assert told.shape == activity.shape
    curve = learning(graph, (1, 3, 9))
    assert list(curve) == ["1", "3"]
    assert curve["3"] == pytest.approx(mean(graph.errors()), abs=1e-4)


def test_a_choice_on_inner_worms_picks_what_helps(folds):
    errors, picked = chosen([folds.graph(NoEdges()), folds.graph(Inferred())])
    assert picked == (1, 1, 1, 1)
    assert errors == folds.graph(Inferred()).errors()


def test_training_never_ends_worse_than_it_began_on_the_worm_that_is_watched(folds):
    """No step at all is a choice, so an aimless network stays its autoregression."""
    net = GatedRecurrent(HORIZON, ("AVAL", "RMED"), hidden=3, generator=seeded())
    inputs = {one.name: net.inputs(one) for one in folds.worms}
    before = net.fit(folds.worms)(folds.worms[0]).detach()
    trained(net, folds.worms, inputs, steps=1, generator=seeded())
    with torch.no_grad():
        torch.testing.assert_close(net(folds.worms[0]), before)


def test_a_network_with_messages_learns_what_the_others_do(folds):
    def make(draw):
        return GraphNetwork(HORIZON, Inferred(), hidden=16, generator=draw)

    (found,) = folds.trained(make, (0,), steps=150)
    base = folds.fitted(Autoregression(HORIZON))
    assert mean(found) < 0.95 * mean(base)
    assert over_seeds([(1.0, 2.0), (3.0, 4.0)]) == (2.0, 3.0)


def test_worms_without_names_are_foretold_by_what_named_ones_taught(folds):
    other = worm(9)
    lone = WormRecording(
        "x", other.activity, (None,) * 6, other.velocity, other.reversal, other.interval
    )
    told = nameless(folds.worms, [lone])
    assert told is not None
    assert told["worms"] == ["x"]
    assert 0 < told["graph"] < 1.1
    assert told.keys() >= {"autoregression", "no_messages"}
    assert nameless(folds.worms, []) is None


def test_the_parts_of_a_report_name_their_models(folds):
    assert set(anatomical(folds)) == {"anatomical", "both"}
    assert set(shuffles(folds, (0,))) == {"shuffled", "anatomical_shuffled"}
    own, other = other_horizon(folds, (0,))
    assert set(own["gain"]) == set(other) == {"autoregression", "no_messages", "shuffled"}
    late = calibrated(folds)
    assert late["graph"] > 0
    assert late["gain"]["worms"] <= 4
    picked = nested(folds, (1.0, 16.0))
    assert picked is not None
    assert set(picked["ridges"]) <= {1.0, 16.0}
    assert nested(folds, ()) is None


def test_gains_and_power_are_their_definitions():
    gain = gains((0.9, 0.8), {"other": (1.0, 1.0)})["other"]
    assert gain["mean"] == 0.15
    reach = 12.7062 * math.sqrt(2) * 0.05 / math.sqrt(2)
    assert gain["interval"] == pytest.approx([0.15 - reach, 0.15 + reach], abs=1e-3)
    assert seen((0.9, 0.8), (1.0, 1.0)) == pytest.approx((12.7062 + 1.3764) * 0.05, abs=1e-3)


@pytest.mark.parametrize(
    ("name", "mean_gain", "low", "verdict"),
    [
        ("autoregression", 0.03, 0.01, True),
        ("autoregression", 0.019, 0.01, False),
        ("autoregression", 0.03, -0.01, False),
        ("shuffled", 0.03, -0.001, False),
        ("no_messages", 0.001, 0.0005, True),
    ],
)
def test_the_claim_asks_for_two_percent_and_for_both_twins(name, mean_gain, low, verdict):
    gain = {
        rival: {"mean": 0.03, "interval": [0.01, 0.05]}
        for rival in ("autoregression", "no_messages", "shuffled")
    }
    gain[name] = {"mean": mean_gain, "interval": [low, 0.1]}
    assert holds(gain) is verdict


def test_without_recordings_it_says_how_to_get_them(tmp_path, monkeypatch):
    monkeypatch.setenv("AMPHID_DATA", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with pytest.raises(FileNotFoundError, match="celegans_calcium_flavell"):
        WormForecast().run(Settings())
