"""The refraction ratio: closed forms, and what it says of signals that race."""

import math

import pytest
import torch

from amphid.dynamics import Winner
from amphid.measures import RefractionRatios, refraction_ratio
from amphid.simulation import GeometricNetwork, Onsets, race
from amphid.wiring import Cells, Connections, Connectome


def fan(latencies: list[float], period: float | torch.Tensor) -> GeometricNetwork:
    """A cell that projects to as many others as there are latencies."""
    size = len(latencies)
    cells = Cells([f"C{number}" for number in range(size + 1)])
    wires = Connections([0] * size, range(1, size + 1), delay=latencies, sign=1)
    return GeometricNetwork(Connectome(cells, wires), Winner(period))


def test_the_ratio_is_the_refractory_period_of_the_receiver_over_the_latency():
    period = torch.tensor([7.0, 2.0, 3.0, 5.0])
    found = refraction_ratio(fan([4.0, 2.0, 2.5], period))
    torch.testing.assert_close(found.value, torch.tensor([0.5, 1.5, 2.0], dtype=torch.float64))
    assert (found.median, found.lost) == (1.5, 2 / 3)
    assert found.quantiles(0.0, 1.0) == (0.5, 2.0)


def test_all_times_scaled_leave_the_ratio():
    latencies = torch.rand(17, generator=torch.Generator().manual_seed(1)).tolist()
    one, other = (
        refraction_ratio(fan([scale * t for t in latencies], scale * 3.0)) for scale in (1.0, 8.0)
    )
    torch.testing.assert_close(one.value, other.value, rtol=1e-6, atol=0.0)


def test_signals_whose_ratio_is_above_one_are_lost_where_both_cells_fired_at_once():
    network = fan([1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0], 4.0)
    together = Onsets(torch.arange(8), torch.zeros(8))
    run = race(network, together, duration=20.0, dt=0.25)
    ratios = refraction_ratio(network)
    assert (run.counts()[1:] == torch.where(ratios.value > 1, 1, 2)).all()
    assert int(run.lost) == round(ratios.lost * len(ratios))


def test_what_is_unknown_stays_out_of_the_distribution():
    found = RefractionRatios.of(2.0, torch.tensor([math.nan, 1.0, 4.0]))
    assert len(found) == 3
    assert (found.median, found.lost) == (0.5, 0.5)
    assert "median 0.5" in repr(found)
    assert math.isnan(RefractionRatios.of(2.0, torch.tensor([math.nan])).median)
    assert found.quantiles(1.0) == pytest.approx((2.0,))
