"""Published networks of cortex keep the laws that their articles state."""

from __future__ import annotations

import math
import sys

import numpy as np
import pytest
import torch
from scipy.optimize import minimize_scalar

from amphid import models
from amphid.models import Regime

column = sys.modules["amphid.models.microcircuit"]


@pytest.fixture
def g() -> torch.Generator:
    return torch.Generator().manual_seed(1)


@pytest.mark.parametrize("cells", [1250, 625])
@pytest.mark.parametrize("inhibition", [3.0, 6.0])
def test_brunel_keeps_the_mean_input_whatever_its_size(
    g: torch.Generator, cells: int, inhibition: float
) -> None:
    """C_E J = 100 mV; an inhibitory jump is g times an excitatory one; in-degrees all alike."""
    model = models.brunel(regime=Regime(inhibition, 2.0), cells=cells, generator=g)
    wires = model.network.connectome.connections
    onto = np.bincount(wires.post, minlength=cells)
    assert set(onto.tolist()) == {cells // 4}
    assert (wires.sign < 0).mean() == pytest.approx(0.2, abs=0.002)
    charges = {key: float(group.charge) for key, group in model.network.groups()}
    excitatory = charges["excitatory"] / 200.0
    assert excitatory * 0.8 * len(wires) / cells == pytest.approx(100.0, rel=0.001)
    assert charges["inhibitory"] == pytest.approx(-inhibition * charges["excitatory"])
    assert set(wires.delay.tolist()) == {1.5}


def test_the_drive_of_brunel_alone_brings_the_mean_voltage_to_threshold(g: torch.Generator) -> None:
    model = models.brunel(regime=Regime(5.0, 1.0), cells=625, generator=g)
    assert model.rate is not None
    assert model.charge is not None
    mean = model.rate * model.charge * float(model.network.neuron.neuron.resistance)
    torch.testing.assert_close(mean, torch.full_like(mean, 20.0), rtol=1e-6, atol=0)


def test_vogels_abbott_has_the_published_sizes_and_open_synapses(g: torch.Generator) -> None:
    model = models.vogels_abbott(generator=g)
    wired = model.network.connectome
    assert (wired.cells.kind == "inhibitory").sum() == 800
    assert len(wired.connections) / 4000 == pytest.approx(80, rel=0.01)
    assert float(model.v.mean()) == pytest.approx(-65.0, abs=0.5)
    assert float(model.v.std()) == pytest.approx(5.0, rel=0.1)
    start = model.start()
    torch.testing.assert_close(start.v, model.v)
    torch.testing.assert_close(start.synapses["excitatory"].s, model.open["excitatory"])
    assert 6 * float(model.open["excitatory"].mean()) == pytest.approx(40.0, rel=0.05)
    closed = (model.open["inhibitory"] == 0).double().mean()
    assert float(closed) == pytest.approx(0.048, abs=0.02)  # 1.67 deviations below the mean


def test_currents_of_vogels_abbott_move_the_voltage_by_their_jumps(g: torch.Generator) -> None:
    """x jumps by 1.62 mV: the current by 16.2 pA on 0.1 GOhm."""
    groups = dict(models.vogels_abbott_currents(cells=200, generator=g).network.groups())
    resistance = 0.1
    assert groups["excitatory"].amplitude * resistance == pytest.approx(1.62)
    assert groups["inhibitory"].amplitude * resistance == pytest.approx(-9.0)


def test_a_run_without_input_settles_and_goes_on(g: torch.Generator) -> None:
    model = models.vogels_abbott_currents(cells=499, generator=g)
    whole = model.run(30.0, generator=g)
    rest = model.run(20.0, settle=10.0, generator=g)
    late = whole.spikes.index[0] >= 100
    assert torch.equal(whole.spikes.index[:, late] - torch.tensor([[100], [0]]), rest.spikes.index)


# --- the microcircuit


def test_a_weight_of_the_microcircuit_lifts_the_voltage_by_its_published_peak() -> None:
    """The response to an exponential current of 0.5 ms, by its closed form, peaks at 0.15 mV."""
    weight = column.strengths()[1, 0]

    def v(t: float) -> float:
        fast, slow, c = 0.5, 10.0, 250.0
        return (
            weight / c * fast * slow / (slow - fast) * (math.exp(-t / slow) - math.exp(-t / fast))
        )

    peak = -minimize_scalar(lambda t: -v(t), bounds=(0.0, 10.0), method="bounded").fun
    assert peak == pytest.approx(0.15, rel=1e-6)


def test_strengths_of_the_microcircuit_have_signs_and_one_exception() -> None:
    weights = column.strengths() / column.strengths()[1, 0]
    expected = np.tile([1.0, -4.0], (8, 4))
    expected[0, 2] = 2.0
    np.testing.assert_allclose(weights, expected)


def test_pairs_of_the_microcircuit_are_connected_with_the_published_probability() -> None:
    """Drawn K times with repetition, a pair is missed with (1 - 1 / (N M))^K."""
    drawn = column.connections_onto() * column.SIZES[:, None]
    pairs = np.outer(column.SIZES, column.SIZES)
    found = -np.expm1(drawn * np.log1p(-1.0 / pairs))
    np.testing.assert_allclose(found, column.PROBABILITIES, atol=1e-12)


@pytest.mark.parametrize("scale", [1.0, 0.3, 0.1])
def test_scaling_keeps_mean_and_variance_of_the_input(scale: float) -> None:
    """With K -> s K and w -> w / sqrt(s): sum K w^2 r stays; sum K w r plus the current, too."""
    rates, onto, weights = column.FULL_RATES / 1000.0, column.connections_onto(), column.strengths()
    outside = weights[1, 0] * column.EXTERNAL * 0.008
    full = 0.5 * ((weights * onto) @ rates + outside)
    small = 0.5 * ((weights / math.sqrt(scale) * onto * scale) @ rates + outside * math.sqrt(scale))
    np.testing.assert_allclose(small + column.compensation(scale), full)
    np.testing.assert_allclose(
        (weights**2 / scale * onto * scale) @ rates, (weights**2 * onto) @ rates
    )


def test_the_built_microcircuit_has_the_in_degrees_weights_and_delays_of_its_scale(
    g: torch.Generator,
) -> None:
    scale = 0.04
    model = models.microcircuit(scale=scale, generator=g)
    wired = model.network.connectome
    wires, weight = wired.connections, model.network.weight.numpy()
    for target, source in ((0, 2), (3, 6), (5, 5)):
        onto = wired.cells.cell_class == column.POPULATIONS[target]
        chosen = onto[wires.post] & (
            wired.cells.cell_class[wires.pre] == column.POPULATIONS[source]
        )
        expected = column.connections_onto()[target, source] * scale
        assert chosen.sum() / onto.sum() == pytest.approx(expected, rel=0.05)
        mean = abs(column.strengths()[target, source]) / math.sqrt(scale)
        assert weight[chosen].mean() == pytest.approx(mean, rel=0.01)
        assert weight[chosen].std() == pytest.approx(0.1 * mean, rel=0.1)
        late = 1.5 if source % 2 == 0 else 0.75
        assert np.median(wires.delay[chosen]) == pytest.approx(late, rel=0.05)
    assert wires.delay.min() >= np.float32(0.1)
    assert ((wires.sign < 0) == (wired.cells.kind[wires.pre] == "inhibitory")).all()
    with pytest.raises(ValueError, match="scale must be above 0 and at most 1"):
        models.microcircuit(scale=1.5, generator=g)
