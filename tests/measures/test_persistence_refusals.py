"""What measures of races say to arguments that make no sense."""

import math

import pytest
import torch

from amphid.dynamics import Winner
from amphid.measures import RefractionRatios, glimpse, persistence, refraction_ratio
from amphid.simulation import GeometricNetwork, Onsets
from amphid.wiring import conducted, geometric

PLACES = torch.rand(7, 3, generator=torch.Generator().manual_seed(3))
WIRED = conducted(geometric(PLACES, neighbors=3), speed=0.2)
NETWORK = GeometricNetwork(WIRED, Winner(5.0))
ASKED = {"network": NETWORK, "stimulus": Onsets(torch.arange(2), torch.zeros(2)), "dt": 1.0}


@pytest.mark.parametrize("measure", [persistence, glimpse])
@pytest.mark.parametrize(
    ("settings", "error", "sentence"),
    [
        ({"network": WIRED}, TypeError, "network must be a GeometricNetwork or a Network"),
        ({"stimulus": torch.zeros(5, 7)}, TypeError, "stimulus must be of Onsets for a Geometric"),
        ({"stimulus": None}, TypeError, "stimulus must be of Onsets for a GeometricNetwork"),
        ({"dt": 0.0}, ValueError, "dt must be a positive number of ms"),
        ({"dt": "1"}, ValueError, "dt must be a positive number of ms"),
        ({"tolerance": math.nan}, ValueError, "tolerance must be a number of ms"),
        ({"tolerance": -1.0}, ValueError, "tolerance must be a number of ms, not negative"),
        ({"tolerance": None}, ValueError, "tolerance must be a number of ms"),
    ],
    ids=[f"case-{k}" for k in range(8)],
)  # fmt: skip
def test_nonsense_is_a_sentence(measure, settings, error, sentence):
    own = {"after": 5.0} if measure is glimpse else {}
    with pytest.raises(error, match=sentence):
        measure(**{**ASKED, **own, **settings})


@pytest.mark.parametrize("time", [math.nan, math.inf, -1.0, "5", None])
def test_what_is_no_time_to_follow_or_to_wait_is_refused(time):
    with pytest.raises(ValueError, match="longest must be a number of ms, not negative"):
        persistence(**ASKED, longest=time)
    with pytest.raises(ValueError, match="after must be a number of ms, not negative"):
        glimpse(**ASKED, after=time)


@pytest.mark.parametrize("cells", [2.5, "3", True, 8])
def test_cells_to_look_at_are_counted(cells):
    with pytest.raises(ValueError, match="cells must be from 1 to 7"):
        glimpse(**ASKED, after=5.0, cells=cells, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize(
    ("ask", "error", "sentence"),
    [
        (lambda: refraction_ratio(WIRED), TypeError, "network must be a GeometricNetwork"),
        (lambda: refraction_ratio(GeometricNetwork(WIRED, Winner(torch.ones(3)))), ValueError,
         "one entry per cell: there are 7 cells"),
        (lambda: RefractionRatios.of("1", torch.ones(3)), TypeError, "period must be a number"),
        (lambda: RefractionRatios.of(-1.0, torch.ones(3)), ValueError, "must not be negative"),
        (lambda: RefractionRatios.of(torch.ones(5), torch.ones(3)), ValueError, "each of 3 lat"),
        (lambda: RefractionRatios.of(1.0, [1.0]), TypeError, "latency must be a tensor"),
        (lambda: RefractionRatios.of(1.0, torch.tensor(1.0)), TypeError, "latency must be a ten"),
        (lambda: RefractionRatios.of(1.0, torch.ones(3)).quantiles(2.0), ValueError, "from 0 to 1"),
        (lambda: RefractionRatios.of(1.0, torch.ones(3)).quantiles(math.nan), ValueError, "from 0"),
    ],
    ids=[f"case-{k}" for k in range(9)],
)  # fmt: skip
def test_ratios_of_nonsense_are_refused(ask, error, sentence):
    with pytest.raises(error, match=sentence):
        ask()
